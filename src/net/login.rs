//! Logging in to a server, the same for SMTP, IMAP and POP3: whether a password may be sent at all, by which method, and
//! the responses it takes.

use data_encoding::BASE64;
use secrecy::ExposeSecret;

use crate::config::plan::{Auth, Endpoint, Login};
use crate::config::secret::{Hidden, plain, xoauth2};
use crate::probe::facts::Failure;
use crate::probe::outcome::Code;

/// A server that asks for more responses than this is not answered any more.
const MAX_RESPONSES: usize = 4;

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// SASL PLAIN (RFC 4616).
    Plain,
    /// The protocol's own command: LOGIN in IMAP, USER and PASS in POP3. SMTP has none.
    Command,
    /// SASL LOGIN: username and password, each in answer to a challenge.
    Login,
    /// XOAUTH2.
    Xoauth2,
}

impl Method {
    /// The name of its SASL mechanism, if it has one.
    pub fn mechanism(self) -> Option<&'static str> {
        match self {
            Self::Plain => Some("PLAIN"),
            Self::Command => None,
            Self::Login => Some("LOGIN"),
            Self::Xoauth2 => Some("XOAUTH2"),
        }
    }
}

/// The methods a server offers.
#[derive(Clone, Debug, Default)]
pub struct Offers {
    methods: Vec<Method>,
    /// The server does not list its mechanisms, so a configured one is tried.
    unlisted: bool,
    /// LOGINDISABLED.
    disabled: bool,
}

impl Offers {
    /// The SASL mechanisms among `words`, and the protocol's own command where `command` says so.
    pub fn new<'a>(mechanisms: impl IntoIterator<Item = &'a str>, command: bool) -> Self {
        const SASL: [Method; 3] = [Method::Plain, Method::Login, Method::Xoauth2];
        let named = |word: &str| {
            SASL.into_iter().find(|method| {
                method
                    .mechanism()
                    .is_some_and(|name| name.eq_ignore_ascii_case(word))
            })
        };
        let mut methods: Vec<_> = mechanisms.into_iter().filter_map(named).collect();
        if command {
            methods.push(Method::Command);
        }
        Self {
            methods,
            ..Self::default()
        }
    }

    /// What IMAP's CAPABILITY offers (RFC 9051 §6.1.1).
    pub fn imap<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let words: Vec<_> = words.into_iter().collect();
        let is_disabled = words
            .iter()
            .any(|word| word.eq_ignore_ascii_case("LOGINDISABLED"));
        let mechanisms = words.iter().filter_map(|word| {
            let (key, mechanism) = word.split_once('=')?;
            key.eq_ignore_ascii_case("AUTH").then_some(mechanism)
        });
        Self {
            disabled: is_disabled,
            ..Self::new(mechanisms, !is_disabled)
        }
    }

    /// What the lines of POP3's CAPA offer (RFC 2449 §6.3, RFC 5034 §3); `None`: the server does not know CAPA.
    pub fn pop3<'a>(capa: Option<impl IntoIterator<Item = &'a str>>) -> Self {
        let Some(lines) = capa else {
            return Self {
                methods: vec![Method::Command],
                unlisted: true,
                disabled: false,
            };
        };
        let mut has_user = false;
        let mut mechanisms = Vec::new();
        for line in lines {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some(word) if word.eq_ignore_ascii_case("USER") => has_user = true,
                Some(word) if word.eq_ignore_ascii_case("SASL") => mechanisms.extend(words),
                _ => {}
            }
        }
        // A server that lists no way to log in at all has the one that every POP3 server has.
        let command = has_user || mechanisms.is_empty();
        Self::new(mechanisms, command)
    }

    /// The method to use, if one that `auth` allows is offered.
    pub fn choose(&self, auth: Auth) -> Option<Method> {
        let wanted: &[Method] = match auth {
            Auth::Auto => &[Method::Plain, Method::Command, Method::Login],
            Auth::Plain => &[Method::Plain],
            Auth::Login => &[Method::Command, Method::Login],
            Auth::Xoauth2 => &[Method::Xoauth2],
        };
        let offered = wanted
            .iter()
            .find(|method| self.methods.contains(method))
            .copied();
        let tried = wanted.first().copied().filter(|_| self.unlisted);
        offered.or(tried)
    }
}

/// A login that may go ahead: its method, and the responses that the server's challenges get.
pub struct Exchange {
    /// How to log in.
    pub method: Method,
    /// Who logs in.
    pub username: String,
    /// What must not be shown of the server's words.
    pub hidden: Hidden,
    secret: secrecy::SecretString,
    given: usize,
}

impl Exchange {
    /// Reads the password and chooses the method. `owner`: what the config calls the server. `is_verified`: the session
    /// has TLS whose certificate was verified.
    pub async fn prepare(
        login: &Login,
        owner: &str,
        endpoint: &Endpoint,
        is_verified: bool,
        offers: &Offers,
    ) -> Result<Self, Failure> {
        let unavailable = |what, remedy| Failure {
            code: Code::AuthUnavailable,
            what,
            remedy,
        };
        if !is_verified && !login.insecure {
            return Err(unavailable(
                format!(
                    "the session with {endpoint} is not secured by verified TLS, so the password was not sent"
                ),
                "set `tls` to starttls or implicit, or `insecure_auth = true` if this network is yours",
            ));
        }
        let Some(method) = offers.choose(login.auth) else {
            return Err(unavailable(
                format!(
                    "{endpoint} offers no login of the kind `auth = {:?}`{}",
                    login.auth.as_str(),
                    if offers.disabled {
                        " (LOGINDISABLED)"
                    } else {
                        ""
                    }
                ),
                "many servers offer AUTH only after STARTTLS, or only on another port (SMTP: 587)",
            ));
        };
        let unreadable = |what| Failure {
            code: Code::Secret,
            what,
            remedy: "",
        };
        let secret = login
            .password
            .reveal()
            .await
            .map_err(|error| unreadable(format!("the password of {owner}: {error}")))?;
        if secret.expose_secret().contains(['\r', '\n', '\0']) {
            let what = format!("the password of {owner} contains a line break or NUL");
            return Err(unreadable(what));
        }
        Ok(Self {
            method,
            hidden: Hidden::of(&login.username, secret.expose_secret()),
            username: login.username.clone(),
            secret,
            given: 0,
        })
    }

    /// The password, for the protocol's own command.
    pub fn secret(&self) -> &str {
        self.secret.expose_secret()
    }

    /// The next response, in base64. Beyond those of the mechanism it is empty, as the challenge that tells an error in
    /// XOAUTH2 wants it. `None`: the server asks without end.
    pub fn respond(&mut self) -> Option<String> {
        let (username, secret) = (self.username.as_str(), self.secret());
        let response = match (self.method, self.given) {
            (_, MAX_RESPONSES..) => return None,
            (Method::Plain, 0) => plain(username, secret),
            (Method::Xoauth2, 0) => xoauth2(username, secret),
            (Method::Login, 0) => username.to_owned(),
            (Method::Login, 1) => secret.to_owned(),
            _ => String::new(),
        };
        self.given += 1;
        Some(BASE64.encode(response.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_follows_from_what_is_offered() {
        let imap = |words: &str| Offers::imap(words.split(' ')).choose(Auth::Auto);
        assert_eq!(imap("IMAP4rev1"), Some(Method::Command));
        assert_eq!(imap("IMAP4rev1 AUTH=GSSAPI"), Some(Method::Command));
        assert_eq!(imap("IMAP4rev1 AUTH=PLAIN AUTH=LOGIN"), Some(Method::Plain));
        assert_eq!(
            imap("IMAP4rev1 auth=plain logindisabled"),
            Some(Method::Plain)
        );
        assert_eq!(imap("LOGINDISABLED AUTH=LOGIN"), Some(Method::Login));
        assert_eq!(imap("IMAP4rev1 LOGINDISABLED STARTTLS"), None);
        assert_eq!(imap("LOGINDISABLED AUTH=XOAUTH2"), None);

        let pop3 = |lines: &str| Offers::pop3(Some(lines.split('/'))).choose(Auth::Auto);
        assert_eq!(pop3("TOP/USER/UIDL"), Some(Method::Command));
        assert_eq!(pop3("TOP/UIDL"), Some(Method::Command));
        assert_eq!(pop3("SASL PLAIN LOGIN"), Some(Method::Plain));
        assert_eq!(pop3("SASL LOGIN/UIDL"), Some(Method::Login));
        assert_eq!(pop3("SASL CRAM-MD5/USER"), Some(Method::Command));
        assert_eq!(pop3("SASL GSSAPI"), None);
        let none = Offers::pop3(None::<[&str; 0]>);
        assert_eq!(none.choose(Auth::Auto), Some(Method::Command));
        assert_eq!(none.choose(Auth::Plain), Some(Method::Plain));

        let smtp = |words: &str, auth| Offers::new(words.split(' '), false).choose(auth);
        assert_eq!(smtp("LOGIN PLAIN", Auth::Auto), Some(Method::Plain));
        assert_eq!(smtp("LOGIN", Auth::Auto), Some(Method::Login));
        assert_eq!(smtp("CRAM-MD5", Auth::Auto), None);
        assert_eq!(smtp("PLAIN", Auth::Login), None);
        assert_eq!(smtp("PLAIN XOAUTH2", Auth::Xoauth2), Some(Method::Xoauth2));
    }
}
