//! What the service can be told. Who may tell it, the guard has decided.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::answer::Problem;
use super::desk::Desk;
use crate::probe::name::RouteName;
use crate::service::status::{Command, Refusal};
use crate::text::is_odd;

/// A name of somebody is never longer, in characters; what they write neither.
const LONGEST_NAME: usize = 100;
const LONGEST_NOTE: usize = 1000;

type Named = Result<Path<String>, PathRejection>;
type Done = Result<(StatusCode, Json<Value>), Problem>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledge {
    by: String,
    #[serde(default)]
    note: String,
}

pub(super) async fn trigger(State(desk): State<Arc<Desk>>, name: Named) -> Done {
    let Path(name) = name?;
    let route = RouteName::from(name.as_str());
    let due = desk.ask(|reply| Command::Trigger(route, reply)).await??;
    // It is sent now; what becomes of it is known later.
    let done = json!({ "route": name, "done": "triggered", "due_at": due });
    Ok((StatusCode::ACCEPTED, Json(done)))
}

pub(super) async fn pause(State(desk): State<Arc<Desk>>, name: Named) -> Done {
    let done = tell(&desk, name, "paused", Command::Pause).await?;
    Ok((StatusCode::OK, done))
}

pub(super) async fn resume(State(desk): State<Arc<Desk>>, name: Named) -> Done {
    let done = tell(&desk, name, "resumed", Command::Resume).await?;
    Ok((StatusCode::OK, done))
}

pub(super) async fn acknowledge(
    State(desk): State<Arc<Desk>>,
    name: Named,
    body: Result<Bytes, BytesRejection>,
) -> Done {
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    // Whatever the media type says: curl says form data of everything.
    let told: Acknowledge = serde_json::from_slice(&body).map_err(|error| {
        let example = r#"{"by": "ada", "note": "the disk is full, it is being seen to"}"#;
        Problem::bad(format!("the body is not like {example}: {error}"))
    })?;
    let by = line("by", &told.by, LONGEST_NAME)?;
    let note = line("note", &told.note, LONGEST_NOTE)?;
    if by.is_empty() {
        return Err(Problem::bad("`by` is empty: it says who acknowledges"));
    }
    let command = |route, reply| Command::Acknowledge {
        route,
        by,
        note,
        reply,
    };
    let done = tell(&desk, name, "acknowledged", command).await?;
    Ok((StatusCode::OK, done))
}

/// A text of somebody that stands in notices and on terminals.
fn line(key: &str, text: &str, longest: usize) -> Result<String, Problem> {
    let text = text.trim();
    if text.chars().count() > longest {
        let error = format!("`{key}` is longer than {longest} characters");
        return Err(Problem::bad(error));
    }
    if text.contains(is_odd) {
        let error = format!("`{key}` has line breaks or other characters in it that do not show");
        return Err(Problem::bad(error));
    }
    Ok(text.to_owned())
}

async fn tell(
    desk: &Desk,
    name: Named,
    done: &str,
    command: impl FnOnce(RouteName, oneshot::Sender<Result<(), Refusal>>) -> Command,
) -> Result<Json<Value>, Problem> {
    let Path(name) = name?;
    let route = RouteName::from(name.as_str());
    desk.ask(|reply| command(route, reply)).await??;
    Ok(Json(json!({ "route": name, "done": done })))
}
