//! Authentication-Results (RFC 8601), as far as they can be trusted.
//!
//! The field is written by the server that checked, and can be forged by the sender (§7.1). The topmost is the last
//! server's; which other servers are trusted, only the route can say. Servers take liberties: results without an
//! authserv-id, spaces around `=`, values with `=` in them, so the reader here is a tolerant one.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use crate::probe::authentication::{Authentication, MethodResult};
use crate::probe::mail::Mail;
use crate::text::is_odd;

/// Of a field, this many bytes are read.
const LONGEST: usize = 8 * 1024;
/// So many fields, and so many results of all of them.
const FIELDS: usize = 50;
const RESULTS: usize = 50;
/// Of a word or a value, this many characters are kept.
const KEPT: usize = 200;

/// The results that count: those of the servers that are named as trusted, or else of the topmost field.
pub fn authentication(mail: &Mail<'_>, trusted: &[String]) -> Authentication {
    let mut found = Authentication::default();
    let mut results = Vec::new();
    let fields = mail.fields();
    let fields = fields.filter(|field| field.is("Authentication-Results"));
    for (number, field) in fields.enumerate() {
        if number >= FIELDS {
            found.not_counted += 1;
            continue;
        }
        let raw = field.raw.get(..LONGEST).unwrap_or(field.raw);
        let stated = Stated::read(&String::from_utf8_lossy(raw));
        let counts = if trusted.is_empty() {
            number == 0
        } else {
            stated
                .by
                .as_deref()
                .is_some_and(|by| trusted.iter().any(|one| one.eq_ignore_ascii_case(by)))
        };
        if !counts {
            found.not_counted += 1;
            continue;
        }
        found.authserv_id = found.authserv_id.or(stated.by);
        results.extend(stated.results);
    }
    results.truncate(RESULTS);
    found.results = results.into();
    found
}

/// What one field states.
struct Stated {
    by: Option<Box<str>>,
    results: Vec<MethodResult>,
}

impl Stated {
    fn read(text: &str) -> Self {
        let mut stated = Self {
            by: None,
            results: Vec::new(),
        };
        let mut words = Words(text.chars().peekable());
        let mut is_first = true;
        loop {
            let (pairs, is_last) = words.statement();
            match pairs.split_first() {
                // The authserv-id, and perhaps a version behind it.
                Some(((name, None), _)) if is_first => stated.by = Some(name.as_str().into()),
                Some(((method, Some(result)), rest)) => {
                    stated.results.push(result_of(method, result, rest));
                }
                Some(((_, None), _)) | None => {}
            }
            is_first = false;
            if is_last {
                return stated;
            }
        }
    }
}

/// A word, and what stands behind its `=` if it has one.
type Pair = (String, Option<String>);

fn result_of(method: &str, result: &str, rest: &[Pair]) -> MethodResult {
    let method = method.split('/').next().unwrap_or_default();
    let mut reason = None;
    let mut properties = BTreeMap::new();
    for (name, value) in rest {
        match value {
            Some(value) if name.eq_ignore_ascii_case("reason") => {
                reason = Some(value.as_str().into());
            }
            Some(value) => {
                let name = name.to_ascii_lowercase().into();
                properties.insert(name, value.as_str().into());
            }
            None => {}
        }
    }
    MethodResult {
        method: method.to_ascii_lowercase().into(),
        result: result.to_ascii_lowercase().into(),
        reason,
        properties: properties.into(),
    }
}

/// The words of a field, comments left out.
struct Words<'t>(Peekable<Chars<'t>>);

impl Words<'_> {
    /// The words up to a semicolon, and whether none follows.
    fn statement(&mut self) -> (Vec<Pair>, bool) {
        let mut pairs: Vec<Pair> = Vec::new();
        loop {
            self.skip_blanks();
            match self.0.peek() {
                None => return (pairs, true),
                Some(';') => {
                    self.0.next();
                    return (pairs, false);
                }
                Some('=') => {
                    self.0.next();
                    self.skip_blanks();
                    let value = self.word(false);
                    if let Some((_, known @ None)) = pairs.last_mut() {
                        *known = Some(value);
                    }
                }
                Some(_) => {
                    let word = self.word(true);
                    pairs.push((word, None));
                }
            }
        }
    }

    /// A word, or text in quotes, or both joined; a name ends at `=`.
    fn word(&mut self, is_name: bool) -> String {
        let mut word = String::new();
        let mut kept = 0;
        let mut keep = |char: char| {
            kept += 1;
            if kept <= KEPT {
                word.push(if is_odd(char) { '\u{fffd}' } else { char });
            }
        };
        while let Some(&next) = self.0.peek() {
            match next {
                '"' => {
                    self.0.next();
                    while let Some(char) = self.0.next() {
                        match char {
                            '"' => break,
                            '\\' => self.0.next().into_iter().for_each(&mut keep),
                            _ => keep(char),
                        }
                    }
                }
                ';' | '(' => break,
                '=' if is_name => break,
                _ if next.is_whitespace() => break,
                _ => {
                    keep(next);
                    self.0.next();
                }
            }
        }
        word
    }

    fn skip_blanks(&mut self) {
        let mut depth = 0_usize;
        while let Some(&next) = self.0.peek() {
            match next {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                '\\' if depth > 0 => {
                    self.0.next();
                }
                _ if depth > 0 || next.is_whitespace() => {}
                _ => return,
            }
            self.0.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(header: &str, trusted: &[&str]) -> String {
        let raw = header.replace('\n', "\r\n") + "\r\n\r\nbody\r\n";
        let mail = Mail::parse(raw.as_bytes()).unwrap();
        let trusted: Vec<_> = trusted.iter().map(ToString::to_string).collect();
        serde_json::to_string(&authentication(&mail, &trusted)).unwrap()
    }

    #[test]
    fn fields_as_servers_write_them() {
        for (header, stated) in [
            (
                "Authentication-Results: mx.google.com;
       dkim=pass header.i=@monitor.example header.s=s1 header.b=\"Ab=c\";
       spf=pass (google.com: domain of probe@monitor.example designates 192.0.2.1; all is well) smtp.mailfrom=probe@monitor.example;
       dmarc=fail (p=NONE sp=NONE dis=NONE) header.from=monitor.example",
                r#"{"authserv_id":"mx.google.com","results":[{"method":"dkim","result":"pass","properties":{"header.b":"Ab=c","header.i":"@monitor.example","header.s":"s1"}},{"method":"spf","result":"pass","properties":{"smtp.mailfrom":"probe@monitor.example"}},{"method":"dmarc","result":"fail","properties":{"header.from":"monitor.example"}}]}"#,
            ),
            (
                "Authentication-Results: spf=softfail (sender IP is 192.0.2.1)\n smtp.mailfrom=monitor.example; dkim=none (message not signed)\n header.d=none;compauth=fail reason=001",
                r#"{"results":[{"method":"spf","result":"softfail","properties":{"smtp.mailfrom":"monitor.example"}},{"method":"dkim","result":"none","properties":{"header.d":"none"}},{"method":"compauth","result":"fail","reason":"001"}]}"#,
            ),
            (
                "Authentication-Results: (a (nested) comment) mail.example 1 ; DKIM/1 = FAIL reason = \"signature verification \\\"failed\\\"\" header.b=Ab=c==",
                r#"{"authserv_id":"mail.example","results":[{"method":"dkim","result":"fail","reason":"signature verification \"failed\"","properties":{"header.b":"Ab=c=="}}]}"#,
            ),
            ("Authentication-Results: mail.example; none", r#"{"authserv_id":"mail.example"}"#),
            ("Subject: nothing", "{}"),
            ("Authentication-Results: ;;;===;(((;\"", "{}"),
        ] {
            assert_eq!(read_of(header, &[]), stated, "{header}");
        }
    }

    #[test]
    fn forged_results_do_not_count() {
        let header = "Authentication-Results: inner.example; spf=fail
Authentication-Results: MX.example.com; dkim=pass
Authentication-Results: forged.example; spf=pass
Authentication-Results: mx.example.com; spf=softfail";
        assert_eq!(
            read_of(header, &[]),
            r#"{"authserv_id":"inner.example","results":[{"method":"spf","result":"fail"}],"not_counted":3}"#
        );
        assert_eq!(
            read_of(header, &["mx.example.com"]),
            r#"{"authserv_id":"MX.example.com","results":[{"method":"dkim","result":"pass"},{"method":"spf","result":"softfail"}],"not_counted":2}"#
        );
        assert_eq!(read_of(header, &["other.example"]), r#"{"not_counted":4}"#);
    }

    #[test]
    fn bombs_are_cut() {
        let many = "Authentication-Results: a.example; spf=pass\n".repeat(1000);
        let found = read_of(many.trim_end(), &["a.example"]);
        assert_eq!(found.matches("pass").count(), 50);
        let long = format!(
            "Authentication-Results: a.example; x={}",
            "y".repeat(100_000)
        );
        assert!(read_of(&long, &[]).len() < 1000);
        let results = "spf=pass;".repeat(10_000);
        let long = format!("Authentication-Results: a.example; {results}");
        assert!(read_of(&long, &[]).len() < 10_000);
    }
}
