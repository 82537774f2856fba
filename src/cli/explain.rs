//! `mailrobin explain`: what a reason code means, what led to it, and what to do. The words are those of `docs/codes.md`.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use anyhow::{Context, Result};
use clap::Args;
use owo_colors::OwoColorize;

use super::{Common, Exit, width};
use crate::config::diagnostic::suggest;
use crate::probe::outcome::Code;

/// A section for each code, `## CODE`.
const PAGE: &str = include_str!("../../docs/codes.md");

/// Which code is explained.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The code, as it stands in brackets behind a failure [default: list all]
    code: Option<String>,
}

impl Explain {
    pub(super) fn run(&self, common: &Common) -> Result<Exit> {
        let text = match &self.code {
            Some(code) => page(known(code)?)?,
            None => list()?,
        };
        common.output().write_all(text.as_bytes())?;
        Ok(Exit::OK)
    }
}

/// The code that was meant; brackets may be pasted with it.
fn known(given: &str) -> Result<Code> {
    let word = given.trim_matches(['[', ']']).to_ascii_lowercase();
    let codes = Code::ALL.iter();
    let found = codes.copied().find(|code| code.as_str() == word);
    found.with_context(|| {
        let known = Code::ALL.iter().map(|code| code.as_str());
        format!("there is no code {given:?}: {}", suggest(&word, known))
    })
}

fn list() -> Result<String, fmt::Error> {
    let codes = Code::ALL.iter().map(|code| code.as_str().len());
    let code_width = codes.max().unwrap_or(0);
    let indent = " ".repeat(code_width + 2);
    let mut text = String::new();
    for code in Code::ALL {
        let lead = format!("{:code_width$}  ", code.as_str());
        wrapped(&mut text, (&lead, &indent), code.meaning())?;
    }
    Ok(text)
}

/// The section of a code, its headings bold, what is to be typed indented.
fn page(code: Code) -> Result<String> {
    let section = section(code).with_context(|| format!("{code} is not explained yet"))?;
    let mut text = String::new();
    writeln!(text, "{}", code.as_str().bold())?;
    let mut is_command = false;
    for line in section.lines() {
        if line.starts_with("```") {
            is_command = !is_command;
        } else if is_command {
            writeln!(text, "    {line}")?;
        } else if let Some(heading) = line.strip_prefix("### ") {
            writeln!(text, "{}", heading.bold())?;
        } else {
            let marker = line.find(' ').filter(|_| is_item(line)).unwrap_or(0);
            let indent = " ".repeat(if marker == 0 { 0 } else { marker + 1 });
            wrapped(&mut text, ("", &indent), line)?;
        }
    }
    Ok(text)
}

/// What stands under the heading of a code.
fn section(code: Code) -> Option<&'static str> {
    let mut sections = PAGE.split("\n## ").skip(1);
    sections.find_map(|section| {
        let (heading, body) = section.split_once('\n')?;
        (heading == code.as_str()).then(|| body.trim_end())
    })
}

fn is_item(line: &str) -> bool {
    let marker = line.split(' ').next().unwrap_or_default();
    let number = marker.strip_suffix('.').unwrap_or_default();
    marker == "-" || (!number.is_empty() && number.chars().all(|c| c.is_ascii_digit()))
}

/// A paragraph that begins behind `lead`, as wide as the terminal.
fn wrapped(out: &mut String, (lead, indent): (&str, &str), text: &str) -> fmt::Result {
    let Some(width) = width() else {
        return writeln!(out, "{lead}{text}");
    };
    let options = textwrap::Options::new(width.max(40))
        .initial_indent(lead)
        .subsequent_indent(indent)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    writeln!(out, "{}", textwrap::fill(text, options))
}
