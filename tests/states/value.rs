//! Values that both kinds of scenario write: times, durations, routes.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mailrobin::config::plan::Maintenance;
use mailrobin::config::value::duration;
use mailrobin::probe::name::RouteName;
use serde::{Deserialize, Deserializer, de::Error};

/// When a scenario begins, if it does not say.
pub(crate) const START: &str = "2026-01-01T00:00:00Z";

/// A time: `01:30` or `01:30:15.250` after the scenario's beginning, `2d 01:30`, or a whole timestamp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Time {
    After(SignedDuration),
    At(Timestamp),
}

impl Time {
    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        let wrong =
            || format!("{text:?} is no time: write \"01:30\", \"2d 01:30:15\" or a timestamp");
        let (days, time) = text.split_once("d ").unwrap_or(("0", text));
        let parts: Vec<&str> = time.split(':').collect();
        let whole = |part: &str| part.parse::<f64>().map_err(|_| wrong());
        let (hours, minutes, seconds) = match parts.as_slice() {
            [hours, minutes] => (whole(hours)?, whole(minutes)?, 0.0),
            [hours, minutes, seconds] => (whole(hours)?, whole(minutes)?, whole(seconds)?),
            _ => return Err(wrong()),
        };
        let seconds = (whole(days)? * 24.0 + hours) * 3600.0 + minutes * 60.0 + seconds;
        let millis = SignedDuration::from_secs_f64(seconds).as_millis();
        Ok(Self::After(SignedDuration::from_millis(
            i64::try_from(millis).map_err(|_| wrong())?,
        )))
    }

    pub(crate) fn from(self, start: Timestamp) -> Timestamp {
        match self {
            Self::After(time) => start + time,
            Self::At(at) => at,
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A duration as a config writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration(&text).map(Self).map_err(D::Error::custom)
    }
}

/// A maintenance that begins and ends.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    from: Time,
    to: Time,
}

impl Window {
    pub(crate) fn all(windows: &[Self], start: Timestamp) -> Vec<Maintenance> {
        let once = |window: &Self| Maintenance::Once {
            from: window.from.from(start),
            to: window.to.from(start),
        };
        windows.iter().map(once).collect()
    }
}

/// The routes of a scenario; one with a `count` stands for so many, `name-1` and on.
pub(crate) fn expanded<T: Clone>(
    routes: &BTreeMap<String, T>,
    count: impl Fn(&T) -> Option<u32>,
) -> Vec<(RouteName, T)> {
    let mut expanded = Vec::new();
    for (name, route) in routes {
        match count(route) {
            None => expanded.push((RouteName::from(name.as_str()), route.clone())),
            Some(count) => expanded.extend((1..=count).map(|number| {
                let name = format!("{name}-{number}");
                (RouteName::from(name.as_str()), route.clone())
            })),
        }
    }
    expanded
}

/// The routes that a name with a `*` at its end means.
pub(crate) fn meant<'a>(name: &str, routes: impl Iterator<Item = &'a RouteName>) -> Vec<RouteName> {
    match name.strip_suffix('*') {
        None => vec![RouteName::from(name)],
        Some(prefix) => routes
            .filter(|route| route.as_str().starts_with(prefix))
            .cloned()
            .collect(),
    }
}
