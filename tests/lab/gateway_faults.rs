//! Faults of the gateway as its SMTP clients meet them.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Client, ECHO, Imap, SENDER, SIMPLE, lab, send, send_as, smtp};

#[tokio::test]
async fn reject_at_every_stage() {
    for (fault, reply) in [
        ("reject=mail:550", "550 5.1.1 <probe@lab.example>"),
        ("reject=rcpt:450", "450 4.2.0 <echo@echo.example>"),
        ("reject=data:554", "554 5.7.1 DATA"),
        ("reject=message:552", "552 5.2.2 Mailbox full"),
    ] {
        let lab = lab(&[fault]).await;
        let replied = send(&lab, ECHO, SIMPLE).await;
        assert!(replied.starts_with(reply), "{fault}: {replied}");
    }
    let lab = lab(&["reject=rcpt:550,to=bob,first=1"]).await;
    assert!(send(&lab, ECHO, SIMPLE).await.starts_with("250"));
    assert!(
        send(&lab, "bob@echo.example", SIMPLE)
            .await
            .starts_with("550")
    );
    assert!(
        send(&lab, "bob@echo.example", SIMPLE)
            .await
            .starts_with("250")
    );
}

#[tokio::test]
async fn reject_with_421_closes() {
    let lab = lab(&["reject=mail:421"]).await;
    let mut client = smtp(&lab).await;
    assert!(client.smtp("MAIL FROM:<>").await.starts_with("421 4.3.2"));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn defer_greylists_each_pair() {
    let lab = lab(&["defer=2"]).await;
    for expected in ["451 4.7.1 Greylisted", "451 4.7.1 Greylisted", "250"] {
        let reply = send(&lab, ECHO, SIMPLE).await;
        assert!(reply.starts_with(expected), "{reply}");
    }
    let rcpt = format!("RCPT TO:<{ECHO}>");
    let other = send_as(&lab, "other@client.example", &rcpt, SIMPLE).await;
    assert!(other.starts_with("451"));
    assert!(send(&lab, ECHO, SIMPLE).await.starts_with("250"));
}

#[tokio::test]
async fn close_before_reply_still_forwards() {
    let lab = lab(&["close-before-reply,first=1"]).await;
    assert_eq!(send(&lab, ECHO, SIMPLE).await, "");
    Imap::open(&lab).await.await_messages(1).await;
    assert!(send(&lab, ECHO, SIMPLE).await.starts_with("250"));
}

#[tokio::test]
async fn close_after_reply() {
    let lab = lab(&["close-after-reply"]).await;
    let mut client = smtp(&lab).await;
    client.smtp(&format!("MAIL FROM:<{SENDER}>")).await;
    client.smtp(&format!("RCPT TO:<{ECHO}>")).await;
    client.smtp("DATA").await;
    assert!(client.smtp(".").await.starts_with("250"));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn slow_replies_and_drip_take_their_time() {
    let lab = lab(&["slow-replies=40ms"]).await;
    let start = Instant::now();
    smtp(&lab).await;
    assert!(start.elapsed() >= Duration::from_millis(80));

    lab.control().command("clear").unwrap();
    lab.control().command("add drip=2ms").unwrap();
    let mut client = Client::connect(lab.smtp_addr()).await;
    let start = Instant::now();
    let greeting = client.reply().await;
    let bytes = u32::try_from(greeting.len()).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(2) * (bytes - 1));
}

#[tokio::test]
async fn ehlo_faults_change_what_is_offered() {
    let lab = lab(&[]).await;
    let ehlo = async |fault: &str| {
        let control = lab.control();
        control.command("clear").unwrap();
        control.command(&format!("add {fault}")).unwrap();
        let mut client = Client::connect(lab.smtp_addr()).await;
        client.reply().await;
        (client.smtp("EHLO client.example").await, client)
    };
    let (offered, mut client) = ehlo("no-starttls").await;
    assert!(!offered.contains("STARTTLS"));
    assert!(client.smtp("STARTTLS").await.starts_with("503"));

    let (offered, mut client) = ehlo("no-dsn").await;
    assert!(!offered.contains("DSN") && offered.contains("STARTTLS"));
    let refused = client.smtp("MAIL FROM:<a@b.example> RET=FULL").await;
    assert!(refused.starts_with("555"));

    let (offered, _) = ehlo("lower-ehlo").await;
    assert!(offered.contains("250-starttls\r\n") && offered.contains("250-pipelining\r\n"));

    let (offered, mut client) = ehlo("bare-replies").await;
    assert!(offered.contains("250-PIPELINING\n") && !offered.contains('\r'));
    assert_eq!(client.smtp("NOOP").await, "250\n");
}

#[tokio::test]
async fn expired_certificate_fails_the_handshake() {
    let lab = lab(&[]).await;
    for expired in [false, true] {
        let mut client = smtp(&lab).await;
        if expired {
            lab.control().command("add expired-certificate").unwrap();
        }
        assert!(client.smtp("STARTTLS").await.starts_with("220"));
        let tls = client.start_tls(lab.ca_pem()).await;
        match tls {
            Ok(mut client) => {
                assert!(!expired);
                let offered = client.smtp("EHLO client.example").await;
                assert!(!offered.contains("STARTTLS"));
            }
            Err(error) => {
                assert!(expired, "{error}");
                assert!(error.to_string().to_lowercase().contains("expired"));
            }
        }
    }
}

#[tokio::test]
async fn the_control_explains_itself() {
    let lab = lab(&["drop,first=1"]).await;
    let control = lab.control();
    assert_eq!(control.command("list").unwrap(), "drop,first=1");
    send(&lab, ECHO, SIMPLE).await;
    assert_eq!(
        control.command("list").unwrap(),
        "drop,first=1 (hit 1 times)"
    );
    assert_eq!(control.command("add delay=2s").unwrap(), "added delay=2s");
    assert_eq!(control.command("clear drop").unwrap(), "cleared 1");
    assert_eq!(control.command("clear").unwrap(), "cleared 1");
    assert_eq!(control.command("list").unwrap(), "no faults");
    let status = control.command("status").unwrap();
    assert!(status.contains("accepted 1, delivered 0") && status.contains("INBOX: 0 messages"));
    let help = control.command("help").unwrap();
    assert!(help.contains("reject=STAGE:CODE") && help.contains("no-uidplus"));
    let error = |line: &str| control.command(line).unwrap_err().to_string();
    assert!(error("add no-uidplsu").contains("did you mean `no-uidplus`"));
    assert!(error("lits").contains("did you mean `list`"));
}
