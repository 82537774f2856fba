//! The loop around the sessions: each one deletes what is recorded, reads what is new, and leaves.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until};

use super::maildrop::{Maildrop, Message, Proof, fingerprint};
use super::session::{Listed, Pop3Error, Session};
use crate::clock::Stamp;
use crate::config::plan::{Cleanup, Junk, Mailbox};
use crate::duration::seconds;
use crate::mailbox::pace::{BackOff, MENDED, Pace};
use crate::mailbox::{Event, Sweep, Wires};
use crate::net::tls::Tls;
use crate::probe::facts::{Blindness, Failure, Look, Place, SeenBy, Sighting, Uid};
use crate::probe::mail::Mail;
use crate::probe::message::{BODY_SEARCHED, Kind, Recognised, recognise};
use crate::probe::outcome::Code;
use crate::probe::tag::Signer;

/// Of the newest messages so many are looked through for leftovers.
const SWEPT: usize = 100;
/// Maximum number of messages that are told apart by their headers in spite of their ids. What arrives comes last, and an
/// older message whose id has changed is read again.
const FINGERPRINTED: usize = 200;
/// No line of a message is longer (RFC 5321 §4.5.3.1.6), but some are.
const LONGEST_LINE: usize = 64 * 1024;
/// However long a server wants logins to be apart, it is asked again after this.
const LONGEST_DELAY: Duration = Duration::from_hours(1);
/// A service looks this often for what comes late, where nothing is awaited.
const CALM: Duration = Duration::from_mins(5);
/// What a person calls the only folder POP3 shows.
const FOLDER: &str = "INBOX";

/// Watches until told to leave.
pub async fn run(mailbox: Arc<Mailbox>, signer: Signer, sweep: Sweep, wires: Wires) {
    let tls = Tls::new(&mailbox.trust, None);
    let mut watcher = Watcher {
        maildrop: Maildrop::default(),
        looked: None,
        login_delay: Duration::ZERO,
        sweep,
        sweeping: false,
        folder: FOLDER.into(),
        mailbox,
        signer,
        wires,
    };
    let mut pace = Pace::of_sessions(watcher.mailbox.poll, Stamp::now().mono);
    let mut back_off = BackOff::default();
    loop {
        let begun = Stamp::now();
        pace.looked(begun.mono);
        let session = watcher.session(&tls, begun, &mut pace).await;
        pace.unlocked(begun.mono, Stamp::now().mono);
        let pause = match session {
            Ok(()) => {
                watcher.looked = Some(begun);
                back_off.reset();
                let look = Look {
                    begun,
                    covers_junk: watcher.mailbox.junk == Junk::None,
                    unread_before: None,
                };
                watcher
                    .wires
                    .tell(&watcher.mailbox.name, Event::Looked(look))
                    .await;
                None
            }
            Err(blindness) => {
                let delay = Some(watcher.login_delay).filter(|delay| {
                    !delay.is_zero() && blindness.failure.what.contains("LOGIN-DELAY")
                });
                let mended = watcher.sweep.recall.then_some(MENDED);
                let pause = back_off.next(&blindness).or(mended);
                let pause = pause.map(|pause| delay.unwrap_or(pause).max(pace.rest()));
                watcher
                    .wires
                    .tell(&watcher.mailbox.name, Event::Blind(blindness))
                    .await;
                Some(pause)
            }
        };
        let leaving = match pause {
            None => watcher.wait(&pace, begun.mono).await,
            Some(pause) => {
                let maildrop = &mut watcher.maildrop;
                let left = watcher
                    .wires
                    .rest(pause, |place| remember(maildrop, place))
                    .await;
                if left {
                    watcher.left_behind("it cannot be reached").await;
                    return;
                }
                false
            }
        };
        if leaving {
            watcher.sweeping = watcher.sweep.is_on() && watcher.mailbox.cleanup == Cleanup::Delete;
            if watcher.maildrop.backlog() > 0 || watcher.sweeping {
                sleep(pace.rest()).await;
                let last = watcher.session(&tls, Stamp::now(), &mut pace).await;
                if let Err(blindness) = last {
                    watcher.left_behind(&blindness.failure.what).await;
                }
            }
            return;
        }
    }
}

/// Whether the mailbox can be logged in to; if not, why.
pub async fn opens(mailbox: &Mailbox) -> Result<(), Blindness> {
    let mut delay = None;
    let session = Session::open(mailbox, &Tls::new(&mailbox.trust, None), &mut delay).await?;
    Ok(session.quit().await?)
}

fn remember(maildrop: &mut Maildrop, place: Place) {
    if let Uid::Pop3(id) = place.uid {
        maildrop.dispose(id);
    }
}

struct Watcher {
    mailbox: Arc<Mailbox>,
    signer: Signer,
    folder: Arc<str>,
    maildrop: Maildrop,
    looked: Option<Stamp>,
    login_delay: Duration,
    sweep: Sweep,
    /// Whether the session is the last, which sweeps.
    sweeping: bool,
    wires: Wires,
}

impl Watcher {
    /// Tells that copies could not be cleaned up.
    async fn left_behind(&self, why: &str) {
        if self.maildrop.backlog() > 0 && self.mailbox.cleanup == Cleanup::Delete {
            let why = format!("copies stay, because the mailbox cannot be read: {why}");
            let event = Event::Uncleaned(Some(why.into()));
            self.wires.tell(&self.mailbox.name, event).await;
        }
    }

    async fn session(&mut self, tls: &Tls, begun: Stamp, pace: &mut Pace) -> Result<(), Blindness> {
        let mut delay = None;
        let opened = Session::open(&self.mailbox, tls, &mut delay).await;
        self.login_delay = delay.unwrap_or_default().min(LONGEST_DELAY);
        let mut session = opened?;
        pace.meet(session.peer());
        let listed = session.list().await?;
        let mut visit = Visit {
            session,
            shown: HashMap::new(),
            deleted: HashMap::new(),
        };
        let mut something = false;
        let mut unproved = BTreeSet::new();
        let messages = loop {
            let messages = self.identify(&mut visit, &listed).await?;
            let trusted = !self.maildrop.reuses_ids();
            something |= self.read_new(&mut visit, &messages, begun).await?;
            unproved.extend(self.delete_recorded(&mut visit, &messages).await?);
            // What was told apart by ids is told apart once more, by something better.
            if trusted && self.maildrop.reuses_ids() {
                continue;
            }
            break messages;
        };
        unproved.retain(|id| !visit.has_deleted(id));
        self.stays(&unproved);
        if self.sweeping {
            self.sweep_up(&mut visit, &messages).await?;
        }
        self.maildrop.leave(messages);
        pace.found(something);
        // Only a goodbye deletes: without one, the next session tries again.
        visit.session.quit().await?;
        self.maildrop.left(&visit.deleted);
        Ok(())
    }

    /// The messages that are not deleted. Where ids cannot be trusted, the newest have a fingerprint each.
    async fn identify(
        &mut self,
        visit: &mut Visit,
        listed: &[Listed],
    ) -> Result<Vec<Message>, Pop3Error> {
        let distrusts = self.maildrop.distrusts(listed);
        let newest = listed.len().saturating_sub(FINGERPRINTED);
        let mut messages = Vec::new();
        for (index, listed) in listed.iter().enumerate() {
            if visit.deleted.contains_key(&listed.number) {
                continue;
            }
            let print = if listed.uid.is_none() || distrusts && index >= newest {
                Some(visit.fingerprint(listed).await?)
            } else {
                None
            };
            messages.push(Message {
                listed: listed.clone(),
                print,
            });
        }
        Ok(messages)
    }

    /// Deletes what is recorded, each message only after it has shown the recorded tag in this session. Gives the copies
    /// whose ids now show something else.
    async fn delete_recorded(
        &mut self,
        visit: &mut Visit,
        messages: &[Message],
    ) -> Result<Vec<Arc<str>>, Pop3Error> {
        let mut unproved = Vec::new();
        if self.mailbox.cleanup != Cleanup::Delete {
            return Ok(unproved);
        }
        for (id, proof, here) in self.maildrop.disposable(messages) {
            if visit.has_deleted(&id) {
                continue;
            }
            let mut proved = None;
            for Message { listed, .. } in &here {
                let is_gone = visit.deleted.contains_key(&listed.number);
                if !is_gone && visit.shows(listed, &proof, &self.signer).await? {
                    proved = Some(listed.number);
                    break;
                }
            }
            match proved {
                Some(number) => visit.delete(number, Some(id)).await?,
                // Somebody else has deleted it.
                None if here.is_empty() => {}
                None => {
                    self.maildrop.distrust();
                    unproved.push(id);
                }
            }
        }
        Ok(unproved)
    }

    /// Logs the copies that are not deleted, because no message was proved to be one of them.
    fn stays(&self, unproved: &BTreeSet<Arc<str>>) {
        let mailbox = &self.mailbox.name;
        for id in unproved {
            tracing::warn!(%mailbox, %id, "no message with this id shows the copy's tag any more, so nothing is deleted");
        }
    }

    /// Deletes our leftovers among the newest messages.
    async fn sweep_up(&self, visit: &mut Visit, messages: &[Message]) -> Result<(), Pop3Error> {
        let now = Stamp::now();
        for Message { listed, .. } in messages.iter().rev().take(SWEPT) {
            if visit.deleted.contains_key(&listed.number) {
                continue;
            }
            let header = visit.session.top(listed.number).await?.unwrap_or_default();
            let recognised = recognise(&header, &self.signer);
            let is_ours = recognised.kind == Kind::Copy;
            if let Some(tag) = recognised.tag.filter(|_| is_ours)
                && self.sweep.takes(tag, &self.signer, now)
            {
                visit.delete(listed.number, None).await?;
            }
        }
        Ok(())
    }

    async fn read_new(
        &mut self,
        visit: &mut Visit,
        messages: &[Message],
        begun: Stamp,
    ) -> Result<bool, Pop3Error> {
        let is_awaited = self.wires.interest.borrow().oldest.is_some() || self.sweep.recall;
        let mut something = false;
        for message in self.maildrop.unread(messages, is_awaited) {
            if let Some(sighting) = self.read(visit, message, begun).await? {
                something = true;
                self.wires.sighted(&self.mailbox.name, vec![sighting]).await;
            }
        }
        Ok(something)
    }

    /// Reads one new message, its header first where the server can give it alone.
    async fn read(
        &mut self,
        visit: &mut Visit,
        message: &Message,
        begun: Stamp,
    ) -> Result<Option<Sighting>, Pop3Error> {
        let Listed { number, size, .. } = message.listed;
        let header = visit.session.top(number).await?;
        let seen = Stamp::now();
        let tagged = header.is_some_and(|header| recognise(&header, &self.signer).tag.is_some());
        // A stranger's large message is not read; a copy of ours is, however much was added to it on the way.
        let most = if tagged {
            self.wires.interest.borrow().largest_copy()
        } else {
            BODY_SEARCHED * 2
        };
        if !tagged && !fits(&message.listed) {
            self.maildrop.saw(message, &[], None);
            return Ok(None);
        }
        let raw = visit.session.retrieve(number, most).await?;
        // One line more would not have been kept.
        let whole = raw.len() + LONGEST_LINE < most;
        let recognised = recognise(&raw, &self.signer);
        let proof = proof(&recognised);
        let id = self.maildrop.saw(message, &raw, proof.as_ref());
        visit.shown.insert(number, proof);
        let Some((id, tag)) = id.zip(recognised.tag) else {
            return Ok(None);
        };
        Ok(Some(Sighting {
            place: Place {
                mailbox: self.mailbox.name.clone(),
                folder: Arc::clone(&self.folder),
                junk: false,
                uid: Uid::Pop3(id),
                tag,
            },
            seen: if tagged { seen } else { Stamp::now() },
            by: SeenBy::Poll,
            looked_before: self
                .looked
                .filter(|before| begun.since(*before) > Duration::ZERO),
            // POP3 tells no time of arrival; the server that filed the message has written its own.
            delivered_at: Mail::parse(&raw).and_then(|mail| mail.received_at()),
            size,
            recognised,
            raw: raw.into(),
            whole,
        }))
    }

    /// Waits for the next session. Whether to leave instead.
    async fn wait(&mut self, pace: &Pace, last: Instant) -> bool {
        let earliest = last + self.login_delay;
        let mut told = false;
        loop {
            let interest = *self.wires.interest.borrow_and_update();
            let next = pace.next(&interest, last).map(|next| next.max(earliest));
            // Without a delay the deadline may still have passed during the look.
            let is_held_up = !self.login_delay.is_zero();
            if is_held_up && interest.due.is_some_and(|due| due < earliest) && !told {
                told = true;
                self.wires
                    .tell(&self.mailbox.name, Event::Blind(too_soon(self.login_delay)))
                    .await;
            }
            // Where nothing is awaited, what is recorded is cleaned up all the same, and what comes late is found.
            let next = next.or_else(|| {
                let calm = if self.maildrop.backlog() == 0 {
                    CALM.max(self.mailbox.poll)
                } else {
                    self.mailbox.poll
                };
                let rested = pace.rested().unwrap_or(last);
                self.sweep
                    .recall
                    .then(|| (last + calm).max(earliest).max(rested))
            });
            let until = next.unwrap_or_else(|| Stamp::now().mono + self.mailbox.poll);
            tokio::select! {
                () = sleep_until(until.into()) => {
                    if next.is_some() {
                        return false;
                    }
                }
                place = self.wires.dispose.recv() => match place {
                    Some(place) => remember(&mut self.maildrop, place),
                    None => return true,
                },
                Ok(()) = self.wires.interest.changed() => {}
            }
        }
    }
}

/// A deadline passes before the server lets us look again.
fn too_soon(delay: Duration) -> Blindness {
    Blindness {
        failure: Failure {
            code: Code::MailboxUnreadable,
            what: format!(
                "the server wants {} between two logins (LOGIN-DELAY), so it could not be looked at in time",
                seconds(delay)
            ),
            remedy: "a deadline longer than that, or IMAP, helps",
        },
        is_final: false,
    }
}

/// An open session, and what has come of it so far.
struct Visit {
    session: Session,
    /// What messages have shown in this session, by their numbers.
    shown: HashMap<u32, Option<Proof>>,
    /// The messages to be deleted at QUIT, by their numbers, with the copies that they are.
    deleted: HashMap<u32, Option<Arc<str>>>,
}

impl Visit {
    /// Whether a message shows this: in its header or, where that does not tell, in as much as is searched for tags.
    async fn shows(
        &mut self,
        message: &Listed,
        wanted: &Proof,
        signer: &Signer,
    ) -> Result<bool, Pop3Error> {
        let number = message.number;
        if !self.shown.contains_key(&number) {
            let header = self.session.top(number).await?;
            let shown = header.and_then(|header| proof(&recognise(&header, signer)));
            if shown.as_ref() == Some(wanted) || !fits(message) {
                return Ok(shown.as_ref() == Some(wanted));
            }
            let raw = match self.session.retrieve(number, BODY_SEARCHED * 2).await {
                Err(Pop3Error::Refused { .. }) => Vec::new(),
                raw => raw?,
            };
            self.shown.insert(number, proof(&recognise(&raw, signer)));
        }
        Ok(self.shown.get(&number).and_then(Option::as_ref) == Some(wanted))
    }

    fn has_deleted(&self, copy: &Arc<str>) -> bool {
        self.deleted.values().flatten().any(|gone| gone == copy)
    }

    /// Marks a message for deletion. One that the server refuses to delete stays.
    async fn delete(&mut self, number: u32, copy: Option<Arc<str>>) -> Result<(), Pop3Error> {
        match self.session.delete(number).await {
            Err(error @ Pop3Error::Refused { .. }) => {
                tracing::warn!("cannot clean up, so the copy stays: {error}");
            }
            deleted => {
                deleted?;
                self.deleted.insert(number, copy);
            }
        }
        Ok(())
    }

    /// What a message is known by where its id is none: a digest of its header.
    async fn fingerprint(&mut self, message: &Listed) -> Result<String, Pop3Error> {
        match self.session.top(message.number).await? {
            Some(header) => Ok(fingerprint(&header)),
            None if fits(message) => {
                let most = BODY_SEARCHED * 2;
                let raw = self.session.retrieve(message.number, most).await?;
                Ok(fingerprint(&raw))
            }
            None => Ok(message.size.to_string()),
        }
    }
}

/// What a message shows of itself, if it is one of ours.
fn proof(recognised: &Recognised) -> Option<Proof> {
    let tag = recognised.tag?;
    let kind = recognised.kind;
    (kind != Kind::Reply).then_some(Proof { tag, kind })
}

fn fits(message: &Listed) -> bool {
    usize::try_from(message.size).is_ok_and(|size| size <= BODY_SEARCHED)
}
