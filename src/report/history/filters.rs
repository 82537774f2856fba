//! Payloads against what became of them over a time, for the routes on which filters are tested.

use super::model::{FilterRow, Filters};
use crate::probe::name::RouteName;
use crate::probe::outcome::Code;
use crate::probe::payload::{Class, Payload};
use crate::probe::state::TestKey;
use crate::store::Stats;

/// The matrix of a route's tests; `None` where no filter was tested.
pub(super) fn filters(route: &RouteName, tests: &[(TestKey, Stats)]) -> Option<Filters> {
    let tested = |(key, stats): &(TestKey, Stats)| {
        let payload = key.payload()?;
        let is_tested = payload.class() != Class::Harmless && stats.probes() > 0;
        is_tested.then(|| (payload, row(key, payload, stats)))
    };
    let mut rows: Vec<_> = tests.iter().filter_map(tested).collect();
    rows.sort_by_key(|(payload, _)| *payload);
    let payloads: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    if payloads.is_empty() {
        return None;
    }
    let sums = [(Class::Virus, "antivirus"), (Class::Spam, "spam")];
    let sums = sums.into_iter().filter_map(|(class, name)| {
        let of_class = payloads.iter().filter(|row| row.class == class);
        sum(name, &of_class.collect::<Vec<_>>())
    });
    Some(Filters {
        route: route.clone(),
        sums: sums.collect(),
        payloads,
    })
}

fn row(key: &TestKey, payload: Payload, stats: &Stats) -> FilterRow {
    let reported = stats.only_reported();
    let leaks = stats.codes.get(Code::Leak.as_str()).copied();
    let leaks = leaks.unwrap_or_default().min(stats.fail);
    let is_judged = stats.judged() > 0 || reported == 0;
    FilterRow {
        payload: key.test.to_string(),
        class: payload.class(),
        probes: stats.probes(),
        as_expected: is_judged.then(|| stats.judged() - stats.fail),
        leaks,
        otherwise: stats.fail - leaks,
        unknown: stats.unknown,
        outcomes: stats.outcomes.clone(),
    }
}

/// Such as `antivirus: 9 of 10 payloads as expected every time; came through: eicar-tar-gz (2 of 360)`.
fn sum(name: &str, rows: &[&FilterRow]) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let always = rows
        .iter()
        .filter(|row| row.leaks == 0 && row.otherwise == 0 && row.as_expected > Some(0));
    let plural = if rows.len() == 1 {
        "payload"
    } else {
        "payloads"
    };
    let mut sum = format!(
        "{name}: {} of {} {plural} as expected every time",
        always.count(),
        rows.len()
    );
    let few = |count: fn(&FilterRow) -> u64| -> Vec<String> {
        let some = rows.iter().filter(|row| count(row) > 0);
        some.map(|row| format!("{} ({} of {})", row.payload, count(row), row.probes))
            .collect()
    };
    let nothing = |row: &FilterRow| {
        if row.unknown == row.probes {
            row.unknown
        } else {
            0
        }
    };
    for (what, names) in [
        ("came through", few(|row| row.leaks)),
        ("not as expected", few(|row| row.otherwise)),
        ("nothing can be said of", few(nothing)),
    ] {
        if !names.is_empty() {
            sum.extend(["; ", what, ": ", &names.join(", ")]);
        }
    }
    Some(sum)
}
