//! From facts to an outcome, a verdict and a reason. Pure: the same facts give the same judgement, in whatever order the
//! sightings came.

mod course;
pub mod evidence;
pub mod network;
pub mod ping;
pub mod reason;
pub mod record;
pub mod verdict;
mod way;
