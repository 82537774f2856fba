//! Payloads past real filters: `ClamAV` in each of its ways to treat what it found, Rspamd and `SpamAssassin`.
//!
//! What is asserted of each payload is what these filters really do with it, found out by hand.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value as Json, json};

use crate::check::{Check, Report, Running, reason_says};
use crate::servers::{Stack, filtered, own_filtered, shared};

const HARMLESS: &[&str] = &["plain", "html", "large", "8bit", "long-lines"];
const POLICY: &[&str] = &["executable-name", "double-extension", "eicar-encrypted-zip"];
/// What `ClamAV` finds.
const FOUND: &[&str] = &[
    "eicar",
    "eicar-com",
    "eicar-inline",
    "eicar-base64",
    "eicar-zip",
    "eicar-zip-zip",
    "eicar-tar-gz",
    "eicar-nested",
    "eicar-renamed",
    "eicar-html",
];
/// What `ClamAV` does not find.
const NOT_FOUND: &[&str] = &[];
/// The patterns of all spam filters, the same by two names.
const GTUBE: &[&str] = &["gtube", "rspamd-reject"];
/// Those of Rspamd alone that ask to be marked.
const RSPAMD: &[&str] = &["rspamd-header", "rspamd-subject"];
/// All that ask to be stopped or marked.
const SPAM: &[&str] = &["gtube", "rspamd-reject", "rspamd-header", "rspamd-subject"];
/// The pattern that asks for nothing.
const NONE: &[&str] = &["rspamd-none"];

/// All of the above.
const EVERYTHING: &str = r#"
    { payload = "plain" }, { payload = "html" }, { payload = "large", size = "3MiB" }, { payload = "8bit" },
    { payload = "long-lines" }, { suite = "policy" }, { suite = "antivirus" }, { suite = "spam" }, { suite = "rspamd" }
"#;
const VIRUSES: &str = r#"{ payload = "plain" }, { suite = "antivirus" }"#;

const SCANNED: &str = "X-Virus-Status: Clean";
const FOUND_IT: &str = "550 5.7.1 Virus Eicar-Test-Signature.UNOFFICIAL found (a scan found it)";
const VANTAGE: &str = "scanners often skip local networks";

/// Some payloads, what becomes of them (outcome, verdict, code and what stopped them) and words of the sentence.
type Fate<'f> = (&'f [&'f str], &'f str, &'f [&'f str]);

/// A check past the filter of this port.
fn past<'s>(stack: &'s Stack, filter: &str) -> Check<'s> {
    let port = stack.port(&format!("SMTP_{filter}"));
    stack.check().gateway("port", port)
}

/// Asserts what became of each payload, and that no other was sent.
#[track_caller]
fn became(report: &Report, fates: &[Fate<'_>]) {
    let expected: BTreeMap<_, _> = fates
        .iter()
        .flat_map(|(payloads, fate, words)| {
            payloads
                .iter()
                .map(move |payload| (*payload, (*fate, *words)))
        })
        .collect();
    let mut wrong = Vec::new();
    for probe in report.probes() {
        let word = |at: &str| probe.pointer(at).and_then(Json::as_str).unwrap_or("-");
        let payload = word("/payload");
        let fate = [
            word("/outcome"),
            word("/verdict"),
            word("/code"),
            word("/evidence/stopped_by"),
        ];
        let fate = fate.join(" ");
        let reason = word("/reason");
        match expected.get(payload) {
            Some((wanted, words))
                if fate == *wanted && words.iter().all(|word| reason.contains(word)) => {}
            other => wrong.push(format!(
                "{payload}: {fate}: {reason}\n  expected: {other:?}"
            )),
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), report.stderr);
    assert_eq!(report.probes().len(), expected.len());
    let control = &report.probe_with("plain")["id"];
    for probe in report.probes() {
        let is_harmful = ["eicar", "gtube", "rspamd"]
            .iter()
            .any(|begin| probe["payload"].as_str().unwrap().starts_with(begin));
        if is_harmful && probe["payload"] != "eicar-encrypted-zip" {
            assert_eq!(probe["control"], *control, "{probe:#}");
        }
    }
}

/// What becomes of everything but the viruses that `ClamAV` finds, where `ClamAV` is the only filter.
const BESIDE_CLAMAV: [Fate<'_>; 5] = [
    (HARMLESS, "delivered pass ok -", &["came back", SCANNED]),
    (
        POLICY,
        "delivered pass not-judged -",
        &["came through", SCANNED],
    ),
    (
        NOT_FOUND,
        "delivered fail leak -",
        &["the EICAR attachment eicar.txt came back intact", SCANNED],
    ),
    (
        SPAM,
        "delivered fail leak -",
        &["the text with", "nothing on this route stopped it"],
    ),
    (NONE, "delivered pass ok -", &["came through"]),
];

fn beside_clamav(found: Fate<'_>) -> Vec<Fate<'_>> {
    let mut fates = BESIDE_CLAMAV.to_vec();
    fates.push(found);
    fates
}

/// A line of the human report on how many viruses were stopped.
fn stopped(prefix: &str) -> String {
    let (found, total) = (FOUND.len(), FOUND.len() + NOT_FOUND.len());
    let line = format!("{prefix}antivirus: {found} of {total} variants stopped");
    if NOT_FOUND.is_empty() {
        line
    } else {
        format!("{line}; came through: {}", NOT_FOUND.join(", "))
    }
}

#[test]
fn clamav_that_refuses_is_told_by_its_words() {
    let Some(stack) = filtered() else { return };
    let report = past(stack, "CLAMAV_REJECT").sends(EVERYTHING).run();
    let found = (FOUND, "rejected pass ok signature", &[FOUND_IT][..]);
    became(&report, &beside_clamav(found));
    assert_eq!(report.exit, 2);
    let probe = report.probe_with("eicar");
    assert_eq!(probe["attempts"][0]["phase"], "data");
    assert_eq!(probe["smtp"]["code"], 550);
    assert_eq!(probe["smtp"]["enhanced"], "5.7.1");
    assert_eq!(probe["copies"], json!([]));
}

#[test]
fn clamav_that_refuses_without_a_reason_is_no_proof_of_a_scan() {
    let Some(stack) = filtered() else { return };
    let report = past(stack, "CLAMAV_OPEN").sends(EVERYTHING).run();
    let words = "550 5.7.1 Command rejected (whether a scan found it is not told)";
    let found = (FOUND, "rejected pass ok unknown", &[words][..]);
    became(&report, &beside_clamav(found));
    assert_eq!(report.exit, 2);
}

#[test]
fn clamav_that_holds_back_or_drops_makes_it_missing_beside_the_control() {
    let Some(stack) = filtered() else { return };
    let start = |filter| {
        let check = past(stack, filter).sends(VIRUSES).route("deadline", "4s");
        check.start()
    };
    let running = [start("CLAMAV_QUARANTINE"), start("CLAMAV_BLACKHOLE")];
    let words = [
        "stopped on the way",
        "accepted it (250 2.0.0 Ok: queued as",
        "no copy came within 4 s",
        "while the plain message sent with it came back after",
    ];
    for report in running.map(Running::finish) {
        became(
            &report,
            &[
                (&["plain"], "delivered pass ok -", &[SCANNED]),
                (FOUND, "missing pass ok unknown", &words),
                (NOT_FOUND, "delivered fail leak -", &[SCANNED]),
            ],
        );
        assert_eq!(report.exit, if NOT_FOUND.is_empty() { 0 } else { 2 });
    }
    // The truth of it: one half is held back, the other gone.
    let held = fs::read_dir(format!("{}/hold", stack.get("POSTFIX_QUEUE"))).unwrap();
    assert_eq!(held.count(), FOUND.len());
    let log = fs::read_to_string(stack.get("POSTFIX_LOG")).unwrap();
    assert_eq!(log.matches("milter-discard").count(), FOUND.len());
}

#[test]
fn clamav_that_marks_and_delivers_lets_through() {
    let Some(stack) = filtered() else { return };
    let report = past(stack, "CLAMAV_ACCEPT").sends(EVERYTHING).run();
    let words = [
        "marked (X-Virus-Status: Infected (Eicar-Test-Signature.UNOFFICIAL))",
        "but intact: the filter tells it and delivers it all the same",
    ];
    let found = (FOUND, "tagged fail leak -", &words[..]);
    became(&report, &beside_clamav(found));
    assert_eq!(report.exit, 2);
    let mark = json!({ "value": "Infected (Eicar-Test-Signature.UNOFFICIAL)", "positive": true });
    let probe = report.probe_with("eicar-zip");
    assert_eq!(probe["evidence"]["marks"]["X-Virus-Status"], mark);
}

#[test]
fn marked_and_delivered_passes_where_that_is_expected() {
    let Some(stack) = filtered() else { return };
    let tests = r#"{ suite = "antivirus", expect = ["tagged"] }"#;
    let report = past(stack, "CLAMAV_ACCEPT").sends(tests).run();
    let words = ["came through", "marked: X-Virus-Status: Infected"];
    became(
        &report,
        &[
            (&["plain"], "delivered pass ok -", &[]),
            (FOUND, "tagged pass ok signature", &words),
            (NOT_FOUND, "delivered fail leak -", &[]),
        ],
    );
}

#[test]
fn clamav_and_rspamd_one_behind_the_other() {
    let Some(stack) = filtered() else { return };
    let report = past(stack, "CLAMAV_RSPAMD").sends(EVERYTHING).run();
    let scored = "X-Spamd-Result: default: False [0.00 / 15.00]";
    became(
        &report,
        &[
            (HARMLESS, "delivered pass ok -", &[scored, SCANNED]),
            (POLICY, "delivered pass not-judged -", &[scored, SCANNED]),
            (FOUND, "rejected pass ok signature", &[FOUND_IT]),
            (NOT_FOUND, "delivered fail leak -", &[scored, SCANNED]),
            (
                GTUBE,
                "rejected pass ok signature",
                &["554 5.7.1 Gtube pattern"],
            ),
            (
                RSPAMD,
                "tagged pass ok unknown",
                &["came through", "marked: "],
            ),
            (NONE, "delivered pass ok -", &["came through"]),
        ],
    );
    let exit = if NOT_FOUND.is_empty() { 0 } else { 2 };
    assert_eq!(report.exit, exit);

    let tests = r#"{ payload = "plain" }, { suite = "antivirus" }, { suite = "spam" }, { suite = "rspamd" }"#;
    let check = past(stack, "CLAMAV_RSPAMD").sends(tests);
    let report = check.for_people().run();
    assert_eq!(report.exit, exit);
    let says = |words: &str| assert!(report.stdout.contains(words), "{words}:\n{}", report.stdout);
    says(&stopped(if exit == 0 {
        "PASS  main  "
    } else {
        "FAIL  main  "
    }));
    says("spam: 4 of 4 variants stopped or marked; let through, as expected: rspamd-none\n");
    let plain = report
        .stdout
        .lines()
        .find(|line| line.contains("PASS  plain"));
    assert!(plain.unwrap().contains("delivered"));
    // Longer lines may be wrapped.
    says("default: False [0.00 / 15.00]");
}

#[test]
fn filters_that_work_make_all_pass() {
    let Some(stack) = filtered() else { return };
    let tests: Vec<_> = [FOUND, GTUBE, RSPAMD, POLICY].concat();
    let tests: Vec<_> = tests
        .iter()
        .map(|payload| format!("{{ payload = {payload:?} }}"))
        .collect();
    let check = past(stack, "CLAMAV_RSPAMD").sends(&tests.join(","));
    let report = check.for_people().run();
    assert_eq!(report.exit, 0, "{report:?}");
    assert!(report.stdout.starts_with("PASS"), "{}", report.stdout);
    let stopped = format!("antivirus: {0} of {0} variants stopped\n", FOUND.len());
    assert!(report.stdout.contains(&stopped), "{}", report.stdout);
}

#[test]
fn the_four_patterns_of_rspamd_are_told_apart() {
    let Some(stack) = filtered() else { return };
    let report = past(stack, "RSPAMD").sends(EVERYTHING).run();
    let scored = "X-Spamd-Result: default: False [0.00 / 15.00]";
    became(
        &report,
        &[
            (HARMLESS, "delivered pass ok -", &[scored]),
            (POLICY, "delivered pass not-judged -", &[scored]),
            (FOUND, "delivered fail leak -", &[scored, VANTAGE]),
            (NOT_FOUND, "delivered fail leak -", &[scored, VANTAGE]),
            (
                GTUBE,
                "rejected pass ok signature",
                &["refused it at DATA: 554 5.7.1 Gtube pattern (a scan found it)"],
            ),
            (
                &["rspamd-header"],
                "tagged pass ok unknown",
                &["marked: X-Spam: Yes"],
            ),
            (
                &["rspamd-subject"],
                "tagged pass ok unknown",
                &["marked: Subject: *** SPAM ***"],
            ),
            (NONE, "delivered pass ok -", &["came through"]),
        ],
    );
    assert_eq!(report.exit, 2);
    assert_eq!(report.probe_with("rspamd-reject")["smtp"]["code"], 554);
    let score = json!({ "value": "default: False [0.00 / 15.00]", "positive": false });
    let probe = report.probe_with("plain");
    assert_eq!(probe["evidence"]["marks"]["X-Spamd-Result"], score);
    assert_eq!(
        report.probe_with("rspamd-none")["evidence"]["marks"],
        json!({})
    );
}

#[test]
fn spamassassin_marks_gtube_and_knows_nothing_of_rspamds_patterns() {
    let Some(stack) = filtered() else { return };
    let check = past(stack, "SPAMASSASSIN").sends(EVERYTHING);
    // Two processes scan everything.
    let report = check.route("deadline", "40s").run();
    let scored = "X-Spam-Status: No, score=-";
    let small: Vec<_> = HARMLESS
        .iter()
        .copied()
        .filter(|it| *it != "large")
        .collect();
    became(
        &report,
        &[
            (&small, "delivered pass ok -", &[scored]),
            // Mail of this size is not scanned.
            (&["large"], "delivered pass ok -", &["came back"]),
            (POLICY, "delivered pass not-judged -", &[scored]),
            (FOUND, "delivered fail leak -", &[scored, VANTAGE]),
            (NOT_FOUND, "delivered fail leak -", &[scored, VANTAGE]),
            (
                GTUBE,
                "tagged pass ok signature",
                &[
                    "Subject: ***SPAM***",
                    "X-Spam-Flag: YES",
                    "X-Spam-Status: Yes, score=999.0",
                ],
            ),
            (RSPAMD, "delivered fail leak -", &[scored]),
            (NONE, "delivered pass ok -", &[scored]),
        ],
    );
    assert_eq!(report.exit, 2);
    assert_eq!(report.probe_with("large")["evidence"]["marks"], json!({}));
    let marks = &report.probe_with("gtube")["evidence"]["marks"];
    assert_eq!(
        marks["X-Spam-Flag"],
        json!({ "value": "YES", "positive": true })
    );
    assert_eq!(
        marks["Subject"],
        json!({ "value": "***SPAM***", "positive": true })
    );
}

#[test]
fn the_score_of_ordinary_mail_is_evidence_and_told() {
    let Some(stack) = filtered() else { return };
    let report = past(stack, "SPAMASSASSIN").run();
    let probe = report.is(0, "delivered", "ok");
    let mark = &probe["evidence"]["marks"]["X-Spam-Status"];
    assert_eq!(mark["positive"], false);
    assert!(
        mark["value"].as_str().unwrap().starts_with("No, score=-"),
        "{mark}"
    );
    let report = past(stack, "SPAMASSASSIN").for_people().run();
    let said = "X-Spam-Status: No, score=-";
    assert!(report.stdout.contains(said), "{}", report.stdout);
}

#[test]
fn beside_more_than_the_scanner_reads_a_virus_comes_through_as_clean() {
    let Some(stack) = filtered() else { return };
    let tests = r#"{ payload = "eicar", pad = "1MiB" }, { payload = "eicar", pad = "2MiB" }"#;
    let report = past(stack, "CLAMAV_REJECT").sends(tests).run();
    assert_eq!(report.exit, 2);
    let viruses = report.probes().iter().filter(|it| it["payload"] == "eicar");
    let mut viruses: Vec<_> = viruses.collect();
    viruses.sort_by_key(|probe| probe["outcome"] == "delivered");
    let [small, big] = viruses[..] else {
        panic!("{}", report.stdout)
    };
    assert_eq!(small["outcome"], "rejected");
    assert_eq!(small["verdict"], "pass");
    assert_eq!(big["outcome"], "delivered");
    assert_eq!(big["code"], "leak");
    reason_says(big, "came back intact");
    reason_says(big, SCANNED);
    let report = past(stack, "CLAMAV_REJECT").sends(tests).for_people().run();
    let line = "antivirus: 1 of 2 variants stopped; came through: eicar (beside 2.0 MiB)";
    assert!(report.stdout.contains(line), "{}", report.stdout);
}

#[test]
fn collected_over_pop3() {
    let Some(stack) = filtered() else { return };
    let tests =
        r#"{ suite = "antivirus" }, { suite = "rspamd" }, { payload = "large", size = "3MiB" }"#;
    let check = past(stack, "CLAMAV_RSPAMD").sends(tests);
    let check = check.mailbox("protocol", "pop3");
    let report = check.mailbox("port", stack.port("POP3")).run();
    became(
        &report,
        &[
            (&["plain", "large"], "delivered pass ok -", &[SCANNED]),
            (FOUND, "rejected pass ok signature", &[FOUND_IT]),
            (NOT_FOUND, "delivered fail leak -", &[SCANNED]),
            (&["rspamd-reject"], "rejected pass ok signature", &[]),
            (RSPAMD, "tagged pass ok unknown", &["marked: "]),
            (NONE, "delivered pass ok -", &[]),
        ],
    );
    assert!(report.probe_with("plain")["copies"][0]["uidl"].is_string());
}

#[test]
fn without_a_filter_everything_harmful_comes_through() {
    let Some(stack) = shared() else { return };
    let check = stack.check().trusting().gateway("tls", "starttls");
    let check = check.gateway("port", stack.port("SUBMISSION")).logged_in();
    let report = check.sends(EVERYTHING).run();
    let words = [
        "came back intact",
        "scanners often skip authenticated senders",
    ];
    became(
        &report,
        &[
            (HARMLESS, "delivered pass ok -", &[]),
            (POLICY, "delivered pass not-judged -", &[]),
            (FOUND, "delivered fail leak -", &words),
            (NOT_FOUND, "delivered fail leak -", &words),
            (SPAM, "delivered fail leak -", &words),
            (NONE, "delivered pass ok -", &[]),
        ],
    );
}

#[test]
fn where_all_mail_is_refused_no_filter_is_proved() {
    let Some(stack) = filtered() else { return };
    for (recipient, code, words) in [
        (
            "bodyreject",
            "control-failed",
            "ended rejected, so this proves no filter",
        ),
        (
            "reject",
            "rejected-before-content",
            "had not seen the message by then",
        ),
    ] {
        let check = past(stack, "CLAMAV_REJECT").to(&format!("{recipient}@example.test"));
        let report = check.sends(r#"{ payload = "gtube" }"#).run();
        became(
            &report,
            &[
                (&["plain"], "rejected fail rejected -", &[]),
                (&["gtube"], &gtube(code), &[words]),
            ],
        );
        assert_eq!(report.exit, 2);
    }
}

fn gtube(code: &str) -> String {
    let stopper = if code == "control-failed" {
        "unknown"
    } else {
        "-"
    };
    format!("rejected unknown {code} {stopper}")
}

#[test]
fn a_filter_that_is_away_is_not_tested_and_one_that_fails_open_lets_through() {
    let Some(stack) = own_filtered() else { return };
    let stack = &stack;
    let away = |filter, tests| {
        let check = past(stack, filter).sends(tests);
        check.route("deadline", "3s").route("defer_for", "2s")
    };
    let after_the_dot = "at DATA: 451 4.7.1 Service unavailable";
    let all = [FOUND, NOT_FOUND].concat();

    stack.run("clamd-stop", &[]);
    let report = away("CLAMAV_REJECT", VIRUSES).run();
    became(
        &report,
        &[
            (&["plain"], "deferred fail deferred -", &[after_the_dot]),
            (
                &all,
                "deferred unknown filter-not-tested -",
                &["no filter was tested", after_the_dot],
            ),
        ],
    );
    assert_eq!(report.exit, 2);
    let tests = r#"{ payload = "plain", expect = ["deferred"] }, { payload = "eicar" }"#;
    let report = away("CLAMAV_REJECT", tests).run();
    assert_eq!(report.exit, 3, "{report:?}");
    assert_eq!(report.document["verdict"], "unknown");

    let report = past(stack, "CLAMAV_OPEN").sends(VIRUSES).run();
    let words = [
        "came back intact",
        "nothing on this route stopped it",
        VANTAGE,
    ];
    became(
        &report,
        &[
            (&["plain"], "delivered pass ok -", &[]),
            (&all, "delivered fail leak -", &words),
        ],
    );
    assert_eq!(report.exit, 2);
    let probe = report.probe_with("eicar");
    assert_eq!(
        probe["evidence"]["marks"],
        json!({}),
        "nobody has scanned it"
    );

    stack.run("rspamd-stop", &[]);
    let report = away("RSPAMD", r#"{ payload = "plain" }, { suite = "spam" }"#).run();
    let at_mail = "at MAIL: 451 4.7.1 Service unavailable";
    became(
        &report,
        &[
            (&["plain"], "deferred fail deferred -", &[at_mail]),
            (
                &["gtube"],
                "deferred unknown filter-not-tested -",
                &["no filter was tested", at_mail],
            ),
        ],
    );
    assert_eq!(report.exit, 2);

    stack.run("rspamd-start", &[]);
    stack.run("clamd-start", &[]);
    let tests = r#"{ payload = "eicar" }, { payload = "gtube" }"#;
    let report = past(stack, "CLAMAV_RSPAMD").sends(tests).run();
    assert_eq!(report.exit, 0, "{report:?}");
}

/// Postfix offers SMTPUTF8, Dovecot's LMTP does not.
#[test]
fn internationalised_mail_that_the_next_server_cannot_take_bounces() {
    let Some(stack) = filtered() else { return };
    let check = past(stack, "CLAMAV_RSPAMD").sends(r#"{ payload = "smtputf8" }"#);
    let report = check.run();
    let probe = report.is(2, "bounced", "bounced");
    assert_eq!(probe["evidence"]["bounce"]["status"], "5.6.7");
    reason_says(probe, "SMTPUTF8 is required, but was not offered");
}
