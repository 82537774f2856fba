//! Where alerts go: a small HTTP server that takes notices in, or takes the connection and never answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// A server that lives as long as the process.
pub(crate) struct Post {
    port: u16,
    notices: Arc<Mutex<Vec<Value>>>,
    hangs: Arc<AtomicBool>,
}

impl Post {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let post = Self {
            port,
            notices: Arc::default(),
            hangs: Arc::default(),
        };
        let (notices, hangs) = (Arc::clone(&post.notices), Arc::clone(&post.hangs));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (notices, hangs) = (Arc::clone(&notices), Arc::clone(&hangs));
                // A client that breaks off has told nothing.
                thread::spawn(move || take(&stream, &notices, &hangs));
            }
        });
        post
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// From now on notices are read and not answered, or are again.
    pub(crate) fn hang(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::SeqCst);
    }

    /// What came, answered or not, in its order.
    pub(crate) fn notices(&self) -> Vec<Value> {
        self.notices.lock().unwrap().clone()
    }

    /// What came of this event.
    pub(crate) fn of(&self, event: &str) -> Vec<Value> {
        let mut notices = self.notices();
        notices.retain(|notice| notice["event"] == event);
        notices
    }
}

fn take(mut stream: &TcpStream, notices: &Mutex<Vec<Value>>, hangs: &AtomicBool) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let notice = serde_json::from_slice(&body).ok()?;
        notices.lock().unwrap().push(notice);
        if hangs.load(Ordering::SeqCst) {
            // Until the other side hangs up.
            let _ = reader.read(&mut [0]);
            return None;
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .ok()?;
    }
}
