//! Payloads against what became of them, for a route on which filters are tested.

use super::document::TestRecords;
use crate::probe::outcome::{Code, Outcome, Verdict};
use crate::probe::payload::Class;
use crate::probe::record::Record;

/// One route's filter tests.
#[derive(Debug)]
pub struct Matrix<'a> {
    /// The route under test.
    pub route: &'a str,
    /// The worst verdict of its tests.
    pub verdict: Verdict,
    /// One line for viruses and one for spam, where they were sent.
    pub sums: Vec<String>,
    /// A row for each test, in the order of the catalogue.
    pub rows: Vec<Row<'a>>,
}

/// What became of one payload.
#[derive(Debug)]
pub struct Row<'a> {
    /// What it is worth: the worst of its probes.
    pub verdict: Verdict,
    /// The payload and what tells it from the catalogue's.
    pub payload: String,
    /// The probe that decides it.
    pub probe: &'a Record,
    /// How many probes of how many ended like that one, where there were several.
    pub share: Option<(usize, usize)>,
}

/// The matrix of a route's tests; `None` where no filter was tested.
pub fn matrix<'a>(tests: &[&'a TestRecords<'a>]) -> Option<Matrix<'a>> {
    let route = tests.first()?.route.as_str();
    let is_harmless =
        |test: &&TestRecords<'_>| test.counted().all(|probe| probe.class() == Class::Harmless);
    if tests.iter().all(is_harmless) {
        return None;
    }
    let rows: Vec<_> = tests.iter().filter_map(|test| row(test)).collect();
    let sums = [(Class::Virus, "antivirus"), (Class::Spam, "spam")];
    let sums = sums
        .into_iter()
        .filter_map(|(class, name)| sum(name, rows.iter().filter(|row| row.probe.class() == class)))
        .collect();
    Some(Matrix {
        route,
        verdict: tests
            .iter()
            .map(|test| test.verdict())
            .max()
            .unwrap_or_default(),
        sums,
        rows,
    })
}

fn row<'a>(test: &'a TestRecords<'a>) -> Option<Row<'a>> {
    let probe = test.deciding()?;
    let total = test.counted().count();
    let alike = test
        .counted()
        .filter(|other| other.code == probe.code && other.outcome == probe.outcome);
    Some(Row {
        verdict: test.verdict(),
        payload: test.name(),
        probe,
        share: (total > 1).then(|| (alike.count(), total)),
    })
}

/// Such as `antivirus: 9 of 10 variants stopped; came through: eicar-tar-gz`.
fn sum<'r>(name: &str, rows: impl Iterator<Item = &'r Row<'r>>) -> Option<String> {
    let rows: Vec<_> = rows.collect();
    let named = |wanted: fn(&Row<'_>) -> bool| -> Vec<_> {
        rows.iter()
            .filter(|row| wanted(row))
            .map(|row| row.payload.as_str())
            .collect()
    };
    let total = rows.len();
    let stopped = rows
        .iter()
        .filter(|row| row.verdict == Verdict::Pass && !came_as_expected(row));
    let passed = stopped.count();
    let came = named(|row| row.probe.code == Code::Leak);
    let as_expected = named(came_as_expected);
    let unknown = named(|row| row.verdict == Verdict::Unknown);
    let other = named(|row| row.verdict == Verdict::Fail && row.probe.code != Code::Leak);
    if total == 0 {
        return None;
    }
    let total = total - as_expected.len();
    let variants = if total == 1 { "variant" } else { "variants" };
    let mut sum = format!("{name}: {passed} of {total} {variants} stopped");
    if name == "spam" {
        sum.push_str(" or marked");
    }
    for (what, names) in [
        ("came through", came),
        ("not as expected", other),
        ("nothing can be said of", unknown),
        ("let through, as expected", as_expected),
    ] {
        if !names.is_empty() {
            sum.extend(["; ", what, ": ", &names.join(", ")]);
        }
    }
    Some(sum)
}

fn came_as_expected(row: &Row<'_>) -> bool {
    row.verdict == Verdict::Pass && row.probe.outcome == Outcome::Delivered
}
