//! The mailbox: its folders, their messages, and the log of changes that sessions follow.
//!
//! Bytes are shared and never copied. All look-ups by UID are binary searches; removing one
//! message of many moves only the pointers on its nearer side. Waiters are told through one watch
//! channel that something changed, and then compare with what they know.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::watch;

use super::stamp;

/// How many changes a folder remembers for sessions that fell behind; those compare in full.
const CHANGES_KEPT: usize = 4096;

/// From this many on, removing one by one costs more than one pass over the folder.
const ONE_BY_ONE: usize = 32;

pub(crate) const INBOX: &str = "INBOX";
pub(crate) const JUNK: &str = "Junk";
pub(crate) const TRASH: &str = "Trash";

/// One message in a folder.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) uid: u32,
    pub(crate) flags: Flags,
    pub(crate) received: Timestamp,
    pub(crate) bytes: Arc<[u8]>,
}

/// The flags of a message.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    system: u8,
    keywords: Vec<Box<str>>,
}

/// What happened to a message after it arrived.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    Expunged(u32),
    /// Flags were changed by the session with this number, which knows already.
    Flagged(u32, u64),
}

/// One folder of the mailbox.
pub(crate) struct Folder {
    pub(crate) validity: u32,
    pub(crate) next_uid: u32,
    pub(crate) messages: VecDeque<Stored>,
    changes: VecDeque<Change>,
    /// How many changes were forgotten, the number of the first one kept.
    forgotten: u64,
}

/// All folders, behind one lock that is never held over an await.
pub(crate) struct Mailbox {
    folders: Mutex<BTreeMap<String, Folder>>,
    changed: watch::Sender<()>,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        // Seconds since the epoch, as most servers do, so that a restarted lab is a new mailbox.
        let validity = u32::try_from(stamp::now().as_second()).unwrap_or(1);
        let folders = [INBOX, JUNK, TRASH].map(|name| (name.to_owned(), Folder::new(validity)));
        Mailbox {
            folders: Mutex::new(BTreeMap::from(folders)),
            changed: watch::Sender::new(()),
        }
    }

    pub(crate) fn folders(&self) -> MutexGuard<'_, BTreeMap<String, Folder>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on a folder; `None` when there is none of this name.
    pub(crate) fn with<T>(&self, name: &str, work: impl FnOnce(&mut Folder) -> T) -> Option<T> {
        self.folders().get_mut(name).map(work)
    }

    /// Tells waiting sessions that something changed.
    pub(crate) fn announce(&self) {
        self.changed.send_replace(());
    }

    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Delivers a new message.
    pub(crate) fn deliver(&self, folder: &str, bytes: Arc<[u8]>) {
        let now = stamp::now();
        self.with(folder, |folder| folder.append(bytes, Flags::default(), now));
        self.announce();
    }

    /// Creates a folder; false when it exists.
    pub(crate) fn create(&self, name: &str) -> bool {
        let mut folders = self.folders();
        if folders.contains_key(name) {
            return false;
        }
        let validity = folders.values().map(|folder| folder.validity).max();
        let folder = Folder::new(validity.unwrap_or(0).wrapping_add(1).max(1));
        folders.insert(name.to_owned(), folder);
        true
    }

    /// Gives every folder a new UIDVALIDITY and its messages new UIDs.
    pub(crate) fn renumber(&self) {
        for folder in self.folders().values_mut() {
            folder.validity = folder.validity.wrapping_add(1).max(1);
            folder.next_uid = 1;
            for message in &mut folder.messages {
                message.uid = folder.next_uid;
                folder.next_uid += 1;
            }
        }
        self.announce();
    }
}

impl Folder {
    fn new(validity: u32) -> Self {
        Folder {
            validity,
            next_uid: 1,
            messages: VecDeque::new(),
            changes: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// Adds a message and returns its UID.
    pub(crate) fn append(&mut self, bytes: Arc<[u8]>, flags: Flags, received: Timestamp) -> u32 {
        let uid = self.next_uid;
        self.next_uid = self.next_uid.saturating_add(1);
        self.messages.push_back(Stored {
            uid,
            flags,
            received,
            bytes,
        });
        uid
    }

    /// Where messages with at least this UID begin.
    pub(crate) fn position(&self, uid: u32) -> usize {
        self.messages.partition_point(|message| message.uid < uid)
    }

    pub(crate) fn message(&self, uid: u32) -> Option<&Stored> {
        self.messages
            .get(self.position(uid))
            .filter(|message| message.uid == uid)
    }

    /// Changes flags and returns what they are now.
    pub(crate) fn flag(
        &mut self,
        uid: u32,
        session: u64,
        change: impl FnOnce(&mut Flags),
    ) -> Option<Flags> {
        let at = self.position(uid);
        let message = self.messages.get_mut(at).filter(|m| m.uid == uid)?;
        let before = message.flags.clone();
        change(&mut message.flags);
        let now = message.flags.clone();
        if now != before {
            self.log(Change::Flagged(uid, session));
        }
        Some(now)
    }

    /// Removes the messages with these UIDs, which are in ascending order.
    pub(crate) fn expunge(&mut self, uids: &[u32]) {
        let before = self.messages.len();
        if uids.len() < ONE_BY_ONE {
            for &uid in uids {
                if self.message(uid).is_some() {
                    self.messages.remove(self.position(uid));
                    self.log(Change::Expunged(uid));
                }
            }
        } else {
            let mut gone = Vec::with_capacity(uids.len());
            self.messages.retain(|message| {
                let goes = uids.binary_search(&message.uid).is_ok();
                if goes {
                    gone.push(message.uid);
                }
                !goes
            });
            for uid in gone {
                self.log(Change::Expunged(uid));
            }
        }
        if before > 1024 && self.messages.len() < self.messages.capacity() / 4 {
            self.messages.shrink_to(self.messages.len() * 2);
        }
    }

    /// The UIDs of messages marked as deleted.
    pub(crate) fn deleted(&self) -> Vec<u32> {
        self.messages
            .iter()
            .filter(|message| message.flags.has(Flags::DELETED))
            .map(|message| message.uid)
            .collect()
    }

    fn log(&mut self, change: Change) {
        if self.changes.len() >= CHANGES_KEPT {
            self.changes.pop_front();
            self.forgotten += 1;
        }
        self.changes.push_back(change);
    }

    /// The number of the change that comes next.
    pub(crate) fn revision(&self) -> u64 {
        self.forgotten + self.changes.len() as u64
    }

    /// The changes since `revision`; `None` when some of them are forgotten.
    pub(crate) fn changes_since(&self, revision: u64) -> Option<impl Iterator<Item = Change>> {
        let skip = usize::try_from(revision.checked_sub(self.forgotten)?).ok()?;
        Some(self.changes.range(skip.min(self.changes.len())..).copied())
    }
}

impl Flags {
    pub(crate) const SEEN: u8 = 1;
    pub(crate) const ANSWERED: u8 = 1 << 1;
    pub(crate) const FLAGGED: u8 = 1 << 2;
    pub(crate) const DELETED: u8 = 1 << 3;
    pub(crate) const DRAFT: u8 = 1 << 4;

    const NAMES: [(u8, &str); 5] = [
        (Self::SEEN, "\\Seen"),
        (Self::ANSWERED, "\\Answered"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::DELETED, "\\Deleted"),
        (Self::DRAFT, "\\Draft"),
    ];

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.system & flag != 0
    }

    pub(crate) fn has_keyword(&self, keyword: &str) -> bool {
        self.keywords
            .iter()
            .any(|known| known.eq_ignore_ascii_case(keyword))
    }

    pub(crate) fn set(&mut self, flag: u8) {
        self.system |= flag;
    }

    pub(crate) fn add(&mut self, name: &str) {
        match Self::bit(name) {
            Some(bit) => self.system |= bit,
            // A message with hundreds of keywords is an attack on our memory.
            None if self.keywords.len() < 64 && !self.has_keyword(name) => {
                self.keywords.push(name.into());
            }
            None => {}
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        match Self::bit(name) {
            Some(bit) => self.system &= !bit,
            None => self
                .keywords
                .retain(|known| !known.eq_ignore_ascii_case(name)),
        }
    }

    fn bit(name: &str) -> Option<u8> {
        Self::NAMES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(bit, _)| *bit)
    }

    /// The names of the flags that are set, separated by spaces.
    pub(crate) fn names(&self) -> String {
        let system = Self::NAMES
            .iter()
            .filter(|(bit, _)| self.has(*bit))
            .map(|(_, name)| *name);
        let keywords = self.keywords.iter().map(|keyword| &**keyword);
        system.chain(keywords).collect::<Vec<_>>().join(" ")
    }
}
