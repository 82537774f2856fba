//! The filter between the final dot and the gateway's queue: scans a message once, and rules for each recipient.
//!
//! It looks at bytes alone, as scanners do: at what parts hold and, where it is told to, at what attachments are named.
//! What the scan found is `scan`'s, what becomes of the bytes `rewrite`'s. Nothing here delivers or replies.

mod rewrite;
mod scan;

use std::borrow::Cow;

use self::scan::{Found, Gtube, Unpacking};
use super::fault::{action::FilterAction, armed::Armed, kind::Kind};

/// What is said of a virus, after the code.
pub(crate) const VIRUS_FOUND: &str = "5.7.1 Message rejected: virus Lab.Eicar-Test-Signature found";
/// What the filter calls the only virus that it knows.
const SIGNATURE: &str = "Lab.Eicar-Test-Signature";

const SCANNED: &str = "X-Virus-Scanned: lab filter\r\n";
const NO_SPAM: &str = "X-Spam-Status: No, score=-0.1 required=15.0\r\n";
/// As Rspamd's action "add header" does.
const SPAM_HEADER: &str = "X-Spam: Yes\r\nX-Spamd-Bar: ++++++\r\n";

/// What the filter objects to: the refusal, and the header fields instead of it.
struct Objection {
    code: u16,
    text: &'static str,
    tag: &'static str,
}

const VIRUS: Objection = Objection {
    code: 550,
    text: VIRUS_FOUND,
    tag: "X-Virus-Status: Infected (Lab.Eicar-Test-Signature)\r\n",
};

/// Refused as by Rspamd, tagged as by `SpamAssassin`.
const SPAM: Objection = Objection {
    code: 554,
    text: "5.7.1 Gtube pattern",
    tag: "X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=1000.0 required=15.0 tests=GTUBE\r\n",
};

/// The reply that turns a message away.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) text: Cow<'static, str>,
}

/// Where a recipient's copy goes; of several rulings the last of these holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// On its way.
    #[default]
    Pass,
    /// On its way, but into Junk.
    Junk,
    /// Back, as a delivery status notification.
    Bounce,
    /// Held, and never delivered.
    Quarantine,
    /// Nowhere.
    Discard,
}

/// What the filter has decided for one recipient. By default it was not asked.
#[derive(Debug, Default)]
pub(crate) struct Ruling {
    pub(crate) fate: Fate,
    /// Header fields to put above the message.
    fields: Vec<&'static str>,
    marks_subject: bool,
    /// Whether infected parts are replaced, and how they are found again.
    strips: Option<Unpacking>,
}

/// How each recipient gets a message, in their order; or the reply to all of them, as soon as one recipient's rules
/// refuse it: there is only one reply to the final dot.
pub(crate) fn examine(
    faults: &Armed,
    locals: &[&str],
    message: &[u8],
) -> Result<Vec<Ruling>, Refusal> {
    let (mut opened, mut closed) = (None, None);
    let rule = |local: &&str| {
        let told = |kind| faults.ruling(kind, local);
        if told(Kind::FilterOff).is_some() {
            return Ok(Ruling::default());
        }
        if told(Kind::FilterDown).is_some() {
            return Err(Refusal {
                code: 451,
                text: "4.7.1 Service unavailable - try again later".into(),
            });
        }
        let limit = told(Kind::ScanLimit).and_then(|standing| standing.fault.size());
        if limit.is_some_and(|limit| message.len() as u64 > limit) {
            return Ok(Ruling::default());
        }
        let (unpacking, scanned) = if told(Kind::NoUnpacking).is_some() {
            (Unpacking::Off, &mut closed)
        } else {
            (Unpacking::On, &mut opened)
        };
        let found = scanned.get_or_insert_with(|| scan::scan(message, unpacking));
        rule(faults, local, found, unpacking)
    };
    locals.iter().map(rule).collect()
}

fn rule(
    faults: &Armed,
    local: &str,
    found: &Found,
    unpacking: Unpacking,
) -> Result<Ruling, Refusal> {
    let told = |kind| {
        let standing = faults.ruling(kind, local);
        let action = standing.and_then(|standing| standing.fault.filter_action());
        action.unwrap_or(FilterAction::Reject)
    };
    if let Some(name) = &found.banned
        && faults.ruling(Kind::BannedNames, local).is_some()
    {
        return Err(Refusal {
            code: 550,
            text: format!("5.7.1 Message rejected: banned attachment name ({name})").into(),
        });
    }
    let mut ruling = Ruling {
        fields: vec![SCANNED],
        ..Ruling::default()
    };
    if found.virus {
        ruling.act(told(Kind::Virus), &VIRUS, unpacking)?;
    }
    match found.spam {
        None => ruling.fields.push(NO_SPAM),
        // Rspamd's patterns name their action themselves, unless they are not looked for.
        Some(gtube) => match (gtube, told(Kind::Spam)) {
            (_, FilterAction::Off) => ruling.fields.push(NO_SPAM),
            (Gtube::AddHeader, _) => ruling.fields.push(SPAM_HEADER),
            (Gtube::RewriteSubject, _) => ruling.marks_subject = true,
            (Gtube::Reject, action) => ruling.act(action, &SPAM, unpacking)?,
        },
    }
    Ok(ruling)
}

impl Ruling {
    fn act(
        &mut self,
        action: FilterAction,
        objection: &Objection,
        unpacking: Unpacking,
    ) -> Result<(), Refusal> {
        match action {
            FilterAction::Reject => {
                return Err(Refusal {
                    code: objection.code,
                    text: objection.text.into(),
                });
            }
            FilterAction::Tag => self.fields.push(objection.tag),
            FilterAction::Junk => {
                self.fields.push(objection.tag);
                self.send_to(Fate::Junk);
            }
            FilterAction::Strip => self.strips = Some(unpacking),
            FilterAction::Subject => self.marks_subject = true,
            FilterAction::Discard => self.send_to(Fate::Discard),
            FilterAction::Quarantine => self.send_to(Fate::Quarantine),
            FilterAction::Bounce => self.send_to(Fate::Bounce),
            FilterAction::Off => {}
        }
        Ok(())
    }

    fn send_to(&mut self, fate: Fate) {
        self.fate = self.fate.max(fate);
    }

    /// The message as this recipient gets it.
    pub(crate) fn apply<'m>(&self, message: &'m [u8]) -> Cow<'m, [u8]> {
        let mut filtered = Cow::Borrowed(message);
        if let Some(unpacking) = self.strips {
            filtered = rewrite::strip(&filtered, unpacking).into();
        }
        if self.marks_subject {
            filtered = rewrite::mark_subject(&filtered).into();
        }
        if self.fields.is_empty() {
            return filtered;
        }
        [self.fields.concat().as_bytes(), &filtered].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_about_the_virus_names_it_alike() {
        for text in [VIRUS.text, VIRUS.tag] {
            assert!(text.contains(SIGNATURE), "{text}");
        }
    }
}
