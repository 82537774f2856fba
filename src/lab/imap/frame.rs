//! Where a command ends: lines and the literals between them, bounded before they are parsed.

use crate::lab::wire::{Stream, Wire, WireError};

const LINE_LIMIT: usize = 64 * 1024;
/// Before the login nobody needs a literal longer than a password.
const STRANGERS_LITERAL: usize = 4096;
const LITERAL_LIMIT: usize = 52_428_800;

pub(super) enum Frame {
    /// A whole command, with its literals and its last line end.
    Command(Vec<u8>),
    TooLarge,
}

pub(super) async fn read<S: Stream>(
    wire: &mut Wire<S>,
    authenticated: bool,
) -> Result<Frame, WireError> {
    let limit = if authenticated {
        LITERAL_LIMIT
    } else {
        STRANGERS_LITERAL
    };
    let mut command = Vec::new();
    loop {
        let line = match wire.line(LINE_LIMIT).await {
            Ok(line) => line,
            Err(WireError::LineTooLong) => return Ok(Frame::TooLarge),
            Err(error) => return Err(error),
        };
        command.extend_from_slice(&line);
        command.extend_from_slice(b"\r\n");
        let Some(literal) = literal(&line) else {
            return Ok(Frame::Command(command));
        };
        if literal.len > limit || command.len() + literal.len > limit + LINE_LIMIT {
            return Ok(Frame::TooLarge);
        }
        if literal.waits {
            wire.push(b"+ go ahead\r\n");
        }
        let end = command.len() + literal.len;
        while command.len() < end {
            if wire.buffered().is_empty() {
                wire.fill().await?;
            }
            let buffered = wire.buffered();
            let wanted = buffered.len().min(end - command.len());
            command.extend_from_slice(buffered.get(..wanted).unwrap_or_default());
            wire.consume(wanted);
        }
    }
}

struct Literal {
    len: usize,
    /// Whether the client waits to be told to go ahead.
    waits: bool,
}

/// The literal that a line announces at its end: `{12}`, or `{12+}` (RFC 7888).
fn literal(line: &[u8]) -> Option<Literal> {
    let inner = line.strip_suffix(b"}")?;
    let brace = inner.iter().rposition(|&byte| byte == b'{')?;
    let digits = inner.get(brace + 1..)?;
    let (digits, waits) = match digits.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (digits, true),
    };
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| all_digits)?;
    // A number that does not fit is too large, not absent.
    let len = digits.parse().unwrap_or(usize::MAX / 2);
    Some(Literal { len, waits })
}

/// The tag of a command that could not be parsed; `*` when there is none to answer to.
pub(super) fn tag(command: &[u8]) -> String {
    let first = command
        .split(u8::is_ascii_whitespace)
        .next()
        .unwrap_or_default();
    let is_tag = !first.is_empty()
        && first.len() <= 64
        && first.iter().all(|&byte| {
            byte.is_ascii_graphic()
                && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b'+')
        });
    if is_tag {
        String::from_utf8_lossy(first).into_owned()
    } else {
        "*".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_seen_at_the_end_of_a_line_only() {
        let len = |line: &[u8]| literal(line).map(|literal| (literal.len, literal.waits));
        assert_eq!(len(b"a LOGIN {4}"), Some((4, true)));
        assert_eq!(len(b"a LOGIN {4+}"), Some((4, false)));
        assert_eq!(len(b"a LOGIN {4} x"), None);
        assert_eq!(len(b"a LOGIN {}"), None);
        assert_eq!(len(b"a LOGIN {-1}"), None);
        assert!(len(b"a {99999999999999999999}").is_some_and(|(len, _)| len > LITERAL_LIMIT));
    }

    #[test]
    fn a_bad_command_is_answered_by_its_tag() {
        assert_eq!(tag(b"a1 NONSENSE\r\n"), "a1");
        assert_eq!(tag(b"\r\n"), "*");
        assert_eq!(tag(b"{1} x"), "*");
    }
}
