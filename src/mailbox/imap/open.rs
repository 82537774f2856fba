//! From a plan to an authenticated session: connect, greeting, STARTTLS, login. Each way it can fail says whether trying
//! again may help.

use super::session::{ImapError, Session};
use crate::config::plan::{Mailbox, Security};
use crate::config::secret;
use crate::mailbox::login::{early_bytes, preauth_without_tls, prepare, refused};
use crate::mailbox::{final_refusal, reach, retry};
use crate::net::dial;
use crate::net::login::Offers;
use crate::net::stream::Stream;
use crate::net::tls::Tls;
use crate::probe::facts::Blindness;
use crate::probe::outcome::Code;

/// Connects, secures, logs in.
pub(super) async fn open(mailbox: &Mailbox, tls: &Tls) -> Result<Session, Blindness> {
    let stream = reach(mailbox, tls).await?;
    let mut session = Session::over(stream, mailbox);
    let is_authenticated = session.greeting().await?;
    if mailbox.security == Security::Starttls {
        if is_authenticated {
            let failure = preauth_without_tls(&mailbox.endpoint);
            return Err(unusable(failure.what, failure.remedy));
        }
        session = starttls(session, mailbox, tls).await?;
    }
    if !is_authenticated {
        log_in(&mut session, mailbox).await?;
    }
    session.enter().await?;
    Ok(session)
}

fn unusable(what: String, remedy: &'static str) -> Blindness {
    final_refusal(Code::MailboxUnreadable, what, remedy)
}

async fn starttls(
    mut session: Session,
    mailbox: &Mailbox,
    tls: &Tls,
) -> Result<Session, Blindness> {
    const REMEDY: &str = "set the mailbox's `tls` to what the server offers";
    match session.run("STARTTLS", |_| ()).await {
        Ok(()) => {}
        Err(ImapError::No { words, .. } | ImapError::Bad { words, .. }) => {
            let what = format!("{} refused STARTTLS: {words}", mailbox.endpoint);
            return Err(unusable(what, REMEDY));
        }
        Err(error) => return Err(error.into()),
    }
    let limit = session.limit;
    let Some(Stream::Plain(tcp)) = session.inner.into_inner().into_inner() else {
        return Err(early_bytes(&mailbox.endpoint));
    };
    let stream = dial::secure(tls, &mailbox.endpoint, tcp, limit)
        .await
        .map_err(retry)?;
    Ok(Session::over(stream, mailbox))
}

async fn log_in(session: &mut Session, mailbox: &Mailbox) -> Result<(), Blindness> {
    let words = session.capabilities().await?;
    let offers = Offers::imap(words.iter().map(String::as_str));
    let mut exchange = prepare(mailbox, &offers).await?;
    let ended = if let Some(mechanism) = exchange.method.mechanism() {
        session.authenticate(mechanism, &mut exchange).await
    } else {
        let username = secret::quoted(&exchange.username);
        let password = secret::quoted(exchange.secret());
        let command = format!("LOGIN \"{username}\" \"{password}\"");
        session.run(&command, |_| ()).await
    };
    ended.map_err(|error| match error {
        ImapError::No { words, .. } => refused(&mailbox.endpoint, &exchange, &words, true),
        ImapError::Bad { words, .. } => refused(&mailbox.endpoint, &exchange, &words, false),
        error => error.into(),
    })
}
