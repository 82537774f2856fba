//! One file an output, all over the same records. Every writer matches every outcome and verdict: a new one breaks the
//! build, not a report.

pub(crate) mod account;
pub mod document;
pub mod github;
pub mod history;
pub mod human;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod matrix;
pub mod nagios;
pub mod ping;
pub mod probes;
mod table;
pub mod tap;

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::text::lines;

/// The same, with every text in it fit to be shown: what each output gets that people read. A record is that already when
/// it is judged; one that was kept by an earlier version, or comes from elsewhere, may not be.
pub fn shown<T: Serialize + DeserializeOwned>(value: &T) -> io::Result<T> {
    let mut value = serde_json::to_value(value)?;
    show(&mut value);
    Ok(serde_json::from_value(value)?)
}

fn show(value: &mut Value) {
    match value {
        Value::String(text) => *text = lines(text),
        Value::Array(values) => values.iter_mut().for_each(show),
        Value::Object(fields) => {
            for (name, mut value) in std::mem::take(fields) {
                show(&mut value);
                fields.insert(lines(&name), value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
