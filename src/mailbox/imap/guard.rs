//! Bounds on what an IMAP server may send, below the client library: it would allocate a whole announced literal at once
//! and parse an endless line in quadratic time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest line taken, literals apart.
const MAX_LINE: usize = 64 * 1024;
/// The largest response taken, with its literals: somewhat more than is ever asked for at once.
const MAX_RESPONSE: usize = 5 * 1024 * 1024;
/// Literals in one response; each makes the library parse from the response's begin.
const MAX_LITERALS: usize = 16;
/// Brackets in brackets; the library's parser recurses with them.
const MAX_DEPTH: usize = 64;
/// More of a line's end than any literal's announcement is long.
const TAIL: usize = 64;
/// Begins of responses that the library cannot read, or not in every form, and what stands for their last byte: they go
/// through as the text of a status response.
const AS_TEXT: [(&[u8], u8); 4] = [
    (b"* NA", b'O'),
    (b"* NAM", b' '),
    (b"* I", b'O'),
    (b"* ID", b'K'),
];
/// A date that is NIL, which the library does not survive, is made a quoted string that is no date, `"I"`: what stands before
/// the letters that become its quotes.
const NO_DATE: [(&[u8], u8); 2] = [(b"INTERNALDATE ", b'N'), (b"INTERNALDATE \"I", b'L')];

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

    /// Gives the stream below back, unless bytes came behind the answer to the last command.
    pub(super) fn into_inner(self) -> Option<S> {
        (self.scan.behind == 0).then_some(self.stream)
    }
}

#[derive(Debug, Default)]
struct Scan {
    /// Bytes of the response so far, literals included.
    response: usize,
    literals: usize,
    line: usize,
    tail: Vec<u8>,
    literal: usize,
    depth: usize,
    quoted: bool,
    escaped: bool,
    /// The tag of the last command sent.
    sent: Vec<u8>,
    /// The first word of the line that is being sent.
    word: Vec<u8>,
    /// The begin of a response, as far as a tag goes.
    begin: Vec<u8>,
    /// Bytes that came behind the answer to the last command.
    behind: usize,
}

impl Scan {
    /// Takes what is read; a byte that the library would not survive is made harmless.
    fn accept(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let skipped = self.literal.min(bytes.len());
            self.literal -= skipped;
            let (_, rest) = std::mem::take(&mut bytes).split_at_mut(skipped);
            let end = rest.iter().position(|&byte| byte == b'\n');
            let (line, rest) = rest.split_at_mut(end.map_or(rest.len(), |end| end + 1));
            bytes = rest;
            self.behind = self.behind.saturating_add(skipped + line.len());
            self.response = self.response.saturating_add(line.len());
            self.line += line.len();
            if self.line > MAX_LINE {
                return Err(too_much(&format!("a line of more than {MAX_LINE} bytes")));
            }
            for byte in line.iter_mut() {
                self.look_at(byte)?;
            }
            if end.is_some() {
                self.end_of_line()?;
            }
        }
        Ok(())
    }

    fn look_at(&mut self, byte: &mut u8) -> io::Result<()> {
        let before = self.tail.last().copied();
        // The parser cuts the text behind a response code one byte after its bracket.
        if !byte.is_ascii() && matches!(before, Some(b']' | b'?')) {
            *byte = b'?';
        }
        let is_nil = NO_DATE.iter().any(|(before, letter)| {
            let begin = self.tail.len().saturating_sub(before.len());
            let tail = self.tail.get(begin..).unwrap_or_default();
            byte.eq_ignore_ascii_case(letter) && tail.eq_ignore_ascii_case(before)
        });
        if is_nil {
            *byte = b'"';
        }
        match (*byte, self.quoted) {
            (_, true) if self.escaped => self.escaped = false,
            (b'\\', true) => self.escaped = true,
            (b'"', _) => self.quoted = !self.quoted,
            (b'(' | b'[', false) => self.depth += 1,
            (b')' | b']', false) => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if self.depth > MAX_DEPTH {
            return Err(too_much("brackets nested beyond reason"));
        }
        if self.literals == 0 && self.line <= MAX_LINE && self.begin.len() < TAIL {
            self.begin.push(*byte);
            let begins = |(begin, _): &&(&[u8], u8)| self.begin.eq_ignore_ascii_case(begin);
            if let Some((_, harmless)) = AS_TEXT.iter().find(begins) {
                *byte = *harmless;
            }
        }
        if self.tail.len() == TAIL {
            self.tail.remove(0);
        }
        self.tail.push(*byte);
        Ok(())
    }

    fn end_of_line(&mut self) -> io::Result<()> {
        self.literal = announced(&self.tail);
        self.response = self.response.saturating_add(self.literal);
        if self.response > MAX_RESPONSE {
            return Err(too_much(&format!(
                "a response of more than {MAX_RESPONSE} bytes"
            )));
        }
        let goes_on = self.literal > 0 || announces(&self.tail);
        if goes_on {
            self.literals += 1;
            if self.literals > MAX_LITERALS {
                return Err(too_much(
                    "more literals in one response than were asked for",
                ));
            }
        } else {
            let tag = self.begin.split(|&byte| byte == b' ').next();
            if tag.is_some_and(is_tag) {
                if tag != Some(&self.sent) {
                    return Err(too_much("an answer to a command that was not sent"));
                }
                self.behind = 0;
            }
            self.response = 0;
            self.literals = 0;
            self.depth = 0;
            self.quoted = false;
            self.begin.clear();
        }
        self.escaped = false;
        self.line = 0;
        self.tail.clear();
        Ok(())
    }

    /// Takes note of what is sent, which may come in pieces: of each line its first word.
    fn note(&mut self, written: &[u8]) {
        for &byte in written {
            match byte {
                b'\n' => self.word.clear(),
                b' ' if is_tag(&self.word) => self.sent = std::mem::take(&mut self.word),
                // No tag is that long: a line that has no more words of interest fills up with it.
                _ if self.word.len() < TAIL => self.word.push(byte),
                _ => {}
            }
        }
    }
}

/// Whether this is a tag of ours: `A0001`.
fn is_tag(word: &[u8]) -> bool {
    match word.split_first() {
        Some((b'A', digits)) => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Whether a line ends in `{0}`, a literal of nothing.
fn announces(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    line.ends_with(b"{0}") || line.ends_with(b"{0+}")
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
        let read = buf.filled_mut().get_mut(before..).unwrap_or_default();
        Poll::Ready(this.scan.accept(read))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
        this.scan.note(buf.get(..written).unwrap_or(buf));
        Poll::Ready(Ok(written))
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
        let mut pieces = pieces.iter().map(|piece| piece.to_vec());
        pieces.try_for_each(|mut piece| scan.accept(&mut piece))
    }

    #[test]
    fn an_endless_line_and_a_huge_literal_are_refused() {
        assert!(scan(&[&vec![b'a'; MAX_LINE + 1]]).is_err());
        assert!(scan(&[b"* 1 FETCH (BODY[] {400000000}\r\n"]).is_err());
        assert!(scan(&[b"* 1 FETCH (BODY[] {99999999999999999999999}\r\n"]).is_err());
        assert!(scan(&[b"* OK {400000000} is only text here\r\n"]).is_ok());
    }

    #[test]
    fn what_the_parser_does_not_survive_does_not_reach_it() {
        let brackets = "(".repeat(MAX_DEPTH + 1);
        assert!(scan(&[format!("* 1 FETCH {brackets}").as_bytes()]).is_err());
        let mut scan_nil = Scan::default();
        let mut pieces = ["* 1 FETCH (internaldate n", "i", "l UID 1)\r\n"].map(Vec::from);
        for piece in &mut pieces {
            scan_nil.accept(piece).unwrap();
        }
        assert_eq!(pieces.concat(), b"* 1 FETCH (internaldate \"i\" UID 1)\r\n");
        assert!(scan(&[b"* 1 FETCH (BODY[] {0}\r\n BODY[] {0}\r\n)\r\n"]).is_ok());
        assert!(scan(&[&b" BODY[] {0}\r\n".repeat(MAX_LITERALS + 1)]).is_err());
        let literal = vec![b' '; MAX_RESPONSE / 2];
        let half = format!("{{{}}}\r\n", literal.len());
        let pieces = [
            half.as_bytes(),
            &literal,
            half.as_bytes(),
            &literal,
            half.as_bytes(),
        ];
        assert!(scan(&pieces).is_err());
        let mut text = "* OK [ALERT]éa\r\n".as_bytes().to_vec();
        Scan::default().accept(&mut text).unwrap();
        assert_eq!(text, b"* OK [ALERT]??a\r\n");
    }

    #[test]
    fn what_the_parser_cannot_read_goes_through_as_text() {
        let wire = b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n* ID NIL\r\n* NO way\r\n";
        for at in 0..wire.len() {
            let (head, tail) = wire.split_at(at);
            let (mut head, mut tail) = (head.to_vec(), tail.to_vec());
            let mut scan = Scan::default();
            scan.accept(&mut head).unwrap();
            scan.accept(&mut tail).unwrap();
            assert_eq!(
                [head, tail].concat(),
                b"* NO ESPACE ((\"\" \"/\")) NIL NIL\r\n* OK NIL\r\n* NO way\r\n"
            );
        }
    }

    #[test]
    fn an_answer_must_have_been_asked_for() {
        let mut scan = Scan::default();
        scan.note(b"A0001");
        scan.note(b" NOOP\r\n");
        assert!(
            scan.accept(&mut b"* 1 EXISTS\r\nA0001 OK\r\n".to_vec())
                .is_ok()
        );
        assert!(scan.accept(&mut b"A0002 OK early\r\n".to_vec()).is_err());
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
