//! When: intervals, patterns of the calendar, time zones, and times of maintenance.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::reader::Reader;
use super::routes::Place;
use crate::clock::Stamp;
use crate::config::diagnostic::nearest;
use crate::config::file::{self, At, Text};
use crate::config::plan::{Cron, Maintenance, Timing};

/// How often harmless tests are sent where nothing else is said.
const EVERY: Duration = Duration::from_mins(15);
/// And all others.
const EVERY_HARMFUL: Duration = Duration::from_hours(6);
/// Harmless tests, and pings, are not sent more often; a duration in milliseconds is a slip.
pub(super) const LEAST: Duration = Duration::from_secs(1);
/// Nor are all others.
pub(super) const LEAST_HARMFUL: Duration = Duration::from_mins(1);

/// When the tests of a route are due that do not say so themselves.
pub(super) struct Rhythm {
    pub(super) harmless: Timing,
    pub(super) harmful: Timing,
}

impl Reader<'_> {
    /// The zone whose clocks are gone by.
    pub(super) fn zone(&mut self, text: Option<&Text>) -> TimeZone {
        let Some(text) = text else {
            return TimeZone::system();
        };
        if let Ok(zone) = jiff::tz::db().get(text.value()) {
            return zone;
        }
        let known: Vec<_> = jiff::tz::db()
            .available()
            .map(|name| name.to_string())
            .collect();
        let near = nearest(text.value(), known.iter().map(String::as_str));
        let help = match near {
            _ if known.is_empty() => "this system has no time zones: install tzdata".to_owned(),
            Some(near) => format!("did you mean `{near}`?"),
            None => "write a name of the IANA database, like \"Europe/Berlin\"".to_owned(),
        };
        let message = format!("{:?} is no time zone that is known here", text.value());
        self.wrong(text.span(), message, Some(&help));
        TimeZone::UTC
    }

    /// The rhythm of a route: its own `every` or `cron` before the defaults'.
    pub(super) fn rhythm(&mut self, place: &Place<'_>, zone: &TimeZone) -> Rhythm {
        let layers = [place.keys.own, place.keys.defaults];
        let [own, defaults] =
            layers.map(|keys| self.timing((keys.every.as_ref(), keys.cron.as_ref()), LEAST, zone));
        let harmless = own.or(defaults).unwrap_or(Timing::Every(EVERY));
        let every_harmful = self.interval(place.pick(|r| &r.every_harmful), LEAST_HARMFUL);
        let every_harmful = every_harmful.unwrap_or(match &harmless {
            Timing::Every(every) => EVERY_HARMFUL.max(*every),
            Timing::Cron(_) => EVERY_HARMFUL,
        });
        Rhythm {
            harmless,
            harmful: Timing::Every(every_harmful),
        }
    }

    /// What one table says of when; it may say it in one way alone. `least`: between two times.
    pub(super) fn timing(
        &mut self,
        (every, cron): (Option<&Text>, Option<&Text>),
        least: Duration,
        zone: &TimeZone,
    ) -> Option<Timing> {
        if let (Some(_), Some(cron)) = (every, cron) {
            self.wrong(cron.span(), "give either `every` or `cron`, not both", None);
        }
        let every = self.interval(every, least).map(Timing::Every);
        let cron = self.cron(cron, zone).map(Timing::Cron);
        every.or(cron)
    }

    fn cron(&mut self, text: Option<&Text>, zone: &TimeZone) -> Option<Cron> {
        self.checked(text, |text| {
            let cron = Cron::parse(text, zone.clone())?;
            match cron.after(Stamp::now().wall) {
                Some(_) => Ok(cron),
                None => Err(format!("no moment to come is like {text:?}")),
            }
        })
    }

    pub(super) fn maintenance(
        &mut self,
        times: Option<&At<Vec<At<file::Maintenance>>>>,
        zone: &TimeZone,
    ) -> Vec<Maintenance> {
        let times = times.map_or(&[][..], |times| times.value());
        times
            .iter()
            .filter_map(|keys| self.time_of_maintenance(keys, zone))
            .collect()
    }

    fn time_of_maintenance(
        &mut self,
        keys: &At<file::Maintenance>,
        zone: &TimeZone,
    ) -> Option<Maintenance> {
        let file::Maintenance {
            from,
            to,
            cron,
            lasts,
        } = keys.value();
        match (from, to, cron, lasts) {
            (Some(from), Some(to), None, None) => {
                let begins = self.checked(Some(from), moment)?;
                let ends = self.checked(Some(to), moment)?;
                if ends <= begins {
                    self.wrong(to.span(), "this is over before it begins", None);
                }
                Some(Maintenance::Once {
                    from: begins,
                    to: ends,
                })
            }
            (None, None, Some(cron), Some(lasts)) => {
                let begins = self.cron(Some(cron), zone);
                let lasts = self.duration(Some(lasts))?;
                Some(Maintenance::Recurring {
                    begins: begins?,
                    lasts,
                })
            }
            _ => {
                let message = "a maintenance has either `from` and `to`, or `cron` and `for`";
                self.absent(keys.span(), message, None);
                None
            }
        }
    }
}

fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is no moment: write it like \"2026-12-01T22:00:00Z\" or \"2026-12-01T23:00:00+01:00\"")
    })
}
