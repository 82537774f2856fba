//! A new config takes the place of the old one while probes are in flight: it is read as a whole first, and one that is
//! wrong changes nothing.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;

use super::super::keeper::{Order, said};
use super::begin::{retention, traffic, watched};
use super::{Daemon, Errand, Generation};
use crate::clock::Stamp;
use crate::config::diagnostic::Diagnostics;
use crate::config::plan::Plan;
use crate::config::{self, ConfigError};
use crate::engine::blocklists::Blocklists;
use crate::engine::ledger::Ledger;
use crate::engine::uplink::Uplink;
use crate::files::{self, CONFIG_LIMIT, FileError, off_loop};

/// The config file is looked at this often.
const LOOK: std::time::Duration = std::time::Duration::from_secs(5);
/// What a config that is wrong is called.
const WRONG: &str = "the config on disk is wrong, and the one before stays in use";

/// The config file, and what it said when it was read last.
pub(super) struct Watched {
    path: PathBuf,
    said: Option<Arc<[u8]>>,
    /// Read at this time if not before.
    again: Option<Instant>,
    is_being_read: bool,
    /// Somebody asks for it to be read, changed or not.
    is_asked: bool,
}

/// What came of reading it.
pub(super) enum Reread {
    /// It is as before; or gone, or empty, while somebody writes it.
    Unchanged,
    /// It cannot be read.
    Unreadable(ConfigError),
    /// It says this, and comes to that.
    Changed(Arc<[u8]>, Result<(Box<Plan>, Diagnostics), ConfigError>),
}

impl Watched {
    pub(super) async fn new(path: PathBuf) -> Self {
        let own = path.clone();
        let said = off_loop(move || files::read(&own, CONFIG_LIMIT)).await;
        Self {
            path,
            said: said.and_then(|said| said).ok().map(Into::into),
            again: None,
            is_being_read: false,
            is_asked: false,
        }
    }
}

/// Reads the config file, and what it names, where it says something else than before or somebody asks for it.
fn reread(path: &Path, before: Option<&[u8]>, is_asked: bool) -> Reread {
    let bytes = match files::read(path, CONFIG_LIMIT) {
        Ok(bytes) => bytes,
        Err(FileError::System(error)) if error.kind() == ErrorKind::NotFound && !is_asked => {
            return Reread::Unchanged;
        }
        Err(source) => {
            let path = path.to_owned();
            return Reread::Unreadable(ConfigError::Read { path, source });
        }
    };
    if !is_asked && (bytes.is_empty() || before == Some(&bytes)) {
        return Reread::Unchanged;
    }
    let says = Arc::from(&*bytes);
    let read = config::read_bytes(path, bytes, false);
    Reread::Changed(says, read.map(|(plan, found)| (Box::new(plan), found)))
}

impl Daemon {
    /// Has the config read anew, where somebody asks for it or it is time to look whether it has changed. The loop goes on
    /// meanwhile, however long its files take.
    pub(super) fn reload(&mut self, is_asked: bool) {
        let now = Instant::from_std(Stamp::now().mono);
        let config = &mut self.config;
        config.is_asked |= is_asked;
        let is_time = config.again.is_none_or(|again| now >= again);
        if config.is_being_read || self.stopping.is_some() || !(config.is_asked || is_time) {
            return;
        }
        config.again = Some(now + LOOK);
        config.is_being_read = true;
        let is_asked = std::mem::take(&mut config.is_asked);
        let (path, before) = (config.path.clone(), config.said.clone());
        self.errands.spawn(async move {
            let read = off_loop(move || reread(&path, before.as_deref(), is_asked)).await;
            Errand::Reread(read.unwrap_or(Reread::Unchanged))
        });
    }

    /// Goes by what was read, unless it is wrong.
    pub(super) fn reread(&mut self, read: Reread) {
        self.config.is_being_read = false;
        match read {
            Reread::Unchanged => {}
            Reread::Unreadable(error) => {
                // When it can be read again, it is gone by even if it says what it said before.
                self.config.said = None;
                let why = said(&error);
                // It is looked at again and again.
                if self.config_problem.as_ref() != Some(&why) {
                    self.stay(&why);
                }
            }
            Reread::Changed(says, read) => {
                self.config.said = Some(says);
                match read {
                    Ok((plan, warnings)) => {
                        let warnings = warnings.to_string();
                        if !warnings.is_empty() {
                            tracing::warn!("{warnings}");
                        }
                        self.wrong_config(None);
                        self.go_by(*plan, Stamp::now());
                        tracing::info!("the config was read anew");
                    }
                    Err(ConfigError::Invalid(found)) => self.stay(&found.to_string()),
                    Err(error @ ConfigError::Read { .. }) => self.stay(&said(&error)),
                }
            }
        }
        if self.config.is_asked {
            self.reload(false);
        }
    }

    /// Stays with the config that it goes by.
    fn stay(&mut self, why: &str) {
        tracing::error!("{WRONG}:\n{why}");
        let first = why.lines().next().unwrap_or_default();
        self.wrong_config(Some(first.to_owned()));
    }

    fn wrong_config(&mut self, problem: Option<String>) {
        self.config_problem.clone_from(&problem);
        self.trouble(WRONG, problem);
    }

    /// Goes by another plan from now on.
    fn go_by(&mut self, plan: Plan, now: Stamp) {
        let old = std::mem::replace(&mut self.plan, Arc::new(plan));
        let plan = Arc::clone(&self.plan);
        let later = [
            ("[signing]", old.signing != plan.signing),
            ("[store] url", old.store.file != plan.store.file),
            (
                "[service] listen",
                old.service.listen != plan.service.listen,
            ),
            ("[service] token", old.service.token != plan.service.token),
            ("[service] tls_cert", old.service.tls != plan.service.tls),
        ];
        for (key, _) in later.iter().filter(|(_, changed)| *changed) {
            tracing::warn!("a change of {key} takes effect when mailrobin is started anew");
        }
        self.lists = Arc::new(Blocklists::new(&plan.dns));
        self.uplink = Arc::new(Uplink::of(&plan));
        self.schedule.reload(&plan.watches, now);
        self.set_couriers(|name| old.alerts.get(name) != plan.alerts.get(name));
        self.offer_outbox();
        if old.service.heartbeat != plan.service.heartbeat {
            self.set_heartbeat(self.well.subscribe());
        }
        // The keeper lives as long as we do.
        let _ = self.orders.send(Order::Retain(retention(&plan)));
        self.watch_routes(Vec::new(), now);
        self.last
            .retain(|key, _| plan.watches.contains_key(&key.route));
        let nobody = BTreeSet::new();
        if old.gateways != plan.gateways || watched(&old, &nobody) != watched(&plan, &nobody) {
            self.new_generation();
        }
    }

    /// New probes go by the new servers; those in flight stay with the old ones.
    fn new_generation(&mut self) {
        let traffic = traffic(&self.plan, &self.identity, Ledger::new(), &BTreeSet::new());
        self.mailboxes
            .retain(|name, _| traffic.mailboxes().any(|watched| watched == name));
        let number = self.generations.last().map_or(0, |it| it.number + 1);
        self.generations.push(Generation { number, traffic });
    }
}
