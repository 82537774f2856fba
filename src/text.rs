//! Others' words, fit to be shown: what peers, files and people write may hold characters that steer a terminal, change the
//! order of what stands beside them, or cannot be seen. Every output that people read goes through here.

use std::borrow::Cow;

use icu_properties::CodePointSetData;
use icu_properties::props::{BidiControl, DefaultIgnorableCodePoint};

/// Whether a character does something instead of standing there: control characters (C0, C1 and DEL), those of the
/// bidirectional algorithm (Unicode UAX #9), line and paragraph separators, what is invisible, and noncharacters.
///
/// The joiners and variation selectors stay: emoji and the scripts of Persia and India are written with them.
pub fn is_odd(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    match c {
        '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' => false,
        '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}' | '\u{fdd0}'..='\u{fdef}' => true,
        c => {
            c.is_control()
                || u32::from(c) & 0xfffe == 0xfffe
                || CodePointSetData::new::<BidiControl>().contains(c)
                || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        }
    }
}

/// `text` on one line, U+FFFD in the place of each odd character, and a space in that of each break and tab.
pub fn line(text: &str) -> String {
    lines(text).replace('\n', " ")
}

/// The same with its line breaks kept.
pub fn lines(text: &str) -> String {
    let shown = |c| match c {
        '\n' => '\n',
        '\t' | '\u{2028}' | '\u{2029}' => ' ',
        c if is_odd(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// As much of `text` as fits into so many bytes, with a sign where something was left out.
pub fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    const SIGN: &str = "…";
    if text.len() <= limit {
        return text.into();
    }
    let kept = text.floor_char_boundary(limit.saturating_sub(SIGN.len()));
    let (kept, _) = text.split_at(kept);
    format!("{kept}{SIGN}").into()
}

/// The first characters of a text, on one line, so many at most.
pub fn excerpt(text: &str, most: usize) -> String {
    line(&text.chars().take(most).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_something_is_replaced_and_what_is_written_stays() {
        for odd in "\0\u{7}\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{34f}\u{61c}\u{180e}\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{206f}\u{feff}\u{fff9}\u{fffe}\u{fdd0}\u{1fffe}\u{e0041}\u{e0100}".chars() {
            assert!(is_odd(odd), "{odd:?}");
        }
        let written = "ä é e\u{301} Привет שלום عربى می\u{200c}خواهم नमस्ते क्\u{200d}ष 日本語 👩\u{200d}👩\u{200d}👧 ❤\u{fe0f} € “x” \u{10ffff}"
            .replace('\u{10ffff}', "");
        assert_eq!(lines(&written), written);
        assert_eq!(
            line("a\tb\r\nc\u{2028}d\u{202e}e"),
            "a b\u{fffd} c d\u{fffd}e"
        );
        assert_eq!(lines("a\nb"), "a\nb");
        assert_eq!(cut("äöü", 5), "ä…");
        assert_eq!(excerpt("a\nbc", 3), "a b");
    }
}
