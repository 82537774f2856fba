//! Many messages through many connections, collected and deleted by one IMAP session.
#![expect(
    clippy::unwrap_used,
    reason = "whatever goes wrong here fails the test"
)]

use std::{thread, time::Instant};

use mailrobin::lab::{Lab, LabConfig};
use tokio::{runtime, sync::oneshot, task::JoinSet};

use crate::client::{ECHO, Imap, SENDER, SIMPLE, smtp};

#[test]
fn everything_arrives_and_nothing_stays() {
    pump(2_000, 50);
}

/// `cargo test --release --test lab twenty_thousand -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, for release builds"]
fn twenty_thousand_messages() {
    pump(20_000, 50);
    let before = resident_kib();
    let start = Instant::now();
    pump(20_000, 50);
    let rate = 20_000.0 / start.elapsed().as_secs_f64();
    let after = resident_kib();
    println!("{rate:.0} messages/s; {before} KiB resident before, {after} KiB after");
    assert!(after < before + 32 * 1024, "memory grew");
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The lab has a thread of its own, as it would have a process of its own.
fn pump(messages: usize, connections: usize) {
    let (started, lab) = oneshot::channel();
    let (done, finished) = oneshot::channel::<()>();
    let serving = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let lab = Lab::start(LabConfig::default()).await.unwrap();
            let lab = std::sync::Arc::new(lab);
            started.send(std::sync::Arc::clone(&lab)).ok().unwrap();
            finished.await.unwrap();
        });
    });
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let lab = lab.await.unwrap();
        let mut senders = JoinSet::new();
        for _ in 0..connections {
            let lab = std::sync::Arc::clone(&lab);
            senders.spawn(async move {
                let mut client = smtp(&lab).await;
                for _ in 0..messages / connections {
                    let envelope = format!("MAIL FROM:<{SENDER}>\r\nRCPT TO:<{ECHO}>\r\nDATA\r\n");
                    client.send(envelope).await;
                    for code in ["250", "250", "354"] {
                        assert!(client.reply().await.starts_with(code));
                    }
                    let stuffed = SIMPLE.replace("\r\n.", "\r\n..");
                    client.send(format!("{stuffed}.\r\n")).await;
                    assert!(client.reply().await.starts_with("250"));
                }
            });
        }
        let mut imap = Imap::open(&lab).await;
        let (mut seen, mut next) = (0, 1);
        while seen < messages {
            let look = format!("UID FETCH {next}:* (UID BODY.PEEK[HEADER])");
            let found = imap.run(&look).await.literals.len();
            if found == 0 {
                imap.await_messages(1).await;
                continue;
            }
            seen += found;
            let last = next + found - 1;
            let mark = format!("UID STORE {next}:{last} +FLAGS.SILENT (\\Deleted)");
            imap.run(&mark).await;
            let gone = imap.run(&format!("UID EXPUNGE {next}:{last}")).await;
            assert_eq!(gone.untagged.matches("EXPUNGE\r\n").count(), found);
            imap.forget(found);
            next = last + 1;
        }
        while let Some(sent) = senders.join_next().await {
            sent.unwrap();
        }
        assert_eq!(seen, messages);
        let status = lab.control().command("status").unwrap();
        assert!(status.contains("INBOX: 0 messages"), "{status}");
    });
    done.send(()).unwrap();
    serving.join().unwrap();
}
