//! One line that says it all: what every channel shows first, and some show alone.

use std::time::Duration;

use jiff::Timestamp;

use super::standing::{FLAP_RESULTS, FLAPS, Seen, Told};
use crate::judge::reason::human;
use crate::probe::incident::Incident;
use crate::probe::notice::Event;
use crate::probe::outcome::Verdict;
use crate::probe::state::{State, TestKey};
use crate::text::is_odd;

/// A reason is cut to so many characters in a title.
const REASON: usize = 240;

/// What a failure is told with.
pub(super) fn failure(
    event: Event,
    incident: &Incident,
    seen: &Seen,
    now: Timestamp,
    (dependents, is_last): (usize, bool),
) -> String {
    let key = &incident.key;
    let state = match event {
        Event::StillFailing => "still DOWN",
        Event::Lost => "LOST",
        Event::Leak => "LEAK",
        Event::Flapping => "FLAPPING",
        Event::Failed
        | Event::Degraded
        | Event::Unknown
        | Event::Recovered
        | Event::Trouble
        | Event::TroubleOver
        | Event::Test => "DOWN",
    };
    let mut said = vec![format!(
        "{} since {}",
        counted(incident.failures, "failure"),
        moment(incident.began, now)
    )];
    if event == Event::Flapping {
        said.push(format!(
            "down {FLAPS} times within {FLAP_RESULTS} results, nothing more is told until it is steady"
        ));
    }
    if dependents > 0 {
        said.push(match dependents {
            1 => "1 route depends on it".into(),
            many => format!("{many} routes depend on it"),
        });
    }
    if is_last {
        said.push("this is the last notice until it recovers".into());
    }
    format!("{key} {state}: {} ({})", cause(seen), said.join("; "))
}

/// What a leak is told with whose test was tested again since.
pub(super) fn late_leak(key: &TestKey, seen: &Seen, now: Timestamp) -> String {
    let due = moment(seen.due_at, now);
    format!("{key} LEAK: {} (of the test due {due})", cause(seen))
}

/// What is told of a test that is Degraded or Unknown.
pub(super) fn complaint(
    key: &TestKey,
    state: State,
    seen: &Seen,
    now: Timestamp,
    (count, since): (u32, Timestamp),
) -> String {
    let (word, what) = match state {
        State::Degraded => ("DEGRADED", counted(count, "warning")),
        State::Up | State::Unknown | State::Down | State::Lost => {
            ("UNKNOWN", counted(count, "result"))
        }
    };
    let since = moment(since, now);
    format!("{key} {word}: {} ({what} since {since})", cause(seen))
}

/// What the end of a failure, or of something that was told, is told with.
pub(super) fn recovered(
    key: &TestKey,
    told: Told,
    until: Timestamp,
    seen: &Seen,
    now: Timestamp,
) -> String {
    let lasted = Duration::try_from(until.duration_since(told.since)).unwrap_or_default();
    let (lasted, since) = (human(lasted), moment(told.since, now));
    let ended = match told.state {
        State::Lost => State::Down,
        State::Up | State::Degraded | State::Unknown | State::Down => told.state,
    };
    let title = format!("{key} UP again after {lasted} ({ended} since {since})");
    match seen.verdict {
        Verdict::Warn => format!("{title}, with a warning: {}", cause(seen)),
        Verdict::Pass | Verdict::Unknown | Verdict::Fail => title,
    }
}

/// What trouble of mailrobin's own is told with.
pub(super) fn trouble(what: &str, reason: &str) -> String {
    let said = match (what, reason) {
        (what, "") => cut(what),
        (what, reason) => cut(&format!("{what}: {reason}")),
    };
    format!("mailrobin is in TROUBLE: {said}")
}

/// What its end is told with.
pub(super) fn trouble_over(what: &str, since: Timestamp, now: Timestamp) -> String {
    let lasted = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    let (lasted, since) = (human(lasted), moment(since, now));
    let what = cut(what);
    format!("mailrobin is well again after {lasted}: over is {what} (since {since})")
}

/// `text` on one line, without characters that do something instead of standing there.
pub(super) fn clean(text: &str) -> String {
    let spaced = text.replace(is_odd, " ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    words.join(" ")
}

/// Why, as a word and as a sentence; that it is a leak is said before.
fn cause(seen: &Seen) -> String {
    if seen.is_leak() {
        cut(&seen.reason)
    } else {
        format!("{}: {}", seen.code, cut(&seen.reason))
    }
}

fn cut(text: &str) -> String {
    let text = clean(text);
    match text.char_indices().nth(REASON) {
        Some((at, _)) => format!("{}…", text.split_at(at).0),
        None => text,
    }
}

fn counted(count: u32, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

/// A moment as people write it, with its day where that is another.
fn moment(moment: Timestamp, now: Timestamp) -> String {
    let is_today = moment.strftime("%F").to_string() == now.strftime("%F").to_string();
    let format = if is_today {
        "%H:%M UTC"
    } else {
        "%F %H:%M UTC"
    };
    moment.strftime(format).to_string()
}
