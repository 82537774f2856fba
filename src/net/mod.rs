//! DNS, TCP and TLS as steps that are timed and fail by themselves. Decides nothing about mail.

pub mod back_off;
pub mod blocklist;
pub mod certificate;
pub mod dial;
pub mod dns;
pub mod lines;
pub mod login;
pub mod own;
pub mod steps;
pub mod stream;
pub mod tls;
pub mod web;
