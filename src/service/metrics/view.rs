//! What is so at one moment, as metrics made for one scrape and then dropped.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::endpoints::Endpoints;
use super::series::{OfAlert, OfBuild, OfEndpoint, OfMailbox, OfRoute, OfState, Series};
use super::{Moment, PREFIX, seconds};
use crate::probe::state::State;
use crate::service::status::{RouteView, Snapshot, StoreView};

type Count = Gauge<i64, AtomicI64>;

/// The metrics of what the service sees.
pub(super) fn registry(snapshot: &Snapshot, endpoints: &Endpoints) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    routes(&mut registry, &snapshot.routes);
    let expiries = Series::<OfEndpoint, Moment>::default();
    for (endpoint, expires) in endpoints.expiries() {
        expiries.with(OfEndpoint { endpoint }).set(seconds(expires));
    }
    let help = "When the first certificate ends of those that a ping was shown last; absent where it was shown none";
    let name = "tls_certificate_expiry_timestamp";
    registry.register_with_unit(name, help, Unit::Seconds, expiries);
    let connected = Series::<OfMailbox, Count>::default();
    for view in &snapshot.mailboxes {
        let mailbox = view.name.clone();
        let gauge = connected.with(OfMailbox { mailbox });
        gauge.set(view.connected.into());
    }
    let help = "Whether the last look at the mailbox went well";
    registry.register("mailbox_connected", help, connected);
    let waiting = Series::<OfAlert, Count>::default();
    for view in &snapshot.alerts {
        let alert = view.name.clone();
        waiting.with(OfAlert { alert }).set(whole(view.waiting));
    }
    let help = "Notices that are still to go out";
    registry.register("alert_waiting", help, waiting);
    store(&mut registry, &snapshot.store);
    let ok = Count::default();
    ok.set(snapshot.config_problem.is_none().into());
    let help = "Whether the newest config is the one in use";
    registry.register("config_ok", help, ok);
    let started = Moment::default();
    started.set(seconds(snapshot.started_at));
    let help = "When the service was started";
    registry.register_with_unit("start_timestamp", help, Unit::Seconds, started);
    let build = Info::new(OfBuild {
        version: snapshot.version.clone(),
    });
    registry.register("build", "The version of mailrobin", build);
    registry
}

fn routes(registry: &mut Registry, routes: &[RouteView]) {
    let up = Series::<OfRoute, Count>::default();
    let states = Series::<OfState, Count>::default();
    let in_flight = Series::<OfRoute, Count>::default();
    let missed = Series::<OfRoute, Counter>::default();
    for view in routes {
        let route = || view.name.clone();
        if let Some(now) = view.standing() {
            if let Some(is_up) = is_up(now) {
                let gauge = up.with(OfRoute { route: route() });
                gauge.set(is_up.into());
            }
            for state in State::ALL {
                let gauge = states.with(OfState {
                    route: route(),
                    state: state.as_str(),
                });
                gauge.set((state == now).into());
            }
        }
        let gauge = in_flight.with(OfRoute { route: route() });
        gauge.set(whole(view.in_flight));
        missed.with(OfRoute { route: route() }).inc_by(view.missed);
    }
    let help = "1: the route is up or degraded; 0: down or lost; absent: unknown, not tested yet, paused or disabled";
    registry.register("route_up", help, up);
    let help = "1 for the state that the route is in, 0 for the others; absent: not tested yet, paused or disabled";
    registry.register("route_state", help, states);
    let help = "Probes that have no outcome yet";
    registry.register("in_flight", help, in_flight);
    let help = "Tests that were due and could not be started";
    registry.register("missed", help, missed);
}

/// Of an unknown state neither can be said, and a gauge that said so with a number would be averaged.
fn is_up(state: State) -> Option<bool> {
    match state {
        State::Up | State::Degraded => Some(true),
        State::Unknown => None,
        State::Down | State::Lost => Some(false),
    }
}

fn store(registry: &mut Registry, store: &StoreView) {
    let StoreView {
        problem,
        waiting,
        unstored,
        lost,
    } = store;
    let gauge = |value| {
        let gauge = Count::default();
        gauge.set(value);
        gauge
    };
    let counter = |value| {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        counter
    };
    let help = "Whether the history can be written";
    registry.register("store_ok", help, gauge(problem.is_none().into()));
    let help = "What waits in memory to be written to the history";
    registry.register("store_waiting", help, gauge(whole(*waiting)));
    let help = "Probes that were sent though the history could not be written";
    registry.register("unstored", help, counter(*unstored));
    let help = "What the history could not keep, because too much was waiting";
    registry.register("store_lost", help, counter(*lost));
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
