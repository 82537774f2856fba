//! What a person reads: the verdict first, then each test with where its time went, or why it failed and in whose words.

mod time;

use std::fmt::{self, Write};
use std::time::Duration;

use owo_colors::{OwoColorize, Style};

pub use time::of_ms;
use time::{hops, is_worth_a_look, percentile, phases};

use super::document::{TestRecords, remainders, tests};
use super::matrix::{Matrix, Row, matrix};
use crate::judge::evidence::SCORES;
use crate::judge::reason::human;
use crate::probe::outcome::{Code, Verdict};
use crate::probe::record::{Document, Record, Summary};

/// No column is padded to more than this.
const COLUMN: usize = 80;
/// What the lines under a test are indented by.
const INDENT: &str = "      ";

/// The report, with colours; `width` is that of the terminal, `None`: lines are not wrapped.
pub fn render(document: &Document, width: Option<usize>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_report(&mut text, document, width);
    text
}

fn write_report(out: &mut String, document: &Document, width: Option<usize>) -> fmt::Result {
    let tests = tests(&document.probes);
    let took = document
        .finished_at
        .duration_since(document.started_at)
        .try_into()
        .unwrap_or(Duration::ZERO);
    writeln!(
        out,
        "{} {} in {}",
        badge(document.verdict),
        summary(&document.summary),
        human(took)
    )?;
    let route_width = tests
        .iter()
        .map(|test| test.route.as_str().len())
        .max()
        .map_or(0, |widest| widest.min(COLUMN));
    let payload_width = tests
        .iter()
        .map(|test| test.payload_name().len())
        .max()
        .unwrap_or(0);
    for tests in tests.chunk_by(|one, other| one.route == other.route) {
        let of_route: Vec<_> = tests.iter().collect();
        if let Some(matrix) = matrix(&of_route) {
            write_matrix(out, &matrix, width)?;
            continue;
        }
        for test in tests {
            writeln!(out)?;
            write!(
                out,
                "{} {:route_width$}  {:payload_width$}  ",
                badge(test.verdict()),
                test.route,
                test.payload_name()
            )?;
            match test.counted().collect::<Vec<_>>().as_slice() {
                [probe] => single(out, probe, width)?,
                probes => several(out, probes, width)?,
            }
            settling(out, test, width)?;
        }
    }
    for why in remainders(document) {
        writeln!(out)?;
        wrapped(out, why, width)?;
    }
    Ok(())
}

/// The filter tests of one route, as [`render`] shows them.
pub fn filters(out: &mut String, records: &[Record], width: Option<usize>) -> fmt::Result {
    let tests = tests(records);
    match matrix(&tests.iter().collect::<Vec<_>>()) {
        Some(matrix) => write_matrix(out, &matrix, width),
        None => Ok(()),
    }
}

/// A route on which filters were tested: its sums, then a row for each payload with what stopped it.
fn write_matrix(out: &mut String, matrix: &Matrix<'_>, width: Option<usize>) -> fmt::Result {
    writeln!(out)?;
    let lead = format!("{} {}  ", badge(matrix.verdict), matrix.route);
    // What the badge is coloured with takes no room.
    let under = " ".repeat(INDENT.len() + matrix.route.len() + 2);
    let mut lead = lead.as_str();
    for sum in &matrix.sums {
        hanging(out, (lead, &under), sum, width)?;
        lead = &under;
    }
    if matrix.sums.is_empty() {
        writeln!(out, "{}", lead.trim_end())?;
    }
    let payloads = matrix.rows.iter().map(|row| row.payload.chars().count());
    let payload_width = payloads.max().map_or(0, |widest| widest.min(COLUMN));
    let outcomes = matrix
        .rows
        .iter()
        .map(|row| row.probe.outcome.as_str().len());
    let outcome_width = outcomes.max().unwrap_or(0);
    let mut before = "";
    for row in &matrix.rows {
        let Row {
            verdict,
            payload,
            probe,
            share,
        } = row;
        let lead = format!(
            "{INDENT}{} {payload:payload_width$}  {:outcome_width$}  ",
            badge(*verdict),
            probe.outcome
        );
        // What the badge is coloured with takes no room.
        let indent = " ".repeat(INDENT.len() + 6 + payload_width + 2 + outcome_width + 2);
        let share = share.map_or_else(String::new, |(alike, total)| {
            format!("{alike} of {total}: ")
        });
        let code = match verdict {
            Verdict::Pass => String::new(),
            Verdict::Warn | Verdict::Unknown | Verdict::Fail => format!(" [{}]", probe.code),
        };
        // Ten variants are often stopped in the same words.
        let is_same = *verdict == Verdict::Pass && probe.reason == before;
        let reason = if is_same { "the same" } else { &probe.reason };
        hanging(
            out,
            (&lead, &indent),
            &format!("{share}{reason}{code}"),
            width,
        )?;
        before = &probe.reason;
        for line in &probe.transcript {
            writeln!(out, "{INDENT}{}", line.dimmed())?;
        }
    }
    Ok(())
}

/// A text that begins behind `lead` and goes on under its own begin.
pub fn hanging(
    out: &mut String,
    (lead, indent): (&str, &str),
    text: &str,
    width: Option<usize>,
) -> fmt::Result {
    let Some(width) = width else {
        return writeln!(out, "{lead}{text}");
    };
    let room = width.saturating_sub(indent.len());
    if room < 30 {
        writeln!(out, "{}", lead.trim_end())?;
        return wrapped(out, text, Some(width));
    }
    let options = textwrap::Options::new(room).word_splitter(textwrap::WordSplitter::NoHyphenation);
    for (at, line) in textwrap::wrap(text, options).iter().enumerate() {
        writeln!(out, "{}{line}", if at == 0 { lead } else { indent })?;
    }
    Ok(())
}

/// A verdict's coloured word, of one width.
pub fn badge(verdict: Verdict) -> String {
    let style = match verdict {
        Verdict::Pass => Style::new().green().bold(),
        Verdict::Warn => Style::new().yellow().bold(),
        Verdict::Unknown => Style::new().magenta().bold(),
        Verdict::Fail => Style::new().red().bold(),
    };
    let word = match verdict {
        Verdict::Pass => "PASS ",
        Verdict::Warn => "WARN ",
        Verdict::Unknown => "UNKN ",
        Verdict::Fail => "FAIL ",
    };
    word.style(style).to_string()
}

fn summary(summary: &Summary) -> String {
    let Summary {
        pass,
        warn,
        fail,
        unknown,
    } = *summary;
    let total = pass + warn + fail + unknown;
    let tests = if total == 1 { "test" } else { "tests" };
    let parts: Vec<_> = [
        (fail, "failed"),
        (unknown, "unknown"),
        (warn, "with a warning"),
        (pass, "passed"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    format!("{total} {tests}: {}", parts.join(", "))
}

/// One probe: its outcome and time on the test's line, below it why, or where the time went.
fn single(out: &mut String, probe: &Record, width: Option<usize>) -> fmt::Result {
    let time = probe
        .round_trip_ms
        .map_or_else(String::new, |ms| format!("  {}", of_ms(ms)));
    writeln!(out, "{}{time}", probe.outcome)?;
    detail(out, probe, width)
}

/// The lines below a probe's own: why, where its time went, and the server's words where it failed.
pub fn detail(out: &mut String, probe: &Record, width: Option<usize>) -> fmt::Result {
    // A lost reply is worth a word even where the copy came.
    let reply_lost = probe.accepted_at.is_none() && probe.seen_at.is_some();
    if probe.verdict != Verdict::Pass || reply_lost {
        wrapped(out, &format!("{} [{}]", probe.reason, probe.code), width)?;
    }
    if !probe.phases.is_empty() && probe.round_trip_ms.is_some() {
        phases(out, probe, width)?;
    }
    let is_late = matches!(probe.code, Code::Slow | Code::Late);
    let has_trouble = matches!(probe.verdict, Verdict::Warn | Verdict::Fail);
    if is_late || (has_trouble && probe.evidence.hops.iter().any(is_worth_a_look)) {
        hops(out, &probe.evidence)?;
    }
    if probe.verdict == Verdict::Fail {
        words(out, probe, width)?;
    }
    if matches!(probe.verdict, Verdict::Pass | Verdict::Warn) {
        scores(out, probe, width)?;
    }
    for line in &probe.transcript {
        writeln!(out, "{INDENT}{}", line.dimmed())?;
    }
    Ok(())
}

/// How near a filter came to stopping it, in the filter's own words.
fn scores(out: &mut String, probe: &Record, width: Option<usize>) -> fmt::Result {
    let scores: Vec<_> = probe
        .evidence
        .marks
        .iter()
        .filter(|(field, mark)| SCORES.contains(field) && !mark.positive)
        .map(|(field, mark)| format!("{field}: {}", mark.value))
        .collect();
    if scores.is_empty() {
        Ok(())
    } else {
        wrapped(out, &scores.join("; "), width)
    }
}

/// The server's own words, line by line, where they say more than the reason already did.
fn words(out: &mut String, probe: &Record, width: Option<usize>) -> fmt::Result {
    let Some(last) = probe
        .attempts
        .last()
        .filter(|last| last.code.is_some_and(|code| code >= 400))
    else {
        return Ok(());
    };
    for line in last.text.lines().take(10) {
        wrapped(out, &format!("S: {line}"), width)?;
    }
    Ok(())
}

/// Several probes: the figures that `ping` gives, then each kind of trouble once.
fn several(out: &mut String, probes: &[&Record], width: Option<usize>) -> fmt::Result {
    let mut times: Vec<f64> = probes
        .iter()
        .filter(|probe| !probe.late)
        .filter_map(|probe| probe.round_trip_ms)
        .collect();
    times.sort_by(f64::total_cmp);
    let sent = probes
        .iter()
        .filter(|probe| probe.started_at.is_some())
        .count();
    let lost = sent - times.len().min(sent);
    let unknown = probes
        .iter()
        .filter(|probe| probe.verdict == Verdict::Unknown)
        .count();
    let unknown = match unknown {
        0 => String::new(),
        unknown => format!(", of {unknown} nothing can be said"),
    };
    #[expect(clippy::cast_precision_loss, reason = "counts of probes fit 53 bits")]
    let share = if sent == 0 {
        0.0
    } else {
        lost as f64 * 100.0 / sent as f64
    };
    writeln!(
        out,
        "{sent} sent, {} back, {lost} not ({share:.1}%){unknown}",
        times.len()
    )?;
    if let (Some(min), Some(max)) = (times.first(), times.last()) {
        #[expect(clippy::cast_precision_loss, reason = "counts of probes fit 53 bits")]
        let average = times.iter().sum::<f64>() / times.len() as f64;
        writeln!(
            out,
            "{INDENT}min/avg/p50/p95/max {} / {} / {} / {} / {}",
            of_ms(*min),
            of_ms(average),
            of_ms(percentile(&times, 50)),
            of_ms(percentile(&times, 95)),
            of_ms(*max)
        )?;
    }
    let mut told = Vec::new();
    for probe in probes.iter().filter(|probe| probe.verdict != Verdict::Pass) {
        if told.contains(&probe.code) {
            continue;
        }
        told.push(probe.code);
        let alike = probes
            .iter()
            .filter(|other| other.code == probe.code)
            .count();
        writeln!(
            out,
            "{INDENT}{} {alike} × {}, for example:",
            badge(probe.verdict).trim_end(),
            probe.outcome
        )?;
        detail(out, probe, width)?;
    }
    Ok(())
}

/// What became of the probes that were sent while the path was still settling.
fn settling(out: &mut String, test: &TestRecords<'_>, width: Option<usize>) -> fmt::Result {
    let earlier: Vec<_> = test
        .probes
        .iter()
        .filter(|probe| probe.superseded_by.is_some())
        .collect();
    let Some(last) = earlier.last() else {
        return Ok(());
    };
    let probes = if earlier.len() == 1 {
        "probe"
    } else {
        "probes"
    };
    let said = format!(
        "settled after {} earlier {probes}; the last of them: {} [{}]",
        earlier.len(),
        last.reason,
        last.code
    );
    wrapped(out, &said, width)
}

fn wrapped(out: &mut String, text: &str, width: Option<usize>) -> fmt::Result {
    let Some(width) = width else {
        return writeln!(out, "{INDENT}{text}");
    };
    let options = textwrap::Options::new(width.max(40))
        .initial_indent(INDENT)
        .subsequent_indent(INDENT)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    for line in textwrap::wrap(text, options) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
