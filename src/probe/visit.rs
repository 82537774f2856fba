//! A visit to a server: its steps one by one, as a socket check sees them. Nothing is sent that leaves a trace.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::facts::{Attempt, Failure, Reply};
use super::outcome::Phase;
use crate::clock::Stamp;

/// A step of a visit, in the order they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VisitStep {
    /// Address look-up.
    Dns,
    /// TCP handshake.
    Connect,
    /// TLS handshake before the greeting (implicit TLS).
    Tls,
    /// Waiting for the greeting.
    Banner,
    /// EHLO (or HELO) and its reply.
    Ehlo,
    /// What an IMAP or POP3 server says it can do.
    Capability,
    /// STARTTLS, handshake and, over SMTP, the second EHLO.
    Starttls,
    /// Authentication.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// RSET, which takes MAIL and RCPT back.
    Rset,
    /// The goodbye.
    Quit,
}

impl VisitStep {
    /// The word that stands for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Banner => "banner",
            Self::Ehlo => "ehlo",
            Self::Capability => "capability",
            Self::Starttls => "starttls",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Rset => "rset",
            Self::Quit => "quit",
        }
    }

    /// The step that is like a phase of a round trip, if any.
    pub const fn of(phase: Phase) -> Option<Self> {
        match phase {
            Phase::Dns => Some(Self::Dns),
            Phase::Connect => Some(Self::Connect),
            Phase::Tls => Some(Self::Tls),
            Phase::Banner => Some(Self::Banner),
            Phase::Ehlo => Some(Self::Ehlo),
            Phase::Starttls => Some(Self::Starttls),
            Phase::Auth => Some(Self::Auth),
            Phase::Mail => Some(Self::Mail),
            Phase::Rcpt => Some(Self::Rcpt),
            Phase::Deferral | Phase::Data | Phase::Transit => None,
        }
    }

    /// The phase of a round trip that it is like, if any.
    pub const fn phase(self) -> Option<Phase> {
        match self {
            Self::Dns => Some(Phase::Dns),
            Self::Connect => Some(Phase::Connect),
            Self::Tls => Some(Phase::Tls),
            Self::Banner => Some(Phase::Banner),
            Self::Ehlo | Self::Capability => Some(Phase::Ehlo),
            Self::Starttls => Some(Phase::Starttls),
            Self::Auth => Some(Phase::Auth),
            Self::Mail => Some(Phase::Mail),
            Self::Rcpt => Some(Phase::Rcpt),
            Self::Rset | Self::Quit => None,
        }
    }
}

/// A step that was taken, and what the server said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Which.
    pub step: VisitStep,
    /// How long it took, measured by its own two instants.
    pub took: Duration,
    /// The server's own words, lines joined by `\n`; what came of it where no server spoke.
    pub words: Box<str>,
}

/// How a visit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VisitEnd {
    /// Every step was answered as it should be.
    Answered,
    /// A 4xx or 5xx reply at this step.
    Refused(VisitStep, Reply),
    /// It was cut off.
    Interrupted,
    /// It was never begun.
    NotStarted,
    /// This step came to nothing.
    Broken(VisitStep, Failure),
}

/// What one visit to one address found.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    /// The start of its DNS look-up.
    pub started: Stamp,
    /// When its last step ended.
    pub ended: Stamp,
    /// The name that its certificate must be for.
    pub host: String,
    /// The peer, once there was one.
    pub address: Option<SocketAddr>,
    /// The steps taken, in their order.
    pub steps: Vec<Taken>,
    /// The session's TLS, if there was any.
    pub tls: Option<TlsFacts>,
    /// The session before this one, where STARTTLS failed and TLS was opportunistic: this one went in the clear.
    pub insecure: Option<Box<Attempt>>,
    /// How it ended.
    pub end: VisitEnd,
}

impl Visit {
    /// How long it took until everything was answered; the way out does not count.
    pub fn took(&self) -> Duration {
        let steps = self.steps.iter();
        let steps = steps.filter(|taken| taken.step.phase().is_some());
        steps.map(|taken| taken.took).sum()
    }
}

/// A TLS session and the certificates shown in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`; null where the handshake failed.
    pub protocol: Option<String>,
    /// The cipher suite, by its IANA name; null where the handshake failed.
    pub cipher: Option<String>,
    /// The certificates as the server sent them, its own first, at most ten.
    pub chain: Vec<Certificate>,
    /// Why they do not verify; null where they do.
    pub problem: Option<String>,
}

impl TlsFacts {
    /// The first moment at which a certificate of the chain is no longer valid.
    pub fn expires(&self) -> Option<Timestamp> {
        self.chain.iter().filter_map(|it| it.not_after).min()
    }
}

/// A certificate (RFC 5280), as far as a person asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// Whom it is about.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The DNS names and addresses that it is for, at most fifty.
    pub names: Vec<String>,
    /// From when it is valid.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub not_before: Option<Timestamp>,
    /// Until when it is valid.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub not_after: Option<Timestamp>,
}

/// What an address is called (PTR), and whether that name leads back to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pointer {
    /// Its names.
    pub names: Vec<String>,
    /// Whether one of them has this address (forward-confirmed reverse DNS).
    pub confirmed: bool,
    /// Why nothing can be said, where nothing can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// How long asking took; it is not part of the visit's time.
    pub ms: f64,
}

/// What a visit found, as the result document gives it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VisitRecord {
    /// The name that the certificate must be for.
    pub host: String,
    /// The domain's mail exchangers, where they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exchangers: Vec<Exchanger>,
    /// What the address is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<Pointer>,
    /// The session's TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFacts>,
    /// Every step, with the server's own words.
    pub steps: Vec<StepRecord>,
}

/// One step of a visit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepRecord {
    /// Which.
    pub name: VisitStep,
    /// How long it took.
    pub ms: f64,
    /// The server's own words; what came of it where no server spoke.
    pub text: String,
}

/// A mail exchanger of a domain (RFC 5321 §5.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exchanger {
    /// The lower, the sooner it is tried.
    pub preference: u16,
    /// Its name.
    pub host: String,
}
