//! Commands out, replies in, over any stream.
//!
//! Everything the peer sends is bounded: a line, a reply, the time for each. Replies are kept as they came.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use smtp_proto::response::parser::ResponseReceiver;
use smtp_proto::{
    EXT_8BIT_MIME, EXT_AUTH, EXT_DSN, EXT_PIPELINING, EXT_SIZE, EXT_SMTP_UTF8, EXT_START_TLS,
    EhloResponse,
};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::clock::Stamp;
use crate::config::secret::Hidden;
use crate::duration::seconds;
use crate::net::lines::{Lines, NoLine};
use crate::probe::facts::Reply;
use crate::text::excerpt;

/// The longest reply line taken; RFC 5321 §4.5.3.1.5 asks for 512.
const MAX_LINE: usize = 4096;
/// The longest reply taken, all lines together.
const MAX_REPLY: usize = 64 * 1024;
/// A message is sent in blocks of about this size, each within the step's time (RFC 5321 §4.5.3.2.5).
const BLOCK: usize = 256 * 1024;
/// What a transcript keeps of one conversation.
const MAX_TRANSCRIPT: usize = 500;

/// Why no reply came.
#[derive(Debug, Error)]
pub enum NoReply {
    /// The peer closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// Nothing, or not all of it, came in time.
    #[error("no reply within {}", seconds(*.0))]
    Slow(Duration),
    /// More came than any server has reason to say.
    #[error("the reply is longer than {0} bytes")]
    TooLong(usize),
    /// What came is no reply.
    #[error("this is not an SMTP reply: {0:?}")]
    Malformed(String),
    /// Something came that was not asked for: after STARTTLS, it would be taken for part of the secured session.
    #[error("the server sent {0} bytes before TLS was established, which could be an injection")]
    Unasked(usize),
    /// An answer came before there was anything to answer.
    #[error("the server answered before it was asked: {0:?}")]
    Early(String),
}

/// An SMTP conversation.
#[derive(Debug)]
pub struct Conversation<S> {
    lines: Lines<S>,
    transcript: Option<Vec<String>>,
    hidden: Hidden,
}

impl From<NoLine> for NoReply {
    fn from(error: NoLine) -> Self {
        match error {
            NoLine::Closed => Self::Closed,
            NoLine::Partial(line) => Self::Malformed(excerpt(&String::from_utf8_lossy(&line), 80)),
            NoLine::Broken(error) => Self::Broken(error),
            NoLine::TooLong(most) => Self::TooLong(most),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    /// A conversation over `stream`; `transcript`: both sides' lines are kept.
    pub fn new(stream: S, transcript: bool) -> Self {
        Self {
            lines: Lines::new(stream),
            transcript: transcript.then(Vec::new),
            hidden: Hidden::default(),
        }
    }

    /// The stream, for STARTTLS; refused while bytes of the peer are unread (RFC 3207 §6).
    pub fn into_stream(self) -> Result<(S, Option<Vec<String>>), NoReply> {
        match self.lines.into_parts() {
            (stream, unread) if unread.is_empty() => Ok((stream, self.transcript)),
            (_, unread) => Err(NoReply::Unasked(unread.len())),
        }
    }

    /// Goes on over another stream, after STARTTLS.
    pub fn resume(stream: S, transcript: Option<Vec<String>>) -> Self {
        Self {
            lines: Lines::new(stream),
            transcript,
            hidden: Hidden::default(),
        }
    }

    /// The stream under it.
    pub fn stream(&self) -> &S {
        self.lines.stream()
    }

    /// The lines kept so far; begins anew.
    pub fn take_transcript(&mut self) -> Vec<String> {
        self.transcript
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// From now on what the peer quotes of this is taken out of its replies.
    pub fn hide(&mut self, hidden: Hidden) {
        self.hidden = hidden;
    }

    /// Sends a command and waits for its reply.
    pub async fn command(
        &mut self,
        command: impl Display,
        limit: Duration,
    ) -> Result<Reply, NoReply> {
        let line = command.to_string();
        self.note(|| format!("C: {}", line.trim_end()));
        self.exchange(line.as_bytes(), limit).await
    }

    /// Sends commands in one go (RFC 2920); their replies are to be read one by one.
    pub async fn send(&mut self, commands: &[String], limit: Duration) -> Result<(), NoReply> {
        self.quiet().await?;
        for command in commands {
            self.note(|| format!("C: {}", command.trim_end()));
        }
        let commands = commands.concat();
        Ok(timeout(limit, self.lines.write(commands.as_bytes()))
            .await
            .map_err(|_| NoReply::Slow(limit))??)
    }

    /// Sends a command of which only `shown` may be seen.
    pub async fn secret(
        &mut self,
        command: impl Display,
        shown: &str,
        limit: Duration,
    ) -> Result<Reply, NoReply> {
        self.note(|| format!("C: {shown}"));
        self.exchange(command.to_string().as_bytes(), limit).await
    }

    /// Sends the message, dot-stuffed, without the final dot (RFC 5321 §4.5.2). What fails here was not handed over.
    pub async fn content(&mut self, message: &[u8], limit: Duration) -> Result<(), NoReply> {
        self.quiet().await?;
        self.note(|| format!("C: <message, {} bytes>", message.len()));
        let mut rest = message;
        while !rest.is_empty() {
            let block = first_lines(rest, BLOCK);
            rest = rest.get(block.len()..).unwrap_or_default();
            let stuffed = stuff(block);
            timeout(limit, self.lines.write(&stuffed))
                .await
                .map_err(|_| NoReply::Slow(limit))??;
        }
        Ok(())
    }

    /// Sends the final dot; from here on the message may have been taken. Gives the moment it was written.
    pub async fn dot(&mut self, limit: Duration) -> (Stamp, Result<(), NoReply>) {
        if let Err(early) = self.quiet().await {
            return (Stamp::now(), Err(early));
        }
        self.note(|| "C: .".into());
        let result = match timeout(limit, self.lines.write(b".\r\n")).await {
            Ok(sent) => sent.map_err(NoReply::from),
            Err(_) => Err(NoReply::Slow(limit)),
        };
        (Stamp::now(), result)
    }

    /// Waits for a reply.
    pub async fn reply(&mut self, limit: Duration) -> Result<Reply, NoReply> {
        let reply = timeout(limit, self.read_reply())
            .await
            .map_err(|_| NoReply::Slow(limit))
            .flatten();
        let reply = match reply {
            Ok(reply) => Ok(Reply {
                raw: self.hidden.strip(&reply.raw).into(),
                ..reply
            }),
            Err(NoReply::Malformed(line)) => Err(NoReply::Malformed(self.hidden.strip(&line))),
            Err(NoReply::Early(line)) => Err(NoReply::Early(self.hidden.strip(&line))),
            Err(error) => Err(error),
        };
        match &reply {
            Ok(reply) => reply
                .raw
                .lines()
                .for_each(|line| self.note(|| format!("S: {line}"))),
            Err(error) => self.note(|| format!("!: {error}")),
        }
        reply
    }

    /// Whether the peer has closed the connection or said something unasked, as far as can be told without waiting.
    pub async fn is_stale(&mut self) -> bool {
        !self.lines.unread().is_empty() || self.lines.is_over().await
    }

    /// Nothing may have been said since the last reply, but that the server is about to hang up (421).
    async fn quiet(&mut self) -> Result<(), NoReply> {
        let said = self.lines.peek().await;
        if said.is_empty() || said.starts_with(b"421") {
            return Ok(());
        }
        let early = String::from_utf8_lossy(said).into_owned();
        Err(NoReply::Early(excerpt(&early, 80)))
    }

    async fn exchange(&mut self, bytes: &[u8], limit: Duration) -> Result<Reply, NoReply> {
        self.quiet().await?;
        let sent = timeout(limit, self.lines.write(bytes))
            .await
            .map_err(|_| NoReply::Slow(limit))?;
        // A server that hangs up has often said why before.
        match (sent, self.reply(limit).await) {
            (_, Ok(reply)) => Ok(reply),
            (Err(error), Err(_)) => Err(error.into()),
            (Ok(()), Err(error)) => Err(error),
        }
    }

    async fn read_reply(&mut self) -> Result<Reply, NoReply> {
        let mut lines: Vec<String> = Vec::new();
        let mut length = 0;
        loop {
            let line = self.lines.line(MAX_LINE).await?;
            let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            length += line.len();
            if length > MAX_REPLY {
                return Err(NoReply::TooLong(MAX_REPLY));
            }
            let is_last = match line.as_bytes() {
                [a, b, c, rest @ ..] if [a, b, c].iter().all(|digit| digit.is_ascii_digit()) => {
                    match rest {
                        [b'-', ..] => false,
                        [] | [b' ', ..] => true,
                        _ => return Err(NoReply::Malformed(excerpt(&line, 80))),
                    }
                }
                _ => return Err(NoReply::Malformed(excerpt(&line, 80))),
            };
            let same_code = lines
                .first()
                .is_none_or(|first| first.get(..3) == line.get(..3));
            if !same_code {
                return Err(NoReply::Malformed(excerpt(&line, 80)));
            }
            lines.push(line);
            if is_last {
                return parse(&lines);
            }
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(transcript) = self
            .transcript
            .as_mut()
            .filter(|lines| lines.len() < MAX_TRANSCRIPT)
        {
            transcript.push(line());
        }
    }
}

/// Reads the code and the enhanced status code of a whole reply.
fn parse(lines: &[String]) -> Result<Reply, NoReply> {
    let last = lines.last().map(String::as_str).unwrap_or_default();
    let wire = format!("{}\r\n", last.get(..MAX_LINE / 2).unwrap_or(last));
    let parsed = ResponseReceiver::default()
        .parse(&mut wire.as_bytes().iter())
        .map_err(|_| NoReply::Malformed(excerpt(last, 80)))?;
    Ok(Reply {
        code: parsed.code,
        esc: parsed.esc,
        raw: lines.join("\n").into(),
    })
}

/// As many whole lines as make up `least` bytes.
fn first_lines(message: &[u8], least: usize) -> &[u8] {
    let end = message
        .iter()
        .skip(least)
        .position(|&byte| byte == b'\n')
        .map_or(message.len(), |at| least + at + 1);
    message.get(..end).unwrap_or(message)
}

/// A leading dot is doubled on every line, and the last line ended.
fn stuff(message: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(message.len() + message.len() / 64 + 2);
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    if !stuffed.ends_with(b"\r\n") {
        stuffed.extend_from_slice(b"\r\n");
    }
    stuffed
}

/// What a server says it can do (RFC 5321 §4.1.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    extensions: u32,
    mechanisms: u64,
    /// The largest message it takes, if it says so (RFC 1870).
    pub size_limit: Option<usize>,
}

impl Capabilities {
    /// Reads the reply to EHLO. Each line is read by itself, so that an odd one hides none of the others.
    pub fn of(ehlo: &Reply) -> Self {
        let mut all = Self::default();
        for line in ehlo.raw.lines().skip(1) {
            let Some(keyword) = line.get(4..) else {
                continue;
            };
            // Some servers write `AUTH=LOGIN` for clients older than RFC 2554.
            let keyword = keyword.replacen("AUTH=", "AUTH ", 1);
            let wire = format!("250-mail\r\n250 {}\r\n", keyword.trim());
            let Ok(parsed) = EhloResponse::parse(&mut wire.as_bytes().iter()) else {
                continue;
            };
            all.extensions |= parsed.capabilities();
            all.mechanisms |= parsed.auth();
            if parsed.has_capability(EXT_SIZE) && parsed.size > 0 {
                all.size_limit = Some(parsed.size);
            }
        }
        all
    }

    fn has(self, extension: u32) -> bool {
        self.extensions & extension != 0
    }

    /// STARTTLS (RFC 3207).
    pub fn starttls(self) -> bool {
        self.has(EXT_START_TLS)
    }

    /// AUTH (RFC 4954).
    pub fn auth(self) -> bool {
        self.has(EXT_AUTH)
    }

    /// AUTH with this mechanism, one of smtp-proto's bits.
    pub fn mechanism(self, mechanism: u64) -> bool {
        self.mechanisms & mechanism != 0
    }

    /// SIZE (RFC 1870).
    pub fn size(self) -> bool {
        self.has(EXT_SIZE)
    }

    /// 8BITMIME (RFC 6152).
    pub fn eight_bit(self) -> bool {
        self.has(EXT_8BIT_MIME)
    }

    /// DSN (RFC 3461).
    pub fn dsn(self) -> bool {
        self.has(EXT_DSN)
    }

    /// PIPELINING (RFC 2920).
    pub fn pipelining(self) -> bool {
        self.has(EXT_PIPELINING)
    }

    /// SMTPUTF8 (RFC 6531).
    pub fn utf8(self) -> bool {
        self.has(EXT_SMTP_UTF8)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// What a conversation makes of a peer that says `pieces`, one write each.
    fn hear(pieces: &[&[u8]]) -> Result<Reply, NoReply> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (ours, mut theirs) = tokio::io::duplex(1 << 20);
            for piece in pieces {
                theirs.write_all(piece).await.unwrap();
            }
            drop(theirs);
            Conversation::new(ours, false).reply(LIMIT).await
        })
    }

    proptest! {
        #[test]
        fn a_reply_split_at_any_byte_reads_the_same(at in 0_usize..70) {
            let wire = b"550-5.7.1 <x@example.com>: refused\r\n550 5.7.1 see http://e.example\r\n";
            let (head, tail) = wire.split_at(at.min(wire.len()));
            let reply = hear(&[head, tail]).unwrap();
            prop_assert_eq!(reply.code, 550);
            prop_assert_eq!(reply.enhanced(), Some("5.7.1".to_owned()));
            prop_assert_eq!(reply.text(), "<x@example.com>: refused see http://e.example");
            prop_assert_eq!(reply.raw.lines().count(), 2);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = hear(&[&bytes]);
        }

        #[test]
        fn stuffing_is_undone_by_the_receiver(lines in prop::collection::vec("[.a]{0,4}", 0..8)) {
            let message = lines.join("\r\n") + "\r\n";
            let stuffed = String::from_utf8(stuff(message.as_bytes())).unwrap();
            let unstuffed: Vec<_> = stuffed
                .split_terminator("\r\n")
                .map(|line| {
                    assert_ne!(line, ".", "a lone dot would end the message");
                    line.strip_prefix('.').unwrap_or(line).to_owned()
                })
                .collect();
            let sent = if lines.is_empty() { vec![String::new()] } else { lines };
            prop_assert_eq!(unstuffed, sent);
        }
    }

    #[test]
    fn a_bare_code_and_bare_line_feeds_are_replies() {
        assert_eq!(hear(&[b"250\r\n"]).unwrap().code, 250);
        assert_eq!(hear(&[b"250-one\n250 two\n"]).unwrap().text(), "one two");
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for wire in [
            "hello\r\n",
            "25x no\r\n",
            "250+no\r\n",
            "250-a\r\n550 b\r\n",
            "\r\n",
        ] {
            assert!(
                matches!(hear(&[wire.as_bytes()]), Err(NoReply::Malformed(_))),
                "{wire:?}"
            );
        }
        assert!(matches!(hear(&[]), Err(NoReply::Closed)));
        assert!(matches!(hear(&[&[b'2'; 10_000]]), Err(NoReply::TooLong(_))));
        let endless = "250-and more\r\n".repeat(10_000);
        assert!(matches!(
            hear(&[endless.as_bytes()]),
            Err(NoReply::TooLong(_))
        ));
    }

    #[test]
    fn keywords_count_in_any_case_and_odd_lines_hide_none() {
        let raw = "250-mail.example\n250-starttls\n250-\n250-X-ODD \u{e9} =\n250-AUTH=LOGIN plain\n250-Size 1000\n250 dsn";
        let ehlo = Reply {
            code: 250,
            esc: [0; 3],
            raw: raw.into(),
        };
        let can = Capabilities::of(&ehlo);
        assert!(can.starttls() && can.dsn() && can.size() && can.auth());
        assert!(can.mechanism(smtp_proto::AUTH_LOGIN) && can.mechanism(smtp_proto::AUTH_PLAIN));
        assert_eq!(can.size_limit, Some(1000));
        assert!(!can.pipelining());
    }
}
