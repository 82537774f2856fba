//! One mail transaction: MAIL, RCPT, DATA, and the message up to the final dot.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
};

use smtp_proto::{
    MAIL_RET_FULL, MAIL_RET_HDRS, MailFrom, RcptTo,
    request::receiver::{DataReceiver, DummyDataReceiver},
};

use super::{Next, Session, printable};
use crate::lab::{
    fault::{Stage, armed::local_part, kind::Kind},
    filter,
    gateway::{self, Accepted, Destination, Envelope, Recipient, destination},
    stamp,
    wire::{Stream, WireError},
};

const MESSAGE_LIMIT: usize = 52_428_800;
const RECIPIENT_LIMIT: usize = 100;

impl<S: Stream> Session<S> {
    pub(super) fn mail(&mut self, from: &MailFrom<Cow<'_, str>>) -> Next {
        if self.helo.is_none() || self.envelope.is_some() {
            self.error(503, "5.5.1 MAIL is out of place");
            return Next::Continue;
        }
        let uses_dsn = from.flags & (MAIL_RET_FULL | MAIL_RET_HDRS) != 0 || from.env_id.is_some();
        if uses_dsn && self.site.faults.stands(Kind::NoDsn) {
            self.error(555, "5.5.4 unsupported parameter");
            return Next::Continue;
        }
        if from.size > MESSAGE_LIMIT && from.size != usize::MAX {
            self.reply(552, "5.3.4 message size exceeds the limit");
            return Next::Continue;
        }
        if let Some(code) = self.site.faults.refusal(Stage::Mail, &[]) {
            return self.refuse(
                code,
                &format!("<{}>: Sender address rejected", from.address),
            );
        }
        self.envelope = Some(Envelope {
            sender: printable(&from.address),
            id: from.env_id.as_deref().map(printable),
            returns_body: from.flags & MAIL_RET_FULL != 0,
            recipients: Vec::new(),
        });
        self.reply(250, "2.1.0 Ok");
        Next::Continue
    }

    pub(super) fn rcpt(&mut self, to: &RcptTo<Cow<'_, str>>) -> Next {
        let site = Arc::clone(&self.site);
        let address = printable(&to.address);
        let Some(envelope) = &mut self.envelope else {
            self.error(503, "5.5.1 MAIL comes first");
            return Next::Continue;
        };
        if envelope.recipients.len() >= RECIPIENT_LIMIT {
            self.reply(452, "4.5.3 too many recipients");
            return Next::Continue;
        }
        if (to.flags != 0 || to.orcpt.is_some()) && site.faults.stands(Kind::NoDsn) {
            self.error(555, "5.5.4 unsupported parameter");
            return Next::Continue;
        }
        match destination(&address) {
            Destination::Mailbox | Destination::Forwarded => {}
            Destination::UnknownUser => {
                self.reply(550, &format!("5.1.1 <{address}>: User unknown"));
                return Next::Continue;
            }
            Destination::Elsewhere if self.authenticated => {
                self.reply(
                    550,
                    &format!("5.1.2 <{address}>: mail never leaves this lab"),
                );
                return Next::Continue;
            }
            Destination::Elsewhere => {
                self.reply(554, &format!("5.7.1 <{address}>: Relay access denied"));
                return Next::Continue;
            }
        }
        if let Some(code) = site.faults.refusal(Stage::Rcpt, &[local_part(&address)]) {
            let envelope = envelope.id.as_deref();
            tracing::debug!(target: "lab", envelope, to = address, code, "refused");
            return self.refuse(code, &format!("<{address}>: Recipient address rejected"));
        }
        if site.faults.defers(&envelope.sender, &address) {
            self.reply(451, "4.7.1 Greylisted, please try again later");
            return Next::Continue;
        }
        envelope.recipients.push(Recipient {
            address,
            original: to.orcpt.as_deref().map(printable),
            notify: to.flags,
            ruling: filter::Ruling::default(),
        });
        self.reply(250, "2.1.5 Ok");
        Next::Continue
    }

    pub(super) async fn data(&mut self) -> Result<Next, WireError> {
        let ready = |envelope: &Envelope| !envelope.recipients.is_empty();
        if !self.envelope.as_ref().is_some_and(ready) {
            let text = match self.envelope {
                Some(_) => "5.5.1 no valid recipients",
                None => "5.5.1 MAIL and RCPT come first",
            };
            self.error(503, text);
            return Ok(Next::Continue);
        }
        let Some(mut envelope) = self.envelope.take() else {
            return Ok(Next::Continue);
        };
        let locals: Vec<&str> = envelope
            .recipients
            .iter()
            .map(|recipient| local_part(&recipient.address))
            .collect();
        let site = Arc::clone(&self.site);
        if let Some(code) = site.faults.refusal(Stage::Data, &locals) {
            return Ok(self.refuse(code, "DATA command rejected"));
        }
        self.reply(354, "End data with <CR><LF>.<CR><LF>");
        let Some(message) = self.receive().await? else {
            self.reply(552, "5.3.4 message size exceeds the limit");
            return Ok(Next::Continue);
        };
        if let Some(code) = site.faults.refusal(Stage::Message, &locals) {
            return Ok(self.refuse(code, "Message content rejected"));
        }
        let rulings = match filter::examine(&site.faults, &locals, &message) {
            Ok(rulings) => rulings,
            Err(refusal) => {
                tracing::info!(target: "lab", code = refusal.code, text = %refusal.text, "filter: refused");
                self.reply(refusal.code, &refusal.text);
                return Ok(Next::Continue);
            }
        };
        let dies_silently = site.faults.strikes_message(Kind::CloseBeforeReply, &locals);
        let dies = site.faults.strikes_message(Kind::CloseAfterReply, &locals);
        for (recipient, ruling) in envelope.recipients.iter_mut().zip(rulings) {
            recipient.ruling = ruling;
        }
        let number = site.numbers.fetch_add(1, Ordering::Relaxed);
        let queue_id = format!("{number:010X}");
        let accepted = self.accepted(queue_id, envelope, message);
        let (id, envelope) = (&accepted.queue_id, accepted.envelope.id.as_deref());
        tracing::debug!(target: "lab", id, envelope, "accepted");
        if dies_silently {
            gateway::forward(&site, accepted);
            return Ok(Next::Close);
        }
        self.reply(250, &format!("2.0.0 Ok: queued as {}", accepted.queue_id));
        // The reply leaves first: a copy that overtakes it would have travelled back in time.
        let flushed = self.wire.flush().await;
        gateway::forward(&site, accepted);
        flushed?;
        Ok(if dies { Next::Close } else { Next::Continue })
    }

    fn accepted(&self, queue_id: String, envelope: Envelope, message: Vec<u8>) -> Accepted {
        let protocol = match (self.extended, self.wire.is_tls(), self.authenticated) {
            (false, ..) => "SMTP",
            (true, false, false) => "ESMTP",
            (true, false, true) => "ESMTPA",
            (true, true, false) => "ESMTPS",
            (true, true, true) => "ESMTPSA",
        };
        let helo = self.helo.as_deref().unwrap_or("unknown");
        Accepted {
            queue_id,
            envelope,
            origin: format!("{helo} ({helo} [{}])", self.peer),
            protocol,
            message,
            at: stamp::now(),
        }
    }

    /// The message up to the final dot, unstuffed; `None` when it is too large.
    async fn receive(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        let mut message = Vec::new();
        let mut receiver = DataReceiver::new();
        // The line end before the first line is that of DATA itself: so a lone dot ends an empty
        // message.
        receiver.ingest(&mut b"\r\n".iter(), &mut message);
        message.clear();
        let mut oversized = None;
        loop {
            if self.wire.buffered().is_empty() {
                self.wire.fill().await?;
            }
            let mut bytes = self.wire.buffered().iter();
            let given = bytes.len();
            let ended = match &mut oversized {
                None => receiver.ingest(&mut bytes, &mut message),
                Some(discarding) => DummyDataReceiver::ingest(discarding, &mut bytes),
            };
            let used = given - bytes.len();
            self.wire.consume(used);
            if ended {
                return Ok(oversized.is_none().then_some(message));
            }
            if message.len() > MESSAGE_LIMIT && oversized.is_none() {
                oversized = Some(DummyDataReceiver::new_data(&receiver));
                message = Vec::new();
            }
        }
    }
}
