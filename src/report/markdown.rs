//! Markdown for job summaries and issue trackers: the tests as a table, the filter matrix of each route, and what is known
//! of each test that did not pass.

use std::fmt::{self, Write};

use super::account::{account, milliseconds};
use super::document::{TestRecords, remainders, tests};
use super::matrix::{Matrix, matrix};
use crate::probe::evidence::StoppedBy;
use crate::probe::outcome::Verdict;
use crate::probe::record::{Document, Record, Summary};
use crate::text::{cut, line};

/// So much is shown of a name.
const NAME: usize = 200;
/// So much of a reason, or a sum, stands in the table.
const REASON: usize = 600;
/// So much is told of one test.
const ACCOUNT: usize = 8 * 1024;
/// Once the text is this long, no further test is told at length: GitHub refuses a summary of more than 1 MiB.
const WHOLE: usize = 512 * 1024;

/// The document as Markdown.
pub fn render(document: &Document) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_report(&mut text, document);
    text
}

fn write_report(out: &mut String, document: &Document) -> fmt::Result {
    let tests = tests(&document.probes);
    let Summary {
        pass,
        warn,
        fail,
        unknown,
    } = document.summary;
    writeln!(out, "## mailrobin: {}\n", badge(document.verdict))?;
    writeln!(
        out,
        "{fail} failed, {unknown} unknown, {warn} with a warning, {pass} passed\n"
    )?;
    writeln!(out, "| verdict | route | test | outcome | time | why |")?;
    writeln!(out, "| --- | --- | --- | --- | ---: | --- |")?;
    for test in &tests {
        row(out, test)?;
    }
    for of_route in tests.chunk_by(|one, other| one.route == other.route) {
        if let Some(matrix) = matrix(&of_route.iter().collect::<Vec<_>>()) {
            filters(out, &matrix)?;
        }
    }
    for why in remainders(document) {
        writeln!(out, "\n{}", inline(why))?;
    }
    let mut untold = 0;
    for test in tests.iter().filter(|test| test.verdict() != Verdict::Pass) {
        if out.len() < WHOLE {
            details(out, test)?;
        } else {
            untold += 1;
        }
    }
    if untold > 0 {
        writeln!(
            out,
            "\n{untold} more are told in the result document alone."
        )?;
    }
    Ok(())
}

fn row(out: &mut String, test: &TestRecords<'_>) -> fmt::Result {
    let Some(probe) = test.deciding() else {
        return Ok(());
    };
    let Record {
        outcome,
        code,
        reason,
        ..
    } = probe;
    let time = probe.round_trip_ms.map(milliseconds).unwrap_or_default();
    let count = test.counted().count();
    let of = if count == 1 {
        String::new()
    } else {
        format!("the worst of {count}: ")
    };
    writeln!(
        out,
        "| {} | {} | {} | {outcome} | {time} | {of}{} \\[{code}\\] |",
        badge(test.verdict()),
        inline(&cut(test.route.as_str(), NAME)),
        inline(&cut(&test.name(), NAME)),
        inline(&cut(reason, REASON)),
    )
}

fn filters(out: &mut String, matrix: &Matrix<'_>) -> fmt::Result {
    writeln!(
        out,
        "\n### Filters on {}\n",
        inline(&cut(matrix.route, NAME))
    )?;
    for sum in &matrix.sums {
        writeln!(out, "- {}", inline(&cut(sum, REASON)))?;
    }
    writeln!(
        out,
        "\n| payload | class | verdict | outcome | stopped by |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- |")?;
    for row in &matrix.rows {
        let share = row.share.map_or_else(String::new, |(alike, total)| {
            format!(" ({alike} of {total})")
        });
        let stopped_by = row.probe.evidence.stopped_by.map_or("", StoppedBy::as_str);
        writeln!(
            out,
            "| {} | {} | {} | {}{share} | {stopped_by} |",
            inline(&cut(&row.payload, NAME)),
            row.probe.class().as_str(),
            badge(row.verdict),
            row.probe.outcome,
        )?;
    }
    Ok(())
}

fn details(out: &mut String, test: &TestRecords<'_>) -> fmt::Result {
    let Some(probe) = test.deciding() else {
        return Ok(());
    };
    writeln!(
        out,
        "\n### {} {} {}\n",
        badge(test.verdict()),
        inline(&cut(test.route.as_str(), NAME)),
        inline(&cut(&test.name(), NAME))
    )?;
    let account = account(probe);
    let account = cut(&account, ACCOUNT);
    let fence = "`".repeat(longest_run(&account, '`').max(2) + 1);
    writeln!(out, "{fence}text\n{account}\n{fence}")
}

fn badge(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅ pass",
        Verdict::Warn => "⚠️ warn",
        Verdict::Unknown => "❔ unknown",
        Verdict::Fail => "❌ fail",
    }
}

/// Words among others, in which nothing is markup, a link, or the end of a cell.
pub(super) fn inline(text: &str) -> String {
    let text = line(text);
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // Not every reader of tables knows a `\|`.
            '|' => escaped.push_str("&#124;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '+' | '!' | '~'
            | '$' | '@' => {
                escaped.extend(['\\', c]);
            }
            _ => escaped.push(c),
        }
    }
    escaped.replace("://", "\\://").replace("www.", "www\\.")
}

/// How many of this character stand behind each other at most.
fn longest_run(text: &str, wanted: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
