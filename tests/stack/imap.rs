//! A second pair of eyes in the probe's mailbox: a small IMAP client that looks without leaving a trace.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::servers::Stack;

/// Every message of a folder by UID: its flags but `\Recent`, sorted.
pub(crate) type Contents = BTreeMap<u32, Vec<String>>;

/// A session in the probe's mailbox.
pub(crate) struct Imap {
    stream: BufReader<TcpStream>,
    count: u32,
}

/// One response: its line, and the literals in it.
struct Response {
    text: String,
    literals: Vec<Vec<u8>>,
}

impl Imap {
    pub(crate) fn log_in(stack: &Stack) -> Self {
        let tcp = TcpStream::connect(("127.0.0.1", stack.port("IMAP"))).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut imap = Self {
            stream: BufReader::new(tcp),
            count: 0,
        };
        imap.response();
        let (user, password) = (stack.get("PROBE_USER"), stack.get("PROBE_PASSWORD"));
        imap.command(&format!("LOGIN {user} {password}"));
        imap
    }

    /// All messages of a folder and their flags.
    pub(crate) fn contents(&mut self, folder: &str) -> Contents {
        self.command(&format!("EXAMINE {folder}"));
        let responses = self.command("UID FETCH 1:* (FLAGS)");
        responses
            .iter()
            .filter_map(|response| {
                let uid = after(&response.text, "UID ")?.split([' ', ')']).next()?;
                let flags = after(&response.text, "FLAGS (")?.split_once(')')?.0;
                let mut flags: Vec<_> = flags
                    .split_whitespace()
                    .filter(|flag| *flag != "\\Recent")
                    .map(str::to_owned)
                    .collect();
                flags.sort();
                Some((uid.parse().ok()?, flags))
            })
            .collect()
    }

    /// A whole message.
    pub(crate) fn message(&mut self, folder: &str, uid: u32) -> Vec<u8> {
        self.command(&format!("EXAMINE {folder}"));
        let mut responses = self.command(&format!("UID FETCH {uid} (BODY.PEEK[])"));
        responses
            .iter_mut()
            .find_map(|response| response.literals.pop())
            .unwrap()
    }

    /// The UID that the next message of a folder will get.
    pub(crate) fn uid_next(&mut self, folder: &str) -> u32 {
        let responses = self.command(&format!("STATUS {folder} (UIDNEXT)"));
        let status = responses
            .iter()
            .find_map(|response| after(&response.text, "UIDNEXT "));
        status.unwrap().trim_end_matches(')').parse().unwrap()
    }

    /// Sets a flag of a message.
    pub(crate) fn flag(&mut self, folder: &str, uid: u32, flag: &str) {
        self.command(&format!("SELECT {folder}"));
        self.command(&format!("UID STORE {uid} +FLAGS ({flag})"));
    }

    /// Makes a folder.
    pub(crate) fn create(&mut self, folder: &str) {
        self.command(&format!("CREATE {folder}"));
    }

    /// Removes a folder with all that is in it.
    pub(crate) fn delete(&mut self, folder: &str) {
        self.command(&format!("DELETE {folder}"));
    }

    /// Puts a message into a folder; gives its UID.
    pub(crate) fn append(&mut self, folder: &str, message: &[u8]) -> u32 {
        self.count += 1;
        let tag = format!("t{}", self.count);
        let announced = format!("{tag} APPEND {folder} {{{}+}}\r\n", message.len());
        let mut wire = announced.into_bytes();
        wire.extend_from_slice(message);
        wire.extend_from_slice(b"\r\n");
        self.stream.get_mut().write_all(&wire).unwrap();
        let done = self.until(&tag).pop().unwrap();
        let uid = after(&done.text, "APPENDUID ").unwrap();
        uid.split([' ', ']']).nth(1).unwrap().parse().unwrap()
    }

    /// Runs a command to its tagged OK; gives every response, the tagged one last.
    fn command(&mut self, command: &str) -> Vec<Response> {
        self.count += 1;
        let tag = format!("t{}", self.count);
        let line = format!("{tag} {command}\r\n");
        self.stream.get_mut().write_all(line.as_bytes()).unwrap();
        self.until(&tag)
    }

    fn until(&mut self, tag: &str) -> Vec<Response> {
        let mut responses = Vec::new();
        loop {
            let response = self.response();
            let rest = response.text.strip_prefix(tag).map(str::to_owned);
            responses.push(response);
            if let Some(rest) = rest {
                assert!(rest.starts_with(" OK"), "{tag}{rest}");
                return responses;
            }
        }
    }

    fn response(&mut self) -> Response {
        let mut response = Response {
            text: String::new(),
            literals: Vec::new(),
        };
        loop {
            let before = response.text.len();
            let read = self.stream.read_line(&mut response.text).unwrap();
            assert!(read > 0, "the server closed the connection");
            response.text.truncate(response.text.trim_end().len());
            let line = &response.text[before..];
            let Some((_, length)) = line.strip_suffix('}').and_then(|it| it.rsplit_once('{'))
            else {
                return response;
            };
            let mut literal = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut literal).unwrap();
            response.literals.push(literal);
        }
    }
}

fn after<'t>(text: &'t str, mark: &str) -> Option<&'t str> {
    text.split_once(mark).map(|(_, rest)| rest)
}
