//! Tests that somebody asks for: one cycle of a route at a time, however often they ask.

use std::collections::BTreeSet;
use std::thread;

use serde_json::Value;

use crate::bed::{Bed, ROUTE};
use crate::http::ask;
use crate::robin::until;

const TOKEN: &str = "a-token-that-is-long-enough";

/// A bed whose service can be asked; nothing is due by itself.
fn bed(more: &str) -> Bed {
    let routes = ROUTE.replace("every = \"1s\"\n", "cron = \"0 0 29 2 *\"\n");
    let routes = routes.replace("\"plain\" }", "\"plain\" }, { payload = \"html\" }");
    let bed = Bed::with(&(routes.replace("routes.loop", "routes.other") + &routes));
    let listen = format!("listen = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\n{more}");
    bed.change("listen = \"none\"", &listen);
    bed
}

/// Asks for a test: the status, and the answer's body.
fn trigger(bed: &Bed, route: &str) -> (u16, Value) {
    let path = format!("/api/v1/routes/{route}/trigger");
    let (status, body) = ask(
        bed,
        "POST",
        &path,
        &format!("Authorization: Bearer {TOKEN}\r\n"),
    );
    (status, serde_json::from_str(&body).unwrap())
}

#[test]
fn whoever_asks_again_joins_what_is_under_way() {
    let bed = bed("");
    bed.fault("add delay=3s");
    let robin = bed.start();
    let answers: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| (0..10).map(|_| trigger(&bed, "loop")).collect::<Vec<_>>()))
            .collect();
        let answers = asking.into_iter().flat_map(|it| it.join().unwrap());
        answers.collect()
    });
    assert!(
        answers.iter().all(|(status, _)| *status == 202),
        "{answers:?}"
    );
    let due: BTreeSet<_> = answers
        .iter()
        .map(|(_, body)| body["due_at"].as_str().unwrap().to_owned())
        .collect();
    until("everything is settled", || {
        let probes = bed.history.probes();
        !probes.is_empty() && probes.iter().all(|it| !it["outcome"].is_null())
    });
    let probes = bed.history.probes();
    // On a slow machine the first cycle may be over before the last has asked.
    assert_eq!(probes.len(), 2 * due.len(), "{due:?}");
    assert!(due.len() < 20, "{due:?}");
    let sent: BTreeSet<_> = probes
        .iter()
        .map(|it| it["due_at"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(sent, due);
    // What is done is not joined.
    let (status, body) = trigger(&bed, "loop");
    assert_eq!(status, 202);
    assert!(!due.contains(body["due_at"].as_str().unwrap()));
    robin.stop();
    bed.settle();
    bed.nothing_amiss();
}

#[test]
fn what_there_is_no_room_for_is_refused() {
    let bed = bed("max_in_flight = 2\n");
    bed.fault("add delay=5s");
    let robin = bed.start();
    assert_eq!(trigger(&bed, "loop").0, 202);
    until("it is under way", || bed.smtp.taken().len() == 2);
    let (status, body) = trigger(&bed, "other");
    assert_eq!(status, 429, "{body}");
    let error = "route \"other\" cannot be tested now, as `max_in_flight` probes are under way";
    assert_eq!(body["error"], error);
    until("there is room", || trigger(&bed, "other").0 == 202);
    until("both are settled", || {
        bed.history.settled("loop", "plain").len() == 1
            && bed.history.settled("other", "plain").len() == 1
    });
    robin.stop();
    bed.settle();
    bed.nothing_amiss();
}
