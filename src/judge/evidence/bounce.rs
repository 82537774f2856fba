//! What a delivery status notification says (RFC 3464).

use crate::mime::leaf::Content;
use crate::probe::evidence::Bounce;
use crate::probe::mail::Mail;

/// The first `failed` recipient of the report, else the first of any action; `None` where it has no status part.
pub fn bounce(raw: &[u8]) -> Option<Bounce> {
    let mail = Mail::parse(raw)?;
    let status = mail
        .leaves()
        .into_iter()
        .find(|leaf| leaf.media_type == "message/delivery-status")?;
    let text = match &status.content {
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

/// A field's value without its type (`smtp;`, `rfc822;`, `dns;`), at most 300 characters.
fn value(group: &str, name: &str) -> Option<String> {
    let group = format!("{group}\r\n\r\n");
    let fields = Mail::parse(group.as_bytes())?;
    let value = fields.field(name)?;
    let value = value.split_once(';').map_or(value, |(_, value)| value);
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    let printable = value.replace(char::is_control, "\u{fffd}");
    Some(printable.chars().take(300).collect())
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
}
