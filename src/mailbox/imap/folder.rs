//! A watched folder: what in it is new, and what of that is ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use async_imap::imap_proto::{AttributeValue, Response};
use jiff::Timestamp;

use super::session::{FolderStatus, ImapError, Session, uid_set};
use crate::clock::Stamp;
use crate::mailbox::Wires;
use crate::probe::facts::{Place, SeenBy, Sighting, Uid};
use crate::probe::message::{BODY_SEARCHED, Kind, recognise};
use crate::probe::name::MailboxName;
use crate::probe::tag::{Signer, Tag};

/// Of a header, this much is fetched.
const HEADER_FETCHED: usize = 64 * 1024;
/// More headers in one answer than any mailbox gets between two looks are not taken.
const HEADERS_AT_MOST: usize = 100_000;
/// A copy longer than what is searched is read on in slices of this size.
const SLICE: usize = 4 * 1024 * 1024;
/// Of a folder's newest messages so many are looked through for leftovers.
const SWEPT: u32 = 500;
/// So many bodies are asked for in one command.
const BODIES_AT_ONCE: usize = 64;
/// Messages in one step back when the place to begin at is not known.
const STEP_BACK: u32 = 100;
/// The newest messages, which are read whatever their dates are when the place to begin at is not known.
const READ_AT_LEAST: u32 = 500;
/// The most messages that are read then.
const READ_AT_MOST: u32 = 2000;
/// How far an arrival time may be off: a lost time zone, or twelve hours taken for the other twelve.
const DATE_SLACK: Duration = Duration::from_hours(26);
/// The most messages that are remembered as shown; others are fetched again before they are cleaned up.
const SHOWN_AT_MOST: usize = 10_000;

/// Where reading a folder goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    validity: u32,
    next: u32,
}

/// A watched folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    mailbox: MailboxName,
    /// Its name, decoded.
    pub(super) name: Arc<str>,
    /// Whether it is the junk folder.
    pub(super) junk: bool,
    cursor: Option<Cursor>,
    looked: Option<Stamp>,
    /// Older messages that were told of, by their UIDVALIDITY and UID.
    recalled: BTreeSet<(u32, u32)>,
    /// The tags that this session has shown, by UIDVALIDITY and UID.
    shown: BTreeMap<(u32, u32), Tag>,
    /// Copies of probes sent before this may lie below the messages that are read.
    pub(super) unread_before: Option<Stamp>,
}

/// A message whose header was read.
struct Header {
    uid: u32,
    delivered_at: Option<Timestamp>,
    size: u32,
    seen: Stamp,
}

impl Folder {
    pub(super) fn new(mailbox: MailboxName, name: &str, junk: bool) -> Self {
        Self {
            mailbox,
            name: name.into(),
            junk,
            cursor: None,
            looked: None,
            recalled: BTreeSet::new(),
            shown: BTreeMap::new(),
            unread_before: None,
        }
    }

    /// A new session has shown nothing yet.
    pub(super) fn enter_session(&mut self) {
        self.shown.clear();
    }

    /// Its name, and the UIDVALIDITY it was last read under.
    pub(super) fn selected(&self) -> (Arc<str>, u32) {
        (
            Arc::clone(&self.name),
            self.cursor.map_or(0, |cursor| cursor.validity),
        )
    }

    /// Whether `status` says that something may be new here.
    pub(super) fn has_news(&self, status: FolderStatus) -> bool {
        self.cursor.is_none_or(|cursor| {
            cursor.validity != status.validity
                || uid_next(status).is_none_or(|next| next != cursor.next)
        })
    }

    /// Takes up reading in a folder just selected. Where there is no place to go on from, it is where mail may begin that
    /// arrived after `since`, or the end if nothing is awaited.
    pub(super) async fn take_up(
        &mut self,
        session: &mut Session,
        status: FolderStatus,
        since: Option<Timestamp>,
    ) -> Result<(), ImapError> {
        // UIDs only ever go up, unless the server has begun anew without a word.
        let goes_on = self.cursor.is_some_and(|cursor| {
            cursor.validity == status.validity
                && uid_next(status).is_none_or(|next| next >= cursor.next)
        });
        if goes_on {
            return Ok(());
        }
        let end = match uid_next(status) {
            Some(next) => next,
            None => last_uid(session, status.exists).await?.saturating_add(1),
        };
        // What came while the UIDs were changed may be a second copy of what nobody awaits any more.
        let looked = self.cursor.and(self.looked).map(|looked| looked.wall);
        let next = match since.or(looked) {
            Some(since) => {
                let (first, is_all) = first_uid_since(session, status.exists, since).await?;
                self.unread_before = (!is_all).then(Stamp::now);
                first.unwrap_or(end)
            }
            None => end,
        };
        self.cursor = Some(Cursor {
            validity: status.validity,
            next,
        });
        Ok(())
    }

    /// The folder, which is selected, was looked at without anything new in it.
    pub(super) fn looked(&mut self, begun: Stamp) {
        self.looked = Some(begun);
    }

    /// Reads what is new in the selected folder, and tells what of it is of interest. Whether there was something.
    pub(super) async fn read_new(
        &mut self,
        session: &mut Session,
        signer: &Signer,
        (begun, by): (Stamp, SeenBy),
        wires: &Wires,
    ) -> Result<bool, ImapError> {
        let Some(cursor) = self.cursor else {
            return Ok(false);
        };
        if session.is_empty() {
            // Some servers answer a FETCH with BAD where there is nothing.
            self.looked = Some(begun);
            return Ok(false);
        }
        let mut headers = Vec::new();
        let mut last = cursor.next.saturating_sub(1);
        let command = format!(
            "UID FETCH {}:* (UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER]<0.{HEADER_FETCHED}>)",
            cursor.next
        );
        session
            .run(&command, |response| {
                let Some(message) = Fetched::of(response) else {
                    return;
                };
                // `n:*` names the last message even when it is older than n (RFC 9051 §6.4.8).
                if message.uid >= cursor.next && headers.len() < HEADERS_AT_MOST {
                    last = last.max(message.uid);
                    let header = Header {
                        uid: message.uid,
                        delivered_at: message.delivered_at,
                        size: message.size,
                        seen: Stamp::now(),
                    };
                    let tagged = recognise(message.text(), signer).tag.is_some();
                    headers.push((header, tagged));
                }
            })
            .await?;
        // Foreign mail, however much, does not hold up what the header already told.
        headers.sort_by_key(|(_, tagged)| !tagged);
        let ours = headers.iter().take_while(|(_, tagged)| *tagged).count();
        let (ours, others) = headers.split_at(ours);
        let largest_copy = wires.interest.borrow().largest_copy();
        let mut something = false;
        for chunk in ours
            .chunks(BODIES_AT_ONCE)
            .chain(others.chunks(BODIES_AT_ONCE))
        {
            let mut found = self
                .read_bodies(session, signer, (begun, by), chunk)
                .await?;
            for sighting in found.iter_mut().filter(|sighting| !sighting.whole) {
                read_rest(session, sighting, largest_copy).await?;
            }
            something |= !found.is_empty();
            wires.sighted(&self.mailbox, found).await;
        }
        self.cursor = Some(Cursor {
            next: last.saturating_add(1),
            ..cursor
        });
        self.looked = Some(begun);
        Ok(something)
    }

    /// Reads a batch of older messages of the selected folder, up to the sequence number `end`, and tells of those that are of
    /// our own instance. Where to go on, and how many were others' or known; `None`: there are no older ones.
    pub(super) async fn read_back(
        &mut self,
        session: &mut Session,
        (signer, wires): (&Signer, &Wires),
        end: u32,
        begun: Stamp,
    ) -> Result<Option<(u32, u32)>, ImapError> {
        let Some(cursor) = self.cursor.filter(|_| end > 0) else {
            return Ok(None);
        };
        let begin = end.saturating_sub(SWEPT - 1).max(1);
        let command = format!(
            "FETCH {begin}:{end} (UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER]<0.{HEADER_FETCHED}>)"
        );
        let mut ours = Vec::new();
        session
            .run(&command, |response| {
                let Some(message) = Fetched::of(response) else {
                    return;
                };
                let tag = recognise(message.text(), signer).tag;
                let is_ours = tag.is_some_and(|tag| tag.instance() == signer.instance());
                let is_known = self.recalled.contains(&(cursor.validity, message.uid));
                if is_ours && !is_known && message.uid < cursor.next {
                    let header = Header {
                        uid: message.uid,
                        delivered_at: message.delivered_at,
                        size: message.size,
                        seen: Stamp::now(),
                    };
                    ours.push((header, true));
                }
            })
            .await?;
        for chunk in ours.chunks(BODIES_AT_ONCE) {
            let by = (begun, SeenBy::Poll);
            let mut found = self.read_bodies(session, signer, by, chunk).await?;
            for sighting in &mut found {
                // It may have come at any time before.
                sighting.looked_before = None;
            }
            wires.sighted(&self.mailbox, found).await;
        }
        let told = ours.iter().map(|(header, _)| (cursor.validity, header.uid));
        self.recalled.extend(told);
        let told = u32::try_from(ours.len()).unwrap_or(u32::MAX);
        Ok(Some((begin - 1, (end - begin + 1).saturating_sub(told))))
    }

    /// Those of `wanted` messages of the selected folder that carry the tag they are known by, as this session has shown:
    /// what it has not shown yet is fetched again.
    pub(super) async fn proved(
        &mut self,
        session: &mut Session,
        signer: &Signer,
        validity: u32,
        wanted: &BTreeMap<u32, Tag>,
    ) -> Result<Vec<u32>, ImapError> {
        let mut open = wanted.clone();
        let mut proved = Vec::new();
        open.retain(|uid, tag| {
            let is_shown = self.shown.remove(&(validity, *uid)) == Some(*tag);
            proved.extend(is_shown.then_some(*uid));
            !is_shown
        });
        let sections = [
            format!("HEADER]<0.{HEADER_FETCHED}>"),
            format!("]<0.{BODY_SEARCHED}>"),
        ];
        for section in sections {
            let uids: Vec<_> = open.keys().copied().collect();
            for uids in uids.chunks(BODIES_AT_ONCE) {
                if session.is_empty() {
                    return Ok(Vec::new());
                }
                let command = format!("UID FETCH {} (UID BODY.PEEK[{section})", uid_set(uids));
                session
                    .run(&command, |response| {
                        let Some(message) = Fetched::of(response) else {
                            return;
                        };
                        let tag = recognise(message.text(), signer).tag;
                        if tag.is_some() && open.get(&message.uid) == tag.as_ref() {
                            open.remove(&message.uid);
                            proved.push(message.uid);
                        }
                    })
                    .await?;
            }
        }
        Ok(proved)
    }

    fn show(&mut self, validity: u32, found: impl IntoIterator<Item = (u32, Tag)>) {
        if self.shown.len() > SHOWN_AT_MOST {
            // What is forgotten is fetched again.
            self.shown.clear();
        }
        let found = found.into_iter();
        self.shown
            .extend(found.map(|(uid, tag)| ((validity, uid), tag)));
    }

    /// The whole message decides: the header alone shows neither what is intact nor a tag that only the body carries.
    async fn read_bodies(
        &mut self,
        session: &mut Session,
        signer: &Signer,
        (begun, by): (Stamp, SeenBy),
        headers: &[(Header, bool)],
    ) -> Result<Vec<Sighting>, ImapError> {
        let mut found = Vec::new();
        let uids: Vec<_> = headers.iter().map(|(header, _)| header.uid).collect();
        let command = format!(
            "UID FETCH {} (UID BODY.PEEK[]<0.{BODY_SEARCHED}>)",
            uid_set(&uids)
        );
        let validity = self.cursor.map_or(0, |cursor| cursor.validity);
        let mut unread: BTreeSet<_> = uids.into_iter().collect();
        session
            .run(&command, |response| {
                let Some((message, bytes)) =
                    Fetched::of(response).and_then(|message| Some((message, message.section?)))
                else {
                    return;
                };
                let Some((header, tagged)) =
                    headers.iter().find(|(header, _)| header.uid == message.uid)
                else {
                    return;
                };
                // Others' messages may be empty; one of ours is not.
                let is_withheld = bytes.is_empty() && *tagged;
                if is_withheld || !unread.remove(&message.uid) {
                    return;
                }
                let bytes = bytes.get(..BODY_SEARCHED).unwrap_or(bytes);
                let recognised = recognise(bytes, signer);
                let Some(tag) = recognised.tag.filter(|_| recognised.kind != Kind::Reply) else {
                    return;
                };
                found.push(Sighting {
                    place: Place {
                        mailbox: self.mailbox.clone(),
                        folder: Arc::clone(&self.name),
                        junk: self.junk,
                        uid: Uid::Imap {
                            validity,
                            uid: message.uid,
                        },
                        tag,
                    },
                    // What the header told was seen then; the body only came after.
                    seen: if *tagged { header.seen } else { Stamp::now() },
                    by,
                    looked_before: self
                        .looked
                        .filter(|before| begun.since(*before) > Duration::ZERO),
                    delivered_at: header.delivered_at,
                    size: header.size,
                    recognised,
                    raw: Bytes::copy_from_slice(bytes),
                    whole: bytes.len() < BODY_SEARCHED,
                });
            })
            .await?;
        still_there(session, &unread).await?;
        let shown = found.iter().filter_map(|sighting| match sighting.place {
            Place {
                uid: Uid::Imap { uid, .. },
                tag,
                ..
            } => Some((uid, tag)),
            Place { .. } => None,
        });
        self.show(validity, shown);
        Ok(found)
    }
}

/// Reads on in a copy whose begin was read: what was sent may be anywhere in it.
async fn read_rest(
    session: &mut Session,
    sighting: &mut Sighting,
    most: usize,
) -> Result<(), ImapError> {
    let Uid::Imap { uid, .. } = sighting.place.uid else {
        return Ok(());
    };
    if !matches!(sighting.recognised.kind, Kind::Copy | Kind::Quote) {
        return Ok(());
    }
    let expected = usize::try_from(sighting.size).unwrap_or(most).min(most);
    let mut raw = Vec::with_capacity(expected);
    raw.extend_from_slice(&sighting.raw);
    while raw.len() < most && !sighting.whole {
        let before = raw.len();
        let mut given = false;
        let command = format!("UID FETCH {uid} (UID BODY.PEEK[]<{before}.{SLICE}>)");
        session
            .run(&command, |response| {
                if let Some(message) = Fetched::of(response).filter(|message| message.uid == uid) {
                    given = true;
                    let text = message.text();
                    raw.extend_from_slice(text.get(..SLICE).unwrap_or(text));
                }
            })
            .await?;
        if !given {
            // Somebody else has removed it meanwhile.
            break;
        }
        sighting.whole = raw.len() < before + SLICE;
    }
    raw.truncate(most);
    sighting.raw = raw.into();
    Ok(())
}

/// The newest messages of the selected folder whose tag `takes` wants.
pub(super) async fn leftovers(
    session: &mut Session,
    status: FolderStatus,
    signer: &Signer,
    takes: impl Fn(Tag) -> bool,
) -> Result<Vec<u32>, ImapError> {
    let mut found = Vec::new();
    if status.exists == 0 {
        return Ok(found);
    }
    let begin = status.exists.saturating_sub(SWEPT - 1).max(1);
    let command = format!(
        "FETCH {begin}:{} (UID BODY.PEEK[HEADER]<0.{HEADER_FETCHED}>)",
        status.exists
    );
    session
        .run(&command, |response| {
            if let Some(message) = Fetched::of(response) {
                let recognised = recognise(message.text(), signer);
                let is_ours = recognised.kind == Kind::Copy;
                found.extend(
                    recognised
                        .tag
                        .filter(|tag| is_ours && takes(*tag))
                        .map(|_| message.uid),
                );
            }
        })
        .await?;
    Ok(found)
}

/// What was listed and not given may have been removed meanwhile, by another reader; if it is still there, it was
/// withheld, and the folder cannot be said to have been read.
async fn still_there(session: &mut Session, unread: &BTreeSet<u32>) -> Result<(), ImapError> {
    if unread.is_empty() {
        return Ok(());
    }
    let uids: Vec<_> = unread.iter().copied().collect();
    let mut withheld = None;
    session
        .run(&format!("UID FETCH {} (UID)", uid_set(&uids)), |response| {
            withheld = withheld.or(Fetched::of(response).map(|message| message.uid));
        })
        .await?;
    withheld.map_or(Ok(()), |uid| Err(ImapError::Withheld(uid)))
}

/// The UID that the next message will get, if the server knows: 0 is none.
fn uid_next(status: FolderStatus) -> Option<u32> {
    status.uid_next.filter(|next| *next > 0)
}

/// What one FETCH response says.
#[derive(Clone, Copy)]
struct Fetched<'r> {
    uid: u32,
    delivered_at: Option<Timestamp>,
    size: u32,
    /// The header or the text that was asked for; empty where the server gives NIL.
    section: Option<&'r [u8]>,
}

impl<'r> Fetched<'r> {
    fn of(response: &'r Response<'_>) -> Option<Self> {
        let Response::Fetch(_, attributes) = response else {
            return None;
        };
        let mut message = Self {
            uid: 0,
            delivered_at: None,
            size: 0,
            section: None,
        };
        for attribute in attributes {
            match attribute {
                AttributeValue::Uid(uid) => message.uid = *uid,
                AttributeValue::InternalDate(date) => message.delivered_at = internal_date(date),
                AttributeValue::Rfc822Size(size) => message.size = *size,
                AttributeValue::BodySection { data, .. } => {
                    message.section = Some(data.as_deref().unwrap_or_default());
                }
                _ => {}
            }
        }
        (message.uid > 0).then_some(message)
    }

    fn text(self) -> &'r [u8] {
        self.section.unwrap_or_default()
    }
}

/// `17-Jul-1996 02:44:25 -0700` (RFC 9051 §9, date-time).
fn internal_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::strtime::parse("%d-%b-%Y %H:%M:%S %z", text.trim())
        .ok()?
        .to_timestamp()
        .ok()
}

async fn last_uid(session: &mut Session, exists: u32) -> Result<u32, ImapError> {
    let mut last = 0;
    if exists > 0 {
        session
            .run("FETCH * (UID)", |response| {
                last = last.max(Fetched::of(response).map_or(0, |message| message.uid));
            })
            .await?;
    }
    Ok(last)
}

/// The first UID of those at the folder's end among which mail that arrived after `since` may be, and whether none of it
/// can lie below. The newest messages are among them whatever their dates are, and those below until the dates rule it out.
async fn first_uid_since(
    session: &mut Session,
    exists: u32,
    since: Timestamp,
) -> Result<(Option<u32>, bool), ImapError> {
    let since = since.saturating_sub(DATE_SLACK).unwrap_or(since);
    let mut first = None;
    let mut end = exists;
    while end > 0 {
        if exists - end >= READ_AT_MOST {
            return Ok((first, false));
        }
        let begin = end.saturating_sub(STEP_BACK - 1).max(1);
        let mut uids = Vec::new();
        let mut dates = Vec::new();
        session
            .run(
                &format!("FETCH {begin}:{end} (UID INTERNALDATE)"),
                |response| {
                    if let Some(message) = Fetched::of(response) {
                        uids.push(message.uid);
                        dates.push(message.delivered_at);
                    }
                },
            )
            .await?;
        let is_older = |date: &Option<Timestamp>| date.is_some_and(|date| date < since);
        if exists - end >= READ_AT_LEAST && dates.iter().all(is_older) {
            break;
        }
        first = uids.into_iter().chain(first).min();
        end = begin - 1;
    }
    Ok((first, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrival_times_are_read_as_servers_write_them() {
        let expected: Timestamp = "1996-07-17T09:44:25Z".parse().unwrap();
        assert_eq!(internal_date("17-Jul-1996 02:44:25 -0700"), Some(expected));
        assert_eq!(
            internal_date(" 7-Jul-1996 02:44:25 +0000"),
            Some("1996-07-07T02:44:25Z".parse().unwrap())
        );
        assert_eq!(internal_date("yesterday"), None);
    }
}
