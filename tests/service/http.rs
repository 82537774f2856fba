//! Asks the service, where it says that it can be asked.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::bed::Bed;
use crate::robin::LONG;

/// One request without a body, with these further header lines: the status, and the answer's body.
pub(crate) fn ask(bed: &Bed, method: &str, path: &str, headers: &str) -> (u16, String) {
    let url = fs::read_to_string(bed.path("state/address")).unwrap();
    let address = url.trim().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    (status, body.to_owned())
}
