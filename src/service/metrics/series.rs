//! A family of series whose labels have an order, and which can be let go of when the config names them no more.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{
    EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder, MetricEncoder,
};
use prometheus_client::metrics::{MetricType, TypedMetric};

use crate::probe::name::{AlertName, MailboxName, RouteName};

/// The series of one metric, by their labels. Cheap to clone: all clones are the same.
#[derive(Debug)]
pub(super) struct Series<L, M> {
    all: Arc<Mutex<BTreeMap<L, M>>>,
    fresh: fn() -> M,
}

impl<L, M> Clone for Series<L, M> {
    fn clone(&self) -> Self {
        Self {
            all: Arc::clone(&self.all),
            fresh: self.fresh,
        }
    }
}

impl<L, M: Default> Default for Series<L, M> {
    fn default() -> Self {
        Self::of(M::default)
    }
}

impl<L, M> Series<L, M> {
    /// None yet; each begins as `fresh` makes it.
    pub(super) fn of(fresh: fn() -> M) -> Self {
        Self {
            all: Arc::default(),
            fresh,
        }
    }
}

impl<L: Ord, M: Clone> Series<L, M> {
    /// The one with these labels, made if there is none.
    pub(super) fn with(&self, labels: L) -> M {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(labels).or_insert_with(self.fresh).clone()
    }

    /// Changes the one with these labels, made if there is none; no scrape comes in between.
    pub(super) fn change(&self, labels: L, change: impl FnOnce(&M)) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(labels).or_insert_with(self.fresh));
    }

    /// Lets go of all the others.
    pub(super) fn retain(&self, is_kept: impl Fn(&L) -> bool) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|labels, _| is_kept(labels));
    }
}

impl<L, M> EncodeMetric for Series<L, M>
where
    L: EncodeLabelSet,
    M: EncodeMetric + TypedMetric,
{
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        for (labels, metric) in all.iter() {
            metric.encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.is_empty()
    }
}

macro_rules! names {
    ($($name:ty),+) => {$(
        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
                encoder.write_str(self.as_str())
            }
        }
    )+};
}

names!(AlertName, MailboxName, RouteName);

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $ty:ty),+ })+) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            prometheus_client::encoding::EncodeLabelSet,
        )]
        pub(super) struct $name {
            $(pub(super) $field: $ty,)+
        }
    )+};
}

labels! {
    OfRoute { route: RouteName }
    OfTest { route: RouteName, payload: String }
    OfPhase { route: RouteName, phase: &'static str }
    OfResult { route: RouteName, payload: String, outcome: &'static str, verdict: &'static str }
    OfState { route: RouteName, state: &'static str }
    OfAlert { alert: AlertName }
    OfDelivery { alert: AlertName, result: &'static str }
    OfMailbox { mailbox: MailboxName }
    OfEndpoint { endpoint: String }
    OfBuild { version: String }
}
