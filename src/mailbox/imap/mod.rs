//! IMAP (RFC 3501, RFC 9051): one kept session, only what is new, no SEARCH.

mod cleanup;
mod folder;
mod guard;
mod idle;
mod junk;
mod open;
pub mod session;
pub mod utf7;
pub mod watch;
