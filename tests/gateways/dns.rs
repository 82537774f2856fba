//! A name server with a table: what is not in it does not exist.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const A: u16 = 1;
const SOA: u16 = 6;
const PTR: u16 = 12;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;

/// What is said of a name.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// Its exchangers and its addresses; there may be none of either.
    Records(Vec<(u16, String)>, Vec<IpAddr>),
    /// The names of an address.
    Names(Vec<String>),
    /// What a blocklist says: its answers, and why.
    Listed(Vec<IpAddr>, String),
    /// The same answer, so much later.
    Late(Duration, Box<Says>),
    /// SERVFAIL.
    Failure,
    /// Nothing at all.
    Silence,
}

/// A name with exchangers.
pub(crate) fn mx(exchangers: &[(u16, &str)]) -> Says {
    let named = exchangers
        .iter()
        .map(|(at, host)| (*at, (*host).to_owned()));
    Says::Records(named.collect(), Vec::new())
}

/// A name with addresses.
pub(crate) fn at(addresses: &[IpAddr]) -> Says {
    Says::Records(Vec::new(), addresses.to_vec())
}

/// An address with names, as it is asked for (RFC 1035 §3.5).
pub(crate) fn pointer(names: &[&str]) -> Says {
    Says::Names(names.iter().map(|&name| name.to_owned()).collect())
}

/// A running name server; it ends when dropped.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
    over: Arc<AtomicBool>,
}

impl NameServer {
    pub(crate) fn start(table: &[(&str, Says)]) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let named = table
            .iter()
            .map(|(name, says)| ((*name).to_owned(), says.clone()));
        let table: BTreeMap<_, _> = named.collect();
        let (asked, over) = (
            Arc::<Mutex<Vec<_>>>::default(),
            Arc::<AtomicBool>::default(),
        );
        let server = Self {
            address,
            asked: Arc::clone(&asked),
            over: Arc::clone(&over),
        };
        thread::spawn(move || {
            let mut query = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let query = &query[..length];
                let (name, kind) = question(query);
                let mut says = table.get(&name);
                asked.lock().unwrap().push((name, kind));
                let mut later = Duration::ZERO;
                if let Some(Says::Late(time, late)) = says {
                    (later, says) = (*time, Some(&**late));
                }
                let Some(answer) = answer(query, kind, says) else {
                    continue;
                };
                let socket = socket.try_clone().unwrap();
                thread::spawn(move || {
                    thread::sleep(later);
                    socket.send_to(&answer, from).unwrap();
                });
            }
        });
        server
    }

    /// How many queries came.
    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// How many queries came for the addresses of this name.
    pub(crate) fn asked_for(&self, name: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        let same = asked.iter().filter(|(it, kind)| it == name && *kind == A);
        same.count()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the server.
        let waker = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let _ = waker.send_to(b"over", self.address);
    }
}

/// What a query asks: the name and the kind of record.
fn question(query: &[u8]) -> (String, u16) {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_lowercase());
        at = end;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    (labels.join("."), kind)
}

/// The answer to a query; `None`: it is not answered.
fn answer(query: &[u8], kind: u16, says: Option<&Says>) -> Option<Vec<u8>> {
    let end = 12 + query[12..].iter().position(|&byte| byte == 0).unwrap();
    let question = &query[12..end + 5];
    let (code, records) = match says {
        None => (3, Vec::new()),
        Some(Says::Silence | Says::Late(..)) => return None,
        Some(Says::Failure) => (2, Vec::new()),
        Some(Says::Names(names)) => {
            let names = names.iter().filter(|_| kind == PTR);
            (0, names.map(|name| wire(name)).collect())
        }
        Some(Says::Listed(answers, why)) => {
            let text = [&[u8::try_from(why.len()).unwrap()], why.as_bytes()].concat();
            let records = match kind {
                A => answers.iter().filter_map(octets).collect(),
                TXT if !why.is_empty() => vec![text],
                _ => Vec::new(),
            };
            (0, records)
        }
        Some(Says::Records(exchangers, addresses)) => {
            let exchangers = exchangers.iter().filter(|_| kind == MX);
            let exchangers =
                exchangers.map(|(at, host)| [&at.to_be_bytes(), &wire(host)[..]].concat());
            let addresses = addresses.iter().filter_map(|address| match address {
                IpAddr::V4(v4) => (kind == A).then(|| v4.octets().to_vec()),
                IpAddr::V6(v6) => (kind == AAAA).then(|| v6.octets().to_vec()),
            });
            (0, exchangers.chain(addresses).collect())
        }
    };
    let count = u8::try_from(records.len()).unwrap();
    let is_negative = count == 0 && code != 2;
    let mut answer = query[..2].to_vec();
    // Authoritative, with recursion; one question, the records, and who says that there are none.
    answer.extend([
        0x85,
        0x80 | code,
        0,
        1,
        0,
        count,
        0,
        u8::from(is_negative),
        0,
        0,
    ]);
    answer.extend(question);
    for data in records {
        answer.extend([0xc0, 12]);
        answer.extend(record(kind, &data));
    }
    if is_negative {
        answer.push(0);
        answer.extend(record(SOA, &[0; 22]));
    }
    Some(answer)
}

fn octets(address: &IpAddr) -> Option<Vec<u8>> {
    match address {
        IpAddr::V4(v4) => Some(v4.octets().to_vec()),
        IpAddr::V6(_) => None,
    }
}

/// A record behind its name.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    let kind = kind.to_be_bytes();
    [&kind[..], &[0, 1, 0, 0, 0, 1], &length, data].concat()
}

/// A name as it goes over the wire; `.` is the root.
fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> = labels
        .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
        .collect();
    wire.push(0);
    wire
}
