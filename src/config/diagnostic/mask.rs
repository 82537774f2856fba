//! What of a config may be a secret, told from its lines alone: it must not be shown even where nothing can be parsed.

use std::ops::Range;

/// Keys whose values never appear in a diagnostic.
const SECRET_KEYS: &[&str] = &[
    "password",
    "key",
    "token",
    "url",
    "client_key",
    "tls_key",
    "heartbeat",
];
/// Keys of tables in which every value may be a secret; header fields are secret in alerts alone.
const SECRET_TABLES: [&str; 2] = ["env", "headers"];

/// Stands for each byte of what is hidden. No TOML holds it.
const HIDDEN: char = '\u{1}';
/// What is shown in place of what is hidden, however long that is.
const STARS: &str = "********";

/// `text` with the values of secret keys masked, byte for byte, as far as can be told without parsing: to the end of
/// the line, or of the multi-line string or array that begins there. One that says where the secret is kept stays.
pub(super) fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut open: Option<&str> = None;
    let mut heading = "";
    for line in text.split_inclusive('\n') {
        if let Some(end) = open {
            masked.push_str(&hidden(line));
            // Tables in a table end before it does.
            let is_end = match end {
                "}" => line.trim_start().starts_with(end),
                _ => line.contains(end),
            };
            if is_end {
                open = None;
            }
            continue;
        }
        if line.starts_with('[') && line.trim_end().ends_with(']') {
            heading = line.trim();
        }
        let at = SECRET_KEYS
            .iter()
            .filter_map(|key| value_of(line, key))
            .chain(value_of_table(line, heading))
            .min();
        let (head, value) = line.split_at(at.unwrap_or(line.len()));
        let given = value.trim_start();
        let kept = given.strip_prefix('{').is_some_and(|rest| {
            let rest = rest.trim_start();
            ["env", "file", "command"]
                .iter()
                .any(|kind| rest.starts_with(kind))
        });
        if kept {
            masked.push_str(line);
            continue;
        }
        open = [("\"\"\"", "\"\"\""), ("'''", "'''"), ("[", "]"), ("{", "}")]
            .into_iter()
            .find(|(begin, end)| {
                given.strip_prefix(begin).is_some_and(|rest| match *begin {
                    "{" => rest.matches('{').count() >= rest.matches('}').count(),
                    _ => !rest.contains(end),
                })
            })
            .map(|(_, end)| end);
        masked.push_str(head);
        masked.push_str(&hidden(value));
    }
    masked
}

/// The same number of bytes, hidden; white space around each line stays.
pub(super) fn hidden(text: &str) -> String {
    let mut hidden = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (begin, end) = (line.trim_ascii_start(), line.trim_ascii_end());
        let content = begin.len().saturating_sub(line.len() - end.len());
        hidden.push_str(line.get(..line.len() - begin.len()).unwrap_or_default());
        hidden.extend(std::iter::repeat_n(HIDDEN, content));
        hidden.push_str(begin.get(content..).unwrap_or_default());
    }
    hidden
}

/// A masked text as it is shown: each run of hidden bytes is shown at the same width, so that nothing tells its length.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) text: String,
    /// The runs: where each is in the masked text, and where it begins in the shown one.
    runs: Vec<(Range<usize>, usize)>,
}

impl Shown {
    pub(super) fn new(masked: &str) -> Self {
        let mut shown = Self::default();
        let mut at = 0;
        for run in masked.split_inclusive(|c| c != HIDDEN) {
            let length = run.bytes().take_while(|&byte| byte == HIDDEN as u8).count();
            if length > 0 {
                shown.runs.push((at..at + length, shown.text.len()));
                shown.text.push_str(STARS);
            }
            shown.text.push_str(run.get(length..).unwrap_or_default());
            at += run.len();
        }
        shown
    }

    /// Where a span of the masked text is in the shown one. A hidden run is shown whole or not at all.
    pub(super) fn span(&self, span: Range<usize>) -> Range<usize> {
        let moved = |at: usize, is_end: bool| {
            let before = self.runs.partition_point(|(run, _)| run.start <= at);
            let Some((run, begin)) = before.checked_sub(1).and_then(|it| self.runs.get(it)) else {
                return at;
            };
            match at.checked_sub(run.end) {
                Some(behind) => begin + STARS.len() + behind,
                None if is_end && at > run.start => begin + STARS.len(),
                None => *begin,
            }
        };
        moved(span.start, false)..moved(span.end, true)
    }
}

/// Where the value of `key` begins on `line`.
fn value_of(line: &str, key: &str) -> Option<usize> {
    line.match_indices(key).find_map(|(at, _)| {
        let before = line.get(..at)?.chars().next_back();
        let is_word = before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == '-'));
        let after = line.get(at + key.len()..)?;
        let rest = after.trim_start_matches(['"', '\'', ' ', '\t']);
        (is_word && rest.starts_with('=')).then(|| line.len() - rest.len() + 1)
    })
}

/// Where, on a line below `heading`, the values of a table of secrets begin.
fn value_of_table(line: &str, heading: &str) -> Option<usize> {
    let may_be_secret = |key: &&&str| **key == "env" || heading.starts_with("[alerts");
    let keys = || SECRET_TABLES.iter().filter(may_be_secret);
    let ends = |key: &&str| heading.ends_with(&format!(".{key}]"));
    if keys().any(ends) {
        return line.find('=').map(|at| at + 1);
    }
    keys().filter_map(|key| value_of_part(line, key)).min()
}

/// Where the values begin in `key = { NAME = …` or `key.NAME = …`.
fn value_of_part(line: &str, key: &str) -> Option<usize> {
    line.match_indices(key).find_map(|(at, _)| {
        let before = line.get(..at)?.chars().next_back();
        let is_word = before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == '-'));
        let rest = line
            .get(at + key.len()..)?
            .trim_start_matches(['"', '\'', ' ', '\t']);
        let value = rest
            .split_once('=')
            .map(|(_, value)| line.len() - value.len());
        let is_table = rest
            .strip_prefix('=')
            .is_some_and(|value| value.trim_start().starts_with('{'));
        value.filter(|_| is_word && (is_table || rest.starts_with('.')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn hides(text: &str) {
        let shown = masked(text);
        assert!(!shown.contains("hunter"), "{shown}");
        assert_eq!(shown.len(), text.len());
    }

    #[test]
    fn values_in_tables_of_secrets_are_hidden() {
        hides("[alerts.a]\nheaders = { Authorization = \"hunter2\", Title = hunter3 }");
        hides("[alerts.a]\nheaders.Authorization = \"hunter2");
        hides("[alerts.a.headers]\nAuthorization = \"hunter2");
        hides("[alerts.a]\nheaders = {\n A = { env = \"X\" },\n B = \"hunter2\",\n}");
        hides("[routes.a]\nrecovery = { command = [\"x\"], env = { TOKEN = \"hunter2\" } }");
        hides("[routes.a.recovery.env]\nTOKEN = \"hunter2\"");
        hides("[service]\nheartbeat = \"https://hunter2\"\ntls_key = \"hunter3\"");
    }

    #[test]
    fn nothing_tells_how_long_a_secret_is() {
        let show = |text: &str, secret: &str| {
            let begin = text.find(secret).unwrap();
            let shown = Shown::new(&masked(text));
            let span = shown.span(begin..begin + secret.len());
            (shown.text, span)
        };
        for (short, long) in [
            (
                "password = \"a\" \nport = 1",
                "password = \"größer als b\" \nport = 1",
            ),
            (
                "key = \"\"\"\n  a\n\"\"\"\nx = 1",
                "key = \"\"\"\n  abc def\n\"\"\"\nx = 1",
            ),
            (
                "env = { A = \"a\", B = \"x\" }",
                "env = { A = \"abcdefgh\", B = \"xy\" }",
            ),
        ] {
            let place = if short.contains("port") { "port" } else { "=" };
            assert_eq!(show(short, place), show(long, place), "{long}");
        }
        let (text, span) = show("password = \"hunter2\"\nport = 1", "hunter2");
        assert_eq!(
            (&text[span], &*text),
            ("********", "password = ********\nport = 1")
        );
    }

    #[test]
    fn what_is_none_is_shown() {
        for text in [
            "[routes.a]\nheaders = { \"X-Environment\" = \"staging\" }\n",
            "password = { env = \"NAME\" }\nport = 25\n",
            "[alerts.a.headers]\nAuthorization = { env = \"NAME\" }\n",
            "[gateways.edge.password]\nenv = \"NAME\"\n",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
