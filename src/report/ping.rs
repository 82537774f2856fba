//! What a person reads of a ping: every step with its time and the server's words, then what the rest came to.

use std::fmt::{self, Write};

use owo_colors::OwoColorize;

use super::human::{badge, of_ms};
use crate::probe::listing::{Listing, Standing};
use crate::probe::outcome::{Outcome, Verdict};
use crate::probe::record::Record;
use crate::probe::visit::{
    Certificate, Exchanger, Pointer, StepRecord, TlsFacts, VisitRecord, VisitStep,
};

/// How wide the name of a step is.
const NAME: usize = 11;
/// How wide its time is.
const TIME: usize = 8;

/// One visit, step by step; `width` is that of the terminal, `None`: lines are not cut.
pub fn visit(record: &Record, width: Option<usize>) -> String {
    let mut text = String::new();
    if let Some(visit) = &record.evidence.visit {
        // Writing to a String cannot fail.
        let _ = write_visit(&mut text, record, visit, width);
    }
    text
}

/// One visit on one line, as `ping` shows it.
pub fn line(record: &Record, number: usize) -> String {
    let code = match record.verdict {
        Verdict::Pass => String::new(),
        Verdict::Warn | Verdict::Unknown | Verdict::Fail => format!(" [{}]", record.code),
    };
    format!(
        "{} {number:>3}  {}{code}\n",
        badge(record.verdict),
        record.reason
    )
}

/// How many answered, and how fast.
pub fn summary(records: &[Record]) -> String {
    let mut text = String::new();
    let _ = write_summary(&mut text, records);
    text
}

fn write_visit(
    out: &mut String,
    record: &Record,
    visit: &VisitRecord,
    width: Option<usize>,
) -> fmt::Result {
    let address = record.attempts.first().and_then(|attempt| attempt.address);
    match address {
        Some(address) if address.ip().to_string() != visit.host => {
            writeln!(out, "{} at {address}", visit.host.bold())?;
        }
        Some(address) => writeln!(out, "{}", address.bold())?,
        None => writeln!(out, "{}", visit.host.bold())?,
    }
    for step in &visit.steps {
        let name = step.name.as_str();
        row(out, name, &of_ms(step.ms), &words(step), width)?;
    }
    if !visit.exchangers.is_empty() {
        row(out, "exchangers", "", &exchangers(&visit.exchangers), width)?;
    }
    if let Some(pointer) = &visit.pointer {
        row(out, "ptr", &of_ms(pointer.ms), &named(pointer), width)?;
    }
    if let Some(tls) = &visit.tls {
        certificates(out, tls, record, width)?;
    }
    for listing in &record.evidence.blocklists {
        row(out, "blocklist", "", &listed(listing), width)?;
    }
    let code = match record.verdict {
        Verdict::Pass => String::new(),
        Verdict::Warn | Verdict::Unknown | Verdict::Fail => format!(" [{}]", record.code),
    };
    writeln!(out, "{} {}{code}", badge(record.verdict), record.reason)
}

fn row(out: &mut String, name: &str, time: &str, text: &str, width: Option<usize>) -> fmt::Result {
    let lead = NAME + TIME + 6;
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(lead).max(20));
    let shown: String = text.chars().take(room).collect();
    let cut = if shown.len() < text.len() { "…" } else { "" };
    let line = format!("  {name:NAME$} {time:>TIME$}  {shown}{cut}");
    writeln!(out, "{}", line.trim_end())
}

/// The server's words on one line; of EHLO and CAPA what it can do.
fn words(step: &StepRecord) -> String {
    let mut lines = step.text.lines();
    match step.name {
        VisitStep::Ehlo => {
            let first = lines.next().unwrap_or_default().replacen('-', " ", 1);
            let can: Vec<_> = lines.filter_map(|line| line.get(4..)).collect();
            [vec![first.as_str()], can].concat().join(", ")
        }
        // The second EHLO is not said twice.
        VisitStep::Starttls => lines.take(2).collect::<Vec<_>>().join(", "),
        VisitStep::Dns
        | VisitStep::Connect
        | VisitStep::Tls
        | VisitStep::Banner
        | VisitStep::Capability
        | VisitStep::Auth
        | VisitStep::Mail
        | VisitStep::Rcpt
        | VisitStep::Rset
        | VisitStep::Quit => lines
            .filter(|line| *line != ".")
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn exchangers(exchangers: &[Exchanger]) -> String {
    let each = |it: &Exchanger| format!("{} {}", it.preference, it.host);
    exchangers.iter().map(each).collect::<Vec<_>>().join(", ")
}

fn named(pointer: &Pointer) -> String {
    let names = pointer.names.join(", ");
    match (&pointer.problem, pointer.confirmed) {
        (Some(problem), _) => format!("cannot tell: {problem}"),
        (None, true) => format!("{names}, which leads back to the address"),
        (None, false) if names.is_empty() => "the address has no name".into(),
        (None, false) => format!("{names}, which does not lead back to the address"),
    }
}

fn certificates(
    out: &mut String,
    tls: &TlsFacts,
    record: &Record,
    width: Option<usize>,
) -> fmt::Result {
    let at = record.started_at;
    for (number, certificate) in tls.chain.iter().enumerate() {
        let Certificate {
            subject,
            issuer,
            names,
            not_after,
            ..
        } = certificate;
        let whose = if names.is_empty() {
            subject.clone()
        } else {
            names.join(", ")
        };
        let ends = not_after.zip(at).map(|(ends, at)| {
            let left = ends.duration_since(at).as_hours();
            match left / 24 {
                _ if left < 0 => format!(", ended {} days ago ({ends})", -left / 24),
                days => format!(", ends in {days} days ({ends})"),
            }
        });
        let name = if number == 0 { "certificate" } else { "" };
        let text = format!("{whose}; by {issuer}{}", ends.unwrap_or_default());
        row(out, name, "", &text, width)?;
    }
    match &tls.problem {
        Some(problem) => row(
            out,
            "",
            "",
            &format!("it does not verify: {problem}"),
            width,
        ),
        None => Ok(()),
    }
}

fn listed(listing: &Listing) -> String {
    let Listing {
        list,
        address,
        standing,
        answers,
        text,
    } = listing;
    let address = address.map_or_else(String::new, |address| address.to_string());
    let answers: Vec<_> = answers.iter().map(ToString::to_string).collect();
    let why = text.as_deref().unwrap_or_default();
    match standing {
        Standing::Clean => format!("{list}: {address} is not on it"),
        Standing::Listed => format!("{list}: {address} is on it ({}) {why}", answers.join(", ")),
        Standing::Named => format!("{list}: named by the server"),
        Standing::Refused => format!("{list}: does not answer us ({}): {why}", answers.join(", ")),
        Standing::Unknown => format!("{list}: cannot tell: {why}"),
    }
}

fn write_summary(out: &mut String, records: &[Record]) -> fmt::Result {
    let sent = records.len();
    let times: Vec<_> = records
        .iter()
        .filter(|record| record.outcome == Outcome::Answered)
        .filter_map(|record| record.round_trip_ms)
        .collect();
    let lost = sent - times.len();
    #[expect(clippy::cast_precision_loss, reason = "counts of visits fit 53 bits")]
    let (count, share) = (times.len() as f64, lost as f64 * 100.0 / sent.max(1) as f64);
    writeln!(
        out,
        "{sent} visits, {} answered, {share:.1}% not",
        times.len()
    )?;
    let (min, max) = (
        times.iter().copied().reduce(f64::min),
        times.iter().copied().reduce(f64::max),
    );
    if let (Some(min), Some(max)) = (min, max) {
        let average = times.iter().sum::<f64>() / count;
        let squares = times.iter().map(|time| time * time).sum::<f64>() / count;
        // As ping has it: the root of the mean square less the square of the mean.
        let deviation = (squares - average * average).max(0.0).sqrt();
        writeln!(
            out,
            "min/avg/max/mdev {min:.1} / {average:.1} / {max:.1} / {deviation:.1} ms"
        )?;
    }
    Ok(())
}
