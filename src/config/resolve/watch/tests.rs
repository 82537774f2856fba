//! What is due together, and who depends on whom.

use std::fmt::Write;
use std::path::Path;

use crate::config;
use crate::config::plan::{Plan, Timing};

const SERVERS: &str = r#"
[gateways.edge]
host = "edge.example"
[mailboxes.returns]
host = "imap.example"
username = "probe@monitor.example"
password = "secret"
"#;

fn plan(tables: &str) -> Plan {
    let text = format!("{SERVERS}{tables}");
    config::parse(&text, "test", Path::new("")).unwrap().0
}

fn route(keys: &str) -> String {
    format!(
        "[routes.inbound]\ngateway = \"edge\"\nmailbox = \"returns\"\nfrom = \"probe@monitor.example\"\nto = \"echo@example.com\"\n{keys}\n"
    )
}

/// Each line of the route: when, what, and whether that is harmless.
fn lines(tables: &str) -> String {
    let plan = plan(tables);
    let tests = plan.routes.get(&"inbound".into()).map(|it| &it.tests);
    let mut said = String::new();
    for line in &plan.watches[&"inbound".into()].lines {
        let timing = match &line.timing {
            Timing::Every(every) => config::value::written(*every),
            Timing::Cron(cron) => format!("{cron} in {}", cron.zone().iana_name().unwrap()),
        };
        let name = |index: &usize| tests.unwrap()[*index].sample.payload.as_str();
        let names: Vec<_> = line.tests.iter().map(name).collect();
        let harmless = if line.is_harmless { "" } else { " !" };
        writeln!(said, "{timing}: {}{harmless}", names.join(" ")).unwrap();
    }
    said
}

const BOTH: &str = "tests = [{ payload = \"eicar\" }, { payload = \"plain\" }, { payload = \"gtube\" }, { payload = \"html\" }]";

#[test]
fn harmless_tests_are_due_more_often_than_others() {
    assert_eq!(lines(&route("")), "15m: plain\n");
    assert_eq!(lines(&route(BOTH)), "6h: eicar gtube !\n15m: plain html\n");
    assert_eq!(
        lines(&route(&format!(
            "every = \"1h\"\nevery_harmful = \"24h\"\n{BOTH}"
        ))),
        "24h: eicar gtube !\n1h: plain html\n"
    );
}

#[test]
fn harmful_tests_are_not_due_more_often_than_harmless_ones() {
    assert_eq!(
        lines(&route(&format!("every = \"12h\"\n{BOTH}"))),
        "12h: eicar plain gtube html !\n"
    );
    assert_eq!(
        lines(&route(&format!(
            "timezone = \"UTC\"\ncron = \"0 8 * * *\"\n{BOTH}"
        ))),
        "6h: eicar gtube !\n0 8 * * * in UTC: plain html\n"
    );
}

#[test]
fn what_a_test_says_itself_holds_for_all_it_stands_for() {
    let own = r#"tests = [
        { payload = "plain" },
        { payload = "html", every = "1m" },
        { suite = "spam", cron = "30 3 * * SUN" },
        { payload = "eicar", every = "15m" },
    ]"#;
    assert_eq!(
        lines(&route(&format!("timezone = \"europe/berlin\"\n{own}"))),
        "15m: plain eicar !\n1m: html\n30 3 * * SUN in Europe/Berlin: gtube !\n"
    );
}

#[test]
fn the_routes_own_way_to_say_when_is_before_that_of_the_defaults() {
    let defaults = "[defaults]\ncron = \"0 8 * * *\"\ntimezone = \"UTC\"\n";
    assert_eq!(
        lines(&format!("{defaults}{}", route(""))),
        "0 8 * * * in UTC: plain\n"
    );
    assert_eq!(
        lines(&format!("{defaults}{}", route("every = \"5m\""))),
        "5m: plain\n"
    );
    let defaults = "[defaults]\nevery = \"5m\"\n";
    let own = route("cron = \"0 9 * * *\"\ntimezone = \"Asia/Tokyo\"");
    assert_eq!(
        lines(&format!("{defaults}{own}")),
        "0 9 * * * in Asia/Tokyo: plain\n"
    );
}

#[test]
fn a_ping_is_one_line_without_tests() {
    let ping = "[routes.inbound]\nkind = \"ping\"\ngateway = \"edge\"\nevery = \"1m\"\n";
    assert_eq!(lines(ping), "1m: \n");
    let defaults = "[defaults]\nevery_harmful = \"1h\"\n";
    assert_eq!(lines(&format!("{defaults}{ping}")), "1m: \n");
}

#[test]
fn what_all_depend_on_by_default_depends_on_none() {
    let plan = plan(&format!(
        "[defaults]\ndepends_on = \"greeting\"\n{}[routes.greeting]\nkind = \"ping\"\ngateway = \"edge\"\n",
        route("")
    ));
    let depends = |name: &str| plan.watches[&name.into()].policy.depends_on.clone();
    assert_eq!(depends("inbound"), Some("greeting".into()));
    assert_eq!(depends("greeting"), None);
}

#[test]
fn everybody_is_told_unless_a_route_says_whom() {
    let alerts = "[alerts.b]\nkind = \"command\"\ncommand = [\"b\"]\n[alerts.a]\nkind = \"command\"\ncommand = [\"a\"]\n";
    let told = |keys: &str| {
        let plan = plan(&format!("{alerts}{}", route(keys)));
        let watch = &plan.watches[&"inbound".into()];
        watch
            .alerts
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(told(""), ["a", "b"]);
    assert_eq!(told("alerts = [\"b\", \"b\"]"), ["b"]);
    assert_eq!(told("alerts = []"), Vec::<String>::new());
}
