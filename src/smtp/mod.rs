//! Speaking SMTP (RFC 5321) to a gateway: failure is data here, never an error of ours.

pub mod conversation;
mod open;
pub mod ping;
pub mod submit;
mod trip;
