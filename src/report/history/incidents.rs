//! The incidents of a time, and how long something was down.

use std::time::Duration;

use jiff::Timestamp;

use super::model::Incident;
use crate::probe::incident::Incident as Kept;
use crate::probe::state::State;
use crate::store::Span;

/// An incident as a report tells it that is made now.
pub(super) fn told(incident: Kept, now: Timestamp) -> Incident {
    let is_down = match incident.worst {
        State::Up | State::Degraded | State::Unknown => false,
        State::Down | State::Lost => true,
    };
    Incident {
        id: incident.id,
        route: incident.key.route,
        test: incident.key.test.to_string(),
        began: incident.began,
        ended: incident.ended,
        lasted_s: between(incident.began, incident.ended.unwrap_or(now)).as_secs_f64(),
        is_down,
        code: incident.code,
        reason: incident.reason,
    }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}

/// Whether an incident was open at some moment of a time.
pub(super) fn is_of(incident: &Incident, span: Span) -> bool {
    incident.began < span.to && incident.ended.is_none_or(|ended| ended > span.from)
}

/// For how long at least one of these was open, as far as that is within the time.
pub(super) fn downtime<'i>(
    incidents: impl Iterator<Item = &'i Incident>,
    span: Span,
    now: Timestamp,
) -> Duration {
    let within = |incident: &Incident| {
        let ended = incident.ended.unwrap_or(now);
        (incident.began.max(span.from), ended.min(span.to))
    };
    let down = incidents.filter(|incident| incident.is_down);
    let mut times: Vec<_> = down.map(within).filter(|(from, to)| from < to).collect();
    times.sort_unstable();
    let mut sum = Duration::ZERO;
    let mut until = Timestamp::MIN;
    for (from, to) in times {
        sum += between(from.max(until), to);
        until = until.max(to);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::outcome::Code;
    use crate::probe::state::TestKey;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    fn incident(began: i64, ended: Option<i64>, worst: State) -> Incident {
        let incident = Kept {
            id: uuid::Uuid::nil(),
            key: TestKey::new("inbound".into(), "plain", ""),
            began: at(began),
            ended: ended.map(at),
            code: Code::Missing,
            reason: "gone".into(),
            worst,
            failures: 1,
            notices: 1,
            is_leak: false,
            is_flapping: false,
            depends_on: None,
            acknowledged: None,
            recoveries: Vec::new(),
        };
        told(incident, at(100))
    }

    fn minutes(rows: &[(i64, Option<i64>)], from: i64, to: i64) -> u64 {
        let incidents = rows.iter();
        let incidents = incidents.map(|(began, ended)| incident(*began, *ended, State::Down));
        let incidents: Vec<_> = incidents.collect();
        let span = Span {
            from: at(from),
            to: at(to),
        };
        downtime(incidents.iter(), span, at(100)).as_secs() / 60
    }

    #[test]
    fn times_that_overlap_count_once() {
        let rows = [
            (10, Some(20)),
            (15, Some(30)),
            (16, Some(18)),
            (40, Some(50)),
            (30, Some(31)),
            (90, None),
        ];
        assert_eq!(minutes(&rows, 0, 100), 20 + 1 + 10 + 10);
        assert_eq!(minutes(&rows, 17, 45), 14 + 5);
        assert_eq!(minutes(&rows, 95, 200), 5);
        assert_eq!(minutes(&rows, 60, 80), 0);
        assert_eq!(minutes(&[], 0, 100), 0);
    }

    #[test]
    fn only_what_was_down_is_downtime() {
        for (worst, is_down) in [
            (State::Degraded, false),
            (State::Unknown, false),
            (State::Down, true),
            (State::Lost, true),
        ] {
            assert_eq!(incident(1, Some(2), worst).is_down, is_down, "{worst}");
        }
    }
}
