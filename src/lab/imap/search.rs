//! SEARCH: whether one message has what is asked for.

use imap_codec::imap_types::{
    core::AString,
    datetime::NaiveDate,
    search::SearchKey,
    sequence::{SeqOrUid, Sequence, SequenceSet},
};
use mail_parser::{DateTime, MessageParser};

use crate::lab::{
    fields,
    mailbox::{Flags, Stored},
    mime, stamp,
};

/// What `*` stands for.
pub(super) struct Limits {
    pub(super) last_number: usize,
    pub(super) last_uid: u32,
}

pub(super) struct Candidate<'a> {
    pub(super) number: usize,
    pub(super) message: &'a Stored,
}

impl Candidate<'_> {
    pub(super) fn matches(&self, key: &SearchKey<'_>, limits: &Limits) -> bool {
        let flags = &self.message.flags;
        let header = |name: &str, wanted: &AString<'_>| self.header_contains(name, wanted);
        let received = || stamp::day(self.message.received);
        match key {
            SearchKey::And(keys) => keys.as_ref().iter().all(|key| self.matches(key, limits)),
            SearchKey::Or(a, b) => self.matches(a, limits) || self.matches(b, limits),
            SearchKey::Not(key) => !self.matches(key, limits),
            SearchKey::All | SearchKey::Old => true,
            SearchKey::New | SearchKey::Recent => false,
            SearchKey::SequenceSet(set) => {
                let last = u32::try_from(limits.last_number).unwrap_or(u32::MAX);
                u32::try_from(self.number).is_ok_and(|number| contains(set, number, last))
            }
            SearchKey::Uid(set) => contains(set, self.message.uid, limits.last_uid),
            SearchKey::Answered => flags.has(Flags::ANSWERED),
            SearchKey::Unanswered => !flags.has(Flags::ANSWERED),
            SearchKey::Deleted => flags.has(Flags::DELETED),
            SearchKey::Undeleted => !flags.has(Flags::DELETED),
            SearchKey::Draft => flags.has(Flags::DRAFT),
            SearchKey::Undraft => !flags.has(Flags::DRAFT),
            SearchKey::Flagged => flags.has(Flags::FLAGGED),
            SearchKey::Unflagged => !flags.has(Flags::FLAGGED),
            SearchKey::Seen => flags.has(Flags::SEEN),
            SearchKey::Unseen => !flags.has(Flags::SEEN),
            SearchKey::Keyword(name) => flags.has_keyword(name.inner()),
            SearchKey::Unkeyword(name) => !flags.has_keyword(name.inner()),
            SearchKey::Larger(size) => self.size() > u64::from(*size),
            SearchKey::Smaller(size) => self.size() < u64::from(*size),
            SearchKey::From(wanted) => header("from", wanted),
            SearchKey::To(wanted) => header("to", wanted),
            SearchKey::Cc(wanted) => header("cc", wanted),
            SearchKey::Bcc(wanted) => header("bcc", wanted),
            SearchKey::Subject(wanted) => header("subject", wanted),
            SearchKey::Header(name, wanted) => {
                header(&String::from_utf8_lossy(name.as_ref()), wanted)
            }
            SearchKey::Body(wanted) => self.body_contains(wanted),
            SearchKey::Text(wanted) => {
                find(&self.message.bytes, wanted.as_ref()) || self.body_contains(wanted)
            }
            SearchKey::Before(date) => received() < day(date),
            SearchKey::On(date) => received() == day(date),
            SearchKey::Since(date) => received() >= day(date),
            SearchKey::SentBefore(date) => self.sent().is_some_and(|sent| sent < day(date)),
            SearchKey::SentOn(date) => self.sent().is_some_and(|sent| sent == day(date)),
            SearchKey::SentSince(date) => self.sent().is_some_and(|sent| sent >= day(date)),
        }
    }

    fn size(&self) -> u64 {
        self.message.bytes.len() as u64
    }

    fn header_contains(&self, name: &str, wanted: &AString<'_>) -> bool {
        let bytes = &self.message.bytes;
        let raw = fields::raw_fields(bytes)
            .filter(|field| fields::is_named(field, name))
            .any(|field| find(fields::value(field).as_bytes(), wanted.as_ref()));
        // The subject is the one field where people search for what they see.
        raw || (name.eq_ignore_ascii_case("subject") && {
            let header = bytes.get(..fields::body_start(bytes)).unwrap_or_default();
            let parsed = MessageParser::default().parse_headers(header);
            let subject = parsed.as_ref().and_then(|parsed| parsed.subject());
            subject.is_some_and(|subject| find(subject.as_bytes(), wanted.as_ref()))
        })
    }

    fn body_contains(&self, wanted: &AString<'_>) -> bool {
        let bytes = &self.message.bytes;
        let body = bytes.get(fields::body_start(bytes)..).unwrap_or_default();
        find(body, wanted.as_ref())
            || mime::text(bytes).is_some_and(|part| find(part.content.as_bytes(), wanted.as_ref()))
    }

    fn sent(&self) -> Option<String> {
        let date = fields::find(&self.message.bytes, "date")?;
        let date = DateTime::parse_rfc822(&date)?;
        Some(format!(
            "{:04}-{:02}-{:02}",
            date.year, date.month, date.day
        ))
    }
}

/// As [`stamp::day`] writes it.
fn day(date: &NaiveDate) -> String {
    date.as_ref().to_string()
}

/// Case-insensitive for ASCII, as servers commonly are.
fn find(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty()
        || haystack
            .windows(needle.len())
            .any(|window| window.eq_ignore_ascii_case(needle))
}

fn contains(set: &SequenceSet, number: u32, last: u32) -> bool {
    let value = |at: &SeqOrUid| match at {
        SeqOrUid::Value(value) => value.get(),
        SeqOrUid::Asterisk => last,
    };
    set.0.as_ref().iter().any(|sequence| match sequence {
        Sequence::Single(at) => value(at) == number,
        Sequence::Range(from, to) => {
            let (from, to) = (value(from), value(to));
            (from.min(to)..=from.max(to)).contains(&number)
        }
    })
}
