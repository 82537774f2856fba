//! Keeps what the service hands it: many writes at a time, in their order, each batch one transaction. Where the history
//! cannot be written, it says so, holds what it can, and tries again until it can.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::clock::Stamp;
use crate::probe::facts::Sighting;
use crate::store::{Recalled, Retention, StoreError, Write, Writer};

/// So many writes go into one transaction.
const BATCH: usize = 500;
/// So many writes wait in memory while the history cannot be written: those of some thousand probes.
const HELD: usize = 20_000;
/// When it could not be written, it is tried again after so long, then after twice as long, up to the second.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Upkeep takes a step this often where there is something to be done, and looks for something this often.
const UPKEEP: (Duration, Duration) = (Duration::from_millis(200), Duration::from_mins(10));

/// What the keeper is asked for.
#[derive(Debug)]
pub(super) enum Order<T> {
    /// Keep these, all or none; then tell.
    Keep(Vec<Write>, Vec<T>),
    /// What is known of the probe that this message belongs to, and of its control?
    Recall(Uuid, Box<Sighting>),
    /// Others are to be kept from now on for so long.
    Retain(Retention),
}

/// What the keeper tells.
#[derive(Debug)]
pub(super) enum Kept<T> {
    /// What was handed over with this is kept.
    Stored(T),
    /// It cannot be kept now. It is, as soon as that is possible.
    Held(T),
    /// It was let go of, because too much was waiting.
    Lost(T),
    /// What is known of a message's probe, and of the one that its verdict depends on.
    Recalled(Box<Sighting>, Option<Box<Found>>),
    /// The history cannot be written, or can be again.
    Trouble(Option<String>),
    /// So many writes wait in memory; so many were let go of.
    Waiting(usize, u64),
}

/// A probe of the history.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) probe: Recalled,
    pub(super) control: Option<(Uuid, Recalled)>,
}

/// What waits to be kept.
struct Held<T> {
    writes: Vec<Write>,
    then: Vec<T>,
    /// Whether it was told that it waits.
    told: bool,
}

pub(super) struct Keeper<T> {
    writer: Writer,
    orders: mpsc::UnboundedReceiver<Order<T>>,
    kept: mpsc::UnboundedSender<Kept<T>>,
    retention: Retention,
    held: VecDeque<Held<T>>,
    /// Questions that cannot be answered before what is held is kept: they may be about that.
    asked: Vec<(Uuid, Box<Sighting>)>,
    lost: u64,
    /// When to try again, and how long to wait after that.
    trouble: Option<(Instant, Duration)>,
    upkeep: Instant,
}

impl<T: Clone> Keeper<T> {
    pub(super) fn new(
        writer: Writer,
        retention: Retention,
        orders: mpsc::UnboundedReceiver<Order<T>>,
        kept: mpsc::UnboundedSender<Kept<T>>,
    ) -> Self {
        Self {
            writer,
            orders,
            kept,
            retention,
            held: VecDeque::new(),
            asked: Vec::new(),
            lost: 0,
            trouble: None,
            upkeep: Instant::from_std(Stamp::now().mono) + UPKEEP.0,
        }
    }

    /// Keeps until nobody orders anything any more and all is kept, or cannot be.
    pub(super) async fn run(mut self) {
        loop {
            let retry = self.trouble.map(|(at, _)| at);
            let wake = retry.unwrap_or(self.upkeep);
            let order = tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => Some(order),
                    None => break,
                },
                () = sleep_until(wake) => None,
            };
            match order {
                Some(order) => {
                    self.take(order).await;
                    // Whatever came meanwhile shares the transaction.
                    while let Ok(order) = self.orders.try_recv() {
                        self.take(order).await;
                        if self
                            .held
                            .iter()
                            .map(|held| held.writes.len())
                            .sum::<usize>()
                            >= BATCH
                        {
                            break;
                        }
                    }
                    if self.trouble.is_none() {
                        self.commit().await;
                    } else {
                        self.hold();
                    }
                }
                None if self.trouble.is_some() => self.commit().await,
                None => self.keep_up().await,
            }
        }
        if !self.held.is_empty() {
            self.commit().await;
        }
        if let Err(error) = self.writer.close().await {
            tracing::warn!("{error:#}");
        }
    }

    async fn take(&mut self, order: Order<T>) {
        match order {
            Order::Keep(writes, then) => self.held.push_back(Held {
                writes,
                then,
                told: false,
            }),
            Order::Recall(id, sighting) => {
                self.asked.push((id, sighting));
                if self.trouble.is_none() {
                    self.commit().await;
                }
            }
            Order::Retain(retention) => self.retention = retention,
        }
    }

    /// Answers what was asked. What cannot be read now is asked for again later: a message of a probe that only seems to be
    /// unknown would be taken for a leftover.
    async fn answer(&mut self) {
        for (id, sighting) in std::mem::take(&mut self.asked) {
            match self.recall(id).await {
                Ok(found) => self.tell(Kept::Recalled(sighting, found.map(Box::new))),
                Err(error) => {
                    tracing::warn!("{}", said(&error));
                    self.asked.push((id, sighting));
                }
            }
        }
    }

    async fn recall(&mut self, id: Uuid) -> Result<Option<Found>, StoreError> {
        let Some(probe) = self.writer.recall(id).await? else {
            return Ok(None);
        };
        let control = probe.kept.as_deref().and_then(control_of);
        let control = match control {
            Some(id) => {
                let recalled = self.writer.recall(id).await?;
                recalled.map(|recalled| (id, recalled))
            }
            None => None,
        };
        Ok(Some(Found { probe, control }))
    }

    /// Commits what waits, the oldest first.
    async fn commit(&mut self) {
        while !self.held.is_empty() {
            let mut count = 0;
            let mut writes = Vec::new();
            for held in &self.held {
                if count > 0 && writes.len() + held.writes.len() > BATCH {
                    break;
                }
                writes.extend(held.writes.iter().cloned());
                count += 1;
            }
            match self.writer.commit(&writes).await {
                Ok(()) => {
                    for held in self.held.drain(..count).collect::<Vec<_>>() {
                        for then in held.then {
                            self.tell(Kept::Stored(then));
                        }
                    }
                    if self.trouble.take().is_some() {
                        tracing::info!("the history can be written again");
                        self.tell(Kept::Trouble(None));
                    }
                }
                Err(error) => {
                    let what = said(&error);
                    let now = Instant::from_std(Stamp::now().mono);
                    let pause = self.trouble.map_or(AGAIN.0, |(_, pause)| pause);
                    if self.trouble.is_none() {
                        tracing::error!("{what}: what happens meanwhile waits in memory");
                        self.tell(Kept::Trouble(Some(what)));
                    } else {
                        tracing::warn!("still not written: {what}");
                    }
                    self.trouble = Some((now + pause, (pause * 2).min(AGAIN.1)));
                    self.hold();
                    break;
                }
            }
        }
        if self.held.is_empty() {
            self.answer().await;
        }
        self.tell(Kept::Waiting(self.held.len(), self.lost));
    }

    /// Tells of what waits that it does, and lets go of the oldest where it is too much.
    fn hold(&mut self) {
        for held in &mut self.held {
            if !std::mem::replace(&mut held.told, true) {
                for then in &held.then {
                    // Nobody listens any more only when the service has ended.
                    let _ = self.kept.send(Kept::Held(then.clone()));
                }
            }
        }
        let mut waiting: usize = self.held.iter().map(|held| held.writes.len()).sum();
        while waiting > HELD {
            let Some(held) = self.held.pop_front() else {
                break;
            };
            waiting -= held.writes.len();
            self.lost += u64::try_from(held.writes.len()).unwrap_or_default();
            for then in held.then {
                self.tell(Kept::Lost(then));
            }
        }
        self.tell(Kept::Waiting(self.held.len(), self.lost));
    }

    /// One step of upkeep, in a pause between others' writes.
    async fn keep_up(&mut self) {
        let now = Stamp::now();
        self.answer().await;
        let reckoned = self.writer.reckon(now.wall).await;
        let did = match reckoned {
            Ok(true) => Ok(true),
            Ok(false) => {
                let pruned = self.writer.prune(self.retention, now.wall).await;
                pruned.map(|pruned| !pruned.is_nothing())
            }
            Err(error) => Err(error),
        };
        let pause = match did {
            Ok(true) => UPKEEP.0,
            Ok(false) => UPKEEP.1,
            Err(error) => {
                tracing::warn!("{}", said(&error));
                UPKEEP.1
            }
        };
        self.upkeep = Instant::from_std(now.mono) + pause;
    }

    fn tell(&self, kept: Kept<T>) {
        // Nobody listens any more only when the service has ended.
        let _ = self.kept.send(kept);
    }
}

/// The control that a kept probe names.
fn control_of(kept: &[u8]) -> Option<Uuid> {
    let kept: crate::engine::kept::Kept = serde_json::from_slice(kept).ok()?;
    kept.control()
}

/// An error with everything behind it, on one line.
pub(super) fn said(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        source = error.source();
    }
    said
}
