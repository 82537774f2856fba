//! What servers say of who sent a message: SPF, DKIM, DMARC and their like (RFC 8601).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The authentication results of a copy that count: those of the topmost Authentication-Results field, or of all fields
/// with an authserv-id that the route trusts. Anybody can write such a field, so others count for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Authentication {
    /// Who gives them; of several fields the topmost. Left out where the field names nobody, as Exchange Online's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authserv_id: Option<Box<str>>,
    /// The results, in their order.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub results: Box<[MethodResult]>,
    /// How many fields were not counted: forged, or written before the copy came to whom the route trusts.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_counted: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
pub(super) fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Authentication {
    /// Whether one of the results of `method` is `wanted`.
    pub fn has(&self, method: &str, wanted: &str) -> bool {
        self.results
            .iter()
            .any(|it| &*it.method == method && &*it.result == wanted)
    }
}

/// What one method came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MethodResult {
    /// `spf`, `dkim`, `dmarc`, …, in lower case.
    pub method: Box<str>,
    /// `pass`, `fail`, `none`, …, in lower case.
    pub result: Box<str>,
    /// Why, where told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// What was looked at, such as `smtp.mailfrom` and its value.
    #[serde(default, skip_serializing_if = "Properties::is_empty")]
    pub properties: Properties,
}

/// Properties by name, in less memory than a map of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    from = "BTreeMap<Box<str>, Box<str>>",
    into = "BTreeMap<Box<str>, Box<str>>"
)]
#[schemars(inline)]
pub struct Properties(Box<[(Box<str>, Box<str>)]>);

impl Properties {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each name and its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl From<BTreeMap<Box<str>, Box<str>>> for Properties {
    fn from(properties: BTreeMap<Box<str>, Box<str>>) -> Self {
        Self(properties.into_iter().collect())
    }
}

impl From<Properties> for BTreeMap<Box<str>, Box<str>> {
    fn from(properties: Properties) -> Self {
        properties.0.into_iter().collect()
    }
}
