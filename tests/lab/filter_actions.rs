//! What the lab's filter does with what it finds, for whom, and how it is told.

use mail_parser::{MessageParser, MimeHeaders};
use mailrobin::{lab::Lab, pattern};

use crate::{
    client::{ECHO, Imap, SENDER, SIMPLE, copy_through, lab, send, send_as, smtp},
    letter::{Letter, base64, with_file, with_spam, with_virus, zipped},
};

const INFECTED: &str = "X-Virus-Status: Infected (Lab.Eicar-Test-Signature)\r\n";

/// Accepted, and not delivered: the next message is the first to come.
async fn is_swallowed(fault: &str, message: &str) -> Lab {
    let lab = lab(&[fault]).await;
    let reply = send(&lab, ECHO, message).await;
    assert!(
        reply.starts_with("250 2.0.0 Ok: queued"),
        "{fault}: {reply}"
    );
    send(&lab, ECHO, SIMPLE).await;
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(1).await;
    assert!(imap.messages().await.remove(0).ends_with(SIMPLE), "{fault}");
    lab
}

#[tokio::test]
async fn discard_and_quarantine_say_250() {
    for (kind, message) in [("virus", with_virus()), ("spam", with_spam(b'X'))] {
        for (action, status) in [
            ("discard", "accepted 2, delivered 1, quarantined 0"),
            ("quarantine", "accepted 2, delivered 1, quarantined 1"),
        ] {
            let lab = is_swallowed(&format!("{kind}={action}"), &message).await;
            let said = lab.control().command("status").unwrap();
            assert!(said.starts_with(status), "{kind}={action}: {said}");
        }
    }
}

#[tokio::test]
async fn tag_marks_the_header_alone() {
    let virus = with_virus();
    let copy = copy_through(&["virus=tag"], &virus).await;
    assert!(copy.contains(INFECTED) && copy.ends_with(&virus), "{copy}");

    let spam = with_spam(b'X');
    let copy = copy_through(&["spam=tag"], &spam).await;
    assert!(
        copy.contains("X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score="),
        "{copy}"
    );
    assert!(copy.ends_with(&spam) && !copy.contains("X-Spam-Status: No"));

    let copy = copy_through(&["spam=subject"], &spam).await;
    assert!(
        copy.ends_with(&spam.replace("An offer", "***SPAM*** An offer")),
        "{copy}"
    );
    assert!(!copy.contains("X-Spam"));
}

#[tokio::test]
async fn junk_goes_to_its_folder() {
    for (fault, message, mark) in [
        ("virus=junk", with_virus(), INFECTED),
        ("spam=junk", with_spam(b'X'), "X-Spam-Flag: YES\r\n"),
    ] {
        let lab = lab(&[fault]).await;
        assert!(send(&lab, ECHO, &message).await.starts_with("250"));
        let mut junk = Imap::select(&lab, "Junk").await;
        junk.await_messages(1).await;
        let copy = junk.messages().await.remove(0);
        assert!(copy.contains(mark) && copy.ends_with(&message), "{copy}");
        assert!(Imap::open(&lab).await.messages().await.is_empty());
    }
}

#[tokio::test]
async fn bounce_names_the_virus_and_does_not_return_it() {
    let lab = lab(&["virus=bounce"]).await;
    let mail = format!("MAIL FROM:<{SENDER}> RET=FULL ENVID=envelope-78");
    let rcpt = format!("RCPT TO:<{ECHO}>");
    assert!(
        send_as(&lab, &mail, &rcpt, &with_virus())
            .await
            .starts_with("250")
    );
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(1).await;
    let notice = imap.messages().await.remove(0);
    for line in [
        "Original-Envelope-Id: envelope-78\r\n",
        "Final-Recipient: rfc822; echo@echo.example\r\nAction: failed\r\nStatus: 5.7.1\r\n",
        "Diagnostic-Code: smtp; 550 5.7.1 Message rejected: virus Lab.Eicar-Test-Signature found\r\n",
        "Content-Type: text/rfc822-headers\r\n",
        "Subject: A letter\r\n",
    ] {
        assert!(notice.contains(line), "{line}{notice}");
    }
    assert!(!notice.contains(&base64(&pattern::eicar())[..70]));

    let rcpt = format!("RCPT TO:<{ECHO}> NOTIFY=NEVER");
    send_as(&lab, SENDER, &rcpt, &with_virus()).await;
    send(&lab, ECHO, SIMPLE).await;
    imap.await_messages(2).await;
    assert!(imap.messages().await.remove(1).ends_with(SIMPLE));
}

#[tokio::test]
async fn strip_puts_a_notice_in_the_place_of_the_part() {
    let eicar = &pattern::eicar();
    let nested = with_virus().replace("limit", "inner");
    let header =
        "Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename=\"n.eml\"";
    for (name, middle) in [
        ("virus.bin", Letter::new().attached("virus.bin", eicar)),
        (
            "a.zip",
            Letter::new().attached("a.zip", &zipped("x", eicar, None)),
        ),
        ("n.eml", Letter::new().part(header, &nested)),
    ] {
        let middle = middle.end();
        let (_, middle) = middle.split_once("--limit\r\n").unwrap();
        let (middle, _) = middle.rsplit_once("\r\n--limit--").unwrap();
        let letter = |middle: &str| {
            let head = Letter::new().text("Text before").end();
            let head = head.strip_suffix("--limit--\r\n").unwrap();
            let tail = Letter::new().attached("good.bin", b"harmless").end();
            let tail = tail.split_once("--limit\r\n").unwrap().1;
            format!("{head}--limit\r\n{middle}\r\n--limit\r\n{tail}")
        };
        let copy = copy_through(&["virus=strip"], &letter(middle)).await;
        let (before, rest) = copy
            .split_once("Content-Type: text/plain; charset=us-ascii;")
            .unwrap();
        let original = letter(middle);
        let (head, tail) = original.split_once(middle).unwrap();
        assert!(before.ends_with(head), "{copy}");
        assert!(rest.ends_with(tail), "{copy}");
        let parsed = MessageParser::default().parse(copy.as_bytes()).unwrap();
        let names: Vec<_> = parsed
            .attachments()
            .map(|part| part.attachment_name().unwrap())
            .collect();
        assert_eq!(names, ["Malware Alert Text.txt", "good.bin"]);
        let notice = parsed.attachment(0).unwrap().text_contents().unwrap();
        assert!(notice.starts_with("Malware was detected"), "{notice}");
        assert!(
            notice.contains(&format!("{name} Lab.Eicar-Test-Signature")),
            "{notice}"
        );
    }
    let body = String::from_utf8(eicar.clone()).unwrap();
    let copy = copy_through(
        &["virus=strip"],
        &format!("Subject: whole\r\nContent-Type: text/html\r\n\r\n{body}\r\n"),
    )
    .await;
    assert!(
        copy.contains("Subject: whole\r\nContent-Type: text/plain;"),
        "{copy}"
    );
    assert!(!copy.contains(&body) && copy.contains("Malware was detected"));
}

#[tokio::test]
async fn each_switch_lets_something_pass() {
    let zip = with_file("a.zip", &zipped("x", &pattern::eicar(), None));
    let large = with_file("x", &[b'x'; 3000]).replace("--limit--", "");
    let large = large + &with_virus();
    for (fault, message, scanned) in [
        ("virus=off", with_virus(), true),
        ("spam=off", with_spam(b'X'), true),
        ("no-unpacking", zip.clone(), true),
        ("filter-off", with_virus(), false),
        ("filter-off", with_spam(b'X'), false),
        ("scan-limit=1KiB", large.clone(), false),
    ] {
        let copy = copy_through(&[fault], &message).await;
        assert!(copy.ends_with(&message), "{fault}");
        assert_eq!(copy.contains("X-Virus-Scanned"), scanned, "{fault}");
        assert!(!copy.contains(INFECTED), "{fault}");
    }
    for (fault, message) in [
        ("virus=off", with_spam(b'X')),
        ("spam=off", with_virus()),
        ("no-unpacking", with_virus()),
        ("scan-limit=1MiB", large),
        ("virus=off,to=other", zip),
    ] {
        let reply = send(&lab(&[fault]).await, ECHO, &message).await;
        assert!(reply.starts_with("55"), "{fault}: {reply}");
    }
}

#[tokio::test]
async fn a_filter_that_is_down_puts_everything_off() {
    let lab = lab(&["filter-down,first=2"]).await;
    for message in [SIMPLE, &with_virus()] {
        let reply = send(&lab, ECHO, message).await;
        assert_eq!(reply, "451 4.7.1 Service unavailable - try again later\r\n");
    }
    assert!(send(&lab, ECHO, SIMPLE).await.starts_with("250"));
}

#[tokio::test]
async fn banned_names_are_refused_whatever_they_hold() {
    let lab = lab(&["banned-names"]).await;
    for name in [
        "eicar.com",
        "Setup.EXE",
        "a.js",
        "a.bat",
        "a.scr",
        "a.pdf.pif",
    ] {
        let reply = send(&lab, ECHO, &with_file(name, b"harmless")).await;
        let wanted = format!("550 5.7.1 Message rejected: banned attachment name ({name})\r\n");
        assert_eq!(reply, wanted);
    }
    for name in ["a.txt", "a.tar.gz", "report.pdf", "com"] {
        let reply = send(&lab, ECHO, &with_file(name, b"harmless")).await;
        assert!(reply.starts_with("250"), "{name}: {reply}");
    }
}

#[tokio::test]
async fn the_most_specific_and_then_the_latest_word_rules() {
    let lab = lab(&["virus=tag,to=alice", "virus=discard", "virus=quarantine"]).await;
    let quarantined = async |count: u32| {
        let status = lab.control().command("status").unwrap();
        assert!(
            status.contains(&format!("quarantined {count},")),
            "{status}"
        );
    };
    send(&lab, ECHO, &with_virus()).await;
    quarantined(1).await;
    send(&lab, "Alice+x@echo.example", &with_virus()).await;
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(1).await;
    assert!(imap.messages().await.remove(0).contains(INFECTED));
    quarantined(1).await;

    lab.control()
        .command("add virus=off,to=alice,first=1")
        .unwrap();
    for count in [2, 3] {
        send(&lab, "alice@echo.example", &with_virus()).await;
        imap.await_messages(count).await;
    }
    let copies = imap.messages().await;
    assert!(!copies[1].contains(INFECTED) && copies[2].contains(INFECTED));
    lab.control().command("clear").unwrap();
    assert!(send(&lab, ECHO, &with_virus()).await.starts_with("550"));
}

#[tokio::test]
async fn recipients_of_one_message_are_treated_each_by_its_own_rules() {
    let lab = lab(&[
        "virus=quarantine",
        "virus=tag,to=bob",
        "virus=reject,to=carol",
    ])
    .await;
    for (others, wanted) in [
        ("bob", "250"),
        ("carol", "550 5.7.1 Message rejected: virus"),
    ] {
        let mut client = smtp(&lab).await;
        client.smtp(&format!("MAIL FROM:<{SENDER}>")).await;
        for local in ["echo", others] {
            client
                .smtp(&format!("RCPT TO:<{local}@echo.example>"))
                .await;
        }
        client.smtp("DATA").await;
        client.send(format!("{}.\r\n", with_virus())).await;
        let reply = client.reply().await;
        assert!(reply.starts_with(wanted), "{others}: {reply}");
    }
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(1).await;
    assert!(
        imap.messages()
            .await
            .remove(0)
            .contains("for <bob@echo.example>")
    );
    let status = lab.control().command("status").unwrap();
    assert!(
        status.starts_with("accepted 1, delivered 1, quarantined 1,"),
        "{status}"
    );
}

#[tokio::test]
async fn the_control_knows_the_filter() {
    let lab = lab(&["virus=strip,to=alice"]).await;
    let control = lab.control();
    control.command("add scan-limit=65536").unwrap();
    let list = control.command("list").unwrap();
    assert_eq!(list, "scan-limit=64KiB\nvirus=strip,to=alice");
    send(&lab, "alice@echo.example", SIMPLE).await;
    send(&lab, "alice@echo.example", &with_virus()).await;
    assert!(
        control
            .command("list")
            .unwrap()
            .contains("virus=strip,to=alice (hit 1 times)")
    );
    let help = control.command("help").unwrap();
    for spelled in [
        "virus=ACTION",
        "spam=ACTION",
        "scan-limit=SIZE",
        "filter-off",
        "banned-names",
    ] {
        assert!(help.contains(spelled), "{spelled}");
    }
    let error = control.command("add virus=rejct").unwrap_err().to_string();
    assert!(
        error.ends_with("got `rejct`; did you mean `reject`?"),
        "{error}"
    );
}
