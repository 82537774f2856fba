//! Damaged histories are set aside with all they hold, and a new one is begun.

use std::fs;

use mailrobin::store::{Opened, Reader, Write, Writer};
use sqlx::{Connection, Row};

use super::bed::{Bed, begun, close, id, incident, missing, noon, passed, settled};

const PAGE: usize = 4096;

/// A history with something in every table.
async fn full() -> Bed {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let key = mailrobin::probe::state::TestKey::of(&passed(1, noon()));
    let writes = [
        settled(1, &passed(1, noon())),
        begun(2, &missing(2, noon())),
        Write::Standing {
            test: key.clone(),
            standing: Some("{}".into()),
        },
        Write::Notice {
            id: id(1, noon()),
            made: noon(),
            alert: "oncall".into(),
            body: "{}".into(),
        },
        Write::Line {
            line: "inbound/0".into(),
            due: noon(),
            missed: 0,
        },
        Write::Fact {
            name: "paused".into(),
            value: Some("nothing".into()),
        },
        Write::Incident(Box::new(incident(1, noon(), None))),
    ];
    writer.commit(&writes).await.unwrap();
    close(writer, reader).await;
    bed
}

/// The history is damaged: who reads is told so, who writes finds it set aside, and all of it is still there.
async fn is_set_aside(bed: &Bed, what: &str) {
    let damaged = fs::read(bed.path()).unwrap();
    match Reader::open(&bed.path()).await {
        Err(error) => assert!(error.is_corruption(), "{what}: {error}"),
        Ok(_) => panic!("{what}: who reads was not told"),
    }
    assert_eq!(fs::read(bed.path()).unwrap(), damaged, "{what}");

    let opened = Writer::open(&bed.path(), noon()).await;
    let Opened {
        mut writer,
        reader,
        set_aside,
    } = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
    let aside = set_aside.unwrap_or_else(|| panic!("{what}: it was not noticed"));
    assert!(!aside.why.is_empty());
    let name = aside.path.file_name().unwrap().to_str().unwrap();
    assert_eq!(name, "history.db.damaged-20261121T120000Z", "{what}");
    assert_eq!(fs::read(&aside.path).unwrap(), damaged, "{what}");
    assert_eq!(reader.last_seq().await.unwrap(), 0);
    writer
        .commit(&[settled(1, &passed(1, noon()))])
        .await
        .unwrap();
    assert_eq!(reader.last_seq().await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_no_database() {
    let noise: Vec<u8> = (0..20_000_u32)
        .map(|at| u8::try_from(at.wrapping_mul(2_654_435_761) >> 24).unwrap())
        .collect();
    for (what, bytes) in [
        ("a word", b"hello".to_vec()),
        ("a text", b"this is not a database\n".repeat(1000)),
        ("noise", noise),
        ("zeros", vec![0; 8192]),
    ] {
        let bed = Bed::new();
        fs::write(bed.path(), bytes).unwrap();
        is_set_aside(&bed, what).await;
    }
}

#[tokio::test]
async fn a_history_that_was_cut_off() {
    for share in [4, 2] {
        let bed = full().await;
        let bytes = fs::read(bed.path()).unwrap();
        let kept = bytes.len() / PAGE / share * PAGE;
        fs::write(bed.path(), &bytes[..kept]).unwrap();
        is_set_aside(&bed, &format!("{kept} bytes of {}", bytes.len())).await;
    }
}

#[tokio::test]
async fn a_header_that_was_zeroed() {
    let bed = full().await;
    let mut bytes = fs::read(bed.path()).unwrap();
    bytes[..100].fill(0);
    fs::write(bed.path(), bytes).unwrap();
    is_set_aside(&bed, "no header").await;
}

#[tokio::test]
async fn a_flipped_page_of_whatever_is_read_at_the_start() {
    for table in [
        "_sqlx_migrations",
        "words",
        "tests",
        "probes",
        "details",
        "standings",
        "outbox",
        "lines",
        "facts",
        "incidents",
        "probes_in_flight",
        "incidents_open",
    ] {
        let bed = full().await;
        let mut raw = bed.raw().await;
        let row = sqlx::query("SELECT rootpage FROM sqlite_master WHERE name = $1")
            .bind(table)
            .fetch_one(&mut raw)
            .await
            .unwrap();
        let page: i64 = row.get(0);
        let page = usize::try_from(page).unwrap();
        raw.close().await.unwrap();
        let mut bytes = fs::read(bed.path()).unwrap();
        for byte in &mut bytes[(page - 1) * PAGE..page * PAGE] {
            *byte = !*byte;
        }
        fs::write(bed.path(), bytes).unwrap();
        is_set_aside(&bed, table).await;
    }
}

#[tokio::test]
async fn one_that_was_set_aside_is_not_lost_to_the_next() {
    let bed = Bed::new();
    for (place, word) in [("", "first"), ("-2", "second"), ("-3", "third")] {
        fs::write(bed.path(), word).unwrap();
        let opened = Writer::open(&bed.path(), noon()).await.unwrap();
        let aside = opened.set_aside.unwrap().path;
        let name = format!("history.db.damaged-20261121T120000Z{place}");
        assert_eq!(aside.file_name().unwrap().to_str().unwrap(), name);
        assert_eq!(fs::read_to_string(aside).unwrap(), word);
        close(opened.writer, opened.reader).await;
    }
}

/// Damage where nothing is read at the start is found by a check.
#[tokio::test]
async fn a_check_finds_damage_elsewhere() {
    let bed = full().await;
    let mut raw = bed.raw().await;
    let row = sqlx::query("SELECT rootpage FROM sqlite_master WHERE name = 'probes_of_test'")
        .fetch_one(&mut raw)
        .await
        .unwrap();
    let page = usize::try_from(row.get::<i64, _>(0)).unwrap();
    raw.close().await.unwrap();
    let mut bytes = fs::read(bed.path()).unwrap();
    bytes[(page - 1) * PAGE..page * PAGE].fill(0xff);
    fs::write(bed.path(), bytes).unwrap();
    let (_writer, reader) = bed.open().await;
    let checked = reader.check().await.unwrap();
    assert!(!checked.problems.is_empty());
    assert!(checked.bytes > 0);
}
