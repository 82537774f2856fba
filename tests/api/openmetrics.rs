//! A strict reader of `OpenMetrics` 1.0 text, as `promtool check metrics` and the specification read it.

use std::collections::{BTreeMap, BTreeSet};

/// A metric family.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) unit: Option<String>,
    /// Name with suffix, labels, value.
    pub(crate) samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Family {
    /// The names of the labels, less those of its kind.
    pub(crate) fn labels(&self) -> BTreeSet<&str> {
        let names = self.samples.iter().flat_map(|(_, labels, _)| labels.keys());
        names
            .map(String::as_str)
            .filter(|name| *name != "le")
            .collect()
    }
}

/// The suffixes of the samples of each kind.
fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => &["_bucket", "_count", "_sum"],
        "info" => &["_info"],
        other => panic!("a kind that is not used here: {other}"),
    }
}

/// The families of a text, by their names.
#[track_caller]
pub(crate) fn read(text: &str) -> BTreeMap<String, Family> {
    let body = text
        .strip_suffix("# EOF\n")
        .unwrap_or_else(|| panic!("it does not end with # EOF"));
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in body.lines() {
        assert!(!line.is_empty() && line.trim() == line, "{line:?}");
        if let Some(comment) = line.strip_prefix("# ") {
            let (what, rest) = comment.split_once(' ').unwrap();
            let (name, said) = rest.split_once(' ').unwrap();
            if name != current {
                assert!(
                    !families.contains_key(name),
                    "{name} is interleaved with others"
                );
                name.clone_into(&mut current);
            }
            let family = families.entry(current.clone()).or_default();
            assert!(
                family.samples.is_empty(),
                "{name}: its description comes first"
            );
            match what {
                "TYPE" => said.clone_into(&mut family.kind),
                "HELP" => said.clone_into(&mut family.help),
                "UNIT" => family.unit = Some(said.to_owned()),
                other => panic!("# {other}"),
            }
            continue;
        }
        let (name, labels, value) = sample(line);
        let family = families.get_mut(&current).unwrap();
        let suffix = name
            .strip_prefix(current.as_str())
            .unwrap_or_else(|| panic!("{name} is of another family than {current}"));
        assert!(
            suffixes(&family.kind).contains(&suffix),
            "{name}, {}",
            family.kind
        );
        family.samples.push((name, labels, value));
    }
    for (name, family) in &families {
        check(name, family);
    }
    families
}

fn check(name: &str, family: &Family) {
    let Family {
        kind,
        help,
        unit,
        samples,
    } = family;
    assert!(
        !kind.is_empty() && help.len() > 10 && help.ends_with('.'),
        "{name}: {kind:?}, {help:?}"
    );
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    assert!(
        name.starts_with("mailrobin_") && name.chars().all(is_name),
        "{name}"
    );
    for word in [
        "total",
        "count",
        "sum",
        "bucket",
        "info",
        "milliseconds",
        "ms",
    ] {
        assert!(
            !name.ends_with(&format!("_{word}")),
            "{name} ends with {word}"
        );
    }
    if let Some(unit) = unit {
        assert!(name.ends_with(&format!("_{unit}")), "{name}: {unit}");
    }
    assert_eq!(name.contains("seconds"), unit.is_some(), "{name}: {unit:?}");
    assert!(!samples.is_empty(), "{name} has nothing to say");
    let mut seen = BTreeSet::new();
    for (name, labels, value) in samples {
        assert!(seen.insert((name, labels)), "{name}{labels:?} comes twice");
        assert!(
            value.is_finite() && *value >= 0.0,
            "{name}{labels:?} {value}"
        );
    }
    if kind == "histogram" {
        buckets(name, samples);
    }
}

/// Each histogram grows up to its count.
fn buckets(name: &str, samples: &[(String, BTreeMap<String, String>, f64)]) {
    let mut last: BTreeMap<BTreeMap<String, String>, (f64, f64)> = BTreeMap::new();
    for (sample, labels, value) in samples {
        let mut labels = labels.clone();
        let le = labels.remove("le");
        if sample.ends_with("_bucket") {
            let le = match le.unwrap().as_str() {
                "+Inf" => f64::INFINITY,
                number => number.parse().unwrap(),
            };
            let before = last.insert(labels, (le, *value));
            let (bound, count) = before.unwrap_or((f64::NEG_INFINITY, 0.0));
            assert!(
                bound < le && count <= *value,
                "{name}: {bound} {count}, {le} {value}"
            );
        }
    }
    for (sample, labels, value) in samples {
        if sample.ends_with("_count") {
            let (le, count) = last[labels];
            assert!(le.is_infinite() && (count - value).abs() < 0.5, "{name}");
        }
    }
}

/// `name{label="value",…} 1.0`
fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let Some((name, mut rest)) = line.split_once('{') else {
        let (name, value) = line.split_once(' ').unwrap();
        return (name.to_owned(), BTreeMap::new(), value.parse().unwrap());
    };
    let mut labels = BTreeMap::new();
    loop {
        let (label, after) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    other => panic!("\\{other}"),
                }),
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
        rest = &after[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    let value = rest.strip_prefix("} ").unwrap();
    (name.to_owned(), labels, value.parse().unwrap())
}
