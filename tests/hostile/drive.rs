//! Gives bytes to the code that reads what strangers send, one function a fuzz target: `fuzz/fuzz_targets/` includes this
//! file, and `corpus.rs` replays every kept input through it.
//!
//! What must hold for any bytes: no panic, and an end. A few cheap truths are asserted on top.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mailrobin::clock::Stamp;
use mailrobin::config;
use mailrobin::config::plan::{Mailbox, Plan};
use mailrobin::config::secret::Hidden;
use mailrobin::judge::evidence;
use mailrobin::mailbox::{self, Event, Interest, Sweep, Wires};
use mailrobin::mime;
use mailrobin::probe::mail::Mail;
use mailrobin::probe::manifest::TextDigest;
use mailrobin::probe::message::recognise;
use mailrobin::probe::tag::{Instance, Signer};
use mailrobin::smtp::conversation::{Capabilities, Conversation};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A target takes any bytes.
pub(crate) type Target = fn(&[u8]);

/// Every target by the name of its file and of its corpus.
#[allow(dead_code, reason = "each fuzz target uses its own alone")]
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("smtp_reply", smtp_reply),
    ("imap", imap),
    ("pop3", pop3),
    ("headers", headers),
    ("tags", tags),
];

/// Longer inputs find nothing that shorter ones do not; the large ones are the business of the hostile peers.
const LONGEST: usize = 48 * 1024;
/// No peer here keeps anybody waiting, so this is never reached.
const LIMIT: Duration = Duration::from_secs(5);
/// A session that has seen everything and waits for news is left after this.
const QUIET: Duration = Duration::from_millis(100);

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
    static PLAN: Plan = plan();
}

/// The corpora hold tags that this one verifies.
fn signer() -> Signer {
    Signer::new(b"a key for tests", Instance::named("fuzz"))
}

/// A gateway that says these bytes, as a greeting and its answers, and hangs up.
pub(crate) fn smtp_reply(bytes: &[u8]) {
    let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (ours, mut theirs) = tokio::io::duplex(LONGEST + 1);
            theirs.write_all(bytes).await.unwrap();
            drop(theirs);
            let mut conversation = Conversation::new(ours, true);
            conversation.hide(Hidden::of("probe", "secret"));
            let mut heard = 0;
            while let Ok(reply) = conversation.reply(LIMIT).await {
                assert!((0..1000).contains(&reply.code));
                heard += reply.raw.len();
                assert!(
                    heard <= 3 * bytes.len(),
                    "a reply longer than what was said"
                );
                let _ = (reply.enhanced(), reply.text());
                let can = Capabilities::of(&reply);
                let _ = (can.starttls(), can.auth(), can.size(), can.size_limit);
                assert!(!(reply.is_positive() && reply.is_permanent()));
            }
            let _ = conversation.is_stale().await;
            assert!(conversation.take_transcript().len() <= 500);
            let _ = conversation.into_stream();
        });
    });
}

/// An IMAP server that says these bytes, whatever it is asked, and hangs up.
pub(crate) fn imap(bytes: &[u8]) {
    collect("imap", bytes);
}

/// A POP3 server that says these bytes, whatever it is asked, and hangs up.
pub(crate) fn pop3(bytes: &[u8]) {
    collect("pop3", bytes);
}

/// A message, read as the judge reads it.
pub(crate) fn headers(bytes: &[u8]) {
    let Some(mail) = Mail::parse(bytes) else {
        return;
    };
    for field in mail.fields() {
        assert!(field.raw.len() <= bytes.len());
        let _ = field.is("Received");
    }
    let _ = (mail.subject(), mail.received_at(), mail.field("received"));
    let _ = (mail.media_type(), mail.media_parameter("report-type"));
    for leaf in mail.leaves() {
        let _ = leaf.content.bytes().len();
        if let Some(text) = leaf.content.text() {
            let _ = TextDigest::of_payload(&text);
        }
    }
    let _ = evidence::bounce(bytes);
    let way = evidence::hops(&mail, |field| field.contains(&b'x'));
    assert!(way.hops.len() <= 100);
    for hop in &way.hops {
        let told = [&hop.from, &hop.by, &hop.protocol, &hop.tls, &hop.unreadable];
        for text in told.into_iter().flatten() {
            assert!(text.chars().count() <= 1000 && !text.contains(char::is_control));
        }
        assert!(hop.at.is_some() != hop.unreadable.is_some());
    }
    let stated = evidence::authentication(&mail, &[]);
    assert!(stated.results.len() <= 50);
    let _ = evidence::authentication(&mail, &["mx.example".into()]);
    let _ = mime::parse(bytes).is_some();
}

/// A message, or any text, that may carry a tag.
pub(crate) fn tags(bytes: &[u8]) {
    let signer = signer();
    if let Some(tag) = signer.find(bytes) {
        let word = tag.to_string();
        assert_eq!(signer.verify(word.as_bytes()), Some(tag));
        let _ = (tag.id(), tag.instance(), tag.minted_at());
    }
    let found = recognise(bytes, &signer);
    assert_eq!(found.tag.is_some(), !found.carriers.is_empty());
    let other = Signer::new(b"another key", Instance::named("fuzz"));
    assert_eq!(recognise(bytes, &other).tag, None, "a forged tag");
}

fn plan() -> Plan {
    let mailbox = |protocol| {
        format!(
            "[mailboxes.{protocol}]\nprotocol = \"{protocol}\"\nhost = \"127.0.0.1\"\ntls = \"none\"\n\
             username = \"probe\"\npassword = \"probe\"\ninsecure_auth = true\ntimeout = \"5s\"\n\
             [routes.{protocol}]\ngateway = \"edge\"\nmailbox = \"{protocol}\"\n\
             from = \"a@example.com\"\nto = \"b@example.com\"\n"
        )
    };
    let text = format!(
        "[gateways.edge]\nhost = \"127.0.0.1\"\ntls = \"none\"\n{}{}",
        mailbox("imap"),
        mailbox("pop3")
    );
    config::parse(&text, "a config", Path::new("")).unwrap().0
}

/// Watches a mailbox whose server says `bytes`, until everything said is read.
fn collect(protocol: &str, bytes: &[u8]) {
    let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
    let mailbox = PLAN.with(|plan| {
        let mut mailboxes = plan.mailboxes.values();
        let found = mailboxes.find(|mailbox| mailbox.name.as_str() == protocol);
        Mailbox::clone(found.unwrap())
    });
    RUNTIME.with(|runtime| runtime.block_on(watched(mailbox, bytes)));
}

async fn watched(mut mailbox: Mailbox, bytes: &[u8]) {
    let listener = TcpListener::bind(fresh_address()).await.unwrap();
    let address = listener.local_addr().unwrap();
    mailbox.endpoint.host = address.ip().to_string();
    mailbox.endpoint.port = address.port();
    let began = Stamp::now().mono;
    let (_interest, interest) = watch::channel(Interest {
        largest: 0,
        youngest: None,
        oldest: Some(began),
        due: None,
    });
    let (to_dispose, dispose) = mpsc::unbounded_channel();
    let (events, mut seen) = mpsc::channel(256);
    let cancel = CancellationToken::new();
    let wires = Wires {
        interest,
        dispose,
        events,
        cancel: cancel.clone(),
    };
    let may_idle = bytes
        .windows(4)
        .any(|word| word.eq_ignore_ascii_case(b"IDLE"));
    let speaking = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        // It all fits into the socket's buffers; a client that has gone already is no failure.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        stream
    };
    let hearing = async {
        let mut end = None;
        loop {
            let event = match end {
                None => seen.recv().await,
                Some(quiet) => timeout(quiet, seen.recv()).await.unwrap_or_default(),
            };
            match event {
                Some((_, Event::Sighted(sighting))) => {
                    assert!(sighting.recognised.tag.is_some());
                    let _ = to_dispose.send(sighting.place.clone());
                }
                Some((_, Event::Uncleaned(_))) => {}
                Some((_, Event::Looked(_))) if may_idle => end = Some(QUIET),
                Some((_, Event::Looked(_) | Event::Blind(_))) | None => break,
            }
        }
        cancel.cancel();
    };
    let all = async {
        let watching = mailbox::watch(Arc::new(mailbox), signer(), Sweep::default(), wires);
        tokio::join!(watching, speaking, hearing);
    };
    timeout(LIMIT, all).await.expect("a session without an end");
}

/// A loopback address of its own for each session, so that what the last ones left behind in the kernel does not pile up.
fn fresh_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, a, b, c] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    (Ipv4Addr::new(127, a, b, c.max(1)), 0).into()
}
