//! The lab's switchboard: faults added, cleared and listed by one-line commands.

use std::{
    fmt::Write as _,
    sync::{Arc, atomic::Ordering},
};

use super::{
    fault::{Fault, FaultError, kind::Kind, nearest},
    mailbox::{Flags, INBOX},
    notice,
    site::Site,
    stamp,
};

const COMMANDS: [(&str, &str); 5] = [
    ("add", "add FAULT: from now on"),
    ("clear", "clear [KIND]: no fault, or none of this kind"),
    ("list", "the faults that stand, and how often each hit"),
    ("status", "what the lab did, and what lies in the mailbox"),
    ("help", "these commands, and all faults"),
];

/// Changes the faults of a running lab. Clones act on the same lab.
#[derive(Clone)]
pub struct Control {
    site: Arc<Site>,
}

impl Control {
    pub(crate) fn new(site: Arc<Site>) -> Self {
        Control { site }
    }

    /// Carries out one command line and returns what to show for it.
    pub fn command(&self, line: &str) -> Result<String, FaultError> {
        let line = line.trim();
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (command, rest.trim()) {
            ("add", "") => Err(FaultError::Value {
                kind: "add",
                wanted: "a fault such as `delay=2s`",
                given: String::new(),
            }),
            ("add", fault) => {
                let fault: Fault = fault.parse()?;
                let shown = fault.to_string();
                self.add(fault);
                Ok(format!("added {shown}"))
            }
            ("clear", "") => Ok(self.clear(None)),
            ("clear", kind) => Ok(self.clear(Some(kind.parse()?))),
            ("list", "") => Ok(self.list()),
            ("status", "") => Ok(self.status()),
            ("help", "") => Ok(help()),
            _ => Err(FaultError::UnknownCommand {
                given: line.to_owned(),
                nearest: nearest(command, COMMANDS.iter().map(|(name, _)| *name)),
            }),
        }
    }

    /// Arms a fault, or lets it happen when it is of the kind that happens once.
    pub(crate) fn add(&self, fault: Fault) {
        tracing::info!(target: "lab", %fault, "fault added");
        match fault.kind {
            Kind::ImapDown => {
                let until = stamp::instant(fault.span());
                self.site.imap_down.send_replace(Some(until));
            }
            Kind::Uidvalidity => self.site.mailbox.renumber(),
            Kind::Foreign => self.add_foreign(usize::try_from(fault.count()).unwrap_or(0)),
            _ => self.site.faults.add(fault),
        }
    }

    /// Puts messages of other people into INBOX.
    pub(crate) fn add_foreign(&self, count: usize) {
        let now = stamp::now();
        let date = stamp::rfc5322(now);
        let mailbox = &self.site.mailbox;
        mailbox.with(INBOX, |inbox| {
            for _ in 0..count {
                let number = self.site.numbers.fetch_add(1, Ordering::Relaxed);
                let letter = notice::foreign(number, &date);
                inbox.append(letter.into(), Flags::default(), now);
            }
        });
        mailbox.announce();
    }

    fn clear(&self, kind: Option<Kind>) -> String {
        let mut gone = self.site.faults.clear(kind);
        if kind.is_none_or(|kind| kind == Kind::ImapDown) {
            let was_down = self.site.imap_down.send_replace(None).is_some();
            gone += usize::from(was_down);
        }
        tracing::info!(target: "lab", gone, "faults cleared");
        format!("cleared {gone}")
    }

    fn list(&self) -> String {
        let standing = self.site.faults.standing();
        if standing.is_empty() {
            return "no faults".to_owned();
        }
        let lines = standing.iter().map(|standing| {
            let hits = standing.hits();
            if hits == 0 {
                standing.fault.to_string()
            } else {
                format!("{} (hit {hits} times)", standing.fault)
            }
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn status(&self) -> String {
        let counts = &self.site.counts;
        let down = self.site.imap_down.borrow().is_some();
        let mut status = format!(
            "accepted {}, delivered {}, quarantined {}, faults {}, IMAP {}",
            counts.accepted.load(Ordering::Relaxed),
            counts.delivered.load(Ordering::Relaxed),
            counts.quarantined.load(Ordering::Relaxed),
            self.site.faults.standing().len(),
            if down { "down" } else { "up" },
        );
        for (name, folder) in self.site.mailbox.folders().iter() {
            let _ = write!(
                status,
                "\n{name}: {} messages, UIDNEXT {}, UIDVALIDITY {}",
                folder.messages.len(),
                folder.next_uid,
                folder.validity
            );
        }
        status
    }
}

fn help() -> String {
    let mut help = String::from("commands:\n");
    for (name, about) in COMMANDS {
        let _ = writeln!(help, "  {name:<8} {about}");
    }
    help.push_str("\nfaults, ");
    help.push_str(&Fault::catalogue());
    help
}
