//! What is wrong with a config, and where: shown with file, line, column and the line itself, secrets on it masked.

mod mask;

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::text::is_odd;
use mask::{Shown, hidden, masked};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The config cannot be used.
    Error,
    /// It can, but should not.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The bytes of the file it is about.
    pub span: Range<usize>,
    /// What to do about it.
    pub help: Option<String>,
}

/// A config text and its name, fit to be shown.
#[derive(Clone, Debug)]
pub struct Source {
    masked: String,
    origin: String,
}

impl Source {
    /// Values of secret keys are masked at once: nothing shown later can contain them.
    pub fn new(text: &str, origin: &str) -> Self {
        Self {
            masked: masked(text),
            origin: origin.to_owned(),
        }
    }

    /// Masks a span, so that what stands there cannot be shown.
    pub fn mask(&mut self, span: Range<usize>) {
        if let Some(secret) = self.masked.get(span.clone()) {
            let hidden = hidden(secret);
            self.masked.replace_range(span, &hidden);
        }
    }
}

/// Every finding about one config.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    /// The config.
    pub source: Source,
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Nothing found yet.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            found: Vec::new(),
        }
    }

    /// The config cannot be used.
    pub fn error(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.push(Severity::Error, span, &message.into(), help);
    }

    /// The config can be used, but should not.
    pub fn warn(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.push(Severity::Warning, span, &message.into(), help);
    }

    fn push(
        &mut self,
        severity: Severity,
        span: Range<usize>,
        message: &str,
        help: Option<String>,
    ) {
        let found = Diagnostic {
            severity,
            message: printable(message),
            span,
            help,
        };
        // What is wrong in the defaults is found once for each route.
        if !self.found.contains(&found) {
            self.found.push(found);
        }
    }

    /// Takes back what was found so far.
    pub fn forget(&mut self) {
        self.found.clear();
    }

    /// Whether any finding forbids the config's use.
    pub fn has_errors(&self) -> bool {
        self.found
            .iter()
            .any(|found| found.severity == Severity::Error)
    }

    /// The findings in the order of their place in the file.
    pub fn in_order(&self) -> Vec<&Diagnostic> {
        let mut found: Vec<_> = self.found.iter().collect();
        found.sort_by_key(|found| (found.span.start, found.span.end));
        found
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Shown::new(&self.source.masked);
        let text = &shown.text;
        let renderer = Renderer::plain();
        for (index, found) in self.in_order().into_iter().enumerate() {
            let level = match found.severity {
                Severity::Error => Level::ERROR,
                Severity::Warning => Level::WARNING,
            };
            let span = shown.span(found.span.clone());
            let start = text.floor_char_boundary(span.start);
            let span = start..text.ceil_char_boundary(span.end.max(start));
            let snippet = Snippet::source(text.as_str())
                .path(self.source.origin.as_str())
                .annotation(AnnotationKind::Primary.span(first_line(text, span)));
            let mut group = level.primary_title(found.message.as_str()).element(snippet);
            if let Some(help) = &found.help {
                group = group.element(Level::HELP.message(help.as_str()));
            }
            if index > 0 {
                writeln!(f, "\n")?;
            }
            write!(f, "{}", renderer.render(&[group]))?;
        }
        Ok(())
    }
}

/// A message may quote keys and values of the file: what steers a terminal is shown as an escape.
fn printable(message: &str) -> String {
    let mut printable = String::with_capacity(message.len());
    for c in message.chars() {
        if is_odd(c) && c != '\n' {
            printable.extend(c.escape_unicode());
        } else {
            printable.push(c);
        }
    }
    printable
}

/// The part of a span that is on its first line: a finding about a whole table points at its heading.
fn first_line(text: &str, span: Range<usize>) -> Range<usize> {
    let len = text
        .get(span.clone())
        .and_then(|spanned| spanned.find('\n'))
        .unwrap_or(span.len());
    span.start..span.start + len
}

/// ` did you mean …`, where a known name is near enough to `given`.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = |name: &str| 1 + name.len().max(given.len()) / 4;
    known
        .into_iter()
        // What differs much in length is not compared: that takes long where both are long.
        .filter(|name| name.len().abs_diff(given.len()) <= most(name))
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= most(name))
        .min()
        .map(|(_, name)| name)
}

/// What to say of a name that is not known: the nearest one that is, or all of them.
pub fn suggest<'a>(given: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    nearest(given, known.clone()).map_or_else(
        || {
            let known: Vec<_> = known.into_iter().map(|name| format!("`{name}`")).collect();
            if known.is_empty() {
                "there is none yet".to_owned()
            } else {
                format!("known here: {}", known.join(", "))
            }
        },
        |name| format!("did you mean `{name}`?"),
    )
}
