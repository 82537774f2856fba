//! What became of a probe, what that is worth, and why: three closed sets. Every output matches them without a wildcard.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of a probe.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The copy is in a regular folder, its payload intact, unmarked.
    Delivered,
    /// As delivered, but positively marked by a filter.
    Tagged,
    /// The copy is in the junk folder.
    Junked,
    /// No part of the copy holds the payload as sent.
    Altered,
    /// A 5xx reply to MAIL, RCPT, DATA or to the message.
    Rejected,
    /// 4xx replies, tried again, never accepted within `defer_for`.
    Deferred,
    /// A delivery status notification with `Action: failed` came.
    Bounced,
    /// Accepted, and not back by the deadline, as a good look at every watched folder proved.
    Missing,
    /// It never came to MAIL.
    Unsent,
    /// The mailbox could not be read, so nothing can be said.
    Unseen,
    /// Interrupted before its end.
    Unfinished,
    /// Never started.
    Skipped,
    /// A ping route's server answered as it should.
    Answered,
}

impl Outcome {
    /// Every outcome, in the order of the enum.
    pub const ALL: [Self; 13] = [
        Self::Delivered,
        Self::Tagged,
        Self::Junked,
        Self::Altered,
        Self::Rejected,
        Self::Deferred,
        Self::Bounced,
        Self::Missing,
        Self::Unsent,
        Self::Unseen,
        Self::Unfinished,
        Self::Skipped,
        Self::Answered,
    ];

    /// The word that stands for it in configs, reports and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Tagged => "tagged",
            Self::Junked => "junked",
            Self::Altered => "altered",
            Self::Rejected => "rejected",
            Self::Deferred => "deferred",
            Self::Bounced => "bounced",
            Self::Missing => "missing",
            Self::Unsent => "unsent",
            Self::Unseen => "unseen",
            Self::Unfinished => "unfinished",
            Self::Skipped => "skipped",
            Self::Answered => "answered",
        }
    }
}

/// What an outcome is worth. Ordered: the worst of several is their maximum.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As expected.
    #[default]
    Pass,
    /// As expected, but slow or twice.
    Warn,
    /// Nothing can be said.
    Unknown,
    /// Not as expected.
    Fail,
}

impl Verdict {
    /// The word that stands for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::Fail => "fail",
        }
    }

    /// The exit code of a run whose worst verdict this is (the monitoring plugins' convention).
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Warn => 1,
            Self::Fail => 2,
            Self::Unknown => 3,
        }
    }
}

/// A step of a probe's way that is timed by itself, in the order they happen.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// From the start of the first attempt to the start of the accepted one.
    Deferral,
    /// Address look-up.
    Dns,
    /// TCP handshake.
    Connect,
    /// TLS handshake before the greeting (implicit TLS).
    Tls,
    /// Waiting for the 220 greeting.
    Banner,
    /// EHLO (or HELO) and its reply.
    Ehlo,
    /// STARTTLS, handshake and the second EHLO.
    Starttls,
    /// Authentication.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA, the message, and the final reply.
    Data,
    /// From the final reply to the copy seen.
    Transit,
}

impl Phase {
    /// All of them, in the order they happen.
    pub const ALL: [Self; 12] = [
        Self::Deferral,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Banner,
        Self::Ehlo,
        Self::Starttls,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Transit,
    ];

    /// The word that stands for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deferral => "deferral",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Banner => "banner",
            Self::Ehlo => "ehlo",
            Self::Starttls => "starttls",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Transit => "transit",
        }
    }

    /// Whether a failure here means that the probe never came to MAIL.
    pub fn is_before_mail(self) -> bool {
        self < Self::Mail
    }
}

macro_rules! codes {
    ($($variant:ident $word:literal $meaning:literal;)+) => {
        /// Why a probe was judged as it was: a stable word, the same in every output.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Code {
            $(#[doc = $meaning] #[serde(rename = $word)] $variant,)+
        }

        impl Code {
            /// Every code, in the order of the enum.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word that stands for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

codes! {
    Ok "ok" "The outcome is one that was expected, in time.";
    Slow "slow" "The copy, or the server's answer, took longer than `warn_after`.";
    Duplicate "duplicate" "The copy came more than once.";
    NotJudged "not-judged" "What should become of this payload is a matter of policy, and the test does not say; it is reported.";
    Leak "leak" "A harmful payload came through: a copy still holds it.";
    ControlFailed "control-failed" "A harmful payload did not come through, but neither did the plain message sent with it, so no filter is proved.";
    RejectedBeforeContent "rejected-before-content" "The gateway refused before it had seen the message, so no filter is proved.";
    JunkNotWatched "junk-not-watched" "A harmful payload did not come back, but no junk folder is watched, so it may lie there and no filter is proved.";
    FilterNotTested "filter-not-tested" "The message could not be handed over, so no filter was tested.";
    Unexpected "unexpected" "The copy came through, but the test does not expect that.";
    Tagged "tagged" "The copy came back marked as spam or infected.";
    Junked "junked" "The copy was filed in the junk folder.";
    Authentication "authentication" "The copy lacks an authentication result that the route expects.";
    Altered "altered" "The copy came back without the payload that was sent.";
    Late "late" "The copy, or the server's answer, came after the deadline.";
    Missing "missing" "The gateway accepted the message, and no copy came by the deadline.";
    ReplyLost "reply-lost" "The reply to the message itself was lost, and no copy came by the deadline.";
    Bounced "bounced" "A delivery status notification says that the message could not be delivered.";
    NotForwarded "not-forwarded" "A delivery status notification says that the forwarded copy could not be delivered: the mail came in, and was refused on its way back.";
    Rejected "rejected" "The gateway refused the message for good (5xx).";
    Deferred "deferred" "The gateway put the message off (4xx) for longer than `defer_for`.";
    Blocklisted "blocklisted" "The gateway refused or put off the message, and named a blocklist that our address is on.";
    DnsFailed "dns-failed" "The server's name could not be resolved to an address.";
    ConnectFailed "connect-failed" "No TCP connection to the server could be made.";
    ProberOffline "prober-offline" "No server of the config can be reached, and no reference answers: this machine has no network.";
    TlsFailed "tls-failed" "TLS with the server could not be established or verified.";
    Certificate "certificate" "The server answers, but its certificate does not verify, or ends soon.";
    StarttlsMissing "starttls-missing" "The server does not offer STARTTLS, which the config asks for.";
    GreetingFailed "greeting-failed" "The server's greeting, or one of its first answers, was not what its protocol asks for.";
    AuthFailed "auth-failed" "The server refused the credentials.";
    AuthUnavailable "auth-unavailable" "The server offers no way to log in that the config allows.";
    TooLarge "too-large" "The message is larger than the gateway's announced SIZE limit.";
    NotOffered "not-offered" "The gateway does not offer an SMTP extension that the payload needs.";
    Secret "secret" "A secret could not be read when it was needed.";
    MailboxUnreadable "mailbox-unreadable" "The mailbox could not be read when it mattered.";
    MailboxRefused "mailbox-refused" "The mailbox server refused the login.";
    Interrupted "interrupted" "The run was interrupted before this probe came to its end.";
    NotStarted "not-started" "The run ended before this probe was started.";
}

impl Code {
    /// Whether it says that the server turned us away, so that another try soon could lock an account or keep a listing.
    pub const fn is_unwelcome(self) -> bool {
        matches!(
            self,
            Self::AuthFailed | Self::MailboxRefused | Self::Blocklisted
        )
    }
}

macro_rules! shown_as_word {
    ($($ty:ty),+) => {$(
        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    )+};
}

shown_as_word!(Outcome, Verdict, Phase, Code);
