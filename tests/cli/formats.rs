//! Readers of the formats that reports are written in, each as strict as the format's own page. What they return is what
//! any consumer would get.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use jsonschema::Validator;
use quick_junit::Report;
use serde_json::Value;

use super::bed::root;

/// No line of any of them holds a character that steers a terminal, or one that ends a line for some readers only.
#[track_caller]
fn is_plain(text: &str) {
    let wrong = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}')
    };
    assert!(
        !text.contains(wrong),
        "{:?} in {text}",
        text.chars().find(|c| wrong(*c))
    );
}

/// JUnit XML, read strictly.
#[track_caller]
pub(crate) fn junit(xml: &str) -> Report {
    let report = Report::deserialize_from_str(xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
    let sum = |of: fn(&quick_junit::TestSuite) -> usize| -> usize {
        report.test_suites.iter().map(of).sum()
    };
    assert_eq!(report.tests, sum(|suite| suite.test_cases.len()));
    assert_eq!(report.failures, sum(|suite| suite.failures));
    assert_eq!(report.errors, sum(|suite| suite.errors));
    assert_eq!(report.skipped, sum(|suite| suite.skipped));
    report
}

/// Holds JUnit XML against the schema in the repository.
#[track_caller]
pub(crate) fn follows_the_schema(xml: &str) {
    let schema = root().join("schema/junit.xsd");
    let lint = Command::new("xmllint")
        .args(["--noout", "--nonet", "--huge", "--schema"])
        .args([schema.as_os_str(), "-".as_ref()])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut lint) = lint else {
        let why = "SKIPPED: JUnit XML is not held against its schema: there is no xmllint (libxml2-utils)\n";
        std::io::stderr().write_all(why.as_bytes()).unwrap();
        return;
    };
    lint.stdin
        .take()
        .unwrap()
        .write_all(xml.as_bytes())
        .unwrap();
    let output = lint.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{xml}");
}

/// A point of a TAP document.
#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) ok: bool,
    pub(crate) name: String,
    /// The reason of a `SKIP` directive.
    pub(crate) skip: Option<String>,
    pub(crate) diagnostics: BTreeMap<String, Value>,
}

/// TAP version 14: the points, numbered without a gap, as many as planned.
#[track_caller]
pub(crate) fn tap(text: &str) -> Vec<Point> {
    is_plain(text);
    let mut lines = text.strip_suffix('\n').unwrap().split('\n').peekable();
    assert_eq!(lines.next(), Some("TAP version 14"));
    let planned: usize = lines
        .next()
        .unwrap()
        .strip_prefix("1..")
        .unwrap()
        .parse()
        .unwrap();
    let mut points = Vec::new();
    while let Some(line) = lines.next() {
        let (ok, rest) = match line.strip_prefix("not ok ") {
            Some(rest) => (false, rest),
            None => (
                true,
                line.strip_prefix("ok ")
                    .unwrap_or_else(|| panic!("{line:?} is no point")),
            ),
        };
        let (number, rest) = rest.split_once(" - ").unwrap();
        assert_eq!(number.parse(), Ok(points.len() + 1), "{line}");
        let (name, skip) = described(rest);
        let mut diagnostics = BTreeMap::new();
        if lines.next_if_eq(&"  ---").is_some() {
            for line in lines.by_ref() {
                let line = line
                    .strip_prefix("  ")
                    .unwrap_or_else(|| panic!("{line:?} is not in the block"));
                if line == "..." {
                    break;
                }
                let (key, value) = line.split_once(": ").unwrap();
                diagnostics.insert(key.to_owned(), serde_json::from_str(value).unwrap());
            }
        }
        points.push(Point {
            ok,
            name,
            skip,
            diagnostics,
        });
    }
    assert_eq!(points.len(), planned);
    points
}

/// A description without its escapes, and the directive behind it.
fn described(text: &str) -> (String, Option<String>) {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let taken = match c {
            '#' => {
                parts.push(String::new());
                continue;
            }
            '\\' => chars.next().filter(|c| matches!(c, '\\' | '#')).unwrap(),
            c => c,
        };
        parts.last_mut().unwrap().push(taken);
    }
    assert!(parts.len() <= 2, "{text}");
    let skip = parts
        .get(1)
        .map(|directive| directive.strip_prefix(" SKIP ").unwrap().to_owned());
    (parts[0].trim_end().to_owned(), skip)
}

/// What a monitoring plugin said.
#[derive(Debug)]
pub(crate) struct Plugin {
    pub(crate) first: String,
    pub(crate) long: Vec<String>,
    /// Values by label, in their order.
    pub(crate) data: Vec<(String, String)>,
}

/// The output of a monitoring plugin: one short line with performance data, long text, more performance data.
#[track_caller]
pub(crate) fn nagios(text: &str) -> Plugin {
    is_plain(text);
    let mut lines = text.strip_suffix('\n').unwrap().split('\n');
    let line = lines.next().unwrap();
    assert!(line.len() < 1023, "{} bytes: {line}", line.len());
    let (first, items) = line.split_once(" | ").unwrap();
    let mut data = performance(items);
    let mut long = Vec::new();
    for line in lines.by_ref() {
        let Some((words, items)) = line.split_once(" | ") else {
            assert!(!line.contains('|'), "{line}");
            long.push(line.to_owned());
            continue;
        };
        long.push(words.to_owned());
        data.extend(performance(items));
        break;
    }
    data.extend(lines.flat_map(performance));
    let first = first.to_owned();
    assert!(!first.contains('|'), "{first}");
    Plugin { first, long, data }
}

/// `'label'=value[s];[warn];[crit];[min]`, quoted labels alone.
#[track_caller]
fn performance(items: &str) -> Vec<(String, String)> {
    let mut rest = items;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let mut label = String::new();
        let quoted = rest
            .strip_prefix('\'')
            .unwrap_or_else(|| panic!("no label: {rest}"));
        let mut chars = quoted.char_indices().peekable();
        let end = loop {
            match chars
                .next()
                .unwrap_or_else(|| panic!("an open label: {items}"))
            {
                (_, '\'') if chars.next_if(|(_, c)| *c == '\'').is_some() => label.push('\''),
                (at, '\'') => break at,
                (_, c) => {
                    assert!(c != '=' && c != '|', "{items}");
                    label.push(c);
                }
            }
        };
        let value = quoted[end + 1..]
            .strip_prefix('=')
            .unwrap_or_else(|| panic!("no value: {items}"));
        let (value, others) = value.split_once(' ').unwrap_or((value, ""));
        let numbers: Vec<_> = value.split(';').collect();
        let amount = numbers[0].strip_suffix('s').unwrap_or(numbers[0]);
        assert!(
            numbers.len() <= 5 && (amount == "U" || is_number(amount)),
            "{value}"
        );
        let is_limit = |limit: &&str| limit.is_empty() || is_number(limit);
        assert!(numbers.iter().skip(1).all(is_limit), "{value}");
        found.push((label, value.to_owned()));
        rest = others;
    }
    found
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '-' | '.'))
}

/// A workflow command of GitHub Actions, its escapes undone.
#[derive(Debug)]
pub(crate) struct Annotation {
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) message: String,
}

#[track_caller]
pub(crate) fn github(text: &str) -> Vec<Annotation> {
    is_plain(text);
    let lines = text.strip_suffix('\n').unwrap().split('\n');
    lines.map(annotation).collect()
}

#[track_caller]
fn annotation(line: &str) -> Annotation {
    let (kind, rest) = line
        .strip_prefix("::")
        .unwrap()
        .split_once(" title=")
        .unwrap();
    assert!(["error", "warning", "notice"].contains(&kind), "{line}");
    let (title, message) = rest.split_once("::").unwrap();
    assert!(!title.contains([':', ',']), "{line}");
    let title = decoded(title, &["25", "0D", "0A", "3A", "2C"]);
    assert!(title.len() <= 255, "{title}");
    Annotation {
        kind: kind.to_owned(),
        title,
        message: decoded(message, &["25", "0D", "0A"]),
    }
}

#[track_caller]
fn decoded(text: &str, known: &[&str]) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(2);
        assert!(known.contains(&code), "%{code} in {text}");
        decoded.push(char::from(u8::from_str_radix(code, 16).unwrap()));
        decoded.push_str(rest);
    }
    decoded
}

/// A Markdown document as far as we write it.
#[derive(Debug, Default)]
pub(crate) struct Markdown {
    pub(crate) headings: Vec<String>,
    /// The rows of all tables by their number of columns, cells unescaped.
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) fenced: Vec<String>,
}

/// GitHub's Markdown: outside of fences no raw HTML and no link, and each row has its header's columns.
#[track_caller]
pub(crate) fn markdown(text: &str) -> Markdown {
    let mut found = Markdown::default();
    let mut fence: Option<(usize, String)> = None;
    let mut columns = 0;
    for line in text.strip_suffix('\n').unwrap().split('\n') {
        let ticks = line.chars().take_while(|c| *c == '`').count();
        match &mut fence {
            // Only a line of nothing but ticks, and of as many, ends it.
            Some((open, block)) if ticks >= *open && line.trim_end().len() == ticks => {
                found.fenced.push(std::mem::take(block));
                fence = None;
                continue;
            }
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
                continue;
            }
            None if ticks >= 3 => {
                assert_eq!(&line[ticks..], "text");
                fence = Some((ticks, String::new()));
                continue;
            }
            None => {}
        }
        is_plain(line);
        for forbidden in ["<", ">", "://", "www."] {
            let said = line.replace("\\://", "");
            assert!(!said.contains(forbidden), "{forbidden} in {line}");
        }
        if let Some(heading) = line.strip_prefix('#') {
            found
                .headings
                .push(unescaped(heading.trim_start_matches('#').trim()));
        } else if let Some(row) = line.strip_prefix("| ") {
            let cells: Vec<_> = row
                .strip_suffix('|')
                .unwrap()
                .split('|')
                .map(|cell| unescaped(cell.trim()))
                .collect();
            if columns == 0 {
                columns = cells.len();
            }
            assert_eq!(cells.len(), columns, "{line}");
            found.rows.push(cells);
            continue;
        } else {
            let is_ours = line.is_empty()
                || line.starts_with("- ")
                || line.starts_with(|c: char| c.is_ascii_digit());
            assert!(is_ours, "{line}");
        }
        columns = 0;
    }
    assert!(fence.is_none(), "an open fence: {text}");
    found
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap() } else { c });
    }
    plain
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#124;", "|")
        .replace("&amp;", "&")
}

/// JSON, held against the schema in the repository.
#[track_caller]
pub(crate) fn json(text: &str) -> Value {
    static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
        let schema = std::fs::read_to_string(root().join("schema/result.schema.json")).unwrap();
        jsonschema::options()
            .should_validate_formats(true)
            .build(&serde_json::from_str(&schema).unwrap())
            .unwrap()
    });
    let document = serde_json::from_str(text).unwrap();
    let wrong: Vec<_> = VALIDATOR
        .iter_errors(&document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{}\n{document:#}", wrong.join("\n"));
    document
}
