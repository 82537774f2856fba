//! Logging in to a mailbox: what its failures mean.

use super::final_refusal;
use crate::config::plan::{Endpoint, Mailbox, Security, Trust};
use crate::net::login::{Exchange, Offers};
use crate::probe::facts::{Blindness, Failure};
use crate::probe::outcome::Code;

/// A login to the mailbox, if the server offers one and its password may go over the session.
pub(super) async fn prepare(mailbox: &Mailbox, offers: &Offers) -> Result<Exchange, Blindness> {
    let Mailbox {
        login,
        security,
        trust,
        endpoint,
        ..
    } = mailbox;
    let is_verified = *security != Security::None && *trust != Trust::Anybody;
    let owner = format!("mailbox {}", mailbox.name);
    let prepared = Exchange::prepare(login, &owner, endpoint, is_verified, offers).await;
    prepared.map_err(|failure| {
        let code = match failure.code {
            Code::AuthUnavailable => Code::MailboxRefused,
            code => code,
        };
        final_refusal(code, failure.what, failure.remedy)
    })
}

/// A session that is logged in from the start cannot be secured any more (RFC 9051 §7.1.4), and whoever is in between may
/// have greeted so.
pub(super) fn preauth_without_tls(endpoint: &Endpoint) -> Failure {
    Failure {
        code: Code::StarttlsMissing,
        what: format!(
            "{endpoint} greets with PREAUTH, so the session is logged in without TLS and STARTTLS is not possible any more"
        ),
        remedy: "use implicit TLS, or turn PREAUTH off there; somebody in between may also have sent it",
    }
}

/// Bytes came behind the answer to STARTTLS, in the clear: a client that took them for a part of the secured session could
/// be made to believe anything (CVE-2011-0411).
pub(super) fn early_bytes(endpoint: &Endpoint) -> Blindness {
    let what =
        format!("{endpoint} sent bytes before TLS was established, which could be an injection");
    let remedy = "something between here and the server may be tampering with the session";
    final_refusal(Code::MailboxUnreadable, what, remedy)
}

/// Whether a refused login is worth another try, and whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Time mends it: a lock, a limit, a server in trouble.
    Passing,
    /// Username or password, or the account itself.
    Credentials,
    /// The words say neither.
    Unknown,
}

/// The server refused the login in these words. `is_explicit`: the protocol has no other meaning for such an answer, as
/// IMAP's NO to LOGIN, than that the credentials are wrong.
pub(super) fn refused(
    endpoint: &Endpoint,
    exchange: &Exchange,
    words: &str,
    is_explicit: bool,
) -> Blindness {
    let words = &exchange.hidden.strip(words);
    let what = format!(
        "{endpoint} refused the login of {}: {words}",
        exchange.username
    );
    let (remedy, is_final) = match cause(words) {
        Cause::Passing => ("it is tried again, more and more slowly", false),
        Cause::Unknown if !is_explicit => (
            "the server's log may say why; it is tried again, more and more slowly",
            false,
        ),
        Cause::Credentials | Cause::Unknown => (
            "check username and password; it is not tried again, because some servers lock an account out after a few",
            true,
        ),
    };
    Blindness {
        is_final,
        ..final_refusal(Code::MailboxRefused, what, remedy)
    }
}

/// What the words of a refusal mean: by response codes (RFC 2449 §8, RFC 3206, RFC 5530), else by what servers say.
fn cause(words: &str) -> Cause {
    const CREDENTIALS_CODES: [&str; 6] = [
        "[AUTH]",
        "[AUTHENTICATIONFAILED]",
        "[AUTHORIZATIONFAILED]",
        "[EXPIRED]",
        "[PRIVACYREQUIRED]",
        "[CONTACTADMIN]",
    ];
    const CREDENTIALS: [&str; 16] = [
        "PASSWORD",
        "PASSWD",
        "CREDENTIAL",
        "AUTHENTICAT",
        "AUTHORIZ",
        "AUTH FAIL",
        "LOGIN FAIL",
        "LOGON FAIL",
        "LOGIN INCORRECT",
        "INVALID LOGIN",
        "INVALID USER",
        "BAD LOGIN",
        "UNKNOWN USER",
        "NO SUCH USER",
        "DENIED",
        "ACCOUNT",
    ];
    let words = words.to_ascii_uppercase();
    let says = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
    if says(&CREDENTIALS_CODES) {
        Cause::Credentials
    } else if is_passing(&words) {
        Cause::Passing
    } else if says(&CREDENTIALS) {
        Cause::Credentials
    } else {
        Cause::Unknown
    }
}

/// Whether a refusal of a login is one that time mends.
fn is_passing(words: &str) -> bool {
    const PASSING: [&str; 15] = [
        "[SYS/TEMP]",
        "[LOGIN-DELAY]",
        "UNAVAILABLE",
        "LIMIT",
        "TOO MANY",
        "TEMPORAR",
        "TRY AGAIN",
        "TRY LATER",
        "THROTTL",
        "SERVERBUG",
        "TIMED OUT",
        "TIMEOUT",
        "INTERNAL ERROR",
        "OVERLOAD",
        "SHUTTING DOWN",
    ];
    let words = words.to_ascii_uppercase();
    is_locked(&words) || PASSING.iter().any(|sign| words.contains(sign))
}

/// Whether an answer says that another session holds the mailbox, with a response code or in words: "maildrop already
/// locked", "unable to lock", "mailbox in use", "POP lock busy". An *account* that is locked is no such case.
pub(super) fn is_locked(words: &str) -> bool {
    let words = words.to_ascii_uppercase();
    let has = |sign| words.contains(sign);
    let is_lock = has("LOCK") && !has("LOCKOUT") && !has("LOCKED OUT") && !has("BLOCK");
    let is_account = has("ACCOUNT") || has("USER ");
    has("[IN-USE]")
        || has("INUSE")
        || has("IN USE")
        || has("ALREADY OPEN")
        || has("ALREADY IN SESSION")
        || has("ANOTHER SESSION")
        || has("BUSY")
        || (is_lock && !is_account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_say_so_are_a_wrong_password() {
        for words in [
            "-ERR [AUTH] authentication failed",
            "-ERR [AUTH] try again with another password",
            "-ERR Password supplied for \"probe\" is incorrect.",
            "-ERR invalid username or password",
            "-ERR authorization failed",
            "-ERR account locked out: too many wrong passwords, [AUTH]",
            "LOGIN failed.",
            "-ERR this account is locked",
        ] {
            assert_eq!(cause(words), Cause::Credentials, "{words}");
        }
        for words in [
            "-ERR maildrop already locked",
            "-ERR unable to lock maildrop",
            "-ERR [SYS/TEMP] Temporary authentication failure",
            "-ERR Your mailbox is in use by another session",
            "-ERR POP3 lock busy! Is another session active? (10)",
            "-ERR Unable to lock mailbox",
            "-ERR Mailbox Locked",
            "-ERR can't get lock. Mailbox in use",
            "-ERR Maildrop already open",
            "-ERR [IN-USE] Do you have another POP session running?",
            "[UNAVAILABLE] not now",
            "Internal error occurred",
        ] {
            assert_eq!(cause(words), Cause::Passing, "{words}");
        }
        assert_eq!(cause("-ERR fatal error"), Cause::Unknown);
    }
}
