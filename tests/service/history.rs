//! The history as others read it, while it is written or afterwards.

use std::path::PathBuf;

use jiff::Timestamp;
use mailrobin::probe::incident::Incident;
use mailrobin::store::{Reader, Wanted, Write, Writer};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

pub(crate) struct History {
    path: PathBuf,
    runtime: Runtime,
}

impl History {
    pub(crate) fn at(path: PathBuf) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { path, runtime }
    }

    /// Reads something; `None`: it cannot be read now.
    fn read<T>(&self, read: &impl AsyncFn(&Reader) -> T) -> Option<T> {
        self.runtime.block_on(async {
            let reader = Reader::open(&self.path).await.ok()?;
            Some(read(&reader).await)
        })
    }

    /// Every probe, in the order of their starts, as the result document has it.
    pub(crate) fn probes(&self) -> Vec<Value> {
        let wanted = Wanted {
            oldest_first: true,
            limit: 1_000_000,
            ..Wanted::default()
        };
        let page = self.read(&async |reader| reader.probes(&wanted).await);
        page.and_then(Result::ok).unwrap_or_default().probes
    }

    /// Those of a route and a payload that have their outcome.
    pub(crate) fn settled(&self, route: &str, payload: &str) -> Vec<Value> {
        let mut probes = self.probes();
        probes.retain(|it| {
            it["route"] == route && it["payload"] == payload && !it["outcome"].is_null()
        });
        probes
    }

    /// One probe.
    pub(crate) fn probe(&self, id: Uuid) -> Value {
        let id = id.to_string();
        let found = self.probes().into_iter().find(|probe| probe["id"] == *id);
        found.unwrap_or_default()
    }

    /// How many probes have no outcome yet, and how many notices are still to go out.
    pub(crate) fn open(&self) -> Option<(usize, usize)> {
        let read = self.read(&async |reader| {
            let in_flight = reader.in_flight().await.ok()?.len();
            Some((in_flight, reader.outbox().await.ok()?.len()))
        });
        read.flatten()
    }

    /// Pauses these routes, as somebody may have done by the API.
    pub(crate) fn pause(&self, routes: impl Iterator<Item = String>) {
        self.runtime.block_on(async {
            let opened = Writer::open(&self.path, Timestamp::now()).await.unwrap();
            let mut writer = opened.writer;
            let pauses: Vec<_> = routes
                .map(|route| Write::Fact {
                    name: format!("paused {route}"),
                    value: Some(Timestamp::now().to_string()),
                })
                .collect();
            writer.commit(&pauses).await.unwrap();
            writer.close().await.unwrap();
        });
    }

    /// What `SQLite` finds wrong with it.
    pub(crate) fn problems(&self) -> Vec<String> {
        let checked = self.read(&async |reader| reader.check().await.unwrap());
        checked.unwrap().problems
    }

    /// Incidents, the newest first.
    pub(crate) fn incidents(&self) -> Vec<Incident> {
        let read = self.read(&async |reader| reader.incidents((None, None), 1000).await);
        read.and_then(Result::ok).unwrap_or_default()
    }
}
