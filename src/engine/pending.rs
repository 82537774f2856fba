//! Probes that are still to be started: which message, to which address, under which control.

use std::net::SocketAddr;
use std::sync::Arc;

use lettre::Address;

use super::blocklists::Blocklists;
use super::cycle::Cycle;
use crate::config::plan::{Gateway, Route, Test};
use crate::net::dns::Dns;
use crate::probe::listing::Listing;
use crate::probe::tag::Tag;

/// A probe that is still to be started.
pub struct Pending {
    /// On what.
    pub route: Arc<Route>,
    /// What is sent, and what is expected of it.
    pub test: Test,
    /// Whether it is the control of those that follow it in its cycle.
    pub is_control: bool,
    /// Whether its cycle has a control.
    pub in_controlled: bool,
    /// The only address it may go to.
    pub address: Option<SocketAddr>,
    /// What blocklists say of the address it is sent from.
    pub listings: Arc<[Listing]>,
    /// The test that it is for.
    pub slot: Option<Slot>,
}

/// Which test of which group a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The group.
    pub group: usize,
    /// Its place in the group.
    pub test: usize,
}

/// Where the probes of a gateway go, and what is known before they do.
#[derive(Clone)]
pub struct Prospect {
    /// Each of its addresses, or whichever it has.
    pub addresses: Vec<Option<SocketAddr>>,
    /// What blocklists say of the address that it sees us come from.
    pub listings: Arc<[Listing]>,
}

impl Prospect {
    /// Looks up what the config asks for, and nothing else.
    pub async fn of(gateway: &Gateway, lists: &Blocklists) -> Self {
        let mut prospect = Self::whichever();
        if !gateway.each_address && lists.is_empty() {
            return prospect;
        }
        let dns = Dns::new(Arc::clone(&gateway.name_servers));
        let Gateway {
            endpoint,
            is_domain,
            timeout,
            ..
        } = gateway;
        // Where there is no address, the probe itself will fail on it, and say so.
        let Ok(targets) = dns.targets(endpoint, *is_domain, *timeout).await else {
            return prospect;
        };
        if let Some(first) = targets.first() {
            prospect.listings = lists.towards(first.address).await.into();
        }
        if gateway.each_address {
            let addresses = targets.into_iter().map(|it| Some(it.address));
            prospect.addresses = addresses.collect();
        }
        prospect
    }

    /// Nothing is known.
    pub fn whichever() -> Self {
        Self {
            addresses: vec![None],
            listings: Arc::default(),
        }
    }
}

impl Pending {
    /// The probes of a cycle, in the order in which they are started.
    pub fn of(
        cycle: &Cycle,
        address: Option<SocketAddr>,
        listings: &Arc<[Listing]>,
    ) -> impl Iterator<Item = Self> {
        let pending = move |(at, test): (usize, &Test)| Self {
            route: Arc::clone(&cycle.route),
            is_control: cycle.has_control && at == 0,
            in_controlled: cycle.has_control,
            test: test.clone(),
            address,
            listings: Arc::clone(listings),
            slot: None,
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
