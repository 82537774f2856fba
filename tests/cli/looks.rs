//! What the reports for machines look like.

use insta::assert_snapshot;
use mailrobin::probe::record::Document;
use mailrobin::report::{github, markdown, nagios, tap};
use serde_json::json;

use super::writers::{id, of, record, xml};

/// A run as it often is: one passes, one is slow, one leaks, one cannot be said, and a ping.
fn usual() -> Document {
    of(vec![
        record(1, &json!({})),
        record(
            2,
            &json!({ "route": "outbound", "verdict": "warn", "code": "slow", "reason": "came back after 150 s, slower than 2m", "round_trip_ms": 150_000.0 }),
        ),
        record(
            3,
            &json!({
                "payload": "eicar", "control": id(1), "expect": ["rejected", "altered"], "verdict": "fail", "code": "leak",
                "reason": "the EICAR attachment came back intact", "round_trip_ms": 41.0,
            }),
        ),
        record(
            4,
            &json!({
                "payload": "gtube", "control": id(1), "expect": ["rejected"], "outcome": "rejected", "verdict": "pass", "code": "ok",
                "reason": "mx.example.com refused it at DATA: 554 5.7.1 spam", "round_trip_ms": null, "phases": [],
                "attempts": [{ "address": "192.0.2.1:587", "phase": "data", "code": 554, "text": "554-5.7.1 spam\n554 go away" }],
                "evidence": { "carriers": [], "marks": {}, "vantage": "public", "stopped_by": "signature" },
            }),
        ),
        record(
            5,
            &json!({
                "payload": null, "route": "edge", "expect": ["answered"], "outcome": "unsent", "verdict": "fail", "code": "connect-failed",
                "reason": "connecting to 192.0.2.1:25: refused", "round_trip_ms": null, "phases": [], "smtp": null,
                "attempts": [{ "address": null, "phase": "connect", "code": null, "text": "no route to host" }],
            }),
        ),
    ])
}

#[test]
fn a_nagios_report() {
    assert_snapshot!(nagios::render(&usual()), @r"
    MAILROBIN CRITICAL - 2 of 5 tests failed: edge ping unsent [connect-failed]: connecting to 192.0.2.1:25: refused | 'pass'=2;;;0 'warn'=1;;;0 'fail'=2;;;0 'unknown'=0;;;0 'edge ping'=U 'inbound plain'=0.8124s;120;900;0 'inbound eicar'=0.041s;120;900;0 'inbound gtube'=U 'outbound plain'=150s;120;900;0
    fail: edge ping: unsent [connect-failed]: connecting to 192.0.2.1:25: refused
    fail: inbound eicar: delivered [leak]: the EICAR attachment came back intact
    warn: outbound plain: delivered [slow]: came back after 150 s, slower than 2m
    pass: inbound plain: delivered [ok]: came back after 812 ms
    pass: inbound gtube: rejected [ok]: mx.example.com refused it at DATA: 554 5.7.1 spam
    ");
}

#[test]
fn a_tap_report() {
    assert_snapshot!(tap::render(&usual()), @r#"
    TAP version 14
    1..5
    not ok 1 - edge ping
      ---
      message: "connecting to 192.0.2.1:25: refused"
      severity: "fail"
      outcome: "unsent"
      code: "connect-failed"
      expect: ["answered"]
      id: "0190a000-0000-7000-8000-000000000005"
      round_trip_ms: null
      deadline_ms: 900000.0
      phases: []
      server: "no route to host"
      evidence: {"carriers":[],"marks":{},"hops":[],"authentication":{},"vantage":"public","stopped_by":null}
      ...
    ok 2 - inbound plain
      ---
      message: "came back after 812 ms"
      severity: "pass"
      outcome: "delivered"
      code: "ok"
      expect: ["delivered"]
      id: "0190a000-0000-7000-8000-000000000001"
      round_trip_ms: 812.4
      deadline_ms: 900000.0
      phases: [{"name":"dns","ms":0.2},{"name":"transit","ms":812.2}]
      evidence: {"carriers":[],"marks":{},"hops":[],"authentication":{},"vantage":"public","stopped_by":null}
      ...
    not ok 3 - inbound eicar
      ---
      message: "the EICAR attachment came back intact"
      severity: "fail"
      outcome: "delivered"
      code: "leak"
      expect: ["rejected","altered"]
      id: "0190a000-0000-7000-8000-000000000003"
      round_trip_ms: 41.0
      deadline_ms: 900000.0
      phases: [{"name":"dns","ms":0.2},{"name":"transit","ms":812.2}]
      evidence: {"carriers":[],"marks":{},"hops":[],"authentication":{},"vantage":"public","stopped_by":null}
      ...
    ok 4 - inbound gtube
      ---
      message: "mx.example.com refused it at DATA: 554 5.7.1 spam"
      severity: "pass"
      outcome: "rejected"
      code: "ok"
      expect: ["rejected"]
      id: "0190a000-0000-7000-8000-000000000004"
      round_trip_ms: null
      deadline_ms: 900000.0
      phases: []
      server: "554-5.7.1 spam\n554 go away"
      evidence: {"carriers":[],"marks":{},"hops":[],"authentication":{},"vantage":"public","stopped_by":"signature"}
      ...
    ok 5 - outbound plain
      ---
      message: "came back after 150 s, slower than 2m"
      severity: "warn"
      outcome: "delivered"
      code: "slow"
      expect: ["delivered"]
      id: "0190a000-0000-7000-8000-000000000002"
      round_trip_ms: 150000.0
      deadline_ms: 900000.0
      phases: [{"name":"dns","ms":0.2},{"name":"transit","ms":812.2}]
      evidence: {"carriers":[],"marks":{},"hops":[],"authentication":{},"vantage":"public","stopped_by":null}
      ...
    "#);
}

#[test]
fn a_github_report() {
    assert_snapshot!(github::render(&usual()), @r"
    ::error title=edge ping%3A unsent%2C fail [connect-failed]::connecting to 192.0.2.1:25: refused%0Ano route to host
    ::error title=inbound eicar%3A delivered%2C fail [leak]::the EICAR attachment came back intact
    ::warning title=outbound plain%3A delivered%2C warn [slow]::came back after 150 s, slower than 2m
    ::notice title=mailrobin::fail: 2 failed, 0 unknown, 1 with a warning, 2 passed
    ");
}

#[test]
fn a_markdown_report() {
    assert_snapshot!(markdown::render(&usual()), @r#"
    ## mailrobin: ❌ fail

    2 failed, 0 unknown, 1 with a warning, 2 passed

    | verdict | route | test | outcome | time | why |
    | --- | --- | --- | --- | ---: | --- |
    | ❌ fail | edge | ping | unsent |  | connecting to 192.0.2.1:25: refused \[connect-failed\] |
    | ✅ pass | inbound | plain | delivered | 812 ms | came back after 812 ms \[ok\] |
    | ❌ fail | inbound | eicar | delivered | 41 ms | the EICAR attachment came back intact \[leak\] |
    | ✅ pass | inbound | gtube | rejected |  | mx.example.com refused it at DATA: 554 5.7.1 spam \[ok\] |
    | ⚠️ warn | outbound | plain | delivered | 2m 30s | came back after 150 s, slower than 2m \[slow\] |

    ### Filters on inbound

    - antivirus: 0 of 1 variant stopped; came through: eicar
    - spam: 1 of 1 variant stopped or marked

    | payload | class | verdict | outcome | stopped by |
    | --- | --- | --- | --- | --- |
    | plain | harmless | ✅ pass | delivered |  |
    | eicar | virus | ❌ fail | delivered |  |
    | gtube | spam | ✅ pass | rejected | signature |

    ### ❌ fail edge ping

    ```text
    probe 0190a000-0000-7000-8000-000000000005: unsent, fail [connect-failed]
    reason: connecting to 192.0.2.1:25: refused
    expected: answered
    attempt: no peer, connect: no route to host
    evidence: {"carriers":[],"marks":{},"hops":[],"authentication":{},"vantage":"public","stopped_by":null}
    ```

    ### ❌ fail inbound eicar

    ```text
    probe 0190a000-0000-7000-8000-000000000003: delivered, fail [leak]
    reason: the EICAR attachment came back intact
    expected: rejected, altered
    control: 0190a000-0000-7000-8000-000000000001
    phases: dns 0.2 ms, transit 812.2 ms
    attempt: 192.0.2.1:587, data 250
    smtp: {"host":"mx.example.com","address":"192.0.2.1:587","tls":"TLSv1.3","code":250,"enhanced":"2.0.0","text":"queued as 4711"}
    evidence: {"carriers":[],"marks":{},"hops":[],"authentication":{},"vantage":"public","stopped_by":null}
    ```

    ### ⚠️ warn outbound plain

    ```text
    probe 0190a000-0000-7000-8000-000000000002: delivered, warn [slow]
    reason: came back after 150 s, slower than 2m
    expected: delivered
    phases: dns 0.2 ms, transit 812.2 ms
    attempt: 192.0.2.1:587, data 250
    smtp: {"host":"mx.example.com","address":"192.0.2.1:587","tls":"TLSv1.3","code":250,"enhanced":"2.0.0","text":"queued as 4711"}
    evidence: {"carriers":[],"marks":{},"hops":[],"authentication":{},"vantage":"public","stopped_by":null}
    ```
    "#);
}

#[test]
fn a_junit_report() {
    let mut earlier = usual().probes.remove(4);
    let last = earlier.clone();
    earlier.id = id(6).parse().unwrap();
    earlier.superseded_by = Some(last.id);
    assert_snapshot!(xml(&of(vec![earlier, last])), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="mailrobin" tests="1" skipped="0" failures="1" errors="0" uuid="0190a000-0000-7000-8000-000000000006" timestamp="2026-01-01T00:00:00.000+00:00" time="2.000">
        <testsuite name="edge" tests="1" skipped="0" errors="0" failures="1" timestamp="2026-01-01T00:00:00.500+00:00" time="0.000">
            <properties>
                <property name="mailrobin" value="0.0.0"/>
                <property name="verdict" value="fail"/>
            </properties>
            <testcase name="ping" classname="edge" timestamp="2026-01-01T00:00:00.500+00:00">
                <properties>
                    <property name="id" value="0190a000-0000-7000-8000-000000000005"/>
                    <property name="outcome" value="unsent"/>
                    <property name="verdict" value="fail"/>
                    <property name="code" value="connect-failed"/>
                </properties>
                <failure message="connecting to 192.0.2.1:25: refused" type="connect-failed">connecting to 192.0.2.1:25: refused [connect-failed]
    expected: answered; it was: unsent
    no route to host</failure>
                <rerunFailure timestamp="2026-01-01T00:00:00.500+00:00" message="connecting to 192.0.2.1:25: refused" type="connect-failed">connecting to 192.0.2.1:25: refused [connect-failed]
    expected: answered; it was: unsent
    no route to host
                    <system-out>probe 0190a000-0000-7000-8000-000000000006: unsent, fail [connect-failed]
    reason: connecting to 192.0.2.1:25: refused
    expected: answered
    superseded by 0190a000-0000-7000-8000-000000000005
    attempt: no peer, connect: no route to host
    evidence: {&quot;carriers&quot;:[],&quot;marks&quot;:{},&quot;hops&quot;:[],&quot;authentication&quot;:{},&quot;vantage&quot;:&quot;public&quot;,&quot;stopped_by&quot;:null}</system-out>
                </rerunFailure>
                <system-out>probe 0190a000-0000-7000-8000-000000000005: unsent, fail [connect-failed]
    reason: connecting to 192.0.2.1:25: refused
    expected: answered
    attempt: no peer, connect: no route to host
    evidence: {&quot;carriers&quot;:[],&quot;marks&quot;:{},&quot;hops&quot;:[],&quot;authentication&quot;:{},&quot;vantage&quot;:&quot;public&quot;,&quot;stopped_by&quot;:null}</system-out>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}
