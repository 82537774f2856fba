//! Reading single values, each error with its place.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::diagnostic::{Diagnostics, suggest};
use crate::config::file::{At, Dns, Text};
use crate::config::plan::DnsPlan;
use crate::config::value::{
    blocklist, duration, duration_within, grouped, name_server, times_a_day, written,
};
use crate::text::is_odd;

/// The longest text that goes into a line of a protocol; a path is no longer either.
const LONGEST_LINE: usize = 4096;
/// The longest name of a route, gateway, mailbox or alert.
const LONGEST_NAME: usize = 128;

/// A switch that is off where it is left out.
pub(super) fn is_on(switch: Option<&At<bool>>) -> bool {
    switch.is_some_and(|switch| *switch.value())
}

/// Reads values and notes what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) folder: &'a Path,
    pub(super) found: &'a mut Diagnostics,
    /// Asked for addresses, if not the system's resolver.
    pub(super) name_servers: Arc<[SocketAddr]>,
    /// The environment variables that secrets are kept in.
    pub(super) secret_variables: Arc<[String]>,
    /// Intervals may be as short as one likes.
    pub(super) unsafe_intervals: bool,
    /// Keys were taken out before, so that what is missing may only be misspelt: nothing is said of it.
    is_incomplete: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(folder: &'a Path, found: &'a mut Diagnostics) -> Self {
        Self {
            folder,
            is_incomplete: found.has_errors(),
            name_servers: Arc::default(),
            secret_variables: Arc::default(),
            unsafe_intervals: false,
            found,
        }
    }

    /// How names are looked up. The name servers are known to whatever is read after.
    pub(super) fn dns(&mut self, dns: Option<&At<Dns>>) -> DnsPlan {
        let Some(keys) = dns.map(At::value) else {
            return DnsPlan::default();
        };
        if let Some(servers) = &keys.servers {
            self.name_servers(servers);
        }
        let blocklists = keys.blocklists.as_ref().map(|lists| {
            lists
                .value()
                .iter()
                .filter_map(|zone| self.checked(Some(zone), blocklist))
                .collect()
        });
        let sending_address = self.checked(keys.sending_address.as_ref(), |text| {
            text.parse()
                .map_err(|_| format!("{text:?} is no address: write one like \"192.0.2.1\""))
        });
        DnsPlan {
            servers: Arc::clone(&self.name_servers),
            blocklists: blocklists.unwrap_or_default(),
            sending_address,
        }
    }

    fn name_servers(&mut self, servers: &At<Vec<Text>>) {
        if servers.value().is_empty() {
            let help = "leave it out to ask those of the system";
            self.wrong(servers.span(), "`servers` is empty", Some(help));
        }
        let mut read = Vec::new();
        for text in servers.value() {
            read.extend(self.checked(Some(text), name_server));
        }
        self.name_servers = read.into();
    }

    /// Something is wrong.
    pub(super) fn wrong(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<&str>,
    ) {
        self.found.error(span, message, help.map(str::to_owned));
    }

    /// Something is not there.
    pub(super) fn absent(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<&str>,
    ) {
        if !self.is_incomplete {
            self.wrong(span, message, help);
        }
    }

    pub(super) fn duration(&mut self, text: Option<&Text>) -> Option<Duration> {
        self.checked(text, duration)
    }

    /// How often something is done: not more often than once in `least`, unless the config lifts that.
    pub(super) fn interval(&mut self, text: Option<&Text>, least: Duration) -> Option<Duration> {
        let interval = self.duration(text)?;
        let text = text.filter(|_| interval < least && !self.unsafe_intervals);
        let Some(text) = text else {
            return Some(interval);
        };
        let message = format!(
            "{:?} is {} times a day, and must not be shorter than {:?}",
            text.value(),
            grouped(times_a_day(interval)),
            written(least)
        );
        // A slip: `5ms` for `5m`, `1s` for `1m`.
        let number = text.value().trim_end_matches(|c: char| !c.is_ascii_digit());
        let meant = format!("{number}m");
        let help = match duration(&meant) {
            Ok(likely) if likely >= least => format!("did you mean \"{meant}\"?"),
            _ => "`unsafe_intervals = true` in the section [service] lifts this for tests against the lab alone".to_owned(),
        };
        self.wrong(text.span(), message, Some(&help));
        None
    }

    pub(super) fn duration_within(
        &mut self,
        text: Option<&Text>,
        most: Duration,
    ) -> Option<Duration> {
        self.checked(text, |text| duration_within(text, most))
    }

    /// A name that a table was given: it goes into messages, logs and outputs as it is.
    pub(super) fn name(&mut self, name: &str, table: Range<usize>) {
        let wrong = if name.trim().is_empty() {
            "is empty".to_owned()
        } else if name.len() > LONGEST_NAME {
            format!("is longer than {LONGEST_NAME} bytes")
        } else if name.contains(is_odd) {
            "has a character in it that is invisible or steers the terminal".to_owned()
        } else {
            return;
        };
        let excerpt: String = name.chars().take(40).collect();
        let message = format!("the name {excerpt:?} {wrong}");
        self.wrong(table, message, None);
    }

    /// A path in the config, which leads to the same place from wherever it is read.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = self.folder.join(path);
        std::path::absolute(&path).unwrap_or(path)
    }

    /// A text that may go into a line of a protocol.
    pub(super) fn line(&mut self, key: &str, text: &Text) -> Option<String> {
        self.checked(Some(text), |text| {
            if text.contains(['\r', '\n', '\0']) {
                Err(format!(
                    "`{key}` has a line break or a NUL in it, which would reach a server"
                ))
            } else if text.trim().is_empty() {
                Err(format!("`{key}` is empty"))
            } else if text.contains(|c: char| c.is_control() && c != '\t') {
                Err(format!("`{key}` has a control character in it"))
            } else if text.len() > LONGEST_LINE {
                Err(format!("`{key}` is longer than {LONGEST_LINE} bytes"))
            } else {
                Ok(text.to_owned())
            }
        })
    }

    pub(super) fn required(
        &mut self,
        text: Option<&Text>,
        key: &str,
        (table, name): (&Range<usize>, &str),
    ) -> Option<String> {
        if let Some(text) = text {
            self.line(key, text)
        } else {
            self.absent(table.clone(), format!("[{name}] needs `{key}`"), None);
            None
        }
    }

    /// One of `known`, by its word.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &str,
        text: Option<&Text>,
        known: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let text = text?;
        let chosen = known
            .iter()
            .copied()
            .find(|known| word(*known) == text.value());
        if chosen.is_none() {
            let help = suggest(text.value(), known.iter().map(|known| word(*known)));
            self.wrong(
                text.span(),
                format!("`{key}` cannot be {:?}", text.value()),
                Some(&help),
            );
        }
        chosen
    }

    pub(super) fn checked<T>(
        &mut self,
        text: Option<&Text>,
        check: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = text?;
        check(text.value())
            .map_err(|wrong| self.wrong(text.span(), wrong, None))
            .ok()
    }

    /// The texts of a list, which may not be empty.
    pub(super) fn lines(&mut self, key: &str, list: &At<Vec<Text>>, if_empty: &str) -> Vec<String> {
        if list.value().is_empty() {
            self.wrong(list.span(), format!("`{key}` is empty, {if_empty}"), None);
        }
        list.value()
            .iter()
            .filter_map(|text| self.line(key, text))
            .collect()
    }
}
