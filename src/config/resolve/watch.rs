//! What the service adds to a route: when its tests are due, when a failure is told, and whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::program::Keys;
use super::reader::Reader;
use super::routes::Place;
use super::tests::Timed;
use super::timing::{LEAST, LEAST_HARMFUL, Rhythm};
use crate::config::diagnostic::suggest;
use crate::config::file::{self, At, File, Text};
use crate::config::plan::{Line, Policy, Recovery, Watch};
use crate::config::value::Rate;
use crate::probe::name::{AlertName, RouteName};
use crate::probe::payload::Class;

/// How long a recovery may take where nothing else is said.
const RECOVERY_TIMEOUT: Duration = Duration::from_mins(1);
const LONGEST_RECOVERY: Duration = Duration::from_hours(24);
/// How often it is run at most.
const RECOVERIES: Rate = Rate {
    count: 3,
    per: Duration::from_hours(1),
};

/// People are not reminded more often.
const LEAST_REMINDER: Duration = Duration::from_mins(1);

impl Reader<'_> {
    /// How a route is watched: one with tests, or a ping, which has none.
    pub(super) fn watch(
        &mut self,
        place: &Place<'_>,
        file: &File,
        (tests, zone): (Option<&[Timed]>, &TimeZone),
    ) -> Watch {
        let rhythm = self.rhythm(place, zone);
        let enabled = place.pick(|r| &r.enabled);
        let is_harmless = |it: &Timed| it.test.sample.payload.class() == Class::Harmless;
        let least = if tests.is_none_or(|tests| tests.iter().all(is_harmless)) {
            LEAST
        } else {
            LEAST_HARMFUL
        };
        Watch {
            enabled: enabled.is_none_or(|enabled| *enabled.value()),
            lines: lines(rhythm, tests),
            every_when_down: self.interval(place.pick(|r| &r.every_when_down), LEAST),
            every_when_lost: self.interval(place.pick(|r| &r.every_when_lost), least),
            maintenance: self.maintenance(place.pick(|r| &r.maintenance), zone),
            policy: self.policy(place, file),
            alerts: self.told(place.pick(|r| &r.alerts), file),
            recovery: place
                .pick(|r| &r.recovery)
                .and_then(|keys| self.recovery(keys))
                .map(Arc::new),
        }
    }

    fn policy(&mut self, place: &Place<'_>, file: &File) -> Policy {
        let default = Policy::default();
        let count = |count: Option<&At<u16>>, default| {
            count.map_or(default, |count| u32::from(*count.value()))
        };
        Policy {
            fail_after: count(place.pick(|r| &r.fail_after), default.fail_after),
            recover_after: count(place.pick(|r| &r.recover_after), default.recover_after),
            max_alerts: count(place.pick(|r| &r.max_alerts), default.max_alerts),
            remind_every: self.interval(place.pick(|r| &r.remind_every), LEAST_REMINDER),
            depends_on: self.depends_on(place, file),
        }
    }

    fn depends_on(&mut self, place: &Place<'_>, file: &File) -> Option<RouteName> {
        let text = place.pick(|r| &r.depends_on)?;
        if text.value() == place.name {
            // The route on which all others depend by default depends on none.
            if place.keys.own.depends_on.is_some() {
                self.wrong(text.span(), "a route cannot depend on itself", None);
            }
            return None;
        }
        if !file.routes.contains_key(text.value()) {
            let others = file.routes.keys().map(String::as_str);
            let others = others.filter(|name| *name != place.name);
            let help = suggest(text.value(), others);
            let message = format!("there is no route `{}`", text.value());
            self.absent(text.span(), message, Some(&help));
        }
        Some(text.value().as_str().into())
    }

    /// Routes that depend on each other would silence each other.
    pub(super) fn circles(&mut self, file: &File, watches: &BTreeMap<RouteName, Arc<Watch>>) {
        let next = |name: &RouteName| watches.get(name)?.policy.depends_on.clone();
        // Each route is walked over once, however long the chains are.
        let mut walked = BTreeSet::new();
        for name in file.routes.keys() {
            let mut way = Vec::new();
            let mut at = Some(RouteName::from(name.as_str()));
            while let Some(name) = at.take_if(|name| walked.insert(name.clone())) {
                at = next(&name);
                way.push(name);
            }
            // Where it ends on itself, what lies behind is the circle. It is reported once, from its first route on.
            let Some(begin) = way.iter().position(|name| Some(name) == at.as_ref()) else {
                continue;
            };
            let mut way = way.split_off(begin);
            let first = (0..way.len()).min_by_key(|at| way.get(*at)).unwrap_or(0);
            way.rotate_left(first);
            let Some(table) = way.first().and_then(|name| file.routes.get(name.as_str())) else {
                continue;
            };
            let defaults = file.defaults.as_ref().map(At::value);
            let own = table.value().depends_on.as_ref();
            let text = own.or(defaults.and_then(|defaults| defaults.depends_on.as_ref()));
            let names: Vec<_> = way
                .iter()
                .chain(way.first())
                .map(RouteName::as_str)
                .collect();
            let message = format!("`depends_on` goes in a circle: {}", names.join(", "));
            self.wrong(text.map_or(table.span(), At::span), message, None);
        }
    }

    fn told(&mut self, names: Option<&At<Vec<Text>>>, file: &File) -> Vec<AlertName> {
        let known = file.alerts.keys().map(String::as_str);
        let Some(names) = names else {
            return known.map(AlertName::from).collect();
        };
        let mut told = Vec::new();
        for name in names.value() {
            if !file.alerts.contains_key(name.value()) {
                let help = match known.clone().next() {
                    Some(_) => suggest(name.value(), known.clone()),
                    None => format!("add [alerts.{}]", name.value()),
                };
                let message = format!("there is no alert `{}`", name.value());
                self.absent(name.span(), message, Some(&help));
            }
            let name = AlertName::from(name.value().as_str());
            if !told.contains(&name) {
                told.push(name);
            }
        }
        told
    }

    fn recovery(&mut self, keys: &At<file::Recovery>) -> Option<Recovery> {
        let file::Recovery {
            command,
            env,
            timeout,
            at_most,
        } = keys.value();
        let timeout = self.duration_within(timeout.as_ref(), LONGEST_RECOVERY);
        let at_most = self.checked(at_most.as_ref(), Rate::parse);
        let program = self.program(Keys {
            command: command.as_ref(),
            env: env.as_ref(),
            timeout: timeout.unwrap_or(RECOVERY_TIMEOUT),
            table: (keys.span(), "`recovery`".into()),
        });
        Some(Recovery {
            program: program?,
            at_most: at_most.unwrap_or(RECOVERIES),
        })
    }
}

/// What is sent together: tests that are due at the same times.
fn lines(rhythm: Rhythm, tests: Option<&[Timed]>) -> Vec<Line> {
    let Some(tests) = tests else {
        return vec![Line {
            timing: rhythm.harmless,
            tests: Vec::new(),
            is_harmless: true,
        }];
    };
    let mut lines: Vec<Line> = Vec::new();
    for (index, Timed { test, own }) in tests.iter().enumerate() {
        let is_harmless = test.sample.payload.class() == Class::Harmless;
        let rhythm = if is_harmless {
            &rhythm.harmless
        } else {
            &rhythm.harmful
        };
        let timing = own.as_ref().unwrap_or(rhythm);
        if let Some(line) = lines.iter_mut().find(|line| line.timing == *timing) {
            line.tests.push(index);
            line.is_harmless &= is_harmless;
        } else {
            lines.push(Line {
                timing: timing.clone(),
                tests: vec![index],
                is_harmless,
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests;
