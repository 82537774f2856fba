//! Whether the scenarios stand for all that they should: the rows of the field cases, the outcomes, the codes.

use std::collections::BTreeSet;
use std::path::Path;

use mailrobin::probe::outcome::{Code, Outcome};

use crate::all;
use crate::scenario::Scenario;

/// The rows of the project's list of field cases, by the words they begin with.
const FIELD_CASES: [&str; 35] = [
    // Recognising the copy
    "The subject is rewritten on the way",
    "The tag is nowhere in the header",
    "Forwarded as attachment or quoted inline",
    "Several monitors, or real mail, in the same mailbox",
    "Other tools destroyed their users' mail",
    "Duplicate suppression",
    "A second copy arrives",
    "Auto-replies and loops",
    "Messages that *refer* to a probe",
    "A bounce names its side by the recipient it is about",
    // Watching the mailbox
    "SEARCH cannot be trusted",
    "Cost of a look",
    "IDLE",
    "Logins are limited",
    "POP3",
    "Junk is called Junk, Spam, or a local word",
    "The collector is down while mail is in flight",
    // Sending
    "Greylisting",
    "250 and then silently dropped",
    "5xx at MAIL, RCPT, DATA or after the dot",
    "Scanners skip authenticated and local senders",
    "TLS is offered and every handshake fails",
    "Own alerts would travel the broken path",
    // Filters
    "ClamAV knows EICAR only as the 68 bytes at offset 0",
    "Programs that contain the string are flagged",
    "Detected but delivered",
    "Fail-open",
    "rspamd",
    "The provider of the collecting mailbox filters too",
    "The attachment is removed and a notice put in its place",
    // Evidence
    "Clocks differ",
    "Received lines without date",
    "Authentication-Results and X- headers can be forged",
    "SRS changes the envelope sender",
    "Several addresses behind a name",
];

/// Rows that other tests stand for, and which.
const ELSEWHERE: [(&str, &str); 2] = [
    (
        "Programs that contain the string are flagged",
        "tests/cli/patterns.rs",
    ),
    ("Several addresses behind a name", "tests/gateways/each.rs"),
];

/// Outcomes that no `check` of round trips comes to, and why.
const BEYOND: [(Outcome, &str); 1] = [(Outcome::Answered, "a matter of ping routes")];
/// Codes that no scenario can have, and why.
const BEYOND_CODES: [(Code, &str); 2] = [
    (Code::Certificate, "a matter of ping routes"),
    (
        Code::ProberOffline,
        "of a whole run without a network: tests/cli/uplink.rs",
    ),
];

#[test]
fn every_field_case_has_a_scenario() {
    let scenarios = all();
    let named: BTreeSet<_> = scenarios
        .iter()
        .flat_map(|(_, scenario)| scenario.field_case.all())
        .map(String::as_str)
        .chain(ELSEWHERE.map(|(row, _)| row))
        .collect();
    for (row, test) in ELSEWHERE {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(test);
        assert!(file.is_file(), "{row}: no {test}");
    }
    let known = BTreeSet::from(FIELD_CASES);
    let difference = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| {
        a.difference(b).map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        difference(&known, &named),
        [""; 0],
        "rows without a scenario"
    );
    assert_eq!(difference(&named, &known), [""; 0], "scenarios of no row");
}

#[test]
fn every_outcome_and_every_code_has_a_scenario() {
    let scenarios = all();
    let played: Vec<&Scenario> = scenarios
        .iter()
        .map(|(_, scenario)| scenario)
        .filter(|scenario| scenario.ignore.is_none())
        .collect();
    let probes = || played.iter().flat_map(|scenario| &scenario.expect.probes);
    // Where several are allowed, none is sure to be reached.
    let outcomes: BTreeSet<_> = probes()
        .filter_map(|probe| <&[String; 1]>::try_from(probe.outcome.all()).ok())
        .map(|[outcome]| outcome.as_str())
        .collect();
    let codes: BTreeSet<_> = probes()
        .filter_map(|probe| <&[String; 1]>::try_from(probe.code.all()).ok())
        .map(|[code]| code.as_str())
        .collect();
    let beyond = |outcome: &Outcome| BEYOND.iter().any(|(beyond, _)| beyond == outcome);
    let missing: Vec<_> = Outcome::ALL
        .iter()
        .filter(|outcome| !beyond(outcome) && !outcomes.contains(outcome.as_str()))
        .collect();
    assert!(missing.is_empty(), "no scenario ends as {missing:?}");
    let missing: Vec<_> = Code::ALL
        .iter()
        .filter(|code| !BEYOND_CODES.iter().any(|(beyond, _)| beyond == *code))
        .filter(|code| !codes.contains(code.as_str()))
        .collect();
    assert!(missing.is_empty(), "no scenario has the code {missing:?}");
    for word in outcomes {
        assert!(
            Outcome::ALL.iter().any(|known| known.as_str() == word),
            "{word}"
        );
    }
    for word in codes {
        assert!(
            Code::ALL.iter().any(|known| known.as_str() == word),
            "{word}"
        );
    }
}
