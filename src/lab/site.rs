//! What the lab's servers share: one mailbox, one account, the faults, and the tasks they run in.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{certificate::Certificates, fault::armed::Armed, mailbox::Mailbox, sasl::Account};

/// Connections one server serves at a time.
pub(crate) const CONNECTIONS: usize = 2000;

/// The mailbox's address; `probe+anything@lab.example` reaches it too.
pub const MAILBOX_ADDRESS: &str = "probe@lab.example";

/// Mail to any address of this domain is forwarded to the mailbox.
pub const FORWARDING_DOMAIN: &str = "echo.example";

/// The name by which the lab's gateway calls itself.
pub(crate) const GATEWAY_NAME: &str = "gateway.lab.example";

/// The name by which its filter calls itself in the trace fields of what it passed on.
pub(crate) const FILTER_NAME: &str = "filter.lab.example";

/// The name by which the server that forwards into the mailbox calls itself there.
pub(crate) const FORWARDER_NAME: &str = "mx.lab.example";

pub(crate) struct Site {
    pub(crate) mailbox: Mailbox,
    pub(crate) account: Account,
    pub(crate) certificates: Certificates,
    pub(crate) faults: Armed,
    /// Numbers queue entries, messages of our own making, and sessions.
    pub(crate) numbers: AtomicU64,
    /// Until when IMAP is down.
    pub(crate) imap_down: watch::Sender<Option<Instant>>,
    /// Held by the POP3 session that has the mailbox open.
    pub(crate) pop3_lock: Arc<Semaphore>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) counts: Counts,
}

/// What the lab did since its start.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) accepted: AtomicU64,
    pub(crate) delivered: AtomicU64,
    /// Copies that the filter holds for good.
    pub(crate) quarantined: AtomicU64,
}
