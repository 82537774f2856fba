//! Tests: payloads and suites, what belongs to each, and what is expected.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::reader::Reader;
use super::timing::{LEAST, LEAST_HARMFUL};
use crate::config::diagnostic::suggest;
use crate::config::file::{self, At, Text};
use crate::config::plan::{Test, Timing};
use crate::config::value::size;
use crate::files;
use crate::probe::outcome::Outcome;
use crate::probe::payload::{Attached, Class, MOST_ATTACHED, Payload, Sample, Suite};

/// A test, and when it is due if it says so itself.
pub(super) struct Timed {
    pub(super) test: Test,
    pub(super) own: Option<Timing>,
}

impl Reader<'_> {
    /// What is sent, and when, where a test says so itself.
    pub(super) fn tests(
        &mut self,
        tests: Option<&At<Vec<At<file::Test>>>>,
        zone: &TimeZone,
    ) -> Vec<Timed> {
        let Some(tests) = tests else {
            let test = Test::of(Payload::Plain);
            return vec![Timed { test, own: None }];
        };
        if tests.value().is_empty() {
            let help = "leave it out to send `plain`";
            self.wrong(
                tests.span(),
                "`tests` is empty, so nothing would be sent",
                Some(help),
            );
        }
        // A payload that is listed by itself is not sent for a suite as well.
        let listed: Vec<_> = tests
            .value()
            .iter()
            .filter_map(|keys| Payload::named(keys.value().payload.as_ref()?.value()))
            .collect();
        let mut read = Vec::new();
        for keys in tests.value() {
            let expect = keys.value().expect.as_ref();
            let expect = expect.map(|expect| self.outcomes(expect));
            let own = (keys.value().every.as_ref(), keys.value().cron.as_ref());
            let tests = self.test(keys, &listed);
            let is_harmless = |test: &Test| test.sample.payload.class() == Class::Harmless;
            let least = if tests.iter().all(is_harmless) {
                LEAST
            } else {
                LEAST_HARMFUL
            };
            let timing = self.timing(own, least, zone);
            for test in tests {
                let expect = expect.clone().unwrap_or(test.expect);
                read.push(Timed {
                    test: Test { expect, ..test },
                    own: timing.clone(),
                });
            }
        }
        read
    }

    fn test(&mut self, keys: &At<file::Test>, listed: &[Payload]) -> Vec<Test> {
        match (&keys.value().payload, &keys.value().suite) {
            (Some(name), None) => self
                .payload(name)
                .and_then(|payload| self.sample(payload, keys))
                .map(Test::from)
                .into_iter()
                .collect(),
            (None, Some(name)) => self.suite(name, keys, listed),
            (Some(_), Some(suite)) => {
                let message = "a test has either a `payload` or a `suite`, not both";
                self.wrong(suite.span(), message, None);
                Vec::new()
            }
            (None, None) => {
                self.absent(keys.span(), "a test needs a `payload` or a `suite`", None);
                Vec::new()
            }
        }
    }

    fn payload(&mut self, name: &Text) -> Option<Payload> {
        let payload = Payload::named(name.value());
        if payload.is_none() {
            let message = format!("`payload` cannot be {:?}", name.value());
            let help = if Suite::named(name.value()).is_some() {
                format!("that is a suite: {{ suite = {:?} }}", name.value())
            } else {
                suggest(name.value(), Payload::ALL.iter().map(|it| it.as_str()))
            };
            self.wrong(name.span(), message, Some(&help));
        }
        payload
    }

    fn suite(&mut self, name: &Text, keys: &At<file::Test>, listed: &[Payload]) -> Vec<Test> {
        let suite = self.choice("suite", Some(name), Suite::ALL, Suite::as_str);
        let own = keys.value();
        for key in [&own.size, &own.file].into_iter().flatten() {
            let message = "`size` and `file` belong to a `payload` of their own";
            self.wrong(key.span(), message, None);
        }
        let pad = self.bytes(own.pad.as_ref());
        let payloads = suite.into_iter().flat_map(Suite::payloads);
        payloads
            .filter(|payload| !listed.contains(payload))
            .map(|payload| {
                let pad = pad.filter(|_| payload.class() == Class::Virus);
                Test::from(Sample {
                    pad,
                    ..Sample::of(payload)
                })
            })
            .collect()
    }

    fn sample(&mut self, payload: Payload, keys: &At<file::Test>) -> Option<Sample> {
        let file::Test {
            size, pad, file, ..
        } = keys.value();
        let takes_pad = payload.class() == Class::Virus;
        let misplaced = [
            (size, "size", payload == Payload::Large, "large"),
            (pad, "pad", takes_pad, "the payloads of a virus scanner"),
            (file, "file", payload == Payload::Attachment, "attachment"),
        ];
        for (key, name, is_right, home) in misplaced {
            if let Some(key) = key.as_ref().filter(|_| !is_right) {
                let message = format!("`{payload}` has no `{name}`: that belongs to {home}");
                self.wrong(key.span(), message, None);
            }
        }
        let file = match file {
            Some(file) if payload == Payload::Attachment => Some(self.attached(file)?),
            None if payload == Payload::Attachment => {
                let message = "`attachment` needs a `file`";
                self.absent(keys.span(), message, Some("write file = \"PATH\""));
                return None;
            }
            _ => None,
        };
        Some(Sample {
            payload,
            size: self.bytes(size.as_ref()),
            pad: self.bytes(pad.as_ref()),
            file,
        })
    }

    fn bytes(&mut self, text: Option<&Text>) -> Option<u64> {
        self.checked(text, |text| size(text, MOST_ATTACHED))
    }

    fn attached(&mut self, text: &Text) -> Option<Arc<Attached>> {
        let path = self.folder.join(text.value());
        let bytes = match files::read(&path, MOST_ATTACHED) {
            Ok(bytes) if !bytes.is_empty() => bytes,
            Ok(_) => {
                let message = format!("{} is empty, so nothing would be proved", path.display());
                self.wrong(text.span(), message, None);
                return None;
            }
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                self.wrong(text.span(), message, None);
                return None;
            }
        };
        let name = path.file_name().map(|name| name.to_string_lossy().into());
        Some(Arc::new(Attached {
            name: name.unwrap_or_default(),
            path: self.path(text.value()),
            bytes,
        }))
    }

    fn outcomes(&mut self, expect: &At<Vec<Text>>) -> Arc<[Outcome]> {
        if expect.value().is_empty() {
            self.wrong(
                expect.span(),
                "`expect` is empty, so the test could never pass",
                None,
            );
        }
        let words = expect.value().iter();
        words
            .filter_map(|word| self.choice("expect", Some(word), &Outcome::ALL, Outcome::as_str))
            .collect()
    }
}
