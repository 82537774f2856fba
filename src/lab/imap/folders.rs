//! Commands about folders: SELECT, LIST, STATUS, CREATE, APPEND.

use imap_codec::imap_types::{
    command::CommandBody,
    datetime::DateTime,
    flag::Flag,
    mailbox::{ListMailbox, Mailbox},
    status::StatusDataItemName,
};
use jiff::Timestamp;
use std::fmt::Write as _;

use super::{Answer, Session, view::View};
use crate::lab::{
    fault::kind::Kind,
    mailbox::{Flags, Folder, INBOX, JUNK, TRASH},
    stamp,
    wire::Stream,
};

impl<S: Stream> Session<S> {
    /// Commands that need a login and no selected folder.
    pub(super) fn unselected(&mut self, body: CommandBody<'_>) -> Answer {
        match body {
            CommandBody::Noop => Answer::ok("NOOP done"),
            CommandBody::Select { mailbox } => self.select(&name(&mailbox), false),
            CommandBody::Examine { mailbox } => self.select(&name(&mailbox), true),
            CommandBody::Create { mailbox } => {
                let created = self.site.mailbox.create(&name(&mailbox));
                if created {
                    Answer::ok("CREATE done")
                } else {
                    Answer::no("[ALREADYEXISTS] the folder exists")
                }
            }
            CommandBody::Subscribe { .. } => Answer::ok("SUBSCRIBE done"),
            CommandBody::Unsubscribe { .. } => Answer::ok("UNSUBSCRIBE done"),
            CommandBody::List {
                reference,
                mailbox_wildcard,
            } => self.list("LIST", &name(&reference), &mailbox_wildcard),
            CommandBody::Lsub {
                reference,
                mailbox_wildcard,
            } => self.list("LSUB", &name(&reference), &mailbox_wildcard),
            CommandBody::Status {
                mailbox,
                item_names,
            } => self.status(&name(&mailbox), &item_names),
            CommandBody::Append {
                mailbox,
                flags,
                date,
                message,
            } => {
                let bytes = match &message {
                    imap_codec::imap_types::extensions::binary::LiteralOrLiteral8::Literal(
                        literal,
                    ) => literal.data(),
                    imap_codec::imap_types::extensions::binary::LiteralOrLiteral8::Literal8(
                        literal,
                    ) => &literal.data,
                };
                self.append(&name(&mailbox), &flags, date.as_ref(), bytes)
            }
            CommandBody::Namespace => {
                self.untagged("* NAMESPACE ((\"\" \"/\")) NIL NIL");
                Answer::ok("NAMESPACE done")
            }
            CommandBody::Check
            | CommandBody::Close
            | CommandBody::Unselect
            | CommandBody::Expunge
            | CommandBody::ExpungeUid { .. }
            | CommandBody::Search { .. }
            | CommandBody::Fetch { .. }
            | CommandBody::Store { .. }
            | CommandBody::Copy { .. }
            | CommandBody::Move { .. } => Answer::bad("select a folder first"),
            _ => Answer::no("[CANNOT] not supported"),
        }
    }

    fn select(&mut self, name: &str, read_only: bool) -> Answer {
        // A failed SELECT leaves nothing selected.
        self.view = None;
        self.changed.borrow_and_update();
        let number = self.number;
        let selected = self.site.mailbox.with(name, |folder| {
            let first_unseen = folder
                .messages
                .iter()
                .position(|message| !message.flags.has(Flags::SEEN));
            let mut lines = format!(
                "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n\
                 * OK [PERMANENTFLAGS ({})] flags that stay\r\n\
                 * {} EXISTS\r\n* 0 RECENT\r\n\
                 * OK [UIDVALIDITY {}] these UIDs\r\n* OK [UIDNEXT {}] the next UID",
                if read_only {
                    ""
                } else {
                    "\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*"
                },
                folder.messages.len(),
                folder.validity,
                folder.next_uid,
            );
            if let Some(first) = first_unseen {
                let number = first + 1;
                let _ = write!(lines, "\r\n* OK [UNSEEN {number}] first unseen");
            }
            (lines, View::new(name.to_owned(), read_only, number, folder))
        });
        let Some((lines, view)) = selected else {
            return Answer::no("[NONEXISTENT] no such folder");
        };
        self.untagged(&lines);
        self.view = Some(view);
        Answer::ok(if read_only {
            "[READ-ONLY] EXAMINE done"
        } else {
            "[READ-WRITE] SELECT done"
        })
    }

    fn list(&mut self, command: &str, reference: &str, pattern: &ListMailbox<'_>) -> Answer {
        let pattern = match pattern {
            ListMailbox::Token(token) => token.as_ref(),
            ListMailbox::String(string) => string.as_ref(),
        };
        let pattern = format!("{reference}{}", String::from_utf8_lossy(pattern));
        if pattern.is_empty() {
            self.untagged(&format!("* {command} (\\Noselect) \"/\" \"\""));
        }
        let plain = self.site.faults.stands(Kind::NoSpecialUse) || command == "LSUB";
        let names: Vec<String> = self.site.mailbox.folders().keys().cloned().collect();
        for name in names {
            let use_of = match name.as_str() {
                JUNK if !plain => " \\Junk",
                TRASH if !plain => " \\Trash",
                _ => "",
            };
            let inbox = name == INBOX && matches(pattern.to_ascii_uppercase().as_bytes(), b"INBOX");
            if inbox || matches(pattern.as_bytes(), name.as_bytes()) {
                let name = quoted(&name);
                self.untagged(&format!(
                    "* {command} (\\HasNoChildren{use_of}) \"/\" {name}"
                ));
            }
        }
        Answer::Ok(format!("{command} done"))
    }

    fn status(&mut self, name: &str, items: &[StatusDataItemName]) -> Answer {
        let Some(values) = self.site.mailbox.with(name, |folder| {
            let values: Vec<String> = items.iter().map(|item| status_item(item, folder)).collect();
            values.join(" ")
        }) else {
            return Answer::no("[NONEXISTENT] no such folder");
        };
        self.untagged(&format!("* STATUS {} ({values})", quoted(name)));
        Answer::ok("STATUS done")
    }

    fn append(
        &mut self,
        name: &str,
        flags: &[Flag<'_>],
        date: Option<&DateTime>,
        bytes: &[u8],
    ) -> Answer {
        let mut set = Flags::default();
        for flag in flags {
            set.add(&flag.to_string());
        }
        let received = date
            .and_then(|date| Timestamp::from_second(date.as_ref().timestamp()).ok())
            .unwrap_or_else(stamp::now);
        let appended = self.site.mailbox.with(name, |folder| {
            let uid = folder.append(bytes.into(), set, received);
            (folder.validity, uid)
        });
        let Some((validity, uid)) = appended else {
            return Answer::no("[TRYCREATE] no such folder");
        };
        self.site.mailbox.announce();
        if self.site.faults.stands(Kind::NoUidplus) {
            Answer::ok("APPEND done")
        } else {
            Answer::Ok(format!("[APPENDUID {validity} {uid}] APPEND done"))
        }
    }
}

fn status_item(item: &StatusDataItemName, folder: &Folder) -> String {
    let count = |with: &dyn Fn(&Flags) -> bool| {
        let counted = folder
            .messages
            .iter()
            .filter(|message| with(&message.flags));
        counted.count()
    };
    match item {
        StatusDataItemName::Messages => format!("MESSAGES {}", folder.messages.len()),
        StatusDataItemName::Recent => "RECENT 0".to_owned(),
        StatusDataItemName::UidNext => format!("UIDNEXT {}", folder.next_uid),
        StatusDataItemName::UidValidity => format!("UIDVALIDITY {}", folder.validity),
        StatusDataItemName::Unseen => {
            format!("UNSEEN {}", count(&|flags| !flags.has(Flags::SEEN)))
        }
        StatusDataItemName::Deleted => {
            format!("DELETED {}", count(&|flags| flags.has(Flags::DELETED)))
        }
        StatusDataItemName::DeletedStorage => "DELETED-STORAGE 0".to_owned(),
    }
}

/// The name of a folder as the mailbox has it.
pub(super) fn name(mailbox: &Mailbox<'_>) -> String {
    match mailbox {
        Mailbox::Inbox => INBOX.to_owned(),
        Mailbox::Other(other) => String::from_utf8_lossy(other.as_ref()).into_owned(),
    }
}

/// A quoted string; what cannot stand in one is left out.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars().filter(|char| !char.is_control()) {
        if matches!(char, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(char);
    }
    quoted.push('"');
    quoted
}

/// Whether a LIST pattern matches: `*` is anything, `%` anything within one level.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Remembers the last wildcard instead of recursing, so that no pattern takes long.
    let (mut at, mut read) = (0, 0);
    let mut wildcard = None;
    loop {
        match (pattern.get(at), name.get(read)) {
            (None, None) => return true,
            (Some(b'*' | b'%'), _) => {
                wildcard = Some((at, read));
                at += 1;
                continue;
            }
            (Some(wanted), Some(found)) if wanted == found => {
                at += 1;
                read += 1;
                continue;
            }
            _ => {}
        }
        let Some((star, taken)) = wildcard else {
            return false;
        };
        let is_level = pattern.get(star) == Some(&b'%');
        if name.get(taken).is_none_or(|&byte| is_level && byte == b'/') {
            return false;
        }
        wildcard = Some((star, taken + 1));
        at = star + 1;
        read = taken + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_patterns() {
        for (pattern, name, wanted) in [
            ("*", "INBOX", true),
            ("%", "INBOX", true),
            ("%", "a/b", false),
            ("*", "a/b", true),
            ("a/%", "a/b", true),
            ("J*k", "Junk", true),
            ("Junk", "Trash", false),
            ("", "Junk", false),
            ("%n%", "Junk", true),
        ] {
            let found = matches(pattern.as_bytes(), name.as_bytes());
            assert_eq!(found, wanted, "{pattern} {name}");
        }
    }
}
