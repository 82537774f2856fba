//! Whenever it is asked and whatever the clocks do, nothing starts twice and nothing is lost without being counted.

mod properties;

use jiff::tz::TimeZone;

use super::*;
use crate::config::plan::{Cron, Line, Maintenance, Policy, Timing};

const MINUTE: Duration = Duration::from_mins(1);

fn start() -> Stamp {
    Stamp {
        wall: "2026-01-01T00:00:00Z".parse().unwrap(),
        mono: Stamp::now().mono,
    }
}

fn back(stamp: Stamp, by: Duration) -> Stamp {
    Stamp {
        wall: stamp.wall - by,
        ..stamp
    }
}

fn line(timing: Timing) -> Line {
    Line {
        timing,
        tests: vec![0],
        is_harmless: true,
    }
}

fn every(period: Duration) -> Line {
    line(Timing::Every(period))
}

fn cron(pattern: &str) -> Line {
    line(Timing::Cron(Cron::parse(pattern, TimeZone::UTC).unwrap()))
}

fn watch(lines: Vec<Line>) -> Watch {
    Watch {
        enabled: true,
        lines,
        every_when_down: None,
        every_when_lost: None,
        maintenance: Vec::new(),
        policy: Policy::default(),
        alerts: Vec::new(),
        recovery: None,
    }
}

fn watches(watch: Watch) -> BTreeMap<RouteName, Arc<Watch>> {
    BTreeMap::from([("inbound".into(), Arc::new(watch))])
}

/// A schedule of one route whose lines ran at `last`.
fn ran(watch: Watch, last: Timestamp, now: Stamp) -> Schedule {
    let name = "inbound".into();
    let last = keys(&name, &watch).into_iter().map(|key| (key, last));
    let past = Past {
        last: last.collect(),
        ..Past::default()
    };
    Schedule::new(&watches(watch), &past, now)
}

/// Asks whenever it wants to be asked, for so long.
fn run(schedule: &mut Schedule, from: Stamp, length: Duration) -> Vec<Start> {
    let end = from + length;
    let mut starts = Vec::new();
    while let Some(at) = schedule.next().filter(|at| *at <= end.mono) {
        let now = from + at.saturating_duration_since(from.mono);
        starts.extend(schedule.due(now));
    }
    starts
}

#[test]
fn a_thousand_routes_share_the_minute_in_which_they_start() {
    let one = Arc::new(watch(vec![every(15 * MINUTE), every(360 * MINUTE)]));
    let name = |number| RouteName::from(format!("route-{number}").as_str());
    let watches = (0..1000).map(|number| (name(number), Arc::clone(&one)));
    let now = start();
    let mut schedule = Schedule::new(&watches.collect(), &Past::default(), now);
    let first = run(&mut schedule, now, MINUTE);
    let lines: BTreeSet<_> = first.iter().map(|start| &start.key).collect();
    assert_eq!(lines.len(), 2000);
    let mut seconds = BTreeMap::new();
    for start in &first {
        *seconds
            .entry(start.due.since(now).as_secs())
            .or_insert(0_u32) += 1;
    }
    assert!(seconds.values().all(|count| *count < 80), "{seconds:?}");
    let later = run(&mut schedule, now + MINUTE, 60 * MINUTE);
    assert!((4000..4250).contains(&later.len()), "{}", later.len());
}

#[test]
fn a_cycle_of_a_line_that_never_ran_is_not_counted_as_missed() {
    let now = start();
    let mut schedule = Schedule::new(&watches(watch(vec![every(MINUTE)])), &Past::default(), now);
    schedule.due(now + Duration::from_hours(5));
    assert!(schedule.missed(&"inbound".into()) >= 299);
    let slept = Stamp {
        wall: now.wall + Duration::from_hours(3),
        ..now
    };
    let mut schedule = Schedule::new(&watches(watch(vec![every(MINUTE)])), &Past::default(), now);
    schedule.due(slept);
    assert_eq!(schedule.missed(&"inbound".into()), 0);
}

#[test]
fn counting_what_a_calendar_missed_is_bounded() {
    let now = start();
    let mut year = ran(
        watch(vec![cron("* * * * *")]),
        now.wall - Duration::from_hours(24 * 365),
        now,
    );
    assert_eq!(year.missed(&"inbound".into()), 100_000);
    assert_eq!(run(&mut year, now, 3 * MINUTE).len(), 3);
    let off = Stamp {
        wall: now.wall + Duration::from_hours(24 * 365),
        ..now + 3 * MINUTE
    };
    assert_eq!(year.due(off), []);
    assert_eq!(run(&mut year, off, 3 * MINUTE).len(), 3);
}

#[test]
fn lines_of_the_same_timing_have_names_of_their_own() {
    let mut harmful = every(MINUTE);
    harmful.is_harmless = false;
    let watch = watch(vec![
        every(MINUTE),
        every(MINUTE),
        harmful,
        cron("0 * * * *"),
    ]);
    let names: Vec<_> = keys(&"a".into(), &watch)
        .into_iter()
        .map(|key| key.line)
        .collect();
    assert_eq!(
        names,
        [
            "every 1m",
            "every 1m #2",
            "every 1m harmful",
            "cron 0 * * * * UTC"
        ]
    );
}

#[test]
fn a_reload_keeps_the_times_of_what_did_not_change() {
    let now = start();
    let mut plain = watch(vec![every(15 * MINUTE), every(20 * MINUTE)]);
    let mut schedule = ran(plain.clone(), now.wall, now);
    let before = run(&mut schedule.clone(), now, 120 * MINUTE);
    plain.lines.remove(0);
    plain.lines.push(every(7 * MINUTE));
    schedule.reload(&watches(plain), now + Duration::from_secs(1));
    let after = run(&mut schedule, now, 120 * MINUTE);
    let of = |starts: &[Start], key: &str| {
        let of_key = starts.iter().filter(|start| start.key.line == key);
        of_key.map(|start| start.due).collect::<Vec<_>>()
    };
    assert_eq!(of(&after, "every 20m"), of(&before, "every 20m"));
    assert_eq!(of(&before, "every 20m").len(), 6);
    assert_eq!(of(&after, "every 15m"), []);
    assert!(of(&after, "every 7m").len() >= 17);
    assert!(
        after
            .iter()
            .any(|start| start.key.line == "every 20m" && start.line == 0)
    );
    schedule.reload(&BTreeMap::new(), now);
    assert_eq!(schedule.next(), None);
}

#[test]
fn what_is_asked_for_starts_at_once_and_shifts_nothing() {
    let now = start();
    let name = RouteName::from("inbound");
    let mut schedule = ran(watch(vec![every(15 * MINUTE)]), now.wall, now);
    let planned = schedule.next();
    schedule.trigger(&name, now);
    schedule.trigger(&"outbound".into(), now);
    assert_eq!(schedule.next(), Some(now.mono));
    let starts = schedule.due(now + Duration::from_millis(5));
    assert!(matches!(starts.as_slice(), [start] if start.is_asked && start.due == now));
    assert_eq!(schedule.next(), planned);
    schedule.pause(&name);
    assert_eq!((schedule.next(), schedule.upcoming(&name)), (None, None));
    schedule.trigger(&name, now);
    assert_eq!(schedule.due(now).len(), 1);
    schedule.resume(&name, now);
    assert_eq!(schedule.next(), planned);
    // Due and asked for at once: it starts once.
    let due = now + planned.unwrap().duration_since(now.mono);
    schedule.trigger(&name, due);
    let starts = schedule.due(due);
    assert!(matches!(starts.as_slice(), [start] if !start.is_asked));
}

#[test]
fn what_maintenance_covers_is_not_missed_after_a_stop() {
    let now = start();
    let hour = Duration::from_hours(1);
    let mut one = watch(vec![every(10 * MINUTE), cron("*/10 * * * *")]);
    let stopped = now.wall - 6 * hour;
    assert_eq!(ran(one.clone(), stopped, now).missed(&"inbound".into()), 72);
    one.maintenance = vec![Maintenance::Once {
        from: now.wall - 4 * hour,
        to: now.wall - 2 * hour,
    }];
    assert_eq!(ran(one.clone(), stopped, now).missed(&"inbound".into()), 48);
    let paused = Past {
        paused: ["inbound".into()].into(),
        last: keys(&"inbound".into(), &one)
            .into_iter()
            .map(|key| (key, stopped))
            .collect(),
    };
    let schedule = Schedule::new(&watches(one), &paused, now);
    assert_eq!(schedule.missed(&"inbound".into()), 0);
    assert!(schedule.is_paused(&"inbound".into()));
}

#[test]
fn clocks_less_than_a_second_apart_are_left_alone() {
    let now = start();
    let mut schedule = ran(watch(vec![every(MINUTE)]), now.wall, now);
    let due = now + schedule.next().unwrap().duration_since(now.mono);
    let starts = schedule.due(back(due, Duration::from_millis(900)));
    assert_eq!(starts[0].due, due);
    let due = due + MINUTE;
    let starts = schedule.due(back(due, Duration::from_millis(1100)));
    assert_eq!(starts[0].due, back(due, Duration::from_millis(1100)));
}
