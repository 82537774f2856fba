//! `kill -9` again and again, at moments that nobody chose.

use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::bed::Bed;
use crate::dice::{Dice, number};
use crate::robin::until;

/// How often it is killed; `MAILROBIN_KILLS` says otherwise.
const KILLS: u32 = 100;

const ROUTES: &str = r#"
[defaults]
gateway = "lab"
from = "probe@lab.example"
every = "1s"
every_harmful = "1s"
deadline = "20s"
blind_grace = "10s"
alerts = ["post"]

[routes.imap]
mailbox = "imap"
bounce_mailbox = "imap"
to = "imap@echo.example"
tests = [{ payload = "plain" }]

[routes.slow]
mailbox = "imap"
bounce_mailbox = "imap"
to = "slow@echo.example"
tests = [{ payload = "plain" }]

[routes.pop3]
mailbox = "pop3"
bounce_mailbox = "pop3"
to = "pop3@echo.example"
tests = [{ payload = "plain" }]

[routes.refused]
mailbox = "imap"
bounce_mailbox = "imap"
to = "refused@echo.example"
tests = [{ payload = "eicar" }]

[routes.discarded]
mailbox = "pop3"
bounce_mailbox = "pop3"
to = "discarded@echo.example"
tests = [{ payload = "eicar" }]
"#;

#[test]
fn a_hundred_kills_lose_double_and_misjudge_nothing() {
    let (seed, mut dice) = Dice::cast("killed at random");
    let bed = Bed::with(ROUTES);
    bed.fault("add slow-replies=30ms");
    bed.fault("add delay=400ms,to=slow");
    bed.fault("add delay=400ms,to=refused");
    bed.fault("add virus=discard,to=discarded");
    let kills = number("MAILROBIN_KILLS").unwrap_or(u64::from(KILLS));
    for _ in 0..kills {
        // Most kills meet it at work, some while it takes up what the one before left.
        let (robin, least) = if dice.below(4) == 0 {
            (bed.launch(), 20)
        } else {
            (bed.start(), 0)
        };
        sleep(Duration::from_millis(least + dice.below(600)));
        robin.kill();
    }
    // However slow the machine is, something has come of it.
    let robin = bed.start();
    until("a copy has come, and a virus was refused", || {
        let probes = bed.history.probes();
        ["delivered", "rejected"]
            .iter()
            .all(|outcome| probes.iter().any(|probe| probe["outcome"] == *outcome))
    });
    robin.kill();
    bed.settle();
    let (probes, whole) = (bed.nothing_amiss(), bed.smtp.whole());
    assert!(!whole.is_empty());
    let mut outcomes = std::collections::BTreeMap::new();
    for (id, record) in &probes {
        let word = |key: &str| record[key].as_str().unwrap().to_owned();
        let found = (word("outcome"), word("verdict"), word("code"));
        let found = (found.0.as_str(), found.1.as_str(), found.2.as_str());
        let control = record["control"].as_str();
        let control = control.map(|id| &probes[&id.parse().unwrap()]["outcome"]);
        let is_right = match (found, whole.contains_key(id)) {
            (("unfinished", "unknown", "interrupted"), false) => true,
            (("delivered", "pass", "ok"), true) => record["payload"] == "plain",
            // The virus: nobody knows whether the reply was a refusal where it was killed before.
            (("unfinished", "unknown", "interrupted"), true) => record["payload"] == "eicar",
            (("rejected" | "missing", "pass", "ok"), true) => {
                record["payload"] == "eicar" && control.is_some_and(|it| it == "delivered")
            }
            (("rejected" | "missing", "unknown", "control-failed"), true) => {
                record["payload"] == "eicar" && control.is_some_and(|it| it != "delivered")
            }
            _ => false,
        };
        assert!(is_right, "seed {seed}: {record}");
        assert_eq!(record["duplicates"], 0, "seed {seed}: {record}");
        assert_eq!(record["revised_at"], Value::Null, "seed {seed}: {record}");
        *outcomes
            .entry((word("payload"), word("outcome")))
            .or_insert(0) += 1;
    }
    // It was about something.
    let of = |payload: &str, outcome: &str| {
        let key = (payload.to_owned(), outcome.to_owned());
        outcomes.get(&key).copied().unwrap_or_default()
    };
    let said = format!("{} probes: {outcomes:?}\n", probes.len());
    std::io::stderr().write_all(said.as_bytes()).unwrap();
    assert!(
        of("plain", "delivered") > 0 && of("eicar", "rejected") > 0,
        "{outcomes:?}"
    );
    // Nobody had anything to complain of.
    for event in ["failed", "leak", "trouble"] {
        assert_eq!(bed.post.of(event), Vec::<Value>::new());
    }
}
