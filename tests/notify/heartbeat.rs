//! The heartbeat: calls while all is well, none while it is not.

use std::time::Duration;

use mailrobin::config::plan::Heartbeat;
use mailrobin::service::notify::beat;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::peer::{Does, Peer};
use crate::stage::{patience, secret};

const OFTEN: Duration = Duration::from_millis(20);

fn start(
    peer: &Peer,
    every: Duration,
    is_well: bool,
) -> (watch::Sender<bool>, CancellationToken, JoinSet<()>) {
    let heartbeat = Heartbeat {
        url: secret(&peer.url("/ping/s3cret")),
        every,
    };
    let (well, told) = watch::channel(is_well);
    let stop = CancellationToken::new();
    let mut task = JoinSet::new();
    task.spawn(beat(heartbeat, told, stop.clone()));
    (well, stop, task)
}

#[tokio::test]
async fn it_calls_only_while_all_is_well() {
    let peer = Peer::start([Does::answers("200 OK", "")]).await;
    let (well, stop, mut task) = start(&peer, OFTEN, false);
    tokio::time::sleep(10 * OFTEN).await;
    assert!(peer.heard().is_empty());
    well.send(true).unwrap();
    let heard = peer.hears(3).await;
    assert_eq!(heard[0].line, "GET /ping/s3cret HTTP/1.1");
    well.send(false).unwrap();
    // One may be under way.
    tokio::time::sleep(5 * OFTEN).await;
    let before = peer.heard().len();
    tokio::time::sleep(10 * OFTEN).await;
    assert_eq!(peer.heard().len(), before);
    well.send(true).unwrap();
    peer.hears(before + 2).await;
    stop.cancel();
    patience(task.join_next()).await.unwrap().unwrap();
}

#[tokio::test]
async fn however_often_things_change_there_is_no_burst() {
    let peer = Peer::start([Does::answers("200 OK", "")]).await;
    let (well, _stop, mut task) = start(&peer, Duration::from_hours(1), true);
    peer.hears(1).await;
    for turn in 0..200 {
        well.send(turn % 2 == 1).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Whoever told it is gone: it must not go on by itself.
    drop(well);
    patience(task.join_next()).await.unwrap().unwrap();
    assert_eq!(peer.heard().len(), 1);
}

#[tokio::test]
async fn a_call_that_fails_is_made_again() {
    let script = [
        Does::answers("500 Internal Server Error", ""),
        Does::HangsUp,
        Does::Hangs,
        Does::answers("200 OK", ""),
    ];
    let peer = Peer::start(script).await;
    let (_well, _stop, _task) = start(&peer, 10 * OFTEN, true);
    peer.hears(6).await;
}
