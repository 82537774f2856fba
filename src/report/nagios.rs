//! One line for a monitor in the form of the monitoring plugins (Nagios, Icinga, Checkmk), times as performance data, and
//! a line a test below it.

use std::cmp::Reverse;

use super::document::{TestRecords, tests};
use crate::probe::outcome::Verdict;
use crate::probe::record::{Document, Record, Summary};
use crate::text::{cut, line};

/// The first line with its line break is shorter than this: some monitors read no more.
const FIRST_LINE: usize = 1024;
/// So much of that is for words.
const WORDS: usize = 480;
/// So much of each further line: the monitors that read several bound the whole.
const LONG_LINE: usize = 400;

/// The document as the output of a monitoring plugin.
pub fn render(document: &Document) -> String {
    let tests = tests(&document.probes);
    let mut first = cut(&words(&headline(document, &tests)), WORDS).into_owned();
    first.push_str(" |");
    let mut items = counts(&document.summary)
        .into_iter()
        .chain(tests.iter().filter_map(time))
        .peekable();
    let fits =
        |first: &str, item: &str| first.len() + " ".len() + item.len() + "\n".len() < FIRST_LINE;
    while let Some(item) = items.next_if(|item| fits(&first, item)) {
        first.push(' ');
        first.push_str(&item);
    }
    let mut lines = vec![first];
    let mut worst_first: Vec<_> = tests.iter().collect();
    worst_first.sort_by_key(|test| Reverse(test.verdict()));
    let told = worst_first.into_iter().filter_map(told);
    lines.extend(told.map(|told| cut(&words(&told), LONG_LINE).into_owned()));
    // What did not fit goes behind the last line.
    let rest: Vec<_> = items.collect();
    let mut text = lines.join("\n");
    if !rest.is_empty() {
        text.push_str(" | ");
        text.push_str(&rest.join("\n"));
    }
    text.push('\n');
    text
}

/// Words on one line; `|` would begin performance data.
fn words(text: &str) -> String {
    line(text).replace('|', "¦")
}

/// The verdict, the sums, and the worst test.
fn headline(document: &Document, tests: &[TestRecords<'_>]) -> String {
    let Summary {
        pass,
        warn,
        fail,
        unknown,
    } = document.summary;
    let total = pass + warn + fail + unknown;
    let tests_are = if total == 1 { "test" } else { "tests" };
    let (word, sums) = match document.verdict {
        Verdict::Pass => ("OK", format!("{pass} of {total} {tests_are} passed")),
        Verdict::Warn => (
            "WARNING",
            format!("{warn} of {total} {tests_are} with a warning"),
        ),
        Verdict::Unknown => (
            "UNKNOWN",
            format!("{unknown} of {total} {tests_are} unknown"),
        ),
        Verdict::Fail => ("CRITICAL", format!("{fail} of {total} {tests_are} failed")),
    };
    let worst = tests
        .iter()
        .filter(|test| test.verdict() == document.verdict)
        .find_map(|test| Some((test, test.deciding()?)));
    match (document.verdict, worst) {
        (Verdict::Pass, _) | (_, None) => format!("MAILROBIN {word} - {sums}"),
        (Verdict::Warn | Verdict::Unknown | Verdict::Fail, Some((test, probe))) => {
            let (route, name) = (test.route, test.name());
            format!(
                "MAILROBIN {word} - {sums}: {route} {name} {} [{}]: {}",
                probe.outcome, probe.code, probe.reason
            )
        }
    }
}

/// A test's line below the first.
fn told(test: &TestRecords<'_>) -> Option<String> {
    let Record {
        outcome,
        code,
        reason,
        ..
    } = test.deciding()?;
    let (route, name, verdict) = (test.route, test.name(), test.verdict());
    Some(format!(
        "{verdict}: {route} {name}: {outcome} [{code}]: {reason}"
    ))
}

fn counts(summary: &Summary) -> [String; 4] {
    let Summary {
        pass,
        warn,
        fail,
        unknown,
    } = *summary;
    [
        ("pass", pass),
        ("warn", warn),
        ("fail", fail),
        ("unknown", unknown),
    ]
    .map(|(label, count)| format!("'{label}'={count};;;0"))
}

/// The longest round trip of a test, less its deferral, which is what the thresholds are held against; `U` where no copy
/// came back, so that the labels of a check are the same each time.
fn time(test: &TestRecords<'_>) -> Option<String> {
    let probe = test.deciding()?;
    let took = test
        .counted()
        .filter_map(|probe| Some(probe.round_trip_ms? - probe.deferral_ms))
        .max_by(f64::total_cmp);
    let label = format!("{} {}", test.route, test.name());
    // Words and labels end at these.
    let label = line(&label).replace(['|', '='], "_").replace('\'', "''");
    let Some(took) = took else {
        return Some(format!("'{label}'=U"));
    };
    let warn = probe.warn_after_ms.map(seconds).unwrap_or_default();
    let critical = seconds(probe.deadline_ms);
    Some(format!("'{label}'={}s;{warn};{critical};0", seconds(took)))
}

/// Seconds to the microsecond, without an exponent.
fn seconds(ms: f64) -> String {
    let text = format!("{:.6}", ms.max(0.0) / 1000.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
