//! Logging in to a mailbox: what the mechanisms send, and what a refusal means.

use secrecy::SecretString;

use crate::config::plan::{Endpoint, Mailbox, Security, Trust};
use crate::config::secret::without;
use crate::mailbox::final_refusal;
use crate::probe::facts::Blindness;
use crate::probe::outcome::Code;

/// SASL PLAIN (RFC 4616).
pub(super) fn plain(username: &str, password: &str) -> String {
    format!("\0{username}\0{password}")
}

/// XOAUTH2, as Google and Microsoft define it; the password is the access token.
pub(super) fn xoauth2(username: &str, token: &str) -> String {
    format!("user={username}\x01auth=Bearer {token}\x01\x01")
}

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
    let words = &without(words, secret);
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
