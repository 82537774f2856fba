//! The second reading: values checked, names resolved, defaults filled in.

mod alerts;
mod ping;
mod program;
mod reader;
mod routes;
mod servers;
mod service;
mod tests;
mod timing;
mod trust;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::diagnostic::Diagnostics;
use super::file::{At, File, Tables};
use super::plan::Plan;
use reader::{Reader, is_on};

/// The plan, as far as the file allows one; what it does not is in `found`.
pub(super) fn resolve(file: &File, folder: &Path, found: &mut Diagnostics) -> Option<Plan> {
    let mut reader = Reader::new(folder, found);
    let variables = file
        .secrets()
        .filter_map(|secret| secret.value().variable());
    reader.secret_variables = variables.map(|name| name.value().clone()).collect();
    let service = file.service.as_ref().map(At::value);
    reader.unsafe_intervals = is_on(service.and_then(|keys| keys.unsafe_intervals.as_ref()));
    let dns = reader.dns(file.dns.as_ref());
    let gateways = named(&file.gateways, |name, table| reader.gateway(name, table));
    let mailboxes = named(&file.mailboxes, |name, table| reader.mailbox(name, table));
    let signing = reader.signing(file.signing.as_ref());
    names(&file.gateways, &mut reader);
    names(&file.mailboxes, &mut reader);
    names(&file.routes, &mut reader);
    names(&file.alerts, &mut reader);
    let routes = reader.routes(file, &gateways, &mailboxes);
    let alerts = named(&file.alerts, |name, table| reader.alert(name, table));
    let store = reader.store(file.store.as_ref());
    let service = reader.service(file.service.as_ref());
    if file.routes.is_empty() {
        let help = "add [routes.NAME] with gateway, mailbox, from, to and tests";
        reader.absent(
            0..0,
            "there is no route, so there is nothing to test",
            Some(help),
        );
    }
    (!found.has_errors()).then(|| Plan {
        signing,
        dns,
        gateways: gateways
            .into_values()
            .map(|it| (it.name.clone(), it))
            .collect(),
        mailboxes: mailboxes
            .into_values()
            .map(|it| (it.name.clone(), it))
            .collect(),
        routes: routes.round_trips,
        pings: routes.pings,
        watches: routes.watches,
        alerts: alerts
            .into_values()
            .map(|it| (it.name.clone(), it))
            .collect(),
        store,
        service,
    })
}

fn names<T>(tables: &Tables<T>, reader: &mut Reader<'_>) {
    for (name, table) in tables {
        reader.name(name, table.span());
    }
}

/// The tables that could be read, shared, by name.
fn named<T, P>(
    tables: &Tables<T>,
    mut read: impl FnMut(&str, &At<T>) -> Option<P>,
) -> BTreeMap<String, Arc<P>> {
    tables
        .iter()
        .filter_map(|(name, table)| Some((name.clone(), Arc::new(read(name, table)?))))
        .collect()
}
