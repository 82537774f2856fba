//! What a person reads: how many routes are up, each route with its last result and its history, the incidents that are
//! open, and what is wrong with the service itself.

use std::fmt::{self, Write};

use jiff::Timestamp;
use owo_colors::{OwoColorize, Style};

use super::verdict;
use super::words::{ago, figure};
use crate::probe::incident::Incident;
use crate::probe::outcome::Verdict;
use crate::probe::state::State;
use crate::report::human::{badge, hanging, of_ms};
use crate::service::api::document::{History, Period, RouteStatus, Status};
use crate::service::status::{Activity, LastResult, TestView};
use crate::text::line;

/// What stands under a route is indented by its state and two spaces.
const INDENT: &str = "          ";
/// No column is padded to more than this.
const COLUMN: usize = 40;
/// So many open incidents are shown.
const MOST_INCIDENTS: usize = 20;

/// The status, with colours; `width` is that of the terminal, `None`: lines are not wrapped.
pub(super) fn render(status: &Status, width: Option<usize>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_status(&mut text, status, width);
    text
}

fn write_status(out: &mut String, status: &Status, width: Option<usize>) -> fmt::Result {
    let doing = match status.activity {
        Activity::Starting => "starting",
        Activity::Testing => "testing",
        Activity::Stopping => "stopping",
    };
    let since = ago(status.at, status.started_at);
    let instance = line(&status.instance);
    let service = format!(
        "mailrobin {} on {instance}, {doing}, started {since} ago",
        line(&status.version)
    );
    writeln!(
        out,
        "{} {}; {}",
        badge(verdict(status)),
        summary(&status.routes),
        service.dimmed()
    )?;
    let names = status.routes.iter().map(width_of);
    let column = names.max().map_or(0, |widest| widest.min(COLUMN));
    for route in &status.routes {
        writeln!(out)?;
        write_route(out, route, (status.at, column), width)?;
    }
    let is_told = |route: &RouteStatus| route.history.as_ref().is_some_and(has_any);
    if status.routes.iter().any(is_told) {
        let legend = "24 h, 7 d, 30 d: availability, and what half and 95% of the round trips did not exceed";
        writeln!(out, "\n{}", legend.dimmed())?;
    }
    write_incidents(out, status, width)?;
    let troubles = troubles(status);
    if !troubles.is_empty() {
        writeln!(out)?;
    }
    for trouble in troubles {
        let lead = format!("{} ", badge(Verdict::Warn));
        hanging(out, (&lead, "      "), &trouble, width)?;
    }
    Ok(())
}

fn width_of(route: &RouteStatus) -> usize {
    line(route.view.name.as_str()).chars().count()
}

/// Such as `4 routes: 1 down, 3 up`.
fn summary(routes: &[RouteStatus]) -> String {
    let words: Vec<_> = routes
        .iter()
        .map(|route| word(route).to_lowercase())
        .collect();
    let mut parts = Vec::new();
    for word in [
        "lost", "down", "unknown", "degraded", "up", "untested", "paused", "disabled",
    ] {
        let count = words.iter().filter(|it| *it == word).count();
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let total = routes.len();
    let plural = if total == 1 { "route" } else { "routes" };
    if parts.is_empty() {
        return format!("{total} {plural}");
    }
    format!("{total} {plural}: {}", parts.join(", "))
}

/// How a route stands, in a word.
fn word(route: &RouteStatus) -> &'static str {
    let view = &route.view;
    match view.standing() {
        Some(state) => state_word(state),
        None if !view.enabled => "DISABLED",
        None if view.paused => "PAUSED",
        None => "UNTESTED",
    }
}

fn state_word(state: State) -> &'static str {
    match state {
        State::Up => "UP",
        State::Degraded => "DEGRADED",
        State::Unknown => "UNKNOWN",
        State::Down => "DOWN",
        State::Lost => "LOST",
    }
}

fn style(state: Option<State>) -> Style {
    match state {
        Some(State::Up) => Style::new().green().bold(),
        Some(State::Degraded) => Style::new().yellow().bold(),
        Some(State::Unknown) => Style::new().magenta().bold(),
        Some(State::Down | State::Lost) => Style::new().red().bold(),
        None => Style::new().dimmed().bold(),
    }
}

fn write_route(
    out: &mut String,
    route: &RouteStatus,
    (at, column): (Timestamp, usize),
    width: Option<usize>,
) -> fmt::Result {
    let word = word(route);
    let badge = format!("{word:8}");
    let badge = badge.style(style(route.view.standing()));
    let name = line(route.view.name.as_str());
    let lead = format!("{badge}  {name:column$}  ");
    let indent = " ".repeat(INDENT.len() + column.max(width_of(route)) + 2);
    hanging(out, (&lead, &indent), &first_line(route, at), width)?;
    if let Some(acknowledged) = &route.view.acknowledged {
        let by = line(&acknowledged.by);
        let since = ago(at, acknowledged.at);
        let note = match line(acknowledged.note.as_deref().unwrap_or_default()) {
            note if note.is_empty() => note,
            note => format!(": {note}"),
        };
        let text = format!("acknowledged by {by} {since} ago{note}");
        hanging(out, (&indent, &indent), &text, width)?;
    }
    for test in route.view.tests.iter().filter(|test| is_other(route, test)) {
        let text = format!("{} {}", line(&test.test), test.state);
        let text = match &test.last {
            Some(last) => format!("{text}: {}", result(last, at)),
            None => text,
        };
        hanging(out, (&indent, &indent), &text, width)?;
    }
    figures(out, route, width)
}

/// Whether a test needs a line of its own: it is not well, and not the one that stands in the first line.
fn is_other(route: &RouteStatus, test: &TestView) -> bool {
    route.test.as_ref() != Some(&test.test) && test.state != State::Up && test.last.is_some()
}

/// Since when, what goes on, and the last result.
fn first_line(route: &RouteStatus, at: Timestamp) -> String {
    let view = &route.view;
    let mut parts = Vec::new();
    if view.standing().is_some()
        && let Some(since) = route.since
    {
        parts.push(format!("for {}", ago(at, since)));
    }
    if view.in_flight > 0 {
        parts.push(format!("{} in flight", view.in_flight));
    }
    if view.maintenance {
        parts.push("in maintenance".to_owned());
    }
    if view.missed > 0 {
        parts.push(format!("{} not started in time", view.missed));
    }
    // Last, because it may be a long sentence.
    match (&route.test, &route.last) {
        (Some(test), Some(last)) => {
            parts.push(format!("{} {}", line(test), result(last, at)));
        }
        (_, _) => parts.push("no result yet".to_owned()),
    }
    parts.join(" · ")
}

/// Such as `delivered in 812 ms, 2m ago`, with why where it is not a pass.
fn result(last: &LastResult, at: Timestamp) -> String {
    let LastResult {
        due_at,
        outcome,
        verdict,
        code,
        reason,
        round_trip_ms,
        ..
    } = last;
    let took = round_trip_ms.map_or_else(String::new, |ms| format!(" in {}", of_ms(ms)));
    let when = ago(at, *due_at);
    let why = match verdict {
        Verdict::Pass => String::new(),
        Verdict::Warn | Verdict::Unknown | Verdict::Fail => {
            format!(": {} [{code}]", line(reason))
        }
    };
    format!("{outcome}{took}, {when} ago{why}")
}

fn has_any(history: &History) -> bool {
    history.last_30d != Period::default()
}

/// The history, on one line if it fits.
fn figures(out: &mut String, route: &RouteStatus, width: Option<usize>) -> fmt::Result {
    let Some(history) = route.history.as_ref().filter(|history| has_any(history)) else {
        return Ok(());
    };
    let periods = [
        ("24 h", &history.last_24h),
        ("7 d", &history.last_7d),
        ("30 d", &history.last_30d),
    ];
    let periods = periods.map(|(name, period)| format!("{name} {}", figure(period)));
    let whole = periods.join("   ");
    let fits = width.is_none_or(|width| INDENT.len() + whole.chars().count() <= width);
    if fits {
        return writeln!(out, "{INDENT}{}", whole.dimmed());
    }
    for period in periods {
        writeln!(out, "{INDENT}{}", period.dimmed())?;
    }
    Ok(())
}

fn write_incidents(out: &mut String, status: &Status, width: Option<usize>) -> fmt::Result {
    let incidents = status.incidents.as_deref().unwrap_or_default();
    if incidents.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", "open incidents".bold())?;
    for incident in incidents.iter().take(MOST_INCIDENTS) {
        let text = incident_line(incident, status.at);
        hanging(out, ("  ", "    "), &text, width)?;
    }
    let hidden = incidents.len().saturating_sub(MOST_INCIDENTS);
    if hidden > 0 {
        writeln!(out, "  and {hidden} more")?;
    }
    Ok(())
}

fn incident_line(incident: &Incident, at: Timestamp) -> String {
    let began = incident.began.strftime("%Y-%m-%d %H:%M:%SZ");
    let plural = |count: u32, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    let mut text = format!(
        "{} since {began} ({}): {} [{}]; {}, {}",
        line(&incident.key.to_string()),
        ago(at, incident.began),
        line(&incident.reason),
        incident.code,
        plural(incident.failures, "failure"),
        plural(incident.notices, "notice"),
    );
    if incident.is_flapping {
        text.push_str(", flapping");
    }
    if let Some(acknowledged) = &incident.acknowledged {
        text.push_str(", acknowledged by ");
        text.push_str(&line(&acknowledged.by));
    }
    text
}

/// What is wrong with the service itself.
pub(super) fn troubles(status: &Status) -> Vec<String> {
    let mut troubles = Vec::new();
    let store = &status.store;
    if let Some(problem) = &store.problem {
        troubles.push(format!(
            "the history cannot be written: {} ({} waiting, {} probes sent unrecorded, {} lost)",
            line(problem),
            store.waiting,
            store.unstored,
            store.lost
        ));
    }
    if let Some(problem) = &status.history_problem {
        troubles.push(format!("the history cannot be read: {}", line(problem)));
    }
    if let Some(problem) = &status.config_problem {
        troubles.push(format!(
            "the newest config is not in use: {}",
            line(problem)
        ));
    }
    for mailbox in &status.mailboxes {
        // Without a problem it was not looked at yet.
        if let Some(problem) = mailbox.problem.as_ref().filter(|_| !mailbox.connected) {
            let name = line(mailbox.name.as_str());
            troubles.push(format!("mailbox {name} cannot be read: {}", line(problem)));
        }
    }
    for alert in &status.alerts {
        if let Some(problem) = &alert.problem {
            let name = line(alert.name.as_str());
            troubles.push(format!(
                "notices by {name} do not go out ({} waiting): {}",
                alert.waiting,
                line(problem)
            ));
        }
    }
    troubles
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A status with one route that fails, and a history of it.
    fn status() -> Status {
        let last = serde_json::json!({
            "id": "0190a000-0000-7000-8000-000000000002", "due_at": "2026-03-01T11:57:30Z", "outcome": "missing",
            "verdict": "fail", "code": "missing", "reason": "mx.example.com accepted it, and no copy came within 15m",
            "round_trip_ms": null,
        });
        let period = serde_json::json!({
            "pass": 90, "warn": 5, "fail": 5, "unknown": 0, "availability": 0.95, "p50_ms": 812.0, "p95_ms": 1200.0,
        });
        let test = serde_json::json!({
            "test": "plain", "state": "down", "since": "2026-03-01T11:40:00Z", "failures": 4, "last": last,
        });
        serde_json::from_value(serde_json::json!({
            "version": "1.2.3", "instance": "berlin-1", "at": "2026-03-01T12:00:00Z",
            "started_at": "2026-02-25T09:00:00Z", "activity": "testing",
            "routes": [{
                "name": "inbound", "state": "down", "enabled": true, "paused": false, "maintenance": false,
                "acknowledged": null, "in_flight": 1, "next_due": null, "missed": 0, "tests": [test],
                "test": "plain", "since": "2026-03-01T11:40:00Z", "last": last,
                "history": { "last_24h": period, "last_7d": period, "last_30d": period },
            }],
            "incidents": [], "mailboxes": [], "alerts": [],
            "store": { "problem": "disk full", "waiting": 1, "unstored": 0, "lost": 0 },
            "history_problem": null, "config_problem": null,
        }))
        .unwrap()
    }

    #[test]
    fn a_narrow_terminal_gets_what_a_wide_one_gets_on_more_lines() {
        let plain = |width| anstream::adapter::strip_str(&render(&status(), width)).to_string();
        let words = |text: &str| -> Vec<String> {
            let words = text.split_whitespace().map(str::to_owned);
            words.collect()
        };
        let wide = plain(None);
        assert!(
            wide.contains("24 h 95%, 812 ms / 1.2 s   7 d 95%"),
            "{wide}"
        );
        for width in [120, 100, 80, 72] {
            let narrow = plain(Some(width));
            assert_eq!(words(&narrow), words(&wide));
            let routes = narrow.lines().skip_while(|line| !line.contains("DOWN"));
            let routes = routes.take_while(|line| !line.is_empty());
            for line in routes {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }
}
