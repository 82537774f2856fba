//! Clients that make mistakes, and clients that mean harm.

use std::time::Duration;

use mailrobin::lab::{Lab, LabConfig};
use tokio::time::timeout;

use crate::client::{Client, ECHO, Imap, SENDER, lab, send, smtp};

#[tokio::test]
async fn commands_out_of_order() {
    let lab = lab(&[]).await;
    let mut client = Client::connect(lab.smtp_addr()).await;
    client.reply().await;
    assert!(
        client
            .smtp("MAIL FROM:<a@b.example>")
            .await
            .starts_with("503")
    );
    client.smtp("EHLO client.example").await;
    assert!(client.smtp("DATA").await.starts_with("503"));
    assert!(
        client
            .smtp("RCPT TO:<echo@echo.example>")
            .await
            .starts_with("503")
    );
    assert!(client.smtp("MAIL FROM:a b c").await.starts_with("501"));
    assert!(client.smtp("FROBNICATE").await.starts_with("500"));
    assert!(
        client
            .smtp("MAIL FROM:<a@b.example> SIZE=99999999")
            .await
            .starts_with("552")
    );
    assert!(
        client
            .smtp("MAIL FROM:<a@b.example>")
            .await
            .starts_with("250")
    );
    assert!(
        client
            .smtp("MAIL FROM:<a@b.example>")
            .await
            .starts_with("503")
    );
    assert!(
        client
            .smtp("RCPT TO:<nobody@lab.example>")
            .await
            .starts_with("550 5.1.1")
    );
    let relayed = client.smtp("RCPT TO:<x@elsewhere.example>").await;
    assert!(relayed.starts_with("554 5.7.1 <x@elsewhere.example>: Relay access denied"));
    assert!(client.smtp("DATA").await.starts_with("503"));
    assert!(client.smtp("RSET").await.starts_with("250"));
    assert!(client.smtp("VRFY probe").await.starts_with("252"));
    assert!(client.smtp("NOOP").await.starts_with("250"));
    assert!(client.smtp("QUIT").await.starts_with("221"));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn authenticated_mail_does_not_leave_either() {
    let lab = lab(&[]).await;
    let mut client = smtp(&lab).await;
    // \0probe\0wrong, \0probe\0probe
    assert!(
        client
            .smtp("AUTH PLAIN AHByb2JlAHdyb25n")
            .await
            .starts_with("535")
    );
    assert!(client.smtp("AUTH LOGIN").await.starts_with("334"));
    assert!(client.smtp("cHJvYmU=").await.starts_with("334"));
    assert!(client.smtp("cHJvYmU=").await.starts_with("235"));
    assert!(
        client
            .smtp("AUTH PLAIN AHByb2JlAHByb2Jl")
            .await
            .starts_with("503")
    );
    client.smtp("MAIL FROM:<a@b.example>").await;
    let refused = client.smtp("RCPT TO:<x@elsewhere.example>").await;
    assert!(refused.starts_with("550 5.1.2"));
}

#[tokio::test]
async fn a_pipelined_burst_is_answered_in_order() {
    let lab = lab(&[]).await;
    let mut client = smtp(&lab).await;
    let transaction = format!(
        "MAIL FROM:<{SENDER}>\r\nRCPT TO:<{ECHO}>\r\nRCPT TO:<x@elsewhere.example>\r\n\
         DATA\r\nSubject: piped\r\n\r\nx\r\n.\r\nNOOP\r\nNONSENSE\r\nQUIT\r\n"
    );
    // One byte at a time and all at once must come to the same.
    for byte in transaction.bytes() {
        client.send([byte]).await;
    }
    let mut codes = String::new();
    for _ in 0..8 {
        codes.push_str(&client.reply().await[..4]);
    }
    assert_eq!(codes, "250 250 554 354 250 250 500 221 ");
    let mut client = smtp(&lab).await;
    client.send(transaction).await;
    for code in codes.split_whitespace() {
        assert!(client.reply().await.starts_with(code));
    }
    Imap::open(&lab).await.await_messages(2).await;
}

#[tokio::test]
async fn odd_messages_arrive_as_they_are() {
    let lab = lab(&[]).await;
    let mut imap = Imap::open(&lab).await;
    // Empty; a line feed and dot that is no end; nothing but dots.
    for (number, message) in ["", "a\n.\nb\r\n", "..\r\n...\r\n"].into_iter().enumerate() {
        let mut client = smtp(&lab).await;
        client.smtp(&format!("MAIL FROM:<{SENDER}>")).await;
        client.smtp(&format!("RCPT TO:<{ECHO}>")).await;
        client.smtp("DATA").await;
        client.send(format!("{message}.\r\n")).await;
        assert!(client.reply().await.starts_with("250"));
        imap.await_messages(number + 1).await;
    }
    let copies = imap.messages().await;
    assert!(copies[1].ends_with("a\n.\nb\r\n"));
    assert!(copies[2].ends_with("\r\n.\r\n..\r\n"));
}

#[tokio::test]
async fn plaintext_after_starttls_is_never_obeyed() {
    let lab = lab(&[]).await;
    let mut client = smtp(&lab).await;
    client.send("STARTTLS\r\nNOOP\r\n").await;
    assert!(client.reply().await.starts_with("554"));
    assert!(client.is_closed().await);

    let mut imap = Imap::connect(&lab).await;
    imap.client.send("t STARTTLS\r\nt NOOP\r\n").await;
    assert!(imap.answer().await.tagged.starts_with("t BAD"));
    assert!(imap.client.is_closed().await);

    let mut pop3 = Client::connect(lab.pop3_addr()).await;
    pop3.line().await;
    pop3.send("STLS\r\nNOOP\r\n").await;
    assert!(pop3.line().await.starts_with("-ERR"));
    assert!(pop3.is_closed().await);
}

#[tokio::test]
async fn garbage_ends_every_conversation() {
    let lab = lab(&[]).await;
    for address in [lab.smtp_addr(), lab.imap_addr(), lab.pop3_addr()] {
        let mut client = Client::connect(address).await;
        let garbage: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
        // The lab may be gone before all of it is written.
        let writing = tokio::spawn(async move {
            let nonsense = b"\r\n\xff\xfe\0{1}\r\n".repeat(50);
            let _ = client.try_send(&nonsense).await;
            let _ = client.try_send(&garbage).await;
            while !client.lossy_line().await.is_empty() {}
        });
        let ended = timeout(Duration::from_secs(5), writing).await;
        assert!(ended.is_ok(), "{address} still listens to garbage");
    }
    assert!(
        send(&lab, ECHO, "Subject: alive\r\n\r\n")
            .await
            .starts_with("250")
    );
}

#[tokio::test]
async fn endless_lines_are_bounded() {
    let lab = lab(&[]).await;
    let mut client = smtp(&lab).await;
    client.send("X".repeat(100_000)).await;
    client.send("\r\n").await;
    assert!(client.reply().await.starts_with("500 5.5.6"));
    assert!(client.smtp("NOOP").await.starts_with("250"));

    for address in [lab.smtp_addr(), lab.imap_addr(), lab.pop3_addr()] {
        let mut client = Client::connect(address).await;
        let endless = async { while client.try_send(&[b'a'; 8192]).await.is_ok() {} };
        timeout(Duration::from_secs(5), endless).await.unwrap();
    }
}

#[tokio::test]
async fn literals_are_bounded_before_and_after_the_login() {
    let lab = lab(&[]).await;
    let mut imap = Imap::connect(&lab).await;
    imap.client.send("t LOGIN probe {400000000}\r\n").await;
    assert!(imap.client.line().await.starts_with("* BYE"));
    assert!(imap.client.is_closed().await);

    let mut imap = Imap::connect(&lab).await;
    imap.client.send("t LOGIN {5+}\r\nprobe {5}\r\n").await;
    assert!(imap.client.line().await.starts_with('+'));
    imap.client.send("probe\r\n").await;
    assert!(imap.answer().await.tagged.contains("OK"));
    imap.client.send("t APPEND INBOX {99999999999}\r\n").await;
    assert!(imap.client.line().await.starts_with("* BYE"));
}

#[tokio::test]
async fn deeply_nested_messages_do_no_harm() {
    let lab = lab(&["footer", "strip-attachments"]).await;
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(5_000);
    assert!(send(&lab, ECHO, &nested).await.starts_with("250"));
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(1).await;
    for what in ["BODYSTRUCTURE", "ENVELOPE", "BODY.PEEK[1.1.1]"] {
        let answer = imap.run(&format!("FETCH 1 {what}")).await;
        assert!(answer.tagged.contains("OK"), "{what}");
    }
    assert!(imap.run("SEARCH BODY nothing").await.tagged.contains("OK"));
}

#[tokio::test]
async fn international_addresses() {
    let lab = lab(&[]).await;
    let mail = "MAIL FROM:<gr\u{fc}\u{df}e@client.example> SMTPUTF8";
    let rcpt = "RCPT TO:<gr\u{fc}\u{df}e@echo.example>";
    let mut client = smtp(&lab).await;
    assert!(client.smtp(mail).await.starts_with("250"));
    assert!(client.smtp(rcpt).await.starts_with("250"));
    assert!(client.smtp("DATA").await.starts_with("354"));
    assert!(client.smtp("Subject: x\r\n\r\n.").await.starts_with("250"));
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(1).await;
    assert!(imap.messages().await[0].contains("for <gr\u{fc}\u{df}e@echo.example>;"));
}

#[tokio::test]
async fn a_thousand_idle_connections() {
    let lab = lab(&[]).await;
    let mut clients = Vec::new();
    for _ in 0..1000 {
        clients.push(Client::connect(lab.smtp_addr()).await);
    }
    for client in &mut clients {
        assert!(client.line().await.starts_with("220"));
    }
    assert!(
        send(&lab, ECHO, "Subject: among them\r\n\r\n")
            .await
            .starts_with("250")
    );
    Imap::open(&lab).await.await_messages(1).await;
    timeout(Duration::from_secs(5), lab.stop()).await.unwrap();
    assert!(clients[999].is_closed().await);
}

#[tokio::test]
async fn a_taken_port_says_which_and_what_to_do() {
    let lab = lab(&[]).await;
    let config = LabConfig {
        imap_port: lab.imap_addr().port(),
        ..LabConfig::default()
    };
    let error = Lab::start(config).await.err().unwrap().to_string();
    assert!(error.contains(&lab.imap_addr().to_string()), "{error}");
    assert!(error.contains("--imap-port"), "{error}");
}

#[tokio::test]
async fn stopping_frees_the_ports() {
    let lab = lab(&["delay=1h"]).await;
    send(&lab, ECHO, "Subject: waiting\r\n\r\n").await;
    let smtp_port = lab.smtp_addr().port();
    timeout(Duration::from_secs(5), lab.stop()).await.unwrap();
    let config = LabConfig {
        smtp_port,
        ..LabConfig::default()
    };
    Lab::start(config).await.unwrap().stop().await;
}
