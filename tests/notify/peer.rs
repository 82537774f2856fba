//! An HTTP server that does what its script says, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::stage::patience;

/// What it does with a request.
#[derive(Clone)]
pub(crate) enum Does {
    /// Sends these bytes and closes.
    Says(String),
    /// Sends these bytes, and then more of the kind for as long as anybody takes them.
    Floods(String),
    /// Nothing, and keeps the connection.
    Hangs,
    /// Closes.
    HangsUp,
}

impl Does {
    /// An answer with this status line and body.
    pub(crate) fn answers(status: &str, body: &str) -> Self {
        Self::with(status, "", body)
    }

    /// The same with more header lines, each with its line break.
    pub(crate) fn with(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Says(format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// The request line.
    pub(crate) line: String,
    /// By names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A running server; it is gone once dropped.
pub(crate) struct Peer {
    pub(crate) port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    count: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

impl Peer {
    /// Takes what the script says request by request; the last of it for all further ones.
    pub(crate) async fn start(script: impl Into<Vec<Does>>) -> Self {
        let mut left = script.into();
        left.reverse();
        Self::with(None, move |_| {
            let next = left.pop().unwrap();
            if left.is_empty() {
                left.push(next.clone());
            }
            next
        })
        .await
    }

    /// Chooses by what it was asked.
    pub(crate) async fn with(
        tls: Option<TlsAcceptor>,
        mut choose: impl FnMut(&Heard) -> Does + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let mut tasks = JoinSet::new();
        let all = Arc::clone(&heard);
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            // In the order in which they were accepted: a script is not shuffled by the scheduler.
            while let Ok((tcp, _)) = listener.accept().await {
                let mut stream: Box<dyn Stream> = match &tls {
                    None => Box::new(tcp),
                    Some(tls) => match tls.accept(tcp).await {
                        Ok(stream) => Box::new(stream),
                        Err(_) => continue,
                    },
                };
                let Some(request) = read(&mut stream).await else {
                    continue;
                };
                let does = choose(&request);
                all.lock().unwrap().push(request);
                counted.send_modify(|count| *count += 1);
                sessions.spawn(act(stream, does));
            }
        });
        Self {
            port,
            heard,
            count,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// All requests so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until there were so many.
    pub(crate) async fn hears(&self, least: usize) -> Vec<Heard> {
        let mut count = self.count.clone();
        patience(count.wait_for(|count| *count >= least))
            .await
            .unwrap();
        self.heard()
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn read(stream: &mut Box<dyn Stream>) -> Option<Heard> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let (line, rest) = text.split_once("\r\n").unwrap_or((&text, ""));
    let headers: BTreeMap<_, _> = rest
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length");
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Heard {
        line: line.into(),
        headers,
        body: String::from_utf8(bytes[head + 4..].to_vec()).unwrap(),
    })
}

async fn act(mut stream: Box<dyn Stream>, does: Does) {
    match does {
        Does::Says(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Does::Floods(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
        Does::Hangs => {
            let mut rest = [0; 1];
            while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
        }
        Does::HangsUp => {}
    }
}
