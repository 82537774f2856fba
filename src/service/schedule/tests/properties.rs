//! Whenever it is asked and whatever the clocks do.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

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
        jumps in prop::collection::vec((0_u64..4_000, -7_000_i64..7_000), 1..30),
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
            prop_assert!(last.since(at) + most + MINUTE > Duration::from_hours(12));
        }
        let at = at + Duration::from_hours(12);
        schedule.set_mood(&"inbound".into(), Mood::Well, at);
        let starts = run(&mut schedule, at, Duration::from_hours(12));
        prop_assert_eq!(starts.len(), 24);
        prop_assert_eq!(schedule.missed(&"inbound".into()), 0);
    }
}
