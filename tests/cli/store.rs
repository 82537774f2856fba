//! `mailrobin store`: the history's upkeep, while the service is running and without it.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use mailrobin::store::{Opened, Write};
use serde_json::Value;

use super::bed::{Bed, code, config, err, out, refused};
use super::january::{bed, block_on, open, put, report};

#[test]
fn without_a_history_each_command_says_where_it_looked() {
    let bed = Bed::with(&config(
        (refused(), refused()),
        "",
        "password = \"hunter2\"",
    ));
    for arguments in [
        &["report"][..],
        &["store", "check"],
        &["store", "export"],
        &["store", "prune"],
    ] {
        let output = bed.run(arguments);
        assert_eq!(
            (code(&output), out(&output)),
            (3, String::new()),
            "{arguments:?}"
        );
        let said = "state/history.db yet: `mailrobin run` makes it";
        assert!(
            err(&output).contains(said),
            "{arguments:?}: {}",
            err(&output)
        );
    }
    assert!(!bed.path().join("state").exists(), "nothing is made");
}

#[test]
fn while_the_service_writes_the_others_read() {
    let bed = bed();
    block_on(async {
        let Opened {
            mut writer,
            reader: _reader,
            ..
        } = open(&bed).await;
        let fact = Write::Fact {
            name: "paused".into(),
            value: None,
        };
        writer.commit(&[fact]).await.unwrap();
        for arguments in [&["report"][..], &["store", "check"], &["store", "export"]] {
            let output = bed.run(arguments);
            assert_eq!(
                (code(&output), err(&output)),
                (0, String::new()),
                "{arguments:?}"
            );
        }
        let output = bed.run(&["store", "prune"]);
        assert_eq!((code(&output), out(&output)), (3, String::new()));
        let said = "another mailrobin is running with the history";
        assert!(err(&output).contains(said), "{}", err(&output));
    });
}

#[test]
fn a_sound_history_and_a_damaged_one() {
    let bed = bed();
    let output = bed.run(&["store", "check"]);
    assert_eq!((code(&output), err(&output)), (0, String::new()));
    let said = out(&output);
    for line in [
        "state/history.db is sound\n",
        "  schema     1\n",
        "  probes     2760, 0 of them in flight, 2760 with all that was seen\n",
        "  due        2025-01-01T00:00:00Z to 2025-01-31T23:00:00Z\n",
        "  days       115 reckoned, of all tests together\n",
        "  incidents  5\n",
        "  notices    0 still to go out\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let path = bed.path().join("state/history.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..half + 8192].fill(0xff);
    std::fs::write(&path, &bytes).unwrap();
    let output = bed.run(&["store", "check"]);
    assert_eq!((code(&output), err(&output)), (3, String::new()));
    let said = out(&output);
    assert!(
        said.contains("history.db is damaged:\n  ") && said.contains("`mailrobin store export`"),
        "{said}"
    );

    std::fs::write(&path, "hello").unwrap();
    let output = bed.run(&["store", "check"]);
    assert_eq!(code(&output), 3);
    let said = out(&output);
    assert!(
        said.contains("file is not a database") && said.contains("`sqlite3 FILE .recover`"),
        "{said}"
    );
}

/// The probes of an export.
fn exported(bed: &Bed, arguments: &[&str]) -> Vec<Value> {
    let mut all = vec!["store", "export"];
    all.extend(arguments);
    let output = bed.run(&all);
    assert_eq!((code(&output), err(&output)), (0, String::new()));
    let text = out(&output);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn an_export_is_one_probe_a_line_the_oldest_first() {
    let bed = bed();
    let all = exported(&bed, &[]);
    assert_eq!(all.len(), 2760);
    let due: Vec<_> = all
        .iter()
        .map(|probe| probe["due_at"].as_str().unwrap())
        .collect();
    assert!(due.is_sorted());
    for (arguments, count) in [
        (&["--route", "outbound"][..], 22 * 24),
        (&["--test", "eicar"], 744),
        (&["--verdict", "fail"], 4),
        (&["--verdict", "unknown", "--route", "inbound"], 3),
        (&["--since", "2025-01-31T22:00:00Z"], 8),
        (&["--until", "2025-01-01T01:00:00Z"], 3),
        (&["--since", "3d"], 0),
    ] {
        assert_eq!(exported(&bed, arguments).len(), count, "{arguments:?}");
    }
}

#[test]
fn an_export_as_a_table_is_no_formula() {
    let bed = bed();
    let output = bed.run(&["store", "export", "--format", "csv", "--verdict", "fail"]);
    assert_eq!((code(&output), err(&output)), (0, String::new()));
    let text = out(&output);
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let head = table.headers().unwrap().clone();
    assert_eq!(head.len(), 36);
    let column = |name: &str| head.iter().position(|column| column == name).unwrap();
    let (reason, transit) = (column("reason"), column("transit_ms"));
    let rows: Vec<_> = table.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 4);
    assert_eq!(
        &rows[3][reason],
        "'=the EICAR attachment came back | intact"
    );
    assert_eq!(&rows[3][transit], "812.2");
    let nothing = bed.run(&["store", "export", "--format", "csv", "--route", "nowhere"]);
    assert_eq!(out(&nothing).lines().count(), 1, "the names of the columns");
}

#[test]
fn an_export_needs_no_config() {
    let bed = Bed::new();
    put(&bed);
    assert_eq!(exported(&bed, &[]).len(), 2760);
    let folder = bed.path().join("state");
    let elsewhere = Bed::new();
    let folder = folder.to_str().unwrap();
    assert_eq!(exported(&elsewhere, &["--state-dir", folder]).len(), 2760);
}

#[test]
fn whoever_reads_an_export_may_leave() {
    let bed = bed();
    for format in ["json", "csv"] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mailrobin"));
        let mut child = command
            .args(["store", "export", "--format", format, "--state-dir"])
            .arg(bed.path().join("state"))
            .current_dir(bed.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        reader.read_line(&mut line).unwrap();
        assert!(line.len() > 20);
        drop(reader);
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), said.as_str()),
            (Some(0), ""),
            "{format}"
        );
    }
}

#[test]
fn what_is_older_than_it_is_kept_goes_and_its_days_stay() {
    let bed = bed();
    let before = report(&bed, &["--format", "json"]);
    let output = bed.run(&["store", "prune"]);
    assert_eq!((code(&output), err(&output)), (0, String::new()));
    let said = out(&output);
    assert!(
        said.contains("history.db: 2760 probes and 5 incidents are gone"),
        "{said}"
    );
    assert!(exported(&bed, &[]).is_empty());
    // All of January is longer ago than anything is kept; what is known of its days is known for good.
    let mut before: Value = serde_json::from_str(&before).unwrap();
    let mut after: Value = serde_json::from_str(&report(&bed, &["--format", "json"])).unwrap();
    assert!(after["exact_since"].is_string());
    for report in [&mut before, &mut after] {
        let report = report.as_object_mut().unwrap();
        report.retain(|key, _| key == "routes");
        let routes = report["routes"].as_array_mut().unwrap();
        for figures in routes.iter_mut() {
            for key in ["incidents", "downtime_s", "tests"] {
                figures.as_object_mut().unwrap().remove(key);
            }
        }
    }
    assert_eq!(after, before);
    let again = bed.run(&["store", "prune"]);
    assert!(
        out(&again).contains(": 0 probes and 0 incidents are gone"),
        "{}",
        out(&again)
    );
}
