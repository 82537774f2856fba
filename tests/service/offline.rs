//! A machine that has lost its network says so once, and blames no gateway for it.

use std::net::TcpListener;

use crate::bed::{Bed, ROUTE};
use crate::robin::until;

/// A port on which nobody listens.
fn refused() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Two routes through two gateways that are not there, and a reference on this port.
fn bed(reference: u16) -> (Bed, [String; 2]) {
    let routes = ROUTE.replace("\"lab\"", "\"second\"");
    let routes = ROUTE.to_owned() + &routes.replace("routes.loop", "routes.other");
    let bed = Bed::with(&routes);
    let there = format!("port = {}\ntls = \"none\"\nconnections", bed.smtp.port());
    let away = format!("port = {}\ntls = \"none\"\nconnections", refused());
    bed.change(&there, &away);
    let second = format!(
        "[gateways.second]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n[mailboxes.imap]",
        refused()
    );
    bed.change("[mailboxes.imap]", &second);
    let listen = format!("listen = \"none\"\nuplink = [\"127.0.0.1:{reference}\"]");
    bed.change("listen = \"none\"", &listen);
    (bed, [away, there])
}

#[test]
fn it_is_told_once_and_no_route_goes_down() {
    let (bed, [away, there]) = bed(refused());
    let robin = bed.start();
    until("many have failed", || {
        ["loop", "other"]
            .iter()
            .all(|route| bed.history.settled(route, "plain").len() >= 5)
    });
    for probe in bed.history.settled("loop", "plain") {
        assert_eq!(
            (&probe["code"], &probe["verdict"]),
            (&"prober-offline".into(), &"unknown".into())
        );
    }
    until("it is told", || !bed.post.of("trouble").is_empty());
    let notices = bed.post.notices();
    assert_eq!(notices.len(), 1, "{notices:#?}");
    let title = notices[0]["title"].to_string();
    assert!(title.contains("this machine has no network"), "{title}");
    bed.change(&away, &there);
    until("it is told that it is over", || {
        !bed.post.of("trouble-over").is_empty()
    });
    until("it is delivered", || {
        bed.history
            .settled("loop", "plain")
            .iter()
            .any(|it| it["outcome"] == "delivered")
    });
    robin.stop();
}

#[test]
fn where_a_reference_answers_the_gateways_are_down() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (bed, _) = bed(listener.local_addr().unwrap().port());
    let robin = bed.start();
    until("both are told of", || bed.post.of("failed").len() >= 2);
    assert!(bed.post.of("trouble").is_empty());
    robin.stop();
}
