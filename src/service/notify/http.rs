//! One HTTP request to a place that the config names, and what came back, in one line.
//!
//! Every request has a connection of its own: notices are rare, and a kept connection would have gone stale. Redirects
//! are not followed: what a notice says, and the secrets in its header, are for the configured place alone. The proxies
//! of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`) are used, but never towards this machine.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Client, Method, Url, redirect};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::answer::{broken, judged, read, words};
use super::error::DeliveryError;
use super::hidden::Hidden;
use crate::clock::Stamp;
use crate::config::plan::Trust;
use crate::config::secret::Secret;
use crate::duration::seconds;
use crate::net::tls;
use crate::net::web::cause;
use crate::text::line;

/// A connection is not waited for any longer.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// So long the body of an answer is read: whether it is a yes is known before.
const BODY_PATIENCE: Duration = Duration::from_secs(2);

/// A request to make.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: &'a Secret,
    pub(super) headers: &'a [(String, Secret)],
    /// With its media type.
    pub(super) body: Option<(&'a str, Vec<u8>)>,
    /// PEM of authorities to trust besides the system's.
    pub(super) ca: Option<&'a Arc<str>>,
    /// How long all of it may take.
    pub(super) limit: Duration,
}

/// The same with its secrets read.
struct Revealed {
    url: Url,
    headers: HeaderMap,
    hidden: Hidden,
}

impl Request<'_> {
    /// Makes it. The status and the first words of the answer, or why there is no good one.
    pub(super) async fn make(self) -> Result<String, DeliveryError> {
        let began = Stamp::now();
        let revealed = timeout(self.limit, self.reveal())
            .await
            .map_err(|_| self.unread("the secrets of a request", "they did not come in time"))??;
        let Revealed {
            url,
            headers,
            hidden,
        } = revealed;
        let on = format!("{} {}", self.method, origin(&url));
        let client = self.client(&url).map_err(|error| {
            let why = line(&cause(&error));
            DeliveryError::seldom(format!("{on}: {why}"), "this is a local failure")
        })?;
        let mut request = client.request(self.method, url).headers(headers);
        if let Some((_, body)) = self.body {
            request = request.body(body);
        }
        let left = || self.limit.saturating_sub(Stamp::now().since(began));
        let mut response = match timeout(left(), request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let (why, remedy) = broken(&error);
                return Err(DeliveryError::soon(
                    format!("{on}: {}", hidden.strip(&why)),
                    remedy,
                ));
            }
            Err(_) => {
                return Err(DeliveryError::soon(
                    format!("{on}: no answer within {}", seconds(self.limit)),
                    "the server hangs, or a firewall drops the packets",
                ));
            }
        };
        let mut body = Vec::new();
        // Whatever came of it until then is shown.
        let _ = timeout(left().min(BODY_PATIENCE), read(&mut response, &mut body)).await;
        judged(&response, &on, &words(&body, &hidden))
    }

    async fn reveal(&self) -> Result<Revealed, DeliveryError> {
        let mut hidden = Hidden::default();
        let text = self.url.reveal().await;
        let text = text.map_err(|error| self.unread("the URL", &error.to_string()))?;
        let url = Url::parse(text.expose_secret())
            .map_err(|error| error.to_string())
            .and_then(|url| match url.scheme() {
                "http" | "https" => Ok(url),
                _ => Err("it begins with neither http:// nor https://".into()),
            })
            .map_err(|why| {
                DeliveryError::seldom(
                    format!("{}: the URL in {} is none: {why}", self.method, self.url),
                    "write it like https://hooks.example.com/…",
                )
            })?;
        hidden.add_url(&url);
        let mut headers = HeaderMap::new();
        let agent = concat!("mailrobin/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if let Some((media_type, _)) = &self.body {
            headers.insert(CONTENT_TYPE, self.header("Content-Type", media_type)?);
        }
        for (name, secret) in self.headers {
            let value = secret.reveal().await;
            let value = value.map_err(|error| self.unread(name, &error.to_string()))?;
            hidden.add(value.expose_secret());
            let mut value = self.header(name, value.expose_secret())?;
            value.set_sensitive(true);
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                let what = format!("{}: {name:?} is no name of a header field", self.method);
                DeliveryError::seldom(what, "write it like \"Authorization\" in `headers`")
            })?;
            headers.insert(name, value);
        }
        Ok(Revealed {
            url,
            headers,
            hidden,
        })
    }

    fn header(&self, name: &str, value: &str) -> Result<HeaderValue, DeliveryError> {
        HeaderValue::from_str(value).map_err(|_| {
            DeliveryError::seldom(
                format!(
                    "{}: the value for {name} cannot stand in a header",
                    self.method
                ),
                "a header takes no line breaks and no control characters",
            )
        })
    }

    fn unread(&self, what: &str, why: &str) -> DeliveryError {
        DeliveryError::seldom(
            format!("{}: {what}: {why}", self.method),
            "nothing was sent: see to the secret first",
        )
    }

    fn client(&self, url: &Url) -> reqwest::Result<Client> {
        let trust = match self.ca {
            Some(pem) => Trust::Also(Arc::clone(pem)),
            None => Trust::System,
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls::client_config(&trust))
            .redirect(redirect::Policy::none())
            .connect_timeout(self.limit.min(CONNECT_LIMIT))
            .pool_max_idle_per_host(0);
        if is_here(url) {
            client.no_proxy().build()
        } else {
            client.build()
        }
    }
}

/// What of a URL is no secret.
pub(super) fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}
