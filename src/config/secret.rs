//! Secrets: where they are kept, and how they are read when they are needed. Never printed, never logged.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::BASE64;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::files::{self, FileError, SECRET_LIMIT};
use crate::program::{self, Exit, Finished, Invocation, Rest, Stderr};

/// A signing key with fewer characters could be guessed.
pub const LEAST_KEY: usize = 16;
/// How long a secret's command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// Where a secret is kept.
#[derive(Clone)]
pub enum Secret {
    /// In the config itself.
    Literal(SecretString),
    /// In an environment variable.
    Env(String),
    /// In a file; a trailing line break is not part of it.
    File(PathBuf),
    /// On the standard output of a command, run again each time.
    Command(Vec<String>),
}

/// Why a secret could not be read.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The variable is not there, or is no text.
    #[error("the environment variable {0} is not set: export it before you start mailrobin")]
    Env(String),
    /// The file cannot be read.
    #[error("cannot read the secret's file {path}: {error}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: FileError,
    },
    /// The command cannot be run.
    #[error("cannot run the secret's command {0}")]
    Command(String),
    /// The command ended badly.
    #[error("the secret's command {program} ended with {exit}: {stderr}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        exit: Exit,
        /// The first line it wrote to standard error.
        stderr: String,
    },
    /// The command did not end.
    #[error("the secret's command {0} did not end within 30 seconds")]
    Slow(String),
    /// The command prints too much.
    #[error("the secret's command {0} prints more than 64 KiB: it must print the secret alone")]
    TooLong(String),
    /// More than one line in it.
    #[error("the secret in {0} has more than one line: it must be the secret alone")]
    Lines(String),
    /// Nothing in it.
    #[error("the secret in {0} is empty")]
    Empty(String),
}

/// Whether both are kept in the same place; of literal ones, whether they are the same.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(one), Self::Literal(other)) => {
                one.expose_secret() == other.expose_secret()
            }
            (Self::Env(one), Self::Env(other)) => one == other,
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Command(one), Self::Command(other)) => one == other,
            (Self::Literal(_) | Self::Env(_) | Self::File(_) | Self::Command(_), _) => false,
        }
    }
}

impl Secret {
    /// Reads the secret.
    pub async fn reveal(&self) -> Result<SecretString, SecretError> {
        let text = match self {
            Self::Literal(secret) => secret.expose_secret().to_owned(),
            Self::Env(name) => std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?,
            Self::File(path) => read(path).await?,
            Self::Command(words) => Box::pin(run(words)).await?,
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(SecretError::Empty(self.to_string()));
        }
        if text.contains(['\r', '\n', '\0']) {
            return Err(SecretError::Lines(self.to_string()));
        }
        Ok(text.into())
    }
}

/// A password in every form in which it goes over a wire: what a peer quotes of it is not to be shown.
#[derive(Clone, Debug, Default)]
pub struct Hidden(Vec<SecretString>);

impl Hidden {
    /// The forms of a login: as it is, quoted, in base64, and as the responses of PLAIN and XOAUTH2.
    pub fn of(username: &str, secret: &str) -> Self {
        let base64 = |text: &str| BASE64.encode(text.as_bytes());
        let forms = [
            base64(&plain(username, secret)),
            base64(&xoauth2(username, secret)),
            base64(secret),
            quoted(secret),
            secret.to_owned(),
        ];
        Self(forms.map(SecretString::from).into())
    }

    /// A peer's words without it.
    pub fn strip(&self, words: &str) -> String {
        let forms = self.0.iter().map(SecretString::expose_secret);
        forms.fold(words.to_owned(), |words, form| {
            words.replace(form, "<hidden>")
        })
    }
}

/// SASL PLAIN (RFC 4616).
pub fn plain(username: &str, password: &str) -> String {
    format!("\0{username}\0{password}")
}

/// XOAUTH2, as Google and Microsoft define it; the password is the access token.
pub fn xoauth2(username: &str, token: &str) -> String {
    format!("user={username}\x01auth=Bearer {token}\x01\x01")
}

/// What stands between the quotes of an IMAP quoted string (RFC 9051 §9).
pub fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

async fn read(path: &Path) -> Result<String, SecretError> {
    let own = path.to_owned();
    let read = files::off_loop(move || files::read_text(&own, SECRET_LIMIT)).await;
    read.and_then(|text| text)
        .map_err(|error| SecretError::File {
            path: path.to_owned(),
            error,
        })
}

async fn run(words: &[String]) -> Result<String, SecretError> {
    let Some(program) = words.first().cloned() else {
        return Err(SecretError::Empty("an empty command".into()));
    };
    let Finished {
        exit,
        stdout,
        stderr,
    } = program::run(&Invocation {
        command: words,
        input: b"",
        withheld: &[],
        variables: &[],
        limit: COMMAND_LIMIT,
        most: usize::try_from(SECRET_LIMIT).unwrap_or(usize::MAX),
        rest: Rest::Refused,
        stderr: Stderr::Apart,
    })
    .await;
    match exit {
        _ if stdout.is_cut => Err(SecretError::TooLong(program)),
        Exit::Code(0) => Ok(String::from_utf8_lossy(&stdout.bytes).into_owned()),
        Exit::TimedOut(_) => Err(SecretError::Slow(program)),
        Exit::NotStarted(why) => Err(SecretError::Command(why)),
        exit => Err(SecretError::Failed {
            program,
            exit,
            stderr: String::from_utf8_lossy(&stderr.bytes)
                .lines()
                .next()
                .unwrap_or("it said nothing")
                .chars()
                .take(200)
                .collect(),
        }),
    }
}

impl fmt::Display for Secret {
    /// Where it is kept, never what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("the config"),
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Command(words) => write!(
                f,
                "the output of {}",
                words.first().map_or("", String::as_str)
            ),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[tokio::test]
    async fn only_the_line_break_at_the_end_is_not_part_of_it() {
        let echo = |text: &str| Secret::Command(vec!["printf".into(), text.into()]);
        let secret = echo("hunter 2\\r\\n").reveal().await.unwrap();
        assert_eq!(secret.expose_secret(), "hunter 2");
        assert_eq!(
            Hidden::of("probe", "hunter2").strip("-ERR hunter2, aHVudGVyMg==?"),
            "-ERR <hidden>, <hidden>?"
        );
        let error = echo("hunter\\nDELE 1").reveal().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the secret in the output of printf has more than one line: it must be the secret alone"
        );
    }
}
