//! A wire between the program and a server of the lab: it hears both sides in the clear and can be told to stop at a
//! moment of their conversation, before or after a line is passed on.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use data_encoding::BASE32_NOPAD;
use uuid::Uuid;

use crate::robin::LONG;

/// A moment of a conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said<'a> {
    /// The client has connected; not a byte has passed.
    Connected,
    /// A line of the client, without its end.
    Client(&'a str),
    /// A line of the server, without its end.
    Server(&'a str),
}

/// Whether the line has been passed on when the wire stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

type At = dyn FnMut(usize, Said<'_>) -> bool + Send;

struct Trap {
    at: Box<At>,
    when: When,
    sprung: Sender<Caught>,
}

/// A message that the client has handed over, or has begun to.
#[derive(Clone, Debug)]
struct Message {
    connection: usize,
    tag: Uuid,
    /// Whether its final dot was passed on.
    whole: bool,
    /// Whether the server has taken it.
    taken: bool,
}

#[derive(Default)]
struct Heard {
    connections: usize,
    messages: Vec<Message>,
    /// Of each connection whether it is inside of a message.
    data: BTreeMap<usize, bool>,
    client: Vec<(usize, String)>,
}

struct Line {
    trap: Mutex<Option<Trap>>,
    heard: Mutex<Heard>,
    server: SocketAddr,
}

/// A wire that lives as long as the process.
pub(crate) struct Wire {
    port: u16,
    line: Arc<Line>,
}

/// A stop that waits to be met.
pub(crate) struct Stop(Receiver<Caught>);

/// A conversation that stands still.
pub(crate) struct Caught {
    /// The message that was handed over last on this connection.
    pub(crate) message: Option<Uuid>,
    go: Sender<bool>,
}

impl Stop {
    /// Waits until it is met.
    pub(crate) fn met(&self) -> Caught {
        let caught = self.0.recv_timeout(LONG);
        caught.unwrap_or_else(|_| panic!("the conversation never came to this"))
    }
}

impl Caught {
    /// Lets the conversation go on.
    pub(crate) fn go_on(self) {
        self.go.send(true).unwrap();
    }

    /// Ends it; what was not passed on never is.
    pub(crate) fn cut(self) {
        self.go.send(false).unwrap();
    }
}

impl Wire {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let line = Arc::new(Line {
            trap: Mutex::default(),
            heard: Mutex::default(),
            server,
        });
        let kept = Arc::clone(&line);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let line = Arc::clone(&line);
                thread::spawn(move || line.serve(&client));
            }
        });
        Self { port, line: kept }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Stops the next conversation that comes to this; `at` is told the connection's number and what is said.
    pub(crate) fn stop(
        &self,
        when: When,
        at: impl FnMut(usize, Said<'_>) -> bool + Send + 'static,
    ) -> Stop {
        let (sprung, met) = mpsc::channel();
        let at = Box::new(at);
        *self.line.trap.lock().unwrap() = Some(Trap { at, when, sprung });
        Stop(met)
    }

    /// Every line that clients said, with the number of its connection.
    pub(crate) fn client(&self) -> Vec<(usize, String)> {
        self.line.heard.lock().unwrap().client.clone()
    }

    /// How often each probe's message was begun to be sent.
    pub(crate) fn submitted(&self) -> BTreeMap<Uuid, usize> {
        self.count(|_| true)
    }

    /// How often each probe's message was sent to its end.
    pub(crate) fn whole(&self) -> BTreeMap<Uuid, usize> {
        self.count(|message| message.whole)
    }

    /// How often each probe's message was taken by the server.
    pub(crate) fn taken(&self) -> BTreeMap<Uuid, usize> {
        self.count(|message| message.taken)
    }

    fn count(&self, counts: impl Fn(&Message) -> bool) -> BTreeMap<Uuid, usize> {
        let heard = self.line.heard.lock().unwrap();
        let mut count = BTreeMap::new();
        for message in heard.messages.iter().filter(|message| counts(message)) {
            *count.entry(message.tag).or_default() += 1;
        }
        count
    }
}

/// The id inside of a tag.
pub(crate) fn id_of(tag: &str) -> Option<Uuid> {
    let word = tag.get(2..)?.to_ascii_uppercase();
    // Of 24 bytes the last character, and two zero bits, are left out.
    let raw = BASE32_NOPAD.decode(format!("{word}A").as_bytes()).ok()?;
    Uuid::from_slice(raw.get(..16)?).ok()
}

impl Line {
    fn serve(self: &Arc<Self>, client: &TcpStream) {
        let number = {
            let mut heard = self.heard.lock().unwrap();
            heard.connections += 1;
            heard.connections
        };
        if !self.comes_to(number, When::Before, Said::Connected) {
            return;
        }
        // A server that is down closes the connection without a word.
        let Ok(server) = TcpStream::connect(self.server) else {
            return;
        };
        for stream in [client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let other = Arc::clone(self);
        let back = thread::spawn(move || other.pass_on(&from, &to, number, false));
        self.pass_on(client, &server, number, true);
        back.join().unwrap();
    }

    fn pass_on(&self, from: &TcpStream, to: &TcpStream, number: usize, is_client: bool) {
        let mut reader = BufReader::new(from);
        let mut writer = BufWriter::new(to);
        let mut bytes = Vec::new();
        while let Ok(1..) = reader.read_until(b'\n', &mut bytes) {
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_end();
            let said = if is_client {
                Said::Client(text)
            } else {
                Said::Server(text)
            };
            if !self.comes_to(number, When::Before, said) {
                break;
            }
            self.note(number, said);
            if writer.write_all(&bytes).is_err()
                || (reader.buffer().is_empty() && writer.flush().is_err())
            {
                break;
            }
            if self.is_waited_for(When::After) {
                // Whoever waits for it wants it to have arrived.
                let _ = writer.flush();
                if !self.comes_to(number, When::After, said) {
                    break;
                }
            }
            bytes.clear();
        }
        drop(writer);
        // Either side may have gone already.
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }

    fn is_waited_for(&self, when: When) -> bool {
        let trap = self.trap.lock().unwrap();
        trap.as_ref().is_some_and(|trap| trap.when == when)
    }

    /// Stops where that is wanted. Whether to go on.
    fn comes_to(&self, number: usize, when: When, said: Said<'_>) -> bool {
        let go = {
            let mut trap = self.trap.lock().unwrap();
            let is_there = trap
                .as_mut()
                .is_some_and(|trap| trap.when == when && (trap.at)(number, said));
            let Some(trap) = trap.take_if(|_| is_there) else {
                return true;
            };
            let heard = self.heard.lock().unwrap();
            let own = heard.messages.iter().rev();
            let mut own = own.filter(|message| message.connection == number);
            let message = own.next().map(|message| message.tag);
            let (go, going) = mpsc::channel();
            if trap.sprung.send(Caught { message, go }).is_err() {
                return true;
            }
            going
        };
        // A test that is over cuts everything.
        go.recv().unwrap_or(false)
    }

    /// Notes what is passed on.
    fn note(&self, number: usize, said: Said<'_>) {
        let mut heard = self.heard.lock().unwrap();
        let is_data = heard.data.get(&number).copied().unwrap_or_default();
        match said {
            Said::Connected => {}
            Said::Client(line) if is_data => {
                if line == "." {
                    heard.data.insert(number, false);
                    if let Some(message) = heard.last(number) {
                        message.whole = true;
                    }
                }
                let id = line.strip_prefix("Message-ID: <");
                let id = id.and_then(|rest| id_of(rest.split_once('@')?.0));
                heard.messages.extend(id.map(|tag| Message {
                    connection: number,
                    tag,
                    whole: false,
                    taken: false,
                }));
            }
            Said::Client(line) => heard.client.push((number, line.to_owned())),
            Said::Server(line) => {
                if line.starts_with("354") {
                    heard.data.insert(number, true);
                } else if line.starts_with("250")
                    && let Some(message) = heard.last(number).filter(|message| message.whole)
                {
                    message.taken = true;
                }
            }
        }
    }
}

impl Heard {
    fn last(&mut self, connection: usize) -> Option<&mut Message> {
        let mut own = self.messages.iter_mut().rev();
        own.find(|message| message.connection == connection)
    }
}
