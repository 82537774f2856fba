//! A name server with a table: what is not in it does not exist.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

const A: u16 = 1;
const SOA: u16 = 6;
const MX: u16 = 15;
const AAAA: u16 = 28;

/// What is said of a name.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// Its exchangers and its addresses; there may be none of either.
    Records(Vec<(u16, String)>, Vec<IpAddr>),
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

/// A running name server; it ends when dropped.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
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
        let (asked, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
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
                asked.fetch_add(1, Ordering::Relaxed);
                if let Some(answer) = answer(&query[..length], &table) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        server
    }

    /// How many queries came.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
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

/// The answer to a query; `None`: it is not answered.
fn answer(query: &[u8], table: &BTreeMap<String, Says>) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_lowercase());
        at = end;
    }
    let question = &query[12..at + 5];
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let (code, records) = match table.get(&labels.join(".")) {
        None => (3, Vec::new()),
        Some(Says::Silence) => return None,
        Some(Says::Failure) => (2, Vec::new()),
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
