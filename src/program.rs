//! Runs a program: never by a shell, in a process group of its own, within its time, and with what it prints kept within
//! bounds.
//!
//! It inherits our environment but for the variables that are withheld, and gets those that are set. What it leaves
//! running when it ends by itself is let be: a recovery may start a daemon. When its time is over, the whole group is
//! told to end (SIGTERM), and a second later is ended (SIGKILL); at once where the caller does not wait any longer.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the module that runs programs"
)]

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};

use crate::duration::seconds;

/// So much is read at once, in bytes.
const CHUNK: usize = 4096;
/// Between being told to end and being ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long what a program printed is still read once it has ended; what it left running may hold the pipe for ever.
const DRAIN: Duration = Duration::from_millis(500);

/// A program to run.
#[derive(Debug)]
pub struct Invocation<'a> {
    /// The program and its arguments.
    pub command: &'a [String],
    /// What it gets on standard input.
    pub input: &'a [u8],
    /// Variables of our environment that it does not get.
    pub withheld: &'a [String],
    /// Variables that it gets; of two with one name, the later.
    pub variables: &'a [(&'a str, &'a str)],
    /// How long it may take.
    pub limit: Duration,
    /// So many bytes of what it prints are kept, of each stream.
    pub most: usize,
    /// What becomes of the rest.
    pub rest: Rest,
    /// Where standard error goes.
    pub stderr: Stderr,
}

/// What becomes of what a program prints beyond what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It is read and dropped, so that the program can go on.
    Dropped,
    /// It is not read: the pipe is closed, which ends most programs (SIGPIPE).
    Refused,
}

/// Where standard error goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stderr {
    /// Between what comes on standard output.
    Mixed,
    /// Apart.
    Apart,
}

/// A program that has ended, or was never started.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// What it printed.
    pub stdout: Printed,
    /// The same on standard error, where that was kept apart.
    pub stderr: Printed,
}

/// What came out of one stream.
#[derive(Debug, Default)]
pub struct Printed {
    /// As far as it was kept.
    pub bytes: Vec<u8>,
    /// There was more.
    pub is_cut: bool,
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

/// Runs a program to its end.
pub async fn run(invocation: &Invocation<'_>) -> Finished {
    let mut running = match Running::start(invocation) {
        Ok(running) => running,
        Err(error) => {
            let name = invocation.command.first().map_or("", String::as_str);
            return Finished {
                exit: Exit::NotStarted(format!("{name}: {error}")),
                stdout: Printed::default(),
                stderr: Printed::default(),
            };
        }
    };
    let exit = running.end(invocation.input, invocation.limit).await;
    Finished {
        exit,
        stdout: std::mem::take(&mut running.stdout.printed),
        stderr: std::mem::take(&mut running.stderr.printed),
    }
}

/// A program that was started; dropped before its end, it is ended with its whole group.
struct Running {
    child: Child,
    stdout: Stream,
    stderr: Stream,
}

impl Running {
    fn start(invocation: &Invocation<'_>) -> io::Result<Self> {
        let (name, arguments) = invocation
            .command
            .split_first()
            .ok_or_else(|| io::Error::other("the config names no program"))?;
        let (stdout, out) = io::pipe()?;
        let mut command = Command::new(name);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let stderr = match invocation.stderr {
            Stderr::Mixed => {
                command.stderr(out.try_clone()?);
                None
            }
            Stderr::Apart => {
                let (reader, writer) = io::pipe()?;
                command.stderr(writer);
                Some(reader)
            }
        };
        command.stdout(out);
        for name in invocation.withheld {
            command.env_remove(name);
        }
        for (name, value) in invocation.variables {
            // What no environment can hold.
            command.env(name, value.replace('\0', "\u{fffd}"));
        }
        // With the command go our own writing ends, so that a pipe ends with the program.
        let child = command.spawn()?;
        drop(command);
        Ok(Self {
            child,
            stdout: Stream::new(Some(stdout), invocation)?,
            stderr: Stream::new(stderr, invocation)?,
        })
    }

    /// Feeds it and listens to it until it ends, or until its time is over.
    async fn end(&mut self, input: &[u8], limit: Duration) -> Exit {
        let stdin = self.child.stdin.take();
        let exit = tokio::select! {
            biased;
            status = self.child.wait() => Some(ended(status)),
            never = async {
                tokio::join!(feed(stdin, input), self.stdout.listen(), self.stderr.listen());
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
        tokio::join!(self.stdout.listen(), self.stderr.listen());
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

/// One stream of a program, until it ends.
struct Stream {
    pipe: Option<pipe::Receiver>,
    printed: Printed,
    most: usize,
    rest: Rest,
}

impl Stream {
    fn new(pipe: Option<io::PipeReader>, invocation: &Invocation<'_>) -> io::Result<Self> {
        let pipe = pipe.map(|pipe| pipe::Receiver::from_owned_fd(pipe.into()));
        Ok(Self {
            pipe: pipe.transpose()?,
            printed: Printed::default(),
            most: invocation.most,
            rest: invocation.rest,
        })
    }

    /// Reads until the pipe ends, and keeps what there is room for. May be given up and begun again.
    async fn listen(&mut self) {
        let mut chunk = vec![0; CHUNK];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut chunk).await {
                Ok(read) if read > 0 => {
                    let room = self.most.saturating_sub(self.printed.bytes.len());
                    self.printed.is_cut |= read > room;
                    self.printed.bytes.extend(chunk.iter().take(read.min(room)));
                    if self.printed.is_cut && self.rest == Rest::Refused {
                        self.pipe = None;
                    }
                }
                Ok(_) | Err(_) => self.pipe = None,
            }
        }
    }
}
