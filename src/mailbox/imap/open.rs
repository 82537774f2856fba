//! From a plan to an authenticated session: connect, greeting, STARTTLS, login. Each way it can fail says whether trying
//! again may help.

use std::io;

use async_imap::imap_proto::{Response, Status};
use async_imap::{Authenticator, Client};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::guard::Guard;
use super::session::{ImapError, Session, broken};
use crate::config::plan::{Auth, Mailbox, Security};
use crate::config::secret::{plain, xoauth2};
use crate::mailbox::{final_refusal, reach, retry, sasl};
use crate::net::dial;
use crate::net::stream::Stream;
use crate::net::tls::Tls;
use crate::probe::facts::Blindness;
use crate::probe::outcome::Code;

const GREETING: &str = "the greeting";

/// Connects, secures, logs in.
pub(super) async fn open(mailbox: &Mailbox, tls: &Tls) -> Result<Session, Blindness> {
    let Mailbox {
        timeout: limit,
        security,
        ..
    } = mailbox;
    let stream = reach(mailbox, tls).await?;
    let mut client = greeted(stream, mailbox).await?;
    if *security == Security::Starttls {
        client = starttls(client, mailbox, tls).await?;
    }
    let inner = log_in(client, mailbox).await?;
    Ok(Session::enter(inner, *limit).await?)
}

async fn greeted(stream: Stream, mailbox: &Mailbox) -> Result<Client<Guard<Stream>>, Blindness> {
    let limit = mailbox.timeout;
    let mut client = Client::new(Guard::new(stream));
    let greeting = timeout(limit, client.read_response())
        .await
        .map_err(|_| ImapError::Slow {
            command: GREETING.into(),
            limit,
        })?
        .map_err(|error| broken(GREETING.into(), error))?
        .ok_or_else(|| ImapError::Closed(GREETING.into()))?;
    match greeting.parsed() {
        Response::Data {
            status: Status::Ok | Status::PreAuth,
            ..
        } => Ok(client),
        Response::Data { outcome, .. } => {
            let words = outcome.information.as_deref().unwrap_or_default();
            Err(ImapError::Bye(words.to_owned()).into())
        }
        _ => Err(ImapError::Malformed(GREETING.into(), "this is no greeting".into()).into()),
    }
}

async fn starttls(
    mut client: Client<Guard<Stream>>,
    mailbox: &Mailbox,
    tls: &Tls,
) -> Result<Client<Guard<Stream>>, Blindness> {
    let limit = mailbox.timeout;
    let refused = |what: String| {
        final_refusal(
            Code::MailboxUnreadable,
            what,
            "set the mailbox's `tls` to what the server offers",
        )
    };
    let reply = timeout(limit, client.run_command_and_check_ok("STARTTLS", None))
        .await
        .map_err(|_| ImapError::Slow {
            command: "STARTTLS".into(),
            limit,
        })?;
    reply.map_err(|error| match said(error) {
        Said::Refused(words) => refused(format!("{} refused STARTTLS: {words}", mailbox.endpoint)),
        Said::Nothing(error) => error("STARTTLS").into(),
    })?;
    // Whatever the server sent before the handshake is dropped with the client.
    let Stream::Plain(tcp) = client.into_inner().into_inner() else {
        return Err(refused("TLS is there already".into()));
    };
    let stream = dial::secure(tls, &mailbox.endpoint, tcp, limit)
        .await
        .map_err(retry)?;
    Ok(Client::new(Guard::new(stream)))
}

async fn log_in(
    client: Client<Guard<Stream>>,
    mailbox: &Mailbox,
) -> Result<async_imap::Session<Guard<Stream>>, Blindness> {
    let Mailbox {
        login,
        endpoint,
        timeout: limit,
        ..
    } = mailbox;
    let password = sasl::password(mailbox).await?;
    let secret = password.expose_secret();
    // The command's quoted strings hold no more than ASCII (RFC 9051 §4.3).
    let is_ascii = login.username.is_ascii() && secret.is_ascii();
    let attempt = async {
        match login.auth {
            Auth::Auto | Auth::Login if is_ascii => client.login(&login.username, secret).await,
            Auth::Xoauth2 => {
                let response = xoauth2(&login.username, secret);
                client.authenticate("XOAUTH2", Once(Some(response))).await
            }
            Auth::Auto | Auth::Login | Auth::Plain => {
                let response = plain(&login.username, secret);
                client.authenticate("PLAIN", Once(Some(response))).await
            }
        }
    };
    let result = timeout(*limit, attempt)
        .await
        .map_err(|_| ImapError::Slow {
            command: "LOGIN".into(),
            limit: *limit,
        })?;
    result.map_err(|(error, _client)| match said(error) {
        Said::Refused(words) => sasl::refused(endpoint, (&login.username, secret), &words),
        Said::Nothing(error) => error("LOGIN").into(),
    })
}

/// Answers the first challenge; XOAUTH2 tells an error in a second one, which wants an empty answer.
struct Once(Option<String>);

impl Authenticator for Once {
    type Response = String;

    fn process(&mut self, _challenge: &[u8]) -> String {
        self.0.take().unwrap_or_default()
    }
}

/// What the library's error comes to.
enum Said {
    /// The server said NO or BAD, in these words.
    Refused(String),
    /// It said nothing; the error wants the command's name.
    Nothing(Box<dyn FnOnce(&str) -> ImapError + Send>),
}

fn said(error: async_imap::error::Error) -> Said {
    use async_imap::error::Error;
    match error {
        Error::No(text) | Error::Bad(text) => {
            // The library wraps the server's words in its own.
            let words = text
                .rsplit_once("info: Some(\"")
                .and_then(|(_, said)| said.strip_suffix("\")"))
                .map_or_else(|| text.clone(), |said| said.replace("\\\"", "\""));
            Said::Refused(words)
        }
        Error::ConnectionLost => {
            Said::Nothing(Box::new(|command| ImapError::Closed(command.to_owned())))
        }
        Error::Io(error) => Said::Nothing(Box::new(|command| {
            ImapError::Broken(command.to_owned(), error)
        })),
        other => Said::Nothing(Box::new(move |command| {
            ImapError::Broken(command.to_owned(), io::Error::other(other.to_string()))
        })),
    }
}
