//! Mail that the gateway writes itself: delivery status notifications (RFC 3464), automatic
//! replies (RFC 3834), and other people's mail.

use std::fmt::Write as _;

use super::{fields, filter::VIRUS_FOUND, site::GATEWAY_NAME};

/// What a delivery status notification reports.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Failed,
    /// Failed for what the filter found.
    Infected,
    Delayed,
    Delivered,
}

/// All that a delivery status notification tells.
pub(crate) struct Report<'a> {
    pub(crate) action: Action,
    /// The sender of the message, to whom the notice goes.
    pub(crate) sender: &'a str,
    pub(crate) recipient: &'a str,
    /// `ORCPT` without its address type, which is always rfc822.
    pub(crate) original_recipient: Option<&'a str>,
    /// `ENVID`, as it was given.
    pub(crate) envelope_id: Option<&'a str>,
    /// The message, or only its header when `RET=HDRS` was asked for.
    pub(crate) returned: &'a [u8],
    pub(crate) returns_body: bool,
    pub(crate) date: &'a str,
    pub(crate) message_id: &'a str,
}

impl Report<'_> {
    pub(crate) fn write(&self) -> Vec<u8> {
        let boundary = format!("=_{}", self.message_id.replace(['@', '.'], "_"));
        let infected = format!("550 {VIRUS_FOUND}");
        let (subject, text, action, status, diagnostic) = match self.action {
            Action::Failed => (
                "Undelivered Mail Returned to Sender",
                "Your message could not be delivered. No further attempt will be made.",
                "failed",
                "5.1.1",
                Some("550 5.1.1 User unknown in virtual mailbox table"),
            ),
            Action::Infected => (
                "Undelivered Mail Returned to Sender",
                "Your message contains a virus and was not delivered.",
                "failed",
                "5.7.1",
                Some(infected.as_str()),
            ),
            Action::Delayed => (
                "Delayed Mail (still being retried)",
                "Your message could not be delivered yet. You do not need to send it again.",
                "delayed",
                "4.4.1",
                Some("451 4.4.1 Connection timed out"),
            ),
            Action::Delivered => (
                "Successful Mail Delivery Report",
                "Your message was delivered.",
                "delivered",
                "2.0.0",
                None,
            ),
        };
        let mut dsn = format!(
            "From: Mail Delivery System <MAILER-DAEMON@{GATEWAY_NAME}>\r\n\
             To: <{sender}>\r\nSubject: {subject}\r\nDate: {date}\r\n\
             Message-ID: <{id}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n \
             boundary=\"{boundary}\"\r\n\r\n\
             --{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
             This is the mail system at host {GATEWAY_NAME}.\r\n\r\n{text}\r\n\r\n\
             <{recipient}>: {diagnosis}\r\n\r\n\
             --{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n\
             Reporting-MTA: dns; {GATEWAY_NAME}\r\n",
            sender = self.sender,
            date = self.date,
            id = self.message_id,
            recipient = self.recipient,
            diagnosis = diagnostic.unwrap_or("delivered"),
        );
        if let Some(id) = self.envelope_id {
            let _ = write!(dsn, "Original-Envelope-Id: {id}\r\n");
        }
        let _ = write!(dsn, "Arrival-Date: {}\r\n\r\n", self.date);
        if let Some(original) = self.original_recipient {
            let _ = write!(dsn, "Original-Recipient: rfc822; {original}\r\n");
        }
        let _ = write!(
            dsn,
            "Final-Recipient: rfc822; {}\r\nAction: {action}\r\nStatus: {status}\r\n",
            self.recipient
        );
        if let Some(diagnostic) = diagnostic {
            let _ = write!(dsn, "Diagnostic-Code: smtp; {diagnostic}\r\n");
        }
        let kind = if self.returns_body {
            "message/rfc822"
        } else {
            "text/rfc822-headers"
        };
        let _ = write!(dsn, "\r\n--{boundary}\r\nContent-Type: {kind}\r\n\r\n");
        let returned = if self.returns_body {
            self.returned
        } else {
            let end = fields::body_start(self.returned);
            self.returned.get(..end).unwrap_or_default()
        };
        let end = format!("\r\n--{boundary}--\r\n");
        [dsn.as_bytes(), returned, end.as_bytes()].concat()
    }
}

/// An automatic reply that quotes the subject.
pub(crate) fn vacation(
    message: &[u8],
    from: &str,
    to: &str,
    date: &str,
    message_id: &str,
) -> Vec<u8> {
    let subject = fields::find(message, "subject").unwrap_or_default();
    let mut reply = format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: Automatic reply: {subject}\r\nDate: {date}\r\n\
         Message-ID: <{message_id}>\r\nAuto-Submitted: auto-replied\r\nPrecedence: bulk\r\n"
    );
    if let Some(id) = fields::find(message, "message-id") {
        let _ = write!(reply, "In-Reply-To: {id}\r\nReferences: {id}\r\n");
    }
    let _ = write!(
        reply,
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
         I am away. Your message \"{subject}\" will be read when I am back.\r\n"
    );
    reply.into_bytes()
}

/// The `number`th message of somebody who has nothing to do with any test.
pub(crate) fn foreign(number: u64, date: &str) -> Vec<u8> {
    format!(
        "Return-Path: <someone{number}@elsewhere.example>\r\n\
         From: Someone <someone{number}@elsewhere.example>\r\nTo: <probe@lab.example>\r\n\
         Subject: Private letter {number}\r\nDate: {date}\r\n\
         Message-ID: <letter-{number}@elsewhere.example>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n\
         This letter is nobody's business but the reader's.\r\n"
    )
    .into_bytes()
}
