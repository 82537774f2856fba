//! The plan as a config again: defaults filled in, secrets hidden.

mod service;

use std::fmt;
use std::sync::Arc;

use toml::{Table, Value};

use super::plan::{
    DnsPlan, Endpoint, Gateway, Login, Mailbox, Ping, PingServer, Plan, Route, Trust, Watch,
};
use super::secret::Secret;
use super::value::written;
use crate::probe::payload::Sample;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut file = Table::new();
        let mut signing = Table::new();
        put(&mut signing, "key", self.signing.key.as_ref().map(secret));
        put(&mut signing, "instance", self.signing.instance.clone());
        put(
            &mut signing,
            "sweep_foreign",
            self.signing.sweep_foreign.map(written),
        );
        if !signing.is_empty() {
            file.insert("signing".into(), signing.into());
        }
        let dns = dns(&self.dns);
        if !dns.is_empty() {
            file.insert("dns".into(), dns.into());
        }
        let gateways = self
            .gateways
            .iter()
            .map(|(name, it)| (name.to_string(), gateway(it).into()));
        file.insert("gateways".into(), Value::Table(gateways.collect()));
        let mailboxes = self
            .mailboxes
            .iter()
            .map(|(name, it)| (name.to_string(), mailbox(it).into()));
        file.insert("mailboxes".into(), Value::Table(mailboxes.collect()));
        let routes = self
            .routes
            .iter()
            .map(|(name, it)| (name.to_string(), route(it, self.watches.get(name))));
        let pings = self.pings.iter();
        let pings = pings.map(|(name, it)| (name.to_string(), ping(it)));
        let routes = routes.chain(pings).map(|(name, mut table)| {
            let name_of = name.as_str().into();
            let tests = self.routes.get(&name_of).map_or(&[][..], |it| &it.tests);
            if let Some(watch) = self.watches.get(&name_of) {
                service::watch(&mut table, watch, tests, !self.alerts.is_empty());
            }
            (name, Value::Table(table))
        });
        file.insert("routes".into(), Value::Table(routes.collect()));
        if !self.alerts.is_empty() {
            let alerts = self.alerts.iter();
            let alerts = alerts.map(|(name, it)| (name.to_string(), service::alert(it).into()));
            file.insert("alerts".into(), Value::Table(alerts.collect()));
        }
        file.insert("store".into(), service::store(&self.store).into());
        file.insert("service".into(), service::service(&self.service).into());
        f.write_str(
            toml::to_string_pretty(&file)
                .map_err(|_| fmt::Error)?
                .trim_end(),
        )
    }
}

fn dns(dns: &DnsPlan) -> Table {
    let mut table = Table::new();
    let servers: Vec<_> = dns.servers.iter().map(ToString::to_string).collect();
    put(
        &mut table,
        "servers",
        (!servers.is_empty()).then_some(servers),
    );
    let blocklists = (!dns.blocklists.is_empty()).then(|| dns.blocklists.clone());
    put(&mut table, "blocklists", blocklists);
    let sending_address = dns.sending_address.map(|address| address.to_string());
    put(&mut table, "sending_address", sending_address);
    table
}

fn ping(ping: &Ping) -> Table {
    let mut table = Table::new();
    put(&mut table, "kind", Some("ping"));
    match &ping.server {
        PingServer::Smtp(gateway) => put(&mut table, "gateway", Some(gateway.name.as_str())),
        // The config has no way to say so.
        PingServer::Mailbox(_) => {}
    }
    let (from, to) = ping.envelope.clone().unzip();
    put(&mut table, "from", from.map(|from| from.to_string()));
    put(&mut table, "to", to.map(|to| to.to_string()));
    put(&mut table, "deadline", Some(written(ping.deadline)));
    put(&mut table, "warn_after", ping.warn_after.map(written));
    put(
        &mut table,
        "certificate_warn",
        Some(written(ping.certificate_warn)),
    );
    table
}

fn gateway(gateway: &Gateway) -> Table {
    let mut table = Table::new();
    endpoint(&mut table, &gateway.endpoint);
    if let Some(domain) = table.remove("host").filter(|_| gateway.is_domain) {
        table.insert("domain".into(), domain);
    } else {
        put(&mut table, "host", Some(gateway.endpoint.host.clone()));
    }
    put(&mut table, "tls", Some(gateway.security.as_str()));
    trust(&mut table, &gateway.trust);
    if let Some(client) = &gateway.client {
        let [chain, key] = &client.files;
        put(&mut table, "client_cert", Some(chain.display().to_string()));
        put(&mut table, "client_key", Some(key.display().to_string()));
    }
    login(&mut table, gateway.login.as_ref());
    put(
        &mut table,
        "each_address",
        gateway.each_address.then_some(true),
    );
    put(&mut table, "pipelining", gateway.pipelining.then_some(true));
    put(&mut table, "ehlo", gateway.ehlo.clone());
    put(&mut table, "timeout", Some(written(gateway.timeout)));
    put(
        &mut table,
        "final_timeout",
        Some(written(gateway.final_timeout)),
    );
    put(
        &mut table,
        "connections",
        Some(i64::from(gateway.connections)),
    );
    put(
        &mut table,
        "rate",
        gateway.rate.map(|rate| rate.to_string()),
    );
    table
}

fn mailbox(mailbox: &Mailbox) -> Table {
    let mut table = Table::new();
    put(&mut table, "protocol", Some(mailbox.protocol.as_str()));
    endpoint(&mut table, &mailbox.endpoint);
    put(&mut table, "tls", Some(mailbox.security.as_str()));
    trust(&mut table, &mailbox.trust);
    login(&mut table, Some(&mailbox.login));
    put(&mut table, "timeout", Some(written(mailbox.timeout)));
    put(&mut table, "folders", Some(mailbox.folders.clone()));
    put(&mut table, "junk", Some(mailbox.junk.as_str().to_owned()));
    put(&mut table, "poll", Some(written(mailbox.poll)));
    put(&mut table, "cleanup", Some(mailbox.cleanup.to_string()));
    table
}

fn route(route: &Route, watch: Option<&Arc<Watch>>) -> Table {
    let mut table = Table::new();
    put(&mut table, "gateway", Some(route.gateway.name.as_str()));
    put(&mut table, "mailbox", Some(route.mailbox.name.as_str()));
    put(
        &mut table,
        "bounce_mailbox",
        route.bounce_mailbox.as_ref().map(ToString::to_string),
    );
    put(&mut table, "from", Some(route.from.to_string()));
    put(&mut table, "to", Some(route.to.to_string()));
    put(&mut table, "verp", route.verp.then_some(true));
    put(
        &mut table,
        "plus_address",
        route.plus_address.then_some(true),
    );
    put(&mut table, "subject", Some(route.subject.clone()));
    if !route.headers.is_empty() {
        let headers = route
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()));
        table.insert("headers".into(), Value::Table(headers.collect()));
    }
    put(&mut table, "deadline", Some(written(route.deadline)));
    put(&mut table, "warn_after", route.warn_after.map(written));
    put(&mut table, "defer_for", Some(written(route.defer_for)));
    put(&mut table, "blind_grace", Some(written(route.blind_grace)));
    let aliases: Vec<_> = route.aliases.iter().map(ToString::to_string).collect();
    put(
        &mut table,
        "aliases",
        (!aliases.is_empty()).then_some(aliases),
    );
    let marks: Vec<_> = route.marks.iter().map(ToString::to_string).collect();
    put(&mut table, "marks", Some(marks));
    let ids = &route.authserv_ids;
    put(
        &mut table,
        "authserv_ids",
        (!ids.is_empty()).then(|| ids.clone()),
    );
    if !route.authentication.is_empty() {
        let wanted = route
            .authentication
            .iter()
            .map(|(method, result)| (method.clone(), result.clone().into()));
        table.insert("authentication".into(), Value::Table(wanted.collect()));
    }
    let tests = route.tests.iter().enumerate().map(|(index, test)| {
        let mut table = Table::new();
        let Sample {
            payload,
            size,
            pad,
            file,
        } = &*test.sample;
        put(&mut table, "payload", Some(payload.as_str()));
        put(&mut table, "size", size.map(|size| size.to_string()));
        put(&mut table, "pad", pad.map(|pad| pad.to_string()));
        put(
            &mut table,
            "file",
            file.as_ref().map(|file| file.path.display().to_string()),
        );
        let expect: Vec<_> = test
            .expect
            .iter()
            .map(|outcome| outcome.as_str().to_owned())
            .collect();
        put(&mut table, "expect", (!expect.is_empty()).then_some(expect));
        if let Some(watch) = watch {
            service::put_own_timing(&mut table, watch, &route.tests, index);
        }
        Value::Table(table)
    });
    table.insert("tests".into(), Value::Array(tests.collect()));
    table
}

fn endpoint(table: &mut Table, endpoint: &Endpoint) {
    put(table, "host", Some(endpoint.host.clone()));
    put(table, "port", Some(i64::from(endpoint.port)));
}

fn login(table: &mut Table, login: Option<&Login>) {
    put(table, "username", login.map(|login| login.username.clone()));
    put(
        table,
        "password",
        login.map(|login| secret(&login.password)),
    );
    put(table, "auth", login.map(|login| login.auth.as_str()));
    put(
        table,
        "insecure_auth",
        login.filter(|login| login.insecure).map(|_| true),
    );
}

fn trust(table: &mut Table, trust: &Trust) {
    match trust {
        Trust::System => {}
        Trust::Also(pem) => put(table, "ca", Some(pem.to_string())),
        Trust::Anybody => put(table, "tls_verify", Some(false)),
    }
}

/// Where a secret is kept; one that stands in the config itself is only said to be there.
fn secret(secret: &Secret) -> Value {
    let kept = |kind: &str, at: Value| Value::Table([(kind.to_owned(), at)].into_iter().collect());
    match secret {
        Secret::Literal(_) => "(hidden)".into(),
        Secret::Env(name) => kept("env", name.clone().into()),
        Secret::File(path) => kept("file", path.display().to_string().into()),
        Secret::Command(words) => kept("command", words.clone().into()),
    }
}

fn put(table: &mut Table, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        table.insert(key.to_owned(), value.into());
    }
}
