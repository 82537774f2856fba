//! The sentences about filters: what stopped a harmful payload, what came through, and what nothing proves.

use super::{bounced, human, last_reply, marks, not_handed_over, refused, shown, took, unwatched};
use crate::config::plan::Protocol;
use crate::judge::evidence::{SCORES, stopped_by};
use crate::judge::verdict::{Case, Judgement};
use crate::probe::evidence::{Fate, Integrity, PartFacts, StoppedBy};
use crate::probe::facts::Vantage;
use crate::probe::outcome::{Code, Outcome};
use crate::probe::payload::Class;

/// What became of a harmful payload, where that is as it should be or is not judged.
pub(super) fn became(case: &Case<'_>, outcome: Outcome) -> String {
    match outcome {
        Outcome::Delivered => format!("came through after {}{}", took(case), scores(case)),
        Outcome::Tagged => {
            format!("came through after {}, marked: {}", took(case), marks(case))
        }
        Outcome::Junked => format!("was filed as junk after {}{}", took(case), scores(case)),
        Outcome::Altered => altered(case),
        Outcome::Rejected => {
            format!("{}{}", refused(case, "refused it"), stopper(case, outcome))
        }
        Outcome::Bounced => format!(
            "stopped on the way: {}{}",
            bounced(case),
            stopper(case, outcome)
        ),
        Outcome::Missing => format!("stopped on the way: {}{}", vanished(case), control(case)),
        Outcome::Deferred | Outcome::Unsent => not_handed_over(case),
        Outcome::Unseen | Outcome::Unfinished | Outcome::Skipped | Outcome::Answered => {
            outcome.to_string()
        }
    }
}

/// That it was accepted and never came back.
fn vanished(case: &Case<'_>) -> String {
    format!(
        "{} accepted it ({}), and no copy came within {}",
        case.route.gateway.endpoint,
        last_reply(case).map_or_else(|| "its reply was lost".into(), shown),
        human(case.route.deadline),
    )
}

/// Why what became of a harmful payload proves no filter.
pub(super) fn unproved(case: &Case<'_>, judgement: Judgement) -> String {
    let became = became(case, judgement.outcome);
    match judgement.code {
        Code::RejectedBeforeContent => {
            format!("{became}; it had not seen the message by then, so this proves no filter")
        }
        Code::JunkNotWatched => format!(
            "{}{}; this proves no filter: {}",
            vanished(case),
            unwatched(case),
            match case.route.mailbox.protocol {
                Protocol::Imap =>
                    "name the folder in the mailbox's `junk`, or set `junk = \"none\"` if nothing is filed as junk there",
                Protocol::Pop3 =>
                    "collect by IMAP, or set the mailbox's `junk = \"none\"` if nothing is filed as junk there",
            }
        ),
        Code::FilterNotTested => format!("no filter was tested: {}", not_handed_over(case)),
        _ => {
            let control = match case.control.map(|control| control.outcome) {
                None => "no plain message was sent with it".into(),
                Some(Outcome::Missing) => {
                    "the plain message sent with it did not come back in time either".into()
                }
                Some(outcome) => format!("the plain message sent with it ended {outcome}"),
            };
            format!("{became}; but {control}, so this proves no filter")
        }
    }
}

/// A harmful payload that is back, as sent.
pub(super) fn leak(case: &Case<'_>) -> String {
    let Some(copy) = case.leak() else {
        return "came through".into();
    };
    let what = match (case.sample.payload.pattern(), copy.integrity.parts.last()) {
        (Some(pattern), Some(part)) => match &part.sent.name {
            Some(name) => format!("the {} attachment {name}", pattern.as_str()),
            None => format!("the {} part", pattern.as_str()),
        },
        (Some(pattern), None) => format!("the text with {}", pattern.as_str()),
        (None, Some(part)) => part
            .sent
            .name
            .clone()
            .unwrap_or_else(|| "the attachment".into()),
        (None, None) => "it".into(),
    };
    let how = match (&copy.integrity.unread, copy.outcome) {
        (Some(unread), _) => format!(
            "came back after {} in a form that could not be read to its end ({unread}), so it counts as intact",
            took(case)
        ),
        (None, Outcome::Tagged) => format!(
            "came back after {} marked ({}) but intact: the filter tells it and delivers it all the same",
            took(case),
            marks(case)
        ),
        (None, Outcome::Junked) => format!(
            "came back after {} intact in {}: it was filed, not stopped",
            took(case),
            copy.folder
        ),
        (None, _) => format!(
            "came back intact after {}: nothing on this route stopped it{}",
            took(case),
            scores(case)
        ),
    };
    format!("{what} {how}{}", vantage(case))
}

/// Why a scanner may not have looked, or not have found it.
fn vantage(case: &Case<'_>) -> &'static str {
    let marks = case.deciding_copy().map(|copy| &copy.marks);
    let has = |field: &str| marks.is_some_and(|marks| marks.has(field));
    let is_spam = case.sample.payload.class() == Class::Spam;
    if !is_spam && has("X-Virus-Status") {
        return " — the scanner looked and let it pass: its signatures or its size limits may be why";
    }
    if is_spam && SCORES.iter().any(|field| has(field)) {
        return " — the filter looked and let it pass: its test patterns may be off, or its limit too high";
    }
    match case.handed_over().map(|attempt| attempt.vantage) {
        Some(Vantage::Authenticated) => {
            " — scanners often skip authenticated senders: this route logs in"
        }
        Some(Vantage::Local) => {
            " — scanners often skip local networks: this gateway sees a loopback or private address"
        }
        Some(Vantage::Public) | None => "",
    }
}

/// What came back in the place of what was sent.
pub(super) fn altered(case: &Case<'_>) -> String {
    let Some(copy) = case.deciding_copy() else {
        return "came back altered".into();
    };
    let Integrity { parts, unread, .. } = &*copy.integrity;
    let told = parts.iter().find_map(|part| {
        let name = named("attachment", &part.sent);
        match (part.fate, &part.now) {
            (Fate::Replaced, Some(now)) => Some(format!(
                "{name} was replaced by {}, {} bytes",
                quoted(now),
                now.size
            )),
            (Fate::Missing, _) => Some(format!("{name} was taken out")),
            _ => None,
        }
    });
    let told = told.unwrap_or_else(|| {
        "it came back without the test content that was sent: something on the way replaced or cut it".into()
    });
    let unread = unread.as_ref().map_or_else(String::new, |unread| {
        format!(" (not all of it could be read: {unread})")
    });
    if case.is_harmful() {
        format!(
            "stopped on the way: {told}{unread}{}",
            stopper(case, Outcome::Altered)
        )
    } else {
        format!("{told}{unread}")
    }
}

fn named(kind: &str, part: &PartFacts) -> String {
    match &part.name {
        Some(name) => format!("the {kind} {name}"),
        None => format!("the {} part", part.media_type),
    }
}

fn quoted(part: &PartFacts) -> String {
    match &part.name {
        Some(name) => format!("'{name}'"),
        None => format!("a {} part", part.media_type),
    }
}

/// What is known of what stopped it.
fn stopper(case: &Case<'_>, outcome: Outcome) -> &'static str {
    match stopped_by(case, outcome) {
        Some(StoppedBy::Signature) => " (a scan found it)",
        Some(StoppedBy::Policy) => " (by a rule on names or types, which proves no scanner)",
        Some(StoppedBy::Unknown) => " (whether a scan found it is not told)",
        None => "",
    }
}

/// The clean message that came through beside it.
fn control(case: &Case<'_>) -> String {
    match case.control {
        Some(control) if control.outcome == Outcome::Delivered => format!(
            ", while the plain message sent with it came back after {}",
            human(control.took.unwrap_or_default())
        ),
        _ => String::new(),
    }
}

/// What filters wrote on a message that they let through: how near it came.
pub(super) fn scores(case: &Case<'_>) -> String {
    let copy = case.deciding_copy().into_iter();
    let told: Vec<_> = copy
        .flat_map(|copy| copy.marks.iter())
        .filter(|(field, _)| SCORES.contains(field) || *field == "X-Virus-Status")
        .map(|(field, mark)| format!("{field}: {}", mark.value))
        .collect();
    if told.is_empty() {
        String::new()
    } else {
        format!(" ({})", told.join("; "))
    }
}
