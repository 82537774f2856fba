//! Logging in to a mailbox: what the mechanisms send, and what a refusal means.

use secrecy::SecretString;

use crate::config::plan::{Endpoint, Mailbox, Security, Trust};
use crate::config::secret::Hidden;
use crate::mailbox::final_refusal;
use crate::probe::facts::Blindness;
use crate::probe::outcome::Code;

/// The mailbox's password, if it may go over its session.
pub(super) async fn password(mailbox: &Mailbox) -> Result<SecretString, Blindness> {
    let Mailbox {
        login,
        security,
        trust,
        ..
    } = mailbox;
    let is_verified = *security != Security::None && *trust != Trust::Anybody;
    if !is_verified && !login.insecure {
        return Err(insecure(&mailbox.endpoint));
    }
    login.password.reveal().await.map_err(|error| {
        let what = format!("the password of mailbox {}: {error}", mailbox.name);
        final_refusal(Code::Secret, what, "")
    })
}

pub(super) fn insecure(endpoint: &Endpoint) -> Blindness {
    final_refusal(
        Code::MailboxRefused,
        format!(
            "the session with {endpoint} is not secured by verified TLS, so the password was not sent"
        ),
        "set `tls` to starttls or implicit, or `insecure_auth = true` if this network is yours",
    )
}

/// The server refused the login in these words.
pub(super) fn refused(endpoint: &Endpoint, login: (&str, &str), words: &str) -> Blindness {
    let (username, secret) = login;
    let words = &Hidden::of(username, secret).strip(words);
    let what = format!("{endpoint} refused the login of {username}: {words}");
    if is_passing(words) {
        let mut blindness = final_refusal(
            Code::MailboxRefused,
            what,
            "it is tried again, more and more slowly",
        );
        blindness.is_final = false;
        return blindness;
    }
    final_refusal(
        Code::MailboxRefused,
        what,
        "check username and password; it is not tried again, because some servers lock an account out after a few",
    )
}

/// Whether a refusal of a login is one that time mends (RFC 5530).
fn is_passing(words: &str) -> bool {
    let words = words.to_ascii_uppercase();
    [
        "UNAVAILABLE",
        "INUSE",
        "LIMIT",
        "TOO MANY",
        "TEMPORAR",
        "TRY AGAIN",
        "THROTTL",
        "SERVERBUG",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}
