//! What a delivery status notification says (RFC 3464), or a report in free form.

use crate::mime::leaf::Content;
use crate::probe::evidence::Bounce;
use crate::probe::mail::Mail;

/// The first `failed` recipient of the report, else the first of any action; where it has no status part, what its text
/// says. `None`: it tells nothing.
pub fn bounce(raw: &[u8]) -> Option<Bounce> {
    let mail = Mail::parse(raw)?;
    let leaves = mail.leaves();
    let status = leaves.iter().find(|leaf| {
        // The latter on mail with SMTPUTF8 (RFC 6533).
        ["message/delivery-status", "message/global-delivery-status"]
            .contains(&leaf.media_type.as_str())
    });
    let text = leaves.iter().find_map(|leaf| match leaf.content {
        Content::Text(text) if leaf.media_type == "text/plain" => Some(text),
        _ => None,
    });
    let Some(status) = status else {
        return free_form(&mail, text?);
    };
    let mut bounce = from_status(&status.content)?;
    // Exim, for one, tells the words of a refusal in the text alone.
    let told = || text.and_then(|text| said(text).or_else(|| first_reason(text)));
    bounce.diagnostic = bounce.diagnostic.or_else(told);
    Some(bounce)
}

fn from_status(content: &Content<'_>) -> Option<Bounce> {
    let text = match content {
        Content::Text(text) => (*text).to_owned(),
        content => String::from_utf8_lossy(content.bytes()).into_owned(),
    };
    let text = text.replace("\r\n", "\n");
    let mut groups = text.trim().split("\n\n");
    let about = groups.next().unwrap_or_default();
    let reporting_host = value(about, "Reporting-MTA");
    let recipients: Vec<_> = groups
        // Some hosts leave the empty line out between the message's fields and the recipient's.
        .chain(std::iter::once(about))
        .filter_map(|group| {
            Some(Bounce {
                action: value(group, "Action")?.to_ascii_lowercase(),
                status: value(group, "Status"),
                diagnostic: value(group, "Diagnostic-Code"),
                reporting_host: reporting_host.clone(),
                recipient: value(group, "Final-Recipient"),
            })
        })
        .collect();
    let failed = recipients
        .iter()
        .find(|recipient| recipient.action == "failed");
    failed.or(recipients.first()).cloned()
}

/// A report in words alone, as qmail, old Exim and old Exchange write it.
fn free_form(mail: &Mail<'_>, text: &str) -> Option<Bounce> {
    let about = format!("{}\n{text}", mail.subject().unwrap_or_default()).to_lowercase();
    let says = |any: &[&str]| any.iter().any(|words| about.contains(words));
    let diagnostic = said(text);
    let action = if says(&DELAYED) {
        "delayed"
    } else if says(&FAILED)
        || diagnostic
            .as_deref()
            .is_some_and(|said| said.starts_with('5'))
    {
        "failed"
    } else {
        return None;
    };
    let host = mail.field("From").and_then(|from| {
        let (_, host) = from.rsplit_once('@')?;
        Some(printable(host.split(['>', ' ', ')']).next()?))
    });
    Some(Bounce {
        action: action.to_owned(),
        status: status_in(text),
        diagnostic: diagnostic.or_else(|| first_reason(text)),
        reporting_host: host,
        recipient: mail.field("X-Failed-Recipients").map(printable),
    })
}

/// Words of a report that says that it is still being tried.
const DELAYED: [&str; 8] = [
    "delayed",
    "warning: message",
    "delivery status notification (delay)",
    "not yet been delivered",
    "has not been delivered yet",
    "will be retried",
    "will continue to be",
    "no action is required on your part",
];
/// Words of a report that says that it is given up.
const FAILED: [&str; 14] = [
    "permanent error",
    "permanent fatal error",
    "permanent failure",
    "could not be delivered",
    "couldn't be delivered",
    "unable to deliver",
    "wasn't able to deliver",
    "undeliverable",
    "undelivered mail",
    "delivery has failed",
    "delivery failed",
    "delivery failure",
    "failure notice",
    "returned mail",
];

/// The replies of a server that a text quotes: its lines that begin with a 4xx or 5xx code.
fn said(text: &str) -> Option<String> {
    let is_reply = |line: &str| {
        let mut bytes = line.bytes();
        matches!(bytes.next(), Some(b'4' | b'5'))
            && bytes.by_ref().take(2).filter(u8::is_ascii_digit).count() == 2
            && matches!(bytes.next(), Some(b' ' | b'-'))
    };
    // `host mx.example said: 550 …`, `SMTP error from remote mail server after RCPT TO:<…>: 550 …`
    let reply = |line: &'_ str| -> Option<String> {
        let line = line.trim();
        let starts = std::iter::once(0).chain(line.match_indices(": ").map(|(at, _)| at + 2));
        let mut rests = starts.filter_map(|at| line.get(at..));
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

/// Where no reply is quoted: the line behind that of the address.
fn first_reason(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.find(|line| line.contains('@') && !line.contains(char::is_whitespace))?;
    // `(generated from …)` tells another address.
    lines.find(|line| !line.starts_with('(')).map(printable)
}

/// A field's value without its type (`smtp;`, `rfc822;`, `dns;`), at most 300 characters.
fn value(group: &str, name: &str) -> Option<String> {
    let group = format!("{group}\r\n\r\n");
    let fields = Mail::parse(group.as_bytes())?;
    let value = fields.field(name)?;
    let value = value.split_once(';').map_or(value, |(_, value)| value);
    Some(printable(value))
}

fn printable(value: &str) -> String {
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    let printable = value.replace(char::is_control, "\u{fffd}");
    printable.chars().take(300).collect()
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
}
