//! Probes that are still to be started: which message, to which address, under which control.

use std::net::SocketAddr;
use std::sync::Arc;

use lettre::Address;

use super::cycle::Cycle;
use crate::config::plan::{Gateway, Route, Test};
use crate::net::dns::Dns;
use crate::probe::tag::Tag;

/// A probe that is still to be started.
pub(super) struct Pending {
    pub(super) route: Arc<Route>,
    pub(super) test: Test,
    /// Whether it is the control of those that follow it in its cycle.
    pub(super) is_control: bool,
    /// Whether its cycle has a control.
    pub(super) in_controlled: bool,
    /// The only address it may go to.
    pub(super) address: Option<SocketAddr>,
}

impl Pending {
    pub(super) fn of(cycle: &Cycle, address: Option<SocketAddr>) -> impl Iterator<Item = Self> {
        let pending = move |(at, test): (usize, &Test)| Self {
            route: Arc::clone(&cycle.route),
            is_control: cycle.has_control && at == 0,
            in_controlled: cycle.has_control,
            test: test.clone(),
            address,
        };
        cycle.tests.iter().enumerate().map(pending)
    }
}

/// The address with the tag behind its mailbox name, where that is asked for.
pub(super) fn tagged(address: &Address, tag: Tag, is_wanted: bool) -> Address {
    let tagged = Address::new(format!("{}+{tag}", address.user()), address.domain());
    // Checked when the plan was made: there is room for it.
    tagged
        .ok()
        .filter(|_| is_wanted)
        .unwrap_or_else(|| address.clone())
}

/// Where the probes of a cycle go: to each of the gateway's addresses, or to whichever it has.
pub(super) async fn addresses(gateway: &Gateway) -> Vec<Option<SocketAddr>> {
    if !gateway.each_address {
        return vec![None];
    }
    let dns = Dns::new(Arc::clone(&gateway.name_servers));
    let Gateway {
        endpoint,
        is_domain,
        timeout,
        ..
    } = gateway;
    match dns.targets(endpoint, *is_domain, *timeout).await {
        Ok(targets) => targets.into_iter().map(|it| Some(it.address)).collect(),
        // The probe itself will fail on it, and say so.
        Err(_) => vec![None],
    }
}
