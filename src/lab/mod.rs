//! An embedded mail stack: an SMTP gateway, a forwarding rule, and one mailbox served by IMAP and
//! POP3, with faults that can be switched on and off while it runs.
//!
//! It sees bytes off the wire, as any mail server does, and knows nothing of what its clients test
//! with it. Mail to any address of [`FORWARDING_DOMAIN`] is forwarded to [`MAILBOX_ADDRESS`]; mail
//! to other places is refused, and nothing ever leaves the lab. A filter refuses the test strings of virus scanners and
//! spam filters, unless a fault tells it otherwise.
//!
//! ```text
//! smtp ─► filter ─► gateway (faults, alterations, notices) ─► mailbox ─► imap, pop3
//! ```

mod alteration;
mod certificate;
mod control;
mod fault;
mod fields;
mod filter;
mod gateway;
mod imap;
mod listen;
mod mailbox;
mod mime;
mod notice;
mod pop3;
mod sasl;
mod site;
mod smtp;
mod stamp;
mod wire;

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

pub use self::{
    certificate::CertificateError,
    control::Control,
    fault::{Fault, FaultError},
    site::{FORWARDING_DOMAIN, MAILBOX_ADDRESS},
};
use self::{
    certificate::Certificates, fault::armed::Armed, listen::Protocol, mailbox::Mailbox,
    sasl::Account, site::Site,
};

/// How long [`Lab::stop`] waits for its tasks, which end at their next await.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How a lab is set up.
#[derive(Clone)]
pub struct LabConfig {
    /// The address all three servers listen on.
    pub bind: IpAddr,
    /// The SMTP port; 0 for any free one.
    pub smtp_port: u16,
    /// The IMAP port; 0 for any free one.
    pub imap_port: u16,
    /// The POP3 port; 0 for any free one.
    pub pop3_port: u16,
    /// The login of the mailbox, and of SMTP AUTH.
    pub username: String,
    /// Its password, which is the XOAUTH2 token as well.
    pub password: String,
    /// The faults that stand from the start.
    pub faults: Vec<Fault>,
    /// How many messages of other people lie in INBOX at the start.
    pub foreign: usize,
}

impl Default for LabConfig {
    fn default() -> Self {
        LabConfig {
            bind: Ipv4Addr::LOCALHOST.into(),
            smtp_port: 0,
            imap_port: 0,
            pop3_port: 0,
            username: "probe".to_owned(),
            password: "probe".to_owned(),
            faults: Vec::new(),
            foreign: 0,
        }
    }
}

impl fmt::Debug for LabConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LabConfig")
            .field("bind", &self.bind)
            .field("smtp_port", &self.smtp_port)
            .field("imap_port", &self.imap_port)
            .field("pop3_port", &self.pop3_port)
            .field("username", &self.username)
            .field("faults", &self.faults)
            .field("foreign", &self.foreign)
            .finish_non_exhaustive()
    }
}

/// Why a lab could not start.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A port cannot be listened on.
    #[error(
        "cannot listen on {address} for {protocol}; {option} chooses another port, 0 any free one"
    )]
    Listen {
        /// The address that was tried.
        address: SocketAddr,
        /// SMTP, IMAP or POP3.
        protocol: &'static str,
        /// The command line option that changes the port.
        option: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The certificates could not be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A running lab. It ends with [`Lab::stop`], or abruptly when dropped.
pub struct Lab {
    site: Arc<Site>,
    smtp: SocketAddr,
    imap: SocketAddr,
    pop3: SocketAddr,
    _ends_with_us: DropGuard,
}

impl Lab {
    /// Binds the three ports and serves until stopped. Needs a Tokio runtime.
    pub async fn start(config: LabConfig) -> Result<Lab, LabError> {
        let bind = config.bind;
        let (smtp, smtp_addr) = listener(bind, config.smtp_port, Protocol::Smtp).await?;
        let (imap, imap_addr) = listener(bind, config.imap_port, Protocol::Imap).await?;
        let (pop3, pop3_addr) = listener(bind, config.pop3_port, Protocol::Pop3).await?;
        let stop = CancellationToken::new();
        let site = Arc::new(Site {
            mailbox: Mailbox::new(),
            account: Account {
                username: config.username,
                password: config.password,
            },
            certificates: Certificates::make()?,
            faults: Armed::default(),
            numbers: AtomicU64::new(1),
            imap_down: watch::Sender::new(None),
            pop3_lock: Arc::new(Semaphore::new(1)),
            tasks: TaskTracker::new(),
            stop: stop.clone(),
            counts: site::Counts::default(),
        });
        let lab = Lab {
            smtp: smtp_addr,
            imap: imap_addr,
            pop3: pop3_addr,
            site: Arc::clone(&site),
            _ends_with_us: stop.drop_guard(),
        };
        let control = lab.control();
        control.add_foreign(config.foreign);
        for fault in config.faults {
            control.add(fault);
        }
        for (listener, protocol) in [
            (smtp, Protocol::Smtp),
            (imap, Protocol::Imap),
            (pop3, Protocol::Pop3),
        ] {
            let serving = listen::serve(listener, protocol, Arc::clone(&site));
            site.tasks.spawn(serving);
        }
        tracing::info!(
            target: "lab", smtp = %lab.smtp, imap = %lab.imap, pop3 = %lab.pop3, "listening"
        );
        Ok(lab)
    }

    /// Where the gateway listens.
    pub fn smtp_addr(&self) -> SocketAddr {
        self.smtp
    }

    /// Where the mailbox is served by IMAP.
    pub fn imap_addr(&self) -> SocketAddr {
        self.imap
    }

    /// Where the mailbox is served by POP3.
    pub fn pop3_addr(&self) -> SocketAddr {
        self.pop3
    }

    /// The certificate of the authority that signed the servers' certificate.
    pub fn ca_pem(&self) -> &str {
        &self.site.certificates.ca_pem
    }

    /// A handle that changes the faults while the lab runs.
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.site))
    }

    /// Ends all conversations and waits for their tasks, five seconds at most.
    pub async fn stop(self) {
        self.site.stop.cancel();
        self.site.tasks.close();
        if timeout(STOP_WITHIN, self.site.tasks.wait()).await.is_err() {
            tracing::warn!(target: "lab", "some tasks did not end in time");
        }
    }
}

async fn listener(
    bind: IpAddr,
    port: u16,
    protocol: Protocol,
) -> Result<(TcpListener, SocketAddr), LabError> {
    let address = SocketAddr::new(bind, port);
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bound.await.map_err(|source| LabError::Listen {
        address,
        protocol: protocol.name(),
        option: protocol.port_option(),
        source,
    })
}
