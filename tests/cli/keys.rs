//! The signing key: made once, for its owner alone, where the state is kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::bed::{Bed, code, config, err, mailrobin, refused};

fn bed() -> Bed {
    Bed::with(&config(
        (refused(), refused()),
        "",
        "password = \"hunter2\"",
    ))
}

/// Checks in `bed`, so that a key is needed.
#[track_caller]
fn check(bed: &Bed, arguments: &[&str], environment: &[(&str, &Path)]) {
    let output = mailrobin(bed.path())
        .args(["check", "--linger=0"])
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert_eq!(code(&output), 2, "{}", err(&output));
}

#[track_caller]
fn key(folder: &Path) -> String {
    let path = folder.join("signing.key");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(folder)), (0o600, 0o700));
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    fs::read_to_string(path).unwrap()
}

#[test]
fn it_is_made_once_and_kept() {
    let bed = bed();
    let folder = bed.path().join("a/b");
    check(&bed, &["--state-dir", "a/b"], &[]);
    let first = key(&folder);
    assert_eq!(first.trim().len(), 64);
    check(&bed, &["--state-dir", "a/b"], &[]);
    assert_eq!(key(&folder), first);
    check(&bed, &["--state-dir", "c"], &[]);
    assert_ne!(key(&bed.path().join("c")), first);
}

#[test]
fn it_is_kept_where_the_state_is() {
    let bed = bed();
    let at = |name: &str| bed.path().join(name);
    let (option, service, xdg, home) = (at("option"), at("service"), at("xdg"), at("home"));
    let all = [
        ("STATE_DIRECTORY", service.as_path()),
        ("XDG_STATE_HOME", xdg.as_path()),
        ("HOME", home.as_path()),
    ];
    check(&bed, &["--state-dir", "option"], &all);
    key(&option);
    assert!(!service.exists());
    check(&bed, &[], &all);
    key(&service);
    assert!(!xdg.exists());
    check(&bed, &[], &all[1..]);
    key(&xdg.join("mailrobin"));
    assert!(!home.exists());
}

/// systemd gives several paths, with colons between them, to a unit with several state directories.
#[test]
fn the_first_of_several_state_directories_is_used() {
    let bed = bed();
    let mut both = bed.path().join("one").into_os_string();
    both.push(":");
    both.push(bed.path().join("two"));
    check(&bed, &[], &[("STATE_DIRECTORY", Path::new(&both))]);
    key(&bed.path().join("one"));
}

#[test]
fn a_config_that_names_a_key_needs_no_state() {
    let bed = bed();
    let text = config((refused(), refused()), "", "password = \"hunter2\"");
    bed.write(
        "mailrobin.toml",
        &format!("[signing]\nkey = {{ file = \"shared.key\" }}\n{text}"),
    );
    bed.write("shared.key", "0123456789abcdef0123456789abcdef\n");
    check(&bed, &["--state-dir", "state"], &[]);
    assert!(!bed.path().join("state").exists());
}

#[test]
fn looking_at_a_config_makes_no_key() {
    let bed = bed();
    for word in ["check", "show"] {
        assert_eq!(code(&bed.run(&["config", word])), 0);
    }
    assert!(!bed.path().join("state").exists());
}

#[test]
fn a_key_that_cannot_be_kept_or_could_be_guessed_is_said() {
    let bed = bed();
    bed.write("file", "");
    let output = bed.run(&["check", "--state-dir", "file/state"]);
    assert_eq!(code(&output), 3);
    assert!(
        err(&output).contains("file/state") && err(&output).contains("--state-dir"),
        "{}",
        err(&output)
    );

    bed.write("short/signing.key", "too short\n");
    let output = bed.run(&["check", "--state-dir", "short"]);
    assert_eq!(code(&output), 3);
    assert!(
        err(&output).contains("signing key") && !err(&output).contains("too short"),
        "{}",
        err(&output)
    );
}

#[test]
fn a_key_that_others_can_read_is_warned_about() {
    let bed = bed();
    bed.write("open/signing.key", "0123456789abcdef0123456789abcdef\n");
    let key = bed.path().join("open/signing.key");
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    let output = bed.run(&["check", "--linger=0", "--state-dir", "open"]);
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("chmod 600"), "{}", err(&output));
}

/// A file that fills the memory, or never ends, is no key.
#[test]
fn a_key_that_is_no_line_of_text_is_refused() {
    let bed = bed();
    bed.write("large/signing.key", "");
    let path = bed.path().join("large/signing.key");
    let key = fs::File::options().write(true).open(&path).unwrap();
    for (length, why) in [
        (100_000_000, "it is larger than 4.0 KiB"),
        (64, "control characters"),
    ] {
        key.set_len(length).unwrap();
        let output = bed.run(&["check", "--state-dir", "large"]);
        assert_eq!(code(&output), 3);
        assert!(err(&output).contains(why), "{}", err(&output));
    }
    drop(key);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let output = bed.run(&["check", "--state-dir", "large"]);
    assert_eq!(code(&output), 3);
    assert!(
        err(&output).contains("only regular files are read"),
        "{}",
        err(&output)
    );
}

#[test]
fn a_folder_that_all_may_write_is_warned_about() {
    let bed = bed();
    let open = |folder: &str| {
        let path = bed.path().join(folder);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    };
    open("open");
    open("history");
    let config = config((refused(), refused()), "", "password = \"hunter2\"");
    let store = "[store]\nurl = \"sqlite:history/history.db\"\n";
    bed.write("mailrobin.toml", &format!("{config}{store}"));
    // Without a token it does not listen, so that it ends.
    let output = bed.run(&["run", "--listen=0.0.0.0:0", "--state-dir=open"]);
    let said = err(&output);
    assert_eq!(code(&output), 3, "{said}");
    for (folder, holds) in [("open", "the signing key"), ("history", "the history")] {
        let folder = bed.path().join(folder);
        let warned = format!("{}, which holds {holds}: chmod o-w", folder.display());
        let warned = warned.replace(&bed.path().join("open").display().to_string(), "open");
        assert!(said.contains(&warned), "{warned}: {said}");
    }
}
