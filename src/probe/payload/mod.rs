//! The catalogue of payloads: what a test message carries, what that proves, and what a filter should do about it.

pub mod content;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use crate::pattern;

/// Whether a filter should stop a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Ordinary mail: it must arrive.
    Harmless,
    /// What some sites stop by policy and others do not: reported, and judged only where the user says what is right.
    Policy,
    /// Harmful: a virus scanner must stop it.
    Virus,
    /// Harmful: a spam filter must stop or mark it.
    Spam,
}

impl Class {
    /// The word that stands for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Harmless => "harmless",
            Self::Policy => "policy",
            Self::Virus => "virus",
            Self::Spam => "spam",
        }
    }

    /// The outcomes that are right for this class where neither payload nor user names any; none: not judged.
    const fn expect(self) -> &'static [Outcome] {
        use Outcome::{Altered, Bounced, Delivered, Junked, Missing, Rejected, Tagged};
        match self {
            Self::Harmless => &[Delivered],
            Self::Policy => &[],
            Self::Virus => &[Rejected, Altered, Bounced, Missing],
            Self::Spam => &[Rejected, Tagged, Junked, Bounced, Missing],
        }
    }
}

macro_rules! catalogue {
    ($($variant:ident $name:literal $class:ident $proves:literal, $meets:literal;)+) => {
        /// One entry of the catalogue.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        pub enum Payload {
            $(#[doc = $proves] #[serde(rename = $name)] $variant,)+
        }

        impl Payload {
            /// The whole catalogue.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word that stands for it in configs and reports.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Whether a filter should stop it.
            pub const fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)+ }
            }

            /// What it is, and so what its fate proves.
            pub const fn proves(self) -> &'static str {
                match self { $(Self::$variant => $proves,)+ }
            }

            /// What should become of it.
            pub const fn meets(self) -> &'static str {
                match self { $(Self::$variant => $meets,)+ }
            }
        }
    };
}

catalogue! {
    Plain "plain" Harmless "a short text: mail gets through", "delivered";
    Html "html" Harmless "a text as HTML", "delivered";
    Large "large" Harmless "an attachment of `size` (5 MiB): size limits, and time for large mail", "delivered";
    EightBit "8bit" Harmless "a text in unencoded UTF-8 (8BITMIME)", "delivered";
    Smtputf8 "smtputf8" Harmless "header fields and an address in unencoded UTF-8 (SMTPUTF8)", "delivered";
    LongLines "long-lines" Harmless "lines of 998 characters, the longest that RFC 5322 allows", "delivered";
    Attachment "attachment" Harmless "a file of yours (`file`)", "delivered";
    ExecutableName "executable-name" Policy "a harmless text named setup.exe: whether names are banned", "what the site's policy says";
    DoubleExtension "double-extension" Policy "a harmless text named invoice.pdf.exe", "what the site's policy says";
    EicarEncryptedZip "eicar-encrypted-zip" Policy "EICAR in a zip that only its password opens (`infected`)", "what the site's policy says";
    Eicar "eicar" Virus "the EICAR test file as attachment eicar.txt: a scanner looks at attachments", "stopped by signature";
    EicarCom "eicar-com" Virus "the same as eicar.com: many gateways stop the name, which proves no scanner", "stopped, by name or signature";
    EicarInline "eicar-inline" Virus "EICAR as a whole inline text part", "stopped by signature";
    EicarBase64 "eicar-base64" Virus "EICAR in base64: the scanner decodes", "stopped by signature";
    EicarZip "eicar-zip" Virus "EICAR in a zip: the scanner unpacks", "stopped by signature";
    EicarZipZip "eicar-zip-zip" Virus "EICAR in a zip in a zip", "stopped by signature";
    EicarTarGz "eicar-tar-gz" Virus "EICAR in a compressed tar archive", "stopped by signature";
    EicarNested "eicar-nested" Virus "EICAR in an attached message", "stopped by signature";
    EicarRenamed "eicar-renamed" Virus "EICAR as photo.jpg: the scanner does not go by names", "stopped by signature";
    EicarHtml "eicar-html" Virus "EICAR as a whole HTML part", "stopped by signature";
    Gtube "gtube" Spam "the GTUBE text, which spam filters know", "stopped or marked";
    RspamdReject "rspamd-reject" Spam "Rspamd's pattern for its action `reject`", "stopped or marked";
    RspamdHeader "rspamd-header" Spam "Rspamd's pattern for `add header` (needs its test patterns on)", "marked or filed as junk";
    RspamdSubject "rspamd-subject" Spam "Rspamd's pattern for `rewrite subject` (needs its test patterns on)", "marked or filed as junk";
    RspamdNone "rspamd-none" Spam "Rspamd's pattern for no action (needs its test patterns on)", "delivered";
}

impl Payload {
    /// The payload of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|payload| payload.as_str() == name)
    }

    /// The outcomes that are right where the user names none; empty: it is reported and not judged.
    pub const fn default_expect(self) -> &'static [Outcome] {
        match self {
            Self::RspamdHeader | Self::RspamdSubject => &[Outcome::Tagged, Outcome::Junked],
            Self::RspamdNone => &[Outcome::Delivered],
            _ => self.class().expect(),
        }
    }

    /// The string that makes filters act, where it carries one.
    pub fn pattern(self) -> Option<Pattern> {
        match self {
            Self::Eicar
            | Self::EicarCom
            | Self::EicarInline
            | Self::EicarBase64
            | Self::EicarZip
            | Self::EicarZipZip
            | Self::EicarTarGz
            | Self::EicarNested
            | Self::EicarRenamed
            | Self::EicarHtml
            | Self::EicarEncryptedZip => Some(Pattern::Eicar),
            Self::Gtube | Self::RspamdReject => Some(Pattern::Gtube(b'X')),
            Self::RspamdHeader => Some(Pattern::Gtube(b'Y')),
            Self::RspamdSubject => Some(Pattern::Gtube(b'Z')),
            Self::RspamdNone => Some(Pattern::Gtube(b'A')),
            Self::Plain
            | Self::Html
            | Self::Large
            | Self::EightBit
            | Self::Smtputf8
            | Self::LongLines
            | Self::Attachment
            | Self::ExecutableName
            | Self::DoubleExtension => None,
        }
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A string that makes filters act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pattern {
    /// EICAR's.
    Eicar,
    /// GTUBE, with this first letter.
    Gtube(u8),
}

impl Pattern {
    /// The string itself: for a message, and for nothing else.
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Self::Eicar => pattern::eicar(),
            Self::Gtube(first) => pattern::gtube_with(first),
        }
    }

    /// What people call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eicar => "EICAR",
            Self::Gtube(b'X') => "GTUBE",
            Self::Gtube(_) => "Rspamd's test pattern",
        }
    }
}

/// Payloads that are asked for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Every way to hide a virus.
    Antivirus,
    /// What every spam filter knows.
    Spam,
    /// What only Rspamd knows.
    Rspamd,
    /// What is a matter of policy.
    Policy,
    /// The whole catalogue but `attachment`, which needs a file.
    All,
}

impl Suite {
    /// Every suite.
    pub const ALL: &[Self] = &[
        Self::Antivirus,
        Self::Spam,
        Self::Rspamd,
        Self::Policy,
        Self::All,
    ];

    /// The word that stands for it in configs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Antivirus => "antivirus",
            Self::Spam => "spam",
            Self::Rspamd => "rspamd",
            Self::Policy => "policy",
            Self::All => "all",
        }
    }

    /// The suite of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|suite| suite.as_str() == name)
    }

    /// What it contains, in the order of the catalogue.
    pub fn payloads(self) -> impl Iterator<Item = Payload> {
        Payload::ALL
            .iter()
            .copied()
            .filter(move |payload| match self {
                Self::Antivirus => payload.class() == Class::Virus,
                Self::Spam => *payload == Payload::Gtube,
                Self::Rspamd => payload.as_str().starts_with("rspamd-"),
                Self::Policy => payload.class() == Class::Policy,
                Self::All => *payload != Payload::Attachment,
            })
    }
}

/// What `large` attaches where the test does not say, in bytes.
pub const DEFAULT_LARGE: u64 = 5 * 1024 * 1024;
/// The most that a test may attach, in bytes.
pub const MOST_ATTACHED: u64 = 64 * 1024 * 1024;

/// A file of the user's.
#[derive(Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its name.
    pub name: String,
    /// Where it was read from.
    pub path: PathBuf,
    /// What it holds.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

/// A payload as a test sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The entry of the catalogue.
    pub payload: Payload,
    /// How much `large` attaches, in bytes.
    pub size: Option<u64>,
    /// How much harmless attachment stands before the harmful one, in bytes.
    pub pad: Option<u64>,
    /// What `attachment` attaches.
    pub file: Option<Arc<Attached>>,
}

impl Sample {
    /// The payload as the catalogue has it.
    pub fn of(payload: Payload) -> Self {
        Self {
            payload,
            size: None,
            pad: None,
            file: None,
        }
    }

    /// What tells it from the payload as the catalogue has it; empty: nothing.
    pub fn variant(&self) -> String {
        let size = self.size.map(|size| ByteSize(size).to_string());
        let pad = self.pad.map(|pad| format!("beside {}", ByteSize(pad)));
        let file = self.file.as_ref().map(|file| file.name.clone());
        [size, pad, file]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", ")
    }
}
