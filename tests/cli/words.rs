//! What `mailrobin` prints about itself: schema, completions, manual.

use crate::bed::{Bed, code, err, out, root};

#[test]
fn the_config_schema_takes_the_samples_and_refuses_what_the_reader_refuses() {
    let printed = Bed::new().run(&["config", "schema"]);
    assert_eq!((code(&printed), err(&printed)), (0, String::new()));
    let schema: serde_json::Value = serde_json::from_str(&out(&printed)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let read = |text: &str| -> serde_json::Value {
        serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
    };
    for sample in ["mailrobin.toml", "minimal.toml"] {
        let text = std::fs::read_to_string(root().join("examples").join(sample)).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(&read(&text))
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{sample}: {errors:?}");
    }
    for wrong in [
        "[gateways.edge]\nhots = \"mx\"",
        "[gateways.edge]\nport = 70000",
        "[routes.a]\ntests = [\"plain\"]",
    ] {
        assert!(!validator.is_valid(&read(wrong)), "{wrong}");
    }
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Bed::new().run(&["completions", shell]);
        assert_eq!(code(&script), 0);
        assert!(out(&script).contains("fail-fast"), "{shell}");
    }
    assert_eq!(code(&Bed::new().run(&["completions", "csh"])), 3);
}

#[test]
fn the_manual_tells_every_command_and_the_exit_codes() {
    let page = Bed::new().run(&["man"]);
    assert_eq!((code(&page), err(&page)), (0, String::new()));
    let page = out(&page);
    assert!(page.contains(".TH mailrobin"), "{page}");
    for told in [
        "MAILROBIN CHECK",
        "MAILROBIN CONFIG",
        "Exit codes",
        "linger",
    ] {
        assert!(page.contains(told), "{told}");
    }
}
