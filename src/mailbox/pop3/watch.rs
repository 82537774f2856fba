//! The loop around the sessions: each one deletes what is recorded, reads what is new, and leaves.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use tokio::time::sleep_until;

use super::session::{Listed, Pop3Error, Session};
use crate::clock::Stamp;
use crate::config::plan::{Cleanup, Junk, Mailbox};
use crate::mailbox::pace::{BackOff, MENDED, Pace};
use crate::mailbox::{Event, Sweep, Wires};
use crate::net::dial::seconds;
use crate::net::tls::Tls;
use crate::probe::facts::{Blindness, Failure, Look, Place, SeenBy, Sighting, Uid};
use crate::probe::mail::Mail;
use crate::probe::message::{BODY_SEARCHED, Kind, recognise};
use crate::probe::outcome::Code;
use crate::probe::tag::Signer;

/// Sessions on our own network follow each other no faster than this.
const FASTEST: Duration = Duration::from_millis(100);
/// Of the newest messages so many are looked through for leftovers.
const SWEPT: usize = 100;
/// When probes were sent before the first session, so many of the newest messages are read.
const READ_BACK: usize = 1000;
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
        known: None,
        backlog: HashSet::new(),
        looked: None,
        login_delay: Duration::ZERO,
        sweep,
        sweeping: false,
        folder: FOLDER.into(),
        mailbox,
        signer,
        wires,
    };
    let mut pace = Pace::new(watcher.mailbox.poll, FASTEST, Stamp::now().mono);
    let mut back_off = BackOff::default();
    loop {
        let begun = Stamp::now();
        pace.looked(begun.mono);
        let pause = match watcher.session(&tls, begun, &mut pace).await {
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
                let pause = pause.map(|pause| delay.unwrap_or(pause));
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
                let backlog = &mut watcher.backlog;
                let left = watcher
                    .wires
                    .rest(pause, |place| remember(backlog, place))
                    .await;
                if left {
                    watcher.left_behind("it cannot be reached");
                    return;
                }
                false
            }
        };
        if leaving {
            watcher.sweeping = watcher.sweep.is_on() && watcher.mailbox.cleanup == Cleanup::Delete;
            if !watcher.backlog.is_empty() || watcher.sweeping {
                let last = watcher.session(&tls, Stamp::now(), &mut pace).await;
                if let Err(blindness) = last {
                    watcher.left_behind(&blindness.failure.what);
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

fn remember(backlog: &mut HashSet<String>, place: Place) {
    if let Uid::Pop3(uid) = place.uid {
        backlog.insert(uid.to_string());
    }
}

struct Watcher {
    mailbox: Arc<Mailbox>,
    signer: Signer,
    folder: Arc<str>,
    /// The ids of the messages that were read or were there before; `None` before the first session.
    known: Option<HashSet<String>>,
    /// The ids of messages that are recorded and may be deleted.
    backlog: HashSet<String>,
    looked: Option<Stamp>,
    login_delay: Duration,
    sweep: Sweep,
    /// Whether the session is the last, which sweeps.
    sweeping: bool,
    wires: Wires,
}

impl Watcher {
    /// Says that copies could not be cleaned up.
    fn left_behind(&self, why: &str) {
        let (mailbox, copies) = (&self.mailbox.name, self.backlog.len());
        if copies > 0 && self.mailbox.cleanup == Cleanup::Delete {
            tracing::warn!(%mailbox, copies, "cannot clean up, so the copies stay: {why}");
        }
    }

    async fn session(&mut self, tls: &Tls, begun: Stamp, pace: &mut Pace) -> Result<(), Blindness> {
        let mut delay = None;
        let opened = Session::open(&self.mailbox, tls, &mut delay).await;
        self.login_delay = delay.unwrap_or_default().min(LONGEST_DELAY);
        let mut session = opened?;
        pace.meet(session.peer());
        let mut messages = Vec::new();
        for message in session.list().await? {
            let id = self.id(&mut session, &message).await?;
            messages.push((message, id));
        }
        if self.mailbox.cleanup == Cleanup::Delete {
            for (message, _) in messages.iter().filter(|(_, id)| self.backlog.contains(id)) {
                session.delete(message.number).await?;
            }
        }
        if self.sweeping {
            self.sweep_up(&mut session, &messages).await?;
        }
        let something = self.read_new(&mut session, &messages, begun).await?;
        self.known = Some(messages.into_iter().map(|(_, id)| id).collect());
        pace.found(something);
        // Only a goodbye deletes: without one, the next session tries again.
        session.quit().await?;
        self.backlog.clear();
        Ok(())
    }

    /// Deletes our leftovers among the newest messages.
    async fn sweep_up(
        &self,
        session: &mut Session,
        messages: &[(Listed, String)],
    ) -> Result<(), Pop3Error> {
        let now = Stamp::now().wall;
        let newest = messages.iter().rev().take(SWEPT);
        for (message, _) in newest.filter(|(_, id)| !self.backlog.contains(id)) {
            let header = session.top(message.number).await?.unwrap_or_default();
            let recognised = recognise(&header, &self.signer);
            let is_ours = recognised.kind == Kind::Copy;
            if let Some(tag) = recognised.tag.filter(|_| is_ours)
                && self.sweep.takes(tag, &self.signer, now)
            {
                session.delete(message.number).await?;
            }
        }
        Ok(())
    }

    /// What a message is known by: its unique id or, where the server has none, a digest of its header.
    async fn id(&self, session: &mut Session, message: &Listed) -> Result<String, Pop3Error> {
        if let Some(uid) = &message.uid {
            return Ok(uid.clone());
        }
        let header = match session.top(message.number).await? {
            Some(header) => header,
            None if fits(message) => session.retrieve(message.number, BODY_SEARCHED * 2).await?,
            None => message.size.to_string().into_bytes(),
        };
        Ok(HEXLOWER.encode(digest(&SHA256, &header).as_ref()))
    }

    async fn read_new(
        &self,
        session: &mut Session,
        messages: &[(Listed, String)],
        begun: Stamp,
    ) -> Result<bool, Pop3Error> {
        let is_awaited = self.wires.interest.borrow().oldest.is_some() || self.sweep.recall;
        let skipped = match (&self.known, is_awaited) {
            (Some(_), _) => 0,
            (None, true) => messages.len().saturating_sub(READ_BACK),
            (None, false) => messages.len(),
        };
        let is_known = |id: &String| self.known.as_ref().is_some_and(|known| known.contains(id));
        let is_new = |id: &String| !is_known(id) && !self.backlog.contains(id);
        let mut something = false;
        for (message, id) in messages.iter().skip(skipped).filter(|(_, id)| is_new(id)) {
            if let Some(sighting) = self.read(session, message, id, begun).await? {
                something = true;
                self.wires.sighted(&self.mailbox.name, vec![sighting]).await;
            }
        }
        Ok(something)
    }

    /// Reads one new message, its header first where the server can give it alone.
    async fn read(
        &self,
        session: &mut Session,
        message: &Listed,
        id: &str,
        begun: Stamp,
    ) -> Result<Option<Sighting>, Pop3Error> {
        let header = session.top(message.number).await?;
        let seen = Stamp::now();
        let tagged = header.is_some_and(|header| recognise(&header, &self.signer).tag.is_some());
        // A stranger's large message is not read; a copy of ours is, however much was added to it on the way.
        let most = if tagged {
            self.wires.interest.borrow().largest_copy()
        } else {
            BODY_SEARCHED * 2
        };
        if !tagged && !fits(message) {
            return Ok(None);
        }
        let raw = session.retrieve(message.number, most).await?;
        // One line more would not have been kept.
        let whole = raw.len() + LONGEST_LINE < most;
        let recognised = recognise(&raw, &self.signer);
        let Some(tag) = recognised.tag.filter(|_| recognised.kind != Kind::Reply) else {
            return Ok(None);
        };
        Ok(Some(Sighting {
            place: Place {
                mailbox: self.mailbox.name.clone(),
                folder: Arc::clone(&self.folder),
                junk: false,
                uid: Uid::Pop3(id.into()),
                tag,
            },
            seen: if tagged { seen } else { Stamp::now() },
            by: SeenBy::Poll,
            looked_before: self
                .looked
                .filter(|before| begun.since(*before) > Duration::ZERO),
            // POP3 tells no time of arrival; the server that filed the message has written its own.
            delivered_at: Mail::parse(&raw).and_then(|mail| mail.received_at()),
            size: message.size,
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
                let calm = if self.backlog.is_empty() {
                    CALM.max(self.mailbox.poll)
                } else {
                    self.mailbox.poll
                };
                self.sweep.recall.then(|| (last + calm).max(earliest))
            });
            let until = next.unwrap_or_else(|| Stamp::now().mono + self.mailbox.poll);
            tokio::select! {
                () = sleep_until(until.into()) => {
                    if next.is_some() {
                        return false;
                    }
                }
                place = self.wires.dispose.recv() => match place {
                    Some(place) => remember(&mut self.backlog, place),
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

fn fits(message: &Listed) -> bool {
    usize::try_from(message.size).is_ok_and(|size| size <= BODY_SEARCHED)
}
