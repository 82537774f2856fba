//! Making probes: a tag for each, a message around it, and the envelope.

use std::cell::Cell;
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;
use uuid::Uuid;

use super::ledger::Probe;
use super::pending::{Pending, tagged};
use crate::clock::Stamp;
use crate::probe::message::{ComposeError, compose};
use crate::probe::tag::{Signer, Tag};
use crate::smtp::submit::Submission;

/// Why a probe could not be made.
#[derive(Debug, Error)]
pub enum MintError {
    /// A message could not be built.
    #[error("route {route}")]
    Compose {
        /// The route.
        route: String,
        /// Why.
        source: ComposeError,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes, without which a tag could be forged")]
    Random,
}

/// Makes probes.
#[derive(Debug)]
pub struct Mint {
    signer: Signer,
    random: SystemRandom,
    /// How many tags were made.
    minted: Cell<u16>,
}

impl Mint {
    /// A mint whose tags this signer signs.
    pub fn new(signer: Signer) -> Self {
        Self {
            signer,
            random: SystemRandom::new(),
            minted: Cell::new(0),
        }
    }

    /// A fresh tag.
    pub fn tag(&self, now: Stamp) -> Result<Tag, MintError> {
        let mut random = [0; 7];
        self.random
            .fill(&mut random)
            .map_err(|_| MintError::Random)?;
        // Of tags made in one millisecond, the later sorts behind the earlier (RFC 9562 §6.2).
        let count = self.minted.get();
        self.minted.set(count.wrapping_add(1));
        let [high, low] = count.to_be_bytes();
        let [_, _, _, a, b, c, d] = random;
        let random = [0, high, low, a, b, c, d];
        Ok(self.signer.mint(now.wall, random))
    }

    /// A probe that was due at one time and starts now; `control`: that of its cycle, if it was started.
    pub fn probe(
        &self,
        pending: &Pending,
        control: Option<Uuid>,
        transcript: bool,
        due: Stamp,
    ) -> Result<Probe, MintError> {
        let Pending { route, test, .. } = pending;
        let now = Stamp::now();
        let tag = self.tag(now)?;
        let draft = route.draft(&test.sample, tag, due.wall);
        let composed = compose(&draft).map_err(|source| MintError::Compose {
            route: route.name.to_string(),
            source,
        })?;
        let cycle = control.filter(|_| pending.in_controlled);
        Ok(Probe {
            route: Arc::clone(route),
            sample: Arc::clone(&test.sample),
            tag,
            cycle,
            control: cycle.filter(|_| test.needs_control()),
            expect: Arc::clone(&test.expect),
            manifest: composed.manifest,
            submission: Submission {
                from: tagged(&route.from, tag, route.verp),
                to: tagged(&route.to, tag, route.plus_address),
                message: composed.bytes,
                envelope_id: tag.to_string(),
                address: pending.address,
                pinned: pending.address.is_some(),
                in_clear: false,
                transcript,
            },
            due,
            listings: Arc::clone(&pending.listings),
        })
    }
}
