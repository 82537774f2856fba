//! The history: probes and incidents, page by page. What is in flight the service's loop knows best.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::Uri;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::Problem;
use super::desk::Desk;
use super::document::{Incidents, Probes};
use crate::clock::Stamp;
use crate::config::value;
use crate::probe::name::RouteName;
use crate::probe::outcome::Verdict;
use crate::probe::state::TestKey;
use crate::service::status::Command;
use crate::store::{Page, Wanted};

/// So many come where nobody says how many, and where somebody wants more than that.
const USUAL: u32 = 100;
const MOST: u32 = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbesAsked {
    route: Option<RouteName>,
    test: Option<String>,
    verdict: Option<Verdict>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<u32>,
    beyond: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IncidentsAsked {
    since: Option<String>,
    until: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn probes(
    State(desk): State<Arc<Desk>>,
    uri: Uri,
) -> Result<Json<Probes>, Problem> {
    let ProbesAsked {
        route,
        test,
        verdict,
        since,
        until,
        limit,
        beyond,
    } = asked(&uri)?;
    let wanted = Wanted {
        route,
        test,
        verdict,
        settled: false,
        from: moment("since", since.as_deref())?,
        to: moment("until", until.as_deref())?,
        beyond,
        oldest_first: false,
        limit: bounded(limit)?,
    };
    // Asked first: what comes to its outcome meanwhile is then found with it.
    let in_flight = if wanted.verdict.is_some() {
        Vec::new()
    } else {
        let route = wanted.route.clone();
        desk.ask(|reply| Command::InFlight(route, reply)).await?
    };
    let page = desk.reader.probes(&wanted).await?;
    Ok(Json(merged(page, in_flight, &wanted)))
}

pub(super) async fn incidents(
    State(desk): State<Arc<Desk>>,
    uri: Uri,
) -> Result<Json<Incidents>, Problem> {
    let IncidentsAsked {
        since,
        until,
        limit,
    } = asked(&uri)?;
    let span = (
        moment("since", since.as_deref())?,
        moment("until", until.as_deref())?,
    );
    let incidents = desk.reader.incidents(span, bounded(limit)?).await?;
    Ok(Json(Incidents { incidents }))
}

fn asked<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let asked = Query::try_from_uri(uri);
    let Query(asked) = asked.map_err(|rejection| Problem::bad(rejection.body_text()))?;
    Ok(asked)
}

/// A moment, or how long ago it was.
fn moment(key: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    if let Ok(at) = text.parse() {
        return Ok(Some(at));
    }
    let now = Stamp::now().wall;
    let ago = value::duration(text).ok();
    let at = ago.and_then(|ago| now.saturating_sub(ago).ok());
    at.map(Some).ok_or_else(|| {
        let text: String = text.chars().take(100).collect();
        Problem::bad(format!(
            "{key}={text} is neither a time like 2026-01-01T00:00:00Z (+ is written %2B) nor how long ago, like 24h"
        ))
    })
}

fn bounded(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(USUAL) {
        limit @ 1..=MOST => Ok(limit),
        _ => Err(Problem::bad(format!("limit must be from 1 to {MOST}"))),
    }
}

/// A page of the history with what the service knows of those in flight. Those that the history could not take stand
/// before the others, on the page that they would be on.
fn merged(page: Page, in_flight: Vec<Value>, wanted: &Wanted) -> Probes {
    let Page { probes, beyond } = page;
    let mut in_flight: BTreeMap<String, Value> = in_flight
        .into_iter()
        .filter_map(|probe| Some((id(&probe)?.to_owned(), probe)))
        .collect();
    let on_page: BTreeSet<String> = probes.iter().filter_map(id).map(str::to_owned).collect();
    let known: Vec<_> = probes
        .into_iter()
        .map(|probe| {
            let is_settled = probe.get("outcome").is_some_and(|it| !it.is_null());
            let better = id(&probe).and_then(|id| in_flight.remove(id));
            better.filter(|_| !is_settled).unwrap_or(probe)
        })
        .collect();
    // The ids grow with time, so the oldest on a page that is full is where the next page begins.
    let oldest = on_page.first().filter(|_| beyond.is_some());
    let is_here =
        |id: &str| wanted.beyond.is_none() && oldest.is_none_or(|oldest| id > oldest.as_str());
    let unstored = in_flight.into_iter().rev();
    let mut probes: Vec<_> = unstored
        .filter(|(id, probe)| is_here(id) && is_wanted(probe, wanted))
        .map(|(_, probe)| probe)
        .collect();
    probes.extend(known);
    Probes {
        probes,
        next: beyond,
    }
}

fn id(probe: &Value) -> Option<&str> {
    probe.get("id")?.as_str()
}

/// Whether a probe that the history has not chosen is one of those asked for.
fn is_wanted(probe: &Value, wanted: &Wanted) -> bool {
    let text = |key: &str| probe.get(key).and_then(Value::as_str);
    let route: RouteName = text("route").unwrap_or_default().into();
    let payload = text("payload").unwrap_or("ping");
    let key = TestKey::new(route, payload, text("variant").unwrap_or_default());
    let due: Option<Timestamp> = text("due_at").and_then(|at| at.parse().ok());
    let in_time = |is_so: &dyn Fn(Timestamp) -> bool| due.is_some_and(is_so);
    wanted
        .route
        .as_ref()
        .is_none_or(|route| *route == key.route)
        && wanted.test.as_ref().is_none_or(|test| **test == *key.test)
        && wanted.from.is_none_or(|from| in_time(&|due| due >= from))
        && wanted.to.is_none_or(|to| in_time(&|due| due < to))
}
