//! What the service sees: for Prometheus, for health checks, for people and programs.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::answer::Problem;
use super::desk::Desk;
use super::document::{RouteStatus, Routes, Status};
use crate::service::metrics::MEDIA_TYPE;
use crate::service::status::{Activity, Refusal, Snapshot};

pub(super) async fn metrics(State(desk): State<Arc<Desk>>) -> Result<Response, Problem> {
    let snapshot = desk.look().await?;
    let text = desk.metrics.encode(&snapshot);
    let media_type = HeaderValue::from_static(MEDIA_TYPE);
    Ok(([(CONTENT_TYPE, media_type)], text).into_response())
}

/// Whether the loop answers, whatever it says.
pub(super) async fn healthz(State(desk): State<Arc<Desk>>) -> Result<Response, Problem> {
    desk.look().await?;
    Ok(Json(json!({ "healthy": true })).into_response())
}

/// Whether it does what it is there for.
pub(super) async fn readyz(State(desk): State<Arc<Desk>>) -> Result<Response, Problem> {
    let reasons = unready(&*desk.look().await?);
    let (status, is_ready) = if reasons.is_empty() {
        (StatusCode::OK, true)
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, false)
    };
    let body = json!({ "ready": is_ready, "reasons": reasons });
    Ok((status, Json(body)).into_response())
}

fn unready(snapshot: &Snapshot) -> Vec<String> {
    let activity = match snapshot.activity {
        Activity::Starting => Some("it is still starting".to_owned()),
        Activity::Testing => None,
        Activity::Stopping => Some("it is stopping".to_owned()),
    };
    let store = snapshot.store.problem.as_ref();
    let store = store.map(|problem| format!("the history cannot be written: {problem}"));
    activity.into_iter().chain(store).collect()
}

pub(super) async fn status(State(desk): State<Arc<Desk>>) -> Result<Json<Status>, Problem> {
    Ok(Json(desk.status().await?))
}

pub(super) async fn routes(State(desk): State<Arc<Desk>>) -> Result<Json<Routes>, Problem> {
    let Status { at, routes, .. } = desk.status().await?;
    Ok(Json(Routes { at, routes }))
}

pub(super) async fn route(
    State(desk): State<Arc<Desk>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<RouteStatus>, Problem> {
    let Path(name) = name?;
    let routes = desk.status().await?.routes;
    let mut routes = routes.into_iter();
    let route = routes.find(|route| route.view.name.as_str() == name);
    let unknown = || Refusal::NoRoute(name.as_str().into());
    Ok(Json(route.ok_or_else(unknown)?))
}
