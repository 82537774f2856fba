//! The mailbox without faults: what IMAP and POP3 sessions see of it, and of each other.

use crate::client::{Client, ECHO, Imap, MIXED, SIMPLE, lab, send};

async fn pop3(lab: &mailrobin::lab::Lab) -> Client {
    let mut client = Client::connect(lab.pop3_addr()).await;
    assert!(client.line().await.starts_with("+OK"));
    assert!(client.pop3("USER probe").await.starts_with("+OK"));
    client
}

#[tokio::test]
async fn sections_and_partial_fetches() {
    let lab = lab(&[]).await;
    send(&lab, ECHO, MIXED).await;
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(1).await;
    let whole = imap.messages().await.remove(0);
    let (header, body) = whole.split_once("\r\n\r\n").unwrap();

    let fetch = async |imap: &mut Imap, what: &str| imap.run(&format!("FETCH 1 {what}")).await;
    let answer = fetch(&mut imap, "BODY.PEEK[HEADER]").await;
    assert_eq!(answer.literals[0], format!("{header}\r\n\r\n"));
    let answer = fetch(&mut imap, "BODY.PEEK[TEXT]").await;
    assert_eq!(answer.literals[0], body);
    let answer = fetch(&mut imap, "BODY.PEEK[]<10.20>").await;
    assert!(answer.untagged.contains("BODY[]<10> {20}\r\n"));
    assert_eq!(answer.literals[0], whole[10..30]);
    let answer = fetch(&mut imap, "BODY.PEEK[]<900000.20>").await;
    assert!(answer.untagged.contains("BODY[]<900000> {0}\r\n"));
    let answer = fetch(&mut imap, "BODY.PEEK[HEADER.FIELDS (SUBJECT X-NONE)]").await;
    assert!(
        answer
            .untagged
            .contains("BODY[HEADER.FIELDS (SUBJECT X-NONE)] {")
    );
    assert_eq!(answer.literals[0], "Subject: With attachment\r\n\r\n");
    let answer = fetch(&mut imap, "(BODY.PEEK[1] BODY.PEEK[2.MIME] BODY.PEEK[3])").await;
    assert_eq!(answer.literals[0], "The wonderful body");
    assert!(answer.literals[1].contains("filename=\"a.zip\""));
    assert!(answer.untagged.contains("BODY[3] NIL"));
    let answer = fetch(&mut imap, "(UID FLAGS RFC822.SIZE INTERNALDATE)").await;
    assert!(
        answer
            .untagged
            .starts_with("* 1 FETCH (UID 1 FLAGS () RFC822.SIZE ")
    );
    assert!(answer.untagged.contains(" +0000\")"));
    let answer = fetch(&mut imap, "(ENVELOPE BODYSTRUCTURE)").await;
    assert!(
        answer
            .untagged
            .contains("\"With attachment\" ((NIL NIL \"probe\" \"lab.example\"))")
    );
    assert!(
        answer
            .untagged
            .contains("\"application\" \"zip\" (\"name\" \"a.zip\")")
    );
    assert!(
        answer
            .untagged
            .contains("\"mixed\" (\"boundary\" \"frontier\")")
    );
    let answer = fetch(&mut imap, "BODY[]").await;
    assert!(answer.untagged.contains("FLAGS (\\Seen)"));
}

#[tokio::test]
async fn sessions_see_each_other() {
    let lab = lab(&[]).await;
    let mut one = Imap::open(&lab).await;
    let mut two = Imap::open(&lab).await;
    for _ in 0..3 {
        send(&lab, ECHO, SIMPLE).await;
    }
    one.await_messages(3).await;
    two.await_messages(3).await;

    one.run("STORE 2 +FLAGS (\\Flagged keyword)").await;
    let seen = two.run("NOOP").await.untagged;
    assert_eq!(seen, "* 2 FETCH (UID 2 FLAGS (\\Flagged keyword))\r\n");

    two.client.send("t IDLE\r\n").await;
    assert!(two.client.line().await.starts_with('+'));
    one.run("UID STORE 1,3 +FLAGS.SILENT (\\Deleted)").await;
    let own = one.run("UID EXPUNGE 1:2").await.untagged;
    assert_eq!(own, "* 1 EXPUNGE\r\n", "message 3 is outside the set");
    loop {
        let line = two.client.line().await;
        if line == "* 1 EXPUNGE\r\n" {
            break;
        }
        assert!(line.contains("FETCH"), "{line}");
    }
    two.client.send("DONE\r\n").await;
    two.answer().await;
    let left = two.run("UID SEARCH ALL").await.untagged;
    assert_eq!(left, "* SEARCH 2 3\r\n");
}

#[tokio::test]
async fn a_session_that_fell_far_behind_catches_up() {
    let lab = lab(&[]).await;
    lab.control().command("add foreign=6000").unwrap();
    let mut behind = Imap::open(&lab).await;
    let mut busy = Imap::open(&lab).await;
    busy.run("UID STORE 2:5999 +FLAGS.SILENT (\\Deleted)").await;
    let own = busy.run("EXPUNGE").await.untagged;
    assert_eq!(own.lines().count(), 5998);
    send(&lab, ECHO, SIMPLE).await;
    behind.await_messages(3).await;
    let left = behind.run("UID SEARCH ALL").await.untagged;
    assert_eq!(left, "* SEARCH 1 6000 6001\r\n");
}

#[tokio::test]
async fn asterisk_means_the_last_message() {
    let lab = lab(&[]).await;
    let mut imap = Imap::open(&lab).await;
    assert_eq!(imap.run("UID FETCH 1:* UID").await.untagged, "");
    lab.control().command("add foreign=3").unwrap();
    imap.await_messages(3).await;
    let fetch = async |imap: &mut Imap, set: &str| {
        let answer = imap.run(&format!("UID FETCH {set} UID")).await;
        answer.untagged.lines().count()
    };
    assert_eq!(fetch(&mut imap, "2:*").await, 2);
    assert_eq!(fetch(&mut imap, "99:*").await, 1, "the last old message");
    assert_eq!(fetch(&mut imap, "99").await, 0);
    assert_eq!(fetch(&mut imap, "1,2:3,3").await, 3);
}

#[tokio::test]
async fn folders_copies_and_moves() {
    let lab = lab(&[]).await;
    lab.control().command("add foreign=3").unwrap();
    let mut imap = Imap::open(&lab).await;
    let list = imap.run("LIST \"\" \"*\"").await.untagged;
    assert!(list.contains("\"/\" \"INBOX\"") && list.contains("\\Junk) \"/\" \"Junk\""));
    assert!(imap.run("CREATE Archive").await.tagged.contains("OK"));
    let moved = imap.run("UID MOVE 1:2 Trash").await;
    let (code, expunged) = moved.untagged.split_once("\r\n").unwrap();
    assert!(code.starts_with("* OK [COPYUID ") && code.contains(" 1:2 1:2]"));
    assert_eq!(expunged, "* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n");
    assert!(
        imap.run("COPY 1 Archive")
            .await
            .tagged
            .contains(" 3 1] COPY")
    );
    let missing = imap.run("COPY 1 Nowhere").await.tagged;
    assert!(missing.starts_with("t NO [TRYCREATE]"));
    let status = imap
        .run("STATUS Trash (MESSAGES UIDNEXT UNSEEN)")
        .await
        .untagged;
    assert_eq!(
        status,
        "* STATUS \"Trash\" (MESSAGES 2 UIDNEXT 3 UNSEEN 2)\r\n"
    );

    imap.client.send("t APPEND Archive (\\Seen) {18}\r\n").await;
    assert!(imap.client.line().await.starts_with('+'));
    imap.client.send("Subject: mine\r\n\r\nx\r\n").await;
    assert!(imap.answer().await.tagged.contains("APPENDUID"));
    imap.run("EXAMINE Archive").await;
    assert!(
        imap.run("STORE 1 +FLAGS (\\Seen)")
            .await
            .tagged
            .starts_with("t NO [READ-ONLY]")
    );
    assert_eq!(
        imap.run("SEARCH SEEN SUBJECT MINE").await.untagged,
        "* SEARCH 2\r\n"
    );
    assert_eq!(
        imap.run("SEARCH UNSEEN HEADER Subject letter")
            .await
            .untagged,
        "* SEARCH 1\r\n"
    );
    assert_eq!(
        imap.run("SEARCH SINCE 1-Jan-2100").await.untagged,
        "* SEARCH\r\n"
    );
}

#[tokio::test]
async fn pop3_holds_a_snapshot_and_deletes_at_quit() {
    let lab = lab(&[]).await;
    send(&lab, ECHO, SIMPLE).await;
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(1).await;

    let mut first = pop3(&lab).await;
    assert!(first.pop3("PASS probe").await.starts_with("+OK 1 messages"));
    let mut second = pop3(&lab).await;
    assert!(second.pop3("PASS probe").await.starts_with("-ERR [IN-USE]"));
    send(&lab, ECHO, MIXED).await;
    imap.await_messages(2).await;

    assert!(first.pop3("STAT").await.starts_with("+OK 1 "));
    let unique = first.pop3_listing("UIDL").await;
    assert_eq!(unique.lines().count(), 2);
    let whole = first.pop3_listing("RETR 1").await;
    assert!(
        whole.contains("\r\n..a line with a dot\r\n"),
        "dots are stuffed"
    );
    let top = first.pop3_listing("TOP 1 1").await;
    assert!(top.contains("The wonderful body") && !top.contains("a line with"));
    assert!(first.pop3("DELE 1").await.starts_with("+OK"));
    assert!(first.pop3("RETR 1").await.starts_with("-ERR"));
    assert_eq!(imap.run("NOOP").await.untagged, "", "not before QUIT");
    assert!(first.pop3("QUIT").await.starts_with("+OK"));
    assert!(first.is_closed().await);
    assert_eq!(imap.run("NOOP").await.untagged, "* 1 EXPUNGE\r\n");

    let mut aborted = pop3(&lab).await;
    assert!(aborted.pop3("PASS probe").await.starts_with("+OK 1"));
    assert!(aborted.pop3("DELE 1").await.starts_with("+OK"));
    assert!(aborted.pop3("RSET").await.starts_with("+OK"));
    assert!(aborted.pop3("QUIT").await.starts_with("+OK"));
    assert_eq!(imap.messages().await.len(), 1);
}
