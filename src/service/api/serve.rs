//! Connections: how many at once, for how long, with how much, and TLS. `axum::serve` bounds none of these, so hyper is
//! driven here.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

/// Connections at once. More than requests that are answered at once, so that there is one to end.
const CONNECTIONS: usize = 256;
/// A handshake, or a request's header, takes no longer; nor does a kept connection wait for the next request.
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// The header of a request is never longer; more than this many fields are refused too.
const HEADER_SIZE: usize = 16 * 1024;
const HEADER_FIELDS: usize = 64;
/// What of one connection is held in memory.
const BUFFER: usize = 64 * 1024;
/// A connection is kept no longer.
const LIFETIME: Duration = Duration::from_mins(2);
/// What is being answered when a connection must end is finished within this time, or not at all.
const GRACE: Duration = Duration::from_secs(5);
/// After a connection that could not be accepted, as when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(200);

/// A connection. Its task holds it as long as it lasts.
#[derive(Debug, Default)]
struct Place {
    /// A request of it is being answered.
    is_answering: AtomicBool,
    /// Ends it.
    leave: CancellationToken,
}

/// Connections in the order in which they came. When there are too many, the oldest that only waits is ended: clients that
/// are silent or slow, however many, keep nobody out.
#[derive(Debug, Default)]
struct Places(VecDeque<Arc<Place>>);

impl Places {
    /// A place, unless requests are being answered on all of them.
    fn take(&mut self) -> Option<Arc<Place>> {
        if self.0.len() >= CONNECTIONS {
            self.0.retain(|place| Arc::strong_count(place) > 1);
        }
        if self.0.len() >= CONNECTIONS {
            let waits = |place: &Arc<Place>| !place.is_answering.load(Ordering::Relaxed);
            let oldest = self.0.iter().position(waits);
            self.0.remove(oldest?)?.leave.cancel();
        }
        let place = Arc::<Place>::default();
        self.0.push_back(Arc::clone(&place));
        Some(place)
    }
}

pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<ServerConfig>>,
    mut tasks: JoinSet<()>,
    stop: CancellationToken,
) {
    let mut places = Places::default();
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let tcp = match accepted {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::debug!(%error, "the API cannot accept a connection");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Some(place) = places.take() else {
            continue;
        };
        let (router, acceptor, stop) = (router.clone(), acceptor.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = place.leave.cancelled() => {}
                () = attend(tcp, acceptor, router, (&place, &stop)) => {}
            }
        });
        // Many that come at once must not end one whose request was not looked at yet.
        yield_now().await;
    }
    drop((listener, router));
    let finished = async { while tasks.join_next().await.is_some() {} };
    let _ = timeout(2 * GRACE, finished).await;
    tasks.shutdown().await;
}

async fn attend(
    tcp: TcpStream,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    (place, stop): (&Arc<Place>, &CancellationToken),
) {
    // Without it only an answer's last packet is late.
    let _ = tcp.set_nodelay(true);
    let Some(acceptor) = acceptor else {
        return converse(tcp, router, (place, stop)).await;
    };
    let shaken = tokio::select! {
        shaken = timeout(HEADER_LIMIT, acceptor.accept(tcp)) => shaken,
        () = stop.cancelled() => return,
    };
    if let Ok(Ok(stream)) = shaken {
        converse(stream, router, (place, stop)).await;
    }
}

async fn converse<S>(stream: S, router: Router, (place, stop): (&Arc<Place>, &CancellationToken))
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request| {
        place.is_answering.store(true, Ordering::Relaxed);
        let answered = router.call(request);
        async move {
            let answer = answered.await;
            place.is_answering.store(false, Ordering::Relaxed);
            answer
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_LIMIT)
            .max_header_size(HEADER_SIZE)
            .max_headers(HEADER_FIELDS)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        // However it ended, there is nobody to tell.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = sleep(LIFETIME) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}
