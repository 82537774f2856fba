//! From the config file to a [`Plan`]: read as written, checked as a whole, every error with its place, all at once.
//! Only the plan travels on.

mod check;
pub mod diagnostic;
pub mod file;
mod lint;
pub mod plan;
mod resolve;
pub mod secret;
mod show;
pub mod template;
pub mod value;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use diagnostic::{Diagnostics, Source};
use plan::Plan;

use crate::files::{self, CONFIG_LIMIT, FileError};

/// Why a config could not be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// What it says cannot be used: every reason, with its place.
    #[error("{0}")]
    Invalid(Diagnostics),
}

/// Where a config stands.
#[derive(Clone, Copy, Debug, Default)]
struct Setting<'a> {
    /// Relative paths are relative to this.
    folder: Option<&'a Path>,
    /// Every user of this machine can read it.
    others_can_read: bool,
    /// It is to be used in this environment.
    is_for_here: bool,
}

/// Reads a config file, or what a pipe hands over. Relative paths in it are relative to its folder.
///
/// Blocks for as long as its files do.
pub fn load(path: &Path) -> Result<(Plan, Diagnostics), ConfigError> {
    load_for(path, false)
}

/// The same; secrets that this environment lacks are warned about.
pub fn load_here(path: &Path) -> Result<(Plan, Diagnostics), ConfigError> {
    load_for(path, true)
}

fn load_for(path: &Path, is_for_here: bool) -> Result<(Plan, Diagnostics), ConfigError> {
    let bytes = files::read_or_drain(path, CONFIG_LIMIT).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    read_bytes(path, bytes, is_for_here)
}

/// The same of a file that was read before.
#[expect(
    clippy::disallowed_methods,
    reason = "it is called where blocking is no harm"
)]
pub fn read_bytes(
    path: &Path,
    bytes: Vec<u8>,
    is_for_here: bool,
) -> Result<(Plan, Diagnostics), ConfigError> {
    let origin = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let lossy = String::from_utf8_lossy(error.as_bytes());
        let mut found = Diagnostics::new(Source::new(&lossy, &origin));
        found.error(
            at..at + 1,
            "this is not UTF-8, which TOML is written in",
            None,
        );
        ConfigError::Invalid(found)
    })?;
    let setting = Setting {
        folder: path.parent(),
        others_can_read: std::fs::metadata(path)
            .is_ok_and(|facts| facts.permissions().mode() & 0o004 != 0),
        is_for_here,
    };
    read(&text, &origin, &setting).map_err(ConfigError::Invalid)
}

/// Reads a config from its text: the plan and what is legal in it but unwise, or everything that is wrong with it.
/// `origin` is what errors call it.
pub fn parse(text: &str, origin: &str, folder: &Path) -> Result<(Plan, Diagnostics), Diagnostics> {
    let setting = Setting {
        folder: Some(folder),
        ..Setting::default()
    };
    read(text, origin, &setting)
}

fn read(
    text: &str,
    origin: &str,
    setting: &Setting<'_>,
) -> Result<(Plan, Diagnostics), Diagnostics> {
    let mut found = Diagnostics::new(Source::new(text, origin));
    let Some(file) = check::read(text, &mut found) else {
        return Err(found);
    };
    let folder = setting.folder.unwrap_or(Path::new(""));
    match resolve::resolve(&file, folder, &mut found) {
        Some(plan) if !found.has_errors() => {
            lint::lint(&file, &plan, setting, &mut found);
            if setting.is_for_here {
                lint::unset(&file, &mut found);
            }
            Ok((plan, found))
        }
        _ => Err(found),
    }
}
