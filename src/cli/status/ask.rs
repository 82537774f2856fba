//! Asking the running service: where it is, whether what answers is to be trusted, and what it is shown.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio_rustls::rustls::Error as RustlsError;

use super::Status;
use crate::cli::Common;
use crate::cli::paths::state_dir;
use crate::config::plan::{DEFAULT_LISTEN, Plan, ServicePlan, Trust};
use crate::config::secret::Secret;
use crate::files::{self, PEM_LIMIT};
use crate::net::tls::told;
use crate::net::web::{cause, io_error};
use crate::net::{own, tls};
use crate::text::{cut, line};

/// The most bytes of the file that `run` says its address in.
const ADDRESS_LIMIT: u64 = 4096;
/// The file in the state directory in which `run` says where it listens.
pub(in crate::cli) const ADDRESS: &str = "address";

/// All of it takes no longer.
const LIMIT: Duration = Duration::from_secs(20);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A status is never larger.
const LARGEST: usize = 16 * 1024 * 1024;

/// A URL of the web; without a scheme, `http`.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let wrong = || "write it like http://127.0.0.1:9725".to_owned();
    let mut url = Url::parse(&whole).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong());
    }
    // What is asked for stands behind it.
    let path = format!("{}/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// Where the service is, and who said so.
#[derive(Debug)]
struct Place {
    url: Url,
    said: String,
}

impl Status {
    /// What the service answers, and where it did.
    pub(super) async fn ask(&self, common: &Common) -> Result<(Value, Url)> {
        // While a config is being changed, the service goes on by its last good one.
        let plan = common.quiet_plan().await;
        let place = self.place(common, plan.as_ref())?;
        let service = plan.as_ref().ok().map(|plan| &plan.service);
        let token = self.token(&place.url, service).await?;
        let Place { url, said } = place;
        let target = reachable(&url);
        let client = self.client(&target, service)?;
        let target = target.join("api/v1/status");
        let target = target.with_context(|| format!("{url}, which {said}"))?;
        let mut request = client.get(target);
        if let Some(token) = &token {
            let shown = format!("Bearer {}", token.expose_secret());
            let mut shown = HeaderValue::from_str(&shown)
                .context("the token has characters in it that no header can carry")?;
            shown.set_sensitive(true);
            request = request.header(AUTHORIZATION, shown);
        }
        let answered = request.send().await.map_err(|error| {
            let (why, remedy) = broken(&error);
            anyhow!("the service does not answer at {url}, which {said}: {why}; {remedy}")
        })?;
        let status = answered.status();
        let body = body(answered).await;
        let body = body.with_context(|| format!("{url} broke off its answer"))?;
        if status.is_success() {
            let value = serde_json::from_slice(&body);
            return Ok((value.map_err(|_| stranger(&url, &said, status))?, url));
        }
        let Some(error) = sentence(&body) else {
            return Err(stranger(&url, &said, status));
        };
        let remedy = match (status, token, plan) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _, Err(error)) => {
                format!(": --token-file names one; the config has none, as {error:#}")
            }
            (StatusCode::UNAUTHORIZED, None, Ok(_)) => {
                ": set `token` in the section [service] of the config, or name a --token-file"
                    .to_owned()
            }
            (StatusCode::UNAUTHORIZED, Some(_), Ok(_)) => {
                ": is this the config that the service was started with?".to_owned()
            }
            (_, _, _) => String::new(),
        };
        bail!("the service at {url} answered {status}: {error}{remedy}")
    }

    /// Where the service is: as the command line, the service itself, or the config says.
    fn place(&self, common: &Common, plan: Result<&Plan, &anyhow::Error>) -> Result<Place> {
        if let Some(url) = &self.url {
            let (url, said) = (url.clone(), "--url names".to_owned());
            return Ok(Place { url, said });
        }
        let dir = common.state_dir.clone().map_or_else(state_dir, Ok);
        if let Some(place) = dir.ok().and_then(|dir| written(&dir)) {
            return place;
        }
        let (listen, is_tls, said) = match plan {
            Ok(plan) => {
                let said = "the config names".to_owned();
                (plan.service.listen, plan.service.tls.is_some(), said)
            }
            Err(_) => (Some(DEFAULT_LISTEN), false, "is the usual place".to_owned()),
        };
        let Some(listen) = listen else {
            bail!("the service cannot be asked: `listen` in the section [service] says \"none\"");
        };
        let scheme = if is_tls { "https" } else { "http" };
        let url = url(&format!("{scheme}://{listen}")).map_err(|error| anyhow!(error))?;
        Ok(Place { url, said })
    }

    /// The token, unless nobody needs it: on loopback the service asks for none, and if it is not there, who knows who
    /// listens in its place.
    async fn token(
        &self,
        url: &Url,
        service: Option<&ServicePlan>,
    ) -> Result<Option<SecretString>> {
        if let Some(path) = &self.token_file {
            let token = Secret::File(path.clone()).reveal().await;
            return Ok(Some(token.context("the token of --token-file")?));
        }
        let Some(service) = service else {
            return Ok(None);
        };
        let is_closed = service.listen.is_none_or(|it| !ServicePlan::is_open(it));
        let Some(token) = &service.token else {
            return Ok(None);
        };
        if url.scheme() == "http" && is_here(url) && is_closed {
            return Ok(None);
        }
        let token = token.reveal().await;
        Ok(Some(token.context("the token of the section [service]")?))
    }

    fn client(&self, url: &Url, service: Option<&ServicePlan>) -> Result<Client> {
        let trust = match &self.ca_file {
            Some(path) => {
                let place = path.display().to_string();
                let pem = files::read_text(path, PEM_LIMIT).with_context(|| place.clone())?;
                Trust::also(&pem, &place).map_err(|error| anyhow!(error))?
            }
            None => Trust::System,
        };
        let config = match service.and_then(|service| service.tls.as_ref()) {
            Some(own) => own::knowing(own, &trust),
            None => tls::client_config(&trust),
        };
        let client = Client::builder()
            .tls_backend_preconfigured(config)
            .user_agent(concat!("mailrobin/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(LIMIT);
        let client = if is_here(url) {
            client.no_proxy()
        } else {
            client
        };
        client.build().context("no HTTP client can be made")
    }
}

/// What `run` wrote into the state directory; `None`: nothing, so it is not running, or listens nowhere.
fn written(dir: &Path) -> Option<Result<Place>> {
    let path = dir.join(ADDRESS);
    let text = files::read_text(&path, ADDRESS_LIMIT).ok()?;
    let said = format!("stands in {}", path.display());
    let first = text.lines().next().unwrap_or_default().trim();
    Some(match url(first) {
        Ok(url) => Ok(Place { url, said }),
        Err(remedy) => Err(anyhow!(
            "{} is no URL: {remedy}; start `mailrobin run` again, or name one with --url",
            path.display()
        )),
    })
}

/// The same, on this machine where it listens on every address.
fn reachable(url: &Url) -> Url {
    let mut url = url.clone();
    let is_every = host(&url).is_some_and(|ip| ip.is_unspecified());
    if is_every {
        // It had a host before.
        let _ = url.set_ip_host(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    url
}

fn host(url: &Url) -> Option<IpAddr> {
    let host = url.host_str().unwrap_or_default();
    host.trim_matches(['[', ']']).parse().ok()
}

/// Whether it is on this machine and cannot be reached from another.
fn is_here(url: &Url) -> bool {
    match host(url) {
        Some(ip) => !ServicePlan::is_open(SocketAddr::new(ip, 0)),
        None => url.host_str() == Some("localhost"),
    }
}

async fn body(mut response: Response) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LARGEST {
            bail!("it is larger than {LARGEST} bytes");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The sentence of an answer that is an error.
fn sentence(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let error = line(value.get("error")?.as_str()?);
    Some(cut(&error, 500).into_owned())
}

fn stranger(url: &Url, said: &str, status: StatusCode) -> anyhow::Error {
    anyhow!(
        "what answers at {url}, which {said}, is no mailrobin: it answered {status} and not what a status looks like; say with --url where the service is"
    )
}

/// Why no answer came, and what to do about it.
fn broken(error: &reqwest::Error) -> (String, &'static str) {
    let Some(innermost) = io_error(error) else {
        let remedy = if error.is_timeout() {
            "it hangs, or a firewall drops the packets: look at its log"
        } else {
            "what came back is no HTTP: look at the scheme and the port"
        };
        return (line(&cause(error)), remedy);
    };
    let inner = innermost.get_ref().and_then(|it| it.downcast_ref());
    let remedy = match inner {
        Some(RustlsError::InvalidCertificate(_)) => {
            "--ca-file names its authority, --url a name that it is for"
        }
        Some(_) => "does it speak TLS there? --url says what it speaks, http:// or https://",
        None if innermost.kind() == io::ErrorKind::ConnectionRefused => {
            "is `mailrobin run` running? If it is elsewhere, --url says where"
        }
        None => "look at its log, and at the network between here and there",
    };
    (line(&told(innermost)), remedy)
}
