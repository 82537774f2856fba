//! Workflow commands of GitHub Actions: an annotation for each test that did not pass, and one that sums up.

use std::cmp::Reverse;

use super::account::words;
use super::document::{TestRecords, tests};
use crate::probe::outcome::Verdict;
use crate::probe::record::{Document, Record, Summary};
use crate::text::{cut, line, lines};

/// GitHub shows no more of a title.
const TITLE: usize = 255;
/// So much of a message is shown; GitHub takes 64 KiB.
const MESSAGE: usize = 4096;

/// The document as workflow commands. GitHub shows ten annotations of a kind: the worst come first.
pub fn render(document: &Document) -> String {
    let tests = tests(&document.probes);
    let mut worst_first: Vec<_> = tests.iter().collect();
    worst_first.sort_by_key(|test| Reverse(test.verdict()));
    let mut text: String = worst_first.into_iter().filter_map(annotation).collect();
    text.push_str(&command("notice", "mailrobin", &sums(document)));
    text
}

fn annotation(test: &TestRecords<'_>) -> Option<String> {
    let kind = match test.verdict() {
        Verdict::Pass => return None,
        Verdict::Warn => "warning",
        // The step goes red on both, and an error is what GitHub shows as the cause.
        Verdict::Unknown | Verdict::Fail => "error",
    };
    let probe = test.deciding()?;
    let Record {
        outcome,
        code,
        reason,
        ..
    } = probe;
    let (route, name, verdict) = (test.route, test.name(), test.verdict());
    let title = format!("{route} {name}: {outcome}, {verdict} [{code}]");
    let mut message = reason.clone();
    if let Some(words) = words(probe) {
        message.push('\n');
        message.push_str(&words);
    }
    Some(command(kind, &title, &message))
}

fn sums(document: &Document) -> String {
    let Summary {
        pass,
        warn,
        fail,
        unknown,
    } = document.summary;
    format!(
        "{}: {fail} failed, {unknown} unknown, {warn} with a warning, {pass} passed",
        document.verdict
    )
}

fn command(kind: &str, title: &str, message: &str) -> String {
    let title = cut(title, TITLE);
    let title = data(&line(&title)).replace(':', "%3A").replace(',', "%2C");
    let message = data(&lines(&cut(message, MESSAGE)));
    format!("::{kind} title={title}::{message}\n")
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}
