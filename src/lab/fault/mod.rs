//! Faults: what can be made to go wrong, and how it is written.
//!
//! A fault is `KIND[=VALUE][,first=N][,every=N][,to=LOCALPART]`. Parsing checks everything, so that
//! an armed fault always has the value its kind needs. `armed` counts which messages it hits.

pub(crate) mod action;
pub(crate) mod armed;
pub(crate) mod kind;

use std::{fmt, fmt::Write as _, num::NonZeroU64, str::FromStr, time::Duration};

use action::FilterAction;
use jiff::{
    SignedDuration,
    fmt::friendly::{Spacing, SpanPrinter},
};
use kind::{Kind, Scope, Shape};

/// A fault as a person writes it: `delay=2s`, `drop,every=3`, `reject=rcpt:550,to=alice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub(crate) kind: Kind,
    pub(crate) value: Value,
    pub(crate) first: Option<u64>,
    pub(crate) every: Option<NonZeroU64>,
    pub(crate) to: Option<String>,
}

/// What stands after the `=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Nothing,
    Span(Duration),
    Count(u32),
    Refusal(Stage, u16),
    Command(String),
    Filter(FilterAction),
    Size(u64),
}

/// Where an SMTP transaction can be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Mail,
    Rcpt,
    Data,
    Message,
}

/// A fault or a lab command that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No fault of this name.
    #[error("unknown fault `{given}`; did you mean `{nearest}`? `help` lists them all")]
    UnknownFault {
        /// What was written.
        given: String,
        /// The known fault nearest to it.
        nearest: &'static str,
    },
    /// The value is missing, not wanted, or of the wrong form.
    #[error("`{kind}` takes {wanted}, got `{given}`")]
    Value {
        /// The fault.
        kind: &'static str,
        /// What it takes.
        wanted: &'static str,
        /// What was written; empty for nothing.
        given: String,
    },
    /// A value that is none of the words to choose from.
    #[error("`{kind}` takes {wanted}, got `{given}`; did you mean `{nearest}`?")]
    Choice {
        /// The fault.
        kind: &'static str,
        /// The words.
        wanted: &'static str,
        /// What was written.
        given: String,
        /// The word nearest to it.
        nearest: &'static str,
    },
    /// A limit that is unknown, malformed, or without meaning for this fault.
    #[error("`{kind}` does not take `{given}`; it takes {wanted}")]
    Limit {
        /// The fault.
        kind: &'static str,
        /// What it takes.
        wanted: &'static str,
        /// What was written.
        given: String,
    },
    /// No lab command of this name.
    #[error("unknown command `{given}`; did you mean `{nearest}`? `help` lists them all")]
    UnknownCommand {
        /// What was written.
        given: String,
        /// The known command nearest to it.
        nearest: &'static str,
    },
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let mut words = text.split(',').map(str::trim);
        let head = words.next().unwrap_or_default();
        let (name, value) = match head.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (head, None),
        };
        let kind: Kind = name.parse()?;
        let mut fault = Fault {
            kind,
            value: Value::parse(kind, value)?,
            first: None,
            every: None,
            to: None,
        };
        for limit in words {
            fault.limit(limit)?;
        }
        Ok(fault)
    }
}

impl Fault {
    /// The grammar and all faults, a line each.
    pub fn catalogue() -> String {
        let mut catalogue = "KIND[=VALUE][,first=N][,every=N][,to=LOCALPART]:\n".to_owned();
        for kind in Kind::ALL {
            let spelled = format!("{}{}", kind.name(), kind.shape().placeholder());
            let _ = writeln!(catalogue, "  {spelled:<24} {}", kind.about());
        }
        catalogue
    }

    fn limit(&mut self, limit: &str) -> Result<(), FaultError> {
        let scope = self.kind.scope();
        let at_mail = matches!(self.value, Value::Refusal(Stage::Mail, _));
        let wanted = match scope {
            Scope::Message if at_mail => "first=N and every=N",
            Scope::Message => "first=N, every=N and to=LOCALPART",
            Scope::Occasion => "first=N and every=N",
            Scope::State | Scope::Moment => "no limits",
        };
        let refused = || FaultError::Limit {
            kind: self.kind.name(),
            wanted,
            given: limit.to_owned(),
        };
        let (name, value) = limit.split_once('=').ok_or_else(refused)?;
        match (name.trim(), value.trim(), scope) {
            ("first", n, Scope::Message | Scope::Occasion) => {
                self.first = Some(n.parse().map_err(|_| refused())?);
            }
            ("every", n, Scope::Message | Scope::Occasion) => {
                self.every = Some(n.parse().map_err(|_| refused())?);
            }
            ("to", local, Scope::Message) if !at_mail && !local.is_empty() => {
                self.to = Some(local.to_owned());
            }
            _ => return Err(refused()),
        }
        Ok(())
    }

    /// The length of time it was given; zero for kinds without one.
    pub(crate) fn span(&self) -> Duration {
        match self.value {
            Value::Span(span) => span,
            _ => Duration::ZERO,
        }
    }

    /// The number it was given; zero for kinds without one.
    pub(crate) fn count(&self) -> u32 {
        match self.value {
            Value::Count(count) => count,
            _ => 0,
        }
    }

    /// What the filter was told to do, if it was.
    pub(crate) fn filter_action(&self) -> Option<FilterAction> {
        match self.value {
            Value::Filter(action) => Some(action),
            _ => None,
        }
    }

    /// The size it was given, if it was.
    pub(crate) fn size(&self) -> Option<u64> {
        match self.value {
            Value::Size(size) => Some(size),
            _ => None,
        }
    }
}

impl FromStr for Kind {
    type Err = FaultError;

    fn from_str(name: &str) -> Result<Self, FaultError> {
        Kind::ALL
            .iter()
            .copied()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| FaultError::UnknownFault {
                given: name.to_owned(),
                nearest: nearest(name, Kind::ALL.iter().map(|kind| kind.name())),
            })
    }
}

/// The candidate that `given` was most likely meant to be.
pub(crate) fn nearest(given: &str, candidates: impl Iterator<Item = &'static str>) -> &'static str {
    candidates
        .max_by(|a, b| {
            let near = |name| strsim::jaro_winkler(given, name);
            near(a).total_cmp(&near(b))
        })
        .unwrap_or_default()
}

impl Value {
    fn parse(kind: Kind, given: Option<&str>) -> Result<Self, FaultError> {
        let wrong = || FaultError::Value {
            kind: kind.name(),
            wanted: kind.shape().wanted(),
            given: given.unwrap_or_default().to_owned(),
        };
        match (kind.shape(), given) {
            (Shape::Nothing, None) => Ok(Value::Nothing),
            (Shape::Span, Some(text)) => text
                .parse::<SignedDuration>()
                .ok()
                .and_then(|span| Duration::try_from(span).ok())
                .map(Value::Span)
                .ok_or_else(wrong),
            (Shape::Count, Some(text)) => text.parse().map(Value::Count).map_err(|_| wrong()),
            (Shape::Refusal, Some(text)) => refusal(text).ok_or_else(wrong),
            (Shape::Command, Some(text)) if !text.is_empty() => {
                Ok(Value::Command(text.to_ascii_uppercase()))
            }
            (Shape::OnVirus, Some(text)) if !text.is_empty() => {
                filter_action(kind, FilterAction::ON_VIRUS, text)
            }
            (Shape::OnSpam, Some(text)) if !text.is_empty() => {
                filter_action(kind, FilterAction::ON_SPAM, text)
            }
            (Shape::Size, Some(text)) => size(text).map(Value::Size).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }
}

fn filter_action(kind: Kind, choices: &[FilterAction], given: &str) -> Result<Value, FaultError> {
    let chosen = choices.iter().find(|action| action.name() == given);
    chosen
        .map(|action| Value::Filter(*action))
        .ok_or_else(|| FaultError::Choice {
            kind: kind.name(),
            wanted: kind.shape().wanted(),
            given: given.to_owned(),
            nearest: nearest(given, choices.iter().map(|action| action.name())),
        })
}

/// The units of a size, the largest first.
const UNITS: [(&str, u64); 2] = [("MiB", 1024 * 1024), ("KiB", 1024)];

fn size(text: &str) -> Option<u64> {
    let with_unit = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
    let (number, unit) = with_unit.unwrap_or((text, 1));
    number.trim_end().parse::<u64>().ok()?.checked_mul(unit)
}

fn refusal(text: &str) -> Option<Value> {
    let (stage, code) = text.split_once(':')?;
    let stage = Stage::ALL.into_iter().find(|known| known.name() == stage)?;
    let code = code.parse().ok().filter(|code| (400..600).contains(code))?;
    Some(Value::Refusal(stage, code))
}

impl Stage {
    const ALL: [Stage; 4] = [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Message];

    const fn name(self) -> &'static str {
        match self {
            Stage::Mail => "mail",
            Stage::Rcpt => "rcpt",
            Stage::Data => "data",
            Stage::Message => "message",
        }
    }
}

impl Shape {
    pub(crate) const fn wanted(self) -> &'static str {
        match self {
            Shape::Nothing => "no value",
            Shape::Span => "a length of time such as `500ms` or `2s`",
            Shape::Count => "a whole number",
            Shape::Refusal => "STAGE:CODE, mail|rcpt|data|message and a code of 400 to 599",
            Shape::Command => "the name of an IMAP command",
            Shape::OnVirus => "reject, discard, quarantine, tag, junk, strip, bounce or off",
            Shape::OnSpam => "reject, discard, quarantine, tag, subject, junk or off",
            Shape::Size => "a size such as `500`, `64KiB` or `1MiB`",
        }
    }

    /// How the value is shown in a list of faults.
    pub(crate) const fn placeholder(self) -> &'static str {
        match self {
            Shape::Nothing => "",
            Shape::Span => "=DUR",
            Shape::Count => "=N",
            Shape::Refusal => "=STAGE:CODE",
            Shape::Command => "=COMMAND",
            Shape::OnVirus | Shape::OnSpam => "=ACTION",
            Shape::Size => "=SIZE",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match &self.value {
            Value::Nothing => {}
            Value::Span(span) => {
                let printer = SpanPrinter::new().spacing(Spacing::None);
                write!(f, "={}", printer.unsigned_duration_to_string(span))?;
            }
            Value::Count(count) => write!(f, "={count}")?,
            Value::Refusal(stage, code) => write!(f, "={}:{code}", stage.name())?,
            Value::Command(command) => write!(f, "={command}")?,
            Value::Filter(action) => write!(f, "={}", action.name())?,
            Value::Size(size) => {
                let fits = UNITS
                    .iter()
                    .find(|(_, unit)| *size > 0 && size.is_multiple_of(*unit));
                match fits {
                    Some((name, unit)) => write!(f, "={}{name}", size / unit)?,
                    None => write!(f, "={size}")?,
                }
            }
        }
        if let Some(first) = self.first {
            write!(f, ",first={first}")?;
        }
        if let Some(every) = self.every {
            write!(f, ",every={every}")?;
        }
        if let Some(to) = &self.to {
            write!(f, ",to={to}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_gives_back_what_was_parsed() {
        for text in [
            "drop",
            "delay=500ms",
            "delay=2s,first=3",
            "late-idle=1m30s",
            "reject=rcpt:550,every=2,to=alice",
            "defer=2,to=grey",
            "imap-no=UID FETCH,first=1",
            "in-use=2",
            "virus=quarantine,to=alice",
            "spam=subject,every=2",
            "scan-limit=64KiB",
            "scan-limit=1MiB,to=big",
            "scan-limit=1025",
        ] {
            let fault: Fault = text.parse().expect(text);
            assert_eq!(fault.to_string(), text);
        }
    }

    #[test]
    fn every_kind_parses_with_its_own_shape() {
        for kind in Kind::ALL {
            let value = match kind.shape() {
                Shape::Nothing => "",
                Shape::Span => "=1s",
                Shape::Count => "=2",
                Shape::Refusal => "=message:554",
                Shape::Command => "=NOOP",
                Shape::OnVirus | Shape::OnSpam => "=off",
                Shape::Size => "=1KiB",
            };
            let text = format!("{}{value}", kind.name());
            let fault: Fault = text.parse().expect(&text);
            assert_eq!(fault.to_string(), text);
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let error = |text: &str| text.parse::<Fault>().expect_err(text).to_string();
        assert!(error("dealy=2s").contains("did you mean `delay`?"));
        assert!(error("delay").contains("a length of time"));
        assert!(error("drop=1").contains("no value"));
        assert!(error("reject=rcpt:250").contains("400 to 599"));
        assert!(error("reject=mail:550,to=bob").contains("first=N and every=N"));
        assert!(error("drop,every=0").contains("every=0"));
        assert!(error("no-idle,first=1").contains("no limits"));
        assert!(error("virus=rejct").ends_with("got `rejct`; did you mean `reject`?"));
        assert!(error("spam=strip").contains("`spam` takes reject, discard"));
        assert!(error("virus").contains("`virus` takes reject"));
        assert!(error("scan-limit=1GB").contains("`64KiB`"));
    }

    #[test]
    fn the_help_names_every_action_of_the_filter() {
        for (kind, actions) in [
            (Kind::Virus, FilterAction::ON_VIRUS),
            (Kind::Spam, FilterAction::ON_SPAM),
        ] {
            for action in actions {
                assert!(kind.about().contains(action.name()), "{action:?}");
                assert!(kind.shape().wanted().contains(action.name()), "{action:?}");
            }
        }
    }
}
