//! What is old goes, in small steps, and gives its room back.

use jiff::Timestamp;
use mailrobin::probe::record::Record;
use mailrobin::store::{Pruned, Retention, Wanted, Write, Writer};
use serde_json::json;

use super::bed::{Bed, DAY, begun, close, incident, missing, noon, record, settled};

const RETENTION: Retention = Retention {
    passes: DAY.saturating_mul(90),
    others: DAY.saturating_mul(366),
    remember: DAY.saturating_mul(3),
};

fn days_ago(days: u32) -> Timestamp {
    noon() - DAY * days
}

async fn reckon_all(writer: &mut Writer) {
    while writer.reckon(noon()).await.unwrap() {}
}

/// All that goes, and in how many steps.
async fn prune_all(writer: &mut Writer) -> (Pruned, usize) {
    let mut sum = Pruned::default();
    for steps in 0.. {
        let pruned = writer.prune(RETENTION, noon()).await.unwrap();
        if pruned.is_nothing() {
            return (sum, steps);
        }
        assert!(pruned.probes <= 2000, "{pruned:?}");
        sum += pruned;
    }
    unreachable!()
}

#[tokio::test]
async fn each_kind_goes_at_its_time() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let with = |number, days, passes: bool| -> Record {
        let due = days_ago(days);
        if passes {
            super::bed::passed(number, due)
        } else {
            missing(number, due)
        }
    };
    let records = [
        with(1, 400, false),
        with(2, 360, false),
        with(3, 100, true),
        with(4, 80, true),
        with(5, 10, true),
        with(6, 2, true),
    ];
    // One that is in flight for longer than anything is kept.
    let stuck = missing(9, days_ago(500));
    writer.commit(&[begun(9, &stuck)]).await.unwrap();
    for (seq, record) in (11..).zip(&records) {
        let kept = Write::Settled {
            seq,
            record: Box::new(record.clone()),
            kept: Some(b"for late copies".to_vec()),
        };
        writer.commit(&[kept]).await.unwrap();
    }
    let incident = |number: u64, days: u32, ended: Option<u32>| {
        let incident = incident(number, days_ago(days), ended.map(days_ago));
        Write::Incident(Box::new(incident))
    };
    writer
        .commit(&[
            incident(1, 401, Some(400)),
            incident(2, 401, Some(300)),
            incident(3, 600, None),
        ])
        .await
        .unwrap();
    reckon_all(&mut writer).await;
    let (pruned, _) = prune_all(&mut writer).await;
    assert_eq!((pruned.probes, pruned.incidents), (2, 1));

    let wanted = Wanted {
        oldest_first: true,
        limit: 100,
        ..Wanted::default()
    };
    let probes = reader.probes(&wanted).await.unwrap().probes;
    let ids: Vec<_> = probes.iter().map(|probe| probe["id"].clone()).collect();
    let expected: Vec<_> = [&stuck, &records[1], &records[3], &records[4], &records[5]]
        .map(|record| json!(record.id))
        .into();
    assert_eq!(ids, expected);
    // The documents: of the failure, and of the pass that is young.
    let has_document = |probe: &serde_json::Value| probe["smtp"].is_object();
    let with_document: Vec<_> = probes.iter().map(has_document).collect();
    assert_eq!(with_document, [false, true, false, false, true]);
    for (record, remembered) in records.iter().zip([
        None,
        Some(false),
        None,
        Some(false),
        Some(false),
        Some(true),
    ]) {
        let recalled = writer.recall(record.id).await.unwrap();
        assert_eq!(
            recalled.map(|it| it.kept.is_some()),
            remembered,
            "{}",
            record.due_at
        );
    }
    assert_eq!(reader.in_flight().await.unwrap()[0].kept, b"kept of 9");
    assert_eq!(reader.incidents((None, None), 9).await.unwrap().len(), 2);
    assert_eq!(reader.check().await.unwrap().problems, Vec::<String>::new());
}

#[tokio::test]
async fn steps_are_small_and_the_file_shrinks() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    // Words that cannot be pressed together.
    let noise = |seq: u64| -> String {
        let mut state = seq;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
        };
        (0..2000).map(|_| next()).collect()
    };
    for batch in 0..10_u64 {
        let writes = (1..=500).map(|number| {
            let seq = batch * 500 + number;
            let due = days_ago(150) + jiff::Span::new().seconds(i64::try_from(seq).unwrap());
            let other = json!({ "transcript": [noise(seq)] });
            settled(seq, &record(seq, due, &other))
        });
        writer.commit(&writes.collect::<Vec<_>>()).await.unwrap();
    }
    let last = super::bed::passed(9999, noon());
    writer.commit(&[settled(9999, &last)]).await.unwrap();
    let size = || std::fs::metadata(bed.path()).unwrap().len();
    close(writer, reader).await;
    let before = size();
    assert!(before > 6_000_000, "{before}");
    let (mut writer, reader) = bed.open().await;
    reckon_all(&mut writer).await;
    let (pruned, steps) = prune_all(&mut writer).await;
    assert_eq!(pruned.probes, 5000);
    assert!(steps >= 3, "{steps}");
    assert_eq!(reader.newest().await.unwrap(), [last]);
    close(writer, reader).await;
    let after = size();
    assert!(after < before / 20, "{before} bytes became {after}");
}

#[tokio::test]
async fn a_check_tells_what_is_there() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    writer
        .commit(&[
            settled(1, &missing(1, days_ago(3))),
            begun(2, &missing(2, days_ago(1))),
        ])
        .await
        .unwrap();
    reckon_all(&mut writer).await;
    let checked = reader.check().await.unwrap();
    assert_eq!(checked.problems, Vec::<String>::new());
    assert_eq!(checked.schema, Some(1));
    assert!(checked.bytes > 10_000);
    let counts = checked.counts.unwrap();
    assert_eq!((counts.probes, counts.in_flight, counts.details), (2, 1, 2));
    assert_eq!((counts.incidents, counts.outbox, counts.days), (0, 0, 1));
    assert_eq!(
        (counts.oldest, counts.newest),
        (Some(days_ago(3)), Some(days_ago(1)))
    );
}

#[tokio::test]
async fn a_check_tells_of_rows_that_belong_to_nothing() {
    let bed = Bed::with_one().await;
    let mut raw = bed.raw().await;
    for statement in [
        "DELETE FROM probes",
        "INSERT INTO standings (test, standing) VALUES (99, '{}')",
    ] {
        sqlx::query(statement).execute(&mut raw).await.unwrap();
    }
    drop(raw);
    let (_writer, reader) = bed.open().await;
    let problems = reader.check().await.unwrap().problems;
    assert_eq!(
        problems,
        [
            "1 rows of standings belong to tests that are not there",
            "1 rows of details belong to probes that are not there"
        ]
    );
}
