//! `mailrobin report`: a month of history, in every format.

use mailrobin::report::history::json::schema;
use serde_json::{Value, json};

use super::bed::{code, err, expect_file, out, root};
use super::january::{bed, hour, report};

#[test]
fn the_schema_of_the_report_in_the_repository_is_the_programs_own() {
    let schema = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    expect_file(&root().join("schema/report.schema.json"), &schema).unwrap();
}

#[test]
fn a_month_as_people_read_it() {
    let bed = bed();
    let mut wrong = Vec::new();
    for (name, arguments) in [
        ("human.txt", &[][..]),
        ("human-by-week.txt", &["--by", "week", "inbound"]),
        ("markdown.md", &["--format", "markdown", "--by", "month"]),
    ] {
        let path = root().join("tests/cli/history").join(name);
        wrong.extend(expect_file(&path, &report(&bed, arguments)).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn by_week() -> Value {
    let text = report(&bed(), &["--format", "json", "--by", "week"]);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_month_as_json() {
    let report = by_week();
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema())
        .unwrap();
    let wrong: Vec<_> = validator
        .iter_errors(&report)
        .map(|it| it.to_string())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(report["schema"], 1);
    assert_eq!(report["instance"], "berlin-1");
    assert_eq!(
        (&report["from"], &report["to"]),
        (&json!(hour(0)), &json!(hour(31 * 24)))
    );
    assert_eq!(report["exact_since"], Value::Null);

    let inbound = &report["routes"][0];
    let hours = 31 * 24;
    assert_eq!(inbound["route"], "inbound");
    assert_eq!(inbound["probes"], 3 * hours);
    assert_eq!(
        (&inbound["fail"], &inbound["unknown"]),
        (&json!(4), &json!(3))
    );
    assert_eq!(inbound["only_reported"], hours);
    let judged = f64::from(2 * hours - 3);
    let availability = inbound["availability"].as_f64().unwrap();
    assert!((availability - (judged - 4.0) / judged).abs() < 1e-12);
    assert_eq!(
        (&inbound["incidents"], &inbound["downtime_s"]),
        (&json!(3), &json!(4.0 * 3600.0))
    );
    let p50 = inbound["round_trip_ms"]["p50"].as_f64().unwrap();
    assert!((p50 - 812.4).abs() < 9.0, "{p50}");
    assert_eq!(inbound["outcomes"]["missing"], 3);
    assert_eq!(inbound["codes"]["leak"], 1);
    let tests: Vec<_> = inbound["tests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["test"])
        .collect();
    assert_eq!(tests, ["eicar", "executable-name", "plain"]);
    assert_eq!(inbound["tests"][1]["availability"], Value::Null);
}

#[test]
fn a_month_by_its_weeks() {
    let report = by_week();
    let inbound = &report["routes"][0];
    // The first of January 2025 is a Wednesday.
    let parts = inbound["parts"].as_array().unwrap();
    let names: Vec<_> = parts
        .iter()
        .map(|part| part["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "2024-12-30",
            "2025-01-06",
            "2025-01-13",
            "2025-01-20",
            "2025-01-27"
        ]
    );
    let probes: u64 = parts
        .iter()
        .map(|part| part["probes"].as_u64().unwrap())
        .sum();
    assert_eq!(json!(probes), inbound["probes"]);
    assert_eq!(parts[0]["incidents"], 3);
    assert_eq!(parts[1]["downtime_s"], 0.0);

    // Where nothing was tested, nothing is known.
    let outbound = &report["routes"][1]["parts"][0];
    assert_eq!(outbound["probes"], 0);
    assert_eq!(
        (&outbound["availability"], &outbound["downtime_s"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn incidents_and_filters_of_a_month() {
    let report = by_week();
    let incidents = report["incidents"].as_array().unwrap();
    let told = incidents.iter().map(|it| {
        let keys = ["test", "code", "reason", "is_down", "lasted_s"];
        json!(keys.map(|key| &it[key]))
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            json!(["plain", "missing", "accepted, and not back", true, 10800.0]),
            json!([
                "eicar",
                "control-failed",
                "the control came to nothing",
                false,
                7200.0
            ]),
            json!([
                "eicar",
                "leak",
                "the EICAR attachment came back | intact",
                true,
                3600.0
            ]),
        ]
    );

    let filters = &report["filters"];
    assert_eq!(filters[0]["route"], "inbound");
    assert_eq!(
        filters[0]["sums"],
        json!(["antivirus: 0 of 1 payload as expected every time; came through: eicar (1 of 744)"])
    );
    let eicar = &filters[0]["payloads"][1];
    assert_eq!(
        (&eicar["payload"], &eicar["as_expected"], &eicar["leaks"]),
        (&json!("eicar"), &json!(740), &json!(1))
    );
    assert_eq!(
        (&eicar["unknown"], &eicar["otherwise"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(filters[0]["payloads"][0]["as_expected"], Value::Null);
    assert_eq!(filters.as_array().unwrap().len(), 1);
}

#[test]
fn a_month_as_a_table() {
    let bed = bed();
    let text = report(&bed, &["--format", "csv", "--by", "month"]);
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let head = table.headers().unwrap().clone();
    let rows: Vec<_> = table.records().map(Result::unwrap).collect();
    let cell = |row: &csv::StringRecord, name: &str| -> String {
        let column = head.iter().position(|column| column == name).unwrap();
        row[column].to_owned()
    };
    let names: Vec<_> = rows
        .iter()
        .map(|row| {
            ["route", "test", "part"]
                .map(|name| cell(row, name))
                .join("/")
        })
        .collect();
    let expected = [
        "inbound//",
        "inbound/eicar/",
        "inbound/executable-name/",
        "inbound/plain/",
        "inbound//2025-01",
        "outbound//",
        "outbound/plain/",
        "outbound//2025-01",
    ];
    assert_eq!(names, expected);
    assert_eq!(cell(&rows[1], "p50_ms"), "");
    assert_eq!(cell(&rows[2], "availability"), "");
    assert_eq!(cell(&rows[3], "probes"), "744");
    assert_eq!(cell(&rows[4], "from"), "2025-01-01T00:00:00Z");
}

#[test]
fn times_in_which_nothing_was_tested() {
    let bed = bed();
    for (arguments, exit, said) in [
        (&["report"][..], 0, "Nothing was tested in this time.\n"),
        (
            &["report", "--period", "month"],
            0,
            "Nothing was tested in this time.\n",
        ),
        (
            &["report", "--since", "2024-01-01", "--until", "2024-06-01"],
            0,
            "Nothing was tested in this time.\n",
        ),
        (&["report", "--period", "all"], 0, "\ninbound "),
        (
            &["report", "--since", "2025-01-04", "--until", "2025-01-05"],
            0,
            "\ninbound ",
        ),
    ] {
        let output = bed.run(arguments);
        assert_eq!(
            (code(&output), err(&output)),
            (exit, String::new()),
            "{arguments:?}"
        );
        assert!(
            out(&output).contains(said),
            "{arguments:?}: {}",
            out(&output)
        );
    }
}

#[test]
fn what_is_asked_wrongly_is_said_so() {
    let bed = bed();
    for (arguments, said) in [
        (
            &["report", "inbond"][..],
            "no route \"inbond\" was ever tested: did you mean `inbound`?",
        ),
        (
            &["report", "--period", "fortnight"],
            "there is no period \"fortnight\": write day, week",
        ),
        (
            &["report", "--period", "2999"],
            "the time that is asked about is yet to come",
        ),
        (
            &["report", "--since", "2025-02-01", "--until", "2025-01-01"],
            "is over before it begins",
        ),
        (
            &["report", "--since", "yesterday"],
            "\"yesterday\" is no time: write a date like",
        ),
        (
            &["report", "--timezone", "Mars/Olympus"],
            "there is no time zone \"Mars/Olympus\"",
        ),
        (
            &["store", "export", "--since", "soon"],
            "\"soon\" is no time",
        ),
    ] {
        let output = bed.run(arguments);
        assert_eq!(
            (code(&output), out(&output)),
            (3, String::new()),
            "{arguments:?}"
        );
        assert!(
            err(&output).contains(said),
            "{arguments:?}: {}",
            err(&output)
        );
    }
}
