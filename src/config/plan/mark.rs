//! What a filter writes on a message that it takes for spam or infected, as the config names it.

use std::fmt;
use std::str::FromStr;

use crate::probe::message::is_field_name;

/// A rule of the config key `marks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkRule {
    /// The subject begins with this.
    Subject(String),
    /// A header field whose value begins with this word or phrase.
    Header {
        /// The field's name; a `*` in it stands for any text.
        name: String,
        /// The word or phrase.
        value: String,
    },
}

impl MarkRule {
    /// The rules of a route that names none.
    pub fn defaults() -> Vec<Self> {
        super::DEFAULT_MARKS
            .map(|prefix| Self::Subject(prefix.to_owned()))
            .into()
    }
}

/// `header:NAME=VALUE`, `subject:PREFIX`, or the prefix alone.
impl FromStr for MarkRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rule) = text.strip_prefix("header:") {
            let (name, value) = rule
                .split_once('=')
                .ok_or("a header mark is written header:NAME=VALUE")?;
            let (name, value) = (name.trim(), value.trim());
            if name.is_empty() || !is_field_name(name) {
                return Err(format!("{name:?} is not a header field name"));
            }
            if value.is_empty() {
                return Err(format!("no value that marks a message by {name}"));
            }
            return Ok(Self::Header {
                name: name.to_owned(),
                value: value.to_owned(),
            });
        }
        let prefix = text.strip_prefix("subject:").unwrap_or(text).trim();
        if prefix.is_empty() {
            return Err("an empty prefix would mark every message".to_owned());
        }
        Ok(Self::Subject(prefix.to_owned()))
    }
}

impl fmt::Display for MarkRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(prefix)
                if prefix.starts_with("header:") || prefix.starts_with("subject:") =>
            {
                write!(f, "subject:{prefix}")
            }
            Self::Subject(prefix) => f.write_str(prefix),
            Self::Header { name, value } => write!(f, "header:{name}={value}"),
        }
    }
}
