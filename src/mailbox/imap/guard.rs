//! Bounds on what an IMAP server may send, below the client library: it would allocate a whole announced literal at once
//! and parse an endless line in quadratic time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest line taken, literals apart.
const MAX_LINE: usize = 64 * 1024;
/// The largest literal taken.
const MAX_LITERAL: usize = 32 * 1024 * 1024;
/// More of a line's end than any literal's announcement is long.
const TAIL: usize = 64;

/// A stream that fails where the peer sends more than any reply needs.
#[derive(Debug)]
pub(super) struct Guard<S> {
    stream: S,
    scan: Scan,
}

impl<S> Guard<S> {
    /// Guards `stream`.
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            scan: Scan::default(),
        }
    }

    /// The stream below.
    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Gives the stream below back.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

#[derive(Debug, Default)]
struct Scan {
    line: usize,
    tail: Vec<u8>,
    literal: usize,
}

impl Scan {
    fn accept(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let skipped = self.literal.min(bytes.len());
            self.literal -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
            self.line += line.len();
            if self.line > MAX_LINE {
                return Err(too_much(&format!("a line of more than {MAX_LINE} bytes")));
            }
            let kept = line.len().saturating_sub(TAIL);
            self.tail
                .extend_from_slice(line.get(kept..).unwrap_or_default());
            let surplus = self.tail.len().saturating_sub(TAIL);
            self.tail.drain(..surplus);
            if end.is_some() {
                self.literal = announced(&self.tail);
                if self.literal > MAX_LITERAL {
                    return Err(too_much(&format!("a literal of {} bytes", self.literal)));
                }
                self.line = 0;
                self.tail.clear();
            }
            bytes = rest;
        }
        Ok(())
    }
}

/// The length that `{123}` at the end of a line announces; 0 without one.
fn announced(line: &[u8]) -> usize {
    let line = line.trim_ascii_end();
    let Some(inside) = line
        .strip_suffix(b"}")
        .map(|line| line.strip_suffix(b"+").unwrap_or(line))
    else {
        return 0;
    };
    let Some(open) = inside.iter().rposition(|&byte| byte == b'{') else {
        return 0;
    };
    let digits = inside.get(open + 1..).unwrap_or_default();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(usize::MAX)
}

fn too_much(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the server sent {what}"),
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        Poll::Ready(
            this.scan
                .accept(buf.filled().get(before..).unwrap_or_default()),
        )
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(pieces: &[&[u8]]) -> io::Result<()> {
        let mut scan = Scan::default();
        pieces.iter().try_for_each(|piece| scan.accept(piece))
    }

    #[test]
    fn an_endless_line_and_a_huge_literal_are_refused() {
        assert!(scan(&[&vec![b'a'; MAX_LINE + 1]]).is_err());
        assert!(scan(&[b"* 1 FETCH (BODY[] {400000000}\r\n"]).is_err());
        assert!(scan(&[b"* 1 FETCH (BODY[] {99999999999999999999999}\r\n"]).is_err());
        assert!(scan(&[b"* OK {400000000} is only text here\r\n"]).is_ok());
    }

    proptest! {
        #[test]
        fn a_literal_may_hold_what_a_line_may_not(at in 0_usize..100_050, length in 70_000_usize..100_000) {
            let mut wire = format!("* 1 FETCH (BODY[] {{{length}}}\r\n").into_bytes();
            wire.extend(vec![b'a'; length]);
            wire.extend(b")\r\n* 2 EXISTS\r\n");
            let (head, tail) = wire.split_at(at.min(wire.len()));
            prop_assert!(scan(&[head, tail]).is_ok());
        }
    }
}
