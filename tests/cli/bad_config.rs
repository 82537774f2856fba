//! Wrong configs and what is said of them. Each `bad/NAME.toml` is refused with exit code 3 and exactly the words of
//! `bad/NAME.stderr`; a new case is a new pair of files, and `UPDATE_EXPECT=1` writes the second of them.

use std::fs;
use std::path::PathBuf;

use super::bed::{Bed, code, err, expect_file, mailrobin, out, root};

/// What stands for a secret in every config here: none of it may ever be shown.
const SECRETS: [&str; 4] = ["hunter2", "hunter3", "5551234", "12345678"];

fn corpus() -> Vec<PathBuf> {
    let mut cases: Vec<_> = fs::read_dir(root().join("tests/cli/bad"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    cases.sort();
    cases
}

#[test]
fn every_wrong_config_is_refused_in_its_own_words() {
    let mut wrong = Vec::new();
    for case in corpus() {
        let name = case.file_name().unwrap().to_str().unwrap();
        let output = mailrobin(case.parent().unwrap())
            .args(["config", "check", "-c", name])
            .output()
            .unwrap();
        if code(&output) != 3 || !output.stdout.is_empty() {
            wrong.push(format!(
                "{name} gave {} and {:?}",
                code(&output),
                out(&output)
            ));
        }
        wrong.extend(expect_file(&case.with_extension("stderr"), &err(&output)).err());
        if let Some(secret) = SECRETS
            .iter()
            .find(|secret| err(&output).contains(**secret))
        {
            wrong.push(format!("{name} shows the secret {secret}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_corpus_is_whole() {
    assert!(corpus().len() >= 60, "{} cases", corpus().len());
    for entry in fs::read_dir(root().join("tests/cli/bad")).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            path.with_extension("toml").is_file(),
            "{} is left over",
            path.display()
        );
    }
}

/// Configs are read in the same way by every command.
#[test]
fn check_and_show_refuse_what_config_check_refuses() {
    let folder = root().join("tests/cli/bad");
    let said = fs::read_to_string(folder.join("several-at-once.stderr")).unwrap();
    for arguments in [["config", "show"], ["check", "--format=json"]] {
        let output = mailrobin(&folder)
            .args(arguments)
            .args(["-c", "several-at-once.toml"])
            .output()
            .unwrap();
        assert_eq!(
            (code(&output), err(&output), out(&output)),
            (3, said.clone(), String::new())
        );
    }
}

const GATEWAY: &str = "[gateways.edge]\nhost = \"mx.example.com\"\n";
const MAILBOX: &str = "[mailboxes.returns]\nhost = \"imap.example.net\"\nusername = \"probe@monitor.example\"\npassword = { env = \"IMAP_PASSWORD\" }\n";
const ROUTE: &str = "[routes.inbound]\ngateway = \"edge\"\nmailbox = \"returns\"\nfrom = \"probe@monitor.example\"\nto = \"echo@example.com\"\n";

/// What is said of a config with more keys in its tables.
fn said(gateway: &str, mailbox: &str, route: &str) -> (i32, String) {
    said_of(&format!(
        "{GATEWAY}{gateway}\n{MAILBOX}{mailbox}\n{ROUTE}{route}\n"
    ))
}

fn said_of(config: &str) -> (i32, String) {
    let output = Bed::with(config).run(&["config", "check"]);
    (code(&output), err(&output))
}

/// The config is refused, with these words among others, and shows no secret.
#[track_caller]
fn refused((code, said): (i32, String), words: &[&str]) {
    let shown = SECRETS.iter().find(|secret| said.contains(**secret));
    assert_eq!((code, shown), (3, None), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in\n{said}");
    }
}

#[test]
fn the_parts_that_the_cases_below_add_to_are_right() {
    assert_eq!(said("", "", ""), (0, String::new()));
}

#[test]
fn a_secret_with_a_syntax_error_on_a_later_line_of_it_is_masked() {
    let open = "username = \"probe\"\npassword = \"\"\"\n";
    refused(
        said(&format!("{open}hunter2\\q\nhunter3\"\"\""), "", ""),
        &["toml:5:"],
    );
    refused(said(&format!("{open}hunter2\nhunter3\"\""), "", ""), &[]);
    let open = "username = \"probe\"\npassword = [\n";
    refused(said(&format!("{open}hunter2\n]"), "", ""), &["toml:5:"]);
}

#[test]
fn a_secret_under_a_misspelt_key_is_masked() {
    let gateway = "username = \"probe\"\npasword = \"hunter2\"";
    refused(said(gateway, "", ""), &["did you mean `password`?"]);
    let gateway = "username = \"probe\"\n\"passwort\" = \"hunter2\"";
    refused(said(gateway, "", ""), &["did you mean `password`?"]);
    let gateway = "username = \"probe\"\nPassword = \"hunter2\"";
    refused(said(gateway, "", ""), &["did you mean `password`?"]);
}

#[test]
fn a_secret_under_an_unknown_key_beside_its_reference_is_masked() {
    let gateway = "username = \"probe\"\npassword = { env = \"X\", literal = \"hunter2\" }";
    refused(said(gateway, "", ""), &["unknown key `literal`"]);
    let gateway = "username = \"probe\"\npassword.value = \"hunter2\"";
    refused(said(gateway, "", ""), &["unknown key `value`"]);
    let gateway = "username = \"probe\"\n[gateways.edge.password]\nliteral = \"hunter2\"";
    refused(said(gateway, "", ""), &["unknown key `literal`"]);
}

#[test]
fn a_secret_on_the_line_of_a_syntax_error_elsewhere_is_masked() {
    let config = "gateways = { edge = { password = \"hunter2\", host = mx } }\n";
    refused(said_of(config), &["toml:1:"]);
    let config = "[signing]\nkey = \"hunter2\" \"hunter3\"\n";
    refused(said_of(config), &["toml:2:"]);
}

#[test]
fn a_secret_that_is_a_number_is_not_quoted_by_the_message() {
    let gateway = "username = \"probe\"\npassword = 12345678";
    refused(
        said(gateway, "", ""),
        &["toml:4:12", "takes a string in quotes"],
    );
    refused(
        said_of("gateways.edge.password = 5551234\n"),
        &["toml:1:26"],
    );
    refused(said_of("[signing]\nkey = 12345678\n"), &["toml:2:7"]);
}

#[test]
fn one_syntax_error_is_one_error() {
    for line in [
        "password = { env = \"EDGE }",
        "port = [25",
        "ca = \"\"\"",
        "{",
        "[gateways.edge]",
    ] {
        let (code, said) = said(line, "", "");
        assert_eq!((code, said.matches("error: ").count()), (3, 1), "{said}");
    }
}

#[test]
fn an_authority_that_is_no_certificate_is_refused() {
    let ca = "tls = \"starttls\"\nca = \"\"\"\n-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n\"\"\"";
    refused(said(ca, "", ""), &["toml:4:6", "certificate"]);
}

#[test]
fn no_connections_are_refused() {
    refused(said("connections = 0", "", ""), &["toml:3:15"]);
}

#[test]
fn port_zero_is_refused() {
    refused(said("port = 0", "", ""), &["toml:3:8", "1"]);
}

#[test]
fn a_port_may_be_written_in_hexadecimal_and_is_checked_there_too() {
    assert_eq!(said("port = 0x24B", "", "").0, 0);
    refused(
        said("port = 0x1_0000", "", ""),
        &["`gateways.edge.port` takes a whole number"],
    );
}

#[test]
fn a_host_that_is_none_is_refused() {
    let route = format!("{MAILBOX}{ROUTE}");
    for host in [
        "smtp://mx.example.com",
        "mx.example.com:25",
        "mx example.com",
        "mx/1",
    ] {
        let config = format!("[gateways.edge]\nhost = \"{host}\"\n{route}");
        refused(said_of(&config), &["toml:2:8", "host"]);
    }
}

#[test]
fn an_ipv6_address_is_a_host_with_and_without_brackets() {
    for host in ["::1", "[::1]", "127.0.0.1", "localhost", "bücher.example"] {
        let config = format!("[gateways.edge]\nhost = \"{host}\"\n{MAILBOX}{ROUTE}");
        assert_eq!(said_of(&config), (0, String::new()), "{host}");
    }
}

#[test]
fn line_breaks_are_refused_wherever_they_would_reach_a_server() {
    refused(
        said("ehlo = \"a\\r\\nRSET\"", "", ""),
        &["toml:3:8", "line break"],
    );
    refused(
        said("", "", "subject = \"a\\r\\nBcc: b@example.com\""),
        &["line break"],
    );
    refused(
        said("", "folders = [\"INBOX\\r\\nA1 LOGOUT\"]", ""),
        &["line break"],
    );
    let mailbox = MAILBOX.replace("\"probe@", "\"\\r\\nA1 LOGOUT@");
    refused(
        said_of(&format!("{GATEWAY}{mailbox}{ROUTE}")),
        &["line break"],
    );
}

#[test]
fn a_folder_without_a_name_is_refused() {
    refused(said("", "folders = [\"INBOX\", \"\"]", ""), &["toml:8:21"]);
}

#[test]
fn a_reference_to_nothing_is_refused() {
    let login = |password| format!("username = \"probe\"\npassword = {password}");
    refused(
        said(&login("{ env = \"\" }"), "", ""),
        &["toml:4:", "empty"],
    );
    refused(
        said(&login("{ file = \"\" }"), "", ""),
        &["toml:4:", "empty"],
    );
    refused(
        said(&login("{ command = [\"\"] }"), "", ""),
        &["toml:4:", "empty"],
    );
    refused(
        said(&login("{ command = [] }"), "", ""),
        &["toml:4:", "empty"],
    );
}

#[test]
fn a_signing_key_that_could_be_guessed_is_refused() {
    let config = format!("[signing]\nkey = \"hunter2\"\n{GATEWAY}{MAILBOX}{ROUTE}");
    refused(said_of(&config), &["toml:2:7", "shorter than 16"]);
}

#[test]
fn headers_that_the_envelope_or_the_server_writes_are_refused() {
    for name in [
        "Bcc",
        "Cc",
        "Sender",
        "Return-Path",
        "Received",
        "Resent-To",
    ] {
        let route = format!("headers = {{ {name} = \"x@example.com\" }}");
        refused(said("", "", &route), &["toml:14:", name]);
    }
}

#[test]
fn what_is_wrong_in_the_defaults_is_said_once() {
    let second = ROUTE.replace("inbound", "outbound");
    let config = format!("[defaults]\ndeadline = \"soon\"\n{GATEWAY}{MAILBOX}{ROUTE}{second}");
    let (code, said) = said_of(&config);
    assert_eq!(
        (code, said.matches("is not a duration").count()),
        (3, 1),
        "{said}"
    );
}

/// What one mistake makes of other keys is not said beside it.
#[test]
fn one_mistake_is_one_error() {
    let count = |(code, said): (i32, String)| {
        assert_eq!(code, 3);
        (said.matches("error: ").count(), said)
    };
    let one = |(count, said): (usize, String)| assert_eq!(count, 1, "{said}");
    one(count(said(
        "username = \"probe\"\npassword = 12345678",
        "",
        "",
    )));
    one(count(said(
        "username = \"probe\"\npassword = { environment = \"X\" }",
        "",
        "",
    )));
    let tables = format!("{GATEWAY}{MAILBOX}{ROUTE}");
    one(count(said_of(&tables.replace("[gateways.", "[gatways."))));
    one(count(said_of(
        &tables.replace("[gateways.edge]", "[[gateways]]"),
    )));
    one(count(said_of(&tables.replace("username = ", "usrname = "))));
}

#[test]
fn a_text_that_is_not_utf_8_is_refused_with_its_place() {
    let bed = Bed::new();
    let config = b"[gateways.edge]\nhost = \"m\xfcller.example\"\n";
    fs::write(bed.path().join("mailrobin.toml"), config).unwrap();
    let output = bed.run(&["config", "check"]);
    refused(
        (code(&output), err(&output)),
        &["mailrobin.toml:2:10", "UTF-8"],
    );
}

#[test]
fn a_config_that_cannot_be_read_is_said_once() {
    let bed = Bed::new();
    let output = bed.run(&["config", "check", "-c", "nowhere.toml"]);
    assert_eq!(code(&output), 3);
    assert_eq!(
        err(&output),
        "mailrobin: cannot read the config nowhere.toml: No such file or directory (os error 2)\n"
    );
}

/// The place is that of the key: it is looked for behind the certificate.
#[cfg(feature = "lab")]
#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let pair = |name: &str| {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    };
    let ((certificate, key), (_, other)) = (pair("one.example"), pair("two.example"));
    let keys = "client_cert = \"client.pem\"\nclient_key = \"client.key\"\n";
    let bed = Bed::with(&format!("{GATEWAY}{keys}{MAILBOX}{ROUTE}"));
    bed.write("client.pem", &certificate);
    bed.write("client.key", &key);
    let output = bed.run(&["config", "check"]);
    assert_eq!((code(&output), err(&output)), (0, String::new()));
    bed.write("client.key", &other);
    let output = bed.run(&["config", "check"]);
    let said = err(&output);
    let inside = other.lines().nth(1).unwrap();
    assert!(!said.contains(inside), "{said}");
    refused(
        (code(&output), said),
        &["toml:4:14", "not the key of the certificate"],
    );
}

/// One file may hold both; the certificate may have others behind it.
#[cfg(feature = "lab")]
#[test]
fn certificate_and_key_may_be_one_file() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["one.example".to_owned()]).unwrap();
    let keys = "client_cert = \"client.pem\"\nclient_key = \"client.pem\"\n";
    let bed = Bed::with(&format!("{GATEWAY}{keys}{MAILBOX}{ROUTE}"));
    let chain = format!(
        "{}{}{}",
        signing_key.serialize_pem(),
        cert.pem(),
        cert.pem()
    );
    bed.write("client.pem", &chain);
    let output = bed.run(&["config", "check"]);
    assert_eq!((code(&output), err(&output)), (0, String::new()));
}

#[test]
fn no_name_servers_are_refused() {
    let config = format!("[dns]\nservers = []\n{GATEWAY}{MAILBOX}{ROUTE}");
    refused(said_of(&config), &["toml:2:11", "empty"]);
}

/// RFC 1035 §2.3.4 and RFC 5321 §4.5.3.1.
#[test]
fn names_that_dns_cannot_hold_are_refused() {
    let long = format!("{}example", "a.".repeat(146));
    let label = format!("{}.example", "a".repeat(64));
    for host in [
        &*long,
        &*label,
        "mx..example",
        ".example",
        "ü".repeat(64).as_str(),
    ] {
        let gateway = format!("host = {host:?}\n");
        let config = format!("[gateways.edge]\n{gateway}{MAILBOX}{ROUTE}");
        refused(said_of(&config), &["toml:2:8", "is no host name"]);
        let mailbox = MAILBOX.replace("imap.example.net", host);
        refused(
            said_of(&format!("{GATEWAY}{mailbox}{ROUTE}")),
            &["toml:4:8"],
        );
        let domain = format!("[gateways.edge]\ndomain = {host:?}\n{MAILBOX}{ROUTE}");
        refused(said_of(&domain), &["toml:2:10"]);
        refused(said(&format!("ehlo = {host:?}"), "", ""), &["toml:3:8"]);
        let dns = format!("[dns]\nblocklists = [{host:?}]\n{GATEWAY}{MAILBOX}{ROUTE}");
        refused(said_of(&dns), &["toml:2:15"]);
        let aliases = format!("aliases = [\"a@{host}\"]");
        refused(said("", "", &aliases), &["toml:14:12"]);
    }
    for host in [
        "größer.example",
        "mx_1.example.",
        "localhost",
        "192.0.2.1",
        "[2001:db8::1]",
    ] {
        let config = format!("[gateways.edge]\nhost = {host:?}\n{MAILBOX}{ROUTE}");
        assert_eq!(said_of(&config), (0, String::new()), "{host}");
    }
    for ehlo in ["two words", "a\\tb"] {
        refused(said(&format!("ehlo = \"{ehlo}\""), "", ""), &["toml:3:8"]);
    }
    assert_eq!(said("ehlo = \"[192.0.2.1]\"", "", "").0, 0);
}

/// RFC 5322 §2.1.1: a line of a message has 998 bytes at most.
#[test]
fn texts_that_no_message_can_hold_are_refused() {
    let subject = |length: usize| format!("subject = \"{}\"", "x".repeat(length));
    refused(said("", "", &subject(5000)), &["toml:14:11", "longer than"]);
    refused(said("", "", &subject(501)), &["toml:14:11", "500 bytes"]);
    assert_eq!(said("", "", &subject(500)).0, 0);
    // The name of the route is put into it.
    let named = format!("subject = \"{}\"", "{route} ".repeat(70));
    refused(said("", "", &named), &["toml:14:11", "500 bytes"]);
    refused(
        said("", "", "subject = \"a\\u001b[31m\""),
        &["toml:14:11", "control character"],
    );
    let header = |length: usize| format!("headers = {{ X-A = \"{}\" }}", "x".repeat(length));
    refused(said("", "", &header(994)), &["toml:14:19", "998 bytes"]);
    assert_eq!(said("", "", &header(993)).0, 0);
    let address = format!(
        "aliases = [\"{}@{}example\"]",
        "a".repeat(64),
        "b.".repeat(92)
    );
    refused(
        said("", "", &address),
        &["toml:14:12", "longer than 254 bytes"],
    );
}

#[test]
fn names_that_steer_a_terminal_are_refused() {
    for (name, why) in [
        ("a\\u001b[31m", "steers"),
        ("a\\u202eb", "steers"),
        ("a\\u2028b", "steers"),
        ("a\\nb", "steers"),
        ("", "empty"),
        (&*"x".repeat(129), "longer than 128 bytes"),
    ] {
        let name = format!("\"{name}\"");
        let route = ROUTE.replace("inbound", &name);
        refused(
            said_of(&format!("{GATEWAY}{MAILBOX}{route}")),
            &["toml:7:", why],
        );
        let gateway = GATEWAY.replace("edge", &name);
        refused(
            said_of(&format!("{gateway}{GATEWAY}{MAILBOX}{ROUTE}")),
            &["toml:1:", why],
        );
        let alert = format!("[alerts.{name}]\nkind = \"command\"\ncommand = [\"x\"]\n");
        let (_, said) = said_of(&format!("{alert}{GATEWAY}{MAILBOX}{ROUTE}"));
        assert!(
            !said.contains(['\u{1b}', '\u{202e}', '\u{2028}']),
            "{said:?}"
        );
        refused((3, said), &["toml:1:", why]);
    }
    let route = ROUTE.replace("inbound", "\"größer – 試験 می‌خواهم\"");
    assert_eq!(said_of(&format!("{GATEWAY}{MAILBOX}{route}")).0, 0);
}

#[test]
fn a_literal_secret_that_is_no_line_is_refused() {
    for secret in ["hunter2\\nhunter3", "hunter2\\r\\nQUIT", "hunter2\\u0000"] {
        let gateway = format!("username = \"probe\"\npassword = \"{secret}\"");
        refused(
            said(&gateway, "", ""),
            &["toml:4:12", "a line break or a NUL"],
        );
        let token = format!("[service]\ntoken = \"{secret}\"\n{GATEWAY}{MAILBOX}{ROUTE}");
        refused(said_of(&token), &["toml:2:9"]);
    }
    // As in a file, the one at the end does not count.
    let gateway = "username = \"probe\"\npassword = \"\"\"\nhunter2\n\"\"\"";
    assert_eq!(said(gateway, "", "").0, 0);
}

#[test]
fn a_token_that_nobody_could_show_or_anybody_guess_is_refused() {
    let said = |listen: &str, token: &str| {
        let keys = format!("[service]\nlisten = \"{listen}:9725\"\ntoken = \"{token}\"\n");
        said_of(&format!("{keys}{GATEWAY}{MAILBOX}{ROUTE}"))
    };
    for token in [
        " hunter2 hunter2 hunter2",
        "hunter2hunter2hunter2 ",
        "hunter2hunter2\\thunter2\\t",
        "hunter2hunter2\\u0007hunter2",
    ] {
        for listen in ["127.0.0.1", "0.0.0.0"] {
            refused(
                said(listen, token),
                &["toml:3:9", "no client could show it"],
            );
        }
    }
    for token in ["h", "hunter2", "hunter2hunter2!"] {
        refused(
            said("0.0.0.0", token),
            &["toml:3:9", "fewer than 16 characters"],
        );
        let (code, said) = said("[::1]", token);
        assert!(
            code == 0 && said.contains("warning: the token has fewer than 16"),
            "{said}"
        );
    }
    assert_eq!(said("127.0.0.1", "hunter2hunter2hu"), (0, String::new()));
}

/// What a file or a variable holds is seen at the start.
#[test]
fn a_token_elsewhere_is_looked_at_at_the_start() {
    for (listen, token, why) in [
        (
            "127.0.0.1:0",
            "hunter2hunter2hunter2 \n",
            "begins or ends with white space",
        ),
        ("0.0.0.0:0", "x\n", "fewer than 16 characters"),
    ] {
        let keys = "[service]\ntoken = { file = \"api.token\" }\n";
        let bed = Bed::with(&format!("{keys}{GATEWAY}{MAILBOX}{ROUTE}"));
        bed.write("api.token", token);
        let output = bed.run(&["run", "--state-dir", "state", "--listen", listen]);
        refused(
            (code(&output), err(&output)),
            &["`token` under [service]", why],
        );
    }
}

/// Whatever stands in a secret's place, it is shown at the same width.
#[test]
fn nothing_tells_how_long_a_secret_is() {
    let said = |secret: &str| {
        let keys = format!("username = \"probe\"\npassword = {secret}\nnonsense = {secret}");
        let (_, said) = said(&keys, "", "");
        said
    };
    assert_eq!(said("\"x\""), said("\"a much longer secret – größer\""));
    assert_eq!(said("[\"x\"]"), said("[\"hunter2\"]"));
    assert_eq!(said("1"), said("123456789"));
}
