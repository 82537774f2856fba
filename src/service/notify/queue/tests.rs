use std::sync::LazyLock;

use jiff::civil::time;
use jiff::tz::TimeZone;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Half an hour into the quiet hours.
fn start() -> Stamp {
    static NOW: LazyLock<Stamp> = LazyLock::new(Stamp::now);
    Stamp {
        wall: "2026-01-01T22:30:00Z".parse().unwrap(),
        ..*NOW
    }
}

fn nights() -> Quiet {
    Quiet {
        from: time(22, 0, 0, 0),
        to: time(7, 0, 0, 0),
        zone: TimeZone::UTC,
    }
}

fn letter(id: u128, incident: u128, severity: Severity, event: Event) -> Letter {
    let mut notice = Notice::sample(Uuid::from_u128(id), start().wall, "test");
    notice.severity = severity;
    notice.event = event;
    notice.incident = Some(Uuid::from_u128(incident));
    Letter {
        notice,
        attempts: 0,
    }
}

fn queue(letters: impl IntoIterator<Item = Letter>) -> Queue {
    let mut queue = Queue::new();
    for letter in letters {
        queue.push(letter, start());
    }
    queue
}

/// Delivers what may go out, and says in which order it went.
fn delivered(queue: &mut Queue, now: Stamp, quiet: Option<&Quiet>) -> Vec<u128> {
    let mut ids = Vec::new();
    while let Next::Now(incident) = queue.next(now, quiet) {
        ids.push(queue.delivered(incident).unwrap().0.as_u128());
    }
    ids
}

/// The incident whose turn it is, and at once if it is.
fn turn(queue: &Queue, now: Stamp) -> u128 {
    match queue.next(now, None) {
        Next::Now(incident) => incident.as_u128(),
        other => panic!("{other:?}"),
    }
}

fn wakes(queue: &Queue, now: Stamp, quiet: Option<&Quiet>) -> Duration {
    match queue.next(now, quiet) {
        Next::At(at) => at - now.mono,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_worst_goes_first_and_each_incident_in_its_order() {
    use Event::{Failed, Recovered};
    use Severity::{Critical, Warning};
    let mut queue = queue([
        letter(1, 1, Warning, Failed),
        letter(2, 2, Critical, Failed),
        letter(3, 1, Warning, Recovered),
        letter(4, 3, Critical, Failed),
        letter(2, 2, Critical, Failed),
    ]);
    assert_eq!(delivered(&mut queue, start(), None), [2, 4, 1, 3]);
    assert_eq!(queue.next(start(), None), Next::Idle);
}

#[test]
fn after_a_failure_the_channel_rests_and_another_incident_has_its_turn() {
    let failed = |id, incident| letter(id, incident, Severity::Critical, Event::Failed);
    let mut queue = queue([failed(1, 1), failed(2, 2)]);
    let mut now = start();
    let mut turns = Vec::new();
    for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        let incident = turn(&queue, now);
        turns.push(incident);
        let failed = queue
            .failed(Uuid::from_u128(incident), now, Again::Soon)
            .unwrap();
        let pause = wakes(&queue, now, None);
        assert!(pause >= (SECOND * expected).mul_f64(0.75), "{pause:?}");
        assert!(pause <= (SECOND * expected).mul_f64(1.25), "{pause:?}");
        now = now + pause;
        assert_eq!(failed.next, Some(now.wall));
    }
    assert_eq!(turns, [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1]);
    // Once one gets through, all do.
    assert_eq!(delivered(&mut queue, now, None), [2, 1]);
}

#[test]
fn what_is_refused_rests_by_itself_for_longer() {
    let failed = |id, incident| letter(id, incident, Severity::Critical, Event::Failed);
    let mut queue = queue([failed(1, 1), failed(2, 2)]);
    let mut now = start();
    let refused = queue
        .failed(Uuid::from_u128(1), now, Again::Seldom)
        .unwrap();
    assert!(refused.next.unwrap() >= now.wall + 45 * SECOND);
    now = now + wakes(&queue, now, None);
    assert_eq!(delivered(&mut queue, now, None), [2]);
    assert!(wakes(&queue, now, None) >= 43 * SECOND);
}

#[test]
fn a_peer_is_left_alone_as_long_as_it_asks() {
    let mut queue = queue([letter(1, 1, Severity::Critical, Event::Failed)]);
    let again = Again::After(100 * SECOND);
    let now = start();
    queue.failed(Uuid::from_u128(1), now, again).unwrap();
    assert_eq!(wakes(&queue, now, None), 100 * SECOND);
}

#[test]
fn attempts_are_counted_on_and_after_three_days_it_is_given_up() {
    let mut letter = letter(7, 1, Severity::Critical, Event::Failed);
    letter.attempts = 40;
    let mut queue = queue([letter]);
    let incident = Uuid::from_u128(1);
    let mut now = start() + Duration::from_hours(72);
    let failed = queue.failed(incident, now, Again::Seldom).unwrap();
    assert_eq!((failed.id.as_u128(), failed.attempts), (7, 41));
    assert!(failed.next.is_some());
    now = now + Duration::from_hours(1);
    let failed = queue.failed(incident, now, Again::Seldom).unwrap();
    assert_eq!((failed.attempts, failed.next), (42, None));
    assert_eq!(queue.next(now, None), Next::Idle);
}

#[test]
fn a_clock_that_is_set_forward_gives_up_no_notice() {
    let mut queue = queue([letter(1, 1, Severity::Critical, Event::Failed)]);
    let later = start() + SECOND;
    let set = Stamp {
        wall: (later + 2 * TOO_OLD).wall,
        ..later
    };
    let failed = queue.failed(Uuid::from_u128(1), set, Again::Soon).unwrap();
    assert!(failed.next.is_some());
}

#[test]
fn quiet_hours_hold_back_what_is_not_critical_until_they_end() {
    use Event::{Failed, Recovered, StillFailing};
    use Severity::{Critical, Warning};
    let quiet = nights();
    let mut queue = queue([
        // Held back, and its good news with it.
        letter(1, 1, Warning, Failed),
        letter(2, 1, Critical, Recovered),
        // Gets worse: the beginning of the story is told first.
        letter(3, 2, Warning, Failed),
        letter(4, 2, Critical, StillFailing),
        letter(5, 2, Warning, StillFailing),
        // Good news of what was told before.
        letter(6, 3, Critical, Recovered),
    ]);
    let now = start();
    let told = delivered(&mut queue, now, Some(&quiet));
    assert_eq!(told, [6, 3, 4]);
    assert_eq!(wakes(&queue, now, Some(&quiet)), Duration::from_mins(1));
    let now = now + Duration::from_hours(8) + Duration::from_mins(29) + 40 * SECOND;
    assert_eq!(wakes(&queue, now, Some(&quiet)), 20 * SECOND);
    let now = now + 20 * SECOND;
    assert_eq!(delivered(&mut queue, now, Some(&quiet)), [1, 2, 5]);
}
