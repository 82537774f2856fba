//! A probe's life: begun, come further, settled, settled anew, abandoned.

use mailrobin::store::{Wanted, Write};
use serde_json::{Value, json};

use super::bed::{Bed, begun, id, missing, noon, passed, record, settled};

#[tokio::test]
async fn a_probe_from_its_beginning_to_its_end() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    assert_eq!(reader.last_seq().await.unwrap(), 0);
    let record = passed(1, noon());

    writer.commit(&[begun(7, &record)]).await.unwrap();
    assert_eq!(reader.last_seq().await.unwrap(), 7);
    let flight = reader.in_flight().await.unwrap();
    assert_eq!((flight[0].seq, flight[0].id), (7, record.id));
    assert_eq!(flight[0].kept, b"kept of 7");

    let further = Write::Further {
        seq: 7,
        kept: b"further".to_vec(),
    };
    writer.commit(&[further]).await.unwrap();
    assert_eq!(reader.in_flight().await.unwrap()[0].kept, b"further");
    let recalled = writer.recall(record.id).await.unwrap().unwrap();
    assert_eq!((recalled.seq, recalled.is_settled), (7, false));
    assert_eq!(recalled.kept.as_deref(), Some(&b"further"[..]));

    let settled = Write::Settled {
        seq: 7,
        record: Box::new(record.clone()),
        kept: Some(b"for late copies".to_vec()),
    };
    writer.commit(&[settled]).await.unwrap();
    assert!(reader.in_flight().await.unwrap().is_empty());
    let recalled = writer.recall(record.id).await.unwrap().unwrap();
    assert!(recalled.is_settled);
    assert_eq!(recalled.kept.as_deref(), Some(&b"for late copies"[..]));
    assert!(writer.recall(id(2, noon())).await.unwrap().is_none());

    let page = reader.probes(&all()).await.unwrap();
    assert_eq!(page.probes, [serde_json::to_value(&record).unwrap()]);
    assert_eq!(reader.newest().await.unwrap(), [record]);
}

fn all() -> Wanted {
    Wanted {
        limit: 100,
        ..Wanted::default()
    }
}

#[tokio::test]
async fn a_probe_that_is_settled_anew_is_what_it_became() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let first = missing(1, noon());
    let again = record(
        1,
        noon(),
        &json!({ "late": true, "verdict": "warn", "code": "slow", "revised_at": noon() }),
    );
    writer
        .commit(&[begun(1, &first), settled(1, &first)])
        .await
        .unwrap();
    writer.commit(&[settled(1, &again)]).await.unwrap();
    let page = reader.probes(&all()).await.unwrap();
    assert_eq!(page.probes, [serde_json::to_value(&again).unwrap()]);
}

#[tokio::test]
async fn what_comes_further_after_its_outcome_keeps_its_document() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let record = missing(1, noon());
    let further = Write::Further {
        seq: 1,
        kept: b"one more copy".to_vec(),
    };
    writer
        .commit(&[begun(1, &record), settled(1, &record), further])
        .await
        .unwrap();
    let page = reader.probes(&all()).await.unwrap();
    assert_eq!(page.probes, [serde_json::to_value(&record).unwrap()]);
    let recalled = writer.recall(record.id).await.unwrap().unwrap();
    assert_eq!(recalled.kept.as_deref(), Some(&b"one more copy"[..]));
}

#[tokio::test]
async fn a_probe_whose_beginning_could_not_be_stored_has_its_end() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let record = record(1, noon(), &json!({ "unstored": true }));
    let further = Write::Further {
        seq: 1,
        kept: b"further".to_vec(),
    };
    writer
        .commit(&[further, settled(1, &record)])
        .await
        .unwrap();
    let page = reader.probes(&all()).await.unwrap();
    assert_eq!(page.probes, [serde_json::to_value(&record).unwrap()]);
    let checked = reader.check().await.unwrap();
    assert_eq!(checked.problems, Vec::<String>::new());
}

#[tokio::test]
async fn an_abandoned_probe_is_unfinished() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let record = missing(1, noon());
    let abandoned = Write::Abandoned {
        seq: 1,
        reason: "it cannot be read".into(),
    };
    writer
        .commit(&[begun(1, &record), abandoned])
        .await
        .unwrap();
    assert!(reader.in_flight().await.unwrap().is_empty());
    let page = reader.probes(&all()).await.unwrap();
    let ends = ["outcome", "verdict", "code"].map(|field| page.probes[0][field].as_str().unwrap());
    assert_eq!(ends, ["unfinished", "unknown", "interrupted"]);
    let recalled = writer.recall(record.id).await.unwrap().unwrap();
    assert!(recalled.is_settled && recalled.kept.is_none());
}

#[tokio::test]
async fn a_probe_in_flight_is_told_with_an_outcome_that_is_null() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let record = record(
        1,
        noon(),
        &json!({ "payload": "large", "variant": "5 MiB" }),
    );
    writer.commit(&[begun(1, &record)]).await.unwrap();
    let fact = Write::Fact {
        name: mailrobin::store::INSTANCE.into(),
        value: Some("berlin-1".into()),
    };
    writer.commit(&[fact]).await.unwrap();
    let page = reader.probes(&all()).await.unwrap();
    let probe = &page.probes[0];
    assert_eq!(probe["outcome"], Value::Null);
    assert_eq!(probe["id"], record.id.to_string());
    assert_eq!(
        (&probe["route"], &probe["payload"], &probe["variant"]),
        (&json!("inbound"), &json!("large"), &json!("5 MiB"))
    );
    assert_eq!(probe["instance"], "berlin-1");
    assert_eq!(probe["due_at"], "2026-11-21T12:00:00Z");
    let settled = Wanted {
        settled: true,
        ..all()
    };
    assert!(reader.probes(&settled).await.unwrap().probes.is_empty());
    assert!(reader.newest().await.unwrap().is_empty());
}

#[tokio::test]
async fn all_of_it_is_there_in_another_process_after_the_end_of_this_one() {
    let bed = Bed::with_one().await;
    let (mut writer, reader) = bed.open().await;
    assert_eq!(reader.last_seq().await.unwrap(), 1);
    assert_eq!(reader.newest().await.unwrap(), [passed(1, noon())]);
    // Words and tests that are known are not learnt twice.
    let second = passed(2, noon());
    writer.commit(&[settled(2, &second)]).await.unwrap();
    assert_eq!(reader.probes(&all()).await.unwrap().probes.len(), 2);
}
