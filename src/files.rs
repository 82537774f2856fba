//! Reads the files that the config names, so that none of them can stop the service: only regular files are read, none
//! past the size its kind may have, and never on the event loop ([`off_loop`]).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags, RawMode};
use thiserror::Error;
use tokio::task::spawn_blocking;

/// The most bytes of a config.
pub const CONFIG_LIMIT: u64 = 16 << 20;
/// The most bytes of a certificate, a chain, a key or a bundle of authorities, in PEM.
pub const PEM_LIMIT: u64 = 4 << 20;
/// The most bytes of a notice's template.
pub const TEMPLATE_LIMIT: u64 = 1 << 20;
/// The most bytes of a secret, in a file or as a command prints it.
pub const SECRET_LIMIT: u64 = 64 << 10;
/// How long a file may take: a network file system without its server would hold us for ever.
pub const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Reads under way at once; there are so many only where a file system does not answer.
const MOST_AT_ONCE: usize = 64;

/// Why a file was not read.
#[derive(Debug, Error)]
pub enum FileError {
    /// What the system said.
    #[error(transparent)]
    System(#[from] io::Error),
    /// It is something else than a file.
    #[error("it is {0}, and only regular files are read")]
    NotRegular(&'static str),
    /// It is larger than its kind may be, in bytes.
    #[error("it is larger than {}", bytesize::ByteSize::b(*.0).display().iec())]
    TooLarge(u64),
    /// It is no text.
    #[error("it is not UTF-8")]
    NotText,
    /// It did not come in time.
    #[error("it could not be read within {} seconds: is its file system gone?", TIME_LIMIT.as_secs())]
    Slow,
}

/// Reads a regular file of at most this many bytes. Blocks the thread until the file system answers, for
/// [`TIME_LIMIT`] at most.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    in_time(path, move |path| read_now(path, most, Pipes::Refused))
}

/// The same, of a text.
pub fn read_text(path: &Path, most: u64) -> Result<String, FileError> {
    String::from_utf8(read(path, most)?).map_err(|_| FileError::NotText)
}

/// The same, from a pipe too: what a shell hands over with `<(…)` or `/dev/stdin`.
pub fn read_or_drain(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    in_time(path, move |path| read_now(path, most, Pipes::Drained))
}

/// Does something that reads files, or computes for long, beside the event loop.
pub async fn off_loop<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FileError> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| FileError::System(io::Error::other(error)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pipes {
    Refused,
    Drained,
}

/// Reads on a thread that is left to itself where the file system does not answer.
fn in_time(
    path: &Path,
    read: impl FnOnce(&Path) -> Result<Vec<u8>, FileError> + Send + 'static,
) -> Result<Vec<u8>, FileError> {
    static READING: AtomicUsize = AtomicUsize::new(0);
    if READING.fetch_add(1, Ordering::Relaxed) >= MOST_AT_ONCE {
        READING.fetch_sub(1, Ordering::Relaxed);
        return Err(FileError::Slow);
    }
    let path = path.to_owned();
    let (done, wait) = sync_channel(1);
    let started = thread::Builder::new().spawn(move || {
        let bytes = read(&path);
        READING.fetch_sub(1, Ordering::Relaxed);
        // Whoever waited may have gone.
        let _ = done.send(bytes);
    });
    if let Err(error) = started {
        READING.fetch_sub(1, Ordering::Relaxed);
        return Err(error.into());
    }
    wait.recv_timeout(TIME_LIMIT)
        .unwrap_or(Err(FileError::Slow))
}

fn read_now(path: &Path, most: u64, pipes: Pipes) -> Result<Vec<u8>, FileError> {
    // A device may act on being opened, so its kind is looked at before; and after, as it may be another file by then.
    let facts = rustix::fs::stat(path).map_err(io::Error::from)?;
    let mut flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
    if pipes == Pipes::Refused {
        // Opening a FIFO would wait for its writer.
        flags |= OFlags::NONBLOCK;
    }
    readable(facts.st_mode, pipes)?;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?;
    let facts = rustix::fs::fstat(&file).map_err(io::Error::from)?;
    readable(facts.st_mode, pipes)?;
    if u64::try_from(facts.st_size).unwrap_or_default() > most {
        return Err(FileError::TooLarge(most));
    }
    let mut bytes = Vec::new();
    // It may grow, and files below /proc tell no size.
    let mut file = File::from(file).take(most.saturating_add(1));
    file.read_to_end(&mut bytes)?;
    if file.limit() == 0 {
        return Err(FileError::TooLarge(most));
    }
    Ok(bytes)
}

fn readable(mode: RawMode, pipes: Pipes) -> Result<(), FileError> {
    Err(FileError::NotRegular(match FileType::from_raw_mode(mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Fifo if pipes == Pipes::Drained => return Ok(()),
        FileType::Fifo => "a FIFO",
        FileType::Directory => "a directory",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Symlink | FileType::Unknown => "no file",
    }))
}
