//! Connections: how many at once, for how long, with how much, and TLS. `axum::serve` bounds none of these, so hyper is
//! driven here.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

/// Connections at once.
const CONNECTIONS: usize = 64;
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

/// What a connection gets that is one too many.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
Content-Type: application/json\r\nContent-Length: 42\r\n\r\n{\"error\":\"there are too many connections\"}";

pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<ServerConfig>>,
    mut tasks: JoinSet<()>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
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
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            if acceptor.is_none() {
                // A few bytes fit the buffer of a socket that nobody has written to.
                let _ = tcp.try_write(TOO_MANY);
            }
            continue;
        };
        let (router, acceptor, stop) = (router.clone(), acceptor.clone(), stop.clone());
        tasks.spawn(async move {
            attend(tcp, acceptor, router, &stop).await;
            drop(place);
        });
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
    stop: &CancellationToken,
) {
    // Without it only an answer's last packet is late.
    let _ = tcp.set_nodelay(true);
    let Some(acceptor) = acceptor else {
        return converse(tcp, router, stop).await;
    };
    let shaken = tokio::select! {
        shaken = timeout(HEADER_LIMIT, acceptor.accept(tcp)) => shaken,
        () = stop.cancelled() => return,
    };
    if let Ok(Ok(stream)) = shaken {
        converse(stream, router, stop).await;
    }
}

async fn converse<S>(stream: S, router: Router, stop: &CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_LIMIT)
            .max_header_size(HEADER_SIZE)
            .max_headers(HEADER_FIELDS)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
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
