//! A transaction on the writing connection: all of its statements, or none.

use sqlx::SqliteConnection;

/// Begins one. Whoever else writes is waited for here, and nowhere later.
pub(super) async fn begin(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    const BEGIN: &str = "BEGIN IMMEDIATE";
    match execute(connection, BEGIN).await {
        // One is open: whoever began it was dropped before its end.
        Err(error) if is_plain(&error) => {
            execute(connection, "ROLLBACK").await?;
            execute(connection, BEGIN).await
        }
        begun => begun,
    }
}

/// Ends it: what went well is kept, all else is taken back.
///
/// `sqlx` has a type for this. It counts the open transactions, and `SQLite` takes one back by itself where the disk is
/// full: from then on that count would be wrong, and nothing could be written until the next start.
pub(super) async fn end<T>(
    connection: &mut SqliteConnection,
    done: Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let ended = match done {
        Ok(value) => execute(connection, "COMMIT").await.map(|()| value),
        Err(error) => Err(error),
    };
    if ended.is_err() {
        // It may be taken back already.
        let _ = execute(connection, "ROLLBACK").await;
    }
    ended
}

async fn execute(
    connection: &mut SqliteConnection,
    statement: &'static str,
) -> Result<(), sqlx::Error> {
    sqlx::query(statement).execute(connection).await?;
    Ok(())
}

/// `SQLITE_ERROR`: the statement itself cannot be.
fn is_plain(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.code().as_deref() == Some("1"))
}
