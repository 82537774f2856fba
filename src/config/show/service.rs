//! What the service adds to a config: how routes are watched, who is told, the history, and the service itself.

use toml::{Table, Value};

use super::{put, secret};
use crate::config::plan::{
    Alert, Channel, Cron, Maintenance, Program, Recovery, ServicePlan, StorePlan, Test, Timing,
    Watch,
};
use crate::config::secret::Secret;
use crate::config::value::written;
use crate::probe::payload::Class;

pub(super) fn store(store: &StorePlan) -> Table {
    let mut table = Table::new();
    let file = store.file.as_ref();
    put(
        &mut table,
        "url",
        file.map(|file| format!("sqlite:{}", file.display())),
    );
    put(&mut table, "retention", Some(written(store.retention)));
    let failed = written(store.retention_failed);
    put(&mut table, "retention_failed", Some(failed));
    table
}

pub(super) fn service(service: &ServicePlan) -> Table {
    let mut table = Table::new();
    let listen = service.listen.map(|address| address.to_string());
    put(
        &mut table,
        "listen",
        Some(listen.unwrap_or_else(|| "none".into())),
    );
    put(&mut table, "token", service.token.as_ref().map(secret));
    if let Some(tls) = &service.tls {
        let [chain, key] = &tls.files;
        put(&mut table, "tls_cert", Some(chain.display().to_string()));
        put(&mut table, "tls_key", Some(key.display().to_string()));
    }
    let most = i64::try_from(service.max_in_flight).unwrap_or(i64::MAX);
    put(&mut table, "max_in_flight", Some(most));
    let uplink: Vec<_> = service.uplink.iter().map(ToString::to_string).collect();
    put(&mut table, "uplink", Some(uplink));
    put(
        &mut table,
        "unsafe_intervals",
        Some(service.unsafe_intervals),
    );
    put(&mut table, "remember", Some(written(service.remember)));
    if let Some(heartbeat) = &service.heartbeat {
        put(&mut table, "heartbeat", Some(url(&heartbeat.url)));
        let every = written(heartbeat.every);
        put(&mut table, "heartbeat_every", Some(every));
    }
    table
}

pub(super) fn alert(alert: &Alert) -> Table {
    let mut table = Table::new();
    match &alert.channel {
        Channel::Webhook {
            url: address,
            headers,
            body,
            ca,
        } => {
            put(&mut table, "kind", Some("webhook"));
            put(&mut table, "url", Some(url(address)));
            put_secrets(&mut table, "headers", headers);
            put(
                &mut table,
                "template",
                body.as_ref().map(|body| body.text.clone()),
            );
            let content_type = body.as_ref().map(|body| body.content_type.clone());
            put(&mut table, "content_type", content_type);
            put(&mut table, "ca", ca.as_ref().map(ToString::to_string));
        }
        Channel::Command(of) => {
            put(&mut table, "kind", Some("command"));
            program(&mut table, of);
        }
    }
    put(
        &mut table,
        "min_severity",
        Some(alert.min_severity.as_str()),
    );
    if let Some(quiet) = &alert.quiet {
        let time = |time: jiff::civil::Time| time.strftime("%H:%M").to_string();
        let hours = format!("{}-{}", time(quiet.from), time(quiet.to));
        put(&mut table, "quiet", Some(hours));
        put(&mut table, "timezone", zone(&quiet.zone));
    }
    put(&mut table, "timeout", Some(written(alert.timeout)));
    table
}

/// What a watch adds to the table of its route. `anybody`: whether the config names anybody to tell.
pub(super) fn watch(table: &mut Table, watch: &Watch, tests: &[Test], anybody: bool) {
    let Watch {
        enabled,
        lines: _,
        every_when_down,
        every_when_lost,
        maintenance,
        policy,
        alerts,
        recovery,
    } = watch;
    let [harmless, harmful] = rhythm(watch, tests);
    put_timing(table, harmless);
    if let Some(Timing::Every(every)) = harmful {
        put(table, "every_harmful", Some(written(*every)));
    }
    put(table, "timezone", calendar(watch).and_then(zone_of));
    put(table, "every_when_down", every_when_down.map(written));
    put(table, "every_when_lost", every_when_lost.map(written));
    if !maintenance.is_empty() {
        let times = maintenance.iter().map(|time| time_of(time).into());
        table.insert("maintenance".into(), Value::Array(times.collect()));
    }
    put(table, "enabled", Some(*enabled));
    let names: Vec<_> = alerts.iter().map(ToString::to_string).collect();
    put(table, "alerts", anybody.then_some(names));
    put(table, "fail_after", Some(i64::from(policy.fail_after)));
    put(
        table,
        "recover_after",
        Some(i64::from(policy.recover_after)),
    );
    put(table, "max_alerts", Some(i64::from(policy.max_alerts)));
    put(table, "remind_every", policy.remind_every.map(written));
    let depends_on = policy.depends_on.as_ref();
    put(table, "depends_on", depends_on.map(ToString::to_string));
    if let Some(recovery) = recovery {
        let Recovery {
            program: of,
            at_most,
        } = &**recovery;
        let mut table_of = Table::new();
        program(&mut table_of, of);
        put(&mut table_of, "timeout", Some(written(of.timeout)));
        put(&mut table_of, "at_most", Some(at_most.to_string()));
        table.insert("recovery".into(), table_of.into());
    }
}

/// When a test is due, where it is not due as the route says.
pub(super) fn put_own_timing(table: &mut Table, watch: &Watch, tests: &[Test], index: usize) {
    let [harmless, harmful] = rhythm(watch, tests);
    let is_harmless = tests.get(index).is_some_and(is_harmless);
    let rhythm = if is_harmless { harmless } else { harmful };
    let line = watch.lines.iter().find(|line| line.tests.contains(&index));
    let own = line.map(|line| &line.timing);
    put_timing(table, own.filter(|own| Some(*own) != rhythm));
}

/// What the route says of when: that of its first harmless test, and the interval of its first of the others.
fn rhythm<'a>(watch: &'a Watch, tests: &[Test]) -> [Option<&'a Timing>; 2] {
    let is = |harmless: bool| {
        move |index: &usize| tests.get(*index).is_some_and(is_harmless) == harmless
    };
    let mut lines = watch.lines.iter();
    let harmless = lines.find(|line| line.tests.is_empty() || line.tests.iter().any(is(true)));
    let mut lines = watch
        .lines
        .iter()
        .filter(|line| line.tests.iter().any(is(false)));
    let harmful = lines.find(|line| matches!(line.timing, Timing::Every(_)));
    [harmless, harmful].map(|line| line.map(|line| &line.timing))
}

fn is_harmless(test: &Test) -> bool {
    test.sample.payload.class() == Class::Harmless
}

fn put_timing(table: &mut Table, timing: Option<&Timing>) {
    match timing {
        Some(Timing::Every(every)) => put(table, "every", Some(written(*every))),
        Some(Timing::Cron(cron)) => put(table, "cron", Some(cron.to_string())),
        None => {}
    }
}

/// Any pattern of the calendar: all those of a route go by the same clocks.
fn calendar(watch: &Watch) -> Option<&Cron> {
    let lines = watch.lines.iter().filter_map(|line| match &line.timing {
        Timing::Cron(cron) => Some(cron),
        Timing::Every(_) => None,
    });
    let maintenance = watch.maintenance.iter().filter_map(|time| match time {
        Maintenance::Recurring { begins, .. } => Some(begins),
        Maintenance::Once { .. } => None,
    });
    lines.chain(maintenance).next()
}

fn zone_of(cron: &Cron) -> Option<String> {
    zone(cron.zone())
}

/// The name of a zone; that of a system need not have one.
fn zone(zone: &jiff::tz::TimeZone) -> Option<String> {
    let name = zone.iana_name().filter(|_| !zone.is_unknown());
    name.map(str::to_owned)
}

fn time_of(time: &Maintenance) -> Table {
    let mut table = Table::new();
    match time {
        Maintenance::Once { from, to } => {
            put(&mut table, "from", Some(from.to_string()));
            put(&mut table, "to", Some(to.to_string()));
        }
        Maintenance::Recurring { begins, lasts } => {
            put(&mut table, "cron", Some(begins.to_string()));
            put(&mut table, "for", Some(written(*lasts)));
        }
    }
    table
}

fn program(table: &mut Table, program: &Program) {
    put(table, "command", Some(program.command.clone()));
    put_secrets(table, "env", &program.env);
}

fn put_secrets(table: &mut Table, key: &str, secrets: &[(String, Secret)]) {
    if !secrets.is_empty() {
        let secrets = secrets.iter();
        let secrets = secrets.map(|(name, value)| (name.clone(), secret(value)));
        table.insert(key.into(), Value::Table(secrets.collect()));
    }
}

/// A URL that stands in the config itself is shown as one, so that what is shown can be read.
fn url(url: &Secret) -> Value {
    match url {
        Secret::Literal(_) => "https://(hidden)".into(),
        Secret::Env(_) | Secret::File(_) | Secret::Command(_) => secret(url),
    }
}
