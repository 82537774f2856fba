//! `mailrobin payloads`: what there is to send, what it proves, and what should become of it.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use anyhow::Result;
use clap::{Args, ValueEnum};
use owo_colors::OwoColorize;
use serde_json::json;

use super::{Common, Exit, width};
use crate::probe::outcome::Outcome;
use crate::probe::payload::{Class, Payload, Suite};

#[derive(Debug, Args)]
pub(super) struct Payloads {
    /// How to print the list
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Human,
    /// For programs
    Json,
}

impl Payloads {
    pub(super) fn run(&self, common: &Common) -> Result<Exit> {
        let mut out = common.output();
        match self.format {
            Format::Human => out.write_all(human()?.as_bytes())?,
            Format::Json => {
                serde_json::to_writer_pretty(&mut out, &catalogue())?;
                writeln!(out)?;
            }
        }
        Ok(Exit::OK)
    }
}

fn human() -> Result<String, fmt::Error> {
    let names = Payload::ALL.iter().map(|payload| payload.as_str().len());
    let name_width = names.max().unwrap_or(0);
    let indent = " ".repeat(name_width + 4);
    let mut text = String::new();
    for class in [Class::Harmless, Class::Policy, Class::Virus, Class::Spam] {
        writeln!(text, "{}", heading(class).bold())?;
        for payload in Payload::ALL.iter().filter(|it| it.class() == class) {
            let about = format!("{} → {}", payload.proves(), payload.meets());
            let lead = format!("  {payload:name_width$}  ");
            match width() {
                None => writeln!(text, "{lead}{about}")?,
                Some(width) => {
                    let options = textwrap::Options::new(width.max(40))
                        .initial_indent(&lead)
                        .subsequent_indent(&indent);
                    writeln!(text, "{}", textwrap::fill(&about, options))?;
                }
            }
        }
        text.push('\n');
    }
    writeln!(
        text,
        "{}",
        "suites, as { suite = \"…\" } or --payload".bold()
    )?;
    for suite in Suite::ALL {
        let payloads: Vec<_> = suite.payloads().map(Payload::as_str).collect();
        let listed = match suite {
            Suite::All => "all of the above but attachment, which needs a file".into(),
            Suite::Antivirus | Suite::Spam | Suite::Rspamd | Suite::Policy => payloads.join(", "),
        };
        let lead = format!("  {:name_width$}  ", suite.as_str());
        let options = textwrap::Options::new(width().unwrap_or(usize::MAX).max(40))
            .initial_indent(&lead)
            .subsequent_indent(&indent);
        writeln!(text, "{}", textwrap::fill(&listed, options))?;
    }
    Ok(text)
}

fn heading(class: Class) -> &'static str {
    match class {
        Class::Harmless => "harmless: must arrive",
        Class::Policy => "policy: reported, and judged where the test says what to expect",
        Class::Virus => "virus: must be stopped, while a plain message gets through",
        Class::Spam => "spam: must be stopped or marked, while a plain message gets through",
    }
}

fn catalogue() -> serde_json::Value {
    let suites = |payload: Payload| -> Vec<&str> {
        let all = Suite::ALL.iter();
        all.filter(|suite| suite.payloads().any(|other| other == payload))
            .map(|suite| suite.as_str())
            .collect()
    };
    let entry = |payload: &Payload| {
        let expect: Vec<_> = payload
            .default_expect()
            .iter()
            .map(|it| Outcome::as_str(*it))
            .collect();
        json!({
            "name": payload.as_str(),
            "class": payload.class(),
            "proves": payload.proves(),
            "meets": payload.meets(),
            "expect": expect,
            "suites": suites(*payload),
        })
    };
    Payload::ALL.iter().map(entry).collect()
}
