//! The command line: its types, and one file a command.

mod alert;
mod check;
mod config;
#[cfg(feature = "lab")]
mod demo;
mod explain;
mod init;
#[cfg(feature = "lab")]
mod lab;
mod paths;
mod payloads;
mod ping;
mod progress;
mod report;
mod reports;
mod run;
mod signals;
mod state;
mod status;
mod store;
mod times;
mod wait;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use anyhow::Result;
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use tokio::time::timeout;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::files::off_loop;
use crate::text::{is_odd, lines};

/// How long a line of a service may take to be written.
const SAYING_LIMIT: Duration = Duration::from_secs(1);

/// Exit codes: those of the monitoring plugins.
///
/// 0: every test passed. 1: the worst is a warning. 2: a test failed. 3: the worst is unknown, or the command line, the
/// config or this machine is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// All is well.
    pub const OK: Self = Self(0);
    /// Usage, config or local failure.
    pub const TROUBLE: Self = Self(3);
}

/// Proves that mail really gets through.
///
/// Submits a tagged test message to an SMTP gateway, watches a mailbox for the copy that comes back, times the round trip
/// and judges it.
#[derive(Debug, Parser)]
#[command(name = "mailrobin", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  every test passed
  1  the worst verdict is a warning
  2  a test failed
  3  the worst verdict is unknown; or usage, config or local failure";

#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
struct Common {
    #[arg(short, long, global = true, value_name = "FILE", help = CONFIG_HELP)]
    config: Option<PathBuf>,
    #[arg(long, global = true, value_name = "DIR", help = STATE_HELP)]
    state_dir: Option<PathBuf>,
    /// Say more of what happens (twice: even more)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Draw no progress, say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", help = COLOR_HELP)]
    color: Color,
    /// How log lines look
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    log_format: LogFormat,
}

const CONFIG_HELP: &str = "The config file [default: $MAILROBIN_CONFIG, ./mailrobin.toml, mailrobin/mailrobin.toml \
     under $XDG_CONFIG_HOME or ~/.config, then under /etc]";
const STATE_HELP: &str = "Where the signing key and the history are kept [default: $STATE_DIRECTORY, mailrobin under \
     $XDG_STATE_HOME, as root /var/lib/mailrobin, else under ~/.local/state]";
const COLOR_HELP: &str = "When to use colours; auto: on a terminal, unless NO_COLOR is set";

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// See what mailrobin does, in a few seconds and with nothing set up
    #[cfg(feature = "lab")]
    Demo(demo::Demo),
    /// Run the tests of all or the named routes once, and exit with the worst verdict
    Check(check::Check),
    Run(run::Run),
    /// Speak to a server step by step, without sending a message
    ///
    /// For servers that one does not own or cannot put a rule on: SMTP, IMAP and POP3. Every step is timed by itself and
    /// shown with the server's own words. DATA is never sent.
    Ping(ping::Ping),
    /// List what there is to send, and what it proves
    Payloads(payloads::Payloads),
    /// Tell what a reason code means, and what to do about it
    ///
    /// Which evidence in the result document led to it, what usually causes it, and what to run next.
    Explain(explain::Explain),
    /// Write a config to begin with, and print the forwarding rule to set up
    ///
    /// What is not given is filled in with an example. An existing file is never overwritten. The rules go to standard
    /// output, each with what may stand in its way there.
    Init(init::Init),
    /// Say what the history says of a time: availability, round trips, incidents, filters
    ///
    /// The service may be running.
    #[command(after_help = report::FIGURES)]
    Report(report::Report),
    /// Look at the config
    #[command(subcommand)]
    Config(config::Config),
    /// Say what the running service sees
    ///
    /// Every route with its state, its last result, how often it passed and how long its copies took; the incidents that
    /// are open; and what is wrong with the service itself.
    Status(status::Status),
    /// Try whether people are reached
    #[command(subcommand)]
    Alert(alert::Alert),
    /// Look after the history
    #[command(subcommand)]
    Store(store::Store),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Run the embedded mail stack by itself, with faults on request
    #[cfg(feature = "lab")]
    Lab(lab::Lab),
}

/// Parses the command line; what cannot be run has been said and gives its exit code.
pub fn parse() -> Result<Cli, Exit> {
    Cli::try_parse().map_err(|error| {
        // Where not even this can be printed, the exit code still tells.
        let _ = error.print();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::OK,
            _ => Exit::TROUBLE,
        }
    })
}

impl Cli {
    /// Runs the command.
    pub async fn run(self) -> Exit {
        let Self { common, command } = self;
        // Until it is dropped, what was logged is written.
        let _writing = common.start_logging(&command);
        let result = match command {
            Command::Check(check) => check.run(&common).await,
            Command::Run(run) => Box::pin(run.run(&common)).await,
            Command::Ping(ping) => ping.run(&common).await,
            Command::Payloads(payloads) => payloads.run(&common),
            Command::Explain(explain) => explain.run(&common),
            Command::Init(init) => init.run(&common),
            Command::Report(report) => report.run(&common).await,
            Command::Config(config) => config.run(&common).await,
            Command::Status(status) => status.run(&common).await,
            Command::Alert(alert) => alert.run(&common).await,
            Command::Store(store) => store.run(&common).await,
            Command::Completions { shell } => completions(&common, shell),
            Command::Man => man(&common),
            #[cfg(feature = "lab")]
            Command::Demo(demo) => demo.run(&common).await,
            #[cfg(feature = "lab")]
            Command::Lab(lab) => lab.run(&common).await,
        };
        result.unwrap_or_else(|error| {
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
            {
                return Exit::OK;
            }
            common.complain(&format!("{error:#}"));
            Exit::TROUBLE
        })
    }
}

impl Common {
    /// Log lines go to standard error and only ever come from mailrobin itself: a library's could hold a password.
    ///
    /// Those of a service are written on a thread of its own, and dropped while nobody reads: it does not wait for a pipe.
    fn start_logging(&self, command: &Command) -> Option<WorkerGuard> {
        #[cfg(feature = "lab")]
        let is_lab = matches!(command, Command::Lab(_));
        #[cfg(not(feature = "lab"))]
        let is_lab = false;
        let level = match (self.quiet, self.verbose) {
            (true, _) => "error",
            (false, 0) => "warn",
            (false, 1) => "info",
            (false, 2) => "debug",
            (false, _) => "trace",
        };
        let lab = if is_lab && level == "warn" {
            "info"
        } else {
            level
        };
        let is_colored = self.error_output().current_choice() != ColorChoice::Never;
        let (writer, writing) = if is_lab || matches!(command, Command::Run(_)) {
            let (writer, writing) = tracing_appender::non_blocking(io::stderr());
            (
                BoxMakeWriter::new(move || Fit(writer.clone(), is_colored)),
                Some(writing),
            )
        } else {
            (
                BoxMakeWriter::new(move || Fit(io::stderr(), is_colored)),
                None,
            )
        };
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(format!("off,mailrobin={level},lab={lab}")))
            .with_writer(writer)
            .with_ansi(is_colored);
        match self.log_format {
            LogFormat::Text => subscriber.without_time().with_target(false).init(),
            LogFormat::Json => subscriber.json().init(),
        }
        writing
    }

    fn choice(&self) -> ColorChoice {
        match self.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        }
    }

    /// Where results go.
    fn output(&self) -> AutoStream<io::Stdout> {
        AutoStream::new(io::stdout(), self.choice())
    }

    /// Where everything else goes.
    fn error_output(&self) -> AutoStream<io::Stderr> {
        let choice = match self.choice() {
            ColorChoice::Auto => AutoStream::choice(&io::stderr()),
            choice => choice,
        };
        AutoStream::new(io::stderr(), choice)
    }

    fn complain(&self, what: &str) {
        self.say(&format!("mailrobin: {what}"));
    }

    fn say(&self, what: &str) {
        // Where standard error is closed, the exit code still tells.
        let _ = writeln!(self.error_output(), "{}", lines(what));
    }

    /// The same of a service: a pipe that nobody reads is not waited for.
    async fn say_unless_blocked(&self, what: String) {
        let mut output = self.error_output();
        let saying = off_loop(move || writeln!(output, "{}", lines(&what)));
        let _ = timeout(SAYING_LIMIT, saying).await;
    }
}

/// Log lines on their way out, fit to be shown: they quote peers. The escapes of colours are our own: in a value they are
/// escaped before.
struct Fit<W>(W, bool);

impl<W: Write> Write for Fit<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let said = String::from_utf8_lossy(bytes);
        let fit = |c| match c {
            '\n' => c,
            '\x1b' if self.1 => c,
            c if is_odd(c) => '\u{fffd}',
            c => c,
        };
        self.0
            .write_all(said.chars().map(fit).collect::<String>().as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn completions(common: &Common, shell: clap_complete::Shell) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mailrobin", &mut script);
    common.output().write_all(&script)?;
    Ok(Exit::OK)
}

/// The manual page of the whole, and of every command behind it.
fn man(common: &Common) -> Result<Exit> {
    let mut out = common.output();
    let mut whole = Cli::command().disable_help_subcommand(true);
    whole.build();
    clap_mangen::Man::new(whole.clone()).render(&mut out)?;
    for command in whole.get_subcommands() {
        let name = format!("mailrobin {}", command.get_name());
        writeln!(out, ".SH {}", name.to_uppercase())?;
        let page = clap_mangen::Man::new(command.clone());
        page.render_description_section(&mut out)?;
        page.render_options_section(&mut out)?;
    }
    Ok(Exit::OK)
}

/// The width that results may have: the terminal's, or none off a terminal.
fn width() -> Option<usize> {
    io::stdout()
        .is_terminal()
        .then(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)))
        .flatten()
}
