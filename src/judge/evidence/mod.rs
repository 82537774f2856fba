//! What a message in the mailbox tells: of a copy, what became of its payload, what filters wrote on it, which servers it
//! passed and what they say of its sender; of a report, what it says of the delivery.

mod authentication;
mod blocklist;
mod bounce;
mod hops;
mod integrity;
mod marks;
mod stopped;
mod submission;

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use authentication::authentication;
pub(super) use blocklist::named as named_blocklist;
pub use bounce::bounce;
pub use hops::{Hops, hops};
pub use marks::SCORES;
pub use stopped::stopped_by;
pub use submission::{is_from, shows_submission};

use crate::clock::Stamp;
use crate::config::plan::MarkRule;
use crate::probe::authentication::Authentication;
use crate::probe::evidence::{Integrity, Marks};
use crate::probe::facts::{SeenBy, Sighting, Uid};
use crate::probe::mail::Mail;
use crate::probe::manifest::Manifest;
use crate::probe::message::{self, Carrier, Draft};
use crate::probe::outcome::Outcome;

/// A copy, judged by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    /// When it was seen.
    pub seen: Stamp,
    /// How it was noticed.
    pub by: SeenBy,
    /// When its folder was last looked at before.
    pub looked_before: Option<Stamp>,
    /// Whether its mailbox could not be read at some time since then.
    #[serde(default)]
    pub was_unreadable: bool,
    /// When the server says it was delivered.
    pub delivered_at: Option<Timestamp>,
    /// The folder it lay in.
    pub folder: Arc<str>,
    /// Its id there.
    pub uid: Uid,
    /// Its size in bytes.
    pub size: u32,
    /// `delivered`, `tagged`, `junked` or `altered`.
    pub outcome: Outcome,
    /// Where it carried the tag.
    pub carriers: Vec<Carrier>,
    /// What filters wrote on it.
    pub marks: Marks,
    /// Whether it still holds the payload; of a harmful one also, whether it may.
    pub holds: bool,
    /// What became of each part of it.
    pub integrity: Box<Integrity>,
    /// The servers it passed.
    pub hops: Hops,
    /// What servers say of who sent it.
    pub authentication: Authentication,
}

/// The size by which a server may change a message that it renumbers: an mbox keeps lines of its own in its messages.
const REWRITTEN: u32 = 256;

impl Copy {
    /// Whether both are one message in one place.
    pub fn is_at(&self, other: &Self) -> bool {
        self.folder == other.folder && self.uid == other.uid
    }

    /// Whether a new UIDVALIDITY made this message the other one, as far as can be told.
    pub fn became(&self, other: &Self) -> bool {
        let (Uid::Imap { validity: old, .. }, Uid::Imap { validity: new, .. }) =
            (&self.uid, &other.uid)
        else {
            return false;
        };
        old != new
            && self.folder == other.folder
            && self.delivered_at == other.delivered_at
            && self.size.abs_diff(other.size) <= REWRITTEN
            && self.hops == other.hops
    }
}

/// What a route says of how its copies are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// What means that a filter marked the message, besides the fields that filters are known by.
    pub marks: &'a [MarkRule],
    /// Servers whose Authentication-Results count; none: whoever wrote the topmost.
    pub authserv_ids: &'a [String],
}

/// Judges a sighted copy of a draft by itself: altered before junked before tagged before delivered.
pub fn copy(
    sighting: &Sighting,
    draft: &Draft<'_>,
    manifest: &Manifest,
    settings: Settings<'_>,
) -> Copy {
    let mail = Mail::parse(&sighting.raw);
    let sent = message::header(draft).unwrap_or_default();
    let inspected = integrity::inspect(
        mail.as_ref(),
        Mail::parse(&sent).as_ref(),
        manifest,
        !sighting.whole,
    );
    let marks = mail
        .as_ref()
        .map(|mail| Marks::from(marks::read(mail, settings.marks)))
        .unwrap_or_default();
    let hops = mail.as_ref().map(|mail| {
        let tag = draft.tag.to_string();
        hops(mail, |field| {
            let text = String::from_utf8_lossy(field);
            text.to_ascii_lowercase().contains(&tag)
        })
    });
    let authentication = mail
        .as_ref()
        .map(|mail| authentication(mail, settings.authserv_ids));
    let outcome = if !inspected.holds {
        Outcome::Altered
    } else if sighting.place.junk {
        Outcome::Junked
    } else if marks.positive().next().is_some() {
        Outcome::Tagged
    } else {
        Outcome::Delivered
    };
    Copy {
        seen: sighting.seen,
        by: sighting.by,
        looked_before: sighting.looked_before,
        was_unreadable: false,
        delivered_at: sighting.delivered_at,
        folder: Arc::clone(&sighting.place.folder),
        uid: sighting.place.uid.clone(),
        size: sighting.size,
        outcome,
        carriers: sighting.recognised.carriers.clone(),
        marks,
        holds: inspected.holds,
        integrity: Box::new(inspected.integrity),
        hops: hops.unwrap_or_default(),
        authentication: authentication.unwrap_or_default(),
    }
}
