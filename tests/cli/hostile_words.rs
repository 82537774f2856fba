//! Whatever peers say, and however users name their files, no output breaks: as many tests are read from each as were
//! written.

use mailrobin::probe::outcome::Verdict;
use mailrobin::probe::record::{Document, Record};
use proptest::prelude::*;
use serde_json::json;

use super::formats;
use super::writers::{VERDICTS, of, record, written, xml};

/// What peers, and the files of users, could try.
fn hostile() -> Vec<String> {
    let mut hostile: Vec<_> = [
        "\u{0}\u{1}\u{8}\u{b}\u{1b}[31mred\u{1b}[0m\u{7f}\u{85}\u{9b}2J\u{202e}\u{2028}\u{fffe}\u{ffff}\u{feff}",
        "]]> <![CDATA[ &amp; &#0; </failure></testcase> <!-- -- --> <?xml?>",
        "| a || b \\| c \\\\| ; 'x'=1s;2;3 = '' ' = |",
        "::error::x\n::set-output name=a::b %0A::warning::y %25 %0D\r\n##[add-mask]z",
        "``` ```` ~~~\n```\n# heading\n<details><script>alert(1)</script>\n| --- |",
        "ok 2 - x # SKIP y # TODO \\# \\\\\n1..0\nBail out!\n  ...\n  ---\nnot ok 3",
        "https://evil.example www.evil.example [a](javascript:x) ![i](x) @everyone *b* _i_ $x$ \\",
        "emoji 🦆🇩🇪 and\u{301} א \u{10ffff}",
        "key: value\n- item\n\"quoted\" 'single' {flow: [1]} &anchor *alias !tag",
        "%",
        "",
        " ",
    ]
    .map(str::to_owned)
    .into();
    hostile.push("ä`|".repeat(35_000));
    hostile
}

fn with_words(number: usize, verdict: Verdict, words: &str) -> Record {
    let fields = json!({
        "route": format!("r{words}"), "variant": words, "verdict": verdict, "outcome": "rejected", "code": "rejected",
        "reason": format!("it said {words}"), "transcript": [words], "superseded_by": null,
        "attempts": [{ "address": null, "phase": "data", "code": 550, "text": words }],
        "smtp": { "host": words, "address": null, "tls": words, "code": 550, "enhanced": words, "text": words },
        "copies": [{ "folder": words, "seen_at": "2026-01-01T00:00:01Z", "delivered_at": null, "size": 1, "outcome": "junked" }],
        "evidence": { "carriers": [], "marks": { words: { "value": words, "positive": true } }, "vantage": null, "stopped_by": null },
    });
    record(number, &fields)
}

/// As many tests are read from each output as were written, each verdict where it belongs.
#[track_caller]
fn stays_whole(words: &str) -> Document {
    let payloads = [json!("plain"), json!("eicar"), json!("gtube"), json!(null)];
    let records =
        VERDICTS
            .into_iter()
            .zip(payloads)
            .enumerate()
            .map(|(number, (verdict, payload))| Record {
                payload: serde_json::from_value(payload).unwrap(),
                ..with_words(number, verdict, words)
            });
    let document = of(records.collect());
    let written = written(&document);
    assert_eq!(
        (
            written.junit.failures,
            written.junit.errors,
            written.junit.tests
        ),
        (1, 1, 4)
    );
    assert_eq!(written.tap.iter().filter(|point| point.ok).count(), 2);
    assert!(written.tap.iter().all(|point| point.skip.is_none()));
    assert_eq!(
        (written.nagios.long.len(), written.nagios.data.len()),
        (4, 8)
    );
    assert_eq!(written.markdown.fenced.len(), 3);
    assert_eq!(written.markdown.headings.len(), 1 + 1 + 3);
    let kinds: Vec<_> = written.github.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds, ["error", "error", "warning", "notice"]);
    let read: Document = serde_json::from_value(written.json).unwrap();
    assert_eq!(read.probes, document.probes);
    document
}

#[test]
fn hostile_words_break_no_output() {
    for words in hostile() {
        formats::follows_the_schema(&xml(&stays_whole(&words)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_words_break_an_output(words in any::<String>()) {
        stays_whole(&words);
    }

    #[test]
    fn no_markup_breaks_an_output(words in "[`|#\\\\%:,'= \n\r<>&\\]~*_\\[(){}.-]{0,60}") {
        stays_whole(&words);
    }
}
