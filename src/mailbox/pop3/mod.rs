//! POP3 (RFC 1939): short sessions, one at a time, because an open one shows nothing new and locks the mailbox.

mod maildrop;
mod session;
pub mod watch;
