//! Files that the config names, and that are none to read: whatever stands there, it is said at its place, and soon.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::bed::{code, err, mailrobin, out, root};

/// Every key that takes a path, by its section in the schema, and a config that has it.
const KEYS: [(&str, &str); 11] = [
    ("Gateway.ca_file", "[gateways.mx]\nca_file = \"FILE\""),
    (
        "Gateway.client_cert",
        "[gateways.mx]\nclient_cert = \"FILE\"\nclient_key = \"good\"",
    ),
    (
        "Gateway.client_key",
        "[gateways.mx]\nclient_cert = \"good\"\nclient_key = \"FILE\"",
    ),
    ("Mailbox.ca_file", "[mailboxes.box]\nca_file = \"FILE\""),
    ("Alert.ca_file", "[alerts.hook]\nca_file = \"FILE\""),
    (
        "Alert.template_file",
        "[alerts.hook]\ntemplate_file = \"FILE\"",
    ),
    (
        "Service.tls_cert",
        "[service]\ntls_cert = \"FILE\"\ntls_key = \"good\"",
    ),
    (
        "Service.tls_key",
        "[service]\ntls_cert = \"good\"\ntls_key = \"FILE\"",
    ),
    (
        "Test.file",
        "[routes.loop]\ntests = [{ payload = \"attachment\", file = \"FILE\" }]",
    ),
    ("Kept.file", "[signing]\nkey = { file = \"FILE\" }"),
    ("config", ""),
];

/// What stands where a file should, and what is said of it.
const KINDS: [(&str, &str); 6] = [
    ("fifo", "it is a FIFO, and only regular files are read"),
    (
        "directory",
        "it is a directory, and only regular files are read",
    ),
    ("device", "it is a device, and only regular files are read"),
    ("huge", "it is larger than"),
    ("unreadable", "Input/output error"),
    ("absent", "No such file or directory"),
];

const CONFIG: &str = r#"
[signing]
#[signing]
[gateways.mx]
host = "127.0.0.1"
port = 1
#[gateways.mx]
[mailboxes.box]
host = "127.0.0.1"
port = 1
username = "probe"
password = "probe"
#[mailboxes.box]
[alerts.hook]
kind = "webhook"
url = "https://127.0.0.1/"
#[alerts.hook]
[service]
listen = "127.0.0.1:0"
#[service]
[routes.loop]
gateway = "mx"
mailbox = "box"
from = "probe@example.test"
to = "echo@example.test"
deadline = "1s"
blind_grace = "1s"
#[routes.loop]
"#;

fn furnish(dir: &Path) {
    let fifo = Command::new("mkfifo").arg(dir.join("fifo")).status();
    assert!(fifo.unwrap().success());
    fs::create_dir(dir.join("directory")).unwrap();
    symlink("/dev/zero", dir.join("device")).unwrap();
    let huge = fs::File::create(dir.join("huge")).unwrap();
    huge.set_len(1 << 30).unwrap();
    // A regular file that cannot be read, by whomever.
    symlink("/proc/self/mem", dir.join("unreadable")).unwrap();
    fs::copy(root().join("tests/cli/ca.pem"), dir.join("good")).unwrap();
}

/// The config with one key that names this.
fn config(addition: &str, file: &str) -> String {
    let Some((section, keys)) = addition.split_once('\n') else {
        return CONFIG.to_owned();
    };
    let mut config = CONFIG.replace(&format!("#{section}"), &keys.replace("FILE", file));
    if !keys.contains("tests") {
        config = config.replace("#[routes.loop]", "tests = [{ payload = \"plain\" }]");
    }
    config
}

#[test]
fn what_is_no_file_is_said_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    furnish(dir.path());
    let mut wrong = Vec::new();
    for (key, addition) in KEYS {
        for (kind, words) in KINDS {
            fs::write(dir.path().join("mailrobin.toml"), config(addition, kind)).unwrap();
            let mut command = mailrobin(dir.path());
            // A secret is read when it is needed.
            match key {
                "Kept.file" => command.arg("check"),
                // What a pipe hands over is read, and this one hands over nothing, for ever.
                "config" if kind == "fifo" => continue,
                "config" => command.args(["config", "check", "-c", kind]),
                _ => command.args(["config", "check"]),
            };
            let output = command.output().unwrap();
            let said = err(&output) + &out(&output);
            if code(&output) != 3 || !said.contains(words) || !said.contains(kind) {
                wrong.push(format!(
                    "{key}, {kind}: exit code {}: {said}",
                    code(&output)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_key_that_takes_a_path_is_tried_here() {
    let dir = tempfile::tempdir().unwrap();
    let output = mailrobin(dir.path()).args(["config", "schema"]).output();
    let schema: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    for (name, section) in schema["$defs"].as_object().unwrap() {
        for (key, value) in section["properties"].as_object().into_iter().flatten() {
            let described = value["description"].as_str().unwrap_or_default();
            let is_path = key.ends_with("file") || described.contains("PEM file");
            let known = format!("{name}.{key}");
            assert!(
                !is_path || KEYS.iter().any(|(key, _)| *key == known),
                "{known} is not tried"
            );
        }
    }
}

#[test]
fn a_config_may_come_by_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = mailrobin(dir.path());
    command.args(["config", "check", "-c", "/dev/stdin"]);
    let output = command.write_stdin(config("", "")).output().unwrap();
    assert_eq!(code(&output), 0, "{}", err(&output));
    let mut silent = Command::new(assert_cmd::cargo::cargo_bin!("mailrobin"))
        .args(["config", "check", "-c", "/dev/stdin"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let held = silent.stdin.take();
    let output = silent.wait_with_output().unwrap();
    drop(held);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("could not be read within 5 seconds"),
        "{said}"
    );
}
