//! What the service adds to a config: shown with its defaults, read back, its secrets hidden, what is unwise in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::bed::{Bed, code, config, err, expect_file, out, root};

const PASSWORD: &str = "password = { env = \"P\" }";

/// Every key that is not left to its default.
const ALL: &str = r#"
tests = [
  { payload = "plain" },
  { payload = "html", every = "5m" },
  { payload = "eicar" },
  { suite = "spam", cron = "30 3 * * SUN" },
]
cron = "*/10 8-18 * * mon-fri"
timezone = "Europe/Berlin"
every_harmful = "12h"
every_when_down = "1m"
every_when_lost = "30m"
maintenance = [
  { from = "2026-12-01T23:00:00+01:00", to = "2026-12-02T02:00:00Z" },
  { cron = "0 2 * * SUN", for = "2h" },
]
enabled = false
alerts = ["hook"]
fail_after = 2
recover_after = 4
max_alerts = 6
remind_every = "4h"
depends_on = "greeting"

[routes.inbound.recovery]
command = ["./restart", "the mail", ""]
env = { TOKEN = "hunter2", PLACE = { env = "PLACE" } }
timeout = "2m"
at_most = "1/d"

[routes.greeting]
kind = "ping"
gateway = "edge"
every = "1m"
recovery = { command = ["restart"] }

[store]
url = "sqlite:data/history.db"
retention = "30d"
retention_failed = "60d"

[service]
listen = "[::1]:0"
token = "hunter2"
max_in_flight = 5
remember = "1d"
heartbeat = "https://hc.example/hunter2"
heartbeat_every = "5m"

[alerts.hook]
kind = "webhook"
url = "https://hooks.example/hunter2"
headers = { Authorization = "Bearer hunter2", Title = { file = "title" } }
template = """
{ "text": {{ title | tojson }} }
"""
content_type = "application/vnd.example+json"
min_severity = "critical"
quiet = "22:00-07:30"
timezone = "Europe/Berlin"
timeout = "5s"

[alerts.script]
kind = "command"
command = ["bin/tell", "me"]
env = { TOKEN = "hunter2" }
quiet = "01:00-02:00"
timezone = "UTC"
"#;

fn show(bed: &Bed, path: &str) -> String {
    let output = bed.run(&["config", "show", "-c", path]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert!(!(out(&output) + &err(&output)).contains("hunter"));
    out(&output)
}

#[test]
fn everything_is_shown_and_can_be_read_back() {
    let bed = Bed::with(&(config((25, 143), "", PASSWORD) + ALL));
    let shown = show(&bed, "mailrobin.toml");
    bed.write("elsewhere/shown.toml", &shown);
    assert_eq!(show(&bed, "elsewhere/shown.toml"), shown);
    let folder = bed.path().display().to_string();
    let shown = shown.replace(&folder, "FOLDER");
    let is_told = |part: &&str| {
        !["[gateways", "[mailboxes"]
            .iter()
            .any(|of| part.starts_with(of))
    };
    let parts: Vec<_> = shown.split("\n\n").filter(is_told).collect();
    let said = parts.join("\n\n");
    expect_file(&root().join("tests/cli/shown.toml"), &said).unwrap();
}

#[test]
fn defaults_are_shown() {
    let bed = Bed::with(&config((25, 143), "", PASSWORD));
    let shown: toml::Table = show(&bed, "mailrobin.toml").parse().unwrap();
    let route = shown["routes"]["inbound"].as_table().unwrap();
    assert_eq!(route["every"].as_str(), Some("15m"));
    assert_eq!(route["enabled"].as_bool(), Some(true));
    assert_eq!(route["fail_after"].as_integer(), Some(3));
    assert_eq!(route["recover_after"].as_integer(), Some(1));
    assert_eq!(route["max_alerts"].as_integer(), Some(5));
    for key in [
        "alerts",
        "timezone",
        "every_harmful",
        "maintenance",
        "recovery",
    ] {
        assert_eq!(route.get(key), None);
    }
    let text = |table: &str, key: &str| shown[table][key].to_string();
    assert_eq!(text("store", "retention"), "\"2160h\"");
    assert_eq!(text("service", "listen"), "\"127.0.0.1:9725\"");
    assert_eq!(text("service", "max_in_flight"), "1000");
    assert_eq!(shown["store"].get("url"), None);
    assert_eq!(shown.get("alerts"), None);
}

#[test]
fn each_form_of_a_databases_url_is_a_file() {
    let base = config((25, 143), "", PASSWORD);
    let file = |url: &str| {
        let bed = Bed::with(&format!("{base}[store]\nurl = {url:?}\n"));
        let shown: toml::Table = show(&bed, "mailrobin.toml").parse().unwrap();
        let url = shown["store"]["url"].as_str().unwrap().to_owned();
        url.replace(&bed.path().display().to_string(), "FOLDER")
    };
    for (given, shown) in [
        ("sqlite:history.db", "sqlite:FOLDER/history.db"),
        ("sqlite://history.db", "sqlite:FOLDER/history.db"),
        ("sqlite:///var/lib/h.db", "sqlite:/var/lib/h.db"),
        ("sqlite:/var/lib/h.db", "sqlite:/var/lib/h.db"),
    ] {
        assert_eq!(file(given), shown);
    }
}

#[test]
fn the_schema_for_editors_takes_it() {
    let output = Bed::new().run(&["config", "schema"]);
    let schema = serde_json::from_slice(&output.stdout).unwrap();
    let config: toml::Table = (config((25, 143), "", PASSWORD) + ALL).parse().unwrap();
    let config = serde_json::to_value(config).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<_> = validator
        .iter_errors(&config)
        .map(|it| it.to_string())
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn what_is_unwise_is_warned_about() {
    let text = config((25, 143), "", PASSWORD)
        + r#"depends_on = "greeting"
recovery = { command = ["x"], env = { TOKEN = "hunter2", LANG = "C" } }
[routes.greeting]
kind = "ping"
gateway = "edge"
enabled = false
[service]
listen = "0.0.0.0:9725"
token = "hunter2hunter2hunter2"
heartbeat = "http://127.0.0.1:1/hunter2"
[alerts.hook]
kind = "webhook"
url = "https://hooks.example/hunter2"
headers = { Authorization = "hunter2", Title = "mail" }
"#;
    let bed = Bed::with(&text);
    let path = bed.path().join("mailrobin.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let output = bed.run(&["config", "check"]);
    assert_eq!(code(&output), 0);
    assert!(!err(&output).contains("hunter"));
    insta::assert_snapshot!(err(&output), @r#"
    warning: `greeting` is not enabled, so it is never Down and this changes nothing
      --> mailrobin.toml:23:14
       |
    23 | depends_on = "greeting"
       |              ^^^^^^^^^^
       |
       = help: leave one of both out

    warning: this secret stands in a file that every user of this machine can read
      --> mailrobin.toml:24:37
       |
    24 | recovery = { command = ["x"], env = ********
       |                                     ^^^^^^^^
       |
       = help: chmod 600 the file, or keep the secret elsewhere: { env = … }, { file = … } or { command = … }

    warning: what is said with 0.0.0.0:9725 is not encrypted: anybody on the way can read the token
      --> mailrobin.toml:30:10
       |
    30 | listen = "0.0.0.0:9725"
       |          ^^^^^^^^^^^^^^
       |
       = help: add `tls_cert` and `tls_key`, or listen on 127.0.0.1 behind a proxy

    warning: this secret stands in a file that every user of this machine can read
      --> mailrobin.toml:31:9
       |
    31 | token = ********
       |         ^^^^^^^^
       |
       = help: chmod 600 the file, or keep the secret elsewhere: { env = … }, { file = … } or { command = … }

    warning: this secret stands in a file that every user of this machine can read
      --> mailrobin.toml:35:7
       |
    35 | url = ********
       |       ^^^^^^^^
       |
       = help: chmod 600 the file, or keep the secret elsewhere: { env = … }, { file = … } or { command = … }

    warning: this secret stands in a file that every user of this machine can read
      --> mailrobin.toml:36:11
       |
    36 | headers = ********
       |           ^^^^^^^^
       |
       = help: chmod 600 the file, or keep the secret elsewhere: { env = … }, { file = … } or { command = … }
    "#);
}

#[test]
fn tls_needs_no_warning_and_loopback_nothing_at_all() {
    let base = config((25, 143), "", PASSWORD);
    for listen in ["127.0.0.7:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "none"] {
        let bed = Bed::with(&format!("{base}[service]\nlisten = {listen:?}\n"));
        let output = bed.run(&["config", "check"]);
        assert_eq!(
            (code(&output), err(&output)),
            (0, String::new()),
            "{listen}"
        );
    }
}

/// The certificate that the service shows is read as those are that a gateway wants to see.
#[cfg(feature = "lab")]
#[test]
fn a_certificate_of_the_service_is_read_with_its_key() {
    let pair = |name: &str| {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    };
    let ((certificate, key), (_, other)) = (pair("one.example"), pair("two.example"));
    let keys = "[service]\nlisten = \"0.0.0.0:9725\"\ntoken = { env = \"T\" }\ntls_cert = \"a.pem\"\ntls_key = \"a.key\"\n";
    let bed = Bed::with(&(config((25, 143), "", PASSWORD) + keys));
    bed.write("a.pem", &certificate);
    bed.write("a.key", &key);
    let shown: toml::Table = show(&bed, "mailrobin.toml").parse().unwrap();
    let path = bed.path().join("a.key").display().to_string();
    assert_eq!(shown["service"]["tls_key"].as_str(), Some(path.as_str()));
    let output = bed.run(&["config", "check"]);
    assert_eq!((code(&output), err(&output)), (0, String::new()));
    bed.write("a.key", &other);
    let output = bed.run(&["config", "check"]);
    assert_eq!(code(&output), 3);
    let said = err(&output);
    assert!(
        said.contains("not the key of the certificate in `tls_cert`"),
        "{said}"
    );
}

#[test]
fn a_template_may_be_a_file() {
    let alert = "[alerts.hook]\nkind = \"webhook\"\nurl = { env = \"U\" }\ntemplate_file = \"alert.jinja\"\ncontent_type = \"text/plain\"\n";
    let bed = Bed::with(&(config((25, 143), "", PASSWORD) + alert));
    bed.write("alert.jinja", "{{ title }}\n");
    let shown: toml::Table = show(&bed, "mailrobin.toml").parse().unwrap();
    let template = &shown["alerts"]["hook"]["template"];
    assert_eq!(template.as_str(), Some("{{ title }}\n"));
    bed.write("alert.jinja", "{{ title }}\n{{ titel }}\n");
    let output = bed.run(&["config", "check"]);
    assert_eq!(code(&output), 3);
    let said = err(&output);
    assert!(
        said.contains("alert.jinja cannot be used: line 2: "),
        "{said}"
    );
    assert!(said.contains("did you mean `title`?"), "{said}");
}
