//! A visit to an IMAP or POP3 server: greeting, TLS, what it can do, login, and out again. No folder is opened, no message
//! looked at. Line by line, because here the server's own words are what is asked for.

mod login;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::login::preauth_without_tls;
use crate::config::plan::{Door, Protocol, Security};
use crate::duration::seconds;
use crate::net::dial;
use crate::net::dns::{Dns, no_address};
use crate::net::lines::Lines;
use crate::net::login::Offers;
use crate::net::steps::Steps;
use crate::net::stream::{Stream, TlsSession};
use crate::net::tls::Tls;
use crate::probe::facts::Failure;
use crate::probe::outcome::Code;
use crate::probe::visit::{Visit, VisitEnd, VisitStep};
use crate::text::excerpt;

/// The longest line taken.
const MAX_LINE: usize = 16 * 1024;
/// An answer has no more lines than this.
const MAX_LINES: usize = 200;
/// How long a polite goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

type Step<T> = Result<T, (VisitStep, Failure)>;

/// Visits a mailbox server. `address`: that one, else the first the name has; `plain`: no further than the TCP handshake.
pub async fn visit(door: &Door, address: Option<SocketAddr>, plain: bool) -> Visit {
    let is_lenient = door.security == Security::Opportunistic;
    let (tls, witness) = Tls::witnessing(&door.trust, is_lenient, None);
    if door.security == Security::Implicit && !plain {
        // Once connected, the server's time runs.
        tls.make_ready();
    }
    let mut call = Call {
        door,
        tls,
        steps: Steps::begin(),
        address: None,
        session: None,
    };
    let end = match call.make(address, plain).await {
        Ok(()) => VisitEnd::Answered,
        Err((step, failure)) => VisitEnd::Broken(step, failure),
    };
    Visit {
        insecure: None,
        started: call.steps.started,
        ended: call.steps.marked,
        host: door.endpoint.host.clone(),
        address: call.address,
        steps: call.steps.taken,
        tls: witness.facts(call.session),
        end,
    }
}

/// A visit under way.
struct Call<'a> {
    door: &'a Door,
    tls: Tls,
    steps: Steps,
    address: Option<SocketAddr>,
    session: Option<TlsSession>,
}

impl Call<'_> {
    async fn make(&mut self, address: Option<SocketAddr>, plain: bool) -> Step<()> {
        let Door {
            endpoint,
            timeout: limit,
            security,
            protocol,
            ..
        } = self.door;
        let address = match address {
            Some(address) => address,
            None => self.look_up().await?,
        };
        self.address = Some(address);
        let tcp = dial::connect(address, *limit).await;
        let tcp = self.ended(VisitStep::Connect, tcp)?;
        if plain {
            return Ok(());
        }
        let stream = if *security == Security::Implicit {
            let secured = dial::secure(&self.tls, endpoint, tcp, *limit).await;
            self.secured(VisitStep::Tls, secured)?
        } else {
            Stream::Plain(tcp)
        };
        let mut lines = Lines::new(stream);
        let greeting = self.greeting(&mut lines).await;
        let is_in = self.ended(VisitStep::Banner, greeting)?;
        let mut can = self.abilities(&mut lines).await?;
        let starttls = match protocol {
            Protocol::Imap => "STARTTLS",
            Protocol::Pop3 => "STLS",
        };
        let offered = can.has(starttls);
        // It is not for a session that is logged in already (RFC 9051 §6.2.1).
        let offered = offered && !is_in;
        let wanted = match security {
            Security::None | Security::Implicit => false,
            Security::Opportunistic => offered,
            Security::Starttls => true,
        };
        if wanted {
            let secured = if offered {
                self.starttls(lines, starttls).await
            } else if is_in {
                Err(preauth_without_tls(endpoint))
            } else {
                Err(Failure {
                    code: Code::StarttlsMissing,
                    what: format!("{endpoint} does not offer STARTTLS"),
                    remedy: "turn it on there, or set `--tls` to what the server does offer; somebody in between may also strip it",
                })
            };
            lines = Lines::new(self.secured(VisitStep::Starttls, secured)?);
            can = self.abilities(&mut lines).await?;
        }
        let logged_in = match self.door.login.as_ref().filter(|_| !is_in) {
            Some(login) => {
                let done = self.log_in(&mut lines, login, &can.offers(*protocol)).await;
                self.ended(VisitStep::Auth, done)
            }
            None => Ok(()),
        };
        let goodbye = match protocol {
            Protocol::Imap => "LOGOUT",
            Protocol::Pop3 => "QUIT",
        };
        // Nothing depends on a goodbye.
        drop(timeout(GOODBYE, self.command(&mut lines, goodbye, goodbye)).await);
        self.steps.end(VisitStep::Quit);
        logged_in
    }

    async fn starttls(
        &mut self,
        mut lines: Lines<Stream>,
        command: &str,
    ) -> Result<Stream, Failure> {
        let endpoint = &self.door.endpoint;
        self.make_ready();
        self.command(&mut lines, command, command)
            .await
            .map_err(|failure| Failure {
                code: Code::TlsFailed,
                ..failure
            })?;
        match lines.into_parts() {
            (Stream::Plain(tcp), unread) if unread.is_empty() => {
                dial::secure(&self.tls, endpoint, tcp, self.door.timeout).await
            }
            _ => Err(Failure {
                code: Code::TlsFailed,
                what: format!(
                    "{endpoint} sent bytes before TLS was established, which could be an injection"
                ),
                remedy: "something between here and the server may be tampering with the session",
            }),
        }
    }

    async fn look_up(&mut self) -> Step<SocketAddr> {
        let Door {
            endpoint,
            name_servers,
            timeout: limit,
            ..
        } = self.door;
        let found = Dns::new(name_servers.clone())
            .addresses(endpoint, *limit)
            .await;
        if let Ok(found) = &found {
            let found = found.iter().map(|address| address.ip().to_string());
            self.steps.hear(&found.collect::<Vec<_>>().join(", "));
        }
        let first = found.and_then(|found| {
            let first = found.first().copied();
            first.ok_or_else(|| no_address(endpoint))
        });
        self.ended(VisitStep::Dns, first)
    }

    /// Making TLS ready takes time of ours, which is not the server's.
    fn make_ready(&mut self) {
        self.tls.make_ready();
        self.steps.skip();
    }

    /// The step is over; its failure is named after it.
    fn ended<T>(&mut self, step: VisitStep, result: Result<T, Failure>) -> Step<T> {
        self.steps.end(step);
        result.map_err(|failure| (step, failure))
    }

    fn secured(&mut self, step: VisitStep, result: Result<Stream, Failure>) -> Step<Stream> {
        if let Ok(stream) = &result {
            self.session = stream.tls_session();
            let session = self.session.map(|session| session.to_string());
            self.steps.hear(&session.unwrap_or_default());
        }
        self.ended(step, result)
    }

    fn failed(&self, code: Code, what: &str, remedy: &'static str) -> Failure {
        let what = format!("{what} at {}", self.door.endpoint);
        Failure { code, what, remedy }
    }

    /// What is done in a step has the step's time, however many lines it is.
    fn late(&self, at: &str) -> Failure {
        let limit = seconds(self.door.timeout);
        let what = format!("waiting for {at}: no answer within {limit}");
        self.failed(Code::GreetingFailed, &what, "")
    }

    /// A line; what it says is noted.
    async fn line(&mut self, lines: &mut Lines<Stream>, at: &str) -> Result<String, Failure> {
        let line = lines.line(MAX_LINE).await.map_err(|error| {
            let what = format!("waiting for {at}: {error}");
            self.failed(Code::GreetingFailed, &what, "")
        })?;
        let line = String::from_utf8_lossy(&line).into_owned();
        self.steps.hear(&line);
        Ok(line)
    }

    /// Reads the greeting (RFC 9051 §7.1, RFC 1939 §4). Whether the session is logged in already.
    async fn greeting(&mut self, lines: &mut Lines<Stream>) -> Result<bool, Failure> {
        let limit = self.door.timeout;
        let line = match timeout(limit, self.line(lines, "the greeting")).await {
            Ok(line) => line?,
            Err(_) => return Err(self.late("the greeting")),
        };
        let upper = line.to_ascii_uppercase();
        let mut words = upper.split(' ');
        match (self.door.protocol, words.next(), words.next()) {
            (Protocol::Imap, Some("*"), Some("OK")) | (Protocol::Pop3, Some("+OK"), _) => Ok(false),
            (Protocol::Imap, Some("*"), Some("PREAUTH")) => Ok(true),
            _ => Err(self.failed(
                Code::GreetingFailed,
                &format!("the greeting is {:?}", excerpt(&line, 200)),
                "the server turns this client away, or something else answers there: check host, port and the scheme",
            )),
        }
    }

    /// Sends a command and gives the lines of its answer; `shown` stands for it in what is said of it.
    async fn command(
        &mut self,
        lines: &mut Lines<Stream>,
        command: &str,
        shown: &str,
    ) -> Result<Vec<String>, Failure> {
        let tag = match self.door.protocol {
            Protocol::Imap => "r1 ",
            Protocol::Pop3 => "",
        };
        let wire = format!("{tag}{command}\r\n");
        let limit = self.door.timeout;
        match timeout(limit, self.answer(lines, &wire, shown)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.late(&format!("the answer to {shown}"))),
        }
    }

    async fn answer(
        &mut self,
        lines: &mut Lines<Stream>,
        wire: &str,
        shown: &str,
    ) -> Result<Vec<String>, Failure> {
        self.write(lines, wire, shown).await?;
        let mut answer = Vec::new();
        loop {
            let line = self.line(lines, &format!("the answer to {shown}")).await?;
            if let Some(status) = self.status(&line) {
                return if status {
                    Ok(answer)
                } else {
                    Err(self.refused(shown, &line))
                };
            }
            answer.push(line);
            if answer.len() > MAX_LINES {
                return Err(self.endless(shown));
            }
        }
    }

    /// Whether a line ends an answer, and how.
    fn status(&self, line: &str) -> Option<bool> {
        match self.door.protocol {
            Protocol::Imap => {
                let rest = line.strip_prefix("r1 ")?;
                Some(
                    rest.get(..2)
                        .is_some_and(|word| word.eq_ignore_ascii_case("OK")),
                )
            }
            Protocol::Pop3 => Some(line.starts_with("+OK")),
        }
    }

    fn endless(&self, shown: &str) -> Failure {
        let what = format!("{shown} was answered with more than {MAX_LINES} lines");
        self.failed(Code::GreetingFailed, &what, "")
    }

    fn refused(&self, shown: &str, line: &str) -> Failure {
        let said = excerpt(&self.steps.stripped(line), 200);
        let what = format!("{shown} was answered {said:?}");
        self.failed(Code::GreetingFailed, &what, "")
    }

    async fn write(
        &mut self,
        lines: &mut Lines<Stream>,
        wire: &str,
        shown: &str,
    ) -> Result<(), Failure> {
        let early = lines.peek().await;
        if !early.is_empty() {
            let early = excerpt(&self.steps.stripped(&String::from_utf8_lossy(early)), 200);
            let what = format!("before {shown} was sent, the server said {early:?}");
            return Err(self.failed(
                Code::GreetingFailed,
                &what,
                "something between here and the server may be tampering with the session",
            ));
        }
        lines.write(wire.as_bytes()).await.map_err(|error| {
            let what = format!("{shown}: the connection broke: {error}");
            self.failed(Code::GreetingFailed, &what, "")
        })
    }

    /// Asks what the server can do (RFC 9051 §6.1.1, RFC 2449 §5).
    async fn abilities(&mut self, lines: &mut Lines<Stream>) -> Step<Abilities> {
        let told = match self.door.protocol {
            Protocol::Imap => self
                .command(lines, "CAPABILITY", "CAPABILITY")
                .await
                .map(Some),
            Protocol::Pop3 => self.capa(lines).await,
        };
        self.ended(VisitStep::Capability, told).map(Abilities)
    }

    /// CAPA; `None`: the server does not know it.
    async fn capa(&mut self, lines: &mut Lines<Stream>) -> Result<Option<Vec<String>>, Failure> {
        let limit = self.door.timeout;
        match timeout(limit, self.capa_lines(lines)).await {
            Ok(told) => told,
            Err(_) => Err(self.late("the answer to CAPA")),
        }
    }

    async fn capa_lines(
        &mut self,
        lines: &mut Lines<Stream>,
    ) -> Result<Option<Vec<String>>, Failure> {
        const AT: &str = "the answer to CAPA";
        self.write(lines, "CAPA\r\n", "CAPA").await?;
        let status = self.line(lines, AT).await?;
        if status.starts_with("-ERR") {
            return Ok(None);
        }
        if !status.starts_with("+OK") {
            return Err(self.refused("CAPA", &status));
        }
        let mut told = Vec::new();
        while told.len() <= MAX_LINES {
            let line = self.line(lines, AT).await?;
            if line == "." {
                return Ok(Some(told));
            }
            told.push(line);
        }
        Err(self.endless("CAPA"))
    }
}

/// What a server says it can do, line by line; `None`: it does not say.
struct Abilities(Option<Vec<String>>);

impl Abilities {
    fn words(&self) -> impl Iterator<Item = &str> {
        let lines = self.0.iter().flatten();
        lines.flat_map(|line| line.split_whitespace())
    }

    fn has(&self, word: &str) -> bool {
        self.words().any(|said| said.eq_ignore_ascii_case(word))
    }

    fn offers(&self, protocol: Protocol) -> Offers {
        match protocol {
            Protocol::Imap => Offers::imap(self.words()),
            Protocol::Pop3 => Offers::pop3(
                self.0
                    .as_ref()
                    .map(|lines| lines.iter().map(String::as_str)),
            ),
        }
    }
}
