//! Files of the config that are none, or that never come, under a running service: it goes on with the config that it has,
//! and ends when it is told to.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::bed::{Bed, ROUTE};
use crate::http::ask;
use crate::robin::{Robin, until};

/// Something else in the place of the config, under this name.
fn put(bed: &Bed, make: impl FnOnce(&Path)) {
    let path = bed.path("mailrobin.toml");
    if path.is_dir() {
        fs::remove_dir(&path).unwrap();
    } else {
        fs::remove_file(&path).unwrap();
    }
    make(&path);
}

/// Makes something under this name.
type Make = fn(&Path);

fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

fn huge(path: &Path) {
    let file = fs::File::create(path).unwrap();
    file.set_len(1 << 30).unwrap();
}

/// One that can be asked.
fn bed() -> Bed {
    let bed = Bed::with(ROUTE);
    bed.change("listen = \"none\"", "listen = \"127.0.0.1:0\"");
    bed
}

/// It goes on: two more probes get their results, and it says that it lives.
fn goes_on(bed: &Bed) {
    assert_eq!(ask(bed, "GET", "/healthz", "").0, 200);
    let before = bed.history.settled("loop", "plain").len();
    until("probes settle meanwhile", || {
        bed.history.settled("loop", "plain").len() >= before + 2
    });
}

fn rereads(robin: &Robin) -> usize {
    let said = robin.said();
    said.matches("the config on disk is wrong").count()
        + said.matches("the config was read anew").count()
}

#[test]
fn something_else_in_the_place_of_the_config() {
    let bed = bed();
    let good = fs::read_to_string(bed.path("mailrobin.toml")).unwrap();
    let robin = bed.start();
    bed.until_tested();
    let kinds: [(_, Make); 4] = [
        ("it is a FIFO", fifo),
        ("it is a directory", |path| fs::create_dir(path).unwrap()),
        ("it is a device", |path| symlink("/dev/zero", path).unwrap()),
        ("it is larger than", huge),
    ];
    for (words, make) in kinds {
        put(&bed, make);
        robin.signal(Signal::HUP);
        until(words, || robin.said().contains(words));
        goes_on(&bed);
    }
    // What was there before is taken up again without a signal.
    put(&bed, |path| fs::write(path, &good).unwrap());
    until("it is read anew", || {
        robin.said().contains("the config was read anew")
    });
    put(&bed, fifo);
    until("it is looked at by itself", || {
        robin.said().matches("it is a FIFO").count() >= 2
    });
    robin.stop();
    put(&bed, |path| fs::write(path, &good).unwrap());
    bed.settle();
    bed.as_sent();
}

#[test]
fn something_else_in_the_place_of_what_the_config_names() {
    let bed = bed();
    let config = fs::read_to_string(bed.path("mailrobin.toml")).unwrap();
    let robin = bed.start();
    bed.until_tested();
    fifo(&bed.path("fifo"));
    huge(&bed.path("huge"));
    for file in ["fifo", "/dev/zero", ".", "huge", "/proc/self/mem"] {
        for (old, new) in [
            (
                "tls = \"none\"\nconn",
                "tls = \"none\"\nca_file = \"FILE\"\nconn",
            ),
            (
                "tls = \"none\"\nconn",
                "tls = \"none\"\nclient_cert = \"FILE\"\nclient_key = \"FILE\"\nconn",
            ),
            ("min_severity", "template_file = \"FILE\"\nmin_severity"),
            (
                "{ payload = \"plain\" }",
                "{ payload = \"plain\" }, { payload = \"attachment\", file = \"FILE\" }",
            ),
            (
                "listen = \"127.0.0.1:0\"",
                "listen = \"127.0.0.1:0\"\ntls_cert = \"FILE\"\ntls_key = \"FILE\"",
            ),
            ("password = \"probe\"", "password = { file = \"FILE\" }"),
        ] {
            assert!(config.contains(old));
            let read = rereads(&robin);
            bed.write(&config.replace(old, &new.replace("FILE", file)));
            robin.signal(Signal::HUP);
            until("it was read", || rereads(&robin) > read);
        }
    }
    // By now it goes by a password that never comes, and says so.
    until("the mailbox cannot be read", || {
        robin.said().contains("cannot read the secret's file")
    });
    bed.write(&config);
    robin.signal(Signal::HUP);
    goes_on(&bed);
    robin.stop();
    bed.settle();
    bed.nothing_amiss();
}

/// A file system whose server never answers, as NFS without its server: FUSE (root alone may), with nobody behind it.
struct Silent(Child);

impl Silent {
    fn at(dir: &Path) -> Option<Self> {
        let mut child = Command::new("python3")
            .arg("-c")
            .arg(include_str!("silent_fs.py"))
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut said = String::new();
        let stdout = child.stdout.take()?;
        BufReader::new(stdout).read_line(&mut said).ok()?;
        let mounted = Self(child);
        (said.trim() == "mounted").then_some(mounted)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn a_file_system_that_never_answers() {
    let bed = bed();
    fs::create_dir(bed.path("nfs")).unwrap();
    let config = fs::read_to_string(bed.path("mailrobin.toml")).unwrap();
    let Some(silent) = Silent::at(&bed.path("nfs")) else {
        let line =
            "SKIPPED: a file system that never answers: it needs root, python3 and /dev/fuse\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
        return;
    };
    let robin = bed.start();
    bed.until_tested();
    let with_ca = "tls = \"none\"\nca_file = \"nfs/ca.pem\"\nconn";
    bed.write(&config.replace("tls = \"none\"\nconn", with_ca));
    goes_on(&bed);
    until("it is said", || {
        robin.said().contains("could not be read within 5 seconds")
    });
    let with_secret = "password = { file = \"nfs/password\" }";
    bed.write(&config.replace("password = \"probe\"", with_secret));
    robin.signal(Signal::HUP);
    until("the secret does not come either", || {
        robin.said().contains("nfs/password: it could not be read")
    });
    // The config itself is there no more.
    put(&bed, |path| {
        symlink(bed.path("nfs/mailrobin.toml"), path).unwrap();
    });
    robin.signal(Signal::HUP);
    robin.stop();
    drop(silent);
    put(&bed, |path| fs::write(path, &config).unwrap());
    bed.settle();
    bed.nothing_amiss();
}
