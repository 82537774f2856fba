//! What a message holds: a virus, spam, a banned name. Pure and bounded.
//!
//! The virus is the EICAR test file as `ClamAV` knows it: its 68 bytes at the very start of a file of at most 128, with
//! nothing but white space behind. A file is a decoded part, or a member of an archive. Spam is GTUBE, anywhere in a
//! decoded text. What could not be looked into passes, as with most scanners, and is told in the log.

use crate::{
    mime::{
        archive::{self, Budget},
        leaf::{Content, leaves},
        parse,
    },
    pattern,
};

/// A longer file with the test string at its start is not the test file.
const MAX_TEST_FILE: usize = 128;
/// Of an attachment's name, this much is told.
const NAME_SHOWN: usize = 100;

/// Names that end so are banned.
const BANNED: [&str; 5] = ["exe", "com", "bat", "scr", "js"];
/// And these behind another extension, as in `invoice.pdf.pif`.
const BANNED_AS_SECOND: [&str; 8] = ["cmd", "cpl", "dll", "hta", "lnk", "pif", "vbs", "wsf"];

/// Whether archives are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpacking {
    On,
    Off,
}

/// What one scan found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) virus: bool,
    pub(super) spam: Option<Gtube>,
    /// The first banned name, fit to be shown.
    pub(super) banned: Option<String>,
}

/// GTUBE, or a pattern that asks for another action of Rspamd's; the harshest is last. The one that asks for no action
/// is not even found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gtube {
    AddHeader,
    RewriteSubject,
    Reject,
}

pub(super) fn scan(message: &[u8], unpacking: Unpacking) -> Found {
    let mut found = Found::default();
    let Some(parsed) = parse(message) else {
        tracing::info!(target: "lab", "filter: the message cannot be parsed, it passes");
        return found;
    };
    let mut scanner = Scanner::new(unpacking);
    let gtube = pattern::gtube();
    for leaf in leaves(&parsed) {
        found.virus = found.virus || scanner.is_infected(leaf.content.bytes());
        if let Content::Text(text) | Content::Html(text) = leaf.content {
            found.spam = found.spam.max(spam_in(text.as_bytes(), &gtube));
        }
        if let Some(name) = leaf.name.filter(|name| is_banned(name)) {
            found.banned.get_or_insert_with(|| shown(name));
        }
    }
    if let Some(unread) = scanner.budget.unread.filter(|_| !found.virus) {
        tracing::info!(target: "lab", unread, "filter: not looked into, it passes");
    }
    found
}

/// Looks for the virus in the files of one message.
pub(super) struct Scanner {
    eicar: Vec<u8>,
    unpacking: Unpacking,
    budget: Budget,
}

impl Scanner {
    pub(super) fn new(unpacking: Unpacking) -> Self {
        Scanner {
            eicar: pattern::eicar(),
            unpacking,
            budget: Budget::default(),
        }
    }

    /// Whether a file, or one packed in it, is the virus.
    pub(super) fn is_infected(&mut self, file: &[u8]) -> bool {
        let mut infected = is_test_file(file, &self.eicar);
        if !infected && self.unpacking == Unpacking::On {
            archive::unpack(file, None, &mut self.budget, |member| {
                infected |= is_test_file(&member.bytes, &self.eicar);
            });
        }
        infected
    }
}

fn is_test_file(file: &[u8], eicar: &[u8]) -> bool {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x1a;
    file.len() <= MAX_TEST_FILE
        && file
            .strip_prefix(eicar)
            .is_some_and(|rest| rest.iter().all(is_space))
}

fn spam_in(text: &[u8], gtube: &[u8]) -> Option<Gtube> {
    let (_, common) = gtube.split_first()?;
    if !pattern::holds(text, common) {
        return None;
    }
    [
        (b'X', Gtube::Reject),
        (b'Z', Gtube::RewriteSubject),
        (b'Y', Gtube::AddHeader),
    ]
    .into_iter()
    .find_map(|(first, gtube)| pattern::holds(text, &pattern::gtube_with(first)).then_some(gtube))
}

fn is_banned(name: &str) -> bool {
    let name = name
        .trim_end_matches(['.', ' ', '\t', '\u{0}'])
        .to_lowercase();
    let mut extensions = name.rsplit('.');
    let last = extensions.next().unwrap_or_default();
    let extensions = extensions.count();
    (extensions > 0 && BANNED.contains(&last))
        || (extensions > 1 && BANNED_AS_SECOND.contains(&last))
}

/// A name as it may stand in a reply or in a text of ours.
pub(super) fn shown(name: &str) -> String {
    let plain = |char: char| match char {
        ' '..='~' => char,
        _ => '?',
    };
    name.chars().take(NAME_SHOWN).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_file_stands_alone_or_before_white_space() {
        let eicar = pattern::eicar();
        let with =
            |before: &[u8], after: &[u8]| is_test_file(&[before, &eicar, after].concat(), &eicar);
        assert!(with(b"", b"") && with(b"", b"\r\n") && with(b"", b"\x1a"));
        assert!(with(b"", &[b' '; 60]) && !with(b"", &[b' '; 61]));
        assert!(!with(b" ", b"") && !with(b"", b"\r\n-- \r\nfooter"));
    }

    #[test]
    fn the_first_letter_of_gtube_is_its_action() {
        let gtube = pattern::gtube();
        let spam = |firsts: &[u8]| {
            let text: Vec<u8> = firsts
                .iter()
                .flat_map(|first| [b"text ".as_slice(), &pattern::gtube_with(*first)].concat())
                .collect();
            spam_in(&text, &gtube)
        };
        assert_eq!(spam(b"X"), Some(Gtube::Reject));
        assert_eq!(spam(b"YZ"), Some(Gtube::RewriteSubject));
        assert_eq!(spam(b"YA"), Some(Gtube::AddHeader));
        assert_eq!(spam(b"A"), None);
        assert_eq!(spam(b""), None);
    }

    #[test]
    fn programs_are_banned_by_the_end_of_their_names() {
        for name in ["eicar.com", "A.EXE", "x.pdf.exe", "x.pdf.pif", "a.js. "] {
            assert!(is_banned(name), "{name}");
        }
        for name in ["com", "a.tar.gz", "a.com.txt", "a.zip", "a.pif", "", "..."] {
            assert!(!is_banned(name), "{name}");
        }
    }

    #[test]
    fn a_name_is_shown_on_one_short_line() {
        assert_eq!(shown("a\r\nb\u{e9}.com"), "a??b?.com");
        assert_eq!(shown(&"x".repeat(5000)).len(), NAME_SHOWN);
    }
}
