//! What a record tells beyond its verdict, line by line, for the outputs that have room for it.

use crate::judge::reason::human;
use crate::probe::record::{AttemptRecord, CopyRecord, Record};
use crate::text::lines;

/// Outcomes, one behind the other.
pub(super) fn expected(probe: &Record) -> String {
    let expected: Vec<_> = probe
        .expect
        .iter()
        .map(|outcome| outcome.as_str())
        .collect();
    if expected.is_empty() {
        "nothing: it is not judged".to_owned()
    } else {
        expected.join(", ")
    }
}

/// Milliseconds for a person.
pub(super) fn milliseconds(ms: f64) -> String {
    human(std::time::Duration::from_secs_f64((ms / 1000.0).max(0.0)))
}

/// What the server that refused it said, or what went wrong instead, where the reason does not say it all.
pub(super) fn words(probe: &Record) -> Option<String> {
    let last = probe.attempts.last()?;
    (!probe.reason.contains(&last.text)).then(|| lines(&last.text))
}

/// All that is worth reading of a probe; its JSON has the rest.
pub(super) fn account(probe: &Record) -> String {
    let Record {
        id,
        outcome,
        verdict,
        code,
        reason,
        ..
    } = probe;
    let mut said = vec![
        format!("probe {id}: {outcome}, {verdict} [{code}]"),
        format!("reason: {reason}"),
        format!("expected: {}", expected(probe)),
    ];
    if let Some(later) = probe.superseded_by {
        said.push(format!("superseded by {later}"));
    }
    if let Some(control) = probe.control {
        said.push(format!("control: {control}"));
    }
    if !probe.phases.is_empty() {
        let phases: Vec<_> = probe
            .phases
            .iter()
            .map(|phase| format!("{} {} ms", phase.name, phase.ms))
            .collect();
        said.push(format!("phases: {}", phases.join(", ")));
    }
    said.extend(probe.attempts.iter().map(attempt));
    if let Some(smtp) = &probe.smtp {
        said.push(format!("smtp: {}", json(smtp)));
    }
    said.extend(probe.copies.iter().map(copy));
    said.push(format!("evidence: {}", json(&probe.evidence)));
    if !probe.transcript.is_empty() {
        said.push("transcript:".to_owned());
        said.extend(probe.transcript.iter().map(|line| format!("  {line}")));
    }
    lines(&said.join("\n"))
}

fn attempt(attempt: &AttemptRecord) -> String {
    let AttemptRecord {
        address,
        phase,
        code,
        text,
    } = attempt;
    let peer = address.map_or_else(|| "no peer".to_owned(), |address| address.to_string());
    let code = code.map_or_else(String::new, |code| format!(" {code}"));
    let text = match text.as_str() {
        "" => String::new(),
        text => format!(": {}", text.replace('\n', "\n  ")),
    };
    format!("attempt: {peer}, {phase}{code}{text}")
}

fn copy(copy: &CopyRecord) -> String {
    format!("copy: {}", json(copy))
}

/// Compact JSON. What the document can hold can be written.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
