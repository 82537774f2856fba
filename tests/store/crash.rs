//! What was acknowledged is there after a `kill -9`. The process that is killed is this program again.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use mailrobin::store::{Opened, Wanted, Write, Writer};

use super::bed::{Bed, begun, close, noon, passed, settled};

/// Where the process that is killed keeps its history; unset: nobody is to be killed.
const FOLDER: &str = "MAILROBIN_TEST_COMMITS_IN";
/// What it says of each batch that was kept.
const KEPT: &str = "kept ";

/// Commits without end, and says what was kept. Alone it is no test.
#[tokio::test]
async fn the_other_process() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let path = std::path::Path::new(&folder).join("history.db");
    let Opened {
        mut writer, reader, ..
    } = Writer::open(&path, noon()).await.unwrap();
    let last = reader.last_seq().await.unwrap();
    let mut out = std::io::stdout().lock();
    for seq in last + 1.. {
        let record = passed(seq, noon());
        let fact = Write::Fact {
            name: "last".into(),
            value: Some(seq.to_string()),
        };
        writer
            .commit(&[begun(seq, &record), settled(seq, &record), fact])
            .await
            .unwrap();
        writeln!(out, "\n{KEPT}{seq}").unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill() {
    let bed = Bed::new();
    for wait_for in [1, 7, 40, 3, 90] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::the_other_process", "--nocapture"])
            .env(FOLDER, bed.dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = 0;
        let mut heard = 0;
        for line in lines {
            let line = line.unwrap();
            let Some(seq) = line.strip_prefix(KEPT) else {
                continue;
            };
            last = seq.parse().unwrap();
            heard += 1;
            if heard == wait_for {
                child.kill().unwrap();
            }
        }
        assert!(heard >= wait_for, "it ended by itself");
        assert!(!child.wait().unwrap().success());

        let (writer, reader) = bed.open().await;
        let stored = reader.last_seq().await.unwrap();
        assert!(stored >= last, "{last} was acknowledged, {stored} is there");
        assert!(reader.in_flight().await.unwrap().is_empty(), "half a batch");
        assert_eq!(reader.facts().await.unwrap()["last"], stored.to_string());
        let all = Wanted {
            limit: u32::MAX,
            ..Wanted::default()
        };
        let probes = reader.probes(&all).await.unwrap().probes;
        assert_eq!(u64::try_from(probes.len()).unwrap(), stored);
        assert_eq!(reader.check().await.unwrap().problems, Vec::<String>::new());
        close(writer, reader).await;
    }
}
