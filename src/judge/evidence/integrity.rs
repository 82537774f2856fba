//! Whether a copy still holds what was sent, in any decoded part of it.

use crate::probe::mail::Mail;
use crate::probe::message::{Manifest, TextDigest};

/// Whether some part holds the payload block as sent. White space, quote marks and line breaks do not count.
pub(super) fn holds(mail: &Mail<'_>, manifest: &Manifest) -> bool {
    mail.leaves()
        .iter()
        .filter_map(|leaf| leaf.content.text())
        .filter_map(|text| TextDigest::of_payload(&text))
        .any(|text| text == manifest.text)
}
