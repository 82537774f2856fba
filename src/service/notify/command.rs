//! A notice as a program's input: as JSON on its standard input, and field by field in its environment.

use std::time::Duration;

use super::error::DeliveryError;
use super::program::{Exit, run};
use super::webhook::json;
use crate::config::plan::Program;
use crate::probe::name::RouteName;
use crate::probe::notice::Notice;
use crate::text::{cut, line};

/// So much of what it printed is shown, in bytes.
const SHOWN: usize = 200;
/// No variable is longer: the system takes none above 128 KiB.
const LONGEST: usize = 16 * 1024;

/// Runs the program with the notice; what came of it. `limit`: where that is shorter than the program's own.
pub(super) async fn deliver(
    program: &Program,
    notice: &Notice,
    limit: Duration,
) -> Result<String, DeliveryError> {
    let program = Program {
        timeout: program.timeout.min(limit),
        ..program.clone()
    };
    let ran = run(&program, &json(notice)?, &variables(notice)).await;
    let last = ran.output.lines().rfind(|line| !line.trim().is_empty());
    let said = match last {
        Some(last) => format!("{}: {}", ran.exit, cut(&line(last.trim()), SHOWN)),
        None => ran.exit.to_string(),
    };
    let name = program.command.first().map_or("", String::as_str);
    let what = format!("running {name}: {said}");
    Err(match ran.exit {
        Exit::Code(0) => return Ok(said),
        Exit::Code(126 | 127) | Exit::NotStarted(_) => DeliveryError::seldom(
            what,
            "check `command`: the program must be there and executable for the user that mailrobin runs as",
        ),
        Exit::Code(_) | Exit::Signal(_) => {
            DeliveryError::soon(what, "run it by hand with a notice on its standard input")
        }
        Exit::TimedOut(_) => DeliveryError::soon(what, "see what it waits for, or raise `timeout`"),
    })
}

/// The notice, field by field, as environment variables; what is null is empty.
pub fn variables(notice: &Notice) -> Vec<(&'static str, String)> {
    let id = |id: Option<uuid::Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let dependents: Vec<_> = notice.dependents.iter().map(RouteName::as_str).collect();
    vec![
        ("MAILROBIN_ID", notice.id.to_string()),
        ("MAILROBIN_EVENT", notice.event.as_str().into()),
        ("MAILROBIN_SEVERITY", notice.severity.as_str().into()),
        ("MAILROBIN_TITLE", cut(&notice.title, LONGEST).into_owned()),
        (
            "MAILROBIN_ROUTE",
            notice.route.as_ref().map_or("", |it| it.as_str()).into(),
        ),
        ("MAILROBIN_TEST", notice.test.clone().unwrap_or_default()),
        (
            "MAILROBIN_STATE",
            notice.state.map_or("", |it| it.as_str()).into(),
        ),
        (
            "MAILROBIN_CODE",
            notice.code.map_or("", |it| it.as_str()).into(),
        ),
        (
            "MAILROBIN_REASON",
            cut(&notice.reason, LONGEST).into_owned(),
        ),
        ("MAILROBIN_SINCE", notice.since.to_string()),
        ("MAILROBIN_AT", notice.at.to_string()),
        ("MAILROBIN_FAILURES", notice.failures.to_string()),
        ("MAILROBIN_NUMBER", notice.number.to_string()),
        ("MAILROBIN_INCIDENT", id(notice.incident)),
        ("MAILROBIN_PROBE", id(notice.probe)),
        ("MAILROBIN_DEPENDENTS", dependents.join(" ")),
        ("MAILROBIN_INSTANCE", notice.instance.clone()),
    ]
}
