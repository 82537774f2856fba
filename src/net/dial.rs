//! From an address to a stream: TCP connect, TLS, each a step with its own time, limit and words.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::stream::Stream;
use super::tls::{self, Tls};
use crate::config::plan::Endpoint;
use crate::duration::seconds;
use crate::probe::facts::Failure;
use crate::probe::outcome::Code;

/// The TCP handshake. The stream sends small writes at once (`TCP_NODELAY)`: 40 ms of ours must not look like the server's.
pub async fn connect(address: SocketAddr, limit: Duration) -> Result<TcpStream, Failure> {
    let failed = |why: String, remedy| Failure {
        code: Code::ConnectFailed,
        what: format!("connecting to {address}: {why}"),
        remedy,
    };
    let tcp = timeout(limit, TcpStream::connect(address))
        .await
        .map_err(|_| {
            failed(
                format!("no answer within {}", seconds(limit)),
                "a firewall may drop the packets, or the host is down",
            )
        })?
        .map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::ConnectionRefused => {
                    "nothing listens there: check host and port, and that the server runs"
                }
                _ => "check the network between here and there",
            };
            failed(error.to_string(), remedy)
        })?;
    tcp.set_nodelay(true)
        .map_err(|error| failed(error.to_string(), "this is a local failure"))?;
    Ok(tcp)
}

/// The TLS handshake, verified as `tls` was made to.
pub async fn secure(
    tls: &Tls,
    endpoint: &Endpoint,
    tcp: TcpStream,
    limit: Duration,
) -> Result<Stream, Failure> {
    let failed = |why: String, remedy| Failure {
        code: Code::TlsFailed,
        what: format!("TLS with {endpoint}: {why}"),
        remedy,
    };
    match timeout(limit, tls.connect(endpoint.bare_host(), tcp)).await {
        Ok(Ok(session)) => Ok(Stream::Tls(Box::new(session))),
        Ok(Err(error)) => {
            let (why, remedy) = tls::explain(&error);
            Err(failed(why, remedy))
        }
        Err(_) => Err(failed(
            format!("the handshake was not done within {}", seconds(limit)),
            "the server may expect STARTTLS on this port, not TLS from the start",
        )),
    }
}

/// The address of ours that packets to this peer come from. Nothing is sent.
pub fn local_towards(peer: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(peer).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
