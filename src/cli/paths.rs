//! Where the config and the state are kept, when nobody says.

#![expect(
    clippy::disallowed_methods,
    reason = "a command looks for its folders before all else"
)]

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The config file's usual places, first to last.
pub(super) fn config_places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("mailrobin.toml")];
    places
        .extend(xdg("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("mailrobin/mailrobin.toml")));
    places.push("/etc/mailrobin/mailrobin.toml".into());
    places
}

/// The state directory's usual place.
pub(super) fn state_dir() -> Result<PathBuf> {
    let given = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    // systemd gives several, joined by colons.
    let first = |dirs: PathBuf| env::split_paths(&dirs).next();
    given("STATE_DIRECTORY")
        .and_then(first)
        .or_else(|| given("XDG_STATE_HOME").map(|dir| dir.join("mailrobin")))
        .or_else(|| is_root().then(|| "/var/lib/mailrobin".into()))
        .or_else(|| xdg("XDG_STATE_HOME", ".local/state").map(|dir| dir.join("mailrobin")))
        .context("there is no place to keep state in: name one with --state-dir")
}

/// A directory of the XDG base directory specification; relative values are ignored, as it asks.
fn xdg(name: &str, below_home: &str) -> Option<PathBuf> {
    env::var_os(name)
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(below_home)))
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
