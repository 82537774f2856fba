//! Days are reckoned once, outlive their probes, and are reckoned anew where one of these becomes something else.

use std::time::Duration;

use jiff::SignedDuration;
use mailrobin::store::{Retention, Span, Stats, Write, Writer};
use serde_json::json;

use super::bed::{Bed, DAY, at, begun, missing, noon, passed, record, settled};

async fn reckon_all(writer: &mut Writer) {
    while writer.reckon(noon()).await.unwrap() {}
}

#[tokio::test]
async fn nothing_is_known_of_no_probes() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    assert!(!writer.reckon(noon()).await.unwrap());
    assert_eq!(reader.begins().await.unwrap(), None);
    assert_eq!(reader.whole_since().await.unwrap(), None);
    let stats = Stats::default();
    assert_eq!((stats.availability(), stats.percentile(0.5)), (None, None));
}

#[tokio::test]
async fn what_is_only_reported_and_what_is_unknown_is_no_availability() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let policy = json!({ "payload": "executable-name", "code": "not-judged", "expect": [] });
    let unknown = json!({ "payload": "html", "outcome": "unseen", "verdict": "unknown", "code": "mailbox-unreadable" });
    let writes = [record(1, noon(), &policy), record(2, noon(), &unknown)];
    let writes = [settled(1, &writes[0]), settled(2, &writes[1])];
    writer.commit(&writes).await.unwrap();
    let span = Span {
        from: noon(),
        to: noon() + DAY,
    };
    let stats = reader.stats(&[span]).await.unwrap().remove(0);
    let stats: Vec<_> = stats.values().collect();
    assert_eq!(stats.len(), 2);
    assert!(stats.iter().all(|stats| stats.availability().is_none()));
    let mut sum = stats[0].clone();
    sum.add(stats[1]);
    assert_eq!((sum.probes(), sum.judged(), sum.only_reported()), (2, 0, 1));
}

/// Years may lie between two probes, as after a clock that was wrong: each day of them costs nothing.
#[tokio::test]
async fn days_without_probes_are_not_reckoned_one_by_one() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let early = passed(1, at("1999-01-01T08:00:00Z"));
    let late = missing(2, noon() - DAY);
    writer
        .commit(&[settled(1, &early), settled(2, &late)])
        .await
        .unwrap();
    let mut steps = 0;
    while writer.reckon(noon()).await.unwrap() {
        steps += 1;
    }
    assert_eq!(steps, 2);
    assert_eq!(
        reader.begins().await.unwrap(),
        Some(at("1999-01-01T00:00:00Z"))
    );
}

#[tokio::test]
async fn an_abandoned_probe_is_counted_on_a_day_that_was_reckoned() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let record = missing(1, noon() - DAY * 3);
    writer
        .commit(&[begun(1, &record), settled(2, &passed(2, noon() - DAY * 3))])
        .await
        .unwrap();
    reckon_all(&mut writer).await;
    let abandoned = Write::Abandoned {
        seq: 1,
        reason: "it cannot be read".into(),
    };
    writer.commit(&[abandoned]).await.unwrap();
    let span = Span {
        from: noon() - DAY * 10,
        to: noon(),
    };
    for _ in 0..2 {
        let stats = reader.stats(&[span]).await.unwrap().remove(0);
        let stats = stats.values().next().unwrap();
        assert_eq!((stats.pass, stats.unknown), (1, 1));
        reckon_all(&mut writer).await;
    }
}

/// What is known of a day outlives its probes; a time that begins within such a day is cut between two of them.
#[tokio::test]
async fn days_outlive_their_probes_and_are_cut_between_two() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let mut writes = Vec::new();
    // Every hour of twenty days, from midnight to midnight: a failure at three o'clock, else passes.
    let midnight = at("2026-11-01T00:00:00Z");
    for hour in 0..20_u32 * 24 {
        let due = midnight + Duration::from_hours(u64::from(hour));
        let number = u64::from(hour) + 1;
        let record = if hour % 24 == 3 {
            missing(number, due)
        } else {
            passed(number, due)
        };
        writes.push(settled(number, &record));
    }
    writer.commit(&writes).await.unwrap();
    let retention = Retention {
        passes: DAY * 5 + DAY / 3,
        others: DAY * 366,
        remember: DAY,
    };
    let days = |from: u32, to: u32| Span {
        from: midnight + DAY * from,
        to: midnight + DAY * to,
    };
    let shifted = |span: Span, hours: i64| Span {
        from: span.from + SignedDuration::from_hours(hours),
        to: span.to + SignedDuration::from_hours(hours),
    };
    // Nothing goes before its day is reckoned.
    let pruned = writer.prune(retention, noon()).await.unwrap();
    assert_eq!(pruned.probes, 0);
    reckon_all(&mut writer).await;
    while !writer.prune(retention, noon()).await.unwrap().is_nothing() {}
    assert_eq!(
        reader.whole_since().await.unwrap(),
        Some(noon() - retention.passes)
    );
    let spans = [
        days(0, 20),
        days(2, 3),
        shifted(days(2, 3), -2),
        shifted(days(2, 3), 2),
        days(18, 20),
        shifted(days(17, 20), 5),
    ];
    let stats = reader.stats(&spans).await.unwrap();
    let counts: Vec<_> = stats
        .iter()
        .map(|stats| stats.values().next().map(|it| (it.pass, it.fail)))
        .collect();
    let expected = [
        (20 * 23, 20),
        (23, 1),
        (23, 1),
        (23, 1),
        (2 * 23, 2),
        (3 * 23 - 5 + 1, 2),
    ];
    assert_eq!(counts, expected.map(Some));
    assert_eq!(reader.begins().await.unwrap(), Some(midnight));

    // A failure of such a day that becomes something else changes nothing any more: its passes are gone.
    let number = 2 * 24 + 3 + 1;
    let due = midnight + DAY * 2 + Duration::from_hours(3);
    writer
        .commit(&[settled(number, &passed(number, due))])
        .await
        .unwrap();
    let stats = reader.stats(&[days(2, 3)]).await.unwrap().remove(0);
    assert_eq!(
        stats.values().next().map(|it| (it.pass, it.fail)),
        Some((23, 1))
    );
}
