//! Faults of the mailbox as IMAP and POP3 clients meet them.

use std::time::Duration;

use tokio::{net::TcpStream, time::Instant};

use crate::client::{Client, ECHO, Imap, SIMPLE, lab, send};

#[tokio::test]
async fn capabilities_vanish_with_their_commands() {
    let lab = lab(&[
        "no-idle",
        "no-uidplus",
        "no-special-use",
        "no-move",
        "no-starttls",
    ])
    .await;
    send(&lab, ECHO, SIMPLE).await;
    let mut imap = Imap::open(&lab).await;
    let offered = imap.run("CAPABILITY").await.untagged;
    for name in ["IDLE", "UIDPLUS", "SPECIAL-USE", "MOVE", "STARTTLS"] {
        assert!(!offered.contains(name), "{name} in {offered}");
    }
    assert!(!imap.run("LIST \"\" *").await.untagged.contains("\\Junk"));
    assert!(imap.run("IDLE").await.tagged.contains("BAD"));
    assert!(imap.run("UID EXPUNGE 1:*").await.tagged.contains("BAD"));
    assert!(imap.run("UID MOVE 1:* Trash").await.tagged.contains("BAD"));
    assert!(imap.run("STARTTLS").await.tagged.contains("BAD"));
    let copied = imap.run("UID COPY 1:* Trash").await.tagged;
    assert!(copied.contains("OK") && !copied.contains("COPYUID"));
}

#[tokio::test]
async fn silent_idle_announces_nothing() {
    let lab = lab(&["silent-idle"]).await;
    let mut silent = Imap::open(&lab).await;
    silent.client.send("t IDLE\r\n").await;
    assert!(silent.client.line().await.starts_with('+'));
    send(&lab, ECHO, SIMPLE).await;
    // Once another session sees the message, this one would have been told.
    Imap::open(&lab).await.run("NOOP").await;
    silent.client.send("DONE\r\n").await;
    let answer = silent.answer().await;
    assert_eq!(answer.untagged, "");
    assert!(silent.run("NOOP").await.untagged.contains("* 1 EXISTS"));
}

#[tokio::test]
async fn late_idle_announces_later() {
    let lab = lab(&["late-idle=120ms"]).await;
    let mut imap = Imap::open(&lab).await;
    imap.client.send("t IDLE\r\n").await;
    assert!(imap.client.line().await.starts_with('+'));
    let start = Instant::now();
    send(&lab, ECHO, SIMPLE).await;
    assert_eq!(imap.client.line().await, "* 1 EXISTS\r\n");
    assert!(start.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn imap_no_and_login_refused() {
    let lab = lab(&["imap-no=SELECT,first=1", "login-refused,first=1"]).await;
    let mut imap = Imap::connect(&lab).await;
    let refused = imap.run("LOGIN probe probe").await.tagged;
    assert!(refused.starts_with("t NO [AUTHENTICATIONFAILED]"));
    assert!(imap.run("LOGIN probe probe").await.tagged.contains("OK"));
    assert!(imap.run("SELECT INBOX").await.tagged.starts_with("t NO"));
    assert!(imap.run("SELECT INBOX").await.tagged.starts_with("t OK"));
    lab.control().command("add imap-no=FETCH").unwrap();
    assert!(
        imap.run("UID FETCH 1:* UID")
            .await
            .tagged
            .starts_with("t NO")
    );
    lab.control().command("clear").unwrap();
    lab.control().command("add login-refused").unwrap();
    let mut pop3 = Client::connect(lab.pop3_addr()).await;
    pop3.line().await;
    pop3.pop3("USER probe").await;
    assert!(pop3.pop3("PASS probe").await.starts_with("-ERR [AUTH]"));
}

#[tokio::test]
async fn imap_down_closes_refuses_and_comes_back() {
    let lab = lab(&[]).await;
    let mut imap = Imap::open(&lab).await;
    lab.control().command("add imap-down=1h").unwrap();
    assert!(imap.client.is_closed().await);
    // The sessions end just before the port closes.
    let refused = async {
        while let Ok(stream) = TcpStream::connect(lab.imap_addr()).await {
            drop(stream);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused)
        .await
        .unwrap();
    assert!(
        lab.control()
            .command("status")
            .unwrap()
            .contains("IMAP down")
    );
    assert_eq!(
        lab.control().command("clear imap-down").unwrap(),
        "cleared 1"
    );
    let back = async {
        while TcpStream::connect(lab.imap_addr()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), back)
        .await
        .unwrap();
    Imap::open(&lab).await;

    let start = Instant::now();
    let mut imap = Imap::open(&lab).await;
    lab.control().command("add imap-down=100ms").unwrap();
    assert!(imap.client.is_closed().await);
    let back = async {
        loop {
            if let Ok(stream) = TcpStream::connect(lab.imap_addr()).await
                && start.elapsed() >= Duration::from_millis(100)
            {
                break drop(stream);
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), back)
        .await
        .unwrap();
    assert!(lab.control().command("status").unwrap().contains("IMAP up"));
}

#[tokio::test]
async fn uidvalidity_changes_and_uids_begin_anew() {
    let lab = lab(&[]).await;
    for _ in 0..2 {
        send(&lab, ECHO, SIMPLE).await;
    }
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(2).await;
    imap.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    imap.run("EXPUNGE").await;
    let validity = |answer: &str| {
        let (_, rest) = answer.split_once("[UIDVALIDITY ").unwrap();
        rest.split_once(']').unwrap().0.to_owned()
    };
    let before = imap.run("SELECT INBOX").await.untagged;
    assert!(before.contains("[UIDNEXT 3]"));
    lab.control().command("add uidvalidity").unwrap();
    let answer = imap.run("NOOP").await;
    assert!(answer.untagged.contains("* BYE"), "{}", answer.untagged);
    let mut imap = Imap::open(&lab).await;
    let after = imap.run("SELECT INBOX").await.untagged;
    assert!(after.contains("[UIDNEXT 2]"));
    assert_ne!(validity(&before), validity(&after));
}

#[tokio::test]
async fn foreign_messages_come_fast() {
    let lab = lab(&[]).await;
    let mut imap = Imap::open(&lab).await;
    lab.control().command("add foreign=5000").unwrap();
    imap.await_messages(5000).await;
    let last = imap.run("UID FETCH 5000:* BODY.PEEK[HEADER]").await;
    assert_eq!(last.literals.len(), 1);
    assert!(last.literals[0].contains("Subject: Private letter"));
}

#[tokio::test]
async fn pop3_faults() {
    let lab = lab(&["in-use=2", "no-top", "no-uidl", "no-starttls"]).await;
    for expected in ["-ERR [IN-USE]", "-ERR [IN-USE]", "+OK"] {
        let mut pop3 = Client::connect(lab.pop3_addr()).await;
        pop3.line().await;
        let capabilities = pop3.pop3_listing("CAPA").await;
        for name in ["TOP", "UIDL", "STLS"] {
            assert!(!capabilities.contains(name));
        }
        assert!(pop3.pop3("STLS").await.starts_with("-ERR"));
        assert!(pop3.pop3("USER probe").await.starts_with("+OK"));
        assert!(pop3.pop3("PASS probe").await.starts_with(expected));
        if expected == "+OK" {
            assert!(
                pop3.pop3("TOP 1 0")
                    .await
                    .starts_with("-ERR TOP is not offered")
            );
            assert!(
                pop3.pop3("UIDL")
                    .await
                    .starts_with("-ERR UIDL is not offered")
            );
        }
    }
}
