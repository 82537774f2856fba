//! `mailrobin init`: a config to begin with, and the forwarding rule that goes with it.

#![expect(
    clippy::disallowed_methods,
    reason = "this command has nothing else to do"
)]

mod rules;
mod server;

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};

use self::rules::{Names, Rule};
use self::server::{Host, MailboxServer};
use super::{Common, Exit};
use crate::config;
use crate::config::plan::{DEFAULT_SUBJECT, Protocol, Security};
use crate::probe::message;

const TEMPLATE: &str = include_str!("mailrobin.toml");
/// The route that the template has.
const ROUTE: &str = "inbound";
const MAILBOX_HELP: &str = "Where the copies come back: imaps://HOST[:PORT] or pop3s://HOST[:PORT]; with STARTTLS imap:// \
     or pop3://; HOST by itself: imaps";
const FROM: &str = "probe@monitor.example";

/// What the config and the rules are filled in with.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// The file to write; as - it is printed, with the rules behind it as comments [default: mailrobin.toml]
    file: Option<PathBuf>,
    /// Print it, as with -
    #[arg(long, conflicts_with = "file")]
    stdout: bool,
    /// The SMTP server that test messages are handed to
    #[arg(long, value_name = "HOST[:PORT]", value_parser = server::host, default_value = "mx.example.com")]
    gateway: Host,
    /// The sender [default: the username, where that is an address]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    from: Option<String>,
    /// The address whose rule sends the copy on
    #[arg(long, value_name = "ADDR", value_parser = address, default_value = "echo@example.com")]
    to: String,
    #[arg(long, value_name = "URL", help = MAILBOX_HELP, value_parser = server::mailbox, default_value = "imaps://imap.example.net")]
    mailbox: MailboxServer,
    /// The login name of the mailbox, which is taken for its address where it is one [default: the sender]
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Print the rule for this kind of server (repeatable) [default: all]
    #[arg(long = "rule", value_enum, value_name = "KIND")]
    rules: Vec<Rule>,
}

fn address(text: &str) -> Result<String, String> {
    message::address(text).map(|address| address.to_string())
}

/// Said where copies and answers share a mailbox.
const APART: &str = "\
# Copies go to {from}, and so does every answer to a test message: out-of-office notes,
# ticket systems, people. mailrobin takes none of them for a copy, and leaves them there. To keep
# them apart, let {to} forward to another address, and name that one's mailbox.
";

impl Init {
    pub(super) fn run(&self, common: &Common) -> Result<Exit> {
        let path = self.file.as_ref().or(common.config.as_ref());
        let path = path.map_or(Path::new("mailrobin.toml"), PathBuf::as_path);
        let config = self.config();
        // What a name or an address may not be is told by the reader of configs, before there is a file.
        config::parse(&config, "the config", Path::new(""))
            .map_err(|found| anyhow!("these values make no valid config\n{found}"))?;
        let mut out = common.output();
        if self.stdout || path == Path::new("-") {
            write!(out, "{config}\n{}", commented(&self.rules()))?;
            return Ok(Exit::OK);
        }
        create(path, &config)?;
        write!(out, "{}", self.rules())?;
        if !common.quiet {
            common.say(&format!(
                "wrote {}: set up the rule, put the mailbox's password into {}, then: mailrobin config check",
                path.display(),
                self.password()
            ));
        }
        Ok(Exit::OK)
    }

    fn config(&self) -> String {
        let port = self.gateway.port.unwrap_or(25);
        let tls = match port {
            465 => "tls = \"implicit\"",
            587 => "tls = \"starttls\"",
            _ => "#tls = \"starttls\"",
        };
        let cleanups = match self.mailbox.protocol {
            Protocol::Imap => "delete, seen, keep or move:FOLDER",
            Protocol::Pop3 => "delete or keep",
        };
        let junk = match self.mailbox.protocol {
            Protocol::Imap => {
                "# The junk folder, where it is not found by itself; none: nothing is filed as junk in this mailbox.\n#junk = \"Junk\""
            }
            Protocol::Pop3 => {
                "# POP3 shows no junk folder, so a test virus that does not come back proves no filter. Set this if nothing is filed\n\
                 # as junk in this mailbox.\n#junk = \"none\""
            }
        };
        fill(
            TEMPLATE,
            &[
                ("gateway_host", &quoted(&self.gateway.name)),
                ("gateway_port", &port.to_string()),
                ("gateway_tls", tls),
                ("protocol", self.mailbox.protocol.as_str()),
                ("mailbox_host", &quoted(&self.mailbox.host.name)),
                ("mailbox_port", &self.mailbox.port().to_string()),
                ("mailbox_tls", Security::as_str(self.mailbox.security)),
                ("username", &quoted(self.username())),
                ("password", self.password()),
                ("cleanups", cleanups),
                ("junk", junk),
                ("from", &quoted(self.from())),
                ("to", &quoted(&self.to)),
                ("subject", &quoted(DEFAULT_SUBJECT)),
            ],
        )
    }

    /// The rules asked for, one after the other.
    fn rules(&self) -> String {
        let names = Names {
            from: self.from(),
            to: &self.to,
            mailbox: self.mailbox_address(),
            subject: &DEFAULT_SUBJECT.replace("{route}", ROUTE),
        };
        let asked = if self.rules.is_empty() {
            Rule::value_variants()
        } else {
            &self.rules
        };
        let mut texts: Vec<_> = asked.iter().map(|rule| rule.text(names)).collect();
        if names.mailbox == names.from {
            texts.push(fill(APART, &[("from", names.from), ("to", names.to)]));
        }
        texts.join("\n\n")
    }

    fn from(&self) -> &str {
        let username = self.username.as_deref().filter(|name| is_address(name));
        self.from.as_deref().or(username).unwrap_or(FROM)
    }

    fn username(&self) -> &str {
        self.username.as_deref().unwrap_or_else(|| self.from())
    }

    /// Where the copies go.
    fn mailbox_address(&self) -> &str {
        Some(self.username())
            .filter(|name| is_address(name))
            .unwrap_or_else(|| self.from())
    }

    /// The environment variable for the mailbox's password.
    fn password(&self) -> &'static str {
        match self.mailbox.protocol {
            Protocol::Imap => "IMAP_PASSWORD",
            Protocol::Pop3 => "POP3_PASSWORD",
        }
    }
}

fn is_address(text: &str) -> bool {
    message::address(text).is_ok()
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Secrets may go into the file later, so nobody else may read it.
fn create(path: &Path, config: &str) -> Result<()> {
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = match created {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(
            "{} exists and is left as it is: name another file, or - to print the config",
            path.display()
        ),
        created => created.with_context(|| format!("cannot write {}", path.display()))?,
    };
    let written = file.write_all(config.as_bytes());
    if written.is_err() {
        // Half a config is worse than none.
        let _ = fs::remove_file(path);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// `text` with every line a comment.
fn commented(text: &str) -> String {
    let mut comment = String::with_capacity(text.len() + 64);
    for line in text.lines() {
        let mark = if line.is_empty() || line.starts_with('#') {
            ""
        } else {
            "#"
        };
        // Writing to a String cannot fail.
        let _ = writeln!(comment, "{mark}{line}");
    }
    comment
}

/// The template with each `{name}` of `values` replaced, once: what a value holds is not looked at again.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        text.push_str(before);
        let value = behind.split_once('}').and_then(|(name, behind)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((*value, behind))
        });
        if let Some((value, behind)) = value {
            text.push_str(value);
            rest = behind;
        } else {
            text.push('{');
            rest = behind;
        }
    }
    text.push_str(rest);
    text
}
