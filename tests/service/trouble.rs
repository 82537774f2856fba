//! A history that cannot be written, or read: testing goes on, somebody is told, and nothing is cleaned up that is not kept.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, query};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::bed::{Bed, ROUTE};
use crate::robin::{Robin, until};

fn expunges(bed: &Bed) -> usize {
    let said = bed.imap.client();
    said.iter()
        .filter(|(_, line)| line.contains("EXPUNGE"))
        .count()
}

/// What is right while the history cannot be written, and when it can be again after `mend`.
fn goes_on(bed: &Bed, robin: Robin, mend: impl FnOnce()) {
    until("somebody is told", || !bed.post.of("trouble").is_empty());
    let title = bed.post.of("trouble")[0]["title"].to_string();
    assert!(title.contains("the history cannot be written"), "{title}");
    let (before, cleaned) = (bed.smtp.taken(), expunges(bed));
    until("testing goes on", || {
        bed.smtp.taken().len() >= before.len() + 3
    });
    assert_eq!(expunges(bed), cleaned, "what is not kept was cleaned up");
    let meanwhile: Vec<_> = bed.smtp.taken().into_keys().collect();
    let meanwhile = meanwhile.iter().filter(|id| !before.contains_key(id));
    assert!(bed.copies() >= 2, "what is not kept is not there");
    mend();
    until("it is over", || !bed.post.of("trouble-over").is_empty());
    until("what was sent meanwhile is there", || {
        let known = bed.history.settled("loop", "plain");
        let known = |id: &&uuid::Uuid| known.iter().any(|it| it["id"] == id.to_string());
        meanwhile.clone().all(|id| known(&id))
    });
    for id in meanwhile {
        assert_eq!(bed.history.probe(*id)["unstored"], true);
    }
    robin.stop();
    bed.settle();
    let probes = bed.as_sent();
    let first = probes.values().next().unwrap();
    assert_ne!(first["unstored"], true, "{first}");
    assert_eq!(bed.post.of("trouble").len(), 1);
}

struct Database {
    runtime: Runtime,
    connection: SqliteConnection,
}

impl Database {
    fn open(bed: &Bed) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let options = SqliteConnectOptions::new().filename(bed.path("state/history.db"));
        let connection = runtime.block_on(SqliteConnection::connect_with(&options));
        Self {
            runtime,
            connection: connection.unwrap(),
        }
    }

    /// The last to close it leaves one file.
    fn close(self) {
        self.runtime.block_on(self.connection.close()).unwrap();
    }

    fn run(&mut self, sql: &'static str) {
        let ran = query(sql).execute(&mut self.connection);
        self.runtime.block_on(ran).unwrap();
    }
}

#[test]
fn locked_by_another() {
    let bed = Bed::with(ROUTE);
    let robin = bed.start();
    bed.until_tested();
    let mut database = Database::open(&bed);
    database.run("BEGIN IMMEDIATE");
    goes_on(&bed, robin, || database.run("ROLLBACK"));
}

/// A small disk at `state`; it is gone when this is dropped.
pub(crate) struct Small(PathBuf);

impl Small {
    pub(crate) fn mount(dir: &TempDir, mebibytes: u64) -> Option<Self> {
        let (disk, state) = (dir.path().join("disk"), dir.path().join("state"));
        fs::create_dir(&state).unwrap();
        let file = fs::File::create(&disk).unwrap();
        file.set_len(mebibytes << 20).unwrap();
        let did = |command: &mut Command| command.output().is_ok_and(|it| it.status.success());
        // Where there are no loop devices, memory does.
        let is_small = did(Command::new("mkfs.ext4").arg("-q").arg(&disk))
            && did(Command::new("mount")
                .args(["-o", "loop"])
                .args([&disk, &state]))
            || did(Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
                .arg(&state));
        if is_small {
            return Some(Self(state));
        }
        let said = b"SKIPPED: a full disk: only root can mount one\n";
        std::io::stderr().write_all(said).unwrap();
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Fills a small disk at `state`, with a file that may be removed.
pub(crate) fn fill(bed: &Bed) -> PathBuf {
    let filler = bed.path("state/filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
    // What is only in memory so far takes its place, too.
    drop(file.sync_all());
    while file.write_all(&[0; 512]).is_ok() {}
    filler
}

#[test]
fn a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(&dir, 16) else {
        return;
    };
    let bed = Bed::on(dir, ROUTE);
    // It goes before the folder that it is mounted in.
    let _small = small;
    let robin = bed.start();
    bed.until_tested();
    let filler = fill(&bed);
    goes_on(&bed, robin, || fs::remove_file(&filler).unwrap());
}

#[test]
fn a_corrupt_one_is_set_aside() {
    let bed = Bed::with(ROUTE);
    let robin = bed.start();
    bed.until_tested();
    robin.stop();
    let mut database = Database::open(&bed);
    database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    database.close();
    let garbage = b"this is no database at all, whatever it was before".repeat(100);
    fs::write(bed.path("state/history.db"), &garbage).unwrap();
    let robin = bed.start();
    until("somebody is told", || !bed.post.of("trouble").is_empty());
    assert!(robin.said().contains("the history was damaged"));
    bed.until_tested();
    robin.stop();
    let files = fs::read_dir(bed.path("state")).unwrap();
    let mut aside = files.map(|file| file.unwrap().path()).filter(|path| {
        path.to_string_lossy().contains("damaged") && fs::read(path).unwrap() == garbage
    });
    assert!(aside.next().is_some(), "what was damaged is gone");
}

#[test]
fn a_newer_one_is_left_as_it_is() {
    let bed = Bed::with(ROUTE);
    let robin = bed.start();
    bed.until_tested();
    robin.stop();
    let mut database = Database::open(&bed);
    database.run(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99990101000000, 'of tomorrow', true, x'00', 0)",
    );
    database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    database.close();
    let before = fs::read(bed.path("state/history.db")).unwrap();
    let submitted = bed.smtp.submitted().len();
    let mut robin = bed.start();
    assert_eq!(robin.ended().code(), Some(3));
    assert!(
        robin.said().contains("was written by a newer mailrobin"),
        "{}",
        robin.said()
    );
    assert!(
        fs::read(bed.path("state/history.db")).unwrap() == before,
        "it was touched"
    );
    assert_eq!(bed.smtp.submitted().len(), submitted);
}

#[test]
fn a_mailbox_that_cannot_be_read_says_nothing_of_the_mail() {
    let bed = Bed::with(
        &ROUTE
            .replace("\"15s\"", "\"1s\"")
            .replace("\"20s\"", "\"1s\""),
    );
    let robin = bed.start();
    bed.until_tested();
    bed.fault("add imap-down=10m");
    until("nothing can be said of some", || {
        let settled = bed.history.settled("loop", "plain");
        settled
            .iter()
            .filter(|it| it["outcome"] == "unseen")
            .count()
            >= 5
    });
    bed.fault("clear");
    until("they were delivered", || {
        let settled = bed.history.settled("loop", "plain");
        settled
            .iter()
            .filter(|it| it["revised_at"].is_string())
            .count()
            >= 5
    });
    robin.stop();
    bed.settle();
    for record in bed.as_sent().values() {
        let was_unseen = record["revised_at"].is_string();
        assert!(!was_unseen || record["late"] == false, "{record}");
    }
    assert!(bed.post.of("failed").is_empty());
    assert!(bed.history.incidents().is_empty());
}
