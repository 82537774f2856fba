//! The strings that filters agree to take for the real thing: EICAR's for virus scanners, GTUBE and its kin for spam filters.
//!
//! Programs and files that hold them in the clear are flagged by scanners themselves, so they are masked here and made
//! when they are needed; nothing but a test message may ever contain one.

/// The anti-malware test file: 68 bytes (eicar.org, 2006).
pub fn eicar() -> Vec<u8> {
    unmasked(&EICAR)
}

/// The generic test for unsolicited bulk email: 68 bytes, which `SpamAssassin` and Rspamd know.
pub fn gtube() -> Vec<u8> {
    unmasked(&GTUBE)
}

/// GTUBE with another first letter: Rspamd's test patterns, one for each of its actions (`gtube_patterns = "all"`).
pub fn gtube_with(first: u8) -> Vec<u8> {
    let mut pattern = gtube();
    if let Some(letter) = pattern.first_mut() {
        *letter = first;
    }
    pattern
}

/// Whether `bytes` hold the pattern, wherever in them.
pub fn holds(bytes: &[u8], pattern: &[u8]) -> bool {
    let Some((first, rest)) = pattern.split_first() else {
        return true;
    };
    let mut from = bytes;
    while let Some(at) = from.iter().position(|byte| byte == first) {
        from = from.get(at + 1..).unwrap_or_default();
        if from.starts_with(rest) {
            return true;
        }
    }
    false
}

fn unmasked(masked: &[u8]) -> Vec<u8> {
    // Opaque to the compiler, which could otherwise put the result into the program.
    let masked = std::hint::black_box(masked);
    let mut mask = 41_u8;
    let unmask = |byte: &u8| {
        let clear = byte ^ mask;
        mask = mask.wrapping_add(73);
        clear
    };
    masked.iter().map(unmask).collect()
}

const EICAR: [u8; 68] = [
    0x71, 0x47, 0xf4, 0x25, 0x1d, 0xb3, 0x9f, 0x69, 0x21, 0xe1, 0x37, 0x10, 0xc5, 0x84, 0x7f, 0x45,
    0x8d, 0x2a, 0x1b, 0xca, 0xf4, 0x11, 0x2c, 0xfb, 0x28, 0x7d, 0xee, 0xf8, 0x60, 0x27, 0xf4, 0x41,
    0x1b, 0xbf, 0x88, 0x70, 0x2c, 0xf8, 0xbb, 0x09, 0xc3, 0x9e, 0x0e, 0x2d, 0xfb, 0xaa, 0x0e, 0xc6,
    0x90, 0x70, 0x3e, 0xe7, 0xd0, 0x12, 0xca, 0x8b, 0x75, 0x47, 0xf5, 0xb5, 0x09, 0xcb, 0xf6, 0x04,
    0x21, 0x99, 0xb3, 0x6e,
];

const GTUBE: [u8; 68] = [
    0x71, 0x38, 0xe8, 0x2e, 0x0e, 0xa2, 0x95, 0x6c, 0x33, 0xeb, 0x42, 0x08, 0xdb, 0xef, 0x09, 0x3e,
    0xea, 0x40, 0x05, 0xa7, 0xf7, 0x14, 0x26, 0xfc, 0x4f, 0x0f, 0xdd, 0xf6, 0x62, 0x3a, 0xe2, 0x42,
    0x0c, 0xbf, 0x88, 0x70, 0x2c, 0xf8, 0xbb, 0x09, 0xc3, 0x9e, 0x0e, 0x2d, 0xfb, 0xaa, 0x0e, 0xbd,
    0x8c, 0x60, 0x2e, 0x99, 0xa9, 0x03, 0xdc, 0x8c, 0x0c, 0x2f, 0xfe, 0xbd, 0x0c, 0xc2, 0xfd, 0x63,
    0x47, 0x81, 0xcf, 0x1c,
];

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use ring::digest::{SHA256, digest};

    use super::*;

    #[test]
    fn they_are_the_strings_that_filters_know() {
        let sha256 = |bytes: &[u8]| HEXLOWER.encode(digest(&SHA256, bytes).as_ref());
        assert_eq!(
            sha256(&eicar()),
            "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f"
        );
        assert_eq!(
            sha256(&gtube()),
            "4418994365912e23b756ec7f14960f1a89230e44e6acb74de055db7c092f8b9c"
        );
        assert_eq!(gtube_with(b'X'), gtube());
    }

    #[test]
    fn a_pattern_is_found_wherever_it_stands() {
        let mut bytes = b"XX".to_vec();
        bytes.extend(gtube());
        assert!(holds(&bytes, &gtube()));
        assert!(!holds(&bytes, &eicar()));
        bytes.pop();
        assert!(!holds(&bytes, &gtube()));
    }
}
