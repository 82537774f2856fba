//! Folder names in modified UTF-7 (RFC 3501 §5.1.3).

use std::sync::OnceLock;

use data_encoding::{BASE64_NOPAD, Encoding};

/// Base64 with `,` for `/` and no padding.
fn base64() -> &'static Encoding {
    static MODIFIED: OnceLock<Encoding> = OnceLock::new();
    MODIFIED.get_or_init(|| {
        let mut specification = BASE64_NOPAD.specification();
        specification.symbols = specification.symbols.replace('/', ",");
        specification.encoding().unwrap_or(BASE64_NOPAD)
    })
}

/// A folder's name as it goes over the wire.
pub fn encode(name: &str) -> String {
    let mut wire = String::new();
    let mut shifted = Vec::new();
    let flush = |shifted: &mut Vec<u8>, wire: &mut String| {
        if !shifted.is_empty() {
            wire.push('&');
            wire.push_str(&base64().encode(shifted));
            wire.push('-');
            shifted.clear();
        }
    };
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            flush(&mut shifted, &mut wire);
            wire.push(c);
            if c == '&' {
                wire.push('-');
            }
        } else {
            let mut units = [0; 2];
            shifted.extend(
                c.encode_utf16(&mut units)
                    .iter()
                    .flat_map(|unit| unit.to_be_bytes()),
            );
        }
    }
    flush(&mut shifted, &mut wire);
    wire
}

/// A folder's name as people read it; one that is not well-formed stays as it is.
pub fn decode(wire: &str) -> String {
    try_decode(wire).unwrap_or_else(|| wire.to_owned())
}

fn try_decode(wire: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = wire;
    while let Some((plain, shifted)) = rest.split_once('&') {
        name.push_str(plain);
        let (encoded, after) = shifted.split_once('-')?;
        if encoded.is_empty() {
            name.push('&');
        } else {
            // Some servers leave bits over at the end; what is no whole unit is dropped.
            let bytes = base64().decode(encoded.as_bytes()).ok()?;
            let units = bytes.chunks_exact(2).map(|unit| match *unit {
                [high, low] => u16::from_be_bytes([high, low]),
                _ => 0,
            });
            name.extend(
                char::decode_utf16(units)
                    .collect::<Result<Vec<_>, _>>()
                    .ok()?,
            );
        }
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        assert_eq!(
            decode("~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            "~peter/mail/台北/日本語"
        );
        assert_eq!(encode("Entwürfe & mehr"), "Entw&APw-rfe &- mehr");
        assert_eq!(decode("broken & name"), "broken & name");
    }

    proptest! {
        #[test]
        fn names_survive(name: String) {
            let wire = encode(&name);
            prop_assert!(wire.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert_eq!(decode(&wire), name);
        }
    }
}
