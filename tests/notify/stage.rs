//! Channels, notices, and the patience that every test has.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mailrobin::config::plan::{Alert, Channel, Program};
use mailrobin::config::secret::Secret;
use mailrobin::probe::notice::{Event, Notice, Severity};
use tokio::time::timeout;
use uuid::Uuid;

/// Longer than anything here lasts, on however slow a machine.
pub(crate) const LONG: Duration = Duration::from_mins(2);

/// What must come, and does not: the test fails.
pub(crate) async fn patience<T>(awaited: impl Future<Output = T>) -> T {
    let came = timeout(LONG, awaited).await;
    came.unwrap_or_else(|_| panic!("it never came"))
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::Literal(text.to_owned().into())
}

/// A channel that is told everything at any hour.
pub(crate) fn alert(name: &str, channel: Channel) -> Alert {
    Alert {
        name: name.into(),
        channel,
        min_severity: Severity::Warning,
        quiet: None,
        timeout: LONG,
    }
}

/// One that posts JSON there.
pub(crate) fn webhook(url: &str) -> Alert {
    let channel = Channel::Webhook {
        url: secret(url),
        headers: Vec::new(),
        body: None,
        ca: None,
    };
    alert("hook", channel)
}

/// A script for the shell, as a program; it has all the time it may need.
pub(crate) fn script(text: &str) -> Program {
    Program {
        command: ["sh", "-c", text].map(str::to_owned).into(),
        env: Vec::new(),
        withheld: Arc::default(),
        timeout: LONG,
    }
}

/// A notice of this incident, as it is made just now.
pub(crate) fn notice(incident: u128, title: &str) -> Notice {
    let id = Uuid::now_v7();
    Notice {
        event: Event::Failed,
        title: title.into(),
        incident: Some(Uuid::from_u128(incident)),
        ..Notice::sample(id, Timestamp::now(), "test-1")
    }
}
