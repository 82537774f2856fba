//! The result document: its JSON Schema is kept in `schema/`, and what `check` really prints follows it.

use serde_json::Value;

use super::bed::{Bed, Peer, Say, code, config, err, expect_file, out, refused, root};

#[test]
fn the_schema_in_the_repository_is_the_programs_own() {
    let schema = serde_json::to_string_pretty(&mailrobin::report::json::schema()).unwrap() + "\n";
    let path = root().join("schema/result.schema.json");
    expect_file(&path, &schema).unwrap();
}

#[test]
fn the_schema_of_notices_is_the_programs_own() {
    let schema = mailrobin::service::notify::schema();
    let schema = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    expect_file(&root().join("schema/notice.schema.json"), &schema).unwrap();
}

/// The document that `check` printed, held against the schema.
#[track_caller]
fn document(bed: &Bed, arguments: &[&str], exit: i32) -> Value {
    let mut all = vec!["check", "--format", "json", "--linger", "0"];
    all.extend(arguments);
    let output = bed.run(&all);
    assert_eq!(code(&output), exit, "{}{}", out(&output), err(&output));
    let document = serde_json::from_slice(&output.stdout).unwrap();
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&mailrobin::report::json::schema())
        .unwrap();
    let wrong: Vec<_> = validator
        .iter_errors(&document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{}\n{document:#}", wrong.join("\n"));
    document
}

/// Outcome, verdict and code of each probe.
fn ends(document: &Value) -> Vec<[&str; 3]> {
    let probes = document["probes"].as_array().unwrap();
    probes
        .iter()
        .map(|probe| ["outcome", "verdict", "code"].map(|key| probe[key].as_str().unwrap()))
        .collect()
}

const PASSWORD: &str = "password = \"hunter2\"";

fn bed(gateway: u16) -> Bed {
    Bed::with(&config((gateway, refused()), "", PASSWORD))
}

#[test]
fn a_gateway_that_refuses_the_connection() {
    let document = document(&bed(refused()), &[], 2);
    assert_eq!(ends(&document), [["unsent", "fail", "connect-failed"]]);
    assert_eq!(document["verdict"], "fail");
    assert_eq!(document["summary"]["fail"], 1);
    let probe = &document["probes"][0];
    assert_eq!(probe["attempts"][0]["phase"], "connect");
    assert!(probe["round_trip_ms"].is_null() && probe["accepted_at"].is_null());
}

#[test]
fn a_recipient_that_is_refused() {
    let gateway = Peer::gateway();
    let document = document(&bed(gateway.port), &["--transcript"], 2);
    assert_eq!(ends(&document)[0][..2], ["rejected", "fail"]);
    let probe = &document["probes"][0];
    assert_eq!(probe["smtp"]["code"], 550);
    assert_eq!(probe["smtp"]["enhanced"], "5.1.1");
    assert!(!probe["transcript"].as_array().unwrap().is_empty());
}

#[test]
fn probes_that_were_never_started() {
    let fast = ["--fail-fast", "--count", "3", "--concurrency", "1"];
    let document = document(&bed(refused()), &fast, 2);
    let outcomes: Vec<_> = ends(&document).iter().map(|end| end[0]).collect();
    assert_eq!(outcomes, ["unsent", "skipped", "skipped"]);
}

fn taken(line: &str) -> Say {
    let verb = line.split(' ').next().unwrap_or_default();
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => Say::Reply("250 gateway.example\r\n".into()),
        "DATA" => Say::Reply("354 go on\r\n".into()),
        "MAIL" | "RCPT" | "RSET" | "NOOP" => Say::Reply("250 2.1.0 fine\r\n".into()),
        "QUIT" => Say::Last("221 2.0.0 bye\r\n".into()),
        "." => Say::Reply("250 2.0.0 queued as 4711\r\n".into()),
        _ => Say::Reply(String::new()),
    }
}

#[test]
fn a_message_taken_and_a_mailbox_that_cannot_be_read() {
    let gateway = Peer::start("220 gateway.example ESMTP\r\n", taken);
    let document = document(&bed(gateway.port), &[], 3);
    assert_eq!(ends(&document)[0][..2], ["unseen", "unknown"]);
    assert!(document["probes"][0]["accepted_at"].is_string());
}

#[test]
fn a_run_whose_time_is_over() {
    let gateway = Peer::start("220 gateway.example ESMTP\r\n", taken);
    let bed = Bed::with(
        &config((gateway.port, refused()), "", PASSWORD)
            .replace("deadline = \"1s\"", "deadline = \"1m\""),
    );
    let document = document(&bed, &["--timeout", "500ms"], 3);
    assert_eq!(ends(&document)[0][..2], ["unfinished", "unknown"]);
}

fn busy(line: &str) -> Say {
    match taken(line) {
        _ if line.starts_with("RCPT") => Say::Reply("451 4.7.1 come back later\r\n".into()),
        say => say,
    }
}

#[test]
fn a_message_put_off_for_good() {
    let gateway = Peer::start("220 gateway.example ESMTP\r\n", busy);
    let document = document(&bed(gateway.port), &[], 2);
    assert_eq!(ends(&document)[0][..2], ["deferred", "fail"]);
    let probe = &document["probes"][0];
    assert_eq!(probe["attempts"][0]["code"], 451);
}

#[test]
fn names_in_the_document_are_those_of_the_interface() {
    let document = document(&bed(refused()), &[], 2);
    let keys: Vec<_> = document.as_object().unwrap().keys().cloned().collect();
    for key in [
        "schema",
        "mailrobin",
        "started_at",
        "finished_at",
        "verdict",
        "summary",
        "probes",
    ] {
        assert!(keys.iter().any(|known| known == key), "{key}");
    }
    let probe = document["probes"][0].as_object().unwrap();
    for key in [
        "id",
        "instance",
        "route",
        "payload",
        "expect",
        "outcome",
        "verdict",
        "code",
        "reason",
        "due_at",
        "started_at",
        "accepted_at",
        "seen_at",
        "seen_by",
        "resolution_ms",
        "clock",
        "round_trip_ms",
        "deferral_ms",
        "deadline_ms",
        "late",
        "duplicates",
        "phases",
        "attempts",
        "smtp",
        "copies",
        "evidence",
    ] {
        assert!(probe.contains_key(key), "{key}");
    }
}
