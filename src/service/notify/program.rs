//! Runs a program that the config names, for a notice or for a recovery. It does not get the variables that the config
//! keeps secrets in, but for those that its own `env` asks for; what it prints comes back without the secrets it was given.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::hidden::Hidden;
use crate::clock::Stamp;
use crate::config::plan::Program;
pub use crate::program::Exit;
use crate::program::{self, Finished, Invocation, Rest, Stderr};
use crate::text::lines;

/// So much of what a program prints is kept, in bytes.
const OUTPUT_LIMIT: usize = 16 * 1024;
/// Stands where the rest was.
const CUT: &str = "\n[cut: it printed more]";

/// What came of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// How it ended.
    pub exit: Exit,
    /// What it printed, standard output and standard error in their order; cut, fit to be shown, and without the secrets
    /// it was given.
    pub output: String,
    /// How long it took.
    pub took: Duration,
}

/// Runs it with `input` on its standard input and `variables` in its environment, which the program's own override.
pub async fn run(program: &Program, input: &[u8], variables: &[(&str, String)]) -> Ran {
    let began = Stamp::now();
    let (exit, output) = match timeout(program.timeout, revealed(program)).await {
        Ok(Ok(secrets)) => run_with(program, input, variables, &secrets).await,
        Ok(Err(why)) => (Exit::NotStarted(why), String::new()),
        Err(_) => {
            let why = "the secrets in `env` did not come in time".to_owned();
            (Exit::NotStarted(why), String::new())
        }
    };
    let took = Stamp::now().since(began);
    tracing::debug!(program = ?program.command.first(), %exit, ?took, "a program was run");
    Ran { exit, output, took }
}

async fn run_with(
    program: &Program,
    input: &[u8],
    variables: &[(&str, String)],
    secrets: &[(&str, SecretString)],
) -> (Exit, String) {
    let mut hidden = Hidden::default();
    for (_, value) in secrets {
        hidden.add(value.expose_secret());
    }
    let given = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    let own = secrets
        .iter()
        .map(|(name, value)| (*name, value.expose_secret()));
    let variables: Vec<_> = given.chain(own).collect();
    let Finished { exit, stdout, .. } = program::run(&Invocation {
        command: &program.command,
        input,
        withheld: &program.withheld,
        variables: &variables,
        limit: program.timeout,
        most: OUTPUT_LIMIT,
        rest: Rest::Dropped,
        stderr: Stderr::Mixed,
    })
    .await;
    let printed = String::from_utf8_lossy(&stdout.bytes);
    let cut = if stdout.is_cut { CUT } else { "" };
    let printed = format!("{}{cut}", printed.trim_end());
    (exit, lines(&hidden.strip(&printed)))
}

async fn revealed(program: &Program) -> Result<Vec<(&str, SecretString)>, String> {
    let mut secrets = Vec::new();
    for (name, secret) in &program.env {
        let value = secret.reveal().await;
        let value = value.map_err(|error| format!("{name} in `env`: {error}"))?;
        secrets.push((name.as_str(), value));
    }
    Ok(secrets)
}
