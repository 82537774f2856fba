//! Stand-in.
use crate::probe::name::{AlertName, RouteName};
use crate::probe::record::Record;
/// Stand-in.
#[derive(Debug, Default)]
pub struct Metrics;
impl Metrics {
    /// Stand-in.
    pub fn settled(&self, _: &Record) {}
    /// Stand-in.
    pub fn told(&self, _: &AlertName, _: bool) {}
    /// Stand-in.
    pub fn retain(&self, _: &[RouteName]) {}
}
