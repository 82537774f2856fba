//! Lines over a stream, bounded: what every text protocol of mail is made of.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::yield_now;

/// Why no line came.
#[derive(Debug, Error)]
pub enum NoLine {
    /// The peer closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// It closed the connection in the middle of a line.
    #[error("the server closed the connection in the middle of a line")]
    Partial(Vec<u8>),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The line is longer than anything a server has reason to say.
    #[error("a line is longer than {0} bytes")]
    TooLong(usize),
}

/// A stream, and what was read of it but not yet taken.
#[derive(Debug)]
pub struct Lines<S> {
    stream: S,
    received: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Lines<S> {
    /// Over this stream.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// The stream under it.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// The stream, and what was read of it but not taken.
    pub fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.received)
    }

    /// What was read but not yet taken.
    pub fn unread(&self) -> &[u8] {
        &self.received
    }

    /// Takes in what has come, up to half a kilobyte of it, without waiting.
    pub async fn peek(&mut self) -> &[u8] {
        let mut chunk = [0; 512];
        if let Some(Ok(count)) = self.read_now(&mut chunk).await {
            self.received.extend(chunk.iter().take(count));
        }
        &self.received
    }

    /// Reads what is there; `None`: nothing is. A timer would wait for its next tick, a millisecond or more.
    async fn read_now(&mut self, chunk: &mut [u8]) -> Option<io::Result<usize>> {
        // The runtime looks for news from its sockets before it comes back.
        yield_now().await;
        let mut chunk = ReadBuf::new(chunk);
        poll_fn(|cx| {
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut chunk);
            Poll::Ready(match read {
                Poll::Ready(read) => Some(read.map(|()| chunk.filled().len())),
                Poll::Pending => None,
            })
        })
        .await
    }

    /// Whether the peer has closed the connection or said something, as far as can be told without waiting.
    pub async fn is_over(&mut self) -> bool {
        self.read_now(&mut [0]).await.is_some()
    }

    /// A line without its end; a bare LF ends one too. Of its white space only the end's CR is taken away.
    pub async fn line(&mut self, most: usize) -> Result<Vec<u8>, NoLine> {
        let mut searched = 0;
        loop {
            let unsearched = self.received.get(searched..).unwrap_or_default();
            if let Some(end) = unsearched.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.received.drain(..=searched + end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            searched = self.received.len();
            if searched > most {
                return Err(NoLine::TooLong(most));
            }
            let mut chunk = [0; 8192];
            let count = self.stream.read(&mut chunk).await?;
            if count == 0 {
                return Err(if self.received.is_empty() {
                    NoLine::Closed
                } else {
                    NoLine::Partial(std::mem::take(&mut self.received))
                });
            }
            self.received.extend(chunk.iter().take(count));
        }
    }

    /// Writes all of it, and sends it off.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }
}
