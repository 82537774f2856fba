//! Couriers: what they deliver in which order, what they say of it, and that none waits for another.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mailrobin::config::plan::{Alert, Quiet};
use mailrobin::probe::notice::Severity;
use mailrobin::service::notify::{Letter, Report, courier};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::peer::{Does, Heard, Peer};
use crate::stage::{notice, patience, webhook};

/// A courier at work.
struct Post {
    letters: mpsc::Sender<Letter>,
    reports: mpsc::UnboundedReceiver<Report>,
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Post {
    fn with(alert: Alert) -> Self {
        let (letters, inbox) = mpsc::channel(100);
        let (told, reports) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(courier(Arc::new(alert), inbox, told, stop.clone()));
        Self {
            letters,
            reports,
            stop,
            task,
        }
    }

    fn send(&self, id: u128, incident: u128, title: &str, severity: Severity) {
        let mut notice = notice(incident, title);
        notice.id = Uuid::from_u128(id);
        notice.severity = severity;
        let letter = Letter {
            notice,
            attempts: 0,
        };
        self.letters.try_send(letter).unwrap();
    }

    /// Which notice the next report is on, how often that was tried, and whether it has arrived.
    async fn report(&mut self) -> (u128, u32, bool) {
        match patience(self.reports.recv()).await.unwrap() {
            Report::Delivered { id, attempts, .. } => (id.as_u128(), attempts, true),
            Report::Failed {
                id, attempts, next, ..
            } => {
                assert!(next.is_some(), "given up");
                (id.as_u128(), attempts, false)
            }
        }
    }

    async fn ends(mut self) {
        drop(self.letters);
        patience(self.task.join_next()).await.unwrap().unwrap();
    }
}

fn titles(heard: &[Heard]) -> Vec<String> {
    let title = |heard: &Heard| {
        let notice: serde_json::Value = serde_json::from_str(&heard.body).unwrap();
        notice["title"].as_str().unwrap().to_owned()
    };
    heard.iter().map(title).collect()
}

#[tokio::test]
async fn what_fails_is_tried_again_until_it_arrives() {
    let script = [
        Does::answers("500 Internal Server Error", ""),
        Does::with("429 Too Many Requests", "Retry-After: 1\r\n", ""),
        Does::answers("200 OK", ""),
    ];
    let peer = Peer::start(script).await;
    let mut post = Post::with(webhook(&peer.url("/")));
    post.send(1, 1, "down", Severity::Critical);
    assert_eq!(post.report().await, (1, 1, false));
    // What it has already is not taken in once more.
    post.send(1, 1, "down", Severity::Critical);
    post.send(2, 1, "up", Severity::Critical);
    assert_eq!(post.report().await, (1, 2, false));
    assert_eq!(post.report().await, (1, 3, true));
    assert_eq!(post.report().await, (2, 1, true));
    post.ends().await;
    assert_eq!(titles(&peer.heard()), ["down", "down", "down", "up"]);
}

#[tokio::test]
async fn a_notice_that_is_refused_holds_up_its_own_incident_alone() {
    let peer = Peer::with(None, |heard| {
        if heard.body.contains("poison") {
            Does::answers("400 Bad Request", "no")
        } else {
            Does::answers("200 OK", "")
        }
    })
    .await;
    let mut post = Post::with(webhook(&peer.url("/")));
    post.send(1, 1, "poison", Severity::Critical);
    post.send(2, 1, "behind it", Severity::Critical);
    post.send(3, 2, "another", Severity::Critical);
    assert_eq!(post.report().await, (1, 1, false));
    assert_eq!(post.report().await, (3, 1, true));
    assert_eq!(titles(&peer.heard()), ["poison", "another"]);
}

#[tokio::test]
async fn who_hangs_delays_nobody_else_and_can_be_stopped() {
    let (hanging, fine) = tokio::join!(
        Peer::start([Does::Hangs]),
        Peer::start([Does::answers("200 OK", "")])
    );
    let stuck = Post::with(webhook(&hanging.url("/")));
    let mut post = Post::with(webhook(&fine.url("/")));
    stuck.send(1, 1, "down", Severity::Critical);
    hanging.hears(1).await;
    for id in 1..=3 {
        post.send(id, 1, "down", Severity::Critical);
        assert_eq!(post.report().await, (id, 1, true));
    }
    // While it hangs, it takes in more than its channel holds.
    for id in 2..=300 {
        let mut letter = Letter {
            notice: notice(id, "down"),
            attempts: 0,
        };
        while let Err(mpsc::error::TrySendError::Full(back)) = stuck.letters.try_send(letter) {
            letter = back;
            tokio::task::yield_now().await;
        }
    }
    let Post {
        letters,
        mut reports,
        stop,
        mut task,
    } = stuck;
    stop.cancel();
    patience(task.join_next()).await.unwrap().unwrap();
    assert!(reports.try_recv().is_err());
    drop(letters);
}

#[tokio::test]
async fn in_quiet_hours_only_what_is_critical_goes_out() {
    let peer = Peer::start([Does::answers("200 OK", "")]).await;
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let mut alert = webhook(&peer.url("/"));
    alert.quiet = Some(Quiet {
        from: (&now - Duration::from_hours(1)).time(),
        to: (&now + Duration::from_hours(1)).time(),
        zone: TimeZone::UTC,
    });
    let mut post = Post::with(alert);
    post.send(1, 1, "slow", Severity::Warning);
    post.send(2, 2, "worse", Severity::Warning);
    post.send(3, 3, "leak", Severity::Critical);
    post.send(4, 2, "worst", Severity::Critical);
    let mut reports = Vec::new();
    for _ in 0..3 {
        reports.push(post.report().await);
    }
    assert_eq!(titles(&peer.heard()), ["leak", "worse", "worst"]);
    assert_eq!(reports, [(3, 1, true), (2, 1, true), (4, 1, true)]);
}
