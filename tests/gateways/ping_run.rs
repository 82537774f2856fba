//! `mailrobin ping` as a user runs it, and what came of it.

use std::time::{Duration, Instant};

use assert_cmd::Command;
use data_encoding::BASE64;
use mailrobin::probe::outcome::{Code, Outcome, Verdict};
use mailrobin::probe::record::{Document, Record};
use mailrobin::probe::visit::{StepRecord, VisitRecord, VisitStep};

/// No run may take longer.
const AT_MOST: Duration = Duration::from_secs(40);
/// What draws on a terminal where it is let through.
pub(crate) const EVIL: &str = "\u{1b}[35mred\u{7}";
/// The user and the password that every ping has at hand. No output may ever hold the second.
pub(crate) const USER: &str = "probe";
pub(crate) const PASSWORD: &str = "hunter2 \"and\\more";

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Pinged {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
    /// Of a run with `--format json`.
    pub(crate) probes: Vec<Record>,
}

/// Runs `ping` with these arguments, and tells what people read.
pub(crate) fn shown(args: &[&str]) -> Pinged {
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_mailrobin"))
        .env_clear()
        .env("MAILROBIN_PASSWORD", PASSWORD)
        .arg("ping")
        .args(args)
        .timeout(AT_MOST)
        .output()
        .unwrap();
    let pinged = Pinged {
        took: begun.elapsed(),
        exit: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        probes: Vec::new(),
    };
    for secret in secrets() {
        for output in [&pinged.stdout, &pinged.stderr] {
            assert!(!output.contains(&secret), "{secret:?} is in {output}");
        }
    }
    pinged
}

/// The same, and gives the result document.
pub(crate) fn pinged(args: &[&str]) -> Pinged {
    let mut pinged = shown(&[&["--format", "json"], args].concat());
    let document: Document =
        serde_json::from_str(&pinged.stdout).unwrap_or_else(|error| panic!("{error}: {pinged:#?}"));
    pinged.probes = document.probes;
    pinged
}

/// The password as it goes over the wire, and as JSON writes it.
fn secrets() -> Vec<String> {
    let escaped = PASSWORD.replace('\\', "\\\\").replace('"', "\\\"");
    let plain = format!("\0{USER}\0{PASSWORD}");
    vec![
        PASSWORD.to_owned(),
        escaped.replace('\\', "\\\\").replace('"', "\\\""),
        escaped,
        BASE64.encode(PASSWORD.as_bytes()),
        BASE64.encode(plain.as_bytes()),
    ]
}

impl Pinged {
    /// The only probe.
    #[track_caller]
    pub(crate) fn only(&self) -> &Record {
        assert_eq!(self.probes.len(), 1, "{self:#?}");
        &self.probes[0]
    }

    #[track_caller]
    pub(crate) fn visit(&self) -> &VisitRecord {
        self.only().evidence.visit.as_ref().unwrap()
    }

    /// The names of the steps taken.
    #[track_caller]
    pub(crate) fn steps(&self) -> Vec<&'static str> {
        let steps = self.visit().steps.iter();
        steps.map(|step| step.name.as_str()).collect()
    }

    #[track_caller]
    pub(crate) fn step(&self, name: VisitStep) -> &StepRecord {
        let step = self.visit().steps.iter().find(|step| step.name == name);
        step.unwrap_or_else(|| panic!("no {} in {:#?}", name.as_str(), self.visit().steps))
    }

    /// What the server said to the step of this name.
    #[track_caller]
    pub(crate) fn step_text(&self, name: &str) -> &str {
        let steps = &self.visit().steps;
        let step = steps.iter().find(|step| step.name.as_str() == name);
        &step
            .unwrap_or_else(|| panic!("no {name} in {steps:#?}"))
            .text
    }

    /// It answered, as it should.
    #[track_caller]
    pub(crate) fn answered(&self) -> &Self {
        self.is(0, Outcome::Answered, Code::Ok)
    }

    #[track_caller]
    pub(crate) fn is(&self, exit: i32, outcome: Outcome, code: Code) -> &Self {
        let probe = self.only();
        assert_eq!(
            (self.exit, probe.outcome, probe.code),
            (Some(exit), outcome, code),
            "{}; {:#?}",
            probe.reason,
            self.visit().steps
        );
        let verdict = [
            Verdict::Pass,
            Verdict::Warn,
            Verdict::Fail,
            Verdict::Unknown,
        ];
        assert_eq!(probe.verdict, verdict[usize::try_from(exit).unwrap()]);
        self
    }

    /// The reason holds all of these words.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) -> &Self {
        let reason = &self.only().reason;
        for word in words {
            assert!(reason.contains(word), "{word:?} is not in {reason:?}");
        }
        self
    }

    /// Of what strangers said, nothing draws on the terminal. Our own colours may.
    #[track_caller]
    pub(crate) fn is_harmless(&self) -> &Self {
        assert!(self.stdout.contains("[35mred"), "{:?}", self.stdout);
        assert!(!self.stdout.contains("\u{1b}[35m"), "{:?}", self.stdout);
        let odd = |c: char| c.is_control() && !['\n', '\u{1b}'].contains(&c);
        assert!(!self.stdout.contains(odd), "{:?}", self.stdout);
        self
    }

    /// It was over by then.
    #[track_caller]
    pub(crate) fn within(&self, limit: Duration) -> &Self {
        assert!(self.took < limit, "it took {:?}", self.took);
        self
    }
}
