//! What a mail system's notice says of a delivery: a delivery status notification (RFC 3464), or a notice in free form.

mod words;

use words::{says_delayed, says_failed};

use crate::mime::leaf::{Content, Leaf};
use crate::probe::evidence::Bounce;
use crate::probe::mail::Mail;
use crate::text::excerpt;

/// Of a notice's text this many characters are read.
const READ: usize = 64 * 1024;
/// Of a field's value this many characters are kept.
const KEPT: usize = 300;

/// The first failed recipient of the report, else the first of any action; where its fields do not say, what its text says.
/// `None`: it tells nothing of a delivery.
pub fn bounce(raw: &[u8]) -> Option<Bounce> {
    let mail = Mail::parse(raw)?;
    let leaves = mail.leaves_or_body();
    let own: Vec<_> = leaves.iter().filter(|leaf| !leaf.nested).collect();
    let status = own.iter().find(|leaf| {
        // The latter on mail with SMTPUTF8 (RFC 6533).
        ["message/delivery-status", "message/global-delivery-status"]
            .contains(&leaf.media_type.as_str())
    });
    let text = notice_text(&own);
    let from_fields = status
        .map(|status| content_text(&status.content))
        // Some systems write the fields into the text, and some boundaries are broken.
        .into_iter()
        .chain([text.clone()])
        .find_map(|fields| from_status(&fields));
    let Some(mut bounce) = from_fields else {
        let returns_mail = leaves.len() > own.len() || text != notice(&text);
        return free_form(&mail, notice(&text), status.is_some() || returns_mail);
    };
    // Exim, for one, gives the words of a refusal in the text alone.
    let told = || said(&text).or_else(|| address_and_reason(&text)?.1);
    bounce.diagnostic = bounce.diagnostic.or_else(told);
    Some(bounce)
}

/// The text that a person would read, all of the message's own parts together.
fn notice_text(own: &[&Leaf<'_>]) -> String {
    let is_header = |leaf: &&&Leaf<'_>| leaf.media_type.starts_with("text/rfc822-header");
    let texts = own.iter().filter(|leaf| !is_header(leaf));
    let plain: Vec<_> = texts
        .clone()
        .filter_map(|leaf| match leaf.content {
            Content::Text(text) => Some(text.to_owned()),
            _ => None,
        })
        .collect();
    let text = if plain.is_empty() {
        texts
            .filter_map(|leaf| leaf.content.text())
            .collect::<Vec<_>>()
            .join("\n")
    } else {
        plain.join("\n")
    };
    text.chars()
        .take(READ)
        .collect::<String>()
        .replace("\r\n", "\n")
}

/// The text before the original, where that stands in it: from the first line of a header that only mail systems show.
fn notice(text: &str) -> &str {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        let field = line
            .trim_start_matches(['>', '|', ' ', '\t'])
            .to_ascii_lowercase();
        let begins = [
            "received:",
            "return-path:",
            "message-id:",
            "x-mailrobin-tag:",
        ];
        if begins.iter().any(|begin| field.starts_with(begin)) {
            break;
        }
        end += line.len();
    }
    text.get(..end).unwrap_or(text)
}

fn content_text(content: &Content<'_>) -> String {
    match content {
        Content::Text(text) => (*text).to_owned(),
        content => String::from_utf8_lossy(content.bytes()).into_owned(),
    }
    .replace("\r\n", "\n")
}

/// What the fields of a report say (RFC 3464 §2). `None`: they say nothing of a recipient.
fn from_status(text: &str) -> Option<Bounce> {
    let reporting_host = value(text, "Reporting-MTA");
    // Some hosts leave out the empty line between the message's fields and the recipient's, and some the action.
    let recipients: Vec<_> = text
        .split("\n\n")
        .filter_map(|group| {
            let status = value(group, "Status").and_then(|status| status_in(&status));
            let action = value(group, "Action").and_then(|action| known_action(&action));
            let recipient = value(group, "Final-Recipient");
            let action = action.or_else(|| {
                // A status alone may stand in any text.
                recipient.as_ref()?;
                Some(action_of(status.as_deref()?))
            })?;
            Some(Bounce {
                action: action.to_owned(),
                status,
                diagnostic: value(group, "Diagnostic-Code"),
                reporting_host: reporting_host.clone(),
                recipient: recipient.map(|it| bare(&it)),
                original_recipient: value(group, "Original-Recipient").map(|it| bare(&it)),
            })
        })
        .collect();
    let failed = recipients
        .iter()
        .find(|recipient| recipient.action == "failed");
    failed.or(recipients.first()).cloned()
}

/// The action (RFC 3464 §2.3.3) that a field names; `expired` and the like are written too.
fn known_action(value: &str) -> Option<&'static str> {
    let word = value
        .split(|c: char| !c.is_ascii_alphabetic())
        .find(|word| !word.is_empty())?
        .to_ascii_lowercase();
    Some(match word.as_str() {
        "failed" | "failure" | "fail" | "expired" | "rejected" | "undeliverable" | "bounced" => {
            "failed"
        }
        "delayed" | "delay" | "deferred" => "delayed",
        "delivered" => "delivered",
        "relayed" => "relayed",
        "expanded" => "expanded",
        _ => return None,
    })
}

/// The action that an enhanced status code comes to (RFC 3463 §2).
fn action_of(status: &str) -> &'static str {
    match status.as_bytes().first() {
        Some(b'2') => "delivered",
        Some(b'4') => "delayed",
        _ => "failed",
    }
}

/// A notice in words alone. Where neither its sender nor the mail in it shows that a mail system wrote it, both a refusal
/// and the words must stand in it: people, and programs that answer for them, write of failures, too.
fn free_form(mail: &Mail<'_>, text: &str, is_report: bool) -> Option<Bounce> {
    let failed_recipients = mail.field("X-Failed-Recipients").map(printable);
    let is_from_system = is_report || failed_recipients.is_some() || mail.is_from_daemon();
    // Out-of-office answers have an empty sender as well; Exchange's name themselves by this field alone.
    let is_answer = mail.is_automatic_answer() || mail.field("X-Auto-Response-Suppress").is_some();
    let is_notice = mail.has_null_sender() && !is_answer;
    let subject = mail.subject().unwrap_or_default().to_lowercase();
    let about = text.to_lowercase();
    let diagnostic = said(text);
    let is_refusal = diagnostic
        .as_deref()
        .is_some_and(|said| said.starts_with('5'));
    let has_words = says_failed(&subject) || says_failed(&about);
    let action = if says_delayed(&subject) || says_delayed(&about) {
        "delayed"
    } else if (is_from_system || is_notice)
        && (has_words || is_refusal || failed_recipients.is_some())
        || has_words && is_refusal
    {
        "failed"
    } else {
        return None;
    };
    let (address, reason) = address_and_reason(text).unzip();
    let host = mail.field("From").and_then(|from| {
        let (_, host) = from.rsplit_once('@')?;
        Some(printable(host.split(['>', ' ', ')']).next()?))
    });
    Some(Bounce {
        action: action.to_owned(),
        status: status_in(text),
        diagnostic: diagnostic.or(reason.flatten()),
        reporting_host: host,
        recipient: failed_recipients.or(address).map(|it| bare(&it)),
        original_recipient: None,
    })
}

/// The replies of a server that a text quotes: from a 4xx or 5xx code to the end of its line.
fn said(text: &str) -> Option<String> {
    let is_reply = |line: &str| {
        let mut bytes = line.bytes();
        matches!(bytes.next(), Some(b'4' | b'5'))
            && bytes.by_ref().take(2).filter(u8::is_ascii_digit).count() == 2
            && matches!(bytes.next(), Some(b' ' | b'-'))
    };
    // `host mx.example said: 550 …`, `SMTP error from remote mail server after RCPT TO:<…>: 550 …`, `as follows: [550 …`
    let reply = |line: &'_ str| -> Option<String> {
        let line = line.trim();
        let starts = std::iter::once(0).chain(line.match_indices(": ").map(|(at, _)| at + 2));
        let mut rests = starts.filter_map(|at| {
            Some(
                line.get(at..)?
                    .trim_start_matches(['[', '(', '"', '\'', '#', '<']),
            )
        });
        rests.find(|rest| is_reply(rest)).map(str::to_owned)
    };
    let lines: Vec<_> = text.lines().take(500).filter_map(reply).collect();
    (!lines.is_empty()).then(|| printable(&lines.join(" ")))
}

/// The first enhanced status code of a failure (RFC 3463) in a text.
fn status_in(text: &str) -> Option<String> {
    let is_status = |word: &&str| {
        let mut numbers = word.split('.');
        matches!(numbers.next(), Some("4" | "5"))
            && numbers.clone().count() == 2
            && numbers.all(|number| {
                (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
            })
    };
    let words = text.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    words
        .map(|word| word.trim_end_matches('.'))
        .find(is_status)
        .map(str::to_owned)
}

/// The first line that is an address alone, and the line behind it: whom the notice is about, and why.
fn address_and_reason(text: &str) -> Option<(String, Option<String>)> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let address = lines.find(|line| line.contains('@') && !line.contains(char::is_whitespace))?;
    // `(generated from …)` tells another address.
    let reason = lines.find(|line| !line.starts_with('(')).map(printable);
    Some((bare(address), reason))
}

/// An address without brackets and what stands around it.
fn bare(address: &str) -> String {
    let inner = address.rsplit_once('<').map_or(address, |(_, inner)| {
        inner.split('>').next().unwrap_or(inner)
    });
    let inner = inner.split_once(',').map_or(inner, |(first, _)| first);
    printable(inner.trim_matches(|c: char| !c.is_alphanumeric()))
}

/// A field's value without its type (`smtp;`, `rfc822;`, `dns;`), at most [`KEPT`] characters.
fn value(group: &str, name: &str) -> Option<String> {
    let mut lines = group.lines().skip_while(|line| {
        line.split_once(':')
            .is_none_or(|(field, _)| !field.trim().eq_ignore_ascii_case(name))
    });
    let (_, first) = lines.next()?.split_once(':')?;
    let folded = lines.take_while(|line| line.starts_with([' ', '\t']));
    let value: Vec<_> = std::iter::once(first).chain(folded).collect();
    let value = value.join(" ");
    let value = match value.split_once(';') {
        Some((kind, value)) if is_type(kind) => value,
        _ => &value,
    };
    Some(printable(value)).filter(|value| !value.is_empty())
}

/// Whether this is the type before a field's semicolon, and not the begin of a sentence.
fn is_type(kind: &str) -> bool {
    let kind = kind.trim();
    !kind.is_empty()
        && kind
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn printable(value: &str) -> String {
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    excerpt(&value, KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failed_recipient_is_told() {
        let raw =
            b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
            --b\r\n\r\nsorry\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
            Reporting-MTA: dns; mx.example\r\n\r\n\
            Final-Recipient: rfc822; a@example\r\nAction: delayed\r\nStatus: 4.0.0\r\n\r\n\
            Final-Recipient: rfc822; b@example\r\nAction: Failed\r\nStatus: 5.1.1\r\n\
            Diagnostic-Code: smtp; 550 5.1.1\r\n <b@example> unknown\r\n--b--\r\n";
        let bounce = bounce(raw).unwrap();
        assert_eq!(bounce.action, "failed");
        assert_eq!(bounce.status.as_deref(), Some("5.1.1"));
        assert_eq!(
            bounce.diagnostic.as_deref(),
            Some("550 5.1.1 <b@example> unknown")
        );
        assert_eq!(bounce.reporting_host.as_deref(), Some("mx.example"));
    }

    #[test]
    fn reports_in_free_form_are_read() {
        for (from, subject, text, action, status, said) in [
            (
                "MAILER-DAEMON@qmail.example",
                "failure notice",
                "Hi. This is the qmail-send program at qmail.example.\r\nI'm afraid I wasn't able to deliver your message to the following addresses.\r\nThis is a permanent error; I've given up. Sorry it didn't work out.\r\n\r\n<echo@example.com>:\r\nSorry, no mailbox here by that name. (#5.1.1)\r\n",
                "failed",
                Some("5.1.1"),
                "Sorry, no mailbox here by that name. (#5.1.1)",
            ),
            (
                "Mail Delivery System <Mailer-Daemon@exim.example>",
                "Mail delivery failed: returning message to sender",
                "A message that you sent could not be delivered to one or more of its recipients.\r\n\r\n  echo@example.com\r\n    SMTP error from remote mail server after RCPT TO:<echo@example.com>:\r\n    550 5.1.1 User unknown\r\n",
                "failed",
                Some("5.1.1"),
                "550 5.1.1 User unknown",
            ),
            (
                "postmaster@exchange.example",
                "Undeliverable: Email Verification",
                "Delivery has failed to these recipients.\r\nRemote Server returned '550 5.7.520 Access denied'\r\n#550 5.7.520 Access denied, Your organization does not allow external forwarding ##\r\n",
                "failed",
                Some("5.7.520"),
                "",
            ),
            (
                "MAILER-DAEMON@exim.example",
                "Warning: message 1x2y3z-000 delayed 24 hours",
                "A message that you sent has not yet been delivered.\r\nNo action is required on your part.\r\n",
                "delayed",
                None,
                "",
            ),
        ] {
            let raw = format!("From: {from}\r\nSubject: {subject}\r\n\r\n{text}");
            let bounce = bounce(raw.as_bytes()).unwrap();
            assert_eq!(bounce.action, action, "{subject}");
            assert_eq!(bounce.status.as_deref(), status, "{subject}");
            if !said.is_empty() {
                assert_eq!(bounce.diagnostic.as_deref(), Some(said));
            }
            assert!(bounce.reporting_host.unwrap().ends_with(".example"));
        }
        assert_eq!(
            bounce(b"From: a@example.com\r\nSubject: hello\r\n\r\nHow are you?\r\n"),
            None
        );
    }

    #[test]
    fn fields_are_read_however_they_are_written() {
        let read = |fields: &str| {
            let raw = format!(
                "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nsorry\r\n\
                 --b\r\nContent-Type: message/delivery-status\r\n\r\n{fields}\r\n--b--\r\n"
            );
            bounce(raw.as_bytes())
        };
        for (fields, action, status, diagnostic) in [
            (
                "Final-Recipient: rfc822;a@b\r\nAction: expired",
                "failed",
                None,
                None,
            ),
            (
                "Final-Recipient: rfc822;a@b\r\nStatus: 5.0.0 (permanent failure)",
                "failed",
                Some("5.0.0"),
                None,
            ),
            (
                "Final-Recipient: a@b\r\nStatus: 4.4.7",
                "delayed",
                Some("4.4.7"),
                None,
            ),
            (
                "Final-Recipient: a@b\r\nAction: failed\r\nDiagnostic-Code: 550 no; see the page",
                "failed",
                None,
                Some("550 no; see the page"),
            ),
            (
                "Final-Recipient: a@b\r\nAction: delivered (by mda)\r\nDiagnostic-Code: x-unix;0",
                "delivered",
                None,
                Some("0"),
            ),
        ] {
            let bounce = read(fields).unwrap();
            assert_eq!(bounce.action, action, "{fields}");
            assert_eq!(bounce.status.as_deref(), status, "{fields}");
            assert_eq!(bounce.diagnostic.as_deref(), diagnostic, "{fields}");
            assert_eq!(bounce.recipient.as_deref(), Some("a@b"), "{fields}");
        }
        assert_eq!(read("Reporting-MTA: dns; mx.example"), None);
    }

    #[test]
    fn an_empty_sender_makes_a_refusal_a_notice() {
        let raw = b"Return-Path: <>\r\nFrom: sysadmin@example.com\r\nSubject: Ilmoitus\r\n\r\n\
            <echo@example.com>:\r\n550 5.1.1 ei ole\r\n";
        let bounce = bounce(raw).unwrap();
        assert_eq!(bounce.action, "failed");
        assert_eq!(bounce.recipient.as_deref(), Some("echo@example.com"));
    }

    #[test]
    fn what_people_and_their_programs_write_is_no_bounce() {
        for raw in [
            "From: a@example.com\r\nSubject: Re: hello\r\n\r\nYour mail could not be delivered, I read.\r\n",
            "Return-Path: <>\r\nFrom: a@example.com\r\nAuto-Submitted: auto-replied\r\n\r\nI left. This was not delivered to anybody.\r\n",
            "From: a@example.com\r\nSubject: numbers\r\n\r\n550 of them\r\n",
            "Return-Path: <>\r\nFrom: a@example.com\r\nX-Auto-Response-Suppress: All\r\n\r\nShe left. This was not delivered.\r\n",
        ] {
            assert_eq!(bounce(raw.as_bytes()), None, "{raw}");
        }
    }
}
