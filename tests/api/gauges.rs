//! What Prometheus is told of what is so: never more than is.

use mailrobin::service::metrics::{Metrics, Told};
use serde_json::json;

use super::metrics::{busy, of, ping, values};
use super::openmetrics::read;
use super::stage::{down, route, snapshot, test};

#[test]
fn a_certificate_is_told_of_as_long_as_it_is_shown() {
    let metrics = Metrics::new();
    let seen = snapshot(&json!({}));
    let name = "mailrobin_tls_certificate_expiry_timestamp_seconds{endpoint=mx.example.com:587}";
    metrics.settled(&ping(1, "edge", Some("2026-06-01T00:00:00Z")));
    metrics.settled(&ping(2, "other", Some("2026-05-01T00:00:00Z")));
    values(&metrics, &seen, &[(name, Some(1_777_593_600.0))]);
    metrics.settled(&ping(3, "other", None));
    values(&metrics, &seen, &[(name, Some(1_780_272_000.0))]);
    let mut refused = ping(4, "edge", None);
    refused.attempts[0].address = None;
    metrics.settled(&refused);
    values(&metrics, &seen, &[(name, None)]);
}

#[test]
fn no_gauge_outlives_what_it_tells_of() {
    let metrics = Metrics::new();
    let unknown = route("unknown", &json!({ "state": "unknown" }));
    let lost = route(
        "lost",
        &json!({ "state": "lost", "in_flight": 3, "missed": 7 }),
    );
    let paused = route("paused", &json!({ "paused": true }));
    let off = route("off", &json!({ "enabled": false }));
    let fresh = route(
        "fresh",
        &json!({ "tests": [test("plain", &json!({ "last": null, "since": null }))] }),
    );
    let degraded = route("degraded", &json!({ "state": "degraded" }));
    let routes = json!([down("down"), unknown, lost, paused, off, fresh, degraded]);
    let store = json!({ "problem": "disk full", "waiting": 5, "unstored": 2, "lost": 1 });
    let seen = snapshot(&json!({
        "routes": routes, "store": store, "config_problem": "line 3",
        "mailboxes": [{ "name": "returns", "connected": false, "problem": "login refused" }],
        "alerts": [{ "name": "oncall", "waiting": 4, "problem": "404" }],
    }));
    values(
        &metrics,
        &seen,
        &[
            ("mailrobin_route_up{route=down}", Some(0.0)),
            ("mailrobin_route_up{route=lost}", Some(0.0)),
            ("mailrobin_route_up{route=degraded}", Some(1.0)),
            ("mailrobin_route_up{route=unknown}", None),
            ("mailrobin_route_up{route=paused}", None),
            ("mailrobin_route_up{route=off}", None),
            ("mailrobin_route_up{route=fresh}", None),
            (
                "mailrobin_route_state{route=unknown,state=unknown}",
                Some(1.0),
            ),
            ("mailrobin_route_state{route=unknown,state=up}", Some(0.0)),
            ("mailrobin_route_state{route=paused,state=up}", None),
            ("mailrobin_in_flight{route=lost}", Some(3.0)),
            ("mailrobin_missed_total{route=lost}", Some(7.0)),
            ("mailrobin_mailbox_connected{mailbox=returns}", Some(0.0)),
            ("mailrobin_alert_waiting{alert=oncall}", Some(4.0)),
            ("mailrobin_store_ok", Some(0.0)),
            ("mailrobin_store_waiting", Some(5.0)),
            ("mailrobin_store_lost_total", Some(1.0)),
            ("mailrobin_unstored_total", Some(2.0)),
            ("mailrobin_config_ok", Some(0.0)),
            ("mailrobin_build_info{version=1.2.3}", Some(1.0)),
        ],
    );
    // The next scrape knows nothing of the last.
    values(
        &metrics,
        &snapshot(&json!({})),
        &[
            ("mailrobin_route_up{route=inbound}", Some(1.0)),
            ("mailrobin_route_up{route=down}", None),
            ("mailrobin_in_flight{route=lost}", None),
            ("mailrobin_mailbox_connected{mailbox=returns}", Some(1.0)),
            ("mailrobin_store_ok", Some(1.0)),
            ("mailrobin_config_ok", Some(1.0)),
        ],
    );
}

#[test]
fn what_the_config_has_no_more_is_gone_and_does_not_come_back() {
    let metrics = busy();
    metrics.retain(&["outbound".into()], &["pager".into()]);
    metrics.settled(&of(9, &json!({})));
    metrics.revised(None, &of(9, &json!({})));
    metrics.recalled(&ping(9, "edge", Some("2026-06-01T00:00:00Z")));
    metrics.told(&"oncall".into(), Told::Failed);
    metrics.settled(&of(10, &json!({ "route": "outbound" })));
    let alerts = json!([{ "name": "pager", "waiting": 0, "problem": null }]);
    let text = metrics.encode(&snapshot(
        &json!({ "routes": [down("outbound")], "alerts": alerts }),
    ));
    read(&text);
    for gone in ["inbound", "edge", "oncall", "mx.example.com"] {
        assert!(!text.contains(gone), "{gone}:\n{text}");
    }
    assert!(
        text.contains("mailrobin_probes_total{route=\"outbound\""),
        "{text}"
    );
}

#[test]
fn names_that_are_no_words_are_escaped() {
    let name = "a \"quoted\"\\ route\nof two lines";
    let metrics = Metrics::new();
    metrics.settled(&of(1, &json!({ "route": name })));
    let families =
        read(&metrics.encode(&snapshot(&json!({ "routes": [route(name, &json!({}))] }))));
    let (_, labels, _) = &families["mailrobin_probes"].samples[0];
    assert_eq!(labels["route"], name);
}
