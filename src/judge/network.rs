//! What failed for want of a network of our own says nothing of the gateway.

use crate::probe::outcome::{Code, Outcome, Verdict};
use crate::probe::record::Record;
use crate::text::line;

/// Whether this machine has a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// It has.
    There,
    /// No gateway can be reached, so many of them, and there is no reference to tell whether that is our own fault.
    Unreached(usize),
    /// It has none: no gateway can be reached, and no reference answers, each for this reason.
    Gone(Vec<String>),
}

/// Whether a result may come from this machine's own network: the server's name could not be resolved, or nothing
/// answered there.
pub fn is_doubtful(record: &Record) -> bool {
    record.outcome == Outcome::Unsent
        && record.verdict == Verdict::Fail
        && [Code::DnsFailed, Code::ConnectFailed].contains(&record.code)
}

/// A doubtful result, by what is known of the network.
pub fn judged(record: Record, network: &Network) -> Record {
    if !is_doubtful(&record) {
        return record;
    }
    let Record { reason, .. } = &record;
    match network {
        Network::There | Network::Unreached(0 | 1) => record,
        Network::Unreached(count) => Record {
            reason: format!(
                "{reason}; none of the {count} servers of the config can be reached now, so it may be this machine's own network: `uplink` in [service] names references that tell"
            ),
            ..record
        },
        Network::Gone(silent) => Record {
            verdict: Verdict::Unknown,
            code: Code::ProberOffline,
            reason: line(&format!("{}: {reason}", gone(silent))),
            ..record
        },
    }
}

/// That there is no network, and how that is known.
pub fn gone(silent: &[String]) -> String {
    format!(
        "this machine has no network: no server of the config can be reached, and no reference answers ({})",
        silent.join("; ")
    )
}
