//! What has a number in the database: words, and tests. What a transaction has learnt is forgotten if that comes to nothing.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::probe::payload::Payload;
use crate::probe::state::TestKey;

/// The words of the database and their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    numbers: BTreeMap<String, i64>,
    texts: BTreeMap<i64, String>,
    /// Learnt in the transaction under way.
    fresh: Vec<String>,
}

impl Words {
    pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let mut words = Self::default();
        let rows = sqlx::query("SELECT word, text FROM words").fetch_all(connection);
        for row in rows.await? {
            words.learn(row.try_get("text")?, row.try_get("word")?);
        }
        words.fresh.clear();
        Ok(words)
    }

    pub(super) fn text(&self, number: i64) -> Option<&str> {
        self.texts.get(&number).map(String::as_str)
    }

    /// A word's number; it gets one if it has none.
    pub(super) async fn number(
        &mut self,
        connection: &mut SqliteConnection,
        text: &str,
    ) -> Result<i64, sqlx::Error> {
        if let Some(number) = self.numbers.get(text) {
            return Ok(*number);
        }
        // It may be there already, of a commit that nobody waited for.
        let row = sqlx::query(
            "INSERT INTO words (text) VALUES ($1) ON CONFLICT (text) DO UPDATE SET text = text RETURNING word",
        )
        .bind(text)
        .fetch_one(connection)
        .await?;
        let number = row.try_get("word")?;
        self.learn(text.to_owned(), number);
        self.fresh.push(text.to_owned());
        Ok(number)
    }

    /// What was learnt in the transaction is there, or not.
    pub(super) fn learnt(&mut self, is_there: bool) {
        for text in self.fresh.drain(..).filter(|_| !is_there) {
            if let Some(number) = self.numbers.remove(&text) {
                self.texts.remove(&number);
            }
        }
    }

    fn learn(&mut self, text: String, number: i64) {
        self.texts.insert(number, text.clone());
        self.numbers.insert(text, number);
    }
}

/// The tests of the database and their numbers.
#[derive(Debug, Default)]
pub(super) struct Tests {
    numbers: BTreeMap<TestKey, i64>,
    /// Learnt in the transaction under way.
    fresh: Vec<TestKey>,
}

impl Tests {
    pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let mut tests = Self::default();
        let rows = sqlx::query("SELECT test, route, name FROM tests").fetch_all(connection);
        for row in rows.await? {
            tests.numbers.insert(key(&row)?, row.try_get("test")?);
        }
        Ok(tests)
    }

    /// A test's number; it gets one if it has none.
    pub(super) async fn number(
        &mut self,
        connection: &mut SqliteConnection,
        test: &TestKey,
    ) -> Result<i64, sqlx::Error> {
        if let Some(number) = self.numbers.get(test) {
            return Ok(*number);
        }
        let row = sqlx::query(
            "INSERT INTO tests (route, name, payload, variant) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (route, name) DO UPDATE SET route = route RETURNING test",
        )
        .bind(test.route.as_str())
        .bind(&*test.test)
        .bind(test.payload().map(Payload::as_str))
        .bind(test.variant())
        .fetch_one(connection)
        .await?;
        let number = row.try_get("test")?;
        self.numbers.insert(test.clone(), number);
        self.fresh.push(test.clone());
        Ok(number)
    }

    /// What was learnt in the transaction is there, or not.
    pub(super) fn learnt(&mut self, is_there: bool) {
        for key in self.fresh.drain(..).filter(|_| !is_there) {
            self.numbers.remove(&key);
        }
    }
}

/// The test that a row names.
pub(super) fn key(row: &SqliteRow) -> Result<TestKey, sqlx::Error> {
    Ok(TestKey {
        route: row.try_get::<&str, _>("route")?.into(),
        test: row.try_get::<&str, _>("name")?.into(),
    })
}
