//! Whom the answers come from: the service's loop, the history, and what is reckoned over it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::answer::{Problem, described};
use super::document::{RouteStatus, Status};
use super::reckon::{Reckoned, Reply};
use crate::probe::incident::Incident;
use crate::service::metrics::Metrics;
use crate::service::status::{Command, Snapshot};
use crate::store::{Reader, StoreError};

/// The loop of a service that lives answers within this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Open incidents in a status.
const MOST_OPEN: usize = 100;

/// Where every answer is put together.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) reader: Reader,
    pub(super) metrics: Arc<Metrics>,
    pub(super) reckoner: mpsc::Sender<Reply>,
}

impl Desk {
    /// Asks the service's loop.
    pub(super) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.commands.send(command(reply)).await.ok()?;
            answer.await.ok()
        };
        match timeout(PATIENCE, asked).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(Problem::busy("the service is stopping")),
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                Err(Problem::busy(format!(
                    "the service has not answered within {seconds} s"
                )))
            }
        }
    }

    /// What the service sees.
    pub(super) async fn look(&self) -> Result<Box<Snapshot>, Problem> {
        self.ask(Command::Look).await
    }

    /// The same with what the history says.
    pub(super) async fn status(&self) -> Result<Status, Problem> {
        let snapshot = self.look().await?;
        let reckoned = self.reckoned().await?;
        let incidents = self.open_incidents().await;
        let problem = match (reckoned.as_ref(), &incidents) {
            (Err(problem), _) => Some(problem.clone()),
            (Ok(_), Err(problem)) => Some(described(problem)),
            (Ok(_), Ok(_)) => None,
        };
        let Snapshot {
            version,
            instance,
            at,
            started_at,
            activity,
            routes,
            mailboxes,
            alerts,
            store,
            config_problem,
        } = *snapshot;
        let routes = routes.into_iter().map(|view| {
            let history = reckoned.as_ref().as_ref().ok();
            let history = history.map(|all| all.get(&view.name).cloned().unwrap_or_default());
            RouteStatus::new(view, history)
        });
        Ok(Status {
            version,
            instance,
            at,
            started_at,
            activity,
            routes: routes.collect(),
            incidents: incidents.ok(),
            mailboxes,
            alerts,
            store,
            history_problem: problem,
            config_problem,
        })
    }

    /// The history of every route, or why there is none.
    async fn reckoned(&self) -> Result<Arc<Reckoned>, Problem> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.reckoner.send(reply).await.ok()?;
            answer.await.ok()
        };
        let stopping = || Problem::busy("the service is stopping");
        asked.await.ok_or_else(stopping)
    }

    async fn open_incidents(&self) -> Result<Vec<Incident>, StoreError> {
        let mut incidents = self.reader.open_incidents().await?;
        incidents.truncate(MOST_OPEN);
        Ok(incidents)
    }
}
