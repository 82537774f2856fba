//! Whenever it is asked and whatever the clocks do, nothing starts twice and nothing is lost without being counted.

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use proptest::prelude::*;

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

proptest! {
    #[test]
    fn asked_at_any_times_it_starts_or_counts_every_time_of_the_grid(
        period in 1_u64..7200,
        gaps in prop::collection::vec(1_u64..20_000, 1..60),
    ) {
        let period = Duration::from_secs(period);
        let now = start();
        let mut schedule = ran(watch(vec![every(period)]), now.wall, now);
        let first = schedule.next().unwrap();
        prop_assert!(first > now.mono && first <= now.mono + period);
        let mut at = now;
        let mut starts = Vec::new();
        for gap in gaps {
            let before = at;
            at = at + Duration::from_secs(gap);
            let started = schedule.due(at);
            prop_assert!(started.len() <= 1);
            for start in started {
                // The newest of those that passed, at the very time it was due.
                prop_assert!(start.due.mono > before.mono && start.due.mono <= at.mono);
                prop_assert!(at.since(start.due) < period);
                prop_assert_eq!(start.due.wall, now.wall_at(start.due.mono));
                let steps = start.due.mono.duration_since(first).as_nanos();
                prop_assert_eq!(steps % period.as_nanos(), 0);
                starts.push(start);
            }
        }
        let passed = at.mono.checked_duration_since(first).map_or(0, |past| 1 + past.as_nanos() / period.as_nanos());
        let missed = schedule.missed(&"inbound".into());
        prop_assert_eq!(starts.len() as u128 + u128::from(missed), passed);
        prop_assert_eq!(starts.iter().map(|start| u64::from(start.missed)).sum::<u64>(), missed);
    }

    #[test]
    fn no_wall_clock_shifts_even_distances(
        period in 1_u64..7200,
        jumps in prop::collection::vec(-20_000_i64..20_000, 1..40),
    ) {
        let period = Duration::from_secs(period);
        let now = start();
        let mut schedule = ran(watch(vec![every(period)]), now.wall, now);
        let mut at = now;
        let mut last = None;
        for jump in jumps {
            let due = schedule.next().unwrap();
            at = at + due.duration_since(at.mono);
            at.wall = at.wall.saturating_add(SignedDuration::from_secs(jump)).unwrap();
            let starts = schedule.due(at);
            prop_assert_eq!(starts.len(), 1);
            prop_assert_eq!(starts[0].due.mono, due);
            // Clocks less than a second apart are left alone.
            let off = starts[0].due.wall.duration_since(at.wall).unsigned_abs();
            prop_assert!(off < Duration::from_secs(1));
            prop_assert!(last.is_none_or(|last| due.duration_since(last) == period));
            last = Some(due);
        }
    }

    #[test]
    fn a_calendar_starts_no_minute_twice_and_never_stops(
        jumps in prop::collection::vec((0_u64..4_000, -7_000_i64..7_000), 1..60),
    ) {
        let now = start();
        let mut schedule = ran(watch(vec![cron("*/5 * * * *")]), now.wall, now);
        let mut at = now;
        let mut seen = BTreeSet::new();
        for (wait, jump) in jumps {
            let mut starts = run(&mut schedule, at, Duration::from_secs(wait));
            at = at + Duration::from_secs(wait);
            at.wall = at.wall.saturating_add(SignedDuration::from_secs(jump)).unwrap();
            starts.extend(schedule.due(at));
            for start in starts {
                prop_assert_eq!(start.due.wall.as_second() % 300, 0);
                // A time that lies too far ahead is forgotten, and may come again.
                let highest = seen.last().copied();
                let is_new = highest.is_none_or(|highest| start.due.wall > highest);
                prop_assert!(is_new || highest.unwrap().duration_since(start.due.wall) > SignedDuration::from_mins(110));
                if !is_new {
                    seen.clear();
                }
                seen.insert(start.due.wall);
            }
            let next = schedule.next().unwrap();
            prop_assert!(next <= at.mono + LOOK);
            let upcoming = schedule.upcoming(&"inbound".into()).unwrap();
            prop_assert!(upcoming > at.wall - Duration::from_secs(1));
            prop_assert!(upcoming.duration_since(at.wall) <= SignedDuration::from_mins(126));
        }
    }

    #[test]
    fn a_restart_finds_the_same_grid(period in 1_u64..50_000, stopped in 1_u64..500_000) {
        let period = Duration::from_secs(period);
        let now = start();
        let mut one = ran(watch(vec![every(period)]), now.wall, now);
        let due = one.next().unwrap();
        let last = now + due.duration_since(now.mono);
        let begun = one.due(last);
        prop_assert_eq!(begun.len(), 1);
        let again = last + Duration::from_secs(stopped);
        let other = ran(watch(vec![every(period)]), begun[0].due.wall, again);
        let next = other.upcoming(&"inbound".into()).unwrap();
        let distance = next.duration_since(begun[0].due.wall).as_nanos();
        let period = i128::try_from(period.as_nanos()).unwrap();
        prop_assert_eq!(distance % period, 0);
        prop_assert_eq!(i128::from(other.missed(&"inbound".into())), distance / period - 1);
        prop_assert_eq!(one.missed(&"inbound".into()), 0);
    }

    #[test]
    fn a_route_that_fails_is_tested_as_often_as_asked(mood_at in 0_u64..5_000, down in 1_u64..10_000) {
        let now = start();
        let mut one = watch(vec![every(60 * MINUTE), cron("0 * * * *")]);
        one.every_when_down = Some(Duration::from_secs(down));
        let mut schedule = ran(one, now.wall, now);
        run(&mut schedule, now, Duration::from_secs(mood_at));
        let at = now + Duration::from_secs(mood_at);
        schedule.set_mood(&"inbound".into(), Mood::Failing, at);
        let starts = run(&mut schedule, at, Duration::from_hours(12));
        let most = Duration::from_secs(down).min(60 * MINUTE);
        for line in 0..2 {
            let mut last = at;
            for start in starts.iter().filter(|start| start.line == line) {
                prop_assert!(start.due.since(last) <= most);
                last = start.due;
            }
            prop_assert!(last.since(at) + most > Duration::from_hours(12) - MINUTE);
        }
        let at = at + Duration::from_hours(12);
        schedule.set_mood(&"inbound".into(), Mood::Well, at);
        let starts = run(&mut schedule, at, Duration::from_hours(12));
        prop_assert_eq!(starts.len(), 24);
        prop_assert_eq!(schedule.missed(&"inbound".into()), 0);
    }
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
