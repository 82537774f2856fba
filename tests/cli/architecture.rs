//! The one-way order of the rooms, and who may read a clock, do I/O or start a task: proved from the source text. The
//! order is read from `src/lib.rs`, so that it is the one the reader of that file believes.

use std::fs;
use std::path::{Path, PathBuf};

use super::bed::root;

/// A source file: the room it belongs to, and its code without comments.
struct Source {
    path: PathBuf,
    room: String,
    /// How many modules it lies below the crate's root.
    depth: usize,
    code: String,
}

impl Source {
    /// The code without its unit tests, which stand last.
    fn product(&self) -> &str {
        self.code.split("#[cfg(test)]\nmod ").next().unwrap()
    }

    fn is(&self, path: &str) -> bool {
        self.path == Path::new(path)
    }
}

/// Every source file of every room.
fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut waiting = vec![src.clone()];
    let mut sources = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let within = path.strip_prefix(&src).unwrap().to_owned();
        let name = within.file_name().unwrap();
        if within.extension().is_none_or(|extension| extension != "rs")
            || within == Path::new("lib.rs")
            || within == Path::new("main.rs")
        {
            continue;
        }
        let parts = within.components().count();
        let first = within.components().next().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        sources.push(Source {
            room: Path::new(&first)
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .into(),
            depth: if name == "mod.rs" { parts - 1 } else { parts },
            code: without_comments(&text),
            path: within,
        });
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 20, "the sources were not found");
    sources
}

fn without_comments(text: &str) -> String {
    let kept = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    kept.collect::<Vec<_>>().join("\n")
}

/// The rooms, as `lib.rs` lists them.
fn rooms() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    lib.lines()
        .filter_map(|line| {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            line.strip_prefix("mod ")?.strip_suffix(';')
        })
        .map(str::to_owned)
        .collect()
}

/// The rooms that this code names by a path from the crate's root.
fn named(source: &Source) -> Vec<String> {
    // Tests stand one module deeper, where `super` means another; there only paths from the root are looked at.
    let mut named = from_root(&source.code);
    named.extend(from_above(source.product(), source.depth));
    named
}

fn from_root(code: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let is_whole =
            !code[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$'));
        if is_whole {
            named.extend(heads(&code[at + "crate::".len()..]));
        }
    }
    named
}

fn from_above(code: &str, depth: usize) -> Vec<String> {
    let mut named = Vec::new();
    let up = "super::".repeat(depth);
    for (at, _) in code.match_indices(&up) {
        let rest = &code[at + up.len()..];
        if !code[..at].ends_with("super::") && !rest.starts_with("super::") {
            named.extend(heads(rest));
        }
    }
    named
}

/// The first word of a path, or of each path in its braces.
fn heads(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        let is_part = |c: &char| c.is_alphanumeric() || *c == '_';
        text.trim_start().chars().take_while(is_part).collect()
    };
    let Some(inner) = path.trim_start().strip_prefix('{') else {
        return vec![word(path)]
            .into_iter()
            .filter(|head| !head.is_empty())
            .collect();
    };
    let mut heads = Vec::new();
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                heads.push(word(&inner[begin..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(word(&inner[begin..at]));
                begin = at + 1;
            }
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty() && head != "self");
    heads
}

#[test]
fn paths_from_the_root_are_found_in_every_form() {
    let code = "use crate::{a::{b, c}, d,\n  e as f};\nlet x = crate::g::h(); $crate::no; super::super::i::j";
    assert_eq!(from_root(code), ["a", "d", "e", "g"]);
    assert_eq!(from_above(code, 2), ["i"]);
    assert!(from_above("super::a", 2).is_empty());
}

#[test]
fn every_room_is_in_the_list_and_every_entry_is_a_room() {
    let rooms = rooms();
    for source in sources() {
        assert!(
            rooms.contains(&source.room),
            "{} is in no room",
            source.path.display()
        );
    }
    for room in &rooms {
        let src = root().join("src");
        assert!(
            src.join(room).is_dir() || src.join(format!("{room}.rs")).is_file(),
            "lib.rs lists {room}"
        );
    }
}

#[test]
fn a_room_uses_only_rooms_above_it() {
    let rooms = rooms();
    let rank = |room: &str| rooms.iter().position(|other| other == room);
    let mut wrong = Vec::new();
    for source in sources() {
        for other in named(&source) {
            let is_above = rank(&other).is_some_and(|other| Some(other) < rank(&source.room));
            if other != source.room && !is_above {
                wrong.push(format!("{} uses {other}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "order: {rooms:?}\n{}", wrong.join("\n"));
}

#[test]
fn the_lab_shares_nothing_with_the_rooms_it_tests_but_net_and_the_mime_parser() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.room == "lab") {
        for other in named(source) {
            if !["lab", "net", "mime", "pattern"].contains(&other.as_str()) {
                wrong.push(format!("{} uses {other}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The lines of product code that hold one of these, outside of the files that may.
fn holding(needles: &[&str], may: impl Fn(&Source, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources() {
        for line in source.product().lines() {
            if needles.iter().any(|needle| line.contains(needle)) && !may(&source, line) {
                found.push(format!("{}: {}", source.path.display(), line.trim()));
            }
        }
    }
    found
}

#[test]
fn only_the_clock_reads_clocks() {
    let readers = [
        "Instant::now",
        "SystemTime::now",
        "Timestamp::now",
        "Zoned::now",
        ".elapsed()",
    ];
    // The lab, which must not share ours, has a clock of its own. The engine sleeps on tokio's clock, and may ask it what time it is there.
    let sleeps = |source: &Source| {
        source.room == "engine"
            && (source.code.contains("use tokio::time::{Instant")
                || source.code.contains("use tokio::time::Instant;"))
            && !source.code.contains("std::time::Instant::now")
    };
    let found = holding(&readers, |source, line| {
        source.is("clock.rs")
            || source.is("lab/stamp.rs")
            || (sleeps(source) && line.contains("Instant::now"))
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn pure_rooms_do_no_io_and_wait_for_nothing() {
    let impure = [
        "tokio",
        "std::fs",
        "std::process",
        "std::env",
        "std::thread",
        "TcpStream",
        "UdpSocket",
        "ToSocketAddrs",
        ".await?",
        ".await;",
        ".await.",
        ".await)",
        ".await,",
        ".await {",
        "async fn",
        "async move",
    ];
    let pure = |source: &Source| {
        ["probe", "judge"].contains(&source.room.as_str())
            || source.is("engine/ledger.rs")
            || source.path.starts_with("service/alert")
            || source.path.starts_with("service/schedule")
            || source.is("service/schedule.rs")
    };
    let found = holding(&impure, |source, _| !pure(source));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn tasks_are_started_by_the_engine_the_service_and_the_lab_and_never_let_go() {
    let detached = [
        "tokio::spawn(",
        "task::spawn(",
        "thread::spawn(",
        "spawn_blocking(",
        "spawn_local(",
    ];
    // A file system that does not answer cannot be waited for.
    let found = holding(&detached, |source, _| source.is("files.rs"));
    assert!(found.is_empty(), "detached:\n{}", found.join("\n"));
    let owners = ["engine", "service", "lab", "files", "program"];
    let found = holding(&[".spawn("], |source, _| {
        owners.contains(&source.room.as_str())
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn there_is_one_tls_and_one_crypto_provider() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let lock: toml::Table = lock.parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let is_other = [
            "aws-lc-rs",
            "aws-lc-sys",
            "openssl",
            "openssl-sys",
            "native-tls",
            "boring",
        ];
        assert!(!is_other.contains(&name), "{name} is another TLS");
    }
}

/// What the code takes in from beside `src` is there where the image is built, too.
#[test]
fn the_image_is_built_of_all_that_the_program_is() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let (dockerfile, context) = (read("Dockerfile"), read(".dockerignore"));
    let mut count = 0;
    for source in sources() {
        let included = source.code.split("include_str!(\"").skip(1);
        let included = included.filter_map(|rest| rest.split('"').next());
        let mut beside: Vec<_> = included.filter(|path| path.starts_with("../")).collect();
        if source.code.contains("sqlx::migrate!()") {
            beside.push("migrations");
        }
        for path in beside {
            let path = path.trim_start_matches("../");
            assert!(
                context.lines().any(|line| line == format!("!{path}")),
                "{path} is not in .dockerignore"
            );
            assert!(
                dockerfile.contains(&format!("COPY {path} ")),
                "{path} is not in the Dockerfile"
            );
            count += 1;
        }
    }
    assert!(count >= 2);
}
