//! The bytes of one conversation: bounded lines in, collected replies out, TLS in between.
//!
//! Replies are collected and leave when the peer has nothing more to say that we have already
//! read; so a pipelined burst is answered in one write. Generic over the stream: a server runs as
//! well over TCP as over TLS or in memory.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;

use super::{fault::kind::Kind, site::Site};

/// A peer that sends a longer line than this, without an end in sight, is cut off.
const HOPELESS_LINE: usize = 1 << 20;

/// How much is asked of the stream at once.
const CHUNK: usize = 16 * 1024;

/// How long one write or a TLS handshake may take.
const STALLED: Duration = Duration::from_mins(1);

/// Any stream a server can run over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Why a conversation ended or a line could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the peer was silent for too long")]
    Idle,
    #[error("the peer does not read what we send")]
    Stalled,
    #[error("the line is too long")]
    LineTooLong,
    #[error(transparent)]
    Io(#[from] io::Error),
}

pub(crate) struct Wire<S> {
    transport: Transport<S>,
    site: Arc<Site>,
    input: Vec<u8>,
    /// How much of `input` is used up.
    start: usize,
    output: Vec<u8>,
    idle: Duration,
    /// Whether the faults that slow replies down apply.
    paced: bool,
}

enum Transport<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
    /// Only while one becomes the other, or after that failed.
    Gone,
}

impl<S: Stream> Wire<S> {
    pub(crate) fn new(stream: S, site: Arc<Site>, idle: Duration) -> Self {
        Wire {
            transport: Transport::Plain(stream),
            site,
            input: Vec::new(),
            start: 0,
            output: Vec::new(),
            idle,
            paced: false,
        }
    }

    pub(crate) fn paced(mut self) -> Self {
        self.paced = true;
        self
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// What was read and not yet consumed.
    pub(crate) fn buffered(&self) -> &[u8] {
        self.input.get(self.start..).unwrap_or_default()
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.input.len().min(self.start + count);
        if self.start == self.input.len() {
            self.input.clear();
            self.start = 0;
        }
    }

    /// Adds to the reply that leaves with the next flush.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Sends what is pending, then reads more. Safe to cancel while it waits for the peer.
    pub(crate) async fn fill(&mut self) -> Result<(), WireError> {
        self.flush().await?;
        if self.start > 0 {
            self.input.drain(..self.start);
            self.start = 0;
        }
        if self.input.is_empty() && self.input.capacity() > 4 * CHUNK {
            self.input = Vec::new();
        }
        // An idle connection keeps no large buffer: most peers say less than this at a time.
        let room = if self.input.len() < 1024 { 1024 } else { CHUNK };
        self.input.reserve(room);
        match timeout(self.idle, self.transport.read_buf(&mut self.input)).await {
            Err(_) => Err(WireError::Idle),
            Ok(Ok(0)) => Err(WireError::Closed),
            Ok(read) => Ok(read.map(|_| ())?),
        }
    }

    /// The next line without its end; longer ones than `limit` are skipped whole.
    pub(crate) async fn line(&mut self, limit: usize) -> Result<Vec<u8>, WireError> {
        let mut skipped = 0;
        let mut searched = 0;
        loop {
            let buffered = self.buffered();
            let unsearched = buffered.get(searched..).unwrap_or_default();
            if let Some(at) = unsearched.iter().position(|&byte| byte == b'\n') {
                let line = buffered.get(..searched + at).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let fits = skipped == 0 && line.len() <= limit;
                let line = if fits { line.to_vec() } else { Vec::new() };
                self.consume(searched + at + 1);
                return if fits {
                    Ok(line)
                } else {
                    Err(WireError::LineTooLong)
                };
            }
            searched = buffered.len();
            if searched > limit {
                skipped += searched;
                self.consume(searched);
                searched = 0;
                if skipped > HOPELESS_LINE {
                    return Err(WireError::Closed);
                }
            }
            self.fill().await?;
        }
    }

    pub(crate) async fn flush(&mut self) -> Result<(), WireError> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        if self.paced {
            self.write_paced(&output).await?;
        } else {
            self.write(&output).await?;
        }
        if output.capacity() <= CHUNK {
            self.output = output;
            self.output.clear();
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        // A large answer to a slow reader is fine as long as something moves.
        for chunk in bytes.chunks(64 * 1024) {
            timeout(STALLED, self.transport.write_all(chunk))
                .await
                .map_err(|_| WireError::Stalled)??;
        }
        timeout(STALLED, self.transport.flush())
            .await
            .map_err(|_| WireError::Stalled)??;
        Ok(())
    }

    async fn write_paced(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        if let Some(slow) = self.site.faults.state(Kind::SlowReplies) {
            sleep(slow.fault.span()).await;
        }
        let Some(drip) = self.site.faults.state(Kind::Drip) else {
            return self.write(bytes).await;
        };
        for byte in bytes {
            sleep(drip.fault.span()).await;
            self.write(std::slice::from_ref(byte)).await?;
        }
        Ok(())
    }

    /// Says goodbye properly; what the peer still sends is of no interest.
    pub(crate) async fn close(&mut self) {
        if self.flush().await.is_ok() {
            let _ = timeout(Duration::from_secs(2), self.transport.shutdown()).await;
        }
    }

    /// Turns the connection into TLS. What was buffered must have been dealt with before.
    pub(crate) async fn start_tls(&mut self) -> Result<(), WireError> {
        self.flush().await?;
        let Transport::Plain(stream) = std::mem::replace(&mut self.transport, Transport::Gone)
        else {
            return Err(WireError::Closed);
        };
        let certificates = &self.site.certificates;
        let acceptor = if self.site.faults.stands(Kind::ExpiredCertificate) {
            &certificates.expired
        } else {
            &certificates.valid
        };
        let stream = timeout(STALLED, acceptor.accept(stream))
            .await
            .map_err(|_| WireError::Idle)??;
        self.transport = Transport::Tls(Box::new(stream));
        Ok(())
    }
}

impl<S: Stream> AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl<S: Stream> AsyncWrite for Transport<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Gone => Poll::Ready(Ok(())),
        }
    }
}
