//! What a message in the mailbox tells: of a copy, what became of its payload and what filters wrote on it; of a report,
//! what it says of the delivery.

mod bounce;
mod integrity;
mod marks;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

pub use bounce::bounce;

use crate::clock::Stamp;
use crate::probe::facts::{SeenBy, Sighting, Uid};
use crate::probe::mail::Mail;
use crate::probe::message::{Carrier, Manifest};
use crate::probe::outcome::Outcome;
use crate::probe::record::Mark;

/// A copy, judged by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// When it was seen.
    pub seen: Stamp,
    /// How it was noticed.
    pub by: SeenBy,
    /// When its folder was last looked at before.
    pub looked_before: Option<Stamp>,
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
    pub marks: BTreeMap<String, Mark>,
}

/// Judges a sighted copy by itself: altered before junked before tagged before delivered.
pub fn copy(sighting: &Sighting, manifest: &Manifest, prefixes: &[String]) -> Copy {
    let mail = Mail::parse(&sighting.raw);
    let marks = mail
        .as_ref()
        .map(|mail| marks::read(mail, prefixes))
        .unwrap_or_default();
    let intact = mail
        .as_ref()
        .is_some_and(|mail| integrity::holds(mail, manifest));
    let outcome = if !intact {
        Outcome::Altered
    } else if sighting.place.junk {
        Outcome::Junked
    } else if marks.values().any(|mark| mark.positive) {
        Outcome::Tagged
    } else {
        Outcome::Delivered
    };
    Copy {
        seen: sighting.seen,
        by: sighting.by,
        looked_before: sighting.looked_before,
        delivered_at: sighting.delivered_at,
        folder: Arc::clone(&sighting.place.folder),
        uid: sighting.place.uid.clone(),
        size: sighting.size,
        outcome,
        carriers: sighting.recognised.carriers.clone(),
        marks,
    }
}
