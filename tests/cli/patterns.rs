//! The strings that filters take for the real thing stand in test messages and nowhere else: no file of the repository,
//! no program built from it and nothing that it prints or keeps may hold one, however written.
//!
//! The field case: "Programs that contain the string are flagged by scanners themselves".

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use data_encoding::{BASE64, BASE64_MIME, HEXLOWER, HEXUPPER};
use mailrobin::pattern;

use crate::bed::{Bed, code, err, out, root};
use crate::lab::Lab;

/// So many bytes of a needle choose among needles.
const KEY: usize = 4;

/// What is looked for, and how it is told.
struct Needles {
    known: Vec<(Vec<u8>, String)>,
    /// Which of them begin with these bytes.
    by_key: HashMap<[u8; KEY], Vec<usize>>,
    /// Whether any begins with these two.
    begins: Vec<bool>,
}

impl Needles {
    fn new() -> Self {
        let mut known = Vec::new();
        // Rspamd's variants differ from GTUBE in their first letter alone, so all are found by the rest of it.
        for (name, whole) in [
            ("EICAR", pattern::eicar()),
            ("GTUBE or a variant", pattern::gtube()[1..].to_vec()),
        ] {
            // Half of one is too much: two halves may land side by side.
            let (begin, end) = whole.split_at(whole.len() / 2);
            for (part, bytes) in [("", &whole[..]), ("half of ", begin), ("half of ", end)] {
                let mut add = |how: &str, bytes: Vec<u8>| {
                    known.push((bytes, format!("{part}{name}, {how}")));
                };
                add("plain", bytes.to_vec());
                add("reversed", bytes.iter().rev().copied().collect());
                let json = serde_json::to_string(&String::from_utf8(bytes.to_vec()).unwrap());
                let json = json.unwrap();
                add("in JSON", json.trim_matches('"').as_bytes().to_vec());
                add("in hexadecimal", HEXLOWER.encode(bytes).into_bytes());
                add("in hexadecimal", HEXUPPER.encode(bytes).into_bytes());
                for shift in 0..3 {
                    add("in base64", base64_inside(bytes, shift));
                }
            }
        }
        let mut by_key: HashMap<_, Vec<usize>> = HashMap::new();
        let mut begins = vec![false; 1 << 16];
        for (at, (needle, _)) in known.iter().enumerate() {
            let key = <[u8; KEY]>::try_from(&needle[..KEY]).unwrap();
            begins[two(needle)] = true;
            by_key.entry(key).or_default().push(at);
        }
        Self {
            known,
            by_key,
            begins,
        }
    }

    /// What `bytes` hold, as they are or with their lines joined.
    fn found(&self, bytes: &[u8]) -> Option<&str> {
        self.found_as_it_is(bytes).or_else(|| {
            let joined: Vec<u8> = bytes
                .iter()
                .copied()
                .filter(|byte| !byte.is_ascii_whitespace())
                .collect();
            self.found_as_it_is(&joined)
        })
    }

    fn found_as_it_is(&self, bytes: &[u8]) -> Option<&str> {
        bytes.windows(KEY).enumerate().find_map(|(at, key)| {
            if !self.begins[two(key)] {
                return None;
            }
            let candidates = self.by_key.get(key)?;
            candidates.iter().find_map(|&candidate| {
                let (needle, name) = &self.known[candidate];
                bytes[at..].starts_with(needle).then_some(&**name)
            })
        })
    }

    #[track_caller]
    fn must_not_be_in(&self, what: &str, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "{what} is empty");
        assert_eq!(self.found(bytes), None, "in {what}");
    }
}

fn two(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// What base64 makes of these bytes wherever they stand, `shift` bytes behind the begin of a group: without the letters
/// that their neighbours have a part in.
fn base64_inside(bytes: &[u8], shift: usize) -> Vec<u8> {
    let from = (3 - shift) % 3;
    let whole = (bytes.len() - from) / 3 * 3;
    BASE64.encode(&bytes[from..from + whole]).into_bytes()
}

#[test]
fn they_would_be_found() {
    let needles = Needles::new();
    for whole in [
        pattern::eicar(),
        pattern::gtube(),
        pattern::gtube_with(b'Y'),
    ] {
        for before in ["", "a", "ab", "abc"] {
            let inside = [before.as_bytes(), &whole, b" and more"].concat();
            let reversed: Vec<u8> = inside.iter().rev().copied().collect();
            let json = serde_json::json!({ "text": String::from_utf8(inside.clone()).unwrap() });
            for written in [
                inside.clone(),
                reversed,
                json.to_string().into_bytes(),
                HEXLOWER.encode(&inside).into_bytes(),
                HEXUPPER.encode(&inside).into_bytes(),
                BASE64.encode(&inside).into_bytes(),
                BASE64_MIME.encode(&inside).into_bytes(),
            ] {
                assert!(needles.found(&written).is_some());
            }
        }
        assert!(needles.found(&whole[..50]).is_some());
    }
    assert_eq!(needles.found(b"EICAR and GTUBE are their names"), None);
}

#[test]
fn no_file_of_the_repository_holds_one() {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output();
    let listed = match listed {
        Ok(listed) if listed.status.success() => listed.stdout,
        _ => {
            eprintln!("skipped: this is no git repository, or there is no git");
            return;
        }
    };
    let needles = Needles::new();
    let mut read = 0;
    for name in listed.split(|byte| *byte == 0).filter(|it| !it.is_empty()) {
        let name = String::from_utf8_lossy(name);
        let path = root().join(&*name);
        // A file may be deleted and not committed yet, or be a link to a folder.
        if !path.is_file() {
            continue;
        }
        read += 1;
        assert_eq!(needles.found(&fs::read(path).unwrap()), None, "in {name}");
    }
    assert!(read > 100, "only {read} files");
}

#[test]
fn the_program_does_not_hold_one() {
    let program = fs::read(env!("CARGO_BIN_EXE_mailrobin")).unwrap();
    assert_eq!(Needles::new().found_as_it_is(&program), None);
}

#[test]
fn what_it_says_of_itself_does_not_hold_one() {
    let needles = Needles::new();
    let bed = Bed::new();
    for arguments in [
        "payloads",
        "payloads --format=json",
        "config schema",
        "man",
        "lab --help",
        "demo",
    ] {
        let said = bed.run(&arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(code(&said), 0, "{arguments}: {}", err(&said));
        needles.must_not_be_in(arguments, &said.stdout);
    }
}

/// Everything that a run prints and leaves behind, whether the filter stops what it should, tells of it or is off.
#[test]
fn what_a_run_prints_and_keeps_does_not_hold_one() {
    let needles = Needles::new();
    for faults in [
        &[][..],
        &["--fault=virus=bounce", "--fault=spam=tag"],
        &["--fault=filter-off"],
    ] {
        let bed = Bed::new();
        let mut lab = Lab::start(&bed, faults);
        let show = bed.run(&["config", "show", "-c", "lab.toml"]);
        needles.must_not_be_in("config show", &show.stdout);
        let suites = "--payload antivirus --payload spam --payload rspamd --payload policy";
        let reports = "--report=junit=j --report=tap=t --report=nagios=n --report=markdown=m --report=github=g";
        for format in ["--format=human -q", "--format=json --log-format=json -v"] {
            let arguments = format!(
                "check -c lab.toml {suites} --linger=0 --deadline=20s --transcript {reports} {format}"
            );
            let arguments: Vec<_> = arguments.split(' ').collect();
            let check = bed.run(&arguments);
            let what = format!("{faults:?} {format}");
            let said = out(&check);
            assert!(said.contains("eicar"), "{what}: {}", err(&check));
            needles.must_not_be_in(&what, said.as_bytes());
            assert_eq!(needles.found(&check.stderr), None, "in the log of {what}");
        }
        needles.must_not_be_in("what the lab says", &lab.end());
        let kept = kept(bed.path());
        assert!(!kept.is_empty(), "nothing is kept");
        for (name, bytes) in kept {
            assert_eq!(needles.found(&bytes), None, "in {name}");
        }
    }
}

/// Every file in a folder and below.
fn kept(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.display().to_string(), fs::read(path).unwrap()));
            }
        }
    }
    files
}
