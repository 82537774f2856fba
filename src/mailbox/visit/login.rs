//! Logging in on a visit.

use tokio::time::timeout;

use super::{Call, MAX_LINES};
use crate::config::plan::{Door, Login, Protocol, Security, Trust};
use crate::config::secret::quoted;
use crate::net::lines::Lines;
use crate::net::login::{Exchange, Offers};
use crate::net::stream::Stream;
use crate::probe::facts::Failure;
use crate::probe::outcome::Code;

impl Call<'_> {
    pub(super) async fn log_in(
        &mut self,
        lines: &mut Lines<Stream>,
        login: &Login,
        offers: &Offers,
    ) -> Result<(), Failure> {
        let Door {
            endpoint,
            trust,
            security,
            protocol,
            ..
        } = self.door;
        let is_verified = self.session.is_some()
            && *trust != Trust::Anybody
            && *security != Security::Opportunistic;
        let owner = endpoint.to_string();
        let mut exchange = Exchange::prepare(login, &owner, endpoint, is_verified, offers).await?;
        self.steps.hide(exchange.hidden.clone());
        let (username, secret) = (exchange.username.as_str(), exchange.secret());
        let result = match (exchange.method.mechanism(), protocol) {
            (Some(mechanism), _) => self.authenticate(lines, mechanism, &mut exchange).await,
            (None, Protocol::Imap) => {
                let wire = format!("LOGIN \"{}\" \"{}\"", quoted(username), quoted(secret));
                self.command(lines, &wire, "LOGIN").await.map(drop)
            }
            (None, Protocol::Pop3) => {
                let user = format!("USER {username}");
                match self.command(lines, &user, "USER").await {
                    Ok(_) => {
                        let pass = format!("PASS {secret}");
                        self.command(lines, &pass, "PASS").await.map(drop)
                    }
                    Err(failure) => Err(failure),
                }
            }
        };
        result.map_err(|failure| Failure {
            code: Code::AuthFailed,
            what: exchange.hidden.strip(&failure.what),
            remedy: "check username and password",
        })
    }

    /// SASL, each response sent after the server's challenge.
    async fn authenticate(
        &mut self,
        lines: &mut Lines<Stream>,
        mechanism: &str,
        exchange: &mut Exchange,
    ) -> Result<(), Failure> {
        let shown = format!("AUTHENTICATE {mechanism}");
        let verb = match self.door.protocol {
            Protocol::Imap => format!("r1 AUTHENTICATE {mechanism}\r\n"),
            Protocol::Pop3 => format!("AUTH {mechanism}\r\n"),
        };
        let limit = self.door.timeout;
        match timeout(limit, self.challenged(lines, &verb, exchange, &shown)).await {
            Ok(done) => done,
            Err(_) => Err(self.late(&format!("the answer to {shown}"))),
        }
    }

    async fn challenged(
        &mut self,
        lines: &mut Lines<Stream>,
        verb: &str,
        exchange: &mut Exchange,
        shown: &str,
    ) -> Result<(), Failure> {
        self.write(lines, verb, shown).await?;
        for _ in 0..MAX_LINES {
            let line = self.line(lines, &format!("the answer to {shown}")).await?;
            if line == "+" || line.starts_with("+ ") {
                let Some(response) = exchange.respond() else {
                    break;
                };
                self.write(lines, &format!("{response}\r\n"), shown).await?;
                continue;
            }
            match self.status(&line) {
                Some(true) => return Ok(()),
                Some(false) => return Err(self.refused(shown, &line)),
                None => {}
            }
        }
        Err(self.failed(Code::AuthFailed, &format!("{shown} has no end"), ""))
    }
}
