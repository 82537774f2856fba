//! Header fields as bytes: found, read and edited without touching anything else of a message.

use std::ops::ControlFlow;

/// Where the body begins: after the empty line, or at the end when there is none.
pub(crate) fn body_start(message: &[u8]) -> usize {
    let mut at = 0;
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        at += line.len();
        if matches!(line, b"\r\n" | b"\n") {
            return at;
        }
    }
    message.len()
}

/// The raw fields of a header, folded lines and line ends included.
pub(crate) fn raw_fields(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let mut end = 0;
        let _ = rest
            .split_inclusive(|&byte| byte == b'\n')
            .try_for_each(|line| {
                let folded = matches!(line.first(), Some(b' ' | b'\t'));
                if matches!(line, b"\r\n" | b"\n") || (end > 0 && !folded) {
                    return ControlFlow::Break(());
                }
                end += line.len();
                ControlFlow::Continue(())
            });
        let (field, tail) = rest.split_at_checked(end).filter(|_| end > 0)?;
        rest = tail;
        Some(field)
    })
}

/// The name before the colon; empty for a line that is no field.
pub(crate) fn name(field: &[u8]) -> &[u8] {
    let colon = field.iter().position(|&byte| byte == b':').unwrap_or(0);
    field.get(..colon).unwrap_or_default().trim_ascii_end()
}

pub(crate) fn is_named(field: &[u8], wanted: &str) -> bool {
    name(field).eq_ignore_ascii_case(wanted.as_bytes())
}

/// The unfolded value of a field.
pub(crate) fn value(field: &[u8]) -> String {
    let colon = field.iter().position(|&byte| byte == b':').unwrap_or(0);
    let value = field.get(colon + 1..).unwrap_or_default().trim_ascii();
    let unfolded = value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n'));
    String::from_utf8_lossy(&unfolded.copied().collect::<Vec<_>>()).into_owned()
}

/// The unfolded value of the first field of this name.
pub(crate) fn find(message: &[u8], wanted: &str) -> Option<String> {
    raw_fields(message)
        .find(|field| is_named(field, wanted))
        .map(value)
}

/// The message with each field as `edit` returns it (`None` removes it), `added` below them.
pub(crate) fn edit<'m>(
    message: &'m [u8],
    added: &str,
    mut edit: impl FnMut(&'m [u8]) -> Option<std::borrow::Cow<'m, [u8]>>,
) -> Vec<u8> {
    let mut edited = Vec::with_capacity(message.len() + added.len() + 64);
    let mut header_len = 0;
    for field in raw_fields(message) {
        header_len += field.len();
        if let Some(field) = edit(field) {
            edited.extend_from_slice(&field);
        }
    }
    edited.extend_from_slice(added.as_bytes());
    let rest = message.get(header_len..).unwrap_or_default();
    if rest.is_empty() {
        edited.extend_from_slice(b"\r\n");
    }
    edited.extend_from_slice(rest);
    edited
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"Subject: one\r\n two\r\nX-A: b\r\n\r\nbody\r\n";

    #[test]
    fn fields_keep_their_folds() {
        let fields: Vec<&[u8]> = raw_fields(MESSAGE).collect();
        assert_eq!(fields, [&b"Subject: one\r\n two\r\n"[..], b"X-A: b\r\n"]);
        assert_eq!(find(MESSAGE, "subject").as_deref(), Some("one two"));
        assert_eq!(MESSAGE.get(body_start(MESSAGE)..), Some(&b"body\r\n"[..]));
    }

    #[test]
    fn an_edit_leaves_the_rest_as_it_was() {
        let same = edit(MESSAGE, "", |field| Some(field.into()));
        assert_eq!(same, MESSAGE);
        let without = edit(MESSAGE, "Y: z\r\n", |field| {
            (!is_named(field, "x-a")).then(|| field.into())
        });
        assert_eq!(without, b"Subject: one\r\n two\r\nY: z\r\n\r\nbody\r\n");
    }

    #[test]
    fn a_message_without_header_or_body_is_no_trouble() {
        assert_eq!(raw_fields(b"\r\nbody").count(), 0);
        assert_eq!(body_start(b""), 0);
        assert_eq!(edit(b"", "A: b\r\n", |f| Some(f.into())), b"A: b\r\n\r\n");
    }
}
