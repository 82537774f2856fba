//! A message from gateway to mailbox, encrypted, over each protocol.

use crate::client::{Client, ECHO, Imap, SENDER, SIMPLE, lab, smtp};

#[tokio::test]
async fn smtp_to_imap_and_pop3_over_tls() {
    let lab = lab(&[]).await;
    let mut client = smtp(&lab).await;
    assert!(client.smtp("STARTTLS").await.starts_with("220"));
    let mut client = client.start_tls(lab.ca_pem()).await.unwrap();
    let early = client.smtp(&format!("MAIL FROM:<{SENDER}>")).await;
    assert!(early.starts_with("503"), "EHLO comes again after TLS");
    client.smtp("EHLO client.example").await;
    assert!(
        client
            .smtp("AUTH PLAIN AHByb2JlAHByb2Jl")
            .await
            .starts_with("235")
    );
    client
        .smtp(&format!("MAIL FROM:<{SENDER}> BODY=8BITMIME SMTPUTF8"))
        .await;
    client.smtp(&format!("RCPT TO:<{ECHO}>")).await;
    client.smtp("DATA").await;
    let stuffed = SIMPLE.replace("\r\n.", "\r\n..");
    client.send(format!("{stuffed}.\r\n")).await;
    assert!(client.reply().await.starts_with("250 2.0.0"));

    let mut imap = Imap::connect(&lab).await;
    assert!(imap.run("STARTTLS").await.tagged.contains("OK"));
    imap.client = imap.client.start_tls(lab.ca_pem()).await.unwrap();
    let offered = imap.run("CAPABILITY").await.untagged;
    assert!(!offered.contains("STARTTLS"));
    assert!(
        imap.run("AUTHENTICATE PLAIN AHByb2JlAHByb2Jl")
            .await
            .tagged
            .contains("OK")
    );
    imap.run("SELECT INBOX").await;
    imap.await_messages(1).await;
    let copy = imap.messages().await.remove(0);
    assert!(copy.ends_with(SIMPLE));
    assert!(copy.contains("with ESMTPSA id "));
    assert!(imap.run("LOGOUT").await.untagged.contains("BYE"));

    let mut pop3 = Client::connect(lab.pop3_addr()).await;
    pop3.line().await;
    assert!(pop3.pop3("STLS").await.starts_with("+OK"));
    let mut pop3 = pop3.start_tls(lab.ca_pem()).await.unwrap();
    assert!(!pop3.pop3_listing("CAPA").await.contains("STLS"));
    // user=probe^Aauth=Bearer probe^A^A
    let response = "dXNlcj1wcm9iZQFhdXRoPUJlYXJlciBwcm9iZQEB";
    assert!(
        pop3.pop3(&format!("AUTH XOAUTH2 {response}"))
            .await
            .starts_with("+OK 1")
    );
    let whole = pop3.pop3_listing("RETR 1").await;
    assert!(whole.replace("\r\n..", "\r\n.").ends_with(SIMPLE));
}
