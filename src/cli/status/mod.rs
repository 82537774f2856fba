//! `mailrobin status`: what does the running service see?

mod ask;

mod human;
mod words;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use reqwest::Url;
use serde_json::Value;

use super::{Common, Exit};
use crate::config::diagnostic::suggest;
use crate::probe::outcome::Verdict;
use crate::probe::state::State;
use crate::service::api::document;

pub(super) use ask::ADDRESS;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Status {
    /// The routes to show [default: all]
    #[arg(value_name = "ROUTE")]
    routes: Vec<String>,
    /// Where the service listens [default: what it wrote into the state directory, else what the config says]
    #[arg(long, value_parser = ask::url)]
    url: Option<Url>,
    /// File with the token to show [default: the token of the config, where one is needed]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file of authorities to trust besides the system's and the certificate of the config
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  every route is up
  1  a route is degraded, or something is wrong with the service itself
  2  a route is down or lost
  3  of a route nothing can be said, nothing is tested, or the service does not answer";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Human,
    /// As the service's API gives it
    Json,
}

impl Status {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let (mut answer, from) = self.ask(common).await?;
        let status = serde_json::from_value(answer.clone());
        let mut status: document::Status = status.with_context(|| {
            let own = env!("CARGO_PKG_VERSION");
            let theirs = answer.get("version").and_then(Value::as_str);
            let theirs = theirs.unwrap_or("none that it names");
            format!("what {from} answers cannot be read by mailrobin {own}; it is version {theirs}")
        })?;
        self.choose(&mut status)?;
        let mut out = common.output();
        match self.format {
            Format::Human => {
                let text = human::render(&status, super::width());
                out.write_all(text.as_bytes())?;
            }
            Format::Json => {
                self.choose_of(&mut answer);
                writeln!(out, "{answer:#}")?;
            }
        }
        out.flush()?;
        Ok(Exit(verdict(&status).exit_code()))
    }

    /// Leaves the routes that were named.
    fn choose(&self, status: &mut document::Status) -> Result<()> {
        let known = status.routes.iter().map(|route| route.view.name.as_str());
        for name in &self.routes {
            if !known.clone().any(|known| known == name) {
                bail!(
                    "the service knows no route {name:?}: {}",
                    suggest(name, known)
                );
            }
        }
        status
            .routes
            .retain(|route| self.is_chosen(Some(route.view.name.as_str())));
        if let Some(incidents) = &mut status.incidents {
            incidents.retain(|incident| self.is_chosen(Some(incident.key.route.as_str())));
        }
        Ok(())
    }

    /// The same in the answer as it came.
    fn choose_of(&self, answer: &mut Value) {
        for (list, name) in [("routes", "name"), ("incidents", "route")] {
            if let Some(list) = answer.get_mut(list).and_then(Value::as_array_mut) {
                list.retain(|item| self.is_chosen(named(item, name)));
            }
        }
    }

    fn is_chosen(&self, route: Option<&str>) -> bool {
        self.routes.is_empty() || self.routes.iter().any(|name| Some(name.as_str()) == route)
    }
}

fn named<'a>(item: &'a Value, key: &str) -> Option<&'a str> {
    item.get(key).and_then(Value::as_str)
}

/// What all of it is worth.
fn verdict(status: &document::Status) -> Verdict {
    let tested = status
        .routes
        .iter()
        .filter(|route| route.view.enabled && !route.view.paused);
    let worst = tested
        .map(|route| route.view.standing().map_or(Verdict::Unknown, worth))
        .max();
    let service = if human::troubles(status).is_empty() {
        Verdict::Pass
    } else {
        Verdict::Warn
    };
    // Where nothing is tested, nothing is known.
    worst.unwrap_or(Verdict::Unknown).max(service)
}

/// What a state is worth.
fn worth(state: State) -> Verdict {
    match state {
        State::Up => Verdict::Pass,
        State::Degraded => Verdict::Warn,
        State::Unknown => Verdict::Unknown,
        State::Down | State::Lost => Verdict::Fail,
    }
}
