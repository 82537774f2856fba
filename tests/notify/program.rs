//! Programs: how they end, what they print, and what becomes of their children.

#[cfg(target_os = "linux")]
use std::path::Path;
use std::time::Duration;

use mailrobin::config::secret::Secret;
use mailrobin::service::notify::{Exit, Ran, run};

use crate::stage::{patience, script, secret};

/// Long enough for a script to begin.
const SHORT: Duration = Duration::from_secs(2);

async fn ran(text: &str, input: &[u8]) -> Ran {
    patience(run(&script(text), input, &[])).await
}

#[tokio::test]
async fn both_outputs_are_kept_in_their_order_with_the_exit_code() {
    let ran = ran("echo one; echo two >&2; echo three; exit 7", b"").await;
    assert_eq!(ran.exit, Exit::Code(7));
    assert_eq!(ran.output, "one\ntwo\nthree");
    assert_eq!(ran.exit.to_string(), "exit code 7");
}

#[tokio::test]
async fn standard_input_is_all_there_and_may_be_left_alone() {
    let input = vec![b'x'; 1 << 20];
    assert_eq!(ran("wc -c | tr -d ' '", &input).await.output, "1048576");
    assert_eq!(ran("exit 0", &input).await.exit, Exit::Code(0));
    assert_eq!(ran("exec <&-; echo closed", &input).await.output, "closed");
}

#[tokio::test]
async fn of_a_flood_the_beginning_is_kept() {
    let ran = ran("cat", &vec![b'x'; 1 << 20]).await;
    assert_eq!(ran.exit, Exit::Code(0));
    let kept = "x".repeat(16 * 1024);
    assert_eq!(ran.output, format!("{kept}\n[cut: it printed more]"));
}

#[tokio::test]
async fn a_signal_is_told() {
    let ran = ran("kill -9 $$", b"").await;
    assert_eq!(ran.exit, Exit::Signal(9));
    assert_eq!(ran.exit.to_string(), "ended by signal 9");
}

#[tokio::test]
async fn what_is_not_there_is_not_started() {
    let mut program = script("");
    program.command = vec!["/nonexistent/program".into()];
    let ran = patience(run(&program, b"", &[])).await;
    assert!(
        matches!(&ran.exit, Exit::NotStarted(why) if why.starts_with("/nonexistent/program: ")),
        "{ran:?}"
    );
    program.command.clear();
    let ran = patience(run(&program, b"", &[])).await;
    assert!(matches!(ran.exit, Exit::NotStarted(_)), "{ran:?}");
    let mut program = script("echo started");
    program.env = vec![("TOKEN".into(), Secret::Env("NO_SUCH_VARIABLE_HERE".into()))];
    let ran = patience(run(&program, b"", &[])).await;
    assert!(
        matches!(&ran.exit, Exit::NotStarted(why) if why.starts_with("TOKEN in `env`: ")),
        "{ran:?}"
    );
}

#[tokio::test]
async fn its_environment_is_ours_the_callers_and_its_own() {
    let mut program =
        script("echo \"$PATH\" | wc -l; echo $ONE $TWO; echo \"$TOKEN\"; env | grep -c \"$TOKEN\"");
    program.env = vec![
        ("TWO".into(), secret("22")),
        ("TOKEN".into(), secret("s3cret value")),
    ];
    let variables = [("ONE", "1\0".to_owned()), ("TWO", "2".to_owned())];
    let ran = patience(run(&program, b"", &variables)).await;
    assert_eq!(
        ran.output.split_whitespace().collect::<Vec<_>>(),
        ["1", "1\u{fffd}", "22", "<hidden>", "1"]
    );
}

#[tokio::test]
async fn characters_that_steer_a_terminal_are_replaced() {
    let ran = ran(r"printf 'a\033[31mb\r\n\tc\377'", b"").await;
    assert_eq!(ran.output, "a\u{fffd}[31mb\u{fffd}\n c\u{fffd}");
}

#[tokio::test]
async fn a_program_may_say_a_last_word_when_its_time_is_over() {
    let mut program =
        script("trap 'echo told to end; exit 0' TERM; echo begun; while :; do sleep 0.01; done");
    program.timeout = SHORT;
    let ran = patience(run(&program, b"unread", &[])).await;
    assert_eq!(ran.exit, Exit::TimedOut(SHORT));
    // Its shell may add that the sleep was ended too.
    assert!(ran.output.starts_with("begun\n"), "{ran:?}");
    assert!(ran.output.ends_with("\ntold to end"), "{ran:?}");
    assert_eq!(ran.exit.to_string(), "not done within 2s, so it was ended");
}

#[tokio::test]
async fn a_flood_does_not_outlast_its_time() {
    let mut program = script("yes");
    program.timeout = SHORT;
    let ran = patience(run(&program, &vec![b'x'; 1 << 20], &[])).await;
    assert_eq!(ran.exit, Exit::TimedOut(SHORT));
    assert!(ran.output.len() < 17 * 1024);
}

/// Whether a process runs still: one that nobody has waited for yet does not.
#[cfg(target_os = "linux")]
fn runs(process: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

#[cfg(target_os = "linux")]
async fn ends(process: &str) {
    patience(async {
        while runs(process) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn children_end_with_a_program_whose_time_is_over_even_if_they_will_not() {
    let mut program = script("trap '' TERM; (trap '' TERM; sleep 600) & echo $!; sleep 600");
    program.timeout = SHORT;
    let ran = patience(run(&program, b"", &[])).await;
    assert_eq!(ran.exit, Exit::TimedOut(SHORT));
    ends(&ran.output).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn children_end_with_a_program_that_nobody_waits_for_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("child");
    let program = script(&format!(
        "sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait",
        file.display()
    ));
    let begun = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    patience(async {
        tokio::select! {
            ran = run(&program, b"", &[]) => panic!("{ran:?}"),
            () = begun => {}
        }
    })
    .await;
    ends(std::fs::read_to_string(file).unwrap().trim()).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_a_program_leaves_running_is_let_be_and_not_waited_for() {
    let ran = ran("sleep 600 & echo $!", b"").await;
    assert_eq!(ran.exit, Exit::Code(0));
    assert!(runs(&ran.output));
    let killed = std::process::Command::new("kill").arg(&ran.output).status();
    assert!(killed.unwrap().success());
}
