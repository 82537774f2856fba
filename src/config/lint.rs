//! What is legal in a config and unwise.

use std::ops::Range;

use super::Setting;
use super::diagnostic::Diagnostics;
use super::file::{self, At, File, SecretKeys, Text};
use super::plan::{Plan, Route};
use super::value::grouped;
use crate::probe::payload::Class;

/// Hosts of mailboxes whose provider filters what comes in.
const FILTERING: &[&str] = &[
    "gmail.com",
    "googlemail.com",
    "outlook.com",
    "office365.com",
    "yahoo.com",
    "me.com",
    "icloud.com",
    "gmx.net",
    "gmx.com",
    "web.de",
    "yandex.ru",
    "yandex.com",
    "qq.com",
    "zoho.com",
    "aol.com",
    "fastmail.com",
];

/// Notes what is unwise.
pub(super) fn lint(file: &File, plan: &Plan, setting: &Setting<'_>, found: &mut Diagnostics) {
    for (name, table) in &file.routes {
        if let Some(route) = plan.routes.get(&name.as_str().into()) {
            own_account(route, table.span(), found);
            own_filter(route, table.span(), found);
        }
        sleeping_dependency(table.value(), file, plan, found);
        many_mails(name, table, plan, found);
    }
    if setting.others_can_read {
        for span in literal_secrets(file) {
            let message = "this secret stands in a file that every user of this machine can read";
            let help = "chmod 600 the file, or keep the secret elsewhere: { env = … }, { file = … } or { command = … }";
            found.warn(span, message, Some(help.into()));
        }
    }
}

/// Notes the environment variables that secrets are kept in and that are not set here.
pub(super) fn unset(file: &File, found: &mut Diagnostics) {
    for secret in file.secrets() {
        if let Some(name) = secret.value().variable()
            && std::env::var_os(name.value()).is_none_or(|value| value.is_empty())
        {
            let message = format!("the environment variable {} is not set here", name.value());
            let help = "export it where mailrobin runs";
            found.warn(name.span(), message, Some(help.into()));
        }
    }
}

/// Gmail, for one, hides a message that comes back to its sender's own account.
fn own_account(route: &Route, span: Range<usize>, found: &mut Diagnostics) {
    let Some(login) = &route.gateway.login else {
        return;
    };
    let mailbox = &route.mailbox.login.username;
    if login.username.eq_ignore_ascii_case(mailbox) {
        let message = format!(
            "gateway and mailbox log in as the same account, {mailbox}: some providers hide mail that comes back to its sender"
        );
        let help = "collect from another account";
        found.warn(span, message, Some(help.into()));
    }
}

/// Where the collecting mailbox filters, what is stopped may have been stopped there.
fn own_filter(route: &Route, span: Range<usize>, found: &mut Diagnostics) {
    let host = route.mailbox.endpoint.host.to_ascii_lowercase();
    let filters = FILTERING
        .iter()
        .any(|provider| host == *provider || host.ends_with(&format!(".{provider}")));
    let is_harmful = route
        .tests
        .iter()
        .any(|test| matches!(test.sample.payload.class(), Class::Virus | Class::Spam));
    if filters && is_harmful {
        let message = format!(
            "{host} filters mail on its own, so what is stopped on this route may have been stopped there"
        );
        let help = "collect from a mailbox that does not filter";
        found.warn(span, message, Some(help.into()));
    }
}

/// So many test mails a day through one route are more than a test needs, and may look like abuse.
const MANY_A_DAY: u64 = 5000;

fn many_mails(name: &str, table: &At<file::Route>, plan: &Plan, found: &mut Diagnostics) {
    let name = name.into();
    let (Some(route), Some(watch)) = (plan.routes.get(&name), plan.watches.get(&name)) else {
        return;
    };
    let a_day = watch.a_day(&route.tests);
    if watch.enabled && a_day > MANY_A_DAY && !plan.service.unsafe_intervals {
        let message = format!(
            "`run` sends {} test mails a day on this route",
            grouped(a_day)
        );
        let help = "test less often, or less: a gateway may take it for abuse, and the mailbox must hold it all";
        let span = table.value().every.as_ref().map_or(table.span(), At::span);
        found.warn(span, message, Some(help.into()));
    }
}

/// What is not tested is never Down, so that it holds nothing back.
fn sleeping_dependency(route: &file::Route, file: &File, plan: &Plan, found: &mut Diagnostics) {
    let defaults = file.defaults.as_ref().map(At::value);
    let of_defaults = defaults.and_then(|defaults| defaults.depends_on.as_ref());
    let Some(text) = route.depends_on.as_ref().or(of_defaults) else {
        return;
    };
    let target = plan.watches.get(&text.value().as_str().into());
    if target.is_some_and(|target| !target.enabled) {
        let message = format!(
            "`{}` is not enabled, so it is never Down and this changes nothing",
            text.value()
        );
        found.warn(text.span(), message, Some("leave one of both out".into()));
    }
}

/// What could be a secret by its name.
const SECRET_NAMES: &[&str] = &[
    "auth",
    "cookie",
    "credential",
    "key",
    "pass",
    "secret",
    "sign",
    "token",
];

fn is_here(host: &str) -> bool {
    host == "localhost" || ["::1", "[::1]"].contains(&host) || host.starts_with("127.")
}

/// Passwords of servers on this machine alone, such as the lab's, are none to hide; nor is a header field or a variable
/// that does not sound like one.
fn literal_secrets(file: &File) -> Vec<Range<usize>> {
    let is_away = |host: &Option<Text>| !host.as_ref().is_some_and(|host| is_here(host.value()));
    let gateways = file.gateways.values().map(At::value);
    let gateways = gateways
        .filter(|it| is_away(&it.host))
        .map(|it| it.password.as_ref());
    let mailboxes = file.mailboxes.values().map(At::value);
    let mailboxes = mailboxes
        .filter(|it| is_away(&it.host))
        .map(|it| it.password.as_ref());
    let key = file.signing.as_ref().map(|it| it.value().key.as_ref());
    let service = file.service.as_ref().map(At::value);
    let token = service.map(|it| it.token.as_ref());
    let alerts = || file.alerts.values().map(At::value);
    let heartbeat = service.and_then(|it| it.heartbeat.as_ref());
    let urls = alerts().filter_map(|it| it.url.as_ref()).chain(heartbeat);
    let urls = urls.filter(|url| is_url_away(url.value())).map(Some);
    let routes = file.routes.values().chain(&file.defaults).map(At::value);
    let recoveries = routes.filter_map(|it| it.recovery.as_ref());
    let named = recoveries
        .filter_map(|it| it.value().env.as_ref())
        .chain(alerts().flat_map(|it| [&it.headers, &it.env]).flatten())
        .flatten()
        .filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            SECRET_NAMES.iter().any(|word| name.contains(word))
        })
        .map(|(_, value)| Some(value));
    let secrets = gateways.chain(mailboxes).chain(key).chain(token);
    let secrets = secrets.chain(urls).chain(named).flatten();
    let literal = |secret: &&At<SecretKeys>| matches!(secret.value(), SecretKeys::Literal(_));
    secrets.filter(literal).map(At::span).collect()
}

fn is_url_away(url: &SecretKeys) -> bool {
    match url {
        SecretKeys::Literal(text) => {
            let url = reqwest::Url::parse(text).ok();
            !url.is_some_and(|url| url.host_str().is_some_and(is_here))
        }
        SecretKeys::Kept(_) => false,
    }
}
