//! Real delivery reports, complaints and automatic answers, read as those of a probe.
//!
//! `MAILROBIN_REPORTS=DIR cargo test --test scenarios reports -- --nocapture` reads the messages (`*.eml`) of a folder, such
//! as that of the sisimai project, and lists what each was read as. The tag stands in for the Message-ID of the returned
//! original, or behind its subject. Names that begin with `arf` or `rfc3834` are complaints and automatic answers; all
//! others are reports. `reports/unread.txt` lists those that cannot be read, and why.

use std::collections::BTreeMap;
use std::fs;

use jiff::Timestamp;
use mailrobin::judge::evidence::bounce;
use mailrobin::probe::message::{Kind, recognise};
use mailrobin::probe::tag::{Instance, Signer, Tag};

/// The least share of the reports with an original that must be read.
const READ_PERCENT: usize = 97;

fn signer() -> Signer {
    Signer::new(b"a family's key", Instance::named("reports"))
}

fn tag() -> Tag {
    signer().mint(Timestamp::UNIX_EPOCH, [7; 7])
}

/// What a message comes to.
fn reading(raw: &[u8]) -> String {
    let found = recognise(raw, &signer());
    if found.tag.is_none() {
        return "untagged".into();
    }
    match found.kind {
        Kind::Copy => "copy".into(),
        Kind::Reply => "nothing".into(),
        Kind::Report | Kind::Quote => {
            bounce(raw).map_or_else(|| "nothing".into(), |bounce| bounce.action)
        }
    }
}

/// The message as if it were about a probe; `None` where it holds no original.
fn tagged(raw: &[u8]) -> Option<Vec<u8>> {
    let text: String = raw.iter().map(|byte| char::from(*byte)).collect();
    let text = text.replace("\r\n", "\n");
    let (header, body) = text.split_once("\n\n")?;
    let value = |name: &str| {
        let line = body.lines().rev().find_map(|line| {
            let line = line.trim_start_matches(['>', ' ', '|']);
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value)
        });
        line.map(|value| value.trim().trim_matches(['<', '>']).to_owned())
    };
    let tag = tag().to_string();
    let id = value("Message-ID").filter(|id| id.len() > 5);
    let subject = value("Subject").filter(|subject| !subject.is_empty());
    let text = match (id, subject) {
        (Some(id), _) => {
            let new = format!("{tag}@monitor.example");
            format!("{header}\n\n{body}").replace(&id, &new)
        }
        (None, Some(subject)) => {
            let new = format!("{subject} {tag}");
            format!("{header}\n\n{}", body.replace(&subject, &new))
        }
        (None, None) => return None,
    };
    let bytes = text.replace('\n', "\r\n");
    Some(
        bytes
            .chars()
            .map(|c| u8::try_from(c).unwrap_or(b'?'))
            .collect(),
    )
}

#[test]
fn reports_of_real_systems_are_read() {
    let Ok(folder) = std::env::var("MAILROBIN_REPORTS") else {
        eprintln!("skipped: MAILROBIN_REPORTS names no folder of real reports");
        return;
    };
    let known = include_str!("reports/unread.txt");
    let is_known = |name: &str| {
        known
            .lines()
            .any(|line| line.split_once(": ").is_some_and(|(file, _)| file == name))
    };
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    let mut unexplained = Vec::new();
    let (mut reports, mut read) = (0, 0);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "eml"))
        .collect();
    files.sort();
    for path in files {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let is_report = !name.starts_with("arf") && !name.starts_with("rfc3834");
        let kind = if is_report { "report" } else { "other" };
        let found = tagged(&fs::read(&path).unwrap())
            .map_or_else(|| "no original".into(), |raw| reading(&raw));
        let is_right = match (is_report, found.as_str()) {
            (_, "no original") => true,
            (true, found) => {
                ["failed", "delayed", "delivered", "relayed", "expanded"].contains(&found)
            }
            (false, found) => ["nothing", "untagged"].contains(&found),
        };
        if is_report && found != "no original" {
            reports += 1;
            read += usize::from(is_right);
        }
        if !is_right {
            eprintln!("{name}: {found}");
            if !is_known(&name) || !is_report || found == "copy" {
                unexplained.push(name);
            }
        }
        *counts.entry((kind, found)).or_default() += 1;
    }
    for ((kind, found), count) in &counts {
        eprintln!("{kind:>6} read as {found:<12} {count:>4}");
    }
    eprintln!("{read} of {reports} reports with an original were read");
    assert!(
        unexplained.is_empty(),
        "no reason is known: {unexplained:?}"
    );
    assert!(read * 100 >= reports * READ_PERCENT, "{read} of {reports}");
}
