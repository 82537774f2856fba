//! The incidents of a time, and how long something was down.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::model::Incident;
use crate::probe::state::State;
use crate::store::{IncidentRow, Span};

/// What is read of an incident as the alerting keeps it; whatever else stands there, or does not, is its own business.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    cause: Cause,
    worst: Option<State>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    code: Option<String>,
    reason: Option<String>,
}

/// An incident as a report tells it that is made now.
pub(super) fn incident(row: IncidentRow, now: Timestamp) -> Incident {
    let told: Told = serde_json::from_str(&row.incident).unwrap_or_default();
    let is_down = match told.worst {
        Some(State::Up | State::Degraded | State::Unknown) => false,
        Some(State::Down | State::Lost) | None => true,
    };
    let ended = row.ended.unwrap_or(now);
    Incident {
        id: row.id,
        route: row.test.route,
        test: row.test.test.to_string(),
        began: row.began,
        ended: row.ended,
        lasted_s: between(row.began, ended).as_secs_f64(),
        is_down,
        code: told.cause.code,
        reason: told.cause.reason,
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
    use crate::probe::state::TestKey;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    fn row(began: i64, ended: Option<i64>, incident: &str) -> IncidentRow {
        IncidentRow {
            id: uuid::Uuid::nil(),
            test: TestKey::new("inbound".into(), "plain", ""),
            began: at(began),
            ended: ended.map(at),
            incident: incident.into(),
        }
    }

    fn minutes(rows: &[(i64, Option<i64>)], from: i64, to: i64) -> u64 {
        let rows = rows.iter().map(|(began, ended)| row(*began, *ended, "{}"));
        let incidents: Vec<_> = rows.map(|row| incident(row, at(100))).collect();
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
    fn what_is_told_of_it_may_be_more_or_less() {
        let full = r#"{"cause":{"code":"missing","reason":"gone","more":1},"worst":"lost","notices":[],"key":{}}"#;
        let told = incident(row(1, None, full), at(3));
        assert_eq!(
            (told.code.as_deref(), told.reason.as_deref()),
            (Some("missing"), Some("gone"))
        );
        assert!(told.is_down && told.ended.is_none());
        assert!((told.lasted_s - 120.0).abs() < 1e-9);
        for (text, is_down) in [
            ("{}", true),
            ("nothing", true),
            (r#"{"worst":"degraded"}"#, false),
            (r#"{"worst":"unknown"}"#, false),
            (r#"{"worst":"down"}"#, true),
        ] {
            let told = incident(row(1, Some(2), text), at(3));
            assert_eq!((told.is_down, told.code), (is_down, None), "{text}");
        }
    }
}
