//! A notice to a program: what it is given, and what its end means.

use std::time::Duration;

use mailrobin::config::plan::Channel;
use mailrobin::probe::notice::Notice;
use mailrobin::service::notify::{Again, DeliveryError, deliver, variables};

use crate::stage::{alert, notice, patience, script};

async fn told(text: &str, notice: &Notice) -> Result<String, DeliveryError> {
    patience(deliver(
        &alert("script", Channel::Command(script(text))),
        notice,
    ))
    .await
}

#[tokio::test]
async fn it_has_the_notice_on_its_standard_input_and_in_its_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().display();
    let mut told_of = notice(1, "mail is \"down\"\n& out");
    told_of.test = None;
    let text = format!("cat > {file}/json; env -0 > {file}/env; echo noted");
    assert_eq!(told(&text, &told_of).await, Ok("exit code 0: noted".into()));
    let json = std::fs::read(folder.path().join("json")).unwrap();
    assert_eq!(serde_json::from_slice::<Notice>(&json).unwrap(), told_of);
    let env = std::fs::read_to_string(folder.path().join("env")).unwrap();
    let env: Vec<_> = env.split('\0').collect();
    for (name, value) in variables(&told_of) {
        assert!(env.contains(&&*format!("{name}={value}")), "{name}={value}");
    }
    for expected in [
        "MAILROBIN_EVENT=failed",
        "MAILROBIN_SEVERITY=critical",
        "MAILROBIN_TITLE=mail is \"down\"\n& out",
        "MAILROBIN_ROUTE=example",
        "MAILROBIN_TEST=",
        "MAILROBIN_STATE=down",
        "MAILROBIN_CODE=missing",
        "MAILROBIN_FAILURES=3",
        "MAILROBIN_NUMBER=1",
        "MAILROBIN_INCIDENT=00000000-0000-0000-0000-000000000001",
        "MAILROBIN_DEPENDENTS=another",
        "MAILROBIN_INSTANCE=test-1",
    ] {
        assert!(env.contains(&expected), "{expected}: {env:?}");
    }
}

#[tokio::test]
async fn every_field_of_a_notice_is_in_the_environment() {
    let notice = notice(1, "mail is down");
    let json = serde_json::to_value(&notice).unwrap();
    let mut fields: Vec<_> = json
        .as_object()
        .unwrap()
        .keys()
        .map(|key| format!("MAILROBIN_{}", key.to_uppercase()))
        .collect();
    let mut names: Vec<_> = variables(&notice)
        .iter()
        .map(|it| it.0.to_owned())
        .collect();
    fields.sort();
    names.sort();
    assert_eq!(names, fields);
}

#[tokio::test]
async fn its_end_says_whether_to_try_again_soon() {
    let notice = notice(1, "mail is down");
    let error = told("echo connecting; echo no route >&2; exit 4", &notice)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "running sh: exit code 4: no route — run it by hand with a notice on its standard input"
    );
    assert_eq!(error.again, Again::Soon);
    let error = told("/nonexistent/program", &notice).await.unwrap_err();
    assert_eq!(error.again, Again::Seldom);
    assert!(
        error.what.starts_with("running sh: exit code 127: "),
        "{error}"
    );
}

#[tokio::test]
async fn the_shorter_of_both_limits_holds() {
    let mut alert = alert("script", Channel::Command(script("sleep 600")));
    alert.timeout = Duration::from_millis(200);
    let error = patience(deliver(&alert, &notice(1, "mail is down")))
        .await
        .unwrap_err();
    assert!(error.what.contains("not done within 200ms"), "{error}");
    assert_eq!(error.again, Again::Soon);
}
