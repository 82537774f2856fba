//! What is reckoned over any time is what a plain count of the probes gives, whatever of it is reckoned already.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use mailrobin::probe::outcome::{Code, Outcome, Verdict};
use mailrobin::probe::record::Record;
use mailrobin::probe::state::TestKey;
use mailrobin::store::{Reader, Span, Stats, Writer};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::bed::{Bed, begun, close, noon, record, settled};

const ENDS: [(Outcome, Verdict, Code); 7] = [
    (Outcome::Delivered, Verdict::Pass, Code::Ok),
    (Outcome::Delivered, Verdict::Warn, Code::Slow),
    (Outcome::Missing, Verdict::Fail, Code::Missing),
    (Outcome::Unseen, Verdict::Unknown, Code::MailboxUnreadable),
    (Outcome::Rejected, Verdict::Pass, Code::NotJudged),
    (Outcome::Delivered, Verdict::Fail, Code::Leak),
    (Outcome::Unsent, Verdict::Fail, Code::ConnectFailed),
];

/// A probe of a test: when it was due, in minutes before noon; how it ended, and what that became later, if anything.
#[derive(Clone, Debug)]
struct Sent {
    test: usize,
    minutes_ago: i64,
    end: usize,
    round_trip: Option<u32>,
    revised: Option<usize>,
    /// It is settled when the days are reckoned already.
    is_late: bool,
}

impl Sent {
    fn due(&self) -> Timestamp {
        noon() - SignedDuration::from_mins(self.minutes_ago)
    }

    fn record(&self, number: u64, end: usize) -> Record {
        let (outcome, verdict, code) = ENDS[end];
        let (route, payload) = [
            ("inbound", "plain"),
            ("inbound", "eicar"),
            ("outbound", "plain"),
        ][self.test];
        let round_trip = self.round_trip.map(|micros| f64::from(micros) / 1000.0);
        let other = json!({
            "route": route, "payload": payload, "outcome": outcome, "verdict": verdict, "code": code,
            "round_trip_ms": round_trip,
        });
        record(number, self.due(), &other)
    }

    /// The end that counts.
    fn end(&self) -> (Outcome, Verdict, Code) {
        ENDS[self.revised.unwrap_or(self.end)]
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let end = 0..ENDS.len();
    let round_trip = proptest::option::weighted(0.7, 0_u32..90_000_000);
    let revised = proptest::option::weighted(0.1, end.clone());
    // Some lie on the border of two days.
    let minutes_ago = prop_oneof![
        4 => 0_i64..40 * 24 * 60,
        1 => (0_i64..40).prop_map(|day| day * 24 * 60 + 12 * 60),
    ];
    (
        0..3_usize,
        minutes_ago,
        end,
        round_trip,
        revised,
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(test, minutes_ago, end, round_trip, revised, is_late)| Sent {
                test,
                minutes_ago,
                end,
                round_trip,
                revised,
                is_late,
            },
        )
}

fn span() -> impl Strategy<Value = Span> {
    let edge = || {
        let minute = -60_i64..41 * 24 * 60;
        prop_oneof![
            minute.clone(),
            minute.prop_map(|minute| minute / 1440 * 1440 + 720)
        ]
    };
    (edge(), edge()).prop_map(|(one, other)| {
        let ago = |minutes: i64| noon() - SignedDuration::from_mins(minutes);
        Span {
            from: ago(one.max(other)),
            to: ago(one.min(other)),
        }
    })
}

/// What a plain count gives.
#[derive(Debug, Default, PartialEq)]
struct Plain {
    verdicts: BTreeMap<Verdict, u64>,
    outcomes: BTreeMap<String, u64>,
    codes: BTreeMap<String, u64>,
    round_trips: Vec<u32>,
}

fn recount(probes: &[Sent], span: Span) -> BTreeMap<TestKey, Plain> {
    let mut counted: BTreeMap<TestKey, Plain> = BTreeMap::new();
    for sent in probes {
        if sent.due() < span.from || sent.due() >= span.to {
            continue;
        }
        let plain = counted.entry(TestKey::of(&sent.record(0, 0))).or_default();
        let (outcome, verdict, code) = sent.end();
        *plain.verdicts.entry(verdict).or_default() += 1;
        *plain.outcomes.entry(outcome.to_string()).or_default() += 1;
        *plain.codes.entry(code.to_string()).or_default() += 1;
        plain.round_trips.extend(sent.round_trip);
    }
    counted
}

#[track_caller]
fn agrees(stats: &Stats, plain: &Plain, what: &str) {
    let count = |verdict| plain.verdicts.get(&verdict).copied().unwrap_or_default();
    assert_eq!(
        [stats.pass, stats.warn, stats.fail, stats.unknown],
        [
            Verdict::Pass,
            Verdict::Warn,
            Verdict::Fail,
            Verdict::Unknown
        ]
        .map(count),
        "{what}"
    );
    assert_eq!(stats.outcomes, plain.outcomes, "{what}");
    assert_eq!(stats.codes, plain.codes, "{what}");
    assert_eq!(
        stats.copies(),
        u64::try_from(plain.round_trips.len()).unwrap(),
        "{what}"
    );
    let reported = plain.codes.get("not-judged").copied().unwrap_or_default();
    let reported = reported.min(stats.pass);
    let good = stats.pass + stats.warn - reported;
    let judged = good + stats.fail;
    #[expect(clippy::cast_precision_loss, reason = "they are few")]
    let share = (judged > 0).then(|| good as f64 / judged as f64);
    assert_eq!(stats.availability(), share, "{what}");
    let mut sorted = plain.round_trips.clone();
    sorted.sort_unstable();
    for share in [0.01, 0.5, 0.95, 0.99, 1.0] {
        let ours = stats.percentile(share);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "they are few"
        )]
        let rank = ((share * sorted.len() as f64).ceil() as usize).max(1) - 1;
        let exact = sorted.get(rank).map(|micros| f64::from(*micros) / 1000.0);
        match (ours, exact) {
            (None, None) => {}
            (Some(ours), Some(exact)) => assert!(
                (ours - exact).abs() <= exact * 0.01 + 0.001,
                "{what}: p{share}: {ours} is not {exact}"
            ),
            (ours, exact) => panic!("{what}: p{share}: {ours:?} is not {exact:?}"),
        }
    }
}

async fn all_agree(reader: &Reader, probes: &[Sent], spans: &[Span], when: &str) {
    let stats = reader.stats(spans).await.unwrap();
    assert_eq!(stats.len(), spans.len());
    for (stats, span) in stats.iter().zip(spans) {
        let plain = recount(probes, *span);
        let what = format!("{when}, {span:?}");
        assert_eq!(
            stats.keys().collect::<Vec<_>>(),
            plain.keys().collect::<Vec<_>>(),
            "{what}"
        );
        for (key, stats) in stats {
            agrees(stats, &plain[key], &what);
        }
    }
}

async fn reckon_all(writer: &mut Writer) {
    while writer.reckon(noon()).await.unwrap() {}
}

async fn play(probes: &[Sent], spans: &[Span]) {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let number = |at: usize| u64::try_from(at).unwrap() + 1;
    let writes = probes.iter().enumerate().map(|(place, sent)| {
        let record = sent.record(number(place), sent.end);
        if sent.is_late {
            begun(number(place), &record)
        } else {
            settled(number(place), &record)
        }
    });
    writer.commit(&writes.collect::<Vec<_>>()).await.unwrap();
    let so_far: Vec<_> = probes
        .iter()
        .filter(|sent| !sent.is_late)
        .map(|sent| Sent {
            revised: None,
            ..sent.clone()
        })
        .collect();
    all_agree(&reader, &so_far, spans, "before any day is reckoned").await;
    for _ in 0..5 {
        writer.reckon(noon()).await.unwrap();
    }
    all_agree(&reader, &so_far, spans, "some days reckoned").await;
    reckon_all(&mut writer).await;
    all_agree(&reader, &so_far, spans, "all days reckoned").await;
    let later = probes.iter().enumerate().filter_map(|(place, sent)| {
        let end = sent.revised.or(sent.is_late.then_some(sent.end))?;
        Some(settled(number(place), &sent.record(number(place), end)))
    });
    writer.commit(&later.collect::<Vec<_>>()).await.unwrap();
    all_agree(&reader, probes, spans, "some days stale").await;
    reckon_all(&mut writer).await;
    all_agree(&reader, probes, spans, "stale days reckoned anew").await;
    // Of another process the same.
    close(writer, reader).await;
    let (_writer, reader) = bed.open().await;
    all_agree(&reader, probes, spans, "after a restart").await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_time_is_a_plain_recount(probes in vec(sent(), 0..150), spans in vec(span(), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(&probes, &spans));
    }
}
