//! What one session knows of its folder: the sequence numbers, and how news reaches them.

use std::fmt::Write as _;
use std::{collections::VecDeque, io::Write as _, ops::Range};

use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet};

use crate::lab::mailbox::{Change, Folder};

/// A selected folder as its session sees it.
pub(super) struct View {
    pub(super) folder: String,
    pub(super) read_only: bool,
    validity: u32,
    session: u64,
    /// The UID at each sequence number, the first being number 1.
    uids: VecDeque<u32>,
    /// The folder's changes up to here are known.
    revision: u64,
    /// Messages from this UID on are not known yet.
    next_uid: u32,
}

impl View {
    pub(super) fn new(name: String, read_only: bool, session: u64, folder: &Folder) -> Self {
        View {
            folder: name,
            read_only,
            validity: folder.validity,
            session,
            uids: folder.messages.iter().map(|message| message.uid).collect(),
            revision: folder.revision(),
            next_uid: folder.next_uid,
        }
    }

    /// Writes what changed since the last time; false when the UIDs are others than they were.
    pub(super) fn sync(&mut self, folder: &Folder, out: &mut Vec<u8>) -> bool {
        if folder.validity != self.validity {
            return false;
        }
        if folder.revision() != self.revision {
            match folder.changes_since(self.revision) {
                Some(changes) => self.follow(changes, folder, out),
                None => self.compare(folder, out),
            }
            self.revision = folder.revision();
        }
        if folder.next_uid != self.next_uid {
            let new = folder.messages.range(folder.position(self.next_uid)..);
            let before = self.uids.len();
            self.uids.extend(new.map(|message| message.uid));
            self.next_uid = folder.next_uid;
            if self.uids.len() > before {
                let _ = write!(out, "* {} EXISTS\r\n", self.uids.len());
            }
        }
        true
    }

    fn follow(
        &mut self,
        changes: impl Iterator<Item = Change>,
        folder: &Folder,
        out: &mut Vec<u8>,
    ) {
        for change in changes {
            match change {
                Change::Expunged(uid) => {
                    if let Ok(at) = self.uids.binary_search(&uid) {
                        self.uids.remove(at);
                        let _ = write!(out, "* {} EXPUNGE\r\n", at + 1);
                    }
                }
                Change::Flagged(uid, by) if by != self.session => {
                    let at = self.uids.binary_search(&uid);
                    if let (Ok(at), Some(message)) = (at, folder.message(uid)) {
                        let (number, flags) = (at + 1, message.flags.names());
                        let _ = write!(out, "* {number} FETCH (UID {uid} FLAGS ({flags}))\r\n");
                    }
                }
                Change::Flagged(..) => {}
            }
        }
    }

    /// For a session that fell behind further than the folder remembers.
    fn compare(&mut self, folder: &Folder, out: &mut Vec<u8>) {
        let mut present = folder.messages.iter().map(|message| message.uid).peekable();
        let mut number = 0_usize;
        self.uids.retain(|&uid| {
            while present.next_if(|&other| other < uid).is_some() {}
            let stays = present.next_if_eq(&uid).is_some();
            if stays {
                number += 1;
            } else {
                let _ = write!(out, "* {} EXPUNGE\r\n", number + 1);
            }
            stays
        });
    }

    /// The sequence numbers and UIDs in a set, in ascending order.
    pub(super) fn resolve(&self, set: &SequenceSet, by_uid: bool) -> Vec<(usize, u32)> {
        let mut ranges: Vec<Range<usize>> = set
            .0
            .as_ref()
            .iter()
            .map(|sequence| self.range(sequence, by_uid))
            .collect();
        ranges.sort_by_key(|range| range.start);
        let mut resolved = Vec::new();
        let mut done = 0;
        for range in ranges {
            let start = range.start.max(done);
            let uids = self.uids.range(start..range.end.max(start));
            resolved.extend((start + 1..).zip(uids.copied()));
            done = done.max(range.end);
        }
        resolved
    }

    fn range(&self, sequence: &Sequence, by_uid: bool) -> Range<usize> {
        let highest = if by_uid {
            self.uids.back().copied().unwrap_or(0)
        } else {
            u32::try_from(self.uids.len()).unwrap_or(u32::MAX)
        };
        let number = |at: &SeqOrUid| match at {
            SeqOrUid::Value(value) => value.get(),
            SeqOrUid::Asterisk => highest,
        };
        let (from, to) = match sequence {
            Sequence::Single(at) => (number(at), number(at)),
            Sequence::Range(from, to) => (number(from), number(to)),
        };
        // `n:*` with n beyond the last message means the last message (RFC 3501 section 6.4.8).
        let (low, high) = (from.min(to), from.max(to));
        let position = |value: u32| {
            if by_uid {
                self.uids.partition_point(|&uid| uid < value)
            } else {
                usize::try_from(value.saturating_sub(1)).map_or(0, |at| at.min(self.uids.len()))
            }
        };
        position(low)..position(high.saturating_add(1))
    }

    /// Every message of the view, as `resolve` would return it.
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, u32)> {
        (1..).zip(self.uids.iter().copied())
    }

    pub(super) fn len(&self) -> usize {
        self.uids.len()
    }
}

/// UIDs as a set, runs shortened: `3:7,9`.
pub(super) fn uid_set(uids: &[u32]) -> String {
    let mut set = String::new();
    for run in uids.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            if !set.is_empty() {
                set.push(',');
            }
            set.push_str(&first.to_string());
            if first != last {
                let _ = write!(set, ":{last}");
            }
        }
    }
    set
}
