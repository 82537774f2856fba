//! The vocabulary every other room speaks: tag, payload, message, outcome, facts, record. Pure: no I/O, no clock.

pub mod authentication;
pub mod date;
pub mod evidence;
pub mod facts;
pub mod hop;
pub mod incident;
pub mod listing;
pub mod mail;
pub mod manifest;
pub mod message;
pub mod name;
pub mod notice;
pub mod outcome;
pub mod payload;
pub mod record;
pub mod state;
pub mod tag;
pub mod visit;
