//! `mailrobin report`: what the history says of a time.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use jiff::{ToSpan, Zoned};

use super::{Common, Exit, times, width};
use crate::clock::Stamp;
use crate::config::diagnostic::suggest;
use crate::probe::name::RouteName;
use crate::report::history::calendar::{Unit, last_whole, named};
use crate::report::history::{Asked, csv, human, json, markdown, report};
use crate::store::{Reader, Span};

/// How long a time the report is about where nobody says.
const DAYS: i32 = 30;

#[derive(Debug, Args)]
pub(super) struct Report {
    /// The routes to report on [default: all that were tested]
    #[arg(value_name = "ROUTE")]
    routes: Vec<String>,
    /// About the last whole day, week, month or year, about all that is known, or about one by its name, such as 2026,
    /// 2026-10 or 2026-10-05 [default: the last 30 days]
    #[arg(long, value_name = "PERIOD", conflicts_with_all = ["since", "until"])]
    period: Option<String>,
    #[arg(long, value_name = "TIME", help = format!("About the time from then on: {}", times::HELP))]
    since: Option<String>,
    /// About the time before then [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Also by the days, weeks or months of that time
    #[arg(long, value_enum, value_name = "UNIT")]
    by: Option<By>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// By whose calendar and clock, such as Europe/Berlin [default: this system's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
}

/// What its figures mean, behind the options.
pub(super) const FIGURES: &str = "\
Figures:
  available  of the probes that were judged, those that passed, with a warning or
             without. What nothing can be said of, and what is only reported, is not
             judged. Of a route: over all of its tests
  tests      probes that came to an end
  p50, …     round trips of the copies that came: half, 95% and 99% of them took no
             longer; to 1%
  incidents  those that were open at some moment of the time
  downtime   the time in which at least one test of the route was in an incident,
             and down
  -, null    what is not known";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Day,
    Week,
    Month,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Human,
    /// Tables, for wikis and mail
    Markdown,
    /// All of it, for programs
    Json,
    /// The figures, for spreadsheets
    Csv,
}

impl Report {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let zone = times::zone(self.timezone.as_deref())?;
        let now = Stamp::now().wall.to_zoned(zone.clone());
        // What is said wrong is said before anything is read.
        let given = self.given(&now)?;
        let reader = Reader::open(&common.known_history().await?).await?;
        let span = match given {
            Some(span) => span,
            None => Span {
                from: reader.begins().await?.unwrap_or(now.timestamp()),
                to: now.timestamp(),
            },
        };
        let asked = Asked {
            span,
            by: self.by.map(|by| match by {
                By::Day => Unit::Day,
                By::Week => Unit::Week,
                By::Month => Unit::Month,
            }),
            routes: self.routes(&reader).await?,
            zone,
            now: now.timestamp(),
        };
        let report = report(&reader, &asked).await?;
        let mut out = BufWriter::new(common.output());
        match self.format {
            Format::Human => {
                let text = human::render(&report, &asked.zone, width());
                out.write_all(text.as_bytes())?;
            }
            Format::Markdown => {
                let text = markdown::render(&report, &asked.zone);
                out.write_all(text.as_bytes())?;
            }
            Format::Json => json::write(&report, &mut out)?,
            Format::Csv => csv::write(&report, &mut out)?,
        }
        out.flush()?;
        Ok(Exit::OK)
    }

    /// The time that was asked about; `None`: all there is.
    fn given(&self, now: &Zoned) -> Result<Option<Span>> {
        let span = match self.period.as_deref() {
            Some("all") => return Ok(None),
            Some("day") => last_whole(Unit::Day, now),
            Some("week") => last_whole(Unit::Week, now),
            Some("month") => last_whole(Unit::Month, now),
            Some("year") => last_whole(Unit::Year, now),
            Some(name) => named(name, now.time_zone()).with_context(|| {
                format!(
                    "there is no period {name:?}: write day, week, month, year or all, or one like 2026, 2026-10 or 2026-10-05"
                )
            })?,
            None => {
                let moment = |text: &String| times::moment(text, now);
                let until = self.until.as_ref().map(moment).transpose()?;
                let to = until.unwrap_or(now.timestamp());
                let since = self.since.as_ref().map(moment).transpose()?;
                let from = match since {
                    Some(since) => since,
                    None => to.to_zoned(now.time_zone().clone()).checked_sub(DAYS.days())?.timestamp(),
                };
                if from >= to {
                    bail!("the time that is asked about is over before it begins: from {from} to {to}");
                }
                Span { from, to }
            }
        };
        ensure!(
            span.from < now.timestamp(),
            "the time that is asked about is yet to come: from {}",
            span.from
        );
        Ok(Some(Span {
            from: span.from,
            to: span.to.min(now.timestamp()),
        }))
    }

    /// The routes that were named: each has been tested at some time.
    async fn routes(&self, reader: &Reader) -> Result<Vec<RouteName>> {
        if self.routes.is_empty() {
            return Ok(Vec::new());
        }
        let tests = reader.tests().await?;
        let known: BTreeSet<_> = tests.iter().map(|key| key.route.as_str()).collect();
        for name in &self.routes {
            ensure!(
                known.contains(name.as_str()),
                "no route {name:?} was ever tested: {}",
                suggest(name, known.iter().copied())
            );
        }
        Ok(self
            .routes
            .iter()
            .map(|name| name.as_str().into())
            .collect())
    }
}
