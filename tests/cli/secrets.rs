//! Secrets: they reach the login from wherever they are kept, and nothing else ever.

use super::bed::{Bed, Peer, code, config, err, out, refused};

/// What nobody may see, in each of the shapes it is sent in: alone, and in SASL PLAIN with the login names here.
const SECRET: &str = "hunter2-\u{e4}";

fn base64(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

fn plain(password: &str) -> String {
    base64(format!("\0probe\0{password}").as_bytes())
}

/// A check through a gateway that wants a login; what it heard of logins.
#[track_caller]
fn logins(
    bed: &Bed,
    password: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Vec<String> {
    let gateway = Peer::gateway();
    let login = format!(
        "username = \"probe\"\ninsecure_auth = true\nauth = \"plain\"\npassword = {password}"
    );
    bed.write(
        "mailrobin.toml",
        &config(
            (gateway.port, refused()),
            &login,
            "password = { env = \"NONE\" }",
        ),
    );
    let output = bed
        .command(&["check", "--linger=0", "-vvv", "--transcript"])
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert_eq!(code(&output), 2, "{}{}", out(&output), err(&output));
    nothing_shown(&(out(&output) + &err(&output)), SECRET);
    gateway
        .heard()
        .iter()
        .filter_map(|line| line.strip_prefix("AUTH PLAIN "))
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn nothing_shown(said: &str, secret: &str) {
    let shapes = [
        secret.to_owned(),
        base64(secret.as_bytes()),
        plain(secret),
        base64(format!("\0probe@monitor.example\0{secret}").as_bytes()),
    ];
    for shape in shapes {
        assert!(!said.contains(&shape), "{shape} is in\n{said}");
    }
}

#[test]
fn a_literal_reaches_the_login() {
    let bed = Bed::new();
    assert_eq!(
        logins(&bed, &format!("{SECRET:?}"), &[], &[]),
        [plain(SECRET)]
    );
}

#[test]
fn a_variable_reaches_the_login() {
    let bed = Bed::new();
    let from = [("EDGE_PASSWORD", SECRET)];
    assert_eq!(
        logins(&bed, "{ env = \"EDGE_PASSWORD\" }", &[], &from),
        [plain(SECRET)]
    );
}

#[test]
fn a_file_beside_the_config_reaches_the_login_without_its_line_break() {
    let bed = Bed::new();
    bed.write("secrets/edge", &format!("{SECRET}\n"));
    assert_eq!(
        logins(&bed, "{ file = \"secrets/edge\" }", &[], &[]),
        [plain(SECRET)]
    );
    bed.write("secrets/edge", &format!(" {SECRET} \r\n"));
    let spaced = plain(&format!(" {SECRET} "));
    assert_eq!(
        logins(&bed, "{ file = \"secrets/edge\" }", &[], &[]),
        [spaced]
    );
}

#[test]
fn a_command_is_run_again_at_each_login() {
    let bed = Bed::new();
    let script = "echo x >> runs; echo token-$(wc -l < runs)";
    let command = format!("{{ command = [\"sh\", \"-c\", {script:?}] }}");
    let heard = logins(&bed, &command, &["--count=3", "--concurrency=1"], &[]);
    assert_eq!(heard, ["token-1", "token-2", "token-3"].map(plain));
}

#[test]
fn a_secret_that_cannot_be_had_is_unsent_and_says_where_it_should_be() {
    for (password, words) in [
        (
            "{ env = \"NOT_SET\" }",
            "environment variable NOT_SET is not set",
        ),
        ("{ file = \"not-there\" }", "not-there"),
        ("{ command = [\"/no/such/program\"] }", "/no/such/program"),
        (
            "{ command = [\"sh\", \"-c\", \"echo locked >&2; exit 4\"] }",
            "locked",
        ),
        ("{ command = [\"true\"] }", "empty"),
        ("{ command = [\"yes\"] }", "prints more than 64 KiB"),
        (
            "{ command = [\"head\", \"-c\", \"3000000000\", \"/dev/zero\"] }",
            "prints more than 64 KiB",
        ),
    ] {
        let gateway = Peer::gateway();
        let login = format!("username = \"probe\"\ninsecure_auth = true\npassword = {password}");
        let bed = Bed::with(&config(
            (gateway.port, refused()),
            &login,
            "password = { env = \"NONE\" }",
        ));
        let output = bed.run(&["check", "--linger=0"]);
        assert_eq!(code(&output), 2, "{}", err(&output));
        let said = out(&output);
        assert!(
            said.contains("unsent") && said.contains(words),
            "{words:?} is not in {said}"
        );
        assert!(!gateway.heard().iter().any(|line| line.starts_with("AUTH")));
    }
}

#[test]
fn a_program_that_tells_somebody_does_not_get_the_secrets_of_others() {
    let bed = Bed::new();
    let text = config(
        (refused(), refused()),
        "",
        "password = { env = \"MAIL_PW\" }",
    );
    let script = "set | grep -aE '^(MAIL_PW|ALERT_TOKEN|OWN|HOME_TOWN)=' > got; exit 0";
    let alert = format!(
        "[alerts.tell]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", {script:?}]\n\
         env = {{ OWN = {{ env = \"ALERT_TOKEN\" }} }}\n"
    );
    bed.write("mailrobin.toml", &(text + "\n" + &alert));
    let output = bed
        .command(&["alert", "test", "tell"])
        .envs([
            ("MAIL_PW", SECRET),
            ("ALERT_TOKEN", "abc"),
            ("HOME_TOWN", "Bonn"),
        ])
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", err(&output));
    let got = std::fs::read_to_string(bed.path().join("got")).unwrap();
    let mut got: Vec<_> = got.lines().collect();
    got.sort_unstable();
    assert_eq!(got, ["HOME_TOWN='Bonn'", "OWN='abc'"]);
}

#[test]
fn without_tls_and_without_leave_nothing_is_sent() {
    let gateway = Peer::gateway();
    let login = format!("username = \"probe\"\npassword = {SECRET:?}");
    let mailbox = Peer::mailbox();
    let text = config(
        (gateway.port, mailbox.port),
        &login,
        &format!("password = {SECRET:?}"),
    );
    let bed = Bed::with(&text.replace("insecure_auth = true\n", ""));
    let output = bed.run(&["check", "--linger=0", "-vvv"]);
    assert_eq!(code(&output), 2);
    assert!(out(&output).contains("insecure_auth"), "{}", out(&output));
    let heard = [gateway.heard(), mailbox.heard()].concat();
    assert!(
        !heard
            .iter()
            .any(|line| line.starts_with("AUTH") || line.contains("LOGIN")),
        "{heard:?}"
    );
    nothing_shown(&(out(&output) + &err(&output) + &heard.join("\n")), SECRET);
}

#[test]
fn a_mailbox_that_refuses_the_password_does_not_make_us_show_it() {
    let mailbox = Peer::mailbox();
    let gateway = Peer::gateway();
    let secret = "hunter2-x";
    let bed = Bed::with(&config(
        (gateway.port, mailbox.port),
        "",
        &format!("password = {secret:?}"),
    ));
    for format in ["human", "json"] {
        let arguments = [
            "check",
            "--linger=0",
            "-vvv",
            "--log-format=json",
            "--transcript",
            "--format",
            format,
        ];
        let output = bed.run(&arguments);
        assert_eq!(code(&output), 2);
        let said = out(&output) + &err(&output);
        assert!(err(&output).contains("who is that"), "{said}");
        nothing_shown(&said, secret);
    }
    assert!(
        mailbox.heard().iter().any(|line| line.contains(secret)),
        "{:?}",
        mailbox.heard()
    );
}

#[test]
fn a_shown_config_says_where_secrets_are_and_never_what_they_are() {
    let text = format!(
        r#"
[signing]
key = "0123456789-hunter2-signing"

[gateways.edge]
host = "mx.example.com"
username = "probe"
password = {SECRET:?}

[gateways.file]
host = "mx.example.com"
username = "probe"
password = {{ file = "/run/secrets/edge" }}

[gateways.command]
host = "mx.example.com"
username = "probe"
password = {{ command = ["pass", "show", "edge"] }}

[mailboxes.returns]
host = "imap.example.net"
username = "probe@monitor.example"
password = {{ env = "IMAP_PASSWORD" }}

[routes.inbound]
gateway = "edge"
mailbox = "returns"
from = "probe@monitor.example"
to = "echo@example.com"
"#
    );
    let bed = Bed::with(&text);
    bed.write("secret", SECRET);
    let output = bed
        .command(&["config", "show", "-vvv"])
        .env("IMAP_PASSWORD", SECRET)
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", err(&output));
    let said = out(&output);
    assert!(
        !(said.clone() + &err(&output)).contains("hunter2"),
        "{said}"
    );
    let shown: toml::Table = said.parse().unwrap();
    let password = |kind: &str, name: &str| shown[kind][name]["password"].to_string();
    assert_eq!(password("gateways", "edge"), r#""(hidden)""#);
    assert_eq!(shown["signing"]["key"].as_str(), Some("(hidden)"));
    assert_eq!(
        password("gateways", "file"),
        r#"{ file = "/run/secrets/edge" }"#
    );
    assert_eq!(
        password("gateways", "command"),
        r#"{ command = ["pass", "show", "edge"] }"#
    );
    assert_eq!(
        password("mailboxes", "returns"),
        r#"{ env = "IMAP_PASSWORD" }"#
    );
}
