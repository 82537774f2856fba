//! Small clients that show every byte: no cleverness between a test and the lab.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "whatever goes wrong here fails the test"
)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use mailrobin::lab::{Lab, LabConfig};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// A lab that hangs fails its test after this, it does not block it.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const SENDER: &str = "probe@lab.example";
pub(crate) const ECHO: &str = "echo@echo.example";

pub(crate) const SIMPLE: &str = "From: probe@lab.example\r\nTo: echo@echo.example\r\n\
    Subject: A simple test\r\nMessage-ID: <original@client.example>\r\n\
    X-Test: carried\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: 8bit\r\n\r\n\
    The wonderful body with a word of abcdefghijklmnopqrstuvwxyz0123456789abcd\r\n\
    .a line with a dot\r\n";

pub(crate) const MIXED: &str = "From: probe@lab.example\r\nTo: echo@echo.example\r\n\
    Subject: With attachment\r\nMessage-ID: <mixed@client.example>\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=\"frontier\"\r\n\r\n\
    --frontier\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThe wonderful body\r\n\
    --frontier\r\nContent-Type: application/zip; name=\"a.zip\"\r\n\
    Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"a.zip\"\r\n\
    \r\nUEsDBAoAAAAAAA==\r\n--frontier--\r\n";

pub(crate) async fn lab(faults: &[&str]) -> Lab {
    let config = LabConfig {
        faults: faults.iter().map(|fault| fault.parse().unwrap()).collect(),
        ..LabConfig::default()
    };
    Lab::start(config).await.unwrap()
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(crate) struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream: BufReader::new(Box::new(stream)),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// As `line`, for peers that may echo anything.
    pub(crate) async fn lossy_line(&mut self) -> String {
        let mut line = Vec::new();
        let _ = self.stream.read_until(b'\n', &mut line).await;
        String::from_utf8_lossy(&line).into_owned()
    }

    /// The next line with its end; empty when the connection is closed.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = Vec::new();
        let read = self.stream.read_until(b'\n', &mut line);
        // A reset is a close as well.
        let _ = timeout(PATIENCE, read).await.expect("the lab is silent");
        String::from_utf8(line).unwrap()
    }

    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let read = self.stream.read_exact(&mut bytes);
        timeout(PATIENCE, read).await.expect("silent").unwrap();
        bytes
    }

    pub(crate) async fn is_closed(&mut self) -> bool {
        self.line().await.is_empty()
    }

    pub(crate) async fn start_tls(self, ca_pem: &str) -> Result<Client, std::io::Error> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap();
        roots.add(ca).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, self.stream.into_inner())
            .await?;
        Ok(Client {
            stream: BufReader::new(Box::new(stream)),
        })
    }

    /// Sends one line and returns the whole SMTP reply.
    pub(crate) async fn smtp(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.reply().await
    }

    pub(crate) async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let line = self.line().await;
            reply.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return reply;
            }
        }
    }

    /// Sends one line and returns the first line of the answer.
    pub(crate) async fn pop3(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.line().await
    }

    /// Sends one line and returns a multi-line answer without its dot.
    pub(crate) async fn pop3_listing(&mut self, line: &str) -> String {
        let mut listing = self.pop3(line).await;
        assert!(listing.starts_with("+OK"), "{line}: {listing}");
        loop {
            let line = self.line().await;
            if line == ".\r\n" {
                return listing;
            }
            listing.push_str(&line);
        }
    }
}

/// An SMTP client that has said EHLO.
pub(crate) async fn smtp(lab: &Lab) -> Client {
    let mut client = Client::connect(lab.smtp_addr()).await;
    assert!(client.reply().await.starts_with("220"));
    assert!(client.smtp("EHLO client.example").await.starts_with("250-"));
    client
}

/// Sends a message and returns the reply to the final dot, or the first refusal.
pub(crate) async fn send(lab: &Lab, to: &str, message: &str) -> String {
    send_as(lab, SENDER, &format!("RCPT TO:<{to}>"), message).await
}

pub(crate) async fn send_as(lab: &Lab, from: &str, rcpt: &str, message: &str) -> String {
    let mut client = smtp(lab).await;
    let from = if from.contains("MAIL") {
        from.to_owned()
    } else {
        format!("MAIL FROM:<{from}>")
    };
    for command in [from.as_str(), rcpt, "DATA"] {
        let reply = client.smtp(command).await;
        if !reply.starts_with(['2', '3']) {
            return reply;
        }
    }
    let stuffed = message.replace("\r\n.", "\r\n..");
    client.send(format!("{stuffed}.\r\n")).await;
    client.reply().await
}

/// An IMAP client with a folder selected.
pub(crate) struct Imap {
    pub(crate) client: Client,
    count: usize,
}

pub(crate) struct Answer {
    /// All that came before the tagged line, literals included.
    pub(crate) untagged: String,
    pub(crate) tagged: String,
    pub(crate) literals: Vec<String>,
}

impl Imap {
    pub(crate) async fn open(lab: &Lab) -> Imap {
        Imap::select(lab, "INBOX").await
    }

    pub(crate) async fn select(lab: &Lab, folder: &str) -> Imap {
        let mut imap = Imap::connect(lab).await;
        assert!(imap.run("LOGIN probe probe").await.tagged.contains("OK"));
        let selected = imap.run(&format!("SELECT {folder}")).await;
        assert!(selected.tagged.contains("OK"), "{}", selected.tagged);
        imap
    }

    pub(crate) async fn connect(lab: &Lab) -> Imap {
        let mut client = Client::connect(lab.imap_addr()).await;
        assert!(client.line().await.starts_with("* OK"));
        Imap { client, count: 0 }
    }

    pub(crate) async fn run(&mut self, command: &str) -> Answer {
        self.client.send(format!("t {command}\r\n")).await;
        self.answer().await
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = Answer {
            untagged: String::new(),
            tagged: String::new(),
            literals: Vec::new(),
        };
        loop {
            let line = self.client.line().await;
            if line.is_empty() || line.starts_with("t ") {
                answer.tagged = line;
                return answer;
            }
            self.notice(&line);
            answer.untagged.push_str(&line);
            if let Some(size) = literal_size(&line) {
                let literal = String::from_utf8(self.client.bytes(size).await).unwrap();
                answer.untagged.push_str(&literal);
                answer.literals.push(literal);
            }
        }
    }

    fn notice(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        if let (Some("*"), Some(number), Some("EXISTS")) =
            (words.next(), words.next(), words.next())
        {
            self.count = number.parse().unwrap();
        }
    }

    /// Counts messages that were expunged.
    pub(crate) fn forget(&mut self, expunged: usize) {
        self.count -= expunged;
    }

    /// Waits, by IDLE, until the folder has so many messages.
    pub(crate) async fn await_messages(&mut self, count: usize) {
        self.run("NOOP").await;
        if self.count >= count {
            return;
        }
        self.client.send("t IDLE\r\n").await;
        while self.count < count {
            let line = self.client.line().await;
            assert!(!line.is_empty(), "closed during IDLE");
            self.notice(&line);
        }
        self.client.send("DONE\r\n").await;
        assert!(self.answer().await.tagged.contains("OK"));
    }

    pub(crate) async fn messages(&mut self) -> Vec<String> {
        self.run("FETCH 1:* BODY.PEEK[]").await.literals
    }
}

fn literal_size(line: &str) -> Option<usize> {
    let line = line.trim_end().strip_suffix('}')?;
    line.rsplit_once('{')?.1.parse().ok()
}

/// Sends one message through a lab with these faults; returns the first copy in INBOX.
pub(crate) async fn copy_through(faults: &[&str], message: &str) -> String {
    let lab = lab(faults).await;
    assert!(send(&lab, ECHO, message).await.starts_with("250"));
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(1).await;
    imap.messages().await.remove(0)
}
