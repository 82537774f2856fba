//! `mailrobin explain` and its page, `docs/codes.md`: a section for each code, of one shape, and true to the code, to the
//! result document and to the command line.

use clap::Parser;
use mailrobin::cli::Cli;
use mailrobin::probe::outcome::Code;
use mailrobin::probe::record::Record;
use serde_json::Value;

use super::bed::{Bed, code, err, out, root};

const PAGE: &str = include_str!("../../docs/codes.md");

/// A section: its heading, what it means, and the three parts below.
struct Section {
    heading: &'static str,
    meaning: &'static str,
    evidence: Vec<&'static str>,
    causes: Vec<&'static str>,
    next: Vec<&'static str>,
}

fn sections() -> Vec<Section> {
    PAGE.split("\n## ")
        .skip(1)
        .map(|text| {
            let (heading, text) = text.split_once('\n').unwrap();
            let parts: Vec<_> = text.split("\n### ").collect();
            let part = |at: usize, name: &str| -> Vec<&str> {
                let mut lines = parts[at].lines().filter(|line| !line.is_empty());
                assert_eq!(lines.next(), Some(name), "{heading}");
                lines.collect()
            };
            assert_eq!(parts.len(), 4, "{heading}");
            Section {
                heading,
                meaning: parts[0].trim(),
                evidence: part(1, "Evidence"),
                causes: part(2, "Likely causes"),
                next: part(3, "Next"),
            }
        })
        .collect()
}

#[test]
fn every_code_has_one_section_and_no_section_is_of_no_code() {
    let headings: Vec<_> = sections().iter().map(|section| section.heading).collect();
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(headings, codes);
}

#[test]
fn a_section_begins_with_the_meaning_of_its_code() {
    for (section, code) in sections().iter().zip(Code::ALL) {
        let rest = section.meaning.strip_prefix(code.meaning());
        let rest = rest.unwrap_or_else(|| panic!("{code}: {}", section.meaning));
        assert!(rest.is_empty() || rest.starts_with(' '), "{code}: {rest}");
        assert!(!section.meaning.contains('\n'), "{code}");
    }
}

/// The schema of what a path such as `attempts[].text` leads to.
fn schema_at<'a>(whole: &'a Value, path: &str) -> Option<&'a Value> {
    fn resolved<'a>(whole: &'a Value, schema: &'a Value) -> &'a Value {
        let of_some = schema["anyOf"].as_array().and_then(|kinds| kinds.first());
        let schema = of_some.unwrap_or(schema);
        match schema["$ref"].as_str() {
            Some(place) => whole.pointer(place.trim_start_matches('#')).unwrap(),
            None => schema,
        }
    }
    path.split('.').try_fold(whole, |schema, key| {
        let name = key.trim_end_matches("[]");
        let found = resolved(whole, schema)["properties"].get(name)?;
        if key == name {
            Some(found)
        } else {
            resolved(whole, found).get("items")
        }
    })
}

#[test]
fn the_evidence_named_is_in_the_result_document() {
    let schema = schemars::schema_for!(Record).to_value();
    assert!(schema_at(&schema, "attempts[].txt").is_none());
    for section in sections() {
        assert!(!section.evidence.is_empty(), "{}", section.heading);
        for line in section.evidence {
            let (paths, told) = line.strip_prefix("- ").unwrap().split_once(": ").unwrap();
            assert!(!told.is_empty(), "{line}");
            for path in paths.split(", ") {
                let path = path
                    .strip_prefix('`')
                    .and_then(|path| path.strip_suffix('`'));
                let path = path.unwrap_or_else(|| panic!("{line}"));
                let is_there = schema_at(&schema, path).is_some();
                assert!(is_there, "{}: there is no {path}", section.heading);
            }
        }
    }
}

#[test]
fn causes_are_numbered_and_the_next_command_is_one_that_runs() {
    for section in sections() {
        for (at, cause) in section.causes.iter().enumerate() {
            assert!(cause.starts_with(&format!("{}. ", at + 1)), "{cause}");
        }
        assert!(!section.causes.is_empty(), "{}", section.heading);
        let [open, command, close, told @ ..] = section.next.as_slice() else {
            panic!("{}: {:?}", section.heading, section.next);
        };
        assert_eq!((*open, *close), ("```sh", "```"), "{}", section.heading);
        assert!(told.len() < 2, "{}: {told:?}", section.heading);
        if command.starts_with("mailrobin") {
            Cli::try_parse_from(command.split(' '))
                .unwrap_or_else(|error| panic!("{}: {error}", section.heading));
        }
    }
}

#[test]
fn the_page_of_a_code_is_printed_without_the_marks_of_its_source() {
    for reason in Code::ALL {
        let page = Bed::new().run(&["explain", reason.as_str()]);
        assert_eq!((code(&page), err(&page)), (0, String::new()));
        let page = out(&page);
        assert!(page.starts_with(&format!("{reason}\n\n")), "{page}");
        assert!(page.contains(reason.meaning()), "{page}");
        for mark in ["```", "#"] {
            assert!(!page.contains(mark), "{page}");
        }
    }
    insta::assert_snapshot!(out(&Bed::new().run(&["explain", "[not-started]"])), @r"
    not-started

    The run ended before this probe was started. Nothing was sent for it.

    Evidence

    - `outcome`: `skipped`.
    - `started_at`: null.

    Likely causes

    1. `--fail-fast`: a probe before it failed.
    2. The run was interrupted, or `--timeout` was over.
    3. `--wait`: a server that the run needs never answered; `reason` names it.

    Next

        mailrobin check ROUTE
    ");
    let coloured = Bed::new().run(&["explain", "missing", "--color=always"]);
    assert!(
        out(&coloured).starts_with("\u{1b}[1mmissing"),
        "{}",
        out(&coloured)
    );
}

#[test]
fn without_a_code_all_are_listed() {
    let list = Bed::new().run(&["explain"]);
    assert_eq!((code(&list), err(&list)), (0, String::new()));
    let list = out(&list);
    assert_eq!(list.lines().count(), Code::ALL.len());
    for (line, code) in list.lines().zip(Code::ALL) {
        let (word, meaning) = line.split_once("  ").unwrap();
        assert_eq!((word, meaning.trim()), (code.as_str(), code.meaning()));
    }
}

#[test]
fn an_unknown_code_is_answered_with_the_nearest() {
    for (given, right) in [
        ("mising", "did you mean `missing`?"),
        ("[Leek]", "did you mean `leak`?"),
        ("nothing-like-it-at-all", "`greeting-failed`"),
    ] {
        let output = Bed::new().run(&["explain", given]);
        assert_eq!((code(&output), out(&output)), (3, String::new()));
        assert!(err(&output).contains(right), "{}", err(&output));
    }
}

/// What is embedded has to be in the package, or nobody can build it from there.
#[test]
fn the_page_is_packaged() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    for left_out in manifest["package"]["exclude"].as_array().unwrap() {
        let left_out = left_out.as_str().unwrap();
        assert!(!"/docs/codes.md".starts_with(left_out), "{left_out}");
        assert!(
            !"/src/cli/init/sieve.txt".starts_with(left_out),
            "{left_out}"
        );
    }
}
