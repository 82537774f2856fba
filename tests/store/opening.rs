//! What may be opened, and what is left as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mailrobin::store::{Reader, StoreError, Writer};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection, Executor};

use super::bed::{Bed, noon, passed, settled};

/// Both who would write and who would read are refused with this, and no byte is changed.
async fn refused(bed: &Bed, is_it: fn(&StoreError) -> bool, sentence: &str) {
    let before: Vec<_> = contents(bed);
    let writer = Writer::open(&bed.path(), noon()).await.unwrap_err();
    let reader = Reader::open(&bed.path()).await.unwrap_err();
    for error in [writer, reader] {
        assert!(is_it(&error), "{error:?}");
        assert!(!error.is_corruption());
        let said = error.to_string();
        assert!(
            said.contains(sentence) && said.contains(&bed.path().display().to_string()),
            "{said}"
        );
    }
    assert_eq!(contents(bed), before);
}

/// Every file and what is in it, but for the lock and the index of a log that is there.
fn contents(bed: &Bed) -> Vec<(String, Vec<u8>)> {
    let files = bed.files().into_iter();
    let files =
        files.filter(|name| !["history.db.lock", "history.db-shm"].contains(&name.as_str()));
    files
        .map(|name| {
            let bytes = fs::read(bed.dir.path().join(&name)).unwrap();
            (name, bytes)
        })
        .collect()
}

async fn make_newer(bed: &Bed) -> sqlx::SqliteConnection {
    let mut raw = bed.raw().await;
    raw.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'from the future', 1, x'00', 0)",
    )
    .await
    .unwrap();
    raw
}

const NEWER: &str =
    "was written by a newer mailrobin (its schema is 99, this one knows 1): it is left as it is";

#[tokio::test]
async fn a_newer_history_is_left_as_it_is() {
    let bed = Bed::with_one().await;
    make_newer(&bed).await.close().await.unwrap();
    let is_newer = |error: &StoreError| {
        matches!(
            error,
            StoreError::Newer {
                theirs: 99,
                ours: 1,
                ..
            }
        )
    };
    refused(&bed, is_newer, NEWER).await;
    let files = bed.files();
    assert_eq!(files, ["history.db", "history.db.lock"]);
}

/// As a newer one leaves it that was killed.
#[tokio::test]
async fn a_newer_history_whose_log_is_not_in_the_file_yet_is_left_as_it_is() {
    let bed = Bed::with_one().await;
    let killed = Bed::new();
    let raw = make_newer(&bed).await;
    for name in ["history.db", "history.db-wal"] {
        fs::copy(bed.dir.path().join(name), killed.dir.path().join(name)).unwrap();
    }
    drop(raw);
    let is_newer = |error: &StoreError| matches!(error, StoreError::Newer { .. });
    refused(&killed, is_newer, NEWER).await;
}

#[tokio::test]
async fn a_database_of_something_else_is_left_as_it_is() {
    for journal in [SqliteJournalMode::Delete, SqliteJournalMode::Wal] {
        for statement in [
            "CREATE TABLE recipes (name TEXT)",
            "PRAGMA application_id = 4711",
            "CREATE TABLE recipes (name TEXT); CREATE TABLE _sqlx_migrations (version INTEGER)",
        ] {
            let bed = Bed::new();
            let options = SqliteConnectOptions::new()
                .filename(bed.path())
                .journal_mode(journal)
                .create_if_missing(true);
            let mut other = options.connect().await.unwrap();
            other.execute(statement).await.unwrap();
            other.close().await.unwrap();
            let is_foreign = |error: &StoreError| matches!(error, StoreError::Foreign { .. });
            refused(
                &bed,
                is_foreign,
                "is a database of something else: it is left as it is",
            )
            .await;
            assert_eq!(bed.files(), ["history.db", "history.db.lock"]);
        }
    }
}

#[tokio::test]
async fn who_reads_is_told_where_there_is_no_history() {
    let bed = Bed::new();
    let error = Reader::open(&bed.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::None { .. }));
    assert!(bed.files().is_empty(), "nothing is made");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let bed = Bed::new();
    let path = bed.dir.path().join("nowhere/history.db");
    let error = Writer::open(&path, noon()).await.unwrap_err();
    assert!(error.to_string().contains("nowhere/history.db"), "{error}");
    assert!(!error.is_corruption());
}

#[tokio::test]
async fn everything_is_for_its_owner_alone() {
    let bed = Bed::new();
    let (mut writer, _reader) = bed.open().await;
    writer
        .commit(&[settled(1, &passed(1, noon()))])
        .await
        .unwrap();
    let files = bed.files();
    let expected = [
        "history.db",
        "history.db-shm",
        "history.db-wal",
        "history.db.lock",
    ];
    assert_eq!(files, expected);
    for name in files {
        assert_eq!(mode(&bed.dir.path().join(&name)), 0o600, "{name}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// As one is left that was cut off while it was made.
#[tokio::test]
async fn a_history_that_was_only_begun_is_made() {
    for statement in [
        "",
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
         installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, \
         checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)",
    ] {
        let bed = Bed::new();
        fs::write(bed.path(), b"").unwrap();
        if !statement.is_empty() {
            let mut raw = bed.raw().await;
            raw.execute(statement).await.unwrap();
            raw.close().await.unwrap();
        }
        let (mut writer, reader) = bed.open().await;
        writer
            .commit(&[settled(1, &passed(1, noon()))])
            .await
            .unwrap();
        assert_eq!(reader.last_seq().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn nothing_is_left_beside_a_history_that_was_closed() {
    let bed = Bed::with_one().await;
    assert_eq!(bed.files(), ["history.db", "history.db.lock"]);
}
