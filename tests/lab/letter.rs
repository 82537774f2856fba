//! Messages with the test strings of filters in them, made when they are needed.
#![expect(
    clippy::unwrap_used,
    reason = "whatever goes wrong here fails the test"
)]

use std::{
    fmt::Write as _,
    io::{Cursor, Write as _},
};

use data_encoding::BASE64;
use flate2::{Compression, write::GzEncoder};
use mailrobin::pattern;
use zip::{AesMode, ZipWriter, write::SimpleFileOptions};

/// A multipart message, its parts put together one by one.
pub(crate) struct Letter(String);

impl Letter {
    pub(crate) fn new() -> Letter {
        Letter(
            "From: probe@lab.example\r\nTo: echo@echo.example\r\nSubject: A letter\r\n\
             Message-ID: <letter@client.example>\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=\"limit\"\r\n\r\n"
                .to_owned(),
        )
    }

    /// A part as it is: its content header, and its body.
    pub(crate) fn part(mut self, header: &str, body: &str) -> Letter {
        let _ = write!(self.0, "--limit\r\n{header}\r\n\r\n{body}\r\n");
        self
    }

    pub(crate) fn text(self, text: &str) -> Letter {
        self.part("Content-Type: text/plain; charset=utf-8", text)
    }

    pub(crate) fn attached(self, name: &str, bytes: &[u8]) -> Letter {
        let header = format!(
            "Content-Type: application/octet-stream; name=\"{name}\"\r\n\
             Content-Disposition: attachment; filename=\"{name}\"\r\n\
             Content-Transfer-Encoding: base64"
        );
        self.part(&header, &base64(bytes))
    }

    pub(crate) fn end(self) -> String {
        self.0 + "--limit--\r\n"
    }
}

/// A letter with this file attached.
pub(crate) fn with_file(name: &str, bytes: &[u8]) -> String {
    Letter::new()
        .text("Here it is.")
        .attached(name, bytes)
        .end()
}

pub(crate) fn with_virus() -> String {
    with_file("report.txt", &pattern::eicar())
}

/// The virus as a text, which it is.
pub(crate) fn eicar_text() -> String {
    String::from_utf8(pattern::eicar()).unwrap()
}

/// A simple message with GTUBE or, by its first letter, one of its kin.
pub(crate) fn with_spam(first: u8) -> String {
    let pattern = String::from_utf8(pattern::gtube_with(first)).unwrap();
    format!(
        "From: a@client.example\r\nSubject: An offer\r\n\r\nHear, hear:\r\n{pattern}\r\nbye\r\n"
    )
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    let lines = bytes.chunks(57).map(|chunk| BASE64.encode(chunk));
    lines.collect::<Vec<_>>().join("\r\n")
}

pub(crate) fn quoted_printable(bytes: &[u8]) -> String {
    bytes.chunks(20).fold(String::new(), |mut encoded, chunk| {
        for byte in chunk {
            let _ = write!(encoded, "={byte:02X}");
        }
        encoded + "=\r\n"
    })
}

pub(crate) fn zipped(name: &str, bytes: &[u8], password: Option<&str>) -> Vec<u8> {
    let mut options = SimpleFileOptions::default();
    if let Some(password) = password {
        options = options.with_aes_encryption(AesMode::Aes256, password);
    }
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, options).unwrap();
    zip.write_all(bytes).unwrap();
    zip.finish().unwrap().into_inner()
}

pub(crate) fn tar_gz(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, bytes).unwrap();
    gzipped(&tar.into_inner().unwrap())
}

pub(crate) fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}
