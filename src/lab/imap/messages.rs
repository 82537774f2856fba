//! Commands about the messages of the selected folder, but FETCH: STORE, COPY, MOVE, EXPUNGE, SEARCH.

use imap_codec::imap_types::{
    command::CommandBody,
    flag::{Flag, StoreResponse, StoreType},
    sequence::SequenceSet,
};
use std::fmt::Write as _;

use super::{
    Answer, Session,
    folders::name,
    search::{self, Candidate},
    view::uid_set,
};
use crate::lab::{
    fault::kind::Kind,
    mailbox::{Flags, Stored},
    wire::{Stream, WireError},
};

impl<S: Stream> Session<S> {
    /// Commands while a folder is selected; those that need none are passed on.
    pub(super) async fn selected(&mut self, body: CommandBody<'_>) -> Result<Answer, WireError> {
        let faults = &self.site.faults;
        Ok(match body {
            CommandBody::Check => Answer::ok("CHECK done"),
            CommandBody::Unselect => {
                self.view = None;
                Answer::ok("UNSELECT done")
            }
            CommandBody::Close => {
                self.expunge(None);
                self.view = None;
                Answer::ok("CLOSE done")
            }
            CommandBody::Expunge => self.expunge(None),
            CommandBody::ExpungeUid { .. } if faults.stands(Kind::NoUidplus) => {
                Answer::bad("UIDPLUS is not offered")
            }
            CommandBody::ExpungeUid { sequence_set } => self.expunge(Some(&sequence_set)),
            CommandBody::Search { criteria, uid, .. } => {
                let found = self.search(criteria.as_ref(), uid);
                let mut line = "* SEARCH".to_owned();
                for number in found {
                    let _ = write!(line, " {number}");
                }
                self.untagged(&line);
                Answer::ok("SEARCH done")
            }
            CommandBody::Fetch {
                sequence_set,
                macro_or_item_names,
                uid,
            } => {
                let items = macro_or_item_names;
                return self.fetch(&sequence_set, items, uid).await;
            }
            CommandBody::Store {
                sequence_set,
                kind,
                response,
                flags,
                uid,
            } => {
                let silent = response == StoreResponse::Silent;
                self.store(&sequence_set, uid, kind, &flags, silent)
            }
            CommandBody::Copy {
                sequence_set,
                mailbox,
                uid,
            } => match self.copy(&sequence_set, uid, &name(&mailbox)) {
                Some((code, _)) => Answer::Ok(format!("{code}COPY done")),
                None => Answer::no("[TRYCREATE] no such folder"),
            },
            CommandBody::Move { .. } if faults.stands(Kind::NoMove) => {
                Answer::bad("MOVE is not offered")
            }
            CommandBody::Move {
                sequence_set,
                mailbox,
                uid,
            } => self.move_to(&sequence_set, uid, &name(&mailbox)),
            body => self.unselected(body),
        })
    }

    /// The messages of a set that are still there, with their sequence numbers.
    pub(super) fn messages(&self, set: &SequenceSet, by_uid: bool) -> Vec<(usize, Stored)> {
        let Some(view) = &self.view else {
            return Vec::new();
        };
        let wanted = view.resolve(set, by_uid);
        let found = self.site.mailbox.with(&view.folder, |folder| {
            let stored = |(number, uid)| Some((number, folder.message(uid)?.clone()));
            wanted.into_iter().filter_map(stored).collect()
        });
        found.unwrap_or_default()
    }

    fn expunge(&mut self, within: Option<&SequenceSet>) -> Answer {
        let Some(view) = &self.view else {
            return Answer::bad("select a folder first");
        };
        if view.read_only {
            return Answer::no("[READ-ONLY] the folder was opened with EXAMINE");
        }
        let within = within.map(|set| view.resolve(set, true));
        self.site.mailbox.with(&view.folder, |folder| {
            let deleted = match within {
                None => folder.deleted(),
                Some(within) => within
                    .into_iter()
                    .map(|(_, uid)| uid)
                    .filter(|&uid| {
                        let message = folder.message(uid);
                        message.is_some_and(|message| message.flags.has(Flags::DELETED))
                    })
                    .collect(),
            };
            folder.expunge(&deleted);
        });
        self.site.mailbox.announce();
        Answer::ok("EXPUNGE done")
    }

    fn store(
        &mut self,
        set: &SequenceSet,
        by_uid: bool,
        kind: StoreType,
        flags: &[Flag<'_>],
        silent: bool,
    ) -> Answer {
        let Some(view) = &self.view else {
            return Answer::bad("select a folder first");
        };
        if view.read_only {
            return Answer::no("[READ-ONLY] the folder was opened with EXAMINE");
        }
        let names: Vec<String> = flags.iter().map(ToString::to_string).collect();
        let change = |flags: &mut Flags| {
            if kind == StoreType::Replace {
                *flags = Flags::default();
            }
            for name in &names {
                match kind {
                    StoreType::Remove => flags.remove(name),
                    StoreType::Add | StoreType::Replace => flags.add(name),
                }
            }
        };
        let wanted = view.resolve(set, by_uid);
        let number = self.number;
        let lines = self.site.mailbox.with(&view.folder, |folder| {
            let mut lines = String::new();
            for (sequence, uid) in wanted {
                if let Some(now) = folder.flag(uid, number, change)
                    && !silent
                {
                    let uid = if by_uid {
                        format!("UID {uid} ")
                    } else {
                        String::new()
                    };
                    let now = now.names();
                    let _ = write!(lines, "* {sequence} FETCH ({uid}FLAGS ({now}))\r\n");
                }
            }
            lines
        });
        self.wire.push(lines.unwrap_or_default().as_bytes());
        self.site.mailbox.announce();
        Answer::ok("STORE done")
    }

    /// Copies and returns the COPYUID code with the UIDs that were copied.
    fn copy(&mut self, set: &SequenceSet, by_uid: bool, to: &str) -> Option<(String, Vec<u32>)> {
        let messages = self.messages(set, by_uid);
        let sources: Vec<u32> = messages.iter().map(|(_, message)| message.uid).collect();
        let (validity, copies) = self.site.mailbox.with(to, |folder| {
            let copies: Vec<u32> = messages
                .into_iter()
                .map(|(_, message)| folder.append(message.bytes, message.flags, message.received))
                .collect();
            (folder.validity, copies)
        })?;
        self.site.mailbox.announce();
        if sources.is_empty() || self.site.faults.stands(Kind::NoUidplus) {
            return Some((String::new(), sources));
        }
        let code = format!(
            "[COPYUID {validity} {} {}] ",
            uid_set(&sources),
            uid_set(&copies)
        );
        Some((code, sources))
    }

    fn move_to(&mut self, set: &SequenceSet, by_uid: bool, to: &str) -> Answer {
        let folder = match &self.view {
            Some(view) if !view.read_only => view.folder.clone(),
            _ => return Answer::no("[READ-ONLY] the folder was opened with EXAMINE"),
        };
        let Some((code, moved)) = self.copy(set, by_uid, to) else {
            return Answer::no("[TRYCREATE] no such folder");
        };
        // RFC 6851 section 4.3: before the EXPUNGE responses that the next sync writes.
        if !code.is_empty() {
            self.untagged(&format!("* OK {code}moved"));
        }
        self.site
            .mailbox
            .with(&folder, |folder| folder.expunge(&moved));
        self.site.mailbox.announce();
        Answer::ok("MOVE done")
    }

    fn search(
        &self,
        criteria: &[imap_codec::imap_types::search::SearchKey<'_>],
        by_uid: bool,
    ) -> Vec<String> {
        let Some(view) = &self.view else {
            return Vec::new();
        };
        let everything: Vec<(usize, Stored)> = self
            .site
            .mailbox
            .with(&view.folder, |folder| {
                let stored = |(number, uid)| Some((number, folder.message(uid)?.clone()));
                view.all().filter_map(stored).collect()
            })
            .unwrap_or_default();
        let limits = search::Limits {
            last_number: view.len(),
            last_uid: everything.last().map_or(0, |(_, message)| message.uid),
        };
        everything
            .iter()
            .filter(|(number, message)| {
                let candidate = Candidate {
                    number: *number,
                    message,
                };
                criteria.iter().all(|key| candidate.matches(key, &limits))
            })
            .map(|(number, message)| {
                if by_uid {
                    message.uid.to_string()
                } else {
                    number.to_string()
                }
            })
            .collect()
    }
}
