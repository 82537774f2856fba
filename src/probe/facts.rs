//! What the edges saw: plain data that `net`, `smtp` and `mailbox` write, the judge reads and the record keeps.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::message::Recognised;
use super::name::MailboxName;
use super::outcome::{Code, Phase};
use super::tag::Tag;
use crate::clock::Stamp;

/// A server's reply (RFC 5321 §4.2), in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The three-digit code.
    pub code: u16,
    /// The enhanced status code's three numbers (RFC 3463); zeros where the server gives none.
    pub esc: [u8; 3],
    /// All lines as they came, joined by `\n`, codes included.
    pub raw: Box<str>,
}

impl Reply {
    /// The enhanced status code, where the server gives one.
    pub fn enhanced(&self) -> Option<String> {
        let [class, subject, detail] = self.esc;
        (class != 0).then(|| format!("{class}.{subject}.{detail}"))
    }

    /// The text without the codes, lines joined by a space.
    pub fn text(&self) -> String {
        let enhanced = self.enhanced().unwrap_or_default();
        self.raw
            .lines()
            .map(|line| {
                let text = line.get(4..).unwrap_or_default();
                text.strip_prefix(enhanced.as_str()).unwrap_or(text).trim()
            })
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// 2xx.
    pub fn is_positive(&self) -> bool {
        matches!(self.code, 200..300)
    }

    /// 4xx: worth trying again.
    pub fn is_transient(&self) -> bool {
        matches!(self.code, 400..500)
    }

    /// 5xx: final.
    pub fn is_permanent(&self) -> bool {
        matches!(self.code, 500..600)
    }
}

/// One phase of a session: when it began and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which.
    pub phase: Phase,
    /// Measured by its own two instants.
    pub took: Duration,
}

/// Why a step came to no reply: what was tried, what came back, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The reason code this leads to.
    pub code: Code,
    /// What was tried, on what, and what came back.
    pub what: String,
    /// What to do about it; empty where `what` says it all, and where it was noted by an earlier process.
    #[serde(skip)]
    pub remedy: &'static str,
}

impl Failure {
    /// Whether the gateway's own limits forbid to send the message, now and later.
    pub fn forbids_sending(&self) -> bool {
        matches!(self.code, Code::TooLarge | Code::NotOffered)
    }
}

/// How one attempt to submit a probe ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The final reply was 2xx.
    Accepted(Reply),
    /// A 4xx or 5xx reply in this phase.
    Refused(Phase, Reply),
    /// No reply in this phase; the message was not handed over.
    Broken(Phase, Failure),
    /// The message was handed over, its final reply never came.
    ReplyLost(Failure),
    /// The message is handed over, its final reply has not come yet.
    Awaited,
    /// mailrobin itself was cut off before it had noted an end: whether the message was handed over is not known.
    Cut,
}

/// What stands between our address and the gateway: scanners often treat these differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Vantage {
    /// The session was authenticated.
    Authenticated,
    /// The gateway sees a loopback or private address.
    Local,
    /// A plain client from outside, as any MX sees.
    Public,
}

/// Whether an address is of this machine or a private network (RFC 1918, RFC 4193, link-local).
pub fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// One attempt to submit a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The start of its DNS look-up; on a kept connection, of MAIL.
    pub started: Stamp,
    /// When its end was known.
    pub ended: Stamp,
    /// Whether it went over a session that an earlier attempt had left open.
    pub kept: bool,
    /// The peer, once there was one.
    pub address: Option<SocketAddr>,
    /// Another address behind the same name, to be tried where this one cannot be reached.
    pub other: Option<SocketAddr>,
    /// Whether STARTTLS failed and the config lets the message go in the clear: TLS was opportunistic.
    #[serde(default)]
    pub may_go_clear: bool,
    /// The protocol version of the TLS session, if there was one.
    pub tls: Option<Cow<'static, str>>,
    /// Authenticated, local or public.
    pub vantage: Vantage,
    /// The phases this session had, in their order.
    pub steps: Vec<Step>,
    /// When DATA was begun.
    pub data_began: Option<Stamp>,
    /// When the final dot had been written.
    pub dot: Option<Stamp>,
    /// How it ended.
    pub end: End,
    /// Both sides' lines, where asked for; message content and secrets are not in it.
    pub transcript: Vec<String>,
}

impl Attempt {
    /// Whether any of the message's content may have reached the peer. A refusal before the final dot answers a command.
    pub fn may_have_sent_content(&self) -> bool {
        match &self.end {
            End::Refused(..) => self.dot.is_some(),
            End::Broken(..) => self.data_began.is_some(),
            End::Accepted(_) | End::ReplyLost(_) | End::Awaited | End::Cut => true,
        }
    }

    /// Whether the peer could not be reached, or TLS with it failed: another address may do.
    pub fn never_met(&self) -> bool {
        match &self.end {
            End::Broken(phase, failure) => {
                matches!(phase, Phase::Connect | Phase::Tls | Phase::Starttls)
                    || failure.code == Code::TlsFailed
            }
            End::Refused(phase, _) => matches!(phase, Phase::Starttls),
            End::Accepted(_) | End::ReplyLost(_) | End::Awaited | End::Cut => false,
        }
    }

    /// Whether it was put off in a way that asks for another try: by a 4xx, or by a connection lost after MAIL, which
    /// counts as one (RFC 5321 §3.8).
    pub fn is_deferral(&self) -> bool {
        match &self.end {
            End::Refused(_, reply) => reply.is_transient(),
            End::Broken(phase, failure) => {
                // A kept session that had died before MAIL says nothing about the message.
                let stale = self.kept && *phase == Phase::Mail;
                !phase.is_before_mail() && !failure.forbids_sending() && !stale
            }
            End::Accepted(_) | End::ReplyLost(_) | End::Awaited | End::Cut => false,
        }
    }
}

/// How a copy was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SeenBy {
    /// The server announced it (IMAP IDLE).
    Idle,
    /// A look of ours found it.
    Poll,
}

/// Which message of a mailbox is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// The folder, decoded for people.
    pub folder: Arc<str>,
    /// Whether this is the junk folder.
    pub junk: bool,
    /// The message's id there.
    pub uid: Uid,
    /// The tag it carries: nothing else under that id is ever touched.
    pub tag: Tag,
}

/// What a server knows a message by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Uid {
    /// IMAP.
    Imap {
        /// The UIDVALIDITY the UID belongs to.
        validity: u32,
        /// The UID.
        uid: u32,
    },
    /// POP3: its unique id, or what stands for one.
    Pop3(Arc<str>),
}

/// A message of interest seen in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Where it is.
    pub place: Place,
    /// When it was seen.
    pub seen: Stamp,
    /// How it was noticed.
    pub by: SeenBy,
    /// When the folder was last looked at before, which bounds how long the copy may have been there unseen.
    pub looked_before: Option<Stamp>,
    /// When the server says it was delivered (IMAP INTERNALDATE, to the second).
    pub delivered_at: Option<Timestamp>,
    /// Its whole size in bytes.
    pub size: u32,
    /// What it is, and the tag it carries.
    pub recognised: Recognised,
    /// The message, or as much of it as is worth having.
    pub raw: Bytes,
    /// Whether that is all of it.
    pub whole: bool,
}

/// A look at every watched folder of a mailbox that went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// When it was begun: what was in the mailbox then has been seen.
    pub begun: Stamp,
    /// Whether a copy that a filter files as junk would have been seen: the junk folder was read too, or the mailbox has
    /// none.
    pub covers_junk: bool,
    /// Copies of probes sent before this may lie below the messages that were read.
    pub unread_before: Option<Stamp>,
}

/// A mailbox cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blindness {
    /// What was tried, what came back, what to do.
    pub failure: Failure,
    /// Whether trying again is left off, because only a person can mend it.
    pub is_final: bool,
}
