//! A probe's row: what of a record is kept as columns, and how a record is made of them again.

use std::io::{Read, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::numbers::Words;
use crate::probe::evidence::Evidence;
use crate::probe::facts::SeenBy;
use crate::probe::outcome::{Code, Outcome, Phase, Verdict};
use crate::probe::payload::Payload;
use crate::probe::record::{Clock, PhaseTime, Record};

/// A details blob is never larger, unpacked: a document has bounded parts.
const LARGEST: u64 = 64 * 1024 * 1024;

const LATE: i64 = 1;
const WALL: i64 = 2;
const UNSTORED: i64 = 4;

/// The phases that have a column, in the order of the columns. The deferral has its own.
pub(super) const PHASES: [Phase; 11] = [
    Phase::Dns,
    Phase::Connect,
    Phase::Tls,
    Phase::Banner,
    Phase::Ehlo,
    Phase::Starttls,
    Phase::Auth,
    Phase::Mail,
    Phase::Rcpt,
    Phase::Data,
    Phase::Transit,
];

/// The number that stands for a verdict in the database, for good.
pub(super) const fn verdict_number(verdict: Verdict) -> i64 {
    match verdict {
        Verdict::Pass => 1,
        Verdict::Warn => 2,
        Verdict::Unknown => 3,
        Verdict::Fail => 4,
    }
}

/// Microseconds since 1970.
pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// A moment from its microseconds.
pub(super) fn moment(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Whole microseconds of a duration in milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float that is out of range saturates"
)]
pub(super) fn whole(milliseconds: f64) -> i64 {
    (milliseconds * 1000.0).round() as i64
}

/// A duration in milliseconds from whole microseconds.
pub(super) fn milliseconds(micros: i64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds of any real round trip fit 53 bits"
    )]
    let micros = micros as f64;
    micros / 1000.0
}

/// What of a record is kept as columns.
pub(super) struct Columns {
    pub(super) due: i64,
    pub(super) started: Option<i64>,
    pub(super) accepted: Option<i64>,
    pub(super) seen: Option<i64>,
    pub(super) resolution: Option<i64>,
    pub(super) round_trip: Option<i64>,
    pub(super) deferral: Option<i64>,
    pub(super) deadline: i64,
    pub(super) duplicates: Option<i64>,
    pub(super) flags: i64,
    pub(super) revised: Option<i64>,
    pub(super) control: Option<Vec<u8>>,
    pub(super) phases: [Option<i64>; PHASES.len()],
}

impl Columns {
    pub(super) fn of(record: &Record) -> Self {
        let due = micros(record.due_at);
        let after = |at: Option<Timestamp>| at.map(|at| micros(at) - due);
        let flag = |is_on: bool, flag: i64| if is_on { flag } else { 0 };
        let phase = |phase: Phase| {
            let it = record.phases.iter().find(|time| time.name == phase);
            it.map(|time| whole(time.ms))
        };
        Self {
            due,
            started: after(record.started_at),
            accepted: after(record.accepted_at),
            seen: after(record.seen_at),
            resolution: record.resolution_ms.map(whole),
            round_trip: record.round_trip_ms.map(whole),
            deferral: Some(whole(record.deferral_ms)).filter(|deferral| *deferral != 0),
            deadline: whole(record.deadline_ms) / 1000,
            duplicates: i64::try_from(record.duplicates).ok().filter(|it| *it != 0),
            flags: flag(record.late, LATE)
                | flag(record.clock == Clock::Wall, WALL)
                | flag(record.unstored, UNSTORED),
            revised: record.revised_at.map(micros),
            control: record.control.map(|control| control.as_bytes().to_vec()),
            phases: PHASES.map(phase),
        }
    }
}

/// The record that a row stands for, with what only a document has left empty. `None` for a probe in flight.
pub(super) fn record(
    row: &SqliteRow,
    words: &Words,
    instance: &str,
) -> Result<Option<Record>, sqlx::Error> {
    let optional = |column: &str| row.try_get::<Option<i64>, _>(column);
    let word = |column: &str| {
        let word = optional(column)?;
        Ok::<_, sqlx::Error>(word.and_then(|word| words.text(word)))
    };
    let (outcome, verdict, code) = (word("outcome")?, word("verdict")?, word("code")?);
    let (Some(outcome), Some(verdict), Some(code)) = (
        outcome.and_then(parse::<Outcome>),
        verdict.and_then(parse::<Verdict>),
        code.and_then(parse::<Code>),
    ) else {
        return Ok(None);
    };
    let due: i64 = row.try_get("due")?;
    let after =
        |column: &str| Ok::<_, sqlx::Error>(optional(column)?.map(|after| moment(due + after)));
    let payload: Option<&str> = row.try_get("payload")?;
    let payload = payload.and_then(Payload::named);
    let flags = optional("flags")?.unwrap_or_default();
    let round_trip = optional("round_trip")?;
    let deferral = optional("deferral")?.unwrap_or_default();
    let mut phases = Vec::new();
    let mut push = |name, micros: i64| {
        phases.push(PhaseTime {
            name,
            ms: milliseconds(micros),
        });
    };
    if deferral != 0 {
        push(Phase::Deferral, deferral);
    }
    for phase in PHASES {
        if let Some(micros) = optional(phase.as_str())? {
            push(phase, micros);
        }
    }
    let reason = match round_trip {
        Some(round_trip) => format!("{outcome} after {:.1} ms", milliseconds(round_trip)),
        None => outcome.to_string(),
    };
    Ok(Some(Record {
        id: id(row, "id")?,
        instance: instance.to_owned(),
        route: row.try_get::<&str, _>("route")?.into(),
        variant: row.try_get("variant")?,
        control: row
            .try_get::<Option<&[u8]>, _>("control")?
            .and_then(|bytes| Uuid::from_slice(bytes).ok()),
        superseded_by: None,
        expect: payload.map_or_else(
            || vec![Outcome::Answered],
            |payload| payload.default_expect().to_vec(),
        ),
        payload,
        outcome,
        verdict,
        code,
        reason,
        due_at: moment(due),
        started_at: after("started")?,
        accepted_at: after("accepted")?,
        seen_at: after("seen")?,
        seen_by: word("seen_by")?.and_then(parse::<SeenBy>),
        resolution_ms: optional("resolution")?.map(milliseconds),
        clock: if flags & WALL == 0 {
            Clock::Monotonic
        } else {
            Clock::Wall
        },
        revised_at: optional("revised")?.map(moment),
        unstored: flags & UNSTORED != 0,
        round_trip_ms: round_trip.map(milliseconds),
        deferral_ms: milliseconds(deferral),
        deadline_ms: milliseconds(optional("deadline")?.unwrap_or_default() * 1000),
        warn_after_ms: None,
        late: flags & LATE != 0,
        duplicates: optional("duplicates")?
            .and_then(|it| usize::try_from(it).ok())
            .unwrap_or_default(),
        phases,
        attempts: Vec::new(),
        smtp: None,
        copies: Vec::new(),
        evidence: Evidence::default(),
        transcript: Vec::new(),
    }))
}

pub(super) fn id(row: &SqliteRow, column: &str) -> Result<Uuid, sqlx::Error> {
    let bytes: &[u8] = row.try_get(column)?;
    Uuid::from_slice(bytes).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// One of our words, from its text.
pub(super) fn parse<T: serde::de::DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(word.into()).ok()
}

/// Packs texts one after the other. It takes 400 KB, so there is one for all of them.
#[derive(Debug)]
pub(super) struct Packer(ZlibEncoder<Vec<u8>>);

impl Packer {
    pub(super) fn new() -> Self {
        Self(ZlibEncoder::new(Vec::new(), Compression::fast()))
    }

    pub(super) fn pack(&mut self, text: &[u8]) -> Vec<u8> {
        // Writing to memory does not fail.
        let _ = self.0.write_all(text);
        self.0.reset(Vec::new()).unwrap_or_default()
    }
}

/// Unpacks what a [`Packer`] made.
pub(super) fn unpack(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(packed.len() * 4);
    ZlibDecoder::new(packed)
        .take(LARGEST)
        .read_to_end(&mut text)?;
    Ok(text)
}
