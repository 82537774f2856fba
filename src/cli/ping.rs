//! `mailrobin ping`: speaks to a server step by step, and sends no message.

mod target;

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use lettre::Address;
use tokio::time::{Instant, sleep_until};

use self::target::{Protocol, Target};
use super::signals::Signals;
use super::{Common, Exit};
use crate::clock::Stamp;
use crate::config::plan::{
    Auth, DEFAULT_CERTIFICATE_WARN, DnsPlan, Door, Endpoint, Gateway, Login, Ping as Plan,
    PingServer, Reference, Security, Trust,
};
use crate::config::secret::Secret;
use crate::config::value::{blocklist, duration, host_name, name_server};
use crate::engine::blocklists::Blocklists;
use crate::engine::ping::{addresses, ping};
use crate::engine::uplink::Uplink;
use crate::files::{self, PEM_LIMIT};
use crate::judge::network;
use crate::net::dns::Dns;
use crate::probe::message;
use crate::probe::outcome::Verdict;
use crate::probe::record::Record;
use crate::report::{document, json, nagios, ping as human, shown};

const PASSWORD_HELP: &str = "File with the password [default: $MAILROBIN_PASSWORD holds it]";
/// A visit has no more steps than this.
const MOST_STEPS: u32 = 15;
/// Where the password is looked for if no option says where.
const PASSWORD: &str = "MAILROBIN_PASSWORD";

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(super) struct Ping {
    /// HOST[:PORT], or smtp://, smtps://, submission://, imap://, imaps://, pop3:// or pop3s:// before it
    ///
    /// Without a port, the mail exchangers of a domain are meant; where it has none, the host itself.
    #[arg(value_name = "HOST[:PORT]", value_parser = Target::parse)]
    target: Target,
    /// Ask whether mail from here would be taken (MAIL); it is taken back before anything is sent
    #[arg(long, value_name = "ADDRESS", value_parser = address, requires = "to")]
    from: Option<Address>,
    /// Ask whether mail to there would be taken (RCPT)
    #[arg(long, value_name = "ADDRESS", value_parser = address, requires = "from")]
    to: Option<Address>,
    /// Visit so many times
    #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// From the start of one visit to the start of the next
    #[arg(long, default_value = "1s", value_name = "DUR", value_parser = duration)]
    interval: Duration,
    /// Only connect
    #[arg(long)]
    plain: bool,
    /// Visit every address, of every exchanger
    #[arg(long)]
    all: bool,
    /// How to secure the session [default: implicit on the ports for it, starttls with a username, else where offered]
    #[arg(long, value_enum, value_name = "HOW")]
    tls: Option<Tls>,
    /// PEM file of authorities to trust besides the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Do not verify the certificate
    #[arg(short = 'k', long, conflicts_with = "ca_file")]
    insecure: bool,
    /// Log in as this user
    #[arg(long, value_name = "NAME", value_parser = username)]
    username: Option<String>,
    #[arg(long, value_name = "FILE", requires = "username", help = PASSWORD_HELP)]
    password_file: Option<PathBuf>,
    /// Log in though TLS is absent or unverified
    #[arg(long, requires = "username")]
    insecure_auth: bool,
    /// The name to say in EHLO [default: this machine's]
    #[arg(long, value_name = "NAME", value_parser = ehlo)]
    ehlo: Option<String>,
    /// The time each step may take
    #[arg(short, long, default_value = "10s", value_name = "DUR", value_parser = duration)]
    timeout: Duration,
    /// Warn if it took longer
    #[arg(long, value_name = "DUR", value_parser = duration)]
    warn: Option<Duration>,
    /// Fail if it took longer
    #[arg(long, value_name = "DUR", value_parser = duration)]
    crit: Option<Duration>,
    /// Warn of a certificate that ends sooner [default: 14d]
    #[arg(long, value_name = "DUR", value_parser = duration)]
    cert_warn: Option<Duration>,
    /// Ask this name server instead of the system's (repeatable)
    #[arg(long, value_name = "ADDRESS", value_parser = name_server)]
    dns: Vec<SocketAddr>,
    /// Where the server cannot be reached, ask this whether we have a network: HOST:PORT, a URL or dns:NAME (repeatable)
    #[arg(long, value_name = "REFERENCE")]
    uplink: Vec<Reference>,
    /// Ask this blocklist about the address we come from (repeatable)
    #[arg(long, value_name = "ZONE", value_parser = blocklist)]
    dnsbl: Vec<String>,
    /// That address as the world sees it
    #[arg(long, value_name = "ADDRESS", requires = "dnsbl")]
    sending_address: Option<IpAddr>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Tls {
    /// Not at all
    None,
    /// Where offered; what does not verify is a warning
    Opportunistic,
    /// STARTTLS, verified, or failure
    Starttls,
    /// From the first byte, verified
    Implicit,
}

impl Tls {
    fn security(self) -> Security {
        match self {
            Self::None => Security::None,
            Self::Opportunistic => Security::Opportunistic,
            Self::Starttls => Security::Starttls,
            Self::Implicit => Security::Implicit,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Human,
    /// The result document
    Json,
    /// Output of a monitoring plugin
    Nagios,
}

fn address(text: &str) -> Result<Address, String> {
    message::address(text)
}

fn username(name: &str) -> Result<String, String> {
    if name.is_empty() || name.contains(char::is_control) {
        return Err("write a login name".into());
    }
    Ok(name.to_owned())
}

fn ehlo(name: &str) -> Result<String, String> {
    let is_word = |c: char| c.is_ascii_graphic();
    let fits = name.starts_with('[') && name.len() < 256 || host_name(name).is_ok();
    if fits && name.chars().all(is_word) {
        Ok(name.to_owned())
    } else {
        Err("write a name like probe.example.com".into())
    }
}

impl Ping {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        if let (Some(warn), Some(crit)) = (self.warn, self.crit)
            && warn > crit
        {
            bail!("--warn is longer than --crit, so it never warns");
        }
        let dns = DnsPlan {
            servers: self.dns.as_slice().into(),
            blocklists: self.dnsbl.clone(),
            sending_address: self.sending_address,
        };
        let lists = Blocklists::new(&dns);
        let resolver = Dns::new(Arc::clone(&dns.servers));
        let uplink = Arc::new(Uplink::asking(self.uplink.clone(), resolver));
        let plan = self.plan(&dns).await?;
        let visited = if self.all {
            match addresses(&plan).await {
                Ok(addresses) => addresses.into_iter().map(Some).collect(),
                // The visit itself fails on it, and says so.
                Err(_) => vec![None],
            }
        } else {
            vec![None]
        };
        let started = Stamp::now();
        let mut records = Vec::new();
        let mut signals = Signals::new()?;
        let visiting = async {
            let mut next = Instant::from_std(Stamp::now().mono);
            for number in 1..=self.count {
                sleep_until(next).await;
                next += self.interval;
                for address in &visited {
                    let due_at = Stamp::now().wall;
                    let mut record = ping(&plan, *address, &lists, ("", due_at)).await;
                    if network::is_doubtful(&record) {
                        record = network::judged(record, &uplink.without(1).await);
                    }
                    if self.format == Format::Human {
                        self.show(common, &record, number, visited.len())?;
                    }
                    records.push(record);
                }
            }
            io::Result::Ok(())
        };
        tokio::select! {
            shown = visiting => shown?,
            () = signals.next() => {}
        }
        let document = document::document(records, started.wall, Stamp::now().wall);
        let mut out = common.output();
        match self.format {
            Format::Human if self.count > 1 || visited.len() > 1 => {
                out.write_all(human::summary(&shown(&document)?.probes).as_bytes())?;
            }
            Format::Human => {}
            Format::Json => json::write(&document, io::BufWriter::new(out))?,
            Format::Nagios => out.write_all(nagios::render(&shown(&document)?).as_bytes())?,
        }
        if document.probes.is_empty() {
            return Ok(Exit(Verdict::Unknown.exit_code()));
        }
        Ok(Exit(document.verdict.exit_code()))
    }

    /// The first visit to each address in full, later ones on a line each.
    fn show(
        &self,
        common: &Common,
        record: &Record,
        number: u32,
        addresses: usize,
    ) -> io::Result<()> {
        let mut out = common.output();
        let record = &shown(record)?;
        if number == 1 {
            out.write_all(human::visit(record, super::width()).as_bytes())?;
            if addresses > 1 || self.count > 1 {
                writeln!(out)?;
            }
        } else {
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            out.write_all(human::line(record, number).as_bytes())?;
        }
        out.flush()
    }

    async fn plan(&self, dns: &DnsPlan) -> Result<Plan> {
        let Target {
            protocol,
            host,
            port,
            implicit,
            ..
        } = &self.target;
        let security = self.security(*implicit);
        let endpoint = Endpoint {
            host: host.clone(),
            port: port.unwrap_or_else(|| protocol.port(security)),
        };
        let trust = match &self.ca_file {
            Some(file) => {
                let pem = files::read_text(file, PEM_LIMIT)
                    .with_context(|| format!("reading {}", file.display()))?;
                let place = file.display().to_string();
                Trust::also(&pem, &place).map_err(anyhow::Error::msg)?
            }
            None if self.insecure => Trust::Anybody,
            None => Trust::System,
        };
        let server = match protocol {
            Protocol::Smtp => {
                let is_domain = port.is_none() && self.is_domain(dns).await;
                PingServer::Smtp(Arc::new(
                    self.gateway(dns, endpoint, security, trust, is_domain)?,
                ))
            }
            Protocol::Mailbox(protocol) => {
                if self.from.is_some() {
                    bail!(
                        "--from and --to are for SMTP servers: {} is none",
                        self.target
                    );
                }
                PingServer::Mailbox(Door {
                    protocol: *protocol,
                    endpoint,
                    name_servers: Arc::clone(&dns.servers),
                    security,
                    trust,
                    login: self.login()?,
                    timeout: self.timeout,
                })
            }
        };
        Ok(Plan {
            name: self.target.to_string().as_str().into(),
            server,
            envelope: self.from.clone().zip(self.to.clone()),
            plain: self.plain,
            // Without a limit of its own, what every step may take is what all of them may.
            deadline: self.crit.unwrap_or(self.timeout * MOST_STEPS),
            warn_after: self.warn,
            certificate_warn: self.cert_warn.unwrap_or(DEFAULT_CERTIFICATE_WARN),
        })
    }

    fn security(&self, implicit: bool) -> Security {
        match self.tls {
            Some(tls) => tls.security(),
            None if implicit => Security::Implicit,
            None if self.username.is_some() => Security::Starttls,
            None => Security::Opportunistic,
        }
    }

    /// Whether the name stands for its mail exchangers. One that only this machine or its network knows does not.
    async fn is_domain(&self, dns: &DnsPlan) -> bool {
        let host = self.target.host.as_str();
        let is_name = host.contains('.') && host.parse::<IpAddr>().is_err() && !host.contains(':');
        is_name
            && Dns::new(Arc::clone(&dns.servers))
                // Where nobody answers, the visit's own look-up still has its time.
                .has_exchangers(host, self.timeout / 2)
                .await
    }

    fn gateway(
        &self,
        dns: &DnsPlan,
        endpoint: Endpoint,
        security: Security,
        trust: Trust,
        is_domain: bool,
    ) -> Result<Gateway> {
        Ok(Gateway {
            name: endpoint.to_string().as_str().into(),
            endpoint,
            is_domain,
            each_address: false,
            name_servers: Arc::clone(&dns.servers),
            security,
            trust,
            client: None,
            login: self.login()?,
            pipelining: false,
            ehlo: self.ehlo.clone(),
            timeout: self.timeout,
            final_timeout: self.timeout,
            connections: 1,
            rate: None,
        })
    }

    fn login(&self) -> Result<Option<Login>> {
        let Some(username) = &self.username else {
            return Ok(None);
        };
        let password = match &self.password_file {
            Some(file) => Secret::File(file.clone()),
            None if std::env::var_os(PASSWORD).is_some() => Secret::Env(PASSWORD.into()),
            None => bail!(
                "--username needs a password: set ${PASSWORD}, or name a file in --password-file"
            ),
        };
        Ok(Some(Login {
            username: username.clone(),
            password,
            auth: Auth::Auto,
            insecure: self.insecure_auth,
        }))
    }
}
