//! The state of a maildrop between sessions: which messages of a listing are new, and which of them are reported copies.
//!
//! Pure. A unique id alone proves nothing: two messages may share one (RFC 1939 §7), some servers give a deleted message's
//! id to another, and some give the message number.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

use super::session::Listed;
use crate::probe::message::Kind;
use crate::probe::tag::Tag;

/// Maximum number of messages that the first session reads where probes were sent before it.
const READ_BACK: usize = 1000;
/// Maximum number of deleted copies whose ids are remembered, to notice that one is given to another message.
const REMEMBERED: usize = 1000;
/// Fields that servers change while a message lies in the mailbox.
const VOLATILE: &[&str] = &[
    "status",
    "x-status",
    "x-uid",
    "x-uidl",
    "x-keywords",
    "x-imap",
    "x-imapbase",
    "content-length",
    "lines",
];

/// A message of a listing.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) listed: Listed,
    /// The digest of its header, where the server's ids cannot be trusted.
    pub(super) print: Option<String>,
}

/// What a message is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key<'m> {
    Print(&'m str),
    /// Its unique id with its size: another size is another message, or one to be read again.
    Id(&'m str, u32),
}

impl Message {
    fn id(&self) -> Option<Key<'_>> {
        let id = self.listed.uid.as_deref()?;
        Some(Key::Id(id, self.listed.size))
    }

    fn print(&self) -> Option<Key<'_>> {
        self.print.as_deref().map(Key::Print)
    }

    /// What it is known by in this session.
    fn key(&self) -> Option<Key<'_>> {
        self.print().or_else(|| self.id())
    }

    /// What it may be known by in another session.
    fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        self.print().into_iter().chain(self.id())
    }
}

/// What a message showed of itself when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) tag: Tag,
    pub(super) kind: Kind,
}

/// A message that was reported.
#[derive(Clone, Debug)]
struct Copy {
    /// The id it was reported with, which no other copy has.
    id: Arc<str>,
    message: Message,
    print: String,
    proof: Proof,
    /// Whether it is in the listing under its old key.
    is_here: bool,
}

impl Copy {
    fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        std::iter::once(Key::Print(&self.print)).chain(self.message.id())
    }

    fn may_be(&self, message: &Message) -> bool {
        let key = message.key();
        self.keys().any(|known| Some(known) == key)
    }
}

/// What is known of a maildrop.
#[derive(Clone, Debug, Default)]
pub(super) struct Maildrop {
    /// The messages at the end of the last session; `None` before the first.
    known: Option<Vec<Message>>,
    copies: Vec<Copy>,
    /// The ids of copies that are recorded and may be deleted.
    backlog: HashSet<Arc<str>>,
    /// The copies that were deleted last.
    deleted: VecDeque<Copy>,
    reuses_ids: bool,
}

impl Maildrop {
    /// A copy is recorded and may be deleted.
    pub(super) fn dispose(&mut self, id: Arc<str>) {
        self.backlog.insert(id);
    }

    /// How many copies are still to be deleted.
    pub(super) fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// Whether the server was seen to give one id to two messages.
    pub(super) fn reuses_ids(&self) -> bool {
        self.reuses_ids
    }

    /// Whether ids must not be trusted: the server reuses them, or each is the message's number. Once a message was
    /// deleted, numbers have no gap, and real ids have one.
    pub(super) fn distrusts(&mut self, listed: &[Listed]) -> bool {
        let deleted: HashSet<_> = self
            .deleted
            .iter()
            .filter_map(|copy| copy.message.listed.uid.as_deref())
            .collect();
        let known = self.known.iter().flatten();
        let known = known.filter_map(|message| {
            let uid = message.listed.uid.as_deref()?;
            Some((uid, message.listed.size))
        });
        let sizes: HashSet<_> = known.collect();
        let uids: HashSet<_> = sizes.iter().map(|(uid, _)| *uid).collect();
        // A deleted message that is back, or one of another size, is likely to be another.
        let is_reused = |message: &Listed| {
            message.uid.as_deref().is_some_and(|uid| {
                let has_changed = uids.contains(uid) && !sizes.contains(&(uid, message.size));
                deleted.contains(uid) || has_changed
            })
        };
        let is_number = |message: &Listed| {
            let uid = message.uid.as_deref();
            uid.is_some_and(|uid| uid.parse() == Ok(message.number))
        };
        let reuses_ids = listed.iter().any(is_reused);
        self.reuses_ids |= reuses_ids;
        self.reuses_ids || listed.iter().all(is_number)
    }

    /// The messages that were not there at the end of the last session, and all that cannot be told from them. Of a
    /// maildrop not seen before, these are the newest if something `is_awaited`.
    pub(super) fn unread<'m>(
        &mut self,
        messages: &'m [Message],
        is_awaited: bool,
    ) -> Vec<&'m Message> {
        let Some(known) = &self.known else {
            let read = if is_awaited { READ_BACK } else { 0 };
            return messages
                .iter()
                .skip(messages.len().saturating_sub(read))
                .collect();
        };
        let before = tally(known.iter().flat_map(Message::keys));
        let now = tally(messages.iter().filter_map(Message::key));
        let count = |tally: &HashMap<Key<'_>, usize>, message: &Message| {
            let key = message.key();
            key.and_then(|key| tally.get(&key)).copied().unwrap_or(0)
        };
        let (read, unread): (Vec<_>, Vec<_>) = messages
            .iter()
            .partition(|message| count(&now, message) <= count(&before, message));
        let read: HashSet<_> = read.iter().filter_map(|message| message.key()).collect();
        let has_prints = messages.iter().any(|message| message.print.is_some());
        for copy in &mut self.copies {
            let id = copy.message.id().filter(|_| !has_prints);
            let print = Key::Print(&copy.print);
            copy.is_here = read.contains(&print) || id.is_some_and(|id| read.contains(&id));
        }
        unread
    }

    /// Takes note of what an unread message showed, and gives the id to report it with. A copy that is known and was
    /// moved keeps its id, so that it is not counted again.
    pub(super) fn saw(
        &mut self,
        message: &Message,
        header: &[u8],
        proof: Option<&Proof>,
    ) -> Option<Arc<str>> {
        let uid = message.listed.uid.as_deref();
        let proof = proof?;
        let print = fingerprint(header);
        let moved = self
            .copies
            .iter_mut()
            .find(|copy| !copy.is_here && copy.proof == *proof && copy.print == print);
        if let Some(copy) = moved {
            self.reuses_ids |= copy.message.listed.uid != message.listed.uid;
            copy.message = message.clone();
            copy.is_here = true;
            return Some(Arc::clone(&copy.id));
        }
        // The server did not delete it, whatever it said.
        let is_back = |copy: &&Copy| {
            let is_same = copy.proof == *proof && copy.print == print;
            is_same && copy.message.listed.uid.as_deref() == uid
        };
        if let Some(copy) = self.deleted.iter().find(is_back).cloned() {
            let id = Arc::clone(&copy.id);
            self.copies.push(Copy {
                message: message.clone(),
                is_here: true,
                ..copy
            });
            return Some(id);
        }
        let base = message.print.as_deref().or(uid).unwrap_or(&print);
        let is_free = |id: &String| self.copies.iter().all(|copy| *copy.id != **id);
        let mut names = std::iter::once(base.to_owned())
            .chain((2_usize..).map(|count| format!("{base}#{count}")));
        let id: Arc<str> = names.find(is_free)?.into();
        self.copies.push(Copy {
            id: Arc::clone(&id),
            message: message.clone(),
            print,
            proof: proof.clone(),
            is_here: true,
        });
        Some(id)
    }

    /// The copies to be deleted, with the messages of this listing that they may be.
    pub(super) fn disposable<'m>(
        &self,
        messages: &'m [Message],
    ) -> Vec<(Arc<str>, Proof, Vec<&'m Message>)> {
        self.copies
            .iter()
            .filter(|copy| self.backlog.contains(&copy.id))
            .map(|copy| {
                let here = messages.iter().filter(|message| copy.may_be(message));
                (Arc::clone(&copy.id), copy.proof.clone(), here.collect())
            })
            .collect()
    }

    /// An id turned out to belong to another message than the one that was reported with it.
    pub(super) fn distrust(&mut self) {
        self.reuses_ids = true;
    }

    /// The session is about to end, with these messages in the maildrop.
    pub(super) fn leave(&mut self, messages: Vec<Message>) {
        {
            let here: HashSet<_> = messages.iter().filter_map(Message::key).collect();
            self.copies
                .retain(|copy| copy.keys().any(|key| here.contains(&key)));
        }
        self.known = Some(messages);
    }

    /// The session has ended well: these messages, by number and copy, are deleted.
    pub(super) fn left(&mut self, deleted: &HashMap<u32, Option<Arc<str>>>) {
        self.backlog.clear();
        let ids: HashSet<_> = deleted.values().flatten().collect();
        let (gone, here) = std::mem::take(&mut self.copies)
            .into_iter()
            .partition(|copy| ids.contains(&copy.id));
        self.copies = here;
        let gone: Vec<Copy> = gone;
        self.deleted.retain(|copy| !ids.contains(&copy.id));
        self.deleted.extend(gone);
        let most = self.deleted.len().saturating_sub(REMEMBERED);
        self.deleted.drain(..most);
        if let Some(known) = &mut self.known {
            known.retain(|message| !deleted.contains_key(&message.listed.number));
        }
    }
}

fn tally<T: Eq + Hash>(items: impl Iterator<Item = T>) -> HashMap<T, usize> {
    let mut tally = HashMap::new();
    for item in items {
        *tally.entry(item).or_default() += 1;
    }
    tally
}

/// A digest of a message's header, without the fields that servers change later.
pub(super) fn fingerprint(message: &[u8]) -> String {
    let mut kept = Vec::new();
    let mut is_kept = true;
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        if line.trim_ascii().is_empty() {
            break;
        }
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            let name = name.trim_ascii().to_ascii_lowercase();
            is_kept = !VOLATILE.iter().any(|it| it.as_bytes() == name);
        }
        if is_kept {
            kept.extend_from_slice(line);
        }
    }
    HEXLOWER.encode(digest(&SHA256, &kept).as_ref())
}
