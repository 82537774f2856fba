//! What a scenario file may say.
//!
//! ```toml
//! title = "greylisted once, then taken"
//! field_case = "Greylisting"        # the row, or rows, of the field cases that it stands for
//! ignore = "…"                      # not played, and why
//!
//! [gateway]                         # a scripted SMTP server; left out: the lab's
//! rcpt = ["451 4.7.1 later", "250 ok"]   # for each time the step is reached; the last holds for all further ones
//! delay = { rcpt = "200ms" }        # before the reply
//! drip = { banner = "20ms" }        # between its bytes
//! deliver = true                    # an accepted message goes on to the lab; "always": a refused one too;
//!                                   # "before-reply": whatever the reply is, and before it
//! letters = ["Subject: {subject}\n\nAway"]   # mail to the mailbox that each accepted message gives rise to, before it
//!                                   # goes on; with {tag}, {forged} (a wrong one), {subject}, {body} and {message} of it, and {date} or
//!                                   # {date-3} for now and three seconds before
//!
//! [lab]
//! faults = ["delay=1s"]
//! commands = [{ after = "300ms", command = "add imap-down=1s" }]
//!
//! [config]                          # over the base config of `stage.rs`; "unset" takes a key away
//! gateway = { timeout = "500ms" }
//! files = { "letter.txt" = "…" }    # beside the config file
//!
//! [check]
//! args = ["--count", "3"]
//!
//! [expect]                          # of the run, and of its only probe or of each of [[expect.probes]]
//! exit = 0
//! outcome = "delivered"
//! ```
//!
//! The steps are banner, ehlo, helo, starttls, handshake, auth, response (to a challenge), mail, rcpt, data, message, rset, quit.
//! A reply is its text, CRLF added where no line feed ends it, or one of `close`, `silent`, `close-after:TEXT`,
//! `raw:TEXT` (nothing added, then silence) and `endless:TEXT` (again and again).

use std::collections::BTreeMap;
use std::time::Duration;

use mailrobin::config::value::duration;
use serde::{Deserialize, Deserializer};

/// A whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) field_case: Several,
    pub(crate) ignore: Option<String>,
    pub(crate) gateway: Option<Script>,
    #[serde(default)]
    pub(crate) lab: Lab,
    #[serde(default)]
    pub(crate) config: Config,
    #[serde(default)]
    pub(crate) check: Check,
    #[serde(deserialize_with = "expectation")]
    pub(crate) expect: Expect,
}

impl Scenario {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if let Some(script) = &scenario.gateway {
            script.check()?;
        }
        Ok(scenario)
    }
}

/// One text, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Several {
    One(String),
    Many(Vec<String>),
}

impl Default for Several {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Several {
    pub(crate) fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// What the scripted gateway does.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Script {
    #[serde(default)]
    pub(crate) delay: BTreeMap<String, Span>,
    #[serde(default)]
    pub(crate) drip: BTreeMap<String, Span>,
    #[serde(default)]
    pub(crate) deliver: Deliver,
    #[serde(default)]
    pub(crate) letters: Vec<String>,
    #[serde(flatten)]
    pub(crate) steps: BTreeMap<String, Several>,
}

impl Script {
    fn check(&self) -> Result<(), String> {
        let named = self
            .steps
            .keys()
            .chain(self.delay.keys())
            .chain(self.drip.keys());
        for step in named {
            if crate::peer::usual(step).is_none() {
                return Err(format!("[gateway] knows no step {step:?}"));
            }
        }
        Ok(())
    }
}

/// Whether a message goes on to the lab.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "toml::Value")]
pub(crate) enum Deliver {
    #[default]
    Never,
    Accepted,
    BeforeReply,
    Always,
}

impl From<toml::Value> for Deliver {
    fn from(value: toml::Value) -> Self {
        match value {
            toml::Value::Boolean(false) => Self::Never,
            toml::Value::Boolean(true) => Self::Accepted,
            toml::Value::String(text) if text == "before-reply" => Self::BeforeReply,
            toml::Value::String(text) if text == "always" => Self::Always,
            other => {
                panic!("`deliver` is true, false, \"before-reply\" or \"always\", not {other}")
            }
        }
    }
}

/// A length of time as a config writes it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Span(pub(crate) Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        duration(&text).map(Self)
    }
}

/// How the lab is set up, and what happens to it during the run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Lab {
    pub(crate) faults: Vec<String>,
    pub(crate) commands: Vec<Command>,
}

/// A line for the lab's control.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    /// Since the start of the run.
    pub(crate) after: Span,
    pub(crate) command: String,
}

/// Keys over those of the base config.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) gateway: toml::Table,
    pub(crate) mailbox: toml::Table,
    pub(crate) route: toml::Table,
    /// Files beside the config, by their name.
    pub(crate) files: BTreeMap<String, String>,
}

/// How `check` is called.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Check {
    pub(crate) args: Vec<String>,
}

/// What must come of it. What is not named here may be anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expect {
    pub(crate) run: Run,
    /// One of each probe, in the order of their start.
    pub(crate) probes: Vec<Probe>,
}

/// What must come of the run as a whole.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    pub(crate) exit: i32,
    /// Words on standard error.
    #[serde(default)]
    pub(crate) stderr: Vec<String>,
    /// The longest it may take.
    pub(crate) within: Option<Span>,
    /// How many messages lie in INBOX afterwards.
    pub(crate) mailbox_left: Option<usize>,
    /// How many messages lie in the junk folder afterwards.
    pub(crate) junk_left: Option<usize>,
    /// The flags of each message in INBOX afterwards.
    pub(crate) flags: Option<Vec<String>>,
    /// Words in what the lab says to `list` and `status` afterwards.
    #[serde(default)]
    pub(crate) lab_says: Vec<String>,
    /// The commands of each session with the scripted gateway: `EHLO MAIL RCPT DATA . QUIT`.
    pub(crate) sessions: Option<Vec<String>>,
    /// How many different Message-IDs the scripted gateway was given.
    pub(crate) message_ids: Option<usize>,
}

/// What must come of a probe.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Probe {
    pub(crate) payload: Option<String>,
    /// What tells it from the payload as the catalogue has it.
    pub(crate) variant: Option<String>,
    /// Whether it names a control, which must be the plain probe started last before it.
    pub(crate) control: Option<bool>,
    /// `signature`, `policy`, `unknown` or `none`.
    pub(crate) stopped_by: Option<String>,
    pub(crate) integrity: Option<Integrity>,
    /// Several only where the system's own timing decides between them.
    pub(crate) outcome: Several,
    pub(crate) verdict: Option<String>,
    pub(crate) code: Several,
    /// Of the last attempt.
    pub(crate) phase: Option<String>,
    /// A number, or `">=2"`.
    pub(crate) attempts: Option<toml::Value>,
    /// Words in the reason.
    pub(crate) words: Vec<String>,
    /// Words that must not be in it.
    pub(crate) no_words: Vec<String>,
    /// Who took the copy, the oldest first.
    pub(crate) hops: Option<Vec<String>>,
    /// Between which two hosts, or in which phase, the most time went; none where that cannot be told.
    pub(crate) slowest: Option<Vec<String>>,
    /// Those whose clocks are off.
    pub(crate) skewed: Option<Vec<String>>,
    /// The results that count: `dkim=pass`.
    pub(crate) authentication: Option<Vec<String>>,
    pub(crate) carriers: Option<Vec<String>>,
    /// Header fields whose marks are positive.
    pub(crate) marks: Option<Vec<String>>,
    pub(crate) vantage: Option<String>,
    pub(crate) seen_by: Option<String>,
    /// The action of the delivery status notification.
    pub(crate) bounce: Option<String>,
    pub(crate) late: Option<bool>,
    pub(crate) duplicates: Option<usize>,
    /// Their names, in order.
    pub(crate) phases: Option<Vec<String>>,
    /// Phases that take at least so long.
    pub(crate) at_least: BTreeMap<String, Span>,
    /// Phases that take at most so long.
    pub(crate) at_most: BTreeMap<String, Span>,
    /// The gateway's last reply.
    pub(crate) reply: Option<u16>,
    pub(crate) enhanced: Option<String>,
    pub(crate) tls: Option<bool>,
}

/// What became of what was sent, in the copy that decides.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Integrity {
    /// The fate of the text.
    pub(crate) text: Option<String>,
    /// Of each part its name, or its type where it has none, and its fate: `eicar.txt: replaced`.
    pub(crate) parts: Option<Vec<String>>,
    /// Names, or types, of parts that were not sent.
    pub(crate) added: Option<Vec<String>>,
    /// Header fields that must be among those added, removed and changed.
    pub(crate) headers_added: Vec<String>,
    pub(crate) headers_removed: Vec<String>,
    pub(crate) headers_changed: Vec<String>,
    /// Whether some of it could not be read.
    pub(crate) unread: Option<bool>,
}

impl PartialEq for Several {
    fn eq(&self, other: &Self) -> bool {
        self.all() == other.all()
    }
}

impl PartialEq for Span {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// Reads what concerns the run from what concerns its only probe, which stand side by side.
fn expectation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Expect, D::Error> {
    use serde::de::Error;
    const OF_THE_RUN: [&str; 9] = [
        "exit",
        "stderr",
        "within",
        "mailbox_left",
        "junk_left",
        "flags",
        "lab_says",
        "sessions",
        "message_ids",
    ];
    let mut table = toml::Table::deserialize(deserializer)?;
    let several = table.remove("probes");
    let (run, single): (toml::Table, toml::Table) = table
        .into_iter()
        .partition(|(key, _)| OF_THE_RUN.contains(&key.as_str()));
    let run = run.try_into().map_err(Error::custom)?;
    let probes = match several {
        Some(_) if !single.is_empty() => {
            return Err(Error::custom("a probe stands beside [[expect.probes]]"));
        }
        Some(several) => several.try_into().map_err(Error::custom)?,
        None if single.is_empty() => Vec::new(),
        None => vec![single.try_into().map_err(Error::custom)?],
    };
    Ok(Expect { run, probes })
}
