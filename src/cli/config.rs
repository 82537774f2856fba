//! `mailrobin config`: is it valid, and what does it come to?

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;

use super::paths::config_places;
use super::{Common, Exit};
use crate::config;
use crate::config::plan::{Plan, StorePlan};

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
    pub(super) fn run(self, common: &Common) -> Result<Exit> {
        let mut out = common.output();
        match self {
            Self::Check => {
                let (plan, path) = common.plan()?;
                let routes = plan.routes.len() + plan.pings.len();
                let plural = if routes == 1 { "route" } else { "routes" };
                writeln!(out, "{path} is valid: {routes} {plural}")?;
            }
            Self::Show => writeln!(out, "{}", common.plan()?.0)?,
            Self::Schema => writeln!(out, "{:#}", config::file::schema())?,
        }
        Ok(Exit::OK)
    }
}

impl Common {
    /// The config file that is named, or else the first in the usual places.
    fn config_file(&self) -> Option<PathBuf> {
        let named = std::env::var_os("MAILROBIN_CONFIG").filter(|path| !path.is_empty());
        let named = self.config.clone().or(named.map(Into::into));
        named.or_else(|| config_places().into_iter().find(|place| place.exists()))
    }

    /// The history's file, whether it is there or not: the one that the config names, else the one in the state directory,
    /// which needs no config.
    pub(super) fn known_history(&self) -> Result<PathBuf> {
        let store = match self.config_file() {
            Some(_) => self.plan()?.0.store,
            None => StorePlan::default(),
        };
        self.history(&store)
    }

    /// The plan of the config file, and the file's name. Warnings are said on the way.
    pub(super) fn plan(&self) -> Result<(Plan, String)> {
        let path = self.config_file().with_context(|| {
            let places: Vec<_> = config_places()
                .iter()
                .map(|place| place.display().to_string())
                .collect();
            format!(
                "there is no config: name one with -c, or put one at {}",
                places.join(", ")
            )
        })?;
        let (plan, warnings) = config::load(&path)?;
        if !warnings.in_order().is_empty() && !self.quiet {
            writeln!(self.error_output(), "{warnings}")?;
        }
        Ok((plan, path.display().to_string()))
    }
}
