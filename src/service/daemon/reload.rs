//! A new config takes the place of the old one while probes are in flight: it is read as a whole first, and one that is
//! wrong changes nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;

use super::super::keeper::{Order, said};
use super::begin::{retention, traffic, watched};
use super::{Daemon, Generation};
use crate::clock::Stamp;
use crate::config::plan::Plan;
use crate::config::{self, ConfigError};
use crate::engine::blocklists::Blocklists;
use crate::engine::ledger::Ledger;

/// The config file is looked at this often.
const LOOK: std::time::Duration = std::time::Duration::from_secs(5);
/// What a config that is wrong is called.
const WRONG: &str = "the config on disk is wrong, and the one before stays in use";

/// The config file, and what it said when it was looked at last.
pub(super) struct Watched {
    path: PathBuf,
    said: Option<Vec<u8>>,
    again: Option<Instant>,
}

impl Watched {
    pub(super) fn new(path: PathBuf) -> Self {
        let said = std::fs::read(&path).ok();
        Self {
            path,
            said,
            again: None,
        }
    }

    /// Whether it says something else than when it was looked at last. One that is gone, or empty, is being written.
    fn changed(&mut self, now: Stamp) -> bool {
        let now = Instant::from_std(now.mono);
        if self.again.is_some_and(|again| now < again) {
            return false;
        }
        self.again = Some(now + LOOK);
        let Some(says) = std::fs::read(&self.path)
            .ok()
            .filter(|says| !says.is_empty())
        else {
            return false;
        };
        let changed = self.said.as_ref() != Some(&says);
        self.said = Some(says);
        changed
    }
}

impl Daemon {
    /// Reads the config anew, where somebody asks for it or the file has changed.
    pub(super) fn reload(&mut self, is_asked: bool) {
        let now = Stamp::now();
        let changed = self.config.changed(now);
        if !is_asked && !changed {
            return;
        }
        match config::load(&self.config.path) {
            Ok((plan, warnings)) => {
                let warnings = warnings.to_string();
                if !warnings.is_empty() {
                    tracing::warn!("{warnings}");
                }
                self.wrong_config(None);
                self.go_by(plan, now);
                tracing::info!("the config was read anew");
            }
            Err(error) => {
                let said = match &error {
                    ConfigError::Invalid(found) => found.to_string(),
                    ConfigError::Read { .. } => said(&error),
                };
                tracing::error!("{WRONG}:\n{said}");
                let first = said.lines().next().unwrap_or_default();
                self.wrong_config(Some(first.to_owned()));
            }
        }
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
