//! Where the service can be asked: metrics, health checks, what it sees, its history; and where it can be told what to do.
//!
//! It answers from [`Snapshot`](super::status::Snapshot)s that it asks the service's loop for by
//! [`Command`], and from the history; it knows nothing by itself and decides nothing.
//!
//! ```text
//! TCP ─► serve: bounds, TLS ─► guard: whose host, whose token ─► look | probes | act ─► desk ─► the loop, the history
//! ```

mod act;
mod answer;
mod desk;
pub mod document;
mod guard;
mod look;
mod probes;
mod reckon;
mod serve;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use desk::Desk;
use guard::Guard;
use reckon::reckon;

use super::metrics::Metrics;
use super::status::Command;
use crate::store::Reader;

/// What answers are made of, and who gets them.
#[derive(Debug)]
pub struct Api {
    /// Where the service's loop is asked and told.
    pub commands: mpsc::Sender<Command>,
    /// The history.
    pub reader: Reader,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// What a client must show for every POST, and beyond loopback for everything but `/healthz`. `None`: nobody can
    /// do what needs it.
    pub token: Option<SecretString>,
    /// To serve TLS with, as [`serving`](crate::net::own::serving) makes it.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Answers until it is told to stop: then the listener is closed at once, and what is being answered is finished, within
/// seconds. Where `listener` can be reached by others than this machine, everything needs the token.
pub async fn serve(listener: TcpListener, api: Api, stop: CancellationToken) {
    let Api {
        commands,
        reader,
        metrics,
        token,
        tls,
    } = api;
    let guard = match listener.local_addr() {
        Ok(address) => Arc::new(Guard::new(address, token.as_ref())),
        Err(error) => {
            tracing::error!(%error, "the API cannot tell where it listens, so it does not answer");
            return;
        }
    };
    let mut tasks = JoinSet::new();
    let (asked, asks) = mpsc::channel(1);
    tasks.spawn(reckon(reader.clone(), asks));
    let desk = Arc::new(Desk {
        commands,
        reader,
        metrics,
        reckoner: asked,
    });
    let router = guard::guarded(router(desk), guard);
    serve::serve(listener, router, tls, tasks, stop).await;
}

/// What there is to be asked, one line each.
const ENDPOINTS: &str = "\
mailrobin: proves that mail really gets through

GET  /metrics                             for Prometheus (OpenMetrics)
GET  /healthz                             does the service live?
GET  /readyz                              does it test, and can it write its history?
GET  /api/v1/status                       all that it sees
GET  /api/v1/routes                       every route, with its availability
GET  /api/v1/routes/NAME
GET  /api/v1/probes                       ?route= &test= &verdict= &since= &until= &limit= &beyond=
GET  /api/v1/incidents                    ?since= &until= &limit=
POST /api/v1/routes/NAME/trigger          test it now
POST /api/v1/routes/NAME/acknowledge      {\"by\": \"…\", \"note\": \"…\"}
POST /api/v1/routes/NAME/pause
POST /api/v1/routes/NAME/resume
";

fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/", get(async || ENDPOINTS))
        .route("/metrics", get(look::metrics))
        .route("/healthz", get(look::healthz))
        .route("/readyz", get(look::readyz))
        .route("/api/v1/status", get(look::status))
        .route("/api/v1/routes", get(look::routes))
        .route("/api/v1/routes/{name}", get(look::route))
        .route("/api/v1/probes", get(probes::probes))
        .route("/api/v1/incidents", get(probes::incidents))
        .route("/api/v1/routes/{name}/trigger", post(act::trigger))
        .route("/api/v1/routes/{name}/acknowledge", post(act::acknowledge))
        .route("/api/v1/routes/{name}/pause", post(act::pause))
        .route("/api/v1/routes/{name}/resume", post(act::resume))
        .method_not_allowed_fallback(answer::wrong_method)
        .fallback(answer::nothing_here)
        .with_state(desk)
}
