//! Who gets an answer: the bounds of a request, the host that it is meant for, and the token it must show.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::Problem;
use crate::config::plan::ServicePlan;

/// A body is never longer.
const LONGEST_BODY: usize = 16 * 1024;
/// A path with its query is never longer.
const LONGEST_URI: usize = 4096;
/// A request is answered within this time, or told that it is not.
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests that are answered at once; one for [`HEALTH`] is answered beside them.
const ANSWERED: usize = 64;

/// The one path that needs no token: a load balancer has none.
const HEALTH: &str = "/healthz";

/// Decides who gets an answer.
#[derive(Debug)]
pub(super) struct Guard {
    token: Option<Token>,
    /// Others than this machine can reach us.
    is_open: bool,
    bound: IpAddr,
    places: Semaphore,
}

/// What must be shown, in a shape in which comparing takes the same time whatever is shown.
struct Token {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl Token {
    fn new(token: &SecretString) -> Self {
        let token = token.expose_secret().as_bytes();
        let key = hmac::Key::new(hmac::HMAC_SHA256, token);
        let tag = hmac::sign(&key, token);
        Self { key, tag }
    }

    fn is(&self, shown: &[u8]) -> bool {
        hmac::verify(&self.key, shown, self.tag.as_ref()).is_ok()
    }
}

impl Guard {
    pub(super) fn new(bound: SocketAddr, token: Option<&SecretString>) -> Self {
        Self {
            token: token.map(Token::new),
            is_open: ServicePlan::is_open(bound),
            bound: bound.ip().to_canonical(),
            places: Semaphore::new(ANSWERED),
        }
    }

    fn admit(&self, request: &Request) -> Result<(), Problem> {
        let uri = request.uri();
        if uri.path_and_query().map_or(0, |it| it.as_str().len()) > LONGEST_URI {
            let error = format!("the path with its query is longer than {LONGEST_URI} bytes");
            return Err(Problem::new(StatusCode::URI_TOO_LONG, error));
        }
        if request.body().size_hint().lower() > LONGEST_BODY as u64 {
            let error = format!("the body is longer than {LONGEST_BODY} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error));
        }
        self.host(request)?;
        let needs_token =
            request.method() == Method::POST || (self.is_open && uri.path() != HEALTH);
        if needs_token {
            self.token(request.headers())?;
        }
        Ok(())
    }

    /// A page on the web can have its own name lead to 127.0.0.1 and so read what is said there (DNS rebinding); its
    /// browser still says the name. Where others can reach us, the token keeps such pages out.
    fn host(&self, request: &Request) -> Result<(), Problem> {
        let mut hosts = request.headers().get_all(HOST).iter();
        let (host, more) = (hosts.next(), hosts.next());
        let is_missing = host.is_none() && request.version() == Version::HTTP_11;
        if is_missing || more.is_some() {
            return Err(Problem::bad("one Host is needed, no more and no less"));
        }
        if self.is_open {
            return Ok(());
        }
        let host = host.map(|host| Authority::try_from(host.as_bytes()));
        let named = match (request.uri().authority(), &host) {
            // Where a whole URL is asked for, Host does not count (RFC 9112 §3.2.2).
            (Some(authority), _) | (None, Some(Ok(authority))) => authority.host(),
            (None, Some(Err(_))) => return Err(Problem::bad("this Host is none")),
            // HTTP/1.0: no browser speaks that.
            (None, None) => return Ok(()),
        };
        let is_ours = match named.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback() || ip.to_canonical() == self.bound,
            Err(_) => named
                .trim_end_matches('.')
                .eq_ignore_ascii_case("localhost"),
        };
        if is_ours {
            return Ok(());
        }
        let named: String = named.chars().take(100).collect();
        let error = format!(
            "{named} is not a name of this service, which listens on loopback alone: ask localhost or 127.0.0.1"
        );
        Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, error))
    }

    fn token(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = &self.token else {
            let error =
                "this needs a token, and none is configured: set `token` in the section [service]";
            return Err(Problem::new(StatusCode::FORBIDDEN, error));
        };
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let problem = match (shown.next().map(bearer), shown.next()) {
            (Some(Some(shown)), None) if token.is(shown) => return Ok(()),
            (Some(Some(_)), None) => "this is not the token of `token` in the section [service]",
            (Some(_), _) => "this is no token: write Authorization: Bearer TOKEN, once",
            (None, _) => "this needs a token: Authorization: Bearer TOKEN",
        };
        Err(Problem::new(StatusCode::UNAUTHORIZED, problem))
    }
}

/// What is shown (RFC 6750 §2.1).
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, shown) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| shown.trim_ascii())
}

/// The router behind its guard: what comes out has a bound in time, and headers that tell browsers to trust nothing.
pub(super) fn guarded(router: Router, guard: Arc<Guard>) -> Router {
    router
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(from_fn_with_state(guard, stand))
}

async fn stand(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let place = guard.places.try_acquire().ok();
    let has_place = place.is_some() || request.uri().path() == HEALTH;
    let mut response = match guard.admit(&request) {
        Ok(()) if !has_place => {
            let error = format!("{ANSWERED} other requests are being answered");
            Problem::busy(error).into_response()
        }
        Ok(()) => {
            let answered = timeout(PATIENCE, next.run(request)).await;
            answered.unwrap_or_else(|_| {
                let seconds = PATIENCE.as_secs();
                Problem::busy(format!("there was no answer within {seconds} s")).into_response()
            })
        }
        Err(problem) => problem.into_response(),
    };
    drop(place);
    let headers = response.headers_mut();
    let policy = "default-src 'none'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
