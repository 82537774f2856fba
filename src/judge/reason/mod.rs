//! The sentence: what happened, on what, in whose words, and what to do.

mod filters;

use std::time::Duration;

use jiff::SignedDuration;

use super::evidence::named_blocklist;
use super::verdict::{Case, Close, Judgement};
use crate::config::plan::Protocol;
use crate::probe::facts::{Attempt, End, Failure, Reply};
use crate::probe::listing::Listing;
use crate::probe::outcome::{Code, Outcome, Phase, Verdict};

/// A copy that lay unread for longer than the grain of its server's clock and this was not looked for meanwhile.
const UNREAD: Duration = Duration::from_secs(2);

/// The reason for a judgement, one line; `way` says where the time went.
pub(super) fn reason(case: &Case<'_>, judgement: Judgement, way: &str) -> String {
    let said = said(case, judgement, way);
    let tells = judgement.verdict == Verdict::Pass || judgement.code == Code::TlsFailed;
    match case.attempts.split_last() {
        Some((_, before)) if !tells => match before.iter().rfind(|it| it.may_go_clear) {
            Some(attempt) => format!("{said}; TLS had failed before: {}", no_tls(&attempt.end)),
            None => said,
        },
        _ => said,
    }
}

fn said(case: &Case<'_>, judgement: Judgement, way: &str) -> String {
    let Judgement {
        outcome,
        code,
        verdict,
    } = judgement;
    if verdict == Verdict::Pass {
        return became(case, outcome);
    }
    match code {
        Code::Ok | Code::NotJudged => became(case, outcome),
        Code::Leak => filters::leak(case),
        Code::ControlFailed
        | Code::RejectedBeforeContent
        | Code::JunkNotWatched
        | Code::FilterNotTested => filters::unproved(case, judgement),
        Code::Slow => {
            let aside = aside(case);
            format!(
                "came back after {}, slower than {}{}",
                took(case),
                human(case.route.warn_after.unwrap_or_default()),
                if aside.is_empty() { way } else { &aside }
            )
        }
        Code::Duplicate => format!(
            "came back {} times: a rule or a list forwards it more than once",
            case.copies.len()
        ),
        Code::Unexpected => format!(
            "came through intact after {}, which this test does not expect",
            took(case)
        ),
        Code::Tagged => format!("came back marked by a filter: {}", marks(case)),
        Code::Junked => format!(
            "was filed in {}: a filter of the mailbox or before it takes it for spam",
            case.deciding_copy()
                .map_or("the junk folder", |copy| &*copy.folder)
        ),
        Code::Authentication => unauthenticated(case),
        Code::Altered => filters::altered(case),
        Code::Late => format!(
            "came back after {}, later than the deadline of {}{way}",
            took(case),
            human(case.route.deadline)
        ),
        Code::Missing => format!(
            "{} accepted it ({}) and no copy came within {}: it was dropped, held up, or the forwarding rule for {} did not act{}",
            case.route.gateway.endpoint,
            last_reply(case).map_or_else(String::new, shown),
            human(case.route.deadline),
            case.route.to,
            unwatched(case),
        ),
        Code::ReplyLost => format!(
            "the message was handed over, but {}; no copy came within {}",
            last_failure(case).map_or("the final reply never came", |failure| &failure.what),
            human(case.route.deadline)
        ),
        Code::Bounced => bounced(case),
        Code::NotForwarded => not_forwarded(case),
        Code::Rejected => refused(case, "refused it"),
        Code::Blocklisted if outcome == Outcome::Unsent => refused(case, "refused us"),
        Code::Blocklisted if outcome == Outcome::Rejected => refused(case, "refused it"),
        Code::Deferred | Code::Blocklisted => {
            let tries = case.attempts.len();
            let times = if tries == 1 {
                "once".into()
            } else {
                format!("{tries} times")
            };
            refused(
                case,
                &format!("put it off {times} in {}", deferred_for(case)),
            )
        }
        Code::MailboxUnreadable | Code::MailboxRefused => unseen(case),
        Code::Interrupted => {
            "the run was interrupted, or its --timeout was over, before this came to its end".into()
        }
        Code::NotStarted => {
            "it was not sent: the run ended before, or --fail-fast held it back".into()
        }
        Code::DnsFailed
        | Code::ConnectFailed
        | Code::ProberOffline
        | Code::TlsFailed
        | Code::Certificate
        | Code::StarttlsMissing
        | Code::GreetingFailed
        | Code::AuthFailed
        | Code::AuthUnavailable
        | Code::TooLarge
        | Code::NotOffered
        | Code::Secret => match (case.close, case.went_clear()) {
            (Close::Blind(_), _) if outcome == Outcome::Unseen => unseen(case),
            (_, Some(attempt)) => in_clear(case, attempt),
            _ => not_handed_over(case),
        },
    }
}

/// A message that came through in the clear, because TLS failed.
fn in_clear(case: &Case<'_>, attempt: &Attempt) -> String {
    format!(
        "came back after {}, but went in the clear, because TLS failed: {}",
        took(case),
        no_tls(&attempt.end)
    )
}

/// Why a session could not be secured.
pub(super) fn no_tls(end: &End) -> String {
    match end {
        End::Broken(_, failure) => with_remedy(&failure.what, failure.remedy),
        End::Refused(_, reply) => format!("STARTTLS was answered with {}", shown(reply)),
        End::Accepted(_) | End::ReplyLost(_) | End::Awaited | End::Cut => String::new(),
    }
}

fn not_handed_over(case: &Case<'_>) -> String {
    match last_failure(case) {
        Some(failure) => with_remedy(&failure.what, failure.remedy),
        None => refused(case, "refused us"),
    }
}

/// What became of it, where that is as it should be or is not judged.
fn became(case: &Case<'_>, outcome: Outcome) -> String {
    if case.is_harmful() {
        return filters::became(case, outcome);
    }
    match outcome {
        Outcome::Delivered => format!(
            "came back after {}{}{}",
            took(case),
            filters::scores(case),
            aside(case)
        ),
        Outcome::Tagged => format!("came back after {}, marked: {}", took(case), marks(case)),
        Outcome::Junked => format!("was filed as junk after {}", took(case)),
        Outcome::Altered => format!("came back altered after {}", took(case)),
        Outcome::Rejected => refused(case, "refused it"),
        Outcome::Deferred => refused(case, "put it off"),
        Outcome::Bounced => bounced(case),
        Outcome::Missing => "was accepted and no copy came in time, as expected".into(),
        Outcome::Unsent => "could not be sent, as expected".into(),
        Outcome::Unseen | Outcome::Unfinished | Outcome::Skipped | Outcome::Answered => {
            outcome.to_string()
        }
    }
}

/// Which authentication results a copy lacks, and what it has instead.
fn unauthenticated(case: &Case<'_>) -> String {
    let Some(copy) = case.deciding_copy() else {
        return "came back without an authentication result".into();
    };
    let has = |method: &str| {
        let stated = copy.authentication.results.iter();
        let stated: Vec<_> = stated
            .filter(|it| &*it.method == method)
            .map(|it| match &it.reason {
                Some(reason) => format!("{} ({reason})", it.result),
                None => it.result.to_string(),
            })
            .collect();
        stated.join(", ")
    };
    let lacks: Vec<_> = case
        .missing_authentication()
        .map(|(method, wanted)| match has(method) {
            none if none.is_empty() => format!("{method} is not stated, expected {wanted}"),
            has => format!("{method} is {has}, expected {wanted}"),
        })
        .collect();
    let by = match (&copy.authentication.authserv_id, copy.authentication.not_counted) {
        (Some(by), _) => format!(" by {by}"),
        (None, 0) => String::new(),
        (None, _) => "; the Authentication-Results that it has are of servers that `authserv_ids` does not name".into(),
    };
    format!(
        "came back after {}, but {}{by}",
        took(case),
        lacks.join("; ")
    )
}

/// What else is worth knowing of a copy that came: that its mailbox could not be read for a while, or that the gateway
/// never answered.
fn aside(case: &Case<'_>) -> String {
    let Some(copy) = case.copies.first() else {
        return String::new();
    };
    // It was not there yet at the last good look, nor before it was sent, whatever its server says.
    let looked = copy.looked_before;
    let absent = [looked, case.handed_over().map(|attempt| attempt.started)];
    let longest = absent.into_iter().flatten().map(|at| copy.seen.since(at));
    let unread = copy.delivered_at.and_then(|delivered| {
        let unread = Duration::try_from(copy.seen.wall.duration_since(delivered)).ok()?;
        longest.chain([unread]).min()
    });
    let unread = unread.unwrap_or_default();
    let unlooked = copy.was_unreadable || looked.is_none();
    if unlooked && unread > UNREAD {
        let unread = human(Duration::from_secs(unread.as_secs()));
        return format!("; its server had it {unread} before, but the mailbox could not be read");
    }
    match case.handed_over().map(|attempt| &attempt.end) {
        Some(End::ReplyLost(failure)) => {
            format!(
                "; the gateway never answered the message ({}), so others would send it again",
                failure.what
            )
        }
        _ => String::new(),
    }
}

fn took(case: &Case<'_>) -> String {
    let seen = case
        .deciding_copy()
        .zip(case.attempts.first())
        .map(|(copy, first)| copy.seen.since(first.started));
    human(seen.unwrap_or_default().saturating_sub(case.deferral()))
}

fn deferred_for(case: &Case<'_>) -> String {
    match (case.attempts.first(), case.attempts.last()) {
        (Some(first), Some(last)) => human(last.ended.since(first.started)),
        _ => human(Duration::ZERO),
    }
}

fn marks(case: &Case<'_>) -> String {
    let copy = case.deciding_copy().into_iter();
    let positive: Vec<_> = copy
        .flat_map(|copy| copy.marks.positive())
        .map(|(field, mark)| format!("{field}: {}", mark.value))
        .collect();
    positive.join("; ")
}

/// Where a copy may lie that was not looked for.
fn unwatched(case: &Case<'_>) -> &'static str {
    if case.may_lie_in_junk() {
        return match case.route.mailbox.protocol {
            Protocol::Pop3 => "; POP3 shows no junk folder, so it may also lie there",
            Protocol::Imap => "; no junk folder is watched, so it may also lie there",
        };
    }
    match &case.route.bounce_mailbox {
        None => "; no watched mailbox gets bounces, so it may also have bounced",
        Some(_) => "",
    }
}

fn bounced(case: &Case<'_>) -> String {
    let Some(bounce) = case.bounce else {
        return "bounced".into();
    };
    let host = bounce
        .reporting_host
        .as_deref()
        .unwrap_or("a server on the way");
    let said = bounce
        .diagnostic
        .as_deref()
        .or(bounce.status.as_deref())
        .unwrap_or("no reason given");
    let about = bounce
        .recipient
        .as_deref()
        .map_or_else(String::new, |to| format!(" to {to}"));
    format!("{host} reports that it could not deliver it{about}: {said}")
}

fn not_forwarded(case: &Case<'_>) -> String {
    let proves = if case.is_harmful() {
        ": this proves none of the filters before it"
    } else {
        ""
    };
    format!(
        "{}; that is not {}, so the mail came in and was refused on its way back{proves}",
        bounced(case),
        case.route.to
    )
}

fn refused(case: &Case<'_>, did: &str) -> String {
    let Some(last) = case.attempts.last() else {
        return did.to_owned();
    };
    let host = host(case, last);
    match &last.end {
        End::Refused(phase, reply) => {
            let words = format!("{}{}", shown(reply), listed(reply, case.listings));
            let said = with_remedy(&words, remedy(*phase, reply));
            format!("{host} {did} at {}: {said}", phase.as_str().to_uppercase())
        }
        End::Broken(_, failure) | End::ReplyLost(failure) => {
            with_remedy(&failure.what, failure.remedy)
        }
        End::Accepted(reply) => format!("{host} accepted it: {}", shown(reply)),
        End::Awaited => format!("{host} has not answered yet"),
        End::Cut => format!(
            "mailrobin itself was stopped while it spoke to {host}, so whether the message was sent is not known"
        ),
    }
}

fn host(case: &Case<'_>, attempt: &Attempt) -> String {
    let endpoint = &case.route.gateway.endpoint;
    match attempt.address {
        Some(address) if address.ip().to_string() != endpoint.bare_host() => {
            format!("{endpoint} ({})", address.ip())
        }
        _ => endpoint.to_string(),
    }
}

/// Which lists have our address, of those that were asked, or that the server names.
pub(super) fn listed(reply: &Reply, asked: &[Listing]) -> String {
    let on: Vec<_> = asked
        .iter()
        .filter(|listing| listing.standing.is_listed())
        .map(|listing| {
            let address = listing.address.map(|address| address.to_string());
            let answers: Vec<_> = listing.answers.iter().map(ToString::to_string).collect();
            format!(
                "{} is on {} ({})",
                address.unwrap_or_default(),
                listing.list,
                answers.join(", ")
            )
        })
        .collect();
    match (named_blocklist(&reply.raw), on.is_empty()) {
        (_, false) => format!("; {}", on.join("; ")),
        (Some(list), true) => format!("; it names a blocklist, {list}"),
        (None, true) => String::new(),
    }
}

/// What usually helps against a refusal: by what its words name, else by its code and enhanced status code (RFC 3463), and
/// by the command only where these say no more.
pub(super) fn remedy(phase: Phase, reply: &Reply) -> &'static str {
    const SENDER: &str =
        "the gateway refuses the sender: check `from`, and that this host or login may send as it";
    const POLICY: &str = "the gateway's policy forbids it: its log says which rule";
    const GREYLISTED: &str =
        "greylisting usually lets a later try through: a longer `defer_for` shows it";
    if named_blocklist(&reply.raw).is_some() {
        return "look the address up at that list, end what put it there, and ask to be taken off";
    }
    let words = words(&reply.text());
    let says = |any: &[&str]| any.iter().any(|word| words.contains(&format!(" {word}")));
    let is_before_mail = phase.is_before_mail();
    match (phase, reply.code, reply.enhanced().as_deref()) {
        (Phase::Starttls | Phase::Tls, _, _) => {
            "the gateway offers STARTTLS but cannot do TLS now: its log says why"
        }
        (_, 500.., Some("5.7.10" | "5.7.11")) | (_, 538, _) => {
            "the gateway wants TLS first: set `tls = \"starttls\"`"
        }
        (_, 450..=451 | 500.., _) if says(&["starttls", "must use tls", "tls required"]) => {
            "the gateway wants TLS first: set `tls = \"starttls\"`"
        }
        (_, 400..500, _) if says(&["grey", "gray"]) => GREYLISTED,
        (_, 400..500, _) if says(&["rate", "throttl", "too many", "too much", "limit", "busy"]) => {
            "the gateway throttles: send less often (`rate`, `connections`), or ask for a higher limit"
        }
        (_, 421, Some(status)) if status.starts_with("4.7.") => {
            "the gateway does not take mail from here for now: its words or its log say by which rule"
        }
        (_, 421, _) => {
            "the gateway ends the session: it may be shutting down or overloaded; its log says why"
        }
        (Phase::Auth, 400..500, _) => "the gateway cannot check logins now: its log says why",
        (Phase::Auth, _, _) | (_, _, Some("5.7.8" | "5.7.9")) => {
            "check username and password, and that this login may send"
        }
        (_, 530 | 503, _) | (_, _, Some("5.7.0" | "5.7.1" | "5.7.3" | "5.5.1"))
            if says(&["authenticat", "log in", "logged in", "login"]) =>
        {
            "the gateway wants a login first: set `username` and `password`"
        }
        (_, 500.., _) | (_, _, Some("4.7.1")) if says(&["relay"]) => {
            "the gateway does not take mail for that domain from here: log in, or ask for this address to be allowed"
        }
        (_, _, Some("5.2.2" | "4.2.2")) | (_, 452 | 552, None)
            if says(&["quota", "overquota", "full", "storage"]) =>
        {
            "the recipient's mailbox is full: empty it, or raise its quota"
        }
        (_, _, Some("5.2.2" | "4.2.2")) => "the recipient's mailbox is full",
        (_, _, Some("5.3.4" | "5.2.3")) => "the message is too large for it",
        (_, 552, None) if says(&["size", "too large", "too big"]) => {
            "the message is too large for it"
        }
        (_, _, Some("5.2.1" | "4.2.1")) => "the recipient's mailbox is disabled there",
        (_, 451, _) if says(&["service unavailable", "temporarily unavailable"]) => {
            "a filter or server behind the gateway may be down: its log says which"
        }
        (_, 500..=504, None) | (_, _, Some("5.5.0" | "5.5.1" | "5.5.2" | "5.5.4")) => {
            "the gateway does not understand the command: `--transcript` shows the session"
        }
        (_, _, Some("5.7.20" | "5.7.21" | "5.7.22" | "5.7.26" | "5.7.30")) => {
            "DKIM or DMARC does not allow this host to send for `from`: send from another address, or have the mail signed"
        }
        (_, _, Some("5.7.23" | "5.7.24" | "5.7.27")) => {
            "SPF does not allow this host to send for `from`: send from another address, or add the host"
        }
        (_, _, Some("5.7.25" | "4.7.25")) => {
            "the address this host sends from has no name in reverse DNS"
        }
        (_, _, Some("4.7.1" | "5.7.1")) if says(&["reverse", "your hostname"]) => {
            "the address this host sends from has no name in reverse DNS"
        }
        (_, _, Some("5.1.7" | "5.1.8" | "4.1.8")) => SENDER,
        (_, _, Some(status)) if status.get(1..).is_some_and(|of| of.starts_with(".3.")) => {
            "the gateway itself has a problem, such as a full disk: its log says which"
        }
        (_, _, Some(status)) if status.get(1..).is_some_and(|of| of.starts_with(".4.")) => {
            "the gateway does not reach the next server or its DNS: its log says which"
        }
        (Phase::Rcpt | Phase::Data, _, Some("5.1.1" | "5.1.2" | "5.1.3" | "5.1.6" | "5.1.10"))
        | (Phase::Rcpt, 550 | 551 | 553, None) => "the recipient does not exist there: check `to`",
        (Phase::Mail, 500.., None | Some("5.7.1" | "5.7.0" | "5.0.0")) => SENDER,
        (Phase::Mail, 500.., Some(status)) if status.starts_with("5.1.") => SENDER,
        (_, _, Some("4.7.1" | "4.7.0")) if !is_before_mail => GREYLISTED,
        // Of the message itself, a filter's refusal says all there is to say, and may be what the test is for.
        (Phase::Mail | Phase::Rcpt, _, Some(status)) if status.starts_with("5.7.") => POLICY,
        _ => "",
    }
}

/// A reply's words in small letters, a space before each, without addresses and host names: `relay.example` is not about
/// relaying.
fn words(text: &str) -> String {
    let is_name = |word: &str| {
        let inside = word.trim_matches(|c: char| !c.is_alphanumeric());
        inside.contains(['@', '.'])
    };
    let said = text.split_whitespace().filter(|word| !is_name(word));
    let said = said.flat_map(|word| word.split(|c: char| !c.is_alphanumeric()));
    let said = said.filter(|word| !word.is_empty());
    said.fold(String::new(), |said, word| {
        said + " " + &word.to_lowercase()
    })
}

fn unseen(case: &Case<'_>) -> String {
    if !case.copies.is_empty() {
        return format!(
            "a copy came, but the mailbox {} could not be read at the deadline, and no server says when it came",
            case.route.mailbox.name
        );
    }
    let Close::Blind(blindness) = case.close else {
        return "the mailbox could not be read".into();
    };
    let why = with_remedy(&blindness.failure.what, blindness.failure.remedy);
    format!(
        "nothing can be said, because the mailbox {} could not be read: {why}",
        case.route.mailbox.name
    )
}

fn last_reply<'a>(case: &Case<'a>) -> Option<&'a Reply> {
    match &case.attempts.last()?.end {
        End::Accepted(reply) | End::Refused(_, reply) => Some(reply),
        End::Broken(..) | End::ReplyLost(_) | End::Awaited | End::Cut => None,
    }
}

fn last_failure<'a>(case: &Case<'a>) -> Option<&'a Failure> {
    match &case.attempts.last()?.end {
        End::Broken(_, failure) | End::ReplyLost(failure) => Some(failure),
        End::Accepted(_) | End::Refused(..) | End::Awaited | End::Cut => None,
    }
}

/// A reply in the server's own words.
pub(super) fn shown(reply: &Reply) -> String {
    [
        Some(reply.code.to_string()),
        reply.enhanced(),
        Some(reply.text()),
    ]
    .into_iter()
    .flatten()
    .filter(|word| !word.is_empty())
    .collect::<Vec<_>>()
    .join(" ")
}

pub(super) fn with_remedy(what: &str, remedy: &str) -> String {
    if remedy.is_empty() {
        what.to_owned()
    } else {
        format!("{what} — {remedy}")
    }
}

/// A duration for a sentence: `812 ms`, `15.1 s`, `4m 30s`.
pub fn human(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else if duration < Duration::from_mins(1) {
        let tenths = duration.as_millis() / 100;
        if tenths.is_multiple_of(10) {
            format!("{} s", tenths / 10)
        } else {
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
    } else {
        let whole = Duration::from_secs(duration.as_secs());
        format!("{:#}", SignedDuration::try_from(whole).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
