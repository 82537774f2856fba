//! Opening the history: made if it is not there, brought up to date if it is older, left alone if it is newer or somebody
//! else's, set aside if it is damaged.

#![expect(
    clippy::disallowed_methods,
    reason = "the history is opened before anything is tested"
)]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Connection, Row, SqliteConnection};

use super::read::Reader;
use super::write::Writer;
use super::{StoreError, beside, is_corruption};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Marks the file as ours (`PRAGMA application_id`): "mrbn".
const APPLICATION: i32 = 0x6d72_626e;
/// How long another writer's transaction is waited for.
const BUSY: Duration = Duration::from_secs(2);
/// Readers at once.
const READERS: u32 = 2;

/// A history that can be written.
#[derive(Debug)]
pub struct Opened {
    /// Writes to it.
    pub writer: Writer,
    /// Reads it.
    pub reader: Reader,
    /// The damaged one that was in its place.
    pub set_aside: Option<SetAside>,
}

/// A damaged history that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// What was wrong with it.
    pub why: String,
}

impl Writer {
    /// Opens the history at `path`, as the only writer.
    pub async fn open(path: &Path, now: Timestamp) -> Result<Opened, StoreError> {
        let lock = lock(path)?;
        let mut set_aside = None;
        let connection = match prepare(path).await {
            Ok(connection) => connection,
            Err(error) if error.is_corruption() => {
                set_aside = Some(put_aside(path, &error, now)?);
                prepare(path).await?
            }
            Err(error) => return Err(error),
        };
        let reader = Reader::open(path).await?;
        let writer = Self::new(connection, path.to_owned(), lock).await?;
        Ok(Opened {
            writer,
            reader,
            set_aside,
        })
    }
}

impl Reader {
    /// Opens the history at `path`, to read.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::None {
                path: path.to_owned(),
            });
        }
        look_over(path).await?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(BUSY)
            .statement_cache_capacity(50);
        let pool: SqlitePool = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options)
            .await
            .map_err(StoreError::at(path, "cannot open it"))?;
        Ok(Self::new(pool, path.to_owned()))
    }
}

/// Nobody else may write: two services would judge each other's probes. The lock ends with the process.
fn lock(path: &Path) -> Result<File, StoreError> {
    let beside = beside(path, ".lock");
    let trouble = |what| {
        let path = path.to_owned();
        move |source| StoreError::File { path, what, source }
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&beside)
        .map_err(trouble("cannot make its lock file"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Taken {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(trouble("cannot lock it")(error)),
    }
}

async fn prepare(path: &Path) -> Result<SqliteConnection, StoreError> {
    let exists = fs::metadata(path).is_ok_and(|facts| facts.len() > 0);
    if exists {
        look_over(path).await?;
    } else {
        // SQLite would make it readable for everybody.
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| StoreError::File {
                path: path.to_owned(),
                what: "cannot make it",
                source,
            })?;
    }
    let mut options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit that was told must survive a loss of power.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        .foreign_keys(false)
        .statement_cache_capacity(100)
        .pragma("journal_size_limit", "16777216");
    if !exists {
        // To say it again would be a write: nothing could be opened on a full disk.
        options = options.auto_vacuum(SqliteAutoVacuum::Incremental);
    }
    let mut connection = SqliteConnection::connect_with(&options)
        .await
        .map_err(StoreError::at(path, "cannot open it"))?;
    let migrated = MIGRATIONS.run(&mut connection).await;
    migrated.map_err(|error| StoreError::Database {
        path: path.to_owned(),
        what: "cannot bring it up to date",
        source: match error {
            sqlx::migrate::MigrateError::Execute(error)
            | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => error,
            other => sqlx::Error::Migrate(Box::new(other)),
        },
    })?;
    Ok(connection)
}

/// Looks at a history without touching it: whether it is one, sound as far as a glance tells, and not a newer one.
async fn look_over(path: &Path) -> Result<(), StoreError> {
    // Where nobody has it open, `SQLite` would make files beside it, and leave them there.
    let is_alone = !beside(path, "-wal").exists();
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(is_alone)
        .busy_timeout(BUSY);
    let failed = || StoreError::at(path, "cannot read it");
    let mut connection = SqliteConnection::connect_with(&options)
        .await
        .map_err(failed())?;
    let glance = glance(&mut connection).await;
    let closed = connection.close().await;
    let path = path.to_owned();
    match glance.map_err(failed())? {
        Glance::Sound => closed.map_err(failed()),
        Glance::Foreign => Err(StoreError::Foreign { path }),
        Glance::Newer { theirs, ours } => Err(StoreError::Newer { path, theirs, ours }),
    }
}

/// What a glance shows.
enum Glance {
    Sound,
    Foreign,
    Newer { theirs: i64, ours: i64 },
}

async fn glance(connection: &mut SqliteConnection) -> Result<Glance, sqlx::Error> {
    let application: i32 = one(connection, "PRAGMA application_id").await?;
    let tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table'";
    let tables: i64 = one(connection, tables).await?;
    if application != APPLICATION {
        // One that was cut off while it was made has no mark yet.
        let is_begun = "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
        let is_begun = one::<i64>(connection, is_begun).await? == tables;
        return Ok(if application == 0 && is_begun {
            Glance::Sound
        } else {
            Glance::Foreign
        });
    }
    let newest = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations NOT INDEXED";
    let theirs = one(connection, newest).await?;
    let ours = MIGRATIONS.iter().map(|it| it.version).max().unwrap_or(0);
    if theirs > ours {
        return Ok(Glance::Newer { theirs, ours });
    }
    // What is read at every start; and where the newest rows cannot be read, nothing can be added behind them. This comes
    // before the migrations: what is named here has been there since the first.
    for glance in [
        "SELECT max(seq) FROM probes",
        "SELECT count(id) FROM probes INDEXED BY probes_in_flight WHERE outcome IS NULL",
        "SELECT max(length(kept)) FROM probes p INDEXED BY probes_in_flight JOIN details d ON d.seq = p.seq \
         WHERE outcome IS NULL",
        "SELECT max(seq) FROM details",
        "SELECT max(length(text)) FROM words NOT INDEXED",
        "SELECT max(length(name)) FROM tests NOT INDEXED",
        "SELECT max(length(standing)) FROM standings",
        "SELECT max(length(body)) FROM outbox NOT INDEXED",
        "SELECT max(length(line)) FROM lines NOT INDEXED",
        "SELECT max(length(value)) FROM facts NOT INDEXED",
        "SELECT max(length(incident)) FROM incidents INDEXED BY incidents_open WHERE ended IS NULL",
    ] {
        one::<Option<i64>>(connection, glance).await?;
    }
    Ok(Glance::Sound)
}

/// The one value that a statement asks for.
async fn one<T>(
    connection: &mut SqliteConnection,
    statement: &'static str,
) -> Result<T, sqlx::Error>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    let row = sqlx::query(statement).fetch_one(connection).await?;
    row.try_get(0)
}

/// Renames a damaged history, with the files that belong to it. It may still be worth something to somebody.
fn put_aside(path: &Path, error: &StoreError, now: Timestamp) -> Result<SetAside, StoreError> {
    let stamp = now.strftime(".damaged-%Y%m%dT%H%M%SZ").to_string();
    let mut aside = beside(path, &stamp);
    for number in 2.. {
        if !aside.exists() {
            break;
        }
        aside = beside(path, &format!("{stamp}-{number}"));
    }
    let why = match error {
        StoreError::Database { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    debug_assert!(matches!(error, StoreError::Database { source, .. } if is_corruption(source)));
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = (beside(path, suffix), beside(&aside, suffix));
        if from.exists() {
            fs::rename(&from, &to).map_err(|source| StoreError::File {
                path: path.to_owned(),
                what: "is damaged, and cannot be set aside",
                source,
            })?;
        }
    }
    Ok(SetAside { path: aside, why })
}
