//! Logging in on a visit.

use data_encoding::BASE64;
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::Call;
use crate::config::plan::{Auth, Door, Login, Protocol, Security, Trust};
use crate::config::secret::{Hidden, plain, quoted, xoauth2};
use crate::mailbox::sasl;
use crate::net::lines::Lines;
use crate::net::stream::Stream;
use crate::probe::facts::Failure;
use crate::probe::outcome::Code;

/// A login has one challenge, and one more to tell an error; other lines may stand between.
const MOST_CHALLENGES: usize = 10;

impl Call<'_> {
    pub(super) async fn log_in(
        &mut self,
        lines: &mut Lines<Stream>,
        login: &Login,
        can: &[String],
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
        if !is_verified && !login.insecure {
            return Err(Failure {
                code: Code::AuthUnavailable,
                ..sasl::insecure(endpoint).failure
            });
        }
        let offers = |word: &str| can.iter().any(|can| can == word);
        if offers("LOGINDISABLED") {
            return Err(Failure {
                code: Code::AuthUnavailable,
                what: format!("{endpoint} takes no login in this session (LOGINDISABLED)"),
                remedy: "many servers do after STARTTLS alone",
            });
        }
        let password = login.password.reveal().await.map_err(|error| Failure {
            code: Code::Secret,
            what: format!("the password for {endpoint}: {error}"),
            remedy: "",
        })?;
        let secret = password.expose_secret();
        let username = login.username.as_str();
        let hidden = Hidden::of(username, secret);
        self.steps.hide(hidden.clone());
        let (command, response) = match (login.auth, protocol) {
            (Auth::Xoauth2, _) => ("XOAUTH2", xoauth2(username, secret)),
            (Auth::Auto, Protocol::Imap) if !offers("AUTH=PLAIN") => ("", String::new()),
            (Auth::Login, _) | (Auth::Auto, Protocol::Pop3) => ("", String::new()),
            (Auth::Plain | Auth::Auto, _) => ("PLAIN", plain(username, secret)),
        };
        let result = match (command, protocol) {
            ("", Protocol::Imap) => {
                let wire = format!("LOGIN \"{}\" \"{}\"", quoted(username), quoted(secret));
                self.command(lines, &wire, "LOGIN").await.map(drop)
            }
            ("", Protocol::Pop3) => {
                let user = format!("USER {username}");
                match self.command(lines, &user, "USER").await {
                    Ok(_) => {
                        let pass = format!("PASS {secret}");
                        self.command(lines, &pass, "PASS").await.map(drop)
                    }
                    Err(failure) => Err(failure),
                }
            }
            (mechanism, _) => self.authenticate(lines, mechanism, &response).await,
        };
        result.map_err(|failure| Failure {
            code: Code::AuthFailed,
            what: hidden.strip(&failure.what),
            remedy: "check username and password",
        })
    }

    /// SASL, the response sent after the server's go-ahead.
    async fn authenticate(
        &mut self,
        lines: &mut Lines<Stream>,
        mechanism: &str,
        response: &str,
    ) -> Result<(), Failure> {
        let shown = format!("AUTHENTICATE {mechanism}");
        let verb = match self.door.protocol {
            Protocol::Imap => format!("r1 AUTHENTICATE {mechanism}\r\n"),
            Protocol::Pop3 => format!("AUTH {mechanism}\r\n"),
        };
        let limit = self.door.timeout;
        let answer = format!("{}\r\n", BASE64.encode(response.as_bytes()));
        match timeout(limit, self.challenged(lines, &verb, answer, &shown)).await {
            Ok(done) => done,
            Err(_) => Err(self.late(&format!("the answer to {shown}"))),
        }
    }

    /// Answers the first challenge, and those that follow with nothing: they tell an error.
    async fn challenged(
        &mut self,
        lines: &mut Lines<Stream>,
        verb: &str,
        mut answer: String,
        shown: &str,
    ) -> Result<(), Failure> {
        self.write(lines, verb, shown).await?;
        for _ in 0..MOST_CHALLENGES {
            let line = self.line(lines, &format!("the answer to {shown}")).await?;
            let is_challenge = line == "+" || line.starts_with("+ ");
            match self.status(&line) {
                _ if is_challenge => {
                    self.write(lines, &answer, shown).await?;
                    "\r\n".clone_into(&mut answer);
                }
                Some(true) => return Ok(()),
                Some(false) => return Err(self.refused(shown, &line)),
                None => {}
            }
        }
        Err(self.failed(Code::AuthFailed, &format!("{shown} has no end"), ""))
    }
}
