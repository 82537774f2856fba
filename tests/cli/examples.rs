//! The shipped configs: they are valid, the full one knows every key, and what it gives as defaults are the defaults.

use std::collections::BTreeSet;
use std::fs;

use super::bed::{Bed, code, err, out, root};

/// A self-signed authority that nobody has the key of any more.
#[cfg(feature = "lab")]
const CA: &str = include_str!("ca.pem");

fn example(name: &str) -> String {
    fs::read_to_string(root().join("examples").join(name)).unwrap()
}

#[track_caller]
fn shown(config: &str) -> String {
    let output = Bed::with(config).run(&["config", "show"]);
    assert_eq!((code(&output), err(&output)), (0, String::new()));
    out(&output)
}

#[test]
fn the_examples_are_valid_and_nothing_in_them_is_unwise() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            shown(&fs::read_to_string(&path).unwrap());
            count += 1;
        }
    }
    assert!(count >= 2 + PIPELINES.len());
}

/// One config for each kind of filter.
const PIPELINES: [&str; 4] = [
    "clamav-milter.toml",
    "rspamd.toml",
    "amavis-spamassassin.toml",
    "exchange-online.toml",
];

#[test]
fn the_samples_for_filters_come_as_strangers_with_something_harmful_and_something_plain() {
    for name in PIPELINES {
        let config: toml::Table = example(name).parse().unwrap();
        for (gateway, keys) in config["gateways"].as_table().unwrap() {
            assert_eq!(keys.get("username"), None, "{name}: {gateway}");
        }
        for (route, keys) in config["routes"].as_table().unwrap() {
            let tests = keys["tests"].as_array().unwrap();
            let sends = |wanted: &[&str]| {
                tests.iter().any(|test| {
                    let sent = test.get("payload").or_else(|| test.get("suite"));
                    sent.and_then(|it| it.as_str())
                        .is_some_and(|it| wanted.contains(&it))
                })
            };
            assert!(sends(&["plain"]), "{name}: {route}");
            assert!(sends(&["antivirus", "eicar"]), "{name}: {route}");
        }
    }
}

#[test]
fn what_the_full_sample_gives_as_defaults_are_the_defaults() {
    let full = example("mailrobin.toml");
    let (rest, ping) = full.split_once("[routes.greeting]\n").unwrap();
    assert_eq!(shown(rest), shown(&example("minimal.toml")));
    let mut shortest = format!("{rest}[routes.greeting]\n");
    for needed in [
        "kind = \"ping\"\ngateway = \"edge\"\n",
        "[alerts.oncall]\n",
        "kind = \"webhook\"\nurl = { env = \"ALERT_URL\" }\n",
        "[alerts.script]\n",
        "kind = \"command\"\ncommand = [\"/usr/local/bin/tell-somebody\"]\n",
    ] {
        assert!(ping.contains(needed), "{needed}");
        shortest += needed;
    }
    assert_eq!(shown(&full), shown(&shortest));
}

#[test]
fn the_minimal_sample_needs_all_that_it_holds() {
    let minimal = example("minimal.toml");
    let is_key = |line: &&str| line.contains(" = ") && !line.starts_with('#');
    for key in minimal.lines().filter(is_key) {
        let output = Bed::with(&minimal.replacen(key, "", 1)).run(&["config", "check"]);
        assert_eq!(code(&output), 3, "without {key}");
    }
}

/// A line of the sample that is an option switched off: `#key = value`, where prose is `# prose`.
fn switched_off(line: &str) -> Option<&str> {
    let option = line.strip_prefix('#')?;
    let begins = option.starts_with(|c: char| c.is_ascii_lowercase());
    (begins && option.contains(" = ")).then_some(option)
}

#[cfg(feature = "lab")]
#[test]
fn each_option_that_is_switched_off_can_be_switched_on() {
    let sample = example("mailrobin.toml");
    let lines: Vec<_> = sample.lines().collect();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["client.example".to_owned()]).unwrap();
    let mut count = 0;
    for (at, option) in lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| Some((at, switched_off(line)?)))
    {
        // A certificate and its key are tried where a server asks for them.
        if option.starts_with("client_") {
            continue;
        }
        let mut on = lines.clone();
        on[at] = option;
        let mut text = on
            .join("\n")
            .replace("\"-----BEGIN CERTIFICATE-----…\"", &format!("{CA:?}"));
        if option.starts_with("domain") {
            text = text.replace("\nhost = \"mx.example.com\"", "");
        }
        // A login takes both halves.
        if option.starts_with("username") {
            text = text.replace("#password = ", "password = ");
        } else if option.starts_with("password") {
            text = text.replace("#username = ", "username = ");
        }
        // So does a certificate with its key.
        if option.starts_with("client_cert") {
            text = text.replace("#client_key = ", "client_key = ");
        } else if option.starts_with("client_key") {
            text = text.replace("#client_cert = ", "client_cert = ");
        }
        // The calendar stands in the place of an interval.
        if option.starts_with("cron") {
            text = text.replace("\nevery = \"15m\"", "");
        }
        if option.starts_with("tls_cert") {
            text = text.replace("#tls_key = ", "tls_key = ");
        } else if option.starts_with("tls_key") {
            text = text.replace("#tls_cert = ", "tls_cert = ");
        }
        // A domain stands in the place of a host.
        if option.starts_with("domain") {
            text = text.replace("host = \"mx.example.com\"\n", "");
        }
        let bed = Bed::with(&text);
        bed.write("ca.pem", CA);
        bed.write("client.pem", &cert.pem());
        bed.write("client.key", &signing_key.serialize_pem());
        bed.write("alert.jinja", "{{ reason | tojson }}");
        let output = bed.run(&["config", "check"]);
        assert_eq!(code(&output), 0, "{option}: {}", err(&output));
        count += 1;
    }
    assert!(count > 30, "{count} options");
}

/// The keys of each kind of table, as the config's own types have them.
#[test]
fn the_full_sample_knows_every_key() {
    let schema = schemars::schema_for!(mailrobin::config::file::File).to_value();
    let text: Vec<_> = example("mailrobin.toml")
        .lines()
        .map(|line| switched_off(line).unwrap_or(line).to_owned())
        .collect();
    let keys = |pointer: &str| -> BTreeSet<String> {
        let properties = schema.pointer(pointer).unwrap().as_object().unwrap();
        properties.keys().cloned().collect()
    };
    let written = |table: &str| -> BTreeSet<String> {
        let begin = text.iter().position(|line| line == table).unwrap();
        text[begin + 1..]
            .iter()
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split_once(" = "))
            .map(|(key, _)| key.trim_matches(['{', ' ']).to_owned())
            .filter(|key| !key.starts_with('#'))
            .collect()
    };
    let all = |tables: &[&str], kind: &str| {
        let known = keys(&format!("/$defs/{kind}/properties"));
        let written: BTreeSet<_> = tables.iter().flat_map(|table| written(table)).collect();
        let missing: Vec<_> = known.difference(&written).cloned().collect();
        assert!(missing.is_empty(), "{tables:?} do not say {missing:?}");
    };
    all(&["[signing]"], "Signing");
    all(&["[dns]"], "Dns");
    all(&["[gateways.edge]"], "Gateway");
    all(&["[mailboxes.returns]"], "Mailbox");
    all(&["[routes.inbound]", "[routes.greeting]"], "Route");
    all(&["[alerts.oncall]", "[alerts.script]"], "Alert");
    all(&["[store]"], "Store");
    all(&["[service]"], "Service");
    for key in keys("/properties") {
        assert!(
            text.iter().any(|line| line.starts_with(&format!("[{key}"))),
            "{key}"
        );
    }
}
