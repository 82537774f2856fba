//! What blocklists (DNSBL, RFC 5782) say of the address that mail is sent from.

use std::net::{IpAddr, Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one list says of one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listing {
    /// The list's zone, or its name where a server named it.
    pub list: String,
    /// The address that was asked about; left out where a server named the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub address: Option<IpAddr>,
    /// What it says.
    pub standing: Standing,
    /// Its answers; which mean what is for the list to define.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Ipv4Addr>,
    /// Why, in the list's own words or, where nothing can be said, in ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What a list says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is not on the list.
    Clean,
    /// It is on the list.
    Listed,
    /// The server that refused the mail named the list.
    Named,
    /// The list answers, but not to us: public resolvers and frequent askers are turned away.
    Refused,
    /// Nothing can be said.
    Unknown,
}

impl Standing {
    /// Whether this is a reason to refuse mail.
    pub const fn is_listed(self) -> bool {
        match self {
            Self::Listed | Self::Named => true,
            Self::Clean | Self::Refused | Self::Unknown => false,
        }
    }
}
