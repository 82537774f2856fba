//! Programs to run, and what only they and webhooks need: variables, and secrets in a list.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::reader::Reader;
use crate::config::file::{At, SecretKeys, Text};
use crate::config::plan::Program;
use crate::config::secret::Secret;

/// The keys of a program, and the table that they stand in.
pub(super) struct Keys<'a> {
    pub(super) command: Option<&'a At<Vec<Text>>>,
    pub(super) env: Option<&'a BTreeMap<String, At<SecretKeys>>>,
    pub(super) timeout: Duration,
    pub(super) table: (Range<usize>, String),
}

impl Reader<'_> {
    pub(super) fn program(&mut self, keys: Keys<'_>) -> Option<Program> {
        let env = self.variables(keys.env);
        let Some(command) = keys.command else {
            let (span, name) = keys.table;
            self.absent(span, format!("{name} needs `command`"), None);
            return None;
        };
        let words: Vec<_> = command
            .value()
            .iter()
            .filter_map(|word| self.word(word))
            .collect();
        let Some((program, arguments)) = words.split_first() else {
            self.absent(
                command.span(),
                "`command` is empty, so there is nothing to run",
                None,
            );
            return None;
        };
        if program.trim().is_empty() {
            self.wrong(command.span(), "`command` begins with no program", None);
        }
        let mut command = vec![self.found_at(program)];
        command.extend_from_slice(arguments);
        Some(Program {
            command,
            env,
            withheld: Arc::clone(&self.secret_variables),
            timeout: keys.timeout,
        })
    }

    /// A name alone is looked for in `PATH`; a path is relative to the config.
    fn found_at(&self, program: &str) -> String {
        if !program.contains('/') || Path::new(program).is_absolute() {
            return program.to_owned();
        }
        self.path(program).display().to_string()
    }

    /// A program takes any text but one with a NUL in it.
    fn word(&mut self, text: &Text) -> Option<String> {
        self.checked(Some(text), |text| {
            if text.contains('\0') {
                Err("there is a NUL in this, which no program can be given".to_owned())
            } else {
                Ok(text.to_owned())
            }
        })
    }

    fn variables(
        &mut self,
        env: Option<&BTreeMap<String, At<SecretKeys>>>,
    ) -> Vec<(String, Secret)> {
        let mut variables = Vec::new();
        for (name, value) in env.into_iter().flatten() {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let is_name = !name.starts_with(|first: char| first.is_ascii_digit());
            if name.is_empty() || !is_name || !name.bytes().all(is_part) {
                let message = format!("{name:?} is no name of an environment variable");
                let help = "letters, digits and _, and no digit at the start";
                self.wrong(value.span(), message, Some(help));
                continue;
            }
            if let SecretKeys::Literal(text) = value.value()
                && text.contains('\0')
            {
                let message = format!("the value of {name} has a NUL in it");
                self.wrong(value.span(), message, None);
            }
            variables.extend(self.secret(value).map(|secret| (name.clone(), secret)));
        }
        variables
    }
}
