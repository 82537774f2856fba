//! `mailrobin run`: keeps testing until it is told to stop.

#![expect(
    clippy::disallowed_methods,
    reason = "the address is written before anything is tested"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use sd_notify::NotifyState;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::signals::Signals;
use super::status::ADDRESS;
use super::{Common, Exit};
use crate::config::plan::{ServicePlan, check_token};
use crate::net::own;
use crate::service::api::{self, Api};
use crate::service::daemon::{Daemon, Ended, Settings, Signal};
use crate::service::metrics::Metrics;

/// Commands that may wait to be carried out.
const COMMANDS: usize = 64;

/// Keeps testing on schedule: history, alerts, recovery actions, API, metrics.
///
/// Ends in good order at SIGTERM or SIGINT; what is in flight is taken up by the next start. SIGHUP, or a changed config
/// file, has the config read anew.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Where the API, the metrics and the health checks are, instead of what the config says; none: nowhere
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = listen)]
    listen: Option<Listen>,
}

/// Where to listen, if at all.
#[derive(Clone, Copy, Debug)]
struct Listen(Option<SocketAddr>);

fn listen(text: &str) -> Result<Listen, String> {
    if text == "none" {
        return Ok(Listen(None));
    }
    let address = text.parse();
    let address = address.map_err(|_| "write it like 127.0.0.1:9725 or [::1]:9725, or none");
    Ok(Listen(Some(address?)))
}

impl Run {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        // What comes while it begins is heeded once it has begun.
        let mut signals = Signals::new()?;
        let mut hang_up = signal(SignalKind::hangup()).context("signals cannot be listened for")?;
        let (mut plan, path) = common.plan().await?;
        if let Some(Listen(address)) = self.listen {
            plan.service.listen = address;
        }
        let identity = common.kept_identity(&plan.signing).await?;
        let history = common.own_history(&plan.store)?;
        let door = Door::open(&plan.service).await?;
        let routes = plan.watches.values().filter(|it| it.enabled).count();
        let settings = Settings {
            plan,
            config: path.into(),
            identity,
            history: history.clone(),
        };
        let (ask, commands) = mpsc::channel(COMMANDS);
        let metrics = Arc::new(Metrics::new());
        let (daemon, reader) = Daemon::begin_with(settings, Arc::clone(&metrics), commands).await?;
        let told_where = door.as_ref().map(|door| door.say(common)).transpose()?;
        if !common.quiet {
            let said = format!(
                "mailrobin tests {routes} route{}; its history is {}{}",
                if routes == 1 { "" } else { "s" },
                history.display(),
                told_where.as_ref().map_or_else(String::new, |told| format!(
                    "; it can be asked at {}",
                    told.url
                ))
            );
            common.say_unless_blocked(said).await;
        }
        notify(&[NotifyState::Ready]);
        let stop = CancellationToken::new();
        let served = async {
            if let Some(Door {
                listener,
                token,
                tls,
                ..
            }) = door
            {
                let api = Api {
                    commands: ask,
                    reader,
                    metrics,
                    token,
                    tls,
                };
                api::serve(listener, api, stop.clone()).await;
            }
        };
        let (tell, told) = mpsc::channel(1);
        let forward = async {
            loop {
                let signal = tokio::select! {
                    () = signals.next() => Signal::Stop,
                    _ = hang_up.recv() => Signal::Reload,
                };
                // Nobody listens any more only when it has ended.
                let _ = tell.send(signal).await;
                if signal == Signal::Stop {
                    notify(&[NotifyState::Stopping]);
                    break;
                }
            }
            signals.next().await;
        };
        let tested = async {
            let ended = daemon.run(told, || notify(&[NotifyState::Watchdog])).await;
            stop.cancel();
            ended
        };
        let ended = tokio::select! {
            (ended, ()) = async { tokio::join!(tested, served) } => ended,
            () = forward => {
                let said = "mailrobin: told to stop twice: nothing more is waited for";
                common.say_unless_blocked(said.into()).await;
                return Ok(Exit::TROUBLE);
            }
        };
        drop(told_where);
        let Ended { in_flight, is_kept } = ended;
        if in_flight > 0 && !common.quiet {
            common
                .say_unless_blocked(format!(
                    "{in_flight} probe{} in flight: the next start takes up what is known of {}",
                    if in_flight == 1 { "" } else { "s" },
                    if in_flight == 1 { "it" } else { "them" }
                ))
                .await;
        }
        if is_kept {
            return Ok(Exit::OK);
        }
        let said =
            "mailrobin: the history could not be written to the end: what happened last is lost";
        common.say_unless_blocked(said.into()).await;
        Ok(Exit::TROUBLE)
    }
}

/// Where the service can be asked.
struct Door {
    listener: TcpListener,
    address: SocketAddr,
    token: Option<secrecy::SecretString>,
    tls: Option<Arc<tokio_rustls::rustls::ServerConfig>>,
}

impl Door {
    /// Opens it, before anything else is: an address that is in use is no reason to begin and stop again.
    async fn open(plan: &ServicePlan) -> Result<Option<Self>> {
        let Some(address) = plan.listen else {
            return Ok(None);
        };
        ensure!(
            plan.token.is_some() || !ServicePlan::is_open(address),
            "others than this machine can reach {address}: set `token` under [service]"
        );
        let token = match &plan.token {
            Some(token) => Some(token.reveal().await.context("the token under [service]")?),
            None => None,
        };
        if let Some(token) = &token {
            let checked = check_token(token.expose_secret(), ServicePlan::is_open(address));
            let unwise = checked.map_err(|wrong| anyhow!("`token` under [service]: {wrong}"))?;
            if let Some(unwise) = unwise {
                tracing::warn!("{unwise}");
            }
        }
        let tls = plan.tls.as_deref().map(own::serving).transpose();
        let tls = tls.context("the certificate under [service]")?;
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!(
                "cannot listen on {address} for the API; `listen` under [service], or --listen, names another address, or none"
            )
        })?;
        let address = listener.local_addr()?;
        Ok(Some(Self {
            listener,
            address,
            token,
            tls,
        }))
    }

    /// Writes into the state directory where it is.
    fn say(&self, common: &Common) -> Result<Told> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", self.address);
        let dir = common.state_dir()?;
        let path = dir.join(ADDRESS);
        let write = || -> Result<()> {
            let aside = tempfile::NamedTempFile::new_in(&dir)?;
            fs::write(aside.path(), format!("{url}\n"))?;
            aside.persist(&path)?;
            Ok(())
        };
        // `status` asks elsewhere, or is told.
        write().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Told { url, path })
    }
}

/// The file that says where the service can be asked, as long as it can.
struct Told {
    url: String,
    path: PathBuf,
}

impl Drop for Told {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!("{} stays: {error}", path.display());
    }
}

/// Tells systemd, where it started us.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        tracing::debug!("systemd cannot be told: {error}");
    }
}
