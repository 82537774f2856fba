//! Tells people: a notice through a webhook or a program, a heartbeat, and the programs that a recovery runs. Does the
//! I/O and decides nothing: what is told, and to whom, `alert` has decided.
//!
//! ```text
//! outbox ─► Letter ─► courier, one a channel: hold back, order, back off ─► deliver ─► webhook | command
//!    ▲                   │
//!    └───── Report ◄─────┘
//! ```

mod answer;
mod command;
mod courier;
mod error;
mod heartbeat;
mod hidden;
mod http;
mod program;
mod queue;
mod webhook;

pub use command::variables;
pub use courier::{Report, courier};
pub use error::{Again, DeliveryError};
pub use heartbeat::beat;
pub use program::{Exit, Ran, run};
pub use queue::{CAPACITY, Letter};

use webhook::Webhook;

use crate::config::plan::{Alert, Channel};
use crate::probe::notice::{Event, Notice};

/// The JSON Schema of a notice: what a webhook gets, a command reads, and a template is filled from.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Notice).to_value()
}

/// Whether this channel is to be told this at all. A test notice was asked for.
pub fn wants(alert: &Alert, notice: &Notice) -> bool {
    notice.event == Event::Test || notice.severity >= alert.min_severity
}

/// Tells one channel one notice, once, and takes `alert.timeout` at most. What came back, in one line.
pub async fn deliver(alert: &Alert, notice: &Notice) -> Result<String, DeliveryError> {
    match &alert.channel {
        Channel::Webhook {
            url,
            headers,
            body,
            ca,
        } => {
            let webhook = Webhook {
                url,
                headers,
                body: body.as_ref(),
                ca: ca.as_ref(),
                limit: alert.timeout,
            };
            webhook.deliver(notice).await
        }
        Channel::Command(program) => command::deliver(program, notice, alert.timeout).await,
    }
}

/// Whether the so many-th failure in a row is worth a line in the log: ever fewer are.
fn worth_saying(failures: u32) -> bool {
    failures.is_power_of_two()
}
