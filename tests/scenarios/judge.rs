//! Holds what came of a scenario against what it expects, and against what must hold of every run.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Debug;

use mailrobin::probe::evidence::{Evidence, Integrity, PartFacts, StoppedBy};
use mailrobin::probe::hop::{Hop, Slowest};
use mailrobin::probe::outcome::{Code, Outcome, Verdict};
use mailrobin::probe::payload::Payload;
use mailrobin::probe::record::{Document, Record};

use crate::scenario::{self, Probe, Scenario, Several};
use crate::stage::Played;

/// What is not as it should be, a line each.
pub(crate) fn differences(scenario: &Scenario, played: &Played) -> Vec<String> {
    let mut found = Found::default();
    let wanted = &scenario.expect.run;
    found.compare("exit code", &played.exit, &Some(wanted.exit));
    found.words("standard error", &played.stderr, &wanted.stderr);
    found.words("what the lab says", &played.lab_says, &wanted.lab_says);
    found.given(
        "messages in INBOX",
        &played.inbox,
        wanted.mailbox_left.as_ref(),
    );
    found.given("messages in Junk", &played.junk, wanted.junk_left.as_ref());
    found.given(
        "flags",
        &played.flags.clone().unwrap_or_default(),
        wanted.flags.as_ref(),
    );
    let sessions: Vec<_> = played.heard.iter().map(crate::peer::Heard::verbs).collect();
    found.given("sessions", &sessions, wanted.sessions.as_ref());
    found.given(
        "message-ids",
        &message_ids(played),
        wanted.message_ids.as_ref(),
    );
    if let Some(within) = wanted.within.filter(|within| played.took > within.0) {
        found.say(format!(
            "it took {:?}, more than {:?}",
            played.took, within.0
        ));
    }
    if played.stderr.contains("panicked") {
        found.say("it panicked".into());
    }
    match &played.document {
        Ok(document) => {
            probes(&mut found, document, &scenario.expect.probes);
            always(&mut found, document, played.exit);
        }
        Err(_) if scenario.expect.probes.is_empty() => {}
        Err(error) => found.say(format!("no result document: {error}")),
    }
    if !found.0.is_empty() {
        found.context(played);
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<String>);

impl Found {
    fn say(&mut self, line: String) {
        self.0.push(line);
    }

    fn compare<T: PartialEq + Debug>(&mut self, what: &str, is: &T, wanted: &T) {
        if is != wanted {
            self.say(format!("{what}: {is:?}, expected {wanted:?}"));
        }
    }

    fn given<T: PartialEq + Debug>(&mut self, what: &str, is: &T, wanted: Option<&T>) {
        if let Some(wanted) = wanted {
            self.compare(what, is, wanted);
        }
    }

    fn words(&mut self, what: &str, text: &str, wanted: &[String]) {
        for word in wanted.iter().filter(|word| !text.contains(*word)) {
            self.say(format!("{what}: no {word:?} in {text:?}"));
        }
    }

    fn one_of(&mut self, what: &str, is: &str, wanted: &Several) {
        let wanted = wanted.all();
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == is) {
            self.say(format!("{what}: {is}, expected {}", wanted.join(" or ")));
        }
    }

    /// All that may explain a difference.
    fn context(&mut self, played: &Played) {
        if let Ok(document) = &played.document {
            for probe in &document.probes {
                self.say(format!("reason: {}", probe.reason));
                for attempt in &probe.attempts {
                    self.say(format!("attempt: {attempt:?}"));
                }
            }
        }
        for heard in &played.heard {
            self.say(format!("session: {}", heard.verbs()));
        }
        if !played.stderr.is_empty() {
            self.say(format!("standard error: {}", played.stderr));
        }
    }
}

fn probes(found: &mut Found, document: &Document, wanted: &[Probe]) {
    if document.probes.len() != wanted.len() && !wanted.is_empty() {
        let (is, expected) = (document.probes.len(), wanted.len());
        found.say(format!("{is} probes, expected {expected}"));
    }
    let mut plain = None;
    let mut left: Vec<_> = document.probes.iter().collect();
    for wanted in wanted {
        // Probes that start in the same millisecond are listed in no order of their own.
        let is_wanted = |record: &&Record| match &wanted.payload {
            Some(payload) => record.payload_name() == payload,
            None => true,
        };
        let Some(at) = left.iter().position(is_wanted) else {
            found.say(format!("no such probe: {wanted:?}"));
            continue;
        };
        let record = left.remove(at);
        let said = found.0.len();
        probe(found, record, wanted);
        if let Some(is_controlled) = wanted.control {
            found.compare("control", &record.control, &plain.filter(|_| is_controlled));
        }
        if record.payload == Some(Payload::Plain) {
            plain = Some(record.id);
        }
        for line in found.0.iter_mut().skip(said) {
            line.insert_str(0, &format!("{}: ", record.payload_name()));
        }
    }
}

fn probe(found: &mut Found, record: &Record, wanted: &Probe) {
    let words = |all: &[String]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    found.given("variant", &record.variant, wanted.variant.as_ref());
    found.one_of("outcome", record.outcome.as_str(), &wanted.outcome);
    found.one_of("code", record.code.as_str(), &wanted.code);
    found.given(
        "verdict",
        &record.verdict.to_string(),
        wanted.verdict.as_ref(),
    );
    let last = record
        .attempts
        .last()
        .map(|attempt| attempt.phase.to_string());
    found.given(
        "last phase",
        &last.unwrap_or_default(),
        wanted.phase.as_ref(),
    );
    attempts(found, record.attempts.len(), wanted.attempts.as_ref());
    found.words("reason", &record.reason, &wanted.words);
    for word in wanted
        .no_words
        .iter()
        .filter(|word| record.reason.contains(*word))
    {
        found.say(format!("reason: {word:?} in {:?}", record.reason));
    }
    let evidence = &record.evidence;
    way(found, evidence, wanted);
    let carriers = evidence.carriers.iter().map(ToString::to_string).collect();
    found.given("carriers", &carriers, wanted.carriers.as_ref());
    let marks = evidence.marks.positive();
    let marks = marks.map(|(field, _)| field.to_owned()).collect::<Vec<_>>();
    found.given("marks", &words(&marks), wanted.marks.as_ref());
    let stopped_by = evidence.stopped_by.map_or("none", StoppedBy::as_str);
    found.given(
        "stopped by",
        &stopped_by.to_owned(),
        wanted.stopped_by.as_ref(),
    );
    match (&evidence.integrity, &wanted.integrity) {
        (_, None) => {}
        (None, Some(_)) => found.say("no integrity".into()),
        (Some(is), Some(wanted)) => integrity(found, is, wanted),
    }
    let plain = |value: serde_json::Value| value.as_str().unwrap_or("none").to_owned();
    let vantage = plain(serde_json::to_value(evidence.vantage).unwrap());
    found.given("vantage", &vantage, wanted.vantage.as_ref());
    let seen_by = plain(serde_json::to_value(record.seen_by).unwrap());
    found.given("seen by", &seen_by, wanted.seen_by.as_ref());
    let bounce = evidence
        .bounce
        .as_ref()
        .map_or("none", |bounce| &bounce.action);
    found.given("bounce", &bounce.to_owned(), wanted.bounce.as_ref());
    found.given("late", &record.late, wanted.late.as_ref());
    found.given("duplicates", &record.duplicates, wanted.duplicates.as_ref());
    let phases = record.phases.iter().map(|phase| phase.name.to_string());
    found.given("phases", &phases.collect(), wanted.phases.as_ref());
    for (name, least) in &wanted.at_least {
        let took = record
            .phases
            .iter()
            .find(|phase| phase.name.as_str() == name);
        if took.is_none_or(|took| took.ms < least.0.as_secs_f64() * 1000.0) {
            found.say(format!("{name}: {took:?}, expected at least {:?}", least.0));
        }
    }
    for (name, most) in &wanted.at_most {
        let took = record
            .phases
            .iter()
            .find(|phase| phase.name.as_str() == name);
        if took.is_none_or(|took| took.ms > most.0.as_secs_f64() * 1000.0) {
            found.say(format!("{name}: {took:?}, expected at most {:?}", most.0));
        }
    }
    let smtp = record.smtp.as_ref();
    let code = smtp.and_then(|smtp| smtp.code);
    found.given(
        "last reply",
        &code.unwrap_or_default(),
        wanted.reply.as_ref(),
    );
    let enhanced = smtp.and_then(|smtp| smtp.enhanced.clone());
    found.given(
        "enhanced",
        &enhanced.unwrap_or_default(),
        wanted.enhanced.as_ref(),
    );
    let tls = smtp.is_some_and(|smtp| smtp.tls.is_some());
    found.given("tls", &tls, wanted.tls.as_ref());
}

fn way(found: &mut Found, is: &Evidence, wanted: &Probe) {
    let by = |hop: &Hop| hop.by.as_deref().unwrap_or("-").to_owned();
    let hops = is.hops.iter().map(by).collect();
    found.given("hops", &hops, wanted.hops.as_ref());
    let skewed = is.hops.iter().filter(|hop| hop.skew_ms.is_some()).map(by);
    found.given("skewed", &skewed.collect(), wanted.skewed.as_ref());
    let slowest = match &is.slowest {
        Some(Slowest::Phase { phase, .. }) => vec![phase.to_string()],
        Some(Slowest::Between { between, .. }) => between.iter().map(ToString::to_string).collect(),
        Some(Slowest::Unknown { .. }) | None => Vec::new(),
    };
    found.given("slowest", &slowest, wanted.slowest.as_ref());
    let results = is.authentication.results.iter();
    let results = results.map(|it| format!("{}={}", it.method, it.result));
    found.given(
        "authentication",
        &results.collect(),
        wanted.authentication.as_ref(),
    );
}

fn integrity(found: &mut Found, is: &Integrity, wanted: &scenario::Integrity) {
    let name = |part: &PartFacts| part.name.clone().unwrap_or(part.media_type.clone());
    let parts = is
        .parts
        .iter()
        .map(|part| format!("{}: {}", name(&part.sent), part.fate.as_str()))
        .collect();
    found.given("text", &is.text.as_str().to_owned(), wanted.text.as_ref());
    found.given("parts", &parts, wanted.parts.as_ref());
    let added = is.added.iter().map(name).collect();
    found.given("added parts", &added, wanted.added.as_ref());
    found.given("unread", &is.unread.is_some(), wanted.unread.as_ref());
    let changed = is.headers_changed.iter().map(|field| &*field.name);
    for (what, fields, wanted) in [
        ("added", borrowed(&is.headers_added), &wanted.headers_added),
        (
            "removed",
            borrowed(&is.headers_removed),
            &wanted.headers_removed,
        ),
        ("changed", changed.collect(), &wanted.headers_changed),
    ] {
        for field in wanted.iter().filter(|field| !fields.contains(&&***field)) {
            found.say(format!(
                "{field} is not among the header fields {what}: {fields:?}"
            ));
        }
    }
}

fn borrowed<'a>(fields: &'a [Cow<'static, str>]) -> Vec<&'a str> {
    fields.iter().map(|field| &**field).collect()
}

fn attempts(found: &mut Found, is: usize, wanted: Option<&toml::Value>) {
    let (fits, wanted) = match wanted {
        None => return,
        Some(toml::Value::Integer(number)) => {
            (usize::try_from(*number) == Ok(is), number.to_string())
        }
        Some(toml::Value::String(text)) => {
            let least = text.strip_prefix(">=").and_then(|least| least.parse().ok());
            (is >= least.expect("a number of attempts"), text.clone())
        }
        Some(other) => panic!("attempts = {other}"),
    };
    if !fits {
        found.say(format!("{is} attempts, expected {wanted}"));
    }
}

/// What holds of every run.
fn always(found: &mut Found, document: &Document, exit: Option<i32>) {
    let worst = document
        .probes
        .iter()
        .map(|probe| probe.verdict)
        .max()
        .unwrap_or_default();
    found.compare("the document's verdict", &document.verdict, &worst);
    let total = &document.summary;
    let counted = total.pass + total.warn + total.fail + total.unknown;
    if counted == 0 || counted > document.probes.len() {
        found.say(format!(
            "the summary counts {counted} of {}",
            document.probes.len()
        ));
    }
    if exit == Some(0) && worst != Verdict::Pass {
        found.say(format!("it ends well with the verdict {worst}"));
    }
    for probe in &document.probes {
        if probe.reason.is_empty() || probe.reason.contains(char::is_control) {
            found.say(format!("the reason is no sentence: {:?}", probe.reason));
        }
        let sum: f64 = probe.phases.iter().map(|phase| phase.ms).sum();
        if probe
            .round_trip_ms
            .is_some_and(|whole| (whole - sum).abs() > 0.1)
        {
            found.say(format!(
                "the phases make {sum} ms of {:?}",
                probe.round_trip_ms
            ));
        }
        let is_seen = matches!(
            probe.outcome,
            Outcome::Delivered | Outcome::Tagged | Outcome::Junked | Outcome::Altered
        );
        // What leaks has come, however late.
        let counts = !probe.late || probe.code == Code::Leak;
        if is_seen != (!probe.copies.is_empty() && counts) {
            found.say(format!(
                "{} with {} copies",
                probe.outcome,
                probe.copies.len()
            ));
        }
    }
}

/// How many different Message-IDs the scripted gateway was given.
fn message_ids(played: &Played) -> usize {
    let messages = played.heard.iter().flat_map(|heard| &heard.messages);
    let ids: BTreeSet<_> = messages
        .filter_map(|message| {
            let text = String::from_utf8_lossy(message).into_owned();
            let line = text.lines().find(|line| line.starts_with("Message-ID:"))?;
            Some(line.to_owned())
        })
        .collect();
    ids.len()
}
