//! What archives hold, at every depth: zip, tar and gzip, in one another. Bounded, for a small file may unpack to a huge one.

use std::io::{Cursor, Read};

use flate2::read::GzDecoder;
use zip::ZipArchive;

/// How much is unpacked of one message in all.
pub const MAX_UNPACKED: u64 = 256 * 1024 * 1024;
/// A member larger than this is not looked into.
pub const MAX_MEMBER: u64 = 64 * 1024 * 1024;
/// How many members are looked at in one message.
const MAX_MEMBERS: usize = 10_000;
/// Archives in archives, at most.
const MAX_DEPTH: usize = 8;

/// What may still be unpacked of one message. One budget serves all its parts.
#[derive(Debug)]
pub struct Budget {
    bytes: u64,
    members: usize,
    /// Why something was not looked into, if it was not.
    pub unread: Option<&'static str>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            bytes: MAX_UNPACKED,
            members: MAX_MEMBERS,
            unread: None,
        }
    }
}

/// A file in an archive.
#[derive(Debug)]
pub struct Member {
    /// Its name, without folders.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
    depth: usize,
}

/// Calls `visit` with every member of an archive, and of archives in it. What is no archive has none. `password` opens
/// encrypted zips.
pub fn unpack(
    bytes: &[u8],
    password: Option<&[u8]>,
    budget: &mut Budget,
    mut visit: impl FnMut(&Member),
) {
    let mut waiting = Unpacker {
        password,
        budget,
        depth: 1,
        found: Vec::new(),
    }
    .members(bytes);
    while let Some(member) = waiting.pop() {
        visit(&member);
        if member.depth == MAX_DEPTH {
            if is_archive(&member.bytes) {
                budget.unread = Some("archives are nested too deeply");
            }
            continue;
        }
        let unpacker = Unpacker {
            password,
            budget,
            depth: member.depth + 1,
            found: Vec::new(),
        };
        waiting.extend(unpacker.members(&member.bytes));
    }
}

fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x1f\x8b\x08")
}

fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

fn is_archive(bytes: &[u8]) -> bool {
    is_zip(bytes) || is_gzip(bytes) || is_tar(bytes)
}

struct Unpacker<'a> {
    password: Option<&'a [u8]>,
    budget: &'a mut Budget,
    depth: usize,
    found: Vec<Member>,
}

impl Unpacker<'_> {
    fn members(mut self, bytes: &[u8]) -> Vec<Member> {
        if is_zip(bytes) {
            self.zip(bytes);
        } else if is_gzip(bytes) {
            self.take("", GzDecoder::new(bytes));
        } else if is_tar(bytes) {
            self.tar(bytes);
        }
        self.found
    }

    fn zip(&mut self, bytes: &[u8]) {
        let Ok(mut archive) = ZipArchive::new(Cursor::new(bytes)) else {
            self.budget.unread = Some("a zip archive is damaged");
            return;
        };
        for index in 0..archive.len() {
            let opened = match self.password {
                Some(password) => archive.by_index_decrypt(index, password),
                None => archive.by_index(index),
            };
            match opened {
                Ok(member) if member.is_dir() => {}
                Ok(member) => {
                    let name = member
                        .name()
                        .map_or_else(|_| String::new(), std::borrow::Cow::into_owned);
                    if !self.take(&name, member) {
                        return;
                    }
                }
                Err(_) => self.budget.unread = Some("a member of a zip archive cannot be opened"),
            }
        }
    }

    fn tar(&mut self, bytes: &[u8]) {
        let mut archive = tar::Archive::new(bytes);
        let Ok(entries) = archive.entries() else {
            self.budget.unread = Some("a tar archive is damaged");
            return;
        };
        for entry in entries {
            let Ok(entry) = entry else {
                self.budget.unread = Some("a tar archive is damaged");
                return;
            };
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            if entry.header().entry_type().is_file() && !self.take(&name, entry) {
                return;
            }
        }
    }

    /// Reads a member; whether another may follow.
    fn take(&mut self, name: &str, from: impl Read) -> bool {
        let Some(left) = self.budget.members.checked_sub(1) else {
            self.budget.unread = Some("an archive has too many members");
            return false;
        };
        self.budget.members = left;
        let limit = self.budget.bytes.min(MAX_MEMBER);
        let mut bytes = Vec::new();
        let read = from.take(limit).read_to_end(&mut bytes);
        let length = bytes.len() as u64;
        self.budget.bytes -= length;
        if read.is_err() {
            self.budget.unread = Some("an archive is damaged");
        }
        if length == limit {
            self.budget.unread = Some("an archive unpacks to more than is looked at");
        }
        let name = name.rsplit(['/', '\\']).next().unwrap_or(name).to_owned();
        self.found.push(Member {
            name,
            bytes,
            depth: self.depth,
        });
        self.budget.bytes > 0
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn zipped(name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
        zip.finish().unwrap().into_inner()
    }

    fn found(bytes: &[u8]) -> (Vec<(String, usize)>, Option<&'static str>) {
        let mut budget = Budget::default();
        let mut members = Vec::new();
        unpack(bytes, None, &mut budget, |member| {
            members.push((member.name.clone(), member.bytes.len()));
        });
        (members, budget.unread)
    }

    #[test]
    fn archives_in_archives_are_opened() {
        let inner = zipped("folder/a.txt", b"hello");
        let (members, unread) = found(&zipped("b.zip", &inner));
        assert_eq!(
            members,
            [("b.zip".into(), inner.len()), ("a.txt".into(), 5)]
        );
        assert_eq!(unread, None);
    }

    #[test]
    fn a_bomb_is_read_up_to_the_bound_and_said_so() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let zeros = vec![0; 1024 * 1024];
        for _ in 0..=MAX_MEMBER / 1024 / 1024 {
            gzip.write_all(&zeros).unwrap();
        }
        let (members, unread) = found(&gzip.finish().unwrap());
        assert_eq!(members.len(), 1);
        assert!(unread.unwrap().contains("more than is looked at"));
    }

    #[test]
    fn deep_nesting_ends_and_is_said_so() {
        let mut bytes = b"x".to_vec();
        for _ in 0..20 {
            bytes = zipped("a.zip", &bytes);
        }
        let (members, unread) = found(&bytes);
        assert_eq!(members.len(), MAX_DEPTH);
        assert!(unread.unwrap().contains("deeply"));
    }

    #[test]
    fn what_is_damaged_or_no_archive_does_no_harm() {
        assert_eq!(found(b"plain text"), (Vec::new(), None));
        let mut broken = zipped("a.txt", &[7; 5000]);
        broken.truncate(60);
        assert!(found(&broken).1.is_some());
    }
}
