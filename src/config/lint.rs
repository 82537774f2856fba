//! What is legal in a config and unwise.

use std::ops::Range;

use super::diagnostic::Diagnostics;
use super::file::{At, File, SecretKeys, Text};
use super::plan::{Plan, Route};
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

/// Notes what is unwise. `others_can_read`: the config is readable by every user of this machine.
pub(super) fn lint(file: &File, plan: &Plan, others_can_read: bool, found: &mut Diagnostics) {
    for (name, table) in &file.routes {
        if let Some(route) = plan.routes.get(&name.as_str().into()) {
            own_account(route, table.span(), found);
            own_filter(route, table.span(), found);
        }
    }
    if others_can_read {
        for span in literal_secrets(file) {
            let message = "this secret stands in a file that every user of this machine can read";
            let help = "chmod 600 the file, or keep the secret elsewhere: { env = … }, { file = … } or { command = … }";
            found.warn(span, message, Some(help.into()));
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

/// Passwords of servers on this machine alone, such as the lab's, are none to hide.
fn literal_secrets(file: &File) -> Vec<Range<usize>> {
    let is_away = |host: &Option<Text>| {
        let host = host.as_ref().map(|host| host.value().as_str());
        !host.is_some_and(|host| host == "localhost" || host == "::1" || host.starts_with("127."))
    };
    let gateways = file.gateways.values().map(At::value);
    let gateways = gateways
        .filter(|it| is_away(&it.host))
        .map(|it| it.password.as_ref());
    let mailboxes = file.mailboxes.values().map(At::value);
    let mailboxes = mailboxes
        .filter(|it| is_away(&it.host))
        .map(|it| it.password.as_ref());
    let key = file.signing.as_ref().map(|it| it.value().key.as_ref());
    let secrets = gateways.chain(mailboxes).chain(key).flatten();
    let literal = |secret: &&At<SecretKeys>| matches!(secret.value(), SecretKeys::Literal(_));
    secrets.filter(literal).map(At::span).collect()
}
