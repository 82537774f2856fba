//! `mailrobin alert`: does a notice get through?

use std::io::Write;

use anyhow::{Context, Result, anyhow};
use clap::Subcommand;
use uuid::Uuid;

use super::{Common, Exit};
use crate::clock::Stamp;
use crate::config::diagnostic::suggest;
use crate::probe::name::AlertName;
use crate::probe::notice::Notice;
use crate::service::notify::deliver;

#[derive(Debug, Subcommand)]
pub(super) enum Alert {
    /// Send a test notice, once and whatever the hour, and print what came back
    Test {
        /// Whom to tell: NAME of [alerts.NAME]
        name: String,
    },
}

impl Alert {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        match self {
            Self::Test { name } => test(common, &name).await,
        }
    }
}

async fn test(common: &Common, name: &str) -> Result<Exit> {
    let (plan, path) = common.plan().await?;
    let alert = plan.alerts.get(&name.into()).with_context(|| {
        let known = plan.alerts.keys().map(AlertName::as_str);
        if plan.alerts.is_empty() {
            format!("there is no alert {name:?}: {path} has no [alerts.NAME]")
        } else {
            format!("there is no alert {name:?}: {}", suggest(name, known))
        }
    })?;
    let instance = plan.signing.instance.as_deref().unwrap_or("alert-test");
    let notice = Notice::sample(Uuid::now_v7(), Stamp::now().wall, instance);
    let said = deliver(alert, &notice)
        .await
        .map_err(|error| anyhow!("the test notice to {name} did not get through: {error}"))?;
    writeln!(common.output(), "{name} has the test notice: {said}")?;
    Ok(Exit::OK)
}
