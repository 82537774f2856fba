//! The loop around a session: look, tell, clean up, wait; and when the session breaks, say so and come back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::{sleep, sleep_until};

use super::cleanup::{clean_up, remainder};
use super::folder::{self, Folder};
use super::open::open;
use super::session::{ImapError, Session};
use crate::clock::Stamp;
use crate::config::plan::{Cleanup, Junk, Mailbox};
use crate::mailbox::pace::{BackOff, MENDED, Pace};
use crate::mailbox::{Event, Sweep, Wires};
use crate::net::back_off;
use crate::net::tls::Tls;
use crate::probe::facts::{Blindness, Failure, Look, Place, SeenBy, Uid};
use crate::probe::outcome::Code;
use crate::probe::tag::{Signer, Tag};

/// Below this, waiting is cheaper than entering and leaving IDLE.
const IDLE_WORTH: Duration = Duration::from_millis(500);
/// IDLE is issued anew within this time; servers and firewalls forget quiet connections.
const IDLE_MOST: Duration = Duration::from_secs(290);
/// The fastest looks follow each other.
const FASTEST: Duration = Duration::from_millis(20);
/// A session that lasted so long was a good one: what breaks it is no reason to stay away longer.
const STEADY: Duration = Duration::from_secs(5);
/// Older messages are looked through this often for copies of our own.
const READ_BACK: Duration = Duration::from_hours(1);
/// So many newer messages of others are passed to get to them.
const PASSED: u32 = 5000;
/// The pauses before a clean-up that was refused is tried again: the first, and the longest.
const CLEANED_AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_mins(10));
/// Of a folder's copies whose clean-up was refused, so many are tried again: the newest.
const REFUSED_AT_MOST: usize = 1000;
/// A look that finds nothing announced still reads, every so often: a server may have forgotten to say EXISTS.
const READ_ANYWAY: u32 = 10;

/// Watches until told to leave.
pub async fn run(mailbox: Arc<Mailbox>, signer: Signer, sweep: Sweep, wires: Wires) {
    let mut watcher = Watcher {
        tls: Tls::new(&mailbox.trust, None),
        folders: Vec::new(),
        covers_junk: false,
        unwatched: BTreeSet::new(),
        backlog: Backlog::default(),
        refused: Refused::default(),
        leaving: false,
        back: Back::default(),
        uncleaned: None,
        mailbox,
        signer,
        sweep,
        wires,
    };
    let mut back_off = BackOff::default();
    loop {
        let is_last = watcher.leaving;
        let blindness = match open(&watcher.mailbox, &watcher.tls).await {
            Ok(mut session) => match watcher.tend(&mut session, &mut back_off).await {
                Ok(()) => {
                    session.log_out().await;
                    return;
                }
                Err(blindness) => blindness,
            },
            Err(blindness) => blindness,
        };
        let mended = watcher.sweep.recall.then_some(MENDED);
        let pause = back_off.next(&blindness).or(mended);
        watcher.tell(Event::Blind(blindness.clone())).await;
        watcher.tell_unreached(&blindness).await;
        if is_last {
            return;
        }
        let Watcher {
            wires,
            backlog,
            mailbox,
            ..
        } = &mut watcher;
        watcher.leaving |= wires
            .rest(pause, |place| remember(backlog, mailbox, place))
            .await;
        if watcher.leaving {
            watcher.tell_unreached(&blindness).await;
            // What is still to be cleaned up is tried once more.
            if blindness.is_final || !watcher.has_to_clean_up() {
                return;
            }
        }
    }
}

/// Whether the mailbox can be logged in to and its folders opened; if not, why.
pub async fn opens(mailbox: &Mailbox) -> Result<(), Blindness> {
    let mut session = open(mailbox, &Tls::new(&mailbox.trust, None)).await?;
    for folder in &mailbox.folders {
        let folder = Folder::new(mailbox.name.clone(), folder, false);
        let selected = session.select(&folder.name).await;
        selected.map_err(|error| missing_folder(&folder, &error))?;
    }
    let (_, unopened) = open_junk(&mut session, mailbox).await?;
    for why in unopened
        .into_iter()
        .chain(remainder(&session, &mailbox.cleanup))
    {
        tracing::warn!(mailbox = %mailbox.name, "{why}");
    }
    session.log_out().await;
    Ok(())
}

/// The junk folder that is watched.
struct JunkFolder {
    /// Its name, where it is not among the mailbox's `folders`.
    folder: Option<String>,
    /// Whether what is filed as junk is seen.
    covered: bool,
}

/// Finds a junk folder that can be opened, and says why another, or any, is not watched. One that the config names is not
/// opened here: it is an error where it cannot be.
async fn open_junk(
    session: &mut Session,
    mailbox: &Mailbox,
) -> Result<(JunkFolder, Vec<String>), ImapError> {
    let mut skipped = Vec::new();
    let candidates = match &mailbox.junk {
        Junk::None => Vec::new(),
        Junk::Named(name) => vec![name.clone()],
        Junk::Auto => session.junk_candidates().await?,
    };
    for junk in candidates {
        let is_watched = mailbox.folders.contains(&junk);
        let opened = match mailbox.junk {
            Junk::Auto if !is_watched => session.select(&junk).await.map(drop),
            Junk::Auto | Junk::Named(_) | Junk::None => Ok(()),
        };
        match opened {
            Ok(()) => {
                let folder = Some(junk).filter(|_| !is_watched);
                let covered = true;
                return Ok((JunkFolder { folder, covered }, skipped));
            }
            Err(ImapError::No { words, .. } | ImapError::Bad { words, .. }) => skipped.push(
                format!("the junk folder {junk} cannot be opened and is not watched: {words}"),
            ),
            Err(error) => return Err(error),
        }
    }
    let covered = mailbox.junk == Junk::None;
    if !covered {
        tracing::info!(mailbox = %mailbox.name, "no junk folder is watched");
    }
    let folder = None;
    Ok((JunkFolder { folder, covered }, skipped))
}

/// Notes a message that is recorded and may be cleaned up.
fn remember(backlog: &mut Backlog, mailbox: &Mailbox, place: Place) {
    if let (Uid::Imap { validity, uid }, true) = (place.uid, mailbox.cleanup != Cleanup::Keep) {
        let copies = backlog.entry((place.folder, validity)).or_default();
        copies.tags.insert(uid, place.tag);
    }
}

/// What is to be cleaned up, by folder and the UIDVALIDITY its UIDs belong to.
type Backlog = BTreeMap<(Arc<str>, u32), Copies>;

/// Copies in one folder.
#[derive(Debug, Default)]
struct Copies {
    /// Their tags, by UID.
    tags: BTreeMap<u32, Tag>,
    /// Those that have been copied to where they are moved.
    copied: BTreeSet<u32>,
}

impl Copies {
    fn add(&mut self, more: Self) {
        self.tags.extend(more.tags);
        self.copied.extend(more.copied);
    }
}

/// Copies whose clean-up the server refused.
struct Refused {
    copies: Backlog,
    /// Why, as the server said first.
    why: Option<String>,
    /// When they are tried again; `None`: at once.
    again: Option<Instant>,
    pauses: back_off::BackOff,
}

impl Default for Refused {
    fn default() -> Self {
        let (first, longest) = CLEANED_AGAIN;
        Self {
            copies: Backlog::new(),
            why: None,
            again: None,
            pauses: back_off::BackOff::new(first, longest),
        }
    }
}

impl Refused {
    fn add(&mut self, place: (Arc<str>, u32), copies: Copies, why: &ImapError) {
        let kept = self.copies.entry(place).or_default();
        kept.add(copies);
        while kept.tags.len() > REFUSED_AT_MOST {
            let oldest = kept.tags.pop_first();
            oldest.map(|(uid, _)| kept.copied.remove(&uid));
        }
        self.why.get_or_insert_with(|| {
            format!("copies stay, because they cannot be cleaned up: {why}")
        });
        let pauses = &mut self.pauses;
        self.again
            .get_or_insert_with(|| Stamp::now().mono + pauses.pause());
    }

    /// What was refused may be accepted now.
    fn relent(&mut self) {
        self.again = None;
        self.pauses.reset();
    }

    /// Those that are to be tried again.
    fn take(&mut self, at_once: bool) -> Backlog {
        let now = Stamp::now().mono;
        if !at_once && self.again.is_some_and(|again| now < again) {
            return Backlog::new();
        }
        self.again = None;
        std::mem::take(&mut self.copies)
    }
}

struct Watcher {
    mailbox: Arc<Mailbox>,
    signer: Signer,
    sweep: Sweep,
    tls: Tls,
    folders: Vec<Folder>,
    /// Whether what is filed as junk is seen.
    covers_junk: bool,
    /// Why the junk folder is not watched: what was logged already.
    unwatched: BTreeSet<String>,
    backlog: Backlog,
    refused: Refused,
    leaving: bool,
    back: Back,
    /// Why copies stay, as it was last told.
    uncleaned: Option<Box<str>>,
    wires: Wires,
}

/// How far the older messages were read.
#[derive(Default)]
struct Back {
    /// When to begin anew; `None`: now.
    again: Option<Instant>,
    /// The folder to go on with.
    folder: usize,
    /// The sequence number that is next: what is removed behind it does not move it. `None`: the newest.
    next: Option<u32>,
    /// So many messages that are not ours were passed.
    passed: u32,
}

/// How much a look takes the server's word for it that there is nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    /// What is announced is read.
    Announced,
    /// The first folder is read, whatever is announced.
    Read,
    /// Every folder is selected and read: a deadline is over.
    Last,
}

impl Watcher {
    async fn tell(&self, event: Event) {
        self.wires.tell(&self.mailbox.name, event).await;
    }

    /// Keeps looking over one session until told to leave, or until it breaks.
    async fn tend(
        &mut self,
        session: &mut Session,
        back_off: &mut BackOff,
    ) -> Result<(), Blindness> {
        for folder in &mut self.folders {
            folder.enter_session();
        }
        self.open_folders(session).await?;
        self.back = Back::default();
        let mut pace = Pace::new(self.mailbox.poll, FASTEST, Stamp::now().mono);
        pace.meet(session.peer());
        let opened = Stamp::now();
        let mut by = SeenBy::Poll;
        let mut since_read = 0;
        loop {
            let begun = Stamp::now();
            pace.looked(begun.mono);
            since_read += 1;
            let due = self.wires.interest.borrow().due;
            let depth = if due.is_some_and(|due| due <= begun.mono) {
                Depth::Last
            } else if since_read >= READ_ANYWAY {
                Depth::Read
            } else {
                Depth::Announced
            };
            if depth > Depth::Announced {
                since_read = 0;
            }
            let found = self.look(session, begun, by, depth).await?;
            pace.found(found);
            let unread_before = self.folders.iter().filter_map(|it| it.unread_before);
            let unread_before = unread_before.max_by_key(|until| until.mono);
            let look = Look {
                begun,
                covers_junk: self.covers_junk,
                unread_before,
            };
            self.tell(Event::Looked(look)).await;
            if begun.since(opened) > STEADY {
                back_off.reset();
            }
            self.collect_backlog();
            self.clean_up(session).await?;
            if self.leaving {
                // What was refused just now may be accepted in a moment.
                if !self.refused.copies.is_empty() {
                    sleep(CLEANED_AGAIN.0).await;
                    self.clean_up(session).await?;
                }
                return self.sweep_up(session).await;
            }
            if self.sweep.recall && self.read_back(session, begun).await? {
                by = SeenBy::Poll;
                continue;
            }
            by = self.wait(session, &pace, begun.mono).await?;
        }
    }

    /// Finds the junk folder and takes up reading where it was left.
    async fn open_folders(&mut self, session: &mut Session) -> Result<(), Blindness> {
        let (junk, unopened) = open_junk(session, &self.mailbox).await?;
        let name = &self.mailbox.name;
        for why in unopened {
            if self.unwatched.insert(why.clone()) {
                tracing::warn!(mailbox = %name, "{why}");
            }
        }
        self.covers_junk = junk.covered;
        let wanted = self.mailbox.folders.iter().map(|folder| (folder, false));
        let wanted = wanted.chain(junk.folder.iter().map(|folder| (folder, true)));
        let mut known = std::mem::take(&mut self.folders);
        for (folder, is_junk) in wanted {
            let at = known.iter().position(|known| *known.name == **folder);
            self.folders.push(match at {
                Some(at) => known.swap_remove(at),
                None => Folder::new(name.clone(), folder, is_junk),
            });
        }
        let since = self.since();
        for folder in self.folders.iter_mut().rev() {
            let status = session
                .select(&folder.name)
                .await
                .map_err(|error| missing_folder(folder, &error))?;
            folder.take_up(session, status, since).await?;
        }
        Ok(())
    }

    /// What arrived before this is of no interest.
    fn since(&self) -> Option<Timestamp> {
        let oldest = self.wires.interest.borrow().oldest?;
        Some(Stamp::now().wall_at(oldest))
    }

    /// Looks at every folder. The first is selected before and after.
    async fn look(
        &mut self,
        session: &mut Session,
        begun: Stamp,
        by: SeenBy,
        depth: Depth,
    ) -> Result<bool, Blindness> {
        let since = self.since();
        session.run("NOOP", |_| ()).await?;
        let Some((first, others)) = self.folders.split_first_mut() else {
            return Ok(false);
        };
        let mut something = false;
        if depth > Depth::Announced && session.is_empty() {
            // Nothing is fetched from an empty folder, so what is not announced shows only in a SELECT.
            let status = session.select(&first.name).await?;
            first.take_up(session, status, since).await?;
        }
        if session.take_news() || depth > Depth::Announced {
            something = first
                .read_new(session, &self.signer, (begun, by), &self.wires)
                .await?;
        } else {
            first.looked(begun);
        }
        // Dovecot warns at every command where the selected folder is gone, and says OK. Only another SELECT tells.
        if depth > Depth::Announced && session.take_doubt() {
            let status = session.select(&first.name).await?;
            first.take_up(session, status, since).await?;
            something |= first
                .read_new(session, &self.signer, (begun, by), &self.wires)
                .await?;
        }
        let mut moved = false;
        for folder in others {
            let status = session.status(&folder.name).await?;
            // A STATUS may stand still.
            if depth < Depth::Last && !folder.has_news(status) {
                folder.looked(begun);
                continue;
            }
            moved = true;
            let status = session.select(&folder.name).await?;
            folder.take_up(session, status, since).await?;
            something |= folder
                .read_new(session, &self.signer, (begun, by), &self.wires)
                .await?;
        }
        if moved {
            let status = session.select(&first.name).await?;
            first.take_up(session, status, since).await?;
            if first.has_news(status) {
                first
                    .read_new(session, &self.signer, (begun, by), &self.wires)
                    .await?;
            }
        }
        Ok(something)
    }

    /// Takes over what is to be cleaned up, without waiting.
    fn collect_backlog(&mut self) {
        loop {
            match self.wires.dispose.try_recv() {
                Ok(place) => remember(&mut self.backlog, &self.mailbox, place),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.leaving = true;
                    return;
                }
            }
        }
    }

    /// Reads a batch of older messages, where that is due. Whether there are more.
    async fn read_back(&mut self, session: &mut Session, begun: Stamp) -> Result<bool, Blindness> {
        if self.back.again.is_some_and(|again| begun.mono < again) {
            return Ok(false);
        }
        let first = self.folders.first().map(|first| Arc::clone(&first.name));
        let Some(folder) = self.folders.get_mut(self.back.folder) else {
            self.back = Back {
                again: Some(begun.mono + READ_BACK),
                ..Back::default()
            };
            return Ok(false);
        };
        let status = session.select(&folder.name).await?;
        let end = self.back.next.unwrap_or(status.exists).min(status.exists);
        let read = folder
            .read_back(session, (&self.signer, &self.wires), end, begun)
            .await?;
        self.back.next = read.map(|(next, _)| next);
        self.back.passed += read.map_or(PASSED, |(_, others)| others);
        if self.back.passed >= PASSED {
            self.back = Back {
                folder: self.back.folder + 1,
                ..Back::default()
            };
        }
        if let Some(first) = first.filter(|first| *first != folder.name) {
            session.select(&first).await?;
        }
        Ok(true)
    }

    /// Takes away our leftovers among the newest messages of each folder.
    async fn sweep_up(&mut self, session: &mut Session) -> Result<(), Blindness> {
        if !self.sweep.is_on() || self.mailbox.cleanup == Cleanup::Keep {
            return Ok(());
        }
        for number in 0..self.folders.len() {
            let Some(folder) = self.folders.get(number) else {
                break;
            };
            let status = session.select(&folder.name).await?;
            let now = Stamp::now();
            let takes = |tag| self.sweep.takes(tag, &self.signer, now);
            let uids = folder::leftovers(session, status, &self.signer, takes).await?;
            if !uids.is_empty() {
                let (mailbox, count) = (&self.mailbox.name, uids.len());
                tracing::info!(%mailbox, folder = %folder.name, count, "leftovers of earlier runs are swept");
                clean_up(session, &self.mailbox.cleanup, &uids, &mut BTreeSet::new()).await?;
                self.tell_remainder(session).await;
            }
        }
        Ok(())
    }

    async fn clean_up(&mut self, session: &mut Session) -> Result<(), Blindness> {
        let Some(first) = self.folders.first().map(Folder::selected) else {
            return Ok(());
        };
        for (place, copies) in self.refused.take(self.leaving) {
            self.backlog.entry(place).or_default().add(copies);
        }
        if self.backlog.is_empty() {
            return Ok(());
        }
        let mut selected = first.clone();
        while let Some(((folder, validity), mut copies)) = self.backlog.pop_first() {
            if folder != selected.0 {
                let status = session.select(&folder).await?;
                selected = (Arc::clone(&folder), status.validity);
            }
            if selected.1 != validity {
                // The UIDs mean other messages now, if any: they are left alone.
                continue;
            }
            let known = self.folders.iter_mut().find(|it| it.name == folder);
            let Some(known) = known else { continue };
            let cleaned = async {
                let proved = known.proved(session, &self.signer, validity, &copies.tags);
                let uids = proved.await?;
                if uids.is_empty() {
                    return Ok(false);
                }
                let cleanup = &self.mailbox.cleanup;
                clean_up(session, cleanup, &uids, &mut copies.copied).await?;
                Ok(true)
            };
            match cleaned.await {
                Ok(true) => self.refused.relent(),
                Ok(false) => {}
                Err(error @ (ImapError::No { .. } | ImapError::Bad { .. })) => {
                    self.refused.add((folder, validity), copies, &error);
                }
                Err(error) => {
                    // What could not be cleaned up is tried once more, over the next session.
                    self.backlog.insert((folder, validity), copies);
                    return Err(error.into());
                }
            }
        }
        if self.refused.copies.is_empty() {
            self.refused.why = None;
        }
        self.tell_remainder(session).await;
        if selected.0 != first.0 {
            session.select(&first.0).await?;
        }
        Ok(())
    }

    fn has_to_clean_up(&self) -> bool {
        !self.backlog.is_empty() || !self.refused.copies.is_empty()
    }

    /// Tells why copies stay though the mailbox can be read.
    async fn tell_remainder(&mut self, session: &Session) {
        let refused = self.refused.why.clone();
        let why = refused.or_else(|| remainder(session, &self.mailbox.cleanup));
        self.tell_uncleaned(why).await;
    }

    /// Tells that copies stay because the mailbox cannot be read, where there are any.
    async fn tell_unreached(&mut self, blindness: &Blindness) {
        if self.has_to_clean_up() && self.refused.why.is_none() {
            let why = &blindness.failure.what;
            let why = format!("copies stay, because the mailbox cannot be read: {why}");
            self.tell_uncleaned(Some(why)).await;
        }
    }

    /// Tells why copies stay, or that they do not any more, where that is news.
    async fn tell_uncleaned(&mut self, why: Option<String>) {
        let why = why.map(String::into_boxed_str);
        if self.uncleaned != why {
            self.uncleaned.clone_from(&why);
            self.tell(Event::Uncleaned(why)).await;
        }
    }

    /// Waits for the next look: until its time, or until the server or the engine has something to say.
    async fn wait(
        &mut self,
        session: &mut Session,
        pace: &Pace,
        last: Instant,
    ) -> Result<SeenBy, Blindness> {
        loop {
            let interest = *self.wires.interest.borrow_and_update();
            let now = Stamp::now().mono;
            // Where nothing is awaited, what comes late is found all the same, in whichever folder it is.
            let calm = self.sweep.recall.then(|| last + IDLE_MOST);
            let next = pace.next(&interest, last).or(calm);
            if next.is_some_and(|next| next <= now) {
                return Ok(SeenBy::Poll);
            }
            let until = next.unwrap_or(now + IDLE_MOST).min(now + IDLE_MOST);
            let mut disposed = None;
            let wires = &mut self.wires;
            let quiet = async {
                tokio::select! {
                    () = sleep_until(until.into()) => {}
                    place = wires.dispose.recv() => disposed = Some(place),
                    Ok(()) = wires.interest.changed() => {}
                }
            };
            let announced = if session.can.idle && until - now >= IDLE_WORTH {
                match session.idle(quiet).await {
                    Err(ImapError::No { .. } | ImapError::Bad { .. }) => {
                        // It offers IDLE and refuses it: it is polled.
                        session.can.idle = false;
                        continue;
                    }
                    announced => announced?,
                }
            } else {
                quiet.await;
                false
            };
            if let Some(place) = disposed {
                match place {
                    Some(place) => remember(&mut self.backlog, &self.mailbox, place),
                    None => self.leaving = true,
                }
                self.collect_backlog();
                self.clean_up(session).await?;
                if self.leaving {
                    return Ok(SeenBy::Poll);
                }
            } else if announced {
                return Ok(SeenBy::Idle);
            }
        }
    }
}

fn missing_folder(folder: &Folder, error: &ImapError) -> Blindness {
    let ImapError::No { words, .. } = error else {
        return Blindness {
            failure: Failure {
                code: Code::MailboxUnreadable,
                what: error.to_string(),
                remedy: "it is tried again until it answers",
            },
            is_final: false,
        };
    };
    Blindness {
        failure: Failure {
            code: Code::MailboxUnreadable,
            what: format!(
                "the login succeeded, but the folder {} cannot be opened: {words}",
                folder.name
            ),
            remedy: "check the mailbox's `folders` and `junk`",
        },
        is_final: false,
    }
}
