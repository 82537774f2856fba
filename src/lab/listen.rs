//! Accepting connections: one task each, at most so many at a time, all ended together.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    imap, pop3,
    site::{CONNECTIONS, Site},
    smtp, stamp,
    wire::WireError,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Smtp,
    Imap,
    Pop3,
}

impl Protocol {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Protocol::Smtp => "SMTP",
            Protocol::Imap => "IMAP",
            Protocol::Pop3 => "POP3",
        }
    }

    pub(crate) const fn port_option(self) -> &'static str {
        match self {
            Protocol::Smtp => "--smtp-port",
            Protocol::Imap => "--imap-port",
            Protocol::Pop3 => "--pop3-port",
        }
    }

    const fn busy(self) -> &'static [u8] {
        match self {
            Protocol::Smtp => b"421 4.3.2 too many connections, try again later\r\n",
            Protocol::Imap => b"* BYE too many connections, try again later\r\n",
            Protocol::Pop3 => b"-ERR [SYS/TEMP] too many connections, try again later\r\n",
        }
    }
}

/// Serves one port until the lab stops.
pub(crate) async fn serve(listener: TcpListener, protocol: Protocol, site: Arc<Site>) {
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let stop = site.stop.clone();
    stop.run_until_cancelled(async {
        let mut listener = listener;
        loop {
            // The sessions of one up-time end together, when the server goes down.
            let up = site.stop.child_token();
            accept_while_up(&listener, protocol, &site, &up).await;
            up.cancel();
            drop(listener);
            listener = back_up(&site, address).await;
        }
    })
    .await;
}

/// Accepts connections; returns when a fault takes the server down.
async fn accept_while_up(
    listener: &TcpListener,
    protocol: Protocol,
    site: &Arc<Site>,
    up: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut down = site.imap_down.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Ok(_) = down.wait_for(Option::is_some), if protocol == Protocol::Imap => return,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer, protocol, site, &places, up),
            Err(error) => {
                // Out of descriptors, most likely: let some connections end first.
                tracing::warn!(target: "lab", %error, "cannot accept");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Waits until the server may be up again, and listens on the same port.
async fn back_up(site: &Site, address: SocketAddr) -> TcpListener {
    let mut down = site.imap_down.subscribe();
    loop {
        let Some(until) = *down.borrow_and_update() else {
            break;
        };
        tokio::select! {
            () = sleep_until(until.into()) => break,
            // Another fault, or `clear`, may move the end.
            _ = down.changed() => {}
        }
    }
    site.imap_down.send_if_modified(|until| {
        let over = until.is_some_and(|until| until <= stamp::instant(Duration::ZERO));
        if over {
            *until = None;
        }
        over
    });
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => {
                tracing::warn!(target: "lab", %error, %address, "cannot listen again yet");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    protocol: Protocol,
    site: &Arc<Site>,
    places: &Arc<Semaphore>,
    up: &CancellationToken,
) {
    // Small replies must not wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        site.tasks.spawn(turn_away(stream, protocol));
        return;
    };
    let conversation = converse(stream, peer, protocol, Arc::clone(site), place);
    let up = up.clone();
    site.tasks.spawn(up.run_until_cancelled_owned(conversation));
}

async fn turn_away(mut stream: TcpStream, protocol: Protocol) {
    let farewell = async {
        stream.write_all(protocol.busy()).await?;
        stream.shutdown().await
    };
    let _: Result<io::Result<()>, _> = timeout(Duration::from_secs(1), farewell).await;
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    protocol: Protocol,
    site: Arc<Site>,
    _place: OwnedSemaphorePermit,
) {
    let name = protocol.name();
    tracing::debug!(target: "lab", name, %peer, "connected");
    let ended = match protocol {
        Protocol::Smtp => smtp::serve(stream, peer.ip(), site).await,
        Protocol::Imap => imap::serve(stream, site).await,
        Protocol::Pop3 => pop3::serve(stream, site).await,
    };
    match ended {
        Ok(()) | Err(WireError::Closed) => tracing::debug!(target: "lab", name, %peer, "ended"),
        Err(error) => tracing::debug!(target: "lab", name, %peer, %error, "ended"),
    }
}
