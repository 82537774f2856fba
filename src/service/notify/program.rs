//! Runs a program that the config names, for a notice or for a recovery: never by a shell, in a process group of its own,
//! within its time, and with what it prints kept within bounds.
//!
//! It inherits our environment, and gets what the caller adds and the config's `env`, in this order. What it leaves
//! running when it ends by itself is let be: a recovery may start a daemon. When its time is over, the whole group is
//! told to end (SIGTERM), and a second later is ended (SIGKILL); at once where the caller does not wait any longer.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};

use super::hidden::Hidden;
use crate::clock::Stamp;
use crate::config::plan::Program;
use crate::net::dial::seconds;
use crate::report::account::lines;

/// So much of what a program prints is kept, in bytes.
const OUTPUT_LIMIT: usize = 16 * 1024;
/// Stands where the rest was.
const CUT: &str = "\n[cut: it printed more]";
/// Between being told to end and being ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long what a program printed is still read once it has ended; what it left running may hold the pipe for ever.
const DRAIN: Duration = Duration::from_millis(500);

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

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this exit code.
    Code(i32),
    /// By a signal that was not ours.
    Signal(i32),
    /// It took longer than this, and was ended.
    TimedOut(Duration),
    /// It was never started, and why.
    NotStarted(String),
}

impl Exit {
    /// With exit code 0.
    pub fn is_success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "ended by signal {number}"),
            Self::TimedOut(limit) => {
                write!(f, "not done within {}, so it was ended", seconds(*limit))
            }
            Self::NotStarted(why) => write!(f, "not started: {why}"),
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        let signal = status.signal().unwrap_or_default();
        status.code().map_or(Self::Signal(signal), Self::Code)
    }
}

/// Runs it with `input` on its standard input and `variables` in its environment, which the program's own override.
pub async fn run(program: &Program, input: &[u8], variables: &[(&str, String)]) -> Ran {
    let began = Stamp::now();
    let (exit, output) = match start(program, variables).await {
        Ok((mut running, hidden)) => {
            let exit = running.end(input, program.timeout).await;
            (exit, lines(&hidden.strip(&running.output())))
        }
        Err(why) => (Exit::NotStarted(why), String::new()),
    };
    let took = Stamp::now().since(began);
    tracing::debug!(program = ?program.command.first(), %exit, ?took, "a program was run");
    Ran { exit, output, took }
}

async fn start(
    program: &Program,
    variables: &[(&str, String)],
) -> Result<(Running, Hidden), String> {
    let Some((name, arguments)) = program.command.split_first() else {
        return Err("the config names no program".into());
    };
    let secrets = timeout(program.timeout, revealed(program))
        .await
        .map_err(|_| "the secrets in `env` did not come in time".to_owned())??;
    let mut hidden = Hidden::default();
    let mut spawn = || -> io::Result<(Child, pipe::Receiver)> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(name);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true);
        for (name, value) in variables {
            // What no environment can hold.
            command.env(name, value.replace('\0', "\u{fffd}"));
        }
        for (name, value) in &secrets {
            hidden.add(value.expose_secret());
            command.env(name, value.expose_secret());
        }
        // With the command goes our own writing end, so that the pipe ends with the program.
        let child = command.spawn()?;
        Ok((child, pipe::Receiver::from_owned_fd(reader.into())?))
    };
    let (child, pipe) = spawn().map_err(|error| format!("{name}: {error}"))?;
    let running = Running {
        child,
        pipe: Some(pipe),
        kept: Vec::new(),
        is_cut: false,
    };
    Ok((running, hidden))
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

/// A program that was started; dropped before its end, it is ended with its whole group.
struct Running {
    child: Child,
    /// Until it ends.
    pipe: Option<pipe::Receiver>,
    kept: Vec<u8>,
    is_cut: bool,
}

impl Running {
    /// Feeds it and listens to it until it ends, or until its time is over.
    async fn end(&mut self, input: &[u8], limit: Duration) -> Exit {
        let stdin = self.child.stdin.take();
        let exit = tokio::select! {
            biased;
            status = self.child.wait() => Some(ended(status)),
            never = async {
                tokio::join!(feed(stdin, input), listen(&mut self.pipe, &mut self.kept, &mut self.is_cut));
                std::future::pending().await
            } => never,
            () = sleep(limit) => None,
        };
        let exit = if let Some(exit) = exit {
            exit
        } else {
            // Until it is waited for, no other process can have its number.
            self.signal(Signal::TERM);
            let _ = timeout(LAST_WORDS, async {
                self.listen().await;
                std::future::pending::<()>().await;
            })
            .await;
            self.signal(Signal::KILL);
            // A process in the hands of a dead disk ends when the system lets it.
            let _ = timeout(LAST_WORDS, self.child.wait()).await;
            Exit::TimedOut(limit)
        };
        let _ = timeout(DRAIN, self.listen()).await;
        exit
    }

    async fn listen(&mut self) {
        listen(&mut self.pipe, &mut self.kept, &mut self.is_cut).await;
    }

    fn output(&self) -> String {
        let kept = String::from_utf8_lossy(&self.kept);
        format!("{}{}", kept.trim_end(), if self.is_cut { CUT } else { "" })
    }

    /// To the whole group; to nobody once it was waited for.
    fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            // It may have ended by itself meanwhile.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

fn ended(status: io::Result<ExitStatus>) -> Exit {
    match status {
        Ok(status) => status.into(),
        Err(error) => Exit::NotStarted(format!("it cannot be waited for: {error}")),
    }
}

/// Writes all of it; a program need not read it.
async fn feed(stdin: Option<ChildStdin>, input: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(input).await;
    }
}

/// Reads until the pipe ends, and keeps what there is room for. May be given up and begun again.
async fn listen(from: &mut Option<pipe::Receiver>, kept: &mut Vec<u8>, is_cut: &mut bool) {
    let mut chunk = [0; 4096];
    while let Some(pipe) = from {
        match pipe.read(&mut chunk).await {
            Ok(read) if read > 0 => {
                let room = OUTPUT_LIMIT.saturating_sub(kept.len());
                *is_cut |= read > room;
                kept.extend(chunk.iter().take(read.min(room)));
            }
            Ok(_) | Err(_) => *from = None,
        }
    }
}
