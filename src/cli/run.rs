//! `mailrobin run`: keeps testing until it is told to stop.

use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::signals::Signals;
use super::{Common, Exit};
use crate::service::daemon::{Daemon, Ended, Settings, Signal};
use crate::service::metrics::Metrics;

/// Commands that may wait to be carried out.
const COMMANDS: usize = 64;

/// Keeps testing on schedule: history, alerts, recovery actions, API, metrics.
///
/// Ends in good order at SIGTERM or SIGINT, what is in flight is taken up by the next start. SIGHUP, or a changed config
/// file, has the config read anew.
#[derive(Debug, Args)]
pub(super) struct Run {}

impl Run {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let (plan, path) = common.plan()?;
        let identity = common.kept_identity(&plan.signing).await?;
        let history = common.history(&plan)?;
        let routes = plan.watches.values().filter(|it| it.enabled).count();
        let settings = Settings {
            plan,
            config: path.into(),
            identity,
            history: history.clone(),
        };
        let (_ask, commands) = mpsc::channel(COMMANDS);
        let metrics = Arc::new(Metrics::default());
        let mut signals = Signals::new()?;
        let mut hang_up = signal(SignalKind::hangup()).context("signals cannot be listened for")?;
        let (daemon, _reader) = Daemon::begin_with(settings, metrics, commands).await?;
        let (tell, told) = mpsc::channel(1);
        if !common.quiet {
            common.say(&format!(
                "mailrobin tests {routes} route{}; its history is {}",
                if routes == 1 { "" } else { "s" },
                history.display()
            ));
        }
        notify(&[NotifyState::Ready]);
        let forward = async {
            loop {
                let signal = tokio::select! {
                    () = signals.next() => Signal::Stop,
                    _ = hang_up.recv() => Signal::Reload,
                };
                if signal == Signal::Stop {
                    notify(&[NotifyState::Stopping]);
                }
                // Nobody listens any more only when it has ended.
                let _ = tell.send(signal).await;
                if signal == Signal::Stop {
                    break;
                }
            }
            signals.next().await;
        };
        let ended = tokio::select! {
            ended = daemon.run(told, || notify(&[NotifyState::Watchdog])) => ended,
            () = async { forward.await; } => {
                common.complain("told to stop twice: nothing more is waited for");
                return Ok(Exit::TROUBLE);
            }
        };
        let Ended { in_flight, is_kept } = ended;
        if in_flight > 0 && !common.quiet {
            common.say(&format!(
                "{in_flight} probe{} in flight are taken up by the next start",
                if in_flight == 1 { "" } else { "s" }
            ));
        }
        if is_kept {
            return Ok(Exit::OK);
        }
        common.complain("the history could not be written to the end: what happened last is lost");
        Ok(Exit::TROUBLE)
    }
}

/// Tells systemd, where it started us.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        tracing::debug!("systemd cannot be told: {error}");
    }
}
