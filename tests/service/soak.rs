//! Much of everything for a while: two hundred routes, faults that change at random, kills, stops, reloads, full disks, and
//! clients of the API that never read. At the end the lab's log and the history agree about every probe, and the program
//! holds no more memory, files and threads than before.
//!
//! It lasts half a minute; `MAILROBIN_SOAK=1h` makes it longer, and `MAILROBIN_SEED` repeats one.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write, stderr};
use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rustix::process::Signal;
use serde_json::Value;
use uuid::Uuid;

use crate::bed::Bed;
use crate::dice::Dice;
use crate::robin::{LONG, Robin, until};
use crate::trouble::{Small, fill};
use crate::wire::id_of;

const ROUTES: usize = 200;
const DEADLINE_MS: f64 = 15_000.0;
/// How much memory, in KiB, and how many files and threads are no leak.
const MORE: Footprint = Footprint {
    memory: 64 * 1024,
    files: 8,
    threads: 8,
};

/// What a message to one route may meet.
const FAULTS: [&str; 9] = [
    "drop",
    "bounce",
    "duplicate",
    "delay=1s",
    "reject=rcpt:550",
    "close-before-reply",
    "close-after-reply",
    "rewrite-subject",
    "new-message-id",
];

fn duration() -> Duration {
    let wanted = env::var("MAILROBIN_SOAK").unwrap_or_else(|_| "30s".into());
    let seconds = wanted.parse().ok().map(Duration::from_secs);
    let written = || Duration::try_from(wanted.parse::<SignedDuration>().ok()?).ok();
    seconds
        .or_else(written)
        .unwrap_or_else(|| panic!("MAILROBIN_SOAK={wanted:?} is neither seconds nor a duration"))
}

fn routes(enabled: bool) -> String {
    let mut text = format!(
        "[defaults]\ngateway = \"lab\"\nfrom = \"probe@lab.example\"\nevery = \"5s\"\n\
         deadline = \"{DEADLINE_MS}ms\"\nblind_grace = \"60s\"\nalerts = [\"post\"]\nenabled = {enabled}\n"
    );
    for number in 0..ROUTES {
        let mailbox = if number % 10 == 0 { "pop3" } else { "imap" };
        write!(
            text,
            "[routes.r{number}]\nmailbox = \"{mailbox}\"\nbounce_mailbox = \"{mailbox}\"\n\
             to = \"r{number}@echo.example\"\ntests = [{{ payload = \"plain\" }}]\n"
        )
        .unwrap();
    }
    text
}

/// Writes the config, and has it read.
fn configure(bed: &Bed, enabled: bool) {
    bed.config(&routes(enabled));
    let service = "listen = \"127.0.0.1:0\"\nmax_in_flight = 10000";
    bed.change("listen = \"none\"", service);
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    /// In KiB.
    memory: u64,
    files: usize,
    threads: usize,
}

impl Footprint {
    fn of(robin: &Robin) -> Self {
        let count = |name: &str| fs::read_dir(robin.proc().join(name)).unwrap().count();
        let status = fs::read_to_string(robin.proc().join("status")).unwrap();
        let memory = status.split_once("VmRSS:").unwrap().1;
        Self {
            memory: memory.split_whitespace().next().unwrap().parse().unwrap(),
            files: count("fd"),
            threads: count("task"),
        }
    }
}

/// Asks the API for something.
fn ask(bed: &Bed, path: &str) -> TcpStream {
    let address = fs::read_to_string(bed.path("state/address")).unwrap();
    let address = address.trim().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address.trim_end_matches('/')).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Whether the program answers; a full disk may be no good health.
fn answers(bed: &Bed) {
    let mut answer = String::new();
    ask(bed, "/healthz").read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
}

/// What the lab did with a message.
#[derive(Debug, Default)]
struct Fate {
    refused: usize,
    accepted: usize,
    dropped: usize,
    bounced: usize,
    copies: u64,
}

/// What the lab did with each probe, by its log.
fn fates(log: &Path) -> BTreeMap<Uuid, Fate> {
    let mut fates: BTreeMap<Uuid, Fate> = BTreeMap::new();
    let mut queue = BTreeMap::new();
    for line in fs::read_to_string(log).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let (queued, event) = (line["id"].as_str(), line["message"].as_str());
        if let Some(probe) = line["envelope"].as_str().and_then(id_of) {
            let fate = fates.entry(probe).or_default();
            match event {
                Some("accepted") => fate.accepted += 1,
                Some("refused") => fate.refused += 1,
                _ => {}
            }
            if let Some(queued) = queued {
                queue.insert(queued.to_owned(), probe);
            }
        } else if let Some(probe) = queued.and_then(|queued| queue.get(queued)) {
            let fate = fates.entry(*probe).or_default();
            match event {
                Some("dropped") => fate.dropped += 1,
                Some("bounced") => fate.bounced += 1,
                Some("delivered") => fate.copies += line["copies"].as_u64().unwrap(),
                _ => {}
            }
        }
    }
    fates
}

/// Whether the history says of a probe what the lab did with it.
fn agree(record: &Value, fate: &Fate) -> bool {
    let outcome = record["outcome"].as_str().unwrap();
    // A process that ended before it heard the reply knows only what it finds in the mailbox.
    let is_cut = outcome == "unfinished" && record["code"] == "interrupted";
    let is_late = || record["round_trip_ms"].as_f64().unwrap() > DEADLINE_MS;
    match fate {
        Fate { accepted: 0, .. } => is_cut || (fate.refused > 0 && outcome == "rejected"),
        Fate { dropped: 1, .. } => is_cut || outcome == "missing" && record["late"] == false,
        Fate { bounced: 1, .. } => outcome == "bounced",
        Fate { copies: 1.., .. } => {
            record["duplicates"].as_u64() == Some(fate.copies - 1)
                && (outcome == "delivered"
                    || outcome == "missing" && record["late"] == true && is_late())
        }
        _ => false,
    }
}

struct Soak {
    bed: Bed,
    robin: Option<Robin>,
    dice: Dice,
    has_small_disk: bool,
    /// Clients that never read.
    silent: Vec<TcpStream>,
}

impl Soak {
    /// Lets something happen.
    fn step(&mut self, may_end: bool) {
        sleep(Duration::from_millis(self.dice.below(700)));
        let robin = self.robin.as_ref().unwrap();
        match self.dice.below(20) {
            0 if may_end => {
                self.robin.take().unwrap().kill();
                self.robin = Some(self.bed.start());
            }
            1 if may_end => {
                self.robin.take().unwrap().stop();
                self.robin = Some(self.bed.start());
            }
            2 if self.has_small_disk => {
                let told = |event| self.bed.post.of(event).len();
                let troubles = told("trouble");
                let filler = fill(&self.bed);
                until("the full disk is told of", || told("trouble") > troubles);
                fs::remove_file(filler).unwrap();
                until("it is over", || told("trouble-over") == told("trouble"));
            }
            3 => {
                configure(&self.bed, true);
                robin.signal(Signal::HUP);
            }
            4 => {
                let blinding = ["imap-down=1s", "imap-down=5s", "uidvalidity"];
                self.bed
                    .fault(&format!("add {}", self.dice.one_of(&blinding)));
            }
            5 | 6 => {
                let all = "/api/v1/probes?limit=1000";
                self.silent.push(ask(&self.bed, all));
            }
            7..=10 => {
                let kind = self.dice.one_of(&FAULTS).split('=').next().unwrap();
                self.bed.fault(&format!("clear {kind}"));
            }
            _ => {
                let fault = self.dice.one_of(&FAULTS);
                for _ in 0..5 {
                    let route = self.dice.below(ROUTES as u64);
                    self.bed.fault(&format!("add {fault},to=r{route}"));
                }
            }
        }
        answers(&self.bed);
    }
}

#[test]
fn a_soak() {
    let duration = duration();
    let (seed, dice) = Dice::cast("a soak");
    let dir = tempfile::tempdir().unwrap();
    let small = Small::mount(&dir, 64 + duration.as_secs() / 8);
    let bed = Bed::on(dir, "");
    configure(&bed, false);
    let robin = bed.start();
    let first = Footprint::of(&robin);
    configure(&bed, true);
    robin.signal(Signal::HUP);
    let mut soak = Soak {
        bed,
        robin: Some(robin),
        dice,
        has_small_disk: small.is_some(),
        silent: Vec::new(),
    };
    let begun = Instant::now();
    while begun.elapsed() < duration / 3 {
        soak.step(true);
    }
    // From now on one process goes on.
    while begun.elapsed() < duration * 2 / 3 {
        soak.step(false);
    }
    let warm = Footprint::of(soak.robin.as_ref().unwrap());
    while begun.elapsed() < duration {
        soak.step(false);
    }
    let robin = soak.robin.take().unwrap();
    let last = Footprint::of(&robin);
    let said = format!("seed {seed}: {first:?} at first, {warm:?} later, {last:?} at last\n");
    stderr().write_all(said.as_bytes()).unwrap();
    assert!(last.memory <= warm.memory * 5 / 4 + MORE.memory, "{said}");
    let Soak { bed, silent, .. } = soak;
    // It goes before the folder that it is mounted in.
    let _small = small;
    drop(silent);
    configure(&bed, false);
    robin.signal(Signal::HUP);
    until("nothing is open", || bed.history.open() == Some((0, 0)));
    until("no file and no thread is left", || {
        let now = Footprint::of(&robin);
        now.files <= first.files + MORE.files && now.threads <= first.threads + MORE.threads
    });
    robin.stop();
    configure(&bed, true);
    bed.settle();
    until("the lab is done", || bed.copies() == 0);
    let (probes, fates) = (bed.nothing_amiss(), fates(&bed.path("lab.log")));
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for (id, record) in &probes {
        let none = Fate::default();
        let fate = fates.get(id).unwrap_or(&none);
        assert!(fate.accepted <= 1, "seed {seed}: {fate:?}: {record}");
        assert!(agree(record, fate), "seed {seed}: {fate:?}: {record}");
        *outcomes
            .entry(record["outcome"].as_str().unwrap())
            .or_default() += 1;
    }
    for (id, fate) in &fates {
        assert!(probes.contains_key(id), "seed {seed}: not known: {fate:?}");
    }
    let said = format!("seed {seed}: {} probes: {outcomes:?}\n", probes.len());
    stderr().write_all(said.as_bytes()).unwrap();
    assert!(outcomes.contains_key("delivered"), "{said}");
}
