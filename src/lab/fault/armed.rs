//! The faults that stand at the moment, and the counts that decide which message each hits.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Fault, Stage, Value,
    kind::{Kind, Scope},
};

/// Greylisting forgets everything at this many pairs, so that its memory stays bounded.
const GREYLIST_LIMIT: usize = 50_000;

/// Faults of messages that are met before the gateway takes responsibility.
const BEFORE_THE_WAY: [Kind; 11] = [
    Kind::Reject,
    Kind::Defer,
    Kind::CloseBeforeReply,
    Kind::CloseAfterReply,
    Kind::FilterOff,
    Kind::FilterDown,
    Kind::ScanLimit,
    Kind::NoUnpacking,
    Kind::BannedNames,
    Kind::Virus,
    Kind::Spam,
];

/// The standing faults, shared by all servers.
#[derive(Default)]
pub(crate) struct Armed {
    /// Replaced as a whole, so that a reader holds the lock for a pointer copy only.
    standing: RwLock<Arc<Vec<Arc<Standing>>>>,
}

/// One fault and how often it was asked about.
pub(crate) struct Standing {
    pub(crate) fault: Fault,
    seen: AtomicU64,
    hits: AtomicU64,
    attempts: Mutex<HashMap<(String, String), u32>>,
}

impl Armed {
    pub(crate) fn add(&self, fault: Fault) {
        let mut standing = self
            .standing
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut next = Vec::clone(&standing);
        next.push(Arc::new(Standing {
            fault,
            seen: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            attempts: Mutex::default(),
        }));
        // One message meets its faults in the catalogue's order, whatever the order of arming.
        next.sort_by_key(|standing| standing.fault.kind);
        *standing = Arc::new(next);
    }

    /// Removes all faults, or those of one kind; says how many went.
    pub(crate) fn clear(&self, kind: Option<Kind>) -> usize {
        let mut standing = self
            .standing
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut next = Vec::clone(&standing);
        next.retain(|standing| kind.is_some_and(|kind| standing.fault.kind != kind));
        let gone = standing.len() - next.len();
        *standing = Arc::new(next);
        gone
    }

    pub(crate) fn standing(&self) -> Arc<Vec<Arc<Standing>>> {
        let standing = self.standing.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&standing)
    }

    /// The fault of this kind that stands, when it has no limits to count.
    pub(crate) fn state(&self, kind: Kind) -> Option<Arc<Standing>> {
        self.standing()
            .iter()
            .find(|standing| standing.fault.kind == kind)
            .cloned()
    }

    pub(crate) fn stands(&self, kind: Kind) -> bool {
        self.standing()
            .iter()
            .any(|standing| standing.fault.kind == kind)
    }

    /// Whether this occasion for a fault of `kind` is one that it hits.
    pub(crate) fn strikes(&self, kind: Kind) -> bool {
        self.standing()
            .iter()
            .filter(|standing| standing.fault.kind == kind)
            .map(|standing| standing.hit())
            // Each of them counts the occasion, so no short cut.
            .fold(false, std::ops::BitOr::bitor)
    }

    /// Whether IMAP answers NO to this command now.
    pub(crate) fn refuses_command(&self, name: &str) -> bool {
        self.standing().iter().any(|standing| {
            matches!(&standing.fault.value, Value::Command(command)
                if command == name || name.strip_prefix("UID ") == Some(command))
                && standing.hit()
        })
    }

    /// The code with which this stage is refused now; `locals` are the recipients known by then.
    pub(crate) fn refusal(&self, stage: Stage, locals: &[&str]) -> Option<u16> {
        self.standing().iter().find_map(|standing| {
            let Value::Refusal(at, code) = standing.fault.value else {
                return None;
            };
            let concerned = at == stage && standing.concerns_any(locals);
            (concerned && standing.hit()).then_some(code)
        })
    }

    /// Whether greylisting turns this attempt away.
    pub(crate) fn defers(&self, sender: &str, recipient: &str) -> bool {
        self.standing().iter().any(|standing| {
            standing.fault.kind == Kind::Defer
                && standing.concerns(local_part(recipient))
                && standing.defers(sender, recipient)
        })
    }

    /// Whether one of a message's recipients meets a fault of this kind at the final dot.
    pub(crate) fn strikes_message(&self, kind: Kind, locals: &[&str]) -> bool {
        self.standing().iter().any(|standing| {
            standing.fault.kind == kind && standing.concerns_any(locals) && standing.hit()
        })
    }

    /// The one fault of this kind that rules for a message to one recipient: what was said of this recipient comes
    /// before what was said of all, and the latest word before the earlier ones.
    pub(crate) fn ruling(&self, kind: Kind, local: &str) -> Option<Arc<Standing>> {
        let standing = self.standing();
        let said_of = |named: bool| {
            standing.iter().rev().filter(move |standing| {
                standing.fault.kind == kind
                    && standing.fault.to.is_some() == named
                    && standing.concerns(local)
            })
        };
        said_of(true)
            .chain(said_of(false))
            .find(|standing| standing.hit())
            .cloned()
    }

    /// The faults that meet one message on its way to one recipient.
    pub(crate) fn on_the_way(&self, local: &str) -> Vec<Arc<Standing>> {
        self.standing()
            .iter()
            .filter(|standing| {
                let kind = standing.fault.kind;
                kind.scope() == Scope::Message
                    && !BEFORE_THE_WAY.contains(&kind)
                    && standing.concerns(local)
                    && standing.hit()
            })
            .cloned()
            .collect()
    }
}

impl Standing {
    fn concerns(&self, local: &str) -> bool {
        self.fault
            .to
            .as_ref()
            .is_none_or(|to| to.eq_ignore_ascii_case(local))
    }

    fn concerns_any(&self, locals: &[&str]) -> bool {
        self.fault.to.is_none() || locals.iter().any(|local| self.concerns(local))
    }

    /// Counts one message or occasion, and says whether the fault hits it.
    fn hit(&self) -> bool {
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        let hit = self.fault.first.is_none_or(|first| number <= first)
            && self
                .fault
                .every
                .is_none_or(|every| number.is_multiple_of(every.get()));
        if hit {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        hit
    }

    fn defers(&self, sender: &str, recipient: &str) -> bool {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = (sender.to_lowercase(), recipient.to_lowercase());
        let known = attempts.get(&pair).copied();
        // A pair is one message to `first` and `every`: its later attempts are not counted again.
        let tried = match known {
            Some(tried) => tried,
            None if self.hit() => 0,
            None => self.fault.count(),
        };
        if attempts.len() >= GREYLIST_LIMIT {
            attempts.clear();
        }
        attempts.insert(pair, tried.saturating_add(1));
        tried < self.fault.count()
    }

    /// Whether this is still one of the first N; for kinds that count occasions by their value.
    pub(crate) fn within_count(&self) -> bool {
        let number = self.seen.fetch_add(1, Ordering::Relaxed);
        let hit = number < u64::from(self.fault.count());
        if hit {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        hit
    }

    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

/// The local part of an address, before any `+`.
pub(crate) fn local_part(address: &str) -> &str {
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    local.split_once('+').map_or(local, |(user, _)| user)
}
