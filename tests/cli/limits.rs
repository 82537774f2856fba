//! Every key of the config with values beyond reason: each is refused where it stands, or used. The keys are those of the
//! schema, so that a new one is tested at once.

use std::ops::Range;
use std::path::Path;

use mailrobin::config::diagnostic::{Diagnostics, Severity};
use mailrobin::config::plan::Plan;
use mailrobin::config::{file, parse};
use toml::Table;
use toml::de::{DeTable, DeValue};

/// Configs in which every key is allowed, one or the other.
const BASES: [&str; 2] = [
    r#"
[gateways.edge]
host = "mx.example"
username = "probe"
password = "long enough for anybody"
[mailboxes.returns]
host = "imap.example"
username = "probe@monitor.example"
password = "long enough for anybody"
[routes.inbound]
gateway = "edge"
mailbox = "returns"
from = "probe@monitor.example"
to = "echo@example.com"
tests = [{ payload = "large" }]
maintenance = [{ cron = "0 2 * * SUN", for = "2h" }]
recovery = { command = ["x"] }
[alerts.hook]
kind = "webhook"
url = "https://hooks.example/x"
[service]
heartbeat = "https://hooks.example/x"
"#,
    r#"
[gateways.edge]
domain = "mx.example"
[mailboxes.returns]
host = "pop.example"
protocol = "pop3"
username = "probe@monitor.example"
password = "long enough for anybody"
[routes.inbound]
kind = "ping"
gateway = "edge"
[routes.other]
gateway = "edge"
mailbox = "returns"
from = "probe@monitor.example"
to = "echo@example.com"
tests = [{ payload = "eicar" }]
[alerts.hook]
kind = "command"
command = ["x"]
"#,
];

/// What no key takes for a duration, a rate or a size, but for the second.
const MEASURES: [&str; 11] = [
    "0s",
    "1ns",
    "-1h",
    "1000000h",
    "18446744073709551615s",
    "9999999999999999999999h",
    "0/s",
    "4294967295/s",
    "18446744073709551615/d",
    "0B",
    "18446744073709551615GiB",
];
const NUMBERS: [&str; 5] = [
    "0",
    "1",
    "-9223372036854775808",
    "9223372036854775807",
    "4294967296",
];

/// A key that takes a text or a number.
#[derive(Clone, Debug, PartialEq)]
struct Leaf {
    path: Vec<String>,
    is_number: bool,
}

/// All below this place of the schema.
fn leaves(root: &serde_json::Value, schema: &serde_json::Value, path: &[String]) -> Vec<Leaf> {
    let below = |schema, name: &str| leaves(root, schema, &[path, &[name.to_owned()]].concat());
    if let Some(pointer) = schema["$ref"].as_str() {
        return leaves(root, root.pointer(&pointer[1..]).unwrap(), path);
    }
    let mut found = Vec::new();
    for choice in schema["anyOf"].as_array().into_iter().flatten() {
        found.extend(leaves(root, choice, path));
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        found.extend(below(schema, name));
    }
    if schema["additionalProperties"].is_object() {
        let name = match path.last().unwrap().as_str() {
            "gateways" => "edge",
            "mailboxes" => "returns",
            "routes" => "inbound",
            "alerts" => "hook",
            "authentication" => "spf",
            _ => "X_NAME",
        };
        found.extend(below(&schema["additionalProperties"], name));
    }
    if schema["items"].is_object() {
        found.extend(below(&schema["items"], "0"));
    }
    let kind = schema["type"].to_string();
    for (word, is_number) in [("string", false), ("integer", true)] {
        if kind.contains(word) {
            let path = path.to_vec();
            found.push(Leaf { path, is_number });
        }
    }
    found
}

/// The config with this value, and where it stands.
fn with(base: &str, path: &[String], value: &toml::Value) -> (String, Range<usize>) {
    fn put(at: &mut toml::Value, path: &[String], value: &toml::Value) {
        match path.split_first() {
            None => *at = value.clone(),
            Some((step, rest)) if step == "0" => {
                if !at.is_array() {
                    *at = toml::Value::Array(vec![Table::new().into()]);
                }
                put(&mut at.as_array_mut().unwrap()[0], rest, value);
            }
            Some((step, rest)) => {
                if !at.is_table() {
                    *at = Table::new().into();
                }
                let table = at.as_table_mut().unwrap();
                let below = table.entry(step).or_insert_with(|| Table::new().into());
                put(below, rest, value);
            }
        }
    }
    let mut config = toml::Value::Table(base.parse().unwrap());
    put(&mut config, path, value);
    let text = toml::to_string(&config).unwrap();
    let table = DeTable::parse(&text).unwrap();
    let mut span = 0..text.len();
    let mut at = &DeValue::Table(table.into_inner());
    for step in path {
        let below = match at {
            DeValue::Array(items) => &items[0],
            DeValue::Table(table) => &table[step.as_str()],
            _ => unreachable!(),
        };
        (span, at) = (below.span(), below.get_ref());
    }
    (text, span)
}

fn read(text: &str) -> Result<Plan, Diagnostics> {
    parse(text, "mailrobin.toml", Path::new("/nowhere")).map(|(plan, _)| plan)
}

/// Whether it is used, and if not, whether an error stands at its place.
fn is_used(text: &str, span: &Range<usize>) -> Result<(), bool> {
    match read(text) {
        Ok(plan) => {
            let shown = plan.to_string();
            assert!(shown.parse::<Table>().is_ok(), "{shown}");
            Ok(())
        }
        Err(found) => {
            let said = found.to_string();
            assert!(!said.contains(['\u{1b}', '\u{202e}', '\0']), "{said:?}");
            let mut errors = found.in_order();
            errors.retain(|it| it.severity == Severity::Error);
            assert!(!errors.is_empty());
            Err(errors
                .iter()
                .any(|it| it.span.start < span.end && span.start < it.span.end))
        }
    }
}

fn all() -> Vec<Leaf> {
    let schema = file::schema();
    let mut all = leaves(&schema, &schema, &[]);
    all.dedup();
    all
}

#[test]
fn every_number_is_bounded() {
    let numbers = || all().into_iter().filter(|leaf| leaf.is_number);
    assert!(numbers().count() > 8);
    for leaf in numbers() {
        for number in NUMBERS {
            let value = toml::Value::Integer(number.parse().unwrap());
            let (text, span) = with(BASES[0], &leaf.path, &value);
            let used = is_used(&text, &span);
            let is_right = used == Err(true) || (number == "1" && used.is_ok());
            assert!(is_right, "{number} in {:?}: {used:?}", leaf.path);
        }
    }
}

#[test]
fn every_duration_rate_and_size_is_bounded() {
    let mut measured = Vec::new();
    for leaf in all().iter().filter(|leaf| !leaf.is_number) {
        for base in BASES {
            let is_used = |text: &str| {
                let (config, span) = with(base, &leaf.path, &text.into());
                is_used(&config, &span)
            };
            // A key that takes one of these and no word is a measure.
            let takes = |text: &&str| is_used(text).is_ok();
            let is_measure = ["90s", "7/m", "3KiB"].iter().any(takes) && !takes(&"word");
            if is_measure {
                measured.push(leaf.path.join("."));
            }
            for text in MEASURES.iter().filter(|_| is_measure) {
                let used = is_used(text);
                let is_right = used == Err(true) || (*text == "1ns" && used.is_ok());
                assert!(is_right, "{text:?} in {:?}: {used:?}", leaf.path);
            }
            // However long it is, or what it does to a terminal, it ends and is shown as it should be.
            let long = "x".repeat(5_000);
            for text in ["", "\u{1b}[31m\u{202e}", "a\r\nb\0", &long] {
                let used = is_used(text);
                let is_right = !is_measure || used == Err(true);
                assert!(is_right, "{text:?} in {:?}: {used:?}", leaf.path);
            }
        }
    }
    measured.sort();
    measured.dedup();
    for known in [
        "gateways.edge.timeout",
        "gateways.edge.rate",
        "mailboxes.returns.poll",
        "routes.inbound.deadline",
        "routes.inbound.certificate_warn",
        "routes.inbound.maintenance.0.for",
        "routes.inbound.recovery.at_most",
        "routes.inbound.tests.0.size",
        "service.heartbeat_every",
        "store.retention",
    ] {
        assert!(
            measured.iter().any(|it| it == known),
            "{known}: {measured:#?}"
        );
    }
}
