//! A batch is kept whole or not at all, and what happens to one is not the next one's trouble.

use std::task::Poll;

use mailrobin::store::{Reader, StoreError, Wanted, Write, Writer};
use serde_json::json;
use sqlx::Executor;

use super::bed::{Bed, begun, close, missing, noon, passed, record, settled};

async fn count(reader: &Reader) -> usize {
    let all = Wanted {
        limit: 1000,
        ..Wanted::default()
    };
    reader.probes(&all).await.unwrap().probes.len()
}

/// A batch that cannot be kept: its last probe has the place of its first.
fn impossible(first: &mailrobin::probe::record::Record) -> Vec<Write> {
    let fact = Write::Fact {
        name: "half".into(),
        value: Some("done".into()),
    };
    vec![fact, settled(8, first), begun(9, first), begun(9, first)]
}

#[tokio::test]
async fn a_batch_that_fails_leaves_nothing_and_the_next_one_is_kept() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    // A test, an outcome and a code that nobody has met before: they are learnt in a batch that fails.
    let other = json!({
        "route": "outbound", "payload": "eicar", "outcome": "bounced", "verdict": "fail", "code": "bounced",
        "seen_by": "idle",
    });
    let fresh = record(1, noon(), &other);
    let error = writer.commit(&impossible(&fresh)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&bed.path().display().to_string()),
        "{error}"
    );
    assert_eq!(count(&reader).await, 0);
    assert!(!reader.facts().await.unwrap().contains_key("half"));
    assert!(reader.standings().await.unwrap().is_empty());

    // Another test takes the number that the first would have had.
    let between = passed(2, noon());
    writer.commit(&[settled(1, &between)]).await.unwrap();
    writer.commit(&[settled(2, &fresh)]).await.unwrap();
    let newest = reader.newest().await.unwrap();
    assert_eq!(newest, [between, fresh]);
    assert_eq!(reader.check().await.unwrap().problems, Vec::<String>::new());
}

/// Polls it so often at most, and lets go of it.
async fn ended_within<T>(work: impl Future<Output = T>, polls: usize) -> bool {
    let mut work = std::pin::pin!(work);
    let mut polled = 0;
    let waited = std::future::poll_fn(|context| {
        polled += 1;
        match work.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if polled >= polls => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    });
    waited.await
}

#[tokio::test]
async fn a_batch_that_nobody_waited_for_is_not_half_there() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let records: Vec<_> = (1..200).map(|number| missing(number, noon())).collect();
    let batch: Vec<_> = (1..)
        .zip(&records)
        .map(|(seq, it)| settled(seq, it))
        .collect();
    // Let go of at various places.
    for polls in [1, 3, 10, 50, 100, 200, 300] {
        if ended_within(writer.commit(&batch), polls).await {
            break;
        }
        let last = passed(999, noon());
        writer.commit(&[settled(999, &last)]).await.unwrap();
        match count(&reader).await {
            1 => assert_eq!(reader.newest().await.unwrap(), [last]),
            // It had come to its end, and only nobody heard of it.
            200 => break,
            count => panic!("{count} probes after {polls} polls"),
        }
    }
    writer.commit(&batch).await.unwrap();
    assert_eq!(reader.check().await.unwrap().problems, Vec::<String>::new());
}

#[tokio::test]
async fn a_history_that_somebody_else_has_locked_is_written_later() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let record = passed(1, noon());
    let mut other = bed.raw().await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let error = writer.commit(&[settled(1, &record)]).await.unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains(&bed.path().display().to_string()) && said.contains("cannot write to it"),
        "{said}"
    );
    assert!(!error.is_corruption());
    // Who reads is not in the way, and nothing is in theirs.
    assert_eq!(count(&reader).await, 0);
    other.execute("ROLLBACK").await.unwrap();
    writer.commit(&[settled(1, &record)]).await.unwrap();
    assert_eq!(count(&reader).await, 1);
}

#[tokio::test]
async fn there_is_one_writer_and_any_number_of_readers() {
    let bed = Bed::with_one().await;
    let (writer, reader) = bed.open().await;
    let error = Writer::open(&bed.path(), noon()).await.unwrap_err();
    assert!(matches!(error, StoreError::Taken { .. }));
    let expected = format!(
        "another mailrobin is running with the history {}: stop it, or use another --state-dir",
        bed.path().display()
    );
    assert_eq!(error.to_string(), expected);
    for _ in 0..3 {
        let reader = Reader::open(&bed.path()).await.unwrap();
        assert_eq!(reader.last_seq().await.unwrap(), 1);
    }
    close(writer, reader).await;
    bed.open().await;
}
