//! What follows from a result: standings and incidents that are kept with it, people that are told, and what is run so
//! that it may mend by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::alert::{Effect, Event};
use super::super::keeper::said;
use super::super::metrics::Told;
use super::super::notify::{self, Letter, Ran, Report, wants};
use super::{Channel, Daemon, Errand, Then};
use crate::clock::Stamp;
use crate::config::plan::Alert;
use crate::probe::incident::RecoveryAttempt;
use crate::probe::name::{AlertName, RouteName};
use crate::probe::notice::Notice;
use crate::store::{Waiting, Write};

/// Letters on their way to a courier.
const LETTERS: usize = 100;
/// What a history that cannot be written is called.
const HISTORY: &str = "the history cannot be written";

/// What running a recovery action came to.
pub(super) struct Recovered {
    route: RouteName,
    incident: Uuid,
    ran: Ran,
}

impl Daemon {
    /// Keeps what a result came to, with the result; then tells people, and does the rest.
    pub(super) fn follow(
        &mut self,
        effects: Vec<Effect>,
        mut writes: Vec<Write>,
        mut then: Vec<Then>,
    ) {
        let now = Stamp::now();
        for effect in effects {
            match effect {
                Effect::Incident(incident) => writes.push(Write::Incident(Box::new(incident))),
                Effect::Tell { alerts, notice } => {
                    let event = notice.event.as_str();
                    tracing::warn!(event, "{}", notice.title);
                    for name in alerts {
                        let alert = self.plan.alerts.get(&name);
                        if alert.is_some_and(|alert| wants(alert, &notice)) {
                            writes.push(Write::Notice {
                                id: notice.id,
                                made: notice.at,
                                alert: name.clone(),
                                body: serde_json::to_string(&notice).unwrap_or_default(),
                            });
                            then.push(Then::Tell(name, notice.clone()));
                        }
                    }
                }
                Effect::Recover { route, incident } => self.recover(route, incident),
                Effect::Mood { route, mood } => self.schedule.set_mood(&route, mood, now),
            }
        }
        for test in self.board.changed() {
            let standing = self.board.standing(&test);
            let standing = standing.and_then(|it| serde_json::to_string(it).ok());
            writes.push(Write::Standing { test, standing });
        }
        self.keep(writes, then);
    }

    /// The history cannot be written, or can be again.
    pub(super) fn store_trouble(&mut self, problem: Option<String>) {
        self.store.problem.clone_from(&problem);
        self.trouble(HISTORY, problem);
    }

    /// mailrobin itself is in trouble, or that is over. `what`: words that stay the same while it lasts.
    pub(super) fn trouble(&mut self, what: &str, problem: Option<String>) {
        let what = what.to_owned();
        let event = match problem {
            Some(reason) => Event::Trouble { what, reason },
            None => Event::TroubleOver { what },
        };
        let effects = self.board.step(event, Stamp::now().wall);
        self.follow(effects, Vec::new(), Vec::new());
    }

    /// Runs a route's recovery action.
    fn recover(&mut self, route: RouteName, incident: Uuid) {
        let watch = self.plan.watches.get(&route);
        let Some(recovery) = watch.and_then(|watch| watch.recovery.clone()) else {
            return;
        };
        tracing::warn!(%route, program = ?recovery.program.command.first(), "the recovery action is run");
        let state = self.board.route_state(&route);
        let instance = self.identity.instance.clone();
        self.errands.spawn(async move {
            let facts = [
                ("MAILROBIN_ROUTE", route.to_string()),
                ("MAILROBIN_STATE", state.to_string()),
                ("MAILROBIN_INCIDENT", incident.to_string()),
                ("MAILROBIN_INSTANCE", instance),
            ];
            let input = serde_json::json!({ "route": route, "state": state, "incident": incident });
            let input = serde_json::to_vec(&input).unwrap_or_default();
            let ran = notify::run(&recovery.program, &input, &facts).await;
            Errand::Recovered(Recovered {
                route,
                incident,
                ran,
            })
        });
    }

    /// A recovery action was run: what it said is kept with the incident.
    pub(super) fn recovered(&mut self, recovered: Recovered) {
        let Recovered {
            route,
            incident,
            ran,
        } = recovered;
        if ran.exit.is_success() {
            tracing::info!(%route, "the recovery action ended well");
        } else {
            tracing::error!(%route, "the recovery action: {}: {}", ran.exit, ran.output);
        }
        let at = Stamp::now().wall;
        let attempt = RecoveryAttempt {
            at,
            exit: ran.exit.to_string(),
            output: ran.output,
        };
        let event = Event::RecoveryRan { incident, attempt };
        let effects = self.board.step(event, at);
        self.follow(effects, Vec::new(), Vec::new());
    }

    /// What was run came to its end.
    pub(super) fn ran(&mut self, errand: Option<Errand>) {
        match errand {
            Some(Errand::Pinged(pinged)) => self.pinged(pinged),
            Some(Errand::Foreseen(foreseen)) => self.foreseen(&foreseen),
            Some(Errand::Doubted(doubted)) => self.doubted(*doubted),
            Some(Errand::Reread(read)) => self.reread(read),
            Some(Errand::Recovered(recovered)) => self.recovered(recovered),
            Some(Errand::Outbox(outbox)) => self.owed(outbox),
            // It was cut off, as only the end of the service does.
            None => {}
        }
    }

    /// A courier for every channel that has none, and none for those that are gone or changed.
    pub(super) fn set_couriers(&mut self, changed: impl Fn(&AlertName) -> bool) {
        let plan = Arc::clone(&self.plan);
        self.channels.retain(|name, channel| {
            let stays = plan.alerts.contains_key(name) && !changed(name);
            if !stays {
                channel.stop.cancel();
            }
            stays
        });
        for (name, alert) in &plan.alerts {
            if !self.channels.contains_key(name) {
                let channel = self.courier(Arc::clone(alert));
                self.channels.insert(name.clone(), channel);
            }
        }
    }

    fn courier(&mut self, alert: Arc<Alert>) -> Channel {
        let (letters, queue) = mpsc::channel(LETTERS);
        let stop = CancellationToken::new();
        self.couriers.spawn(notify::courier(
            alert,
            queue,
            self.report_to.clone(),
            stop.clone(),
        ));
        Channel {
            letters,
            stop,
            waiting: BTreeMap::new(),
            problem: None,
        }
    }

    /// What is owed to a channel that has a new courier is in the outbox.
    pub(super) fn offer_outbox(&mut self) {
        let reader = self.reader.clone();
        self.errands.spawn(async move {
            let outbox = reader.outbox().await;
            let read = outbox.inspect_err(|error| tracing::warn!("{}", said(error)));
            Errand::Outbox(read.unwrap_or_default())
        });
    }

    /// Notices that are still owed by an earlier process, or an earlier courier. What nobody is there for any more is let go of.
    pub(super) fn owed(&mut self, outbox: Vec<Waiting>) {
        let mut writes = Vec::new();
        for Waiting {
            id,
            alert,
            attempts,
            body,
        } in outbox
        {
            match serde_json::from_str::<Notice>(&body) {
                Ok(notice) if self.channels.contains_key(&alert) => {
                    self.hand_over(&alert, Letter { notice, attempts });
                }
                Ok(_) | Err(_) => {
                    tracing::warn!(%alert, "a notice of an earlier run is dropped: the config has no such alert any more");
                    writes.push(Write::Told { id, alert });
                }
            }
        }
        self.keep(writes, Vec::new());
    }

    /// Hands a notice to its channel's courier.
    pub(super) fn offer(&mut self, alert: &AlertName, notice: Notice) {
        self.hand_over(
            alert,
            Letter {
                notice,
                attempts: 0,
            },
        );
    }

    fn hand_over(&mut self, alert: &AlertName, letter: Letter) {
        let id = letter.notice.id;
        let channel = self.channels.get_mut(alert);
        if let Some(channel) = channel.filter(|channel| !channel.waiting.contains_key(&id)) {
            let left = taken(&channel.letters, letter);
            channel.waiting.insert(id, left);
        }
    }

    /// What couriers could not take is offered again.
    pub(super) fn offer_again(&mut self) {
        for channel in self.channels.values_mut() {
            for left in channel.waiting.values_mut().filter(|left| left.is_some()) {
                if let Some(letter) = left.take() {
                    *left = taken(&channel.letters, letter);
                }
                if left.is_some() {
                    break;
                }
            }
        }
    }

    /// What came of a try to tell somebody.
    pub(super) fn reported(&mut self, report: Report) {
        match report {
            Report::Delivered { alert, id, .. } => {
                if let Some(channel) = self.channels.get_mut(&alert) {
                    channel.problem = None;
                    channel.waiting.remove(&id);
                }
                self.metrics.told(&alert, Told::Delivered);
                self.keep(vec![Write::Told { id, alert }], Vec::new());
            }
            Report::Failed {
                alert,
                id,
                attempts,
                error,
                next,
            } => {
                tracing::warn!(%alert, attempts, "a notice did not get out: {error}");
                if let Some(channel) = self.channels.get_mut(&alert) {
                    channel.problem = Some(error.to_string());
                    if next.is_none() {
                        channel.waiting.remove(&id);
                    }
                }
                self.metrics.told(&alert, Told::Failed);
                let write = match next {
                    Some(_) => Write::Tried {
                        id,
                        alert,
                        attempts,
                    },
                    None => Write::Told { id, alert },
                };
                self.keep(vec![write], Vec::new());
            }
        }
    }
}

/// The letter, if the courier could not take it: one that has its hands full is offered it again.
fn taken(letters: &mpsc::Sender<Letter>, letter: Letter) -> Option<Letter> {
    letters.try_send(letter).err().map(TrySendError::into_inner)
}
