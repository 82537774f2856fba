//! What stopped a harmful payload: as much as the filter's own words, or a harmless twin that came through, allow to say.

use crate::judge::verdict::Case;
use crate::probe::evidence::StoppedBy;
use crate::probe::facts::End;
use crate::probe::outcome::Outcome;
use crate::probe::payload::Pattern;
use crate::probe::payload::content::FILE_NAMES;

/// Words with which filters refuse a name or a type.
const POLICY: &[&str] = &[
    "banned",
    "prohibited",
    "not allowed",
    "not permitted",
    "forbidden",
    "file type",
    "file extension",
    "attachment type",
    "file name",
    "filename",
    "executable",
    "encrypted",
];

/// What stopped it; `None` where it was not stopped, or was no concern of a filter.
pub fn stopped_by(case: &Case<'_>, outcome: Outcome) -> Option<StoppedBy> {
    let was_stopped = match outcome {
        Outcome::Tagged
        | Outcome::Junked
        | Outcome::Altered
        | Outcome::Bounced
        | Outcome::Missing => true,
        Outcome::Rejected => case.attempts.last().is_some_and(|last| last.dot.is_some()),
        Outcome::Delivered
        | Outcome::Deferred
        | Outcome::Unsent
        | Outcome::Unseen
        | Outcome::Unfinished
        | Outcome::Skipped
        | Outcome::Answered => false,
    };
    if !case.is_harmful() || !was_stopped || case.leak().is_some() {
        return None;
    }
    let words = words(case, outcome).to_lowercase();
    let has_twin = case
        .manifest
        .named_parts()
        .any(|part| case.came_through.contains(&part));
    Some(if names_signature(&words, case) {
        StoppedBy::Signature
    } else if POLICY.iter().any(|word| words.contains(word)) {
        StoppedBy::Policy
    } else if has_twin {
        StoppedBy::Signature
    } else {
        StoppedBy::Unknown
    })
}

/// What the filter said, wherever it said it.
fn words(case: &Case<'_>, outcome: Outcome) -> String {
    let mut words = String::new();
    if let (Outcome::Rejected, Some(last)) = (outcome, case.attempts.last())
        && let End::Refused(_, reply) = &last.end
    {
        words.push_str(&reply.raw);
    }
    if let (Outcome::Bounced, Some(bounce)) = (outcome, case.bounce) {
        words.push_str(bounce.diagnostic.as_deref().unwrap_or_default());
    }
    if let Some(copy) = case.deciding_copy() {
        for (_, mark) in copy.marks.positive() {
            words.push_str(&mark.value);
            words.push(' ');
        }
    }
    words
}

/// Signature names differ, but contain the test's name; so do the names of our files, which prove nothing.
fn names_signature(words: &str, case: &Case<'_>) -> bool {
    let mut words = words.to_owned();
    let own = case.manifest.named_parts().map(|(name, _)| name);
    for name in own.chain(FILE_NAMES.iter().copied()) {
        words = words.replace(&name.to_lowercase(), "");
    }
    match case.sample.payload.pattern() {
        Some(Pattern::Eicar) => words.contains("eicar"),
        Some(Pattern::Gtube(_)) => words.contains("gtube"),
        None => false,
    }
}

#[cfg(test)]
mod tests;
