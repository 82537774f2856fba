//! The wall clock is set while the service runs: a day forward and back, and past the changes of summer time. The program
//! sees the clock that libfaketime shows it; the lab and these tests see the true one.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::bed::Bed;
use crate::robin::{Environment, until};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The wall clock of the program.
struct Clock {
    file: PathBuf,
}

impl Clock {
    /// A true clock for the program of this bed; `None`, said loudly, where there is no libfaketime.
    fn of(bed: &mut Bed) -> Option<Self> {
        let Some(library) = libfaketime() else {
            let required = env::var("MAILROBIN_STACK").unwrap_or_default();
            let is_required = required
                .split(',')
                .any(|it| it == "stack" || it == "required");
            assert!(!is_required, "libfaketime is required and not installed");
            let said = b"SKIPPED: clocks that are set: libfaketime is not installed\n";
            stderr().write_all(said).unwrap();
            return None;
        };
        let clock = Self {
            file: bed.path("clock"),
        };
        clock.set(SignedDuration::ZERO);
        bed.environment = Environment::from([
            ("LD_PRELOAD", library.into_os_string()),
            ("FAKETIME_TIMESTAMP_FILE", clock.file.clone().into()),
            ("FAKETIME_NO_CACHE", OsString::from("1")),
            ("FAKETIME_DONT_FAKE_MONOTONIC", OsString::from("1")),
        ]);
        Some(clock)
    }

    /// Sets it this far ahead of the true one.
    fn set(&self, ahead: SignedDuration) {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{:+.3}\n", ahead.as_secs_f64())).unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    /// Sets it to this time.
    fn set_to(&self, wall: Timestamp) {
        self.set(wall.duration_since(Timestamp::now()));
    }
}

fn libfaketime() -> Option<PathBuf> {
    let arch = |base: &str| fs::read_dir(base).into_iter().flatten().flatten();
    let dirs = ["/usr/lib", "/usr/lib64"]
        .iter()
        .flat_map(|base| arch(base));
    let dirs = dirs.map(|dir| dir.path().join("faketime"));
    dirs.chain([PathBuf::from("/usr/lib64/faketime")])
        .map(|dir| dir.join("libfaketimeMT.so.1"))
        .find(|library| Path::exists(library))
}

fn moment(record: &Value, key: &str) -> Timestamp {
    record[key].as_str().unwrap().parse().unwrap()
}

fn route(name: &str, more: &str) -> String {
    format!(
        "[routes.{name}]\ngateway = \"lab\"\nmailbox = \"imap\"\nbounce_mailbox = \"imap\"\n\
         from = \"probe@lab.example\"\nto = \"{name}@echo.example\"\ndeadline = \"20s\"\nblind_grace = \"30s\"\n\
         alerts = [\"post\"]\nfail_after = 1\ntests = [{{ payload = \"plain\" }}]\n{more}\n"
    )
}

/// Every probe came back, and its times are those of a message that took seconds.
fn all_came_back(bed: &Bed) {
    for record in bed.as_sent().values() {
        assert_eq!(record["late"], false, "{record}");
        let phases = record["phases"].as_array().unwrap();
        let times = phases.iter().map(|phase| &phase["ms"]);
        for ms in times.chain([&record["round_trip_ms"]]) {
            let ms = ms.as_f64().unwrap();
            assert!((0.0..60_000.0).contains(&ms), "{record}");
        }
    }
}

#[test]
fn a_day_forward_and_back_moves_no_probe() {
    let every = "every = \"2s\"";
    let minutely = "cron = \"* * * * *\"\ntimezone = \"Europe/Berlin\"";
    let mut bed = Bed::with(&format!(
        "{}{}{}",
        route("loop", every),
        route("slow", every),
        route("minutely", minutely)
    ));
    let Some(clock) = Clock::of(&mut bed) else {
        return;
    };
    bed.fault("add delay=3s,to=slow");
    let robin = bed.start();
    let begun = Instant::now();
    let jumps = [0, 1, 0, -1, 0];
    for days in jumps {
        // Two seconds before a minute begins.
        let minute = 60 * (Timestamp::now().as_second() / 60 + 1);
        let minute = Timestamp::from_second(minute).unwrap() + DAY * days;
        clock.set_to(minute - SignedDuration::from_secs(2));
        let count = |route: &str| bed.history.settled(route, "plain").len();
        let (fast, slow) = (count("loop"), count("slow"));
        until("the even routes go on", || {
            count("loop") >= fast + 2 && count("slow") >= slow + 2
        });
        until("the calendar goes by the new time", || {
            let settled = bed.history.settled("minutely", "plain");
            settled.iter().any(|it| moment(it, "due_at") == minute)
        });
    }
    clock.set(SignedDuration::ZERO);
    robin.stop();
    let most = begun.elapsed().as_secs();
    bed.settle();
    all_came_back(&bed);
    for (route, most) in [
        ("loop", most / 2),
        ("slow", most / 2),
        // Each time that was set back and came again, and the newest that a jump forward skipped.
        ("minutely", most / 60 + 2 * 5),
    ] {
        let count = bed.history.settled(route, "plain").len();
        assert!(count as u64 <= most + 2, "{route}: {count} in {most} s");
    }
    assert_eq!(bed.post.notices(), Vec::<Value>::new());
}

/// The even route goes on over a change of summer time; gives when each route was due.
fn over(change: &str, hourly: &str, nightly: &str) -> Option<(Bed, Timestamp)> {
    let cron = |cron: &str| format!("cron = \"{cron}\"\ntimezone = \"Europe/Berlin\"");
    let mut bed = Bed::with(&format!(
        "{}{}{}",
        route("loop", "every = \"2s\""),
        route("hourly", &cron(hourly)),
        route("nightly", &cron(nightly))
    ));
    let clock = Clock::of(&mut bed)?;
    let change: Timestamp = change.parse().unwrap();
    clock.set_to(change - SignedDuration::from_secs(5));
    let robin = bed.start();
    until("it is past the change", || {
        let settled = bed.history.settled("loop", "plain");
        let past = settled.iter().filter(|it| moment(it, "due_at") > change);
        past.count() >= 3 && !bed.history.settled("hourly", "plain").is_empty()
    });
    robin.stop();
    bed.settle();
    all_came_back(&bed);
    let mut due: Vec<_> = bed.history.settled("loop", "plain");
    // The first of all does not wait for its place on the grid.
    for pair in due.split_off(1).windows(2) {
        let apart = moment(&pair[1], "due_at").duration_since(moment(&pair[0], "due_at"));
        assert_eq!(apart, SignedDuration::from_secs(2), "{pair:?}");
    }
    assert_eq!(bed.post.notices(), Vec::<Value>::new());
    Some((bed, change))
}

fn due(bed: &Bed, route: &str) -> Vec<Timestamp> {
    let settled = bed.history.settled(route, "plain");
    settled.iter().map(|it| moment(it, "due_at")).collect()
}

#[test]
fn over_the_end_of_summer_time_a_night_has_its_test_once() {
    // It is two o'clock for the second time.
    let Some((bed, change)) = over("2026-10-25T01:00:00Z", "0 * * * *", "0 2 * * *") else {
        return;
    };
    assert_eq!(due(&bed, "hourly"), [change]);
    assert_eq!(due(&bed, "nightly"), []);
}

#[test]
fn over_the_begin_of_summer_time_a_night_has_its_test_at_the_end_of_the_gap() {
    // After 01:59 comes 03:00.
    let Some((bed, change)) = over("2027-03-28T01:00:00Z", "0 * * * *", "30 2 * * *") else {
        return;
    };
    assert_eq!(due(&bed, "hourly"), [change]);
    assert_eq!(due(&bed, "nightly"), [change]);
}

#[test]
fn a_mailbox_that_was_down_while_the_clock_was_set_had_the_copies_in_time() {
    let route = route("loop", "every = \"1s\"").replace("\"20s\"", "\"5s\"");
    let mut bed = Bed::with(&route);
    let Some(clock) = Clock::of(&mut bed) else {
        return;
    };
    clock.set(-DAY);
    let robin = bed.start();
    let mut before_it_was_set = BTreeSet::new();
    // A wrong clock is corrected, and a right one is set wrong, forward and back.
    for ahead in [SignedDuration::ZERO, DAY, SignedDuration::ZERO, -DAY] {
        let settled = bed.history.settled("loop", "plain").len();
        until("it is tested", || {
            bed.history.settled("loop", "plain").len() > settled
        });
        bed.fault("add imap-down=10m");
        let before = bed.smtp.taken();
        until("some are sent", || {
            bed.smtp.taken().len() >= before.len() + 2
        });
        // Their deadline passes.
        sleep(Duration::from_secs(6));
        let mut sent = bed.smtp.taken();
        sent.retain(|id, _| !before.contains_key(id));
        clock.set(ahead);
        before_it_was_set.extend(sent.keys().copied());
        bed.fault("clear");
        until("they have their outcome", || {
            let mut sent = sent.keys();
            sent.all(|id| !bed.history.probe(*id)["outcome"].is_null())
        });
    }
    robin.stop();
    bed.settle();
    for (id, record) in bed.nothing_amiss() {
        // While it is a day off, what the mailbox says of its time proves nothing.
        let may_be_unseen = !before_it_was_set.contains(&id);
        let outcome = record["outcome"].as_str().unwrap();
        assert!(
            outcome == "delivered" || outcome == "unseen" && may_be_unseen,
            "{record}"
        );
        assert_eq!(record["late"], false, "{record}");
        let reason = record["reason"].as_str().unwrap();
        assert!(
            !reason.contains("1d") && !reason.contains("23h"),
            "{reason}"
        );
    }
    assert_eq!(bed.post.of("failed"), Vec::<Value>::new());
}

#[test]
fn a_probe_of_a_time_to_come_is_not_waited_for_until_then() {
    let every = "every = \"1s\"";
    let routes = format!(
        "{}{}",
        route("loop", every),
        route("deferred", "every = \"1s\"\ndefer_for = \"1m\"")
    );
    let mut bed = Bed::with(&routes.replace("\"20s\"", "\"2s\""));
    let Some(clock) = Clock::of(&mut bed) else {
        return;
    };
    bed.fault("add drop");
    bed.fault("add defer=1000,to=deferred");
    clock.set(DAY);
    let robin = bed.start();
    until("one is on its way, and one is put off", || {
        let said = bed.smtp.client();
        let is_put_off = said.iter().any(|(_, line)| line.contains("<deferred@"));
        is_put_off && !bed.smtp.taken().is_empty()
    });
    // What came of it is kept.
    sleep(Duration::from_millis(500));
    robin.kill();
    clock.set(SignedDuration::ZERO);
    bed.fault("clear defer");
    let mut sent = bed.history.probes();
    sent.retain(|it| it["outcome"].is_null());
    assert!(!sent.is_empty());
    let robin = bed.start();
    until("they have their outcome", || {
        sent.iter().all(|it| {
            let id = it["id"].as_str().unwrap().parse().unwrap();
            !bed.history.probe(id)["outcome"].is_null()
        })
    });
    robin.stop();
    bed.settle();
    bed.nothing_amiss();
}

#[test]
fn an_incident_outlasts_a_clock_that_is_set_forward_and_back() {
    let route = route("loop", "every = \"1s\"\nremind_every = \"1h\"").replace("\"20s\"", "\"2s\"");
    let mut bed = Bed::with(&route);
    let Some(clock) = Clock::of(&mut bed) else {
        return;
    };
    bed.fault("add drop");
    let robin = bed.start();
    until("somebody is told", || !bed.post.of("failed").is_empty());
    for ahead in [DAY, SignedDuration::ZERO, -DAY, SignedDuration::ZERO] {
        clock.set(ahead);
        let before = bed.history.settled("loop", "plain").len();
        until("it fails on", || {
            bed.history.settled("loop", "plain").len() >= before + 2
        });
    }
    let reminders = bed.post.of("still-failing").len();
    // One for each time that the clock went forward.
    assert!((1..=2).contains(&reminders), "{:?}", bed.post.notices());
    bed.fault("clear");
    until("it passes again", || !bed.post.of("recovered").is_empty());
    robin.stop();
    bed.settle();
    bed.nothing_amiss();
    for (event, count) in [
        ("failed", 1),
        ("recovered", 1),
        ("still-failing", reminders),
    ] {
        assert_eq!(bed.post.of(event).len(), count, "{:?}", bed.post.notices());
    }
    let incidents = bed.history.incidents();
    assert_eq!(incidents.len(), 1);
    assert!(
        incidents[0].ended >= Some(incidents[0].began),
        "{incidents:?}"
    );
}
