//! `mailrobin config`: is it valid, and what does it come to?

#![expect(
    clippy::disallowed_methods,
    reason = "a command looks for its config before all else"
)]

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;

use super::paths::config_places;
use super::{Common, Exit};
use crate::config;
use crate::config::diagnostic::Diagnostics;
use crate::config::plan::{Plan, StorePlan, Watch};
use crate::config::value::grouped;
use crate::files::off_loop;
use crate::probe::name::RouteName;

type Load = fn(&Path) -> Result<(Plan, Diagnostics), config::ConfigError>;

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Say whether the config can be used, and everything that is wrong with it or unwise in it
    Check,
    /// Print the config with defaults filled in and secrets hidden
    Show,
    /// Print the JSON Schema of the config, for editors
    Schema,
}

impl Config {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let mut out = common.output();
        match self {
            Self::Check => {
                let (plan, path) = common.plan_by(config::load_here).await?;
                let routes = plan.routes.len() + plan.pings.len();
                let plural = if routes == 1 { "route" } else { "routes" };
                writeln!(out, "{path} is valid: {routes} {plural}")?;
                for (name, watch) in &plan.watches {
                    writeln!(out, "  {name}: {}", a_day(&plan, name, watch))?;
                }
            }
            Self::Show => writeln!(out, "{}", common.plan().await?.0)?,
            Self::Schema => writeln!(out, "{:#}", config::file::schema())?,
        }
        Ok(Exit::OK)
    }
}

/// What `run` does on a route in a day.
fn a_day(plan: &Plan, name: &RouteName, watch: &Watch) -> String {
    if !watch.enabled {
        return "not tested".into();
    }
    let Some(route) = plan.routes.get(name) else {
        return format!("{} pings a day", grouped(watch.a_day(&[])));
    };
    let each = if route.gateway.each_address {
        ", to each address of the gateway"
    } else {
        ""
    };
    let count = grouped(watch.a_day(&route.tests));
    format!("`run` sends {count} test mails a day{each}")
}

impl Common {
    /// The history's file, whether it is there or not: the one that the config names, else the one in the state directory,
    /// which needs no config.
    pub(super) async fn known_history(&self) -> Result<PathBuf> {
        let store = match self.config_file() {
            Ok(_) => self.plan().await?.0.store,
            // It is needed for nothing else.
            Err(_) => StorePlan::default(),
        };
        self.history(&store)
    }

    /// The plan of the config file, and the file's name. Warnings are said on the way.
    pub(super) async fn plan(&self) -> Result<(Plan, String)> {
        self.plan_by(config::load).await
    }

    async fn plan_by(&self, load: Load) -> Result<(Plan, String)> {
        let path = self.config_file()?;
        let (path, loaded) = off_loop(move || {
            let loaded = load(&path);
            (path, loaded)
        })
        .await?;
        let (plan, warnings) = loaded?;
        if !warnings.in_order().is_empty() && !self.quiet {
            writeln!(self.error_output(), "{warnings}")?;
        }
        Ok((plan, path.display().to_string()))
    }

    /// The plan of the config file, for a command that is about something else: warnings are left to `config check`.
    pub(super) async fn quiet_plan(&self) -> Result<Plan> {
        let path = self.config_file()?;
        let (plan, _) = off_loop(move || config::load(&path)).await??;
        Ok(plan)
    }

    fn config_file(&self) -> Result<PathBuf> {
        let named = std::env::var_os("MAILROBIN_CONFIG").filter(|path| !path.is_empty());
        if let Some(path) = self.config.clone().or(named.map(Into::into)) {
            return Ok(path);
        }
        let places = config_places();
        let found = places.iter().find(|place| place.exists()).cloned();
        found.with_context(|| {
            let places: Vec<_> = places
                .iter()
                .map(|place| place.display().to_string())
                .collect();
            format!(
                "there is no config: name one with -c, or put one at {}",
                places.join(", ")
            )
        })
    }
}
