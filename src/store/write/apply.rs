//! Each kind of write, as statements of a transaction.

use sqlx::{Row, SqliteConnection};

use super::{Known, Write};
use crate::probe::facts::SeenBy;
use crate::probe::outcome::{Code, Outcome, Verdict};
use crate::probe::record::Record;
use crate::probe::state::TestKey;
use crate::store::days::DAY;
use crate::store::row::{Columns, micros, verdict_number};

fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[expect(clippy::too_many_lines, reason = "one arm for each kind of write")]
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    write: &Write,
    known: &mut Known,
) -> Result<(), sqlx::Error> {
    match write {
        Write::Begun {
            seq,
            id,
            test,
            due,
            kept,
        } => {
            let test = known.tests.number(connection, test).await?;
            sqlx::query("INSERT INTO probes (seq, id, test, due) VALUES ($1, $2, $3, $4)")
                .bind(number(*seq))
                .bind(id.as_bytes().as_slice())
                .bind(test)
                .bind(micros(*due))
                .execute(&mut *connection)
                .await?;
            sqlx::query("INSERT OR REPLACE INTO details (seq, kept) VALUES ($1, $2)")
                .bind(number(*seq))
                .bind(known.packer.pack(kept))
                .execute(connection)
                .await?;
        }
        Write::Further { seq, kept } => {
            // Where its beginning could not be stored, there is nothing yet that could come further.
            sqlx::query("UPDATE details SET kept = $2 WHERE seq = $1")
                .bind(number(*seq))
                .bind(known.packer.pack(kept))
                .execute(connection)
                .await?;
        }
        Write::Settled { seq, record, kept } => {
            return settled(connection, *seq, (record, kept.as_deref()), known).await;
        }
        Write::Abandoned { seq, reason } => {
            return abandoned(connection, *seq, reason, known).await;
        }
        Write::Standing { test, standing } => {
            let test = known.tests.number(connection, test).await?;
            let query = match standing {
                Some(_) => "INSERT OR REPLACE INTO standings (test, standing) VALUES ($1, $2)",
                None => "DELETE FROM standings WHERE test = $1",
            };
            let query = sqlx::query(query).bind(test);
            let query = standing.iter().fold(query, sqlx::query::Query::bind);
            query.execute(connection).await?;
        }
        Write::Incident(incident) => {
            let test = known.tests.number(connection, &incident.key).await?;
            let whole = serde_json::to_string(incident);
            sqlx::query(
                "INSERT OR REPLACE INTO incidents (id, test, began, ended, incident) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(incident.id.as_bytes().as_slice())
            .bind(test)
            .bind(micros(incident.began))
            .bind(incident.ended.map(micros))
            .bind(whole.map_err(|error| sqlx::Error::Encode(error.into()))?)
            .execute(connection)
            .await?;
        }
        Write::Notice {
            id,
            made,
            alert,
            body,
        } => {
            sqlx::query(
                "INSERT OR IGNORE INTO outbox (made, notice, alert, body) VALUES ($1, $2, $3, $4)",
            )
            .bind(micros(*made))
            .bind(id.as_bytes().as_slice())
            .bind(alert.as_str())
            .bind(body)
            .execute(connection)
            .await?;
        }
        Write::Told { id, alert } => {
            sqlx::query("DELETE FROM outbox WHERE notice = $1 AND alert = $2")
                .bind(id.as_bytes().as_slice())
                .bind(alert.as_str())
                .execute(connection)
                .await?;
        }
        Write::Tried {
            id,
            alert,
            attempts,
        } => {
            sqlx::query("UPDATE outbox SET attempts = $3 WHERE notice = $1 AND alert = $2")
                .bind(id.as_bytes().as_slice())
                .bind(alert.as_str())
                .bind(*attempts)
                .execute(connection)
                .await?;
        }
        Write::Line { line, due, missed } => {
            sqlx::query("INSERT OR REPLACE INTO lines (line, due, missed) VALUES ($1, $2, $3)")
                .bind(line)
                .bind(micros(*due))
                .bind(number(*missed))
                .execute(connection)
                .await?;
        }
        Write::Fact { name, value } => {
            let query = match value {
                Some(value) => {
                    sqlx::query("INSERT OR REPLACE INTO facts (name, value) VALUES ($1, $2)")
                        .bind(name)
                        .bind(value)
                }
                None => sqlx::query("DELETE FROM facts WHERE name = $1").bind(name),
            };
            query.execute(connection).await?;
        }
    }
    Ok(())
}

async fn settled(
    connection: &mut SqliteConnection,
    seq: u64,
    (record, kept): (&Record, Option<&[u8]>),
    known: &mut Known,
) -> Result<(), sqlx::Error> {
    let test = known.tests.number(connection, &TestKey::of(record)).await?;
    let words = &mut known.words;
    let outcome = words.number(connection, record.outcome.as_str()).await?;
    let code = words.number(connection, record.code.as_str()).await?;
    let seen_by = match record.seen_by {
        Some(SeenBy::Idle) => Some(words.number(connection, "idle").await?),
        Some(SeenBy::Poll) => Some(words.number(connection, "poll").await?),
        None => None,
    };
    let columns = Columns::of(record);
    let mut query = sqlx::query(
        "INSERT OR REPLACE INTO probes (seq, id, test, due, started, accepted, seen, outcome, verdict, code, \
         seen_by, resolution, round_trip, deferral, deadline, duplicates, flags, revised, control, \
         dns, connect, tls, banner, ehlo, starttls, auth, mail, rcpt, data, transit) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
         $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)",
    )
    .bind(number(seq))
    .bind(record.id.as_bytes().as_slice())
    .bind(test)
    .bind(columns.due)
    .bind(columns.started)
    .bind(columns.accepted)
    .bind(columns.seen)
    .bind(outcome)
    .bind(verdict_number(record.verdict))
    .bind(code)
    .bind(seen_by)
    .bind(columns.resolution)
    .bind(columns.round_trip)
    .bind(columns.deferral)
    .bind(columns.deadline)
    .bind(columns.duplicates)
    .bind(columns.flags)
    .bind(columns.revised)
    .bind(columns.control);
    for phase in columns.phases {
        query = query.bind(phase);
    }
    query.execute(&mut *connection).await?;
    let document = serde_json::to_vec(record).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query(
        "INSERT OR REPLACE INTO details (seq, kept, document, passed) VALUES ($1, $2, $3, $4)",
    )
    .bind(number(seq))
    .bind(kept.map(|kept| known.packer.pack(kept)))
    .bind(known.packer.pack(&document))
    .bind((record.verdict == Verdict::Pass).then_some(1))
    .execute(&mut *connection)
    .await?;
    stale(connection, test, columns.due, known).await
}

/// A day that was reckoned without this probe is to be reckoned anew, where its other probes are still there.
async fn stale(
    connection: &mut SqliteConnection,
    test: i64,
    due: i64,
    known: &Known,
) -> Result<(), sqlx::Error> {
    let day = due.div_euclid(DAY);
    if known.limits.can_be_stale(day) {
        sqlx::query(
            "INSERT OR REPLACE INTO days (test, day, pass, warn, fail, unknown, outcomes, codes, round_trips) \
             VALUES ($1, $2, -1, 0, 0, 0, '{}', '{}', x'')",
        )
        .bind(test)
        .bind(day)
        .execute(connection)
        .await?;
    }
    Ok(())
}

async fn abandoned(
    connection: &mut SqliteConnection,
    seq: u64,
    reason: &str,
    known: &mut Known,
) -> Result<(), sqlx::Error> {
    let words = &mut known.words;
    let outcome = words
        .number(connection, Outcome::Unfinished.as_str())
        .await?;
    let code = words.number(connection, Code::Interrupted.as_str()).await?;
    tracing::warn!(seq, "a probe in flight cannot be taken up: {reason}");
    let row = sqlx::query(
        "UPDATE probes SET outcome = $2, verdict = $3, code = $4 WHERE seq = $1 RETURNING test, due",
    )
    .bind(number(seq))
    .bind(outcome)
    .bind(verdict_number(Verdict::Unknown))
    .bind(code)
    .fetch_optional(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM details WHERE seq = $1")
        .bind(number(seq))
        .execute(&mut *connection)
        .await?;
    match row {
        Some(row) => stale(connection, row.try_get("test")?, row.try_get("due")?, known).await,
        None => Ok(()),
    }
}
