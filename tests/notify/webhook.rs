//! One notice to one webhook: what is sent, what is made of the answer, and what is never shown.

use std::time::Duration;

use mailrobin::config::plan::{Alert, Channel, Template};
use mailrobin::config::secret::Secret;
use mailrobin::probe::notice::{Notice, Severity};
use mailrobin::service::notify::{Again, DeliveryError, deliver, wants};
use tokio::net::TcpListener;

use crate::peer::{Does, Peer};
use crate::stage::{notice, patience, secret, webhook};

const TOKEN: &str = "xoxb-1234-s3cret";

async fn told(alert: &Alert) -> Result<String, DeliveryError> {
    patience(deliver(alert, &notice(1, "mail is down"))).await
}

/// Why a peer that does this was not told.
async fn refused(does: Does) -> DeliveryError {
    let peer = Peer::start([does]).await;
    let mut error = told(&webhook(&peer.url("/hooks/T01/s3cret?key=k3y-value")))
        .await
        .unwrap_err();
    assert!(!error.to_string().contains("s3cret"), "{error}");
    error.what = error.what.replace(&peer.port.to_string(), "PORT");
    error
}

#[tokio::test]
async fn a_notice_is_posted_as_json() {
    let peer = Peer::start([Does::answers("200 OK", "ok\n")]).await;
    let told_of = notice(1, "mail is down");
    let said = patience(deliver(&webhook(&peer.url("/hook")), &told_of)).await;
    assert_eq!(said, Ok("200 OK: ok".into()));
    let [heard] = &peer.heard()[..] else {
        panic!("once")
    };
    assert_eq!(heard.line, "POST /hook HTTP/1.1");
    assert_eq!(heard.headers["content-type"], "application/json");
    let agent = concat!("mailrobin/", env!("CARGO_PKG_VERSION"));
    assert_eq!(heard.headers["user-agent"], agent);
    assert_eq!(
        serde_json::from_str::<Notice>(&heard.body).unwrap(),
        told_of
    );
}

#[tokio::test]
async fn a_template_makes_the_body_and_secrets_are_read_each_time() {
    let peer = Peer::start([Does::answers("204 No Content", "")]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let mut alert = webhook("");
    alert.channel = Channel::Webhook {
        url: secret(&peer.url("/hook")),
        headers: vec![
            ("Authorization".into(), Secret::File(file.clone())),
            ("User-Agent".into(), secret("our own")),
        ],
        body: Some(Template {
            text: "<b>{{ title }}</b> & {{ severity }} {{ dependents | join(', ') }}".into(),
            content_type: "text/html".into(),
        }),
        ca: None,
    };
    for token in ["Bearer one", "Bearer two"] {
        std::fs::write(&file, token).unwrap();
        assert_eq!(told(&alert).await, Ok("204 No Content".into()));
    }
    let heard = peer.heard();
    assert_eq!(heard[0].body, "<b>mail is down</b> & critical another");
    assert_eq!(heard[0].headers["content-type"], "text/html");
    assert_eq!(heard[0].headers["user-agent"], "our own");
    assert_eq!(heard[0].headers["authorization"], "Bearer one");
    assert_eq!(heard[1].headers["authorization"], "Bearer two");
}

#[tokio::test]
async fn what_a_server_says_is_told_in_its_words_but_for_the_secrets() {
    let error = refused(Does::answers(
        "403 Forbidden",
        "no such hook: /hooks/T01/s3cret,\r\n  key k3y-value \u{1b}[31m!\r\nsecond",
    ))
    .await;
    assert_eq!(
        error.to_string(),
        "POST http://127.0.0.1:PORT: 403 Forbidden: no such hook: <hidden>, key <hidden> \u{fffd}[31m! second — \
         it does not know us: check the token in `url` or `headers`"
    );
    assert_eq!(error.again, Again::Seldom);
}

#[tokio::test]
async fn a_header_that_a_server_repeats_is_not_shown() {
    let peer = Peer::start([Does::answers("401 Unauthorized", &format!("bad {TOKEN}"))]).await;
    let mut alert = webhook("");
    alert.channel = Channel::Webhook {
        url: secret(&peer.url("/").replace("://", "://probe:pa55word@")),
        headers: vec![("X-Token".into(), secret(&format!("Token {TOKEN}")))],
        body: None,
        ca: None,
    };
    let error = told(&alert).await.unwrap_err();
    assert!(
        error.what.ends_with("401 Unauthorized: bad <hidden>"),
        "{error}"
    );
    let shown = format!("{error}{error:?}{alert:?}");
    assert!(
        !shown.contains(TOKEN) && !shown.contains("pa55word"),
        "{shown}"
    );
    let heard = &peer.heard()[0];
    assert_eq!(heard.headers["x-token"], format!("Token {TOKEN}"));
    assert!(heard.headers["authorization"].starts_with("Basic "));
}

#[tokio::test]
async fn a_server_may_ask_to_be_left_alone() {
    let error = refused(Does::with(
        "429 Too Many Requests",
        "Retry-After: 17\r\n",
        "",
    ))
    .await;
    assert_eq!(error.again, Again::After(Duration::from_secs(17)));
    let error = refused(Does::with("503 Nope", "Retry-After: 999999\r\n", "")).await;
    assert_eq!(error.again, Again::After(Duration::from_hours(1)));
    let error = refused(Does::answers("500 Internal Server Error", "")).await;
    assert_eq!(error.again, Again::Soon);
    assert_eq!(
        error.what,
        "POST http://127.0.0.1:PORT: 500 Internal Server Error"
    );
}

#[tokio::test]
async fn redirects_are_not_followed_and_where_they_lead_is_said() {
    let elsewhere = Peer::start([Does::answers("200 OK", "")]).await;
    let to = format!("Location: {}\r\n", elsewhere.url("/s3cret"));
    let error = refused(Does::with("307 Temporary Redirect", &to, "")).await;
    let expected = format!("which points to http://127.0.0.1:{}", elsewhere.port);
    assert!(error.what.ends_with(&expected), "{error}");
    assert_eq!(error.again, Again::Seldom);
    assert!(elsewhere.heard().is_empty());
}

#[tokio::test]
async fn of_an_endless_answer_only_the_beginning_is_read() {
    let head = |status: &str| format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let error = refused(Does::Floods(format!(
        "{}fffffff\r\nno: ",
        head("400 Bad Request")
    )))
    .await;
    assert!(error.what.contains("400 Bad Request: no: xxx"), "{error}");
    assert!(error.what.len() < 300, "{error}");
    // Nor is an endless head.
    let error = refused(Does::Floods("HTTP/1.1 200 OK\r\nX: ".into())).await;
    assert_eq!(error.again, Again::Soon);
    // Whether it is a yes is known before the body comes, if it ever does.
    let peer = Peer::start([Does::Floods(format!("{}4\r\n", head("200 OK")))]).await;
    assert!(told(&webhook(&peer.url("/"))).await.is_ok());
}

#[tokio::test]
async fn what_is_no_http_is_said_to_be_none() {
    for does in [Does::Says("220 mx.example ESMTP\r\n".into()), Does::HangsUp] {
        let error = refused(does).await;
        assert_eq!(error.again, Again::Soon);
        assert!(
            error.what.starts_with("POST http://127.0.0.1:PORT: "),
            "{error}"
        );
        assert!(error.remedy.contains("no HTTP"), "{error}");
    }
}

#[tokio::test]
async fn who_does_not_answer_is_given_up_in_time() {
    let peer = Peer::start([Does::Hangs]).await;
    let mut alert = webhook(&peer.url("/"));
    alert.timeout = Duration::from_millis(300);
    let error = told(&alert).await.unwrap_err();
    assert!(error.what.ends_with("no answer within 300ms"), "{error}");
    assert_eq!(error.again, Again::Soon);
}

#[tokio::test]
async fn where_nobody_listens_that_is_said() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let error = told(&webhook(&format!("http://{address}/s3cret")))
        .await
        .unwrap_err();
    assert!(
        error.what.starts_with(&format!("POST http://{address}: ")),
        "{error}"
    );
    assert!(error.what.contains("refused"), "{error}");
    assert!(error.remedy.starts_with("nothing listens there"), "{error}");
    // Nor is a name that nobody has.
    let error = told(&webhook("http://hooks.invalid/s3cret"))
        .await
        .unwrap_err();
    assert!(
        error.what.starts_with("POST http://hooks.invalid:80: "),
        "{error}"
    );
    assert_eq!(error.again, Again::Soon);
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_tried_again_seldom() {
    let missing = Secret::Env("NO_SUCH_VARIABLE_HERE".into());
    let mut alert = webhook("ftp://files.example/s3cret");
    for (url, said) in [
        (
            secret("ftp://files.example/s3cret"),
            "neither http:// nor https://",
        ),
        (secret("s3cret"), "the URL in the config is none"),
        (missing, "NO_SUCH_VARIABLE_HERE is not set"),
    ] {
        alert.channel = Channel::Webhook {
            url,
            headers: Vec::new(),
            body: None,
            ca: None,
        };
        let error = told(&alert).await.unwrap_err();
        assert!(error.what.contains(said), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert_eq!(error.again, Again::Seldom);
    }
    let peer = Peer::start([Does::answers("200 OK", "")]).await;
    for (header, template) in [
        (Some(("X-Token", "s3cret\u{7f}")), None),
        (None, Some("{{ nothing_of_the_kind }}")),
        (None, Some("{% if %}")),
    ] {
        alert.channel = Channel::Webhook {
            url: secret(&peer.url("/")),
            headers: header
                .map(|(name, value)| (name.to_owned(), secret(value)))
                .into_iter()
                .collect(),
            body: template.map(|text| Template {
                text: text.into(),
                content_type: "text/plain".into(),
            }),
            ca: None,
        };
        let error = told(&alert).await.unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert_eq!(error.again, Again::Seldom);
    }
    assert!(peer.heard().is_empty());
}

#[test]
fn a_channel_is_told_what_is_bad_enough() {
    let mut alert = webhook("");
    let mut notice = notice(1, "slow");
    notice.severity = Severity::Warning;
    assert!(wants(&alert, &notice));
    alert.min_severity = Severity::Critical;
    assert!(!wants(&alert, &notice));
    notice.severity = Severity::Critical;
    assert!(wants(&alert, &notice));
}
