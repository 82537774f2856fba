//! The catalogue of faults: each kind's spelling, what value it takes, and what may limit it.

/// What stands after the `=` of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// No value.
    Nothing,
    /// A length of time such as `500ms` or `2m 30s`.
    Span,
    /// A whole number.
    Count,
    /// `STAGE:CODE`, an SMTP stage and the reply code it answers.
    Refusal,
    /// The name of an IMAP command.
    Command,
    /// What is done with a virus.
    OnVirus,
    /// What is done with spam.
    OnSpam,
    /// A size in bytes, KiB or MiB.
    Size,
}

/// What a fault applies to, and so which of `first`, `every` and `to` make sense for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One message for one recipient: `first`, `every` and `to`.
    Message,
    /// One command or login: `first` and `every`.
    Occasion,
    /// How a server is for as long as the fault stands: no limits.
    State,
    /// Happens once, when it is added: no limits.
    Moment,
}

macro_rules! catalogue {
    ($($kind:ident $name:literal $shape:ident $scope:ident $about:literal;)+) => {
        /// The kinds of faults.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Kind {
            $(#[doc = $about] $kind,)+
        }

        impl Kind {
            /// Every kind, in the order in which faults act on one message.
            pub(crate) const ALL: &[Kind] = &[$(Kind::$kind,)+];

            /// The word that stands for this kind.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name,)+ }
            }

            pub(crate) const fn shape(self) -> Shape {
                match self { $(Kind::$kind => Shape::$shape,)+ }
            }

            pub(crate) const fn scope(self) -> Scope {
                match self { $(Kind::$kind => Scope::$scope,)+ }
            }

            /// What it does, in one line.
            pub(crate) const fn about(self) -> &'static str {
                match self { $(Kind::$kind => $about,)+ }
            }
        }
    };
}

catalogue! {
    Reject "reject" Refusal Message "the gateway refuses at a stage: mail, rcpt, data or message, as in reject=rcpt:550";
    Defer "defer" Count Message "greylisting: the first N attempts of each sender and recipient get 451";
    FilterOff "filter-off" Nothing Message "the filter is not asked: everything passes, without its header fields";
    FilterDown "filter-down" Nothing Message "the filter does not answer: 451 after the final dot";
    ScanLimit "scan-limit" Size Message "messages larger than this pass unscanned, as in scan-limit=64KiB";
    NoUnpacking "no-unpacking" Nothing Message "the filter does not open archives";
    BannedNames "banned-names" Nothing Message "refuses attachments named like programs, *.exe or *.com, whatever they hold";
    Virus "virus" OnVirus Message "a virus is met by reject (the default), discard, quarantine, tag, junk, strip, bounce or off";
    Spam "spam" OnSpam Message "spam is met by reject (the default), discard, quarantine, tag, subject, junk or off";
    Delay "delay" Span Message "the copy is forwarded this much later, as its Received fields show";
    Skew "skew" Span Message "the filter's clock is this much ahead in its Received field";
    Drop "drop" Nothing Message "answers 250 and then discards";
    Bounce "bounce" Nothing Message "answers 250, then returns a delivery status notification: failed";
    DelayedDsn "delayed-dsn" Nothing Message "a delivery status notification: delayed; and the copy";
    Vacation "vacation" Nothing Message "an automatic reply that quotes the subject; and the copy";
    NewMessageId "new-message-id" Nothing Message "replaces the Message-ID";
    DropXHeaders "drop-x-headers" Nothing Message "removes all X- header fields";
    RewriteSubject "rewrite-subject" Nothing Message "replaces the subject";
    MarkSubject "mark-subject" Nothing Message "puts ***SPAM*** before the subject";
    MarkSpam "mark-spam" Nothing Message "adds the header fields of a spam filter";
    StripAttachments "strip-attachments" Nothing Message "removes attachments";
    Alter "alter" Nothing Message "puts a notice in place of the text";
    Footer "footer" Nothing Message "appends a disclaimer to the text";
    ReEncode "re-encode" Nothing Message "re-encodes and rewraps the text";
    Quote "quote" Nothing Message "forwards inline, each line quoted";
    ForwardAsAttachment "forward-as-attachment" Nothing Message "forwards as a message/rfc822 attachment";
    Duplicate "duplicate" Nothing Message "delivers two copies";
    Junk "junk" Nothing Message "delivers into Junk";
    CloseBeforeReply "close-before-reply" Nothing Message "closes after the final dot without a reply; the message is forwarded";
    CloseAfterReply "close-after-reply" Nothing Message "closes after the reply to the final dot";
    SlowReplies "slow-replies" Span State "each SMTP reply comes this much later";
    Drip "drip" Span State "SMTP replies come byte by byte, this far apart";
    NoStarttls "no-starttls" Nothing State "no server offers TLS";
    ExpiredCertificate "expired-certificate" Nothing State "TLS with a certificate that has expired";
    NoDsn "no-dsn" Nothing State "SMTP without the DSN extension";
    LowerEhlo "lower-ehlo" Nothing State "EHLO keywords in lower case";
    BareReplies "bare-replies" Nothing State "SMTP replies without text, lines ended by LF alone";
    NoIdle "no-idle" Nothing State "IMAP without IDLE";
    SilentIdle "silent-idle" Nothing State "IDLE is accepted and announces nothing";
    LateIdle "late-idle" Span State "IDLE announces this much later";
    NoUidplus "no-uidplus" Nothing State "IMAP without UIDPLUS";
    NoSpecialUse "no-special-use" Nothing State "IMAP without SPECIAL-USE";
    NoMove "no-move" Nothing State "IMAP without MOVE";
    ImapNo "imap-no" Command Occasion "IMAP answers NO to this command, as in imap-no=SELECT";
    LoginRefused "login-refused" Nothing Occasion "IMAP and POP3 refuse the login";
    InUse "in-use" Count State "the first N POP3 logins find the mailbox locked";
    NoTop "no-top" Nothing State "POP3 without TOP";
    NoUidl "no-uidl" Nothing State "POP3 without UIDL";
    ImapDown "imap-down" Span Moment "IMAP ends its sessions and refuses connections for so long";
    Uidvalidity "uidvalidity" Nothing Moment "UIDVALIDITY changes, all UIDs are renumbered";
    Foreign "foreign" Count Moment "puts N messages of other people into INBOX";
}
