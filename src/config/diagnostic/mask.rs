//! What of a config may be a secret, told from its lines alone: it must not be shown even where nothing can be parsed.

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

/// `text` with the values of secret keys masked, byte for byte, as far as can be told without parsing: to the end of
/// the line, or of the multi-line string or array that begins there. One that says where the secret is kept stays.
pub(super) fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut open: Option<&str> = None;
    let mut heading = "";
    for line in text.split_inclusive('\n') {
        if let Some(end) = open {
            masked.push_str(&stars(line));
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
        masked.push_str(&stars(value));
    }
    masked
}

pub(super) fn stars(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_whitespace() {
                char::from(byte)
            } else {
                '*'
            }
        })
        .collect()
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
