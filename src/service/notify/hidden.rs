//! What was shown to a peer or a program, and must not be shown to anybody where they repeat it.

use data_encoding::BASE64;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

/// What is shorter is no secret, and to hide it would blot out ordinary words.
const SHORTEST: usize = 4;
/// Parts of a URL that are in everybody's.
const ORDINARY: [&str; 8] = [
    "alert", "alerts", "hook", "hooks", "message", "services", "webhook", "webhooks",
];

/// Secrets in every form in which they may come back.
#[derive(Default)]
pub(super) struct Hidden(Vec<SecretString>);

impl Hidden {
    /// A value, whole and word by word: of `Bearer abc` the token alone too.
    pub(super) fn add(&mut self, value: &str) {
        for part in value.split_whitespace().chain([value]) {
            if part.len() >= SHORTEST {
                self.0.push(part.to_owned().into());
            }
        }
        // The longest first, or what is left of it would show how it ends.
        self.0
            .sort_by_key(|it| usize::MAX - it.expose_secret().len());
    }

    /// A URL, and every part of it but the host; as it is written there, and what that stands for.
    pub(super) fn add_url(&mut self, url: &Url) {
        self.add(url.as_str());
        self.add(url.path());
        self.add(url.query().unwrap_or_default());
        let password = url.password().unwrap_or_default();
        self.add(password);
        self.add(&decoded(password));
        let login = format!("{}:{}", decoded(url.username()), decoded(password));
        self.add(&BASE64.encode(login.as_bytes()));
        for part in url.path().split('/').filter(|it| !ORDINARY.contains(it)) {
            self.add(part);
            self.add(&decoded(part));
        }
        for (_, value) in url.query_pairs() {
            self.add(&value);
        }
    }

    /// Somebody's words without them.
    pub(super) fn strip(&self, words: &str) -> String {
        let forms = self.0.iter().map(SecretString::expose_secret);
        forms.fold(words.to_owned(), |words, form| {
            words.replace(form, "<hidden>")
        })
    }
}

/// What percent signs stand for (RFC 3986 §2.1).
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let split = part.split_at_checked(2);
        let byte = split.and_then(|(hex, _)| u8::from_str_radix(hex, 16).ok());
        if let Some(((_, rest), byte)) = split.zip(byte) {
            bytes.push(byte);
            bytes.extend(rest.bytes());
        } else {
            bytes.push(b'%');
            bytes.extend(part.bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_of_it_comes_back_is_hidden() {
        let mut hidden = Hidden::default();
        hidden.add("Bearer s3cret-token");
        let url = "https://probe:pa55%3Aword@hooks.example/services/T0000/ab%20cd?key=x%20yz&n=1";
        hidden.add_url(&Url::parse(url).unwrap());
        for (said, shown) in [
            ("no token s3cret-token here", "no token <hidden> here"),
            (
                "Authorization: Bearer s3cret-token",
                "Authorization: <hidden>",
            ),
            (
                "no /services/T0000/ab%20cd on hooks.example",
                "no <hidden> on hooks.example",
            ),
            (
                "no ab cd, no ab%20cd, no T0000",
                "no <hidden>, no <hidden>, no <hidden>",
            ),
            ("two services, one webhook", "two services, one webhook"),
            (
                "key \"x yz\" and pa55:word",
                "key \"<hidden>\" and <hidden>",
            ),
            ("cHJvYmU6cGE1NTp3b3Jk", "<hidden>"),
            ("line 1", "line 1"),
        ] {
            assert_eq!(hidden.strip(said), shown);
        }
    }
}
