//! The tester's own look into the lab's mailbox, by plain IMAP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::robin::LONG;

pub(crate) struct Letterbox {
    stream: BufReader<TcpStream>,
}

impl Letterbox {
    pub(crate) fn open(imap: SocketAddr) -> Self {
        let stream = TcpStream::connect(imap).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut letterbox = Self {
            stream: BufReader::new(stream),
        };
        assert!(letterbox.line().starts_with("* OK"));
        letterbox.run("LOGIN probe probe");
        letterbox
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Runs a command; gives the untagged lines and the literals among them.
    fn run(&mut self, command: &str) -> (Vec<String>, Vec<Vec<u8>>) {
        write!(self.stream.get_mut(), "t {command}\r\n").unwrap();
        self.answer(command)
    }

    fn answer(&mut self, command: &str) -> (Vec<String>, Vec<Vec<u8>>) {
        let (mut lines, mut literals) = (Vec::new(), Vec::new());
        loop {
            let line = self.line();
            if line.starts_with("t ") || line.is_empty() {
                assert!(line.starts_with("t OK"), "{command}: {line:?}");
                return (lines, literals);
            }
            let size = line.trim_end().strip_suffix('}');
            let size = size.and_then(|line| line.rsplit_once('{')?.1.parse().ok());
            if let Some(size) = size {
                let mut literal = vec![0; size];
                self.stream.read_exact(&mut literal).unwrap();
                literals.push(literal);
            }
            lines.push(line);
        }
    }

    /// How many messages lie in a folder.
    pub(crate) fn count(&mut self, folder: &str) -> usize {
        let (lines, _) = self.run(&format!("EXAMINE {folder}"));
        let exists = lines.iter().find_map(|line| {
            let count = line.strip_prefix("* ")?.strip_suffix(" EXISTS\r\n")?;
            count.parse().ok()
        });
        exists.unwrap()
    }

    /// All messages of a folder.
    pub(crate) fn messages(&mut self, folder: &str) -> Vec<Vec<u8>> {
        if self.count(folder) == 0 {
            return Vec::new();
        }
        self.run("FETCH 1:* BODY.PEEK[]").1
    }

    /// Puts a message there.
    pub(crate) fn append(&mut self, folder: &str, message: &[u8]) {
        let command = format!("APPEND {folder} {{{}}}", message.len());
        write!(self.stream.get_mut(), "t {command}\r\n").unwrap();
        let go = self.line();
        assert!(go.starts_with('+'), "{command}: {go:?}");
        self.stream.get_mut().write_all(message).unwrap();
        self.stream.get_mut().write_all(b"\r\n").unwrap();
        self.answer(&command);
    }
}
