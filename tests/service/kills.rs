//! `kill -9` at each moment at which something is known that is not kept yet, or kept and not done yet.

use crate::bed::Bed;
use crate::robin::until;
use crate::wire::{Said, Stop, When};

/// One route with a mailbox of this protocol, tested every second.
fn route(protocol: &str) -> String {
    format!(
        "[routes.loop]\ngateway = \"lab\"\nmailbox = \"{protocol}\"\nbounce_mailbox = \"{protocol}\"\nfrom = \"probe@lab.example\"\n\
         to = \"loop@echo.example\"\nevery = \"1s\"\ndeadline = \"10s\"\nblind_grace = \"10s\"\n\
         tests = [{{ payload = \"plain\" }}]\n"
    )
}

const PROTOCOLS: [&str; 2] = ["imap", "pop3"];

/// Kills it where the conversation stands still, starts it again, and looks at what became of everything.
fn killed_at(protocol: &str, stop: impl Fn(&Bed) -> Stop) -> (Bed, Option<uuid::Uuid>) {
    let bed = Bed::with(&route(protocol));
    let stop = stop(&bed);
    let robin = bed.start();
    let caught = stop.met();
    robin.kill();
    let message = caught.message;
    caught.cut();
    bed.settle();
    (bed, message)
}

/// The probe that was handed over when it was killed is recorded by the wall clock, as the copy that came.
fn is_by_the_wall_clock(bed: &Bed, message: Option<uuid::Uuid>) {
    let record = bed.history.probe(message.unwrap());
    assert_eq!(record["outcome"], "delivered", "{record}");
    assert_eq!(record["clock"], "wall", "{record}");
    assert!(record["copies"][0]["delivered_at"].is_string());
}

#[test]
fn when_the_gateway_is_called() {
    for protocol in PROTOCOLS {
        let (bed, _) = killed_at(protocol, |bed| {
            bed.smtp
                .stop(When::Before, |_, said| matches!(said, Said::Connected))
        });
        let probes = bed.as_sent();
        let unfinished = probes.values().filter(|it| it["outcome"] == "unfinished");
        assert!(unfinished.count() >= 1, "it was kept before it called");
    }
}

#[test]
fn after_mail() {
    for protocol in PROTOCOLS {
        let (bed, _) = killed_at(protocol, |bed| {
            bed.smtp.stop(
                When::After,
                |_, said| matches!(said, Said::Client(line) if line.starts_with("MAIL FROM")),
            )
        });
        let probes = bed.as_sent();
        assert!(probes.values().any(|it| it["outcome"] == "unfinished"));
    }
}

#[test]
fn inside_of_the_message() {
    for protocol in PROTOCOLS {
        let (bed, _) = killed_at(protocol, |bed| {
            bed.smtp.stop(
                When::After,
                |_, said| matches!(said, Said::Client(line) if line.starts_with("Message-ID:")),
            )
        });
        let (probes, whole) = (bed.nothing_amiss(), bed.smtp.whole());
        let mut cut = 0;
        for (id, record) in &probes {
            if whole.contains_key(id) {
                assert_eq!(record["outcome"], "delivered", "{record}");
                continue;
            }
            // The system may have taken the dot from us by then, though it never came to the gateway.
            cut += 1;
            let is_known = record["outcome"] == "unfinished" || record["code"] == "reply-lost";
            assert!(is_known, "{record}");
        }
        assert!(cut > 0);
    }
}

/// The reply to a message, of the connection on which the first dot was said.
fn reply(bed: &Bed, when: When) -> Stop {
    let mut of = None;
    bed.smtp.stop(when, move |number, said| match said {
        Said::Client(".") if of.is_none() => {
            of = Some(number);
            false
        }
        Said::Server(line) => {
            // The dot is said to the gateway before its reply can come.
            of.is_none_or(|of| of == number) && line.contains("queued")
        }
        Said::Connected | Said::Client(_) => false,
    })
}

#[test]
fn between_the_dot_and_its_reply() {
    for protocol in PROTOCOLS {
        let (bed, message) = killed_at(protocol, |bed| reply(bed, When::Before));
        bed.as_sent();
        is_by_the_wall_clock(&bed, message);
    }
}

#[test]
fn after_the_reply() {
    for protocol in PROTOCOLS {
        let (bed, message) = killed_at(protocol, |bed| reply(bed, When::After));
        bed.as_sent();
        // It may have been seen before the reply was.
        assert_eq!(bed.history.probe(message.unwrap())["outcome"], "delivered");
    }
}

/// The moment at which a message was read to its end.
fn read(bed: &Bed, protocol: &str) -> Stop {
    if protocol == "pop3" {
        let mut is_reading = false;
        return bed.pop3.stop(When::After, move |_, said| match said {
            Said::Client(line) => {
                is_reading |= line.starts_with("RETR");
                false
            }
            Said::Server(line) => is_reading && line == ".",
            Said::Connected => false,
        });
    }
    let (mut tag, mut is_there) = (None, false);
    bed.imap.stop(When::After, move |_, said| match said {
        Said::Client(line) => {
            if line.contains("BODY.PEEK[]") {
                tag = line.split(' ').next().map(str::to_owned);
            }
            false
        }
        Said::Server(line) => {
            is_there |= tag.is_some() && line.starts_with("Message-ID: <mr");
            let ends = tag.as_ref().is_some_and(|tag| line.starts_with(&**tag));
            ends && is_there
        }
        Said::Connected => false,
    })
}

#[test]
fn after_the_sighting() {
    for protocol in PROTOCOLS {
        let (bed, _) = killed_at(protocol, |bed| read(bed, protocol));
        let probes = bed.as_sent();
        assert!(probes.values().all(|it| it["duplicates"] == 0));
    }
}

#[test]
fn before_the_cleanup() {
    for (protocol, command) in [
        ("imap", "UID STORE"),
        ("imap", "UID EXPUNGE"),
        ("pop3", "DELE"),
        ("pop3", "QUIT"),
    ] {
        let (bed, _) = killed_at(protocol, |bed| {
            let mut deletes = command != "QUIT";
            let at = move |_: usize, said: Said<'_>| {
                let Said::Client(line) = said else {
                    return false;
                };
                deletes |= line.starts_with("DELE");
                deletes && line.contains(command)
            };
            let wire = if protocol == "imap" {
                &bed.imap
            } else {
                &bed.pop3
            };
            wire.stop(When::Before, at)
        });
        let probes = bed.as_sent();
        assert!(probes.values().all(|it| it["duplicates"] == 0));
        assert!(probes.values().all(|it| it["revised_at"].is_null()));
    }
}

#[test]
fn between_the_state_and_its_notice() {
    let bed = Bed::with(&format!(
        "{}alerts = [\"post\"]\nfail_after = 1\n",
        route("imap").replace("deadline = \"10s\"", "deadline = \"1s\"")
    ));
    bed.fault("add drop");
    bed.post.hang(true);
    let robin = bed.start();
    until("a failure is told", || !bed.post.of("failed").is_empty());
    robin.kill();
    bed.fault("clear");
    bed.post.hang(false);
    bed.settle();
    let told = bed.post.of("failed");
    assert!(told.len() >= 2, "it was not told again");
    assert!(told.iter().all(|it| it["id"] == told[0]["id"]), "{told:?}");
    let first = told[0]["probe"].as_str().unwrap().parse().unwrap();
    let (probes, whole) = (bed.nothing_amiss(), bed.smtp.whole());
    assert_eq!(probes[&first]["outcome"], "missing");
    for (id, record) in probes {
        let expected = if whole.contains_key(&id) {
            "missing"
        } else {
            "unfinished"
        };
        assert_eq!(record["outcome"], expected, "{record}");
    }
}
