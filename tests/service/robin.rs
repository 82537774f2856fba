//! The program as a process of its own: started, told, killed.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here lasts, on however slow a machine.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// Variables that it is given, beside `PATH`.
pub(crate) type Environment = Vec<(&'static str, OsString)>;

/// A running `mailrobin run`. It is killed when this is dropped.
pub(crate) struct Robin {
    child: Child,
    /// What it says, and what those before it said.
    log: PathBuf,
    before: u64,
}

impl Robin {
    /// Starts it with a config, in a folder of its own, and waits until it is under way.
    pub(crate) fn start(dir: &Path, config: &Path, environment: &Environment) -> Self {
        let mut robin = Self::launch(dir, config, environment);
        until("it is under way", || {
            robin.said().contains("its history is") || !robin.runs()
        });
        robin
    }

    /// Starts it.
    pub(crate) fn launch(dir: &Path, config: &Path, environment: &Environment) -> Self {
        let log = dir.join("log");
        let before = fs::metadata(&log).map_or(0, |log| log.len());
        let said: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let output = said.try_clone().unwrap();
        let mut command = Self::command(dir, config, "-v");
        command.stdout(output).stderr(said);
        let child = command.envs(environment.iter().cloned()).spawn().unwrap();
        Self { child, log, before }
    }

    /// The same, where nobody reads what it says.
    pub(crate) fn launch_unheard(dir: &Path, config: &Path, stderr: Stdio) -> Self {
        let mut command = Self::command(dir, config, "-vvv");
        let child = command
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let (log, before) = (dir.join("log"), 0);
        Self { child, log, before }
    }

    fn command(dir: &Path, config: &Path, verbose: &str) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("mailrobin"));
        command
            .arg("--config")
            .arg(config)
            .arg("--state-dir")
            .arg(dir.join("state"))
            .args([verbose, "run"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(dir)
            .stdin(Stdio::null());
        command
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        let said = fs::read(&self.log).unwrap_or_default();
        let before = usize::try_from(self.before).unwrap();
        String::from_utf8_lossy(said.get(before..).unwrap_or_default()).into_owned()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    /// Where the system tells of it.
    pub(crate) fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.child.id()))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Kills it, at once and for good.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it ended by itself: {status}");
    }

    /// Waits until it has ended.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < LONG, "it does not end");
            sleep(Duration::from_millis(10));
        }
    }

    /// Whether it runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it in good order.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "SIGTERM: {status}");
    }
}

impl Drop for Robin {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until this is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < LONG, "it never came to this: {what}");
        sleep(Duration::from_millis(20));
    }
}
