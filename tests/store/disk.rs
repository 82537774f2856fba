//! A full disk: the batch that finds it so is refused, what was kept before is there, and once there is room it goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mailrobin::probe::record::Record;
use mailrobin::store::{Opened, Reader, Wanted, Writer};
use tempfile::TempDir;

use super::bed::{missing, noon, settled};

/// A file system of its own; it is gone at the end of the test, however that ends.
struct Small {
    dir: TempDir,
}

impl Small {
    fn new(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={size}"))
            .args(["tmpfs".as_ref(), dir.path()])
            .output();
        let why = match mounted {
            Ok(output) if output.status.success() => return Self { dir },
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        panic!(
            "a full disk is tried on a tmpfs of {size}, which has to be mounted, as root: {why}"
        );
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("history.db")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: whatever is still open must not keep the folder.
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.dir.path())
            .status();
    }
}

/// Leaves no byte free.
fn fill(ballast: &Path) {
    let mut size = 1 << 20;
    let mut bytes = Vec::new();
    while size > 0 {
        let more = vec![1; size];
        bytes.extend(more);
        if fs::write(ballast, &bytes).is_err() {
            bytes.truncate(bytes.len() - size);
            fs::write(ballast, &bytes).unwrap();
            size /= 2;
        }
    }
}

async fn kept(reader: &Reader) -> Vec<Record> {
    let all = Wanted {
        oldest_first: true,
        limit: u32::MAX,
        ..Wanted::default()
    };
    let page = reader.probes(&all).await.unwrap();
    let record = |probe| serde_json::from_value(probe).unwrap();
    page.probes.into_iter().map(record).collect()
}

/// Commits until nothing more fits; what was kept.
async fn until_it_is_full(writer: &mut Writer, from: u64) -> Vec<Record> {
    let mut kept = Vec::new();
    for seq in from..from + 10_000 {
        let record = missing(seq, noon());
        match writer.commit(&[settled(seq, &record)]).await {
            Ok(()) => kept.push(record),
            Err(error) => {
                let said = format!("{error}: {}", std::error::Error::source(&error).unwrap());
                assert!(said.contains("history.db: cannot write to it"), "{said}");
                assert!(!error.is_corruption(), "{said}");
                // It stays so: one more, and a large one.
                for count in [1, 500] {
                    let batch =
                        (1..=count).map(|more| settled(seq + more, &missing(seq + more, noon())));
                    let batch: Vec<_> = batch.collect();
                    assert!(writer.commit(&batch).await.is_err());
                }
                return kept;
            }
        }
    }
    panic!("it never became full");
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_no_end() {
    let small = Small::new("6m");
    let ballast = small.dir.path().join("ballast");
    let Opened {
        mut writer, reader, ..
    } = Writer::open(&small.path(), noon()).await.unwrap();
    let mut acknowledged = until_it_is_full(&mut writer, 1).await;
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    assert_eq!(kept(&reader).await, acknowledged);

    // Room is made by whoever looks after the machine; twice, and the second time the program starts on a full disk.
    for round in 1..=2 {
        let more = format!("size={}m", 6 + 4 * round);
        let remount = format!("remount,{more}");
        let status = Command::new("mount")
            .args(["-o", &remount])
            .arg(small.dir.path())
            .status();
        assert!(status.unwrap().success());
        let next = acknowledged.len() as u64 + 1;
        let further = until_it_is_full(&mut writer, next).await;
        assert!(further.len() > 50, "{}", further.len());
        acknowledged.extend(further);
        assert_eq!(kept(&reader).await, acknowledged);
    }
    drop((writer, reader));
    fill(&ballast);
    match Writer::open(&small.path(), noon()).await {
        Ok(opened) => assert_eq!(opened.set_aside, None),
        Err(error) => assert!(!error.is_corruption(), "{error:?}"),
    }
    fs::remove_file(&ballast).unwrap();
    let opened = Writer::open(&small.path(), noon()).await.unwrap();
    assert_eq!(opened.set_aside, None);
    assert_eq!(kept(&opened.reader).await, acknowledged);
    assert_eq!(
        opened.reader.check().await.unwrap().problems,
        Vec::<String>::new()
    );
}
