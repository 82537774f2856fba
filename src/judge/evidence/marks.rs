//! What filters write on a message, and which of it says positively that it is spam or infected.
//!
//! Filters differ in their fields and agree that one says yes: a field alone, a score, or an opaque report is no mark.

use std::collections::BTreeMap;

use Says::{AtLeast, Begins, Holds, Nothing, Present, Term};

use crate::config::plan::MarkRule;
use crate::probe::evidence::Mark;
use crate::probe::mail::Mail;
use crate::text::excerpt;

/// Of a field's value, this much is kept.
const KEPT: usize = 200;
/// At most so many fields are kept.
const MOST: usize = 100;

/// How a field says that a message is spam or infected. Values are compared in lower case.
#[derive(Clone, Copy, Debug)]
enum Says {
    /// It never does; its value is evidence all the same.
    Nothing,
    /// Its value begins with one of these.
    Begins(&'static [&'static str]),
    /// Its value holds one of these.
    Holds(&'static [&'static str]),
    /// Its value begins with this number, or a greater one.
    AtLeast(i64),
    /// One of its `name=value` terms has this name, and one of these words in its value.
    Term(&'static str, &'static [&'static str]),
    /// It stands on the message, and does not say no.
    Present,
}

const YES: Says = Begins(&["yes", "true", "spam"]);
const SPAM: Says = Begins(&["spam", "phish", "phishing", "virus", "malware"]);
const INFECTED: Says = Begins(&["infected", "yes", "virus", "malware"]);

/// The fields of widespread filters. A `*` stands for any text, such as the organisation's name.
#[rustfmt::skip]
const FIELDS: &[(&str, Says)] = &[
    // SpamAssassin, rspamd and most others
    ("X-Spam-Flag", YES),
    ("X-Spam-Status", YES),
    ("X-Spam", YES),
    ("X-Spam-Level", Nothing),
    ("X-Spam-Score", Nothing),
    ("X-Spamd-Result", Holds(&[": true ", ": true["])),
    ("X-Spamd-Bar", Nothing),
    ("X-Rspamd-Action", Begins(&["add header", "rewrite subject", "quarantine", "reject", "discard"])),
    // ClamAV, amavis, MIMEDefang, Avast
    ("X-Virus-Status", INFECTED),
    ("X-Virus-Status", Holds(&["eicar"])),
    ("X-Virus-Scanned", Nothing),
    ("X-Virus-Flag", INFECTED),
    ("X-Virus", Present),
    ("X-Spam-Virus", INFECTED),
    ("X-Antivirus-Status", INFECTED),
    ("X-Amavis-Alert", Begins(&["infected", "banned", "spam"])),
    // MailScanner
    ("X-*MailScanner-SpamCheck", Begins(&["spam"])),
    ("X-*MailScanner", Begins(&["found to be infected", "infected", "disinfected"])),
    // Barracuda
    ("X-Barracuda-Spam-Status", YES),
    ("X-Barracuda-Spam-Flag", YES),
    ("X-Barracuda-Virus-Alert", Present),
    // DSPAM, bogofilter, SpamProbe, CRM114, SpamBayes, POPFile, ASSP
    ("X-DSPAM-Result", Begins(&["spam", "virus", "blacklisted", "blocklisted"])),
    ("X-DSPAM-Result", Term("result", &["spam", "virus"])),
    ("X-Bogosity", YES),
    ("X-SpamProbe", SPAM),
    ("X-CRM114-Status", SPAM),
    ("X-Spambayes-Classification", SPAM),
    ("X-Text-Classification", SPAM),
    ("X-Assp-Spam", YES),
    // Proofpoint and iCloud
    ("X-Proofpoint-Spam-Details*", Term("rule", &["spam", "phish", "malware", "virus"])),
    ("X-Proofpoint-Virus-Version", Nothing),
    ("X-CLX-Spam", YES),
    ("X-Suspected-Spam", YES),
    // Microsoft
    ("X-MS-Exchange-Organization-SCL", AtLeast(5)),
    ("X-Microsoft-Antispam", Nothing),
    ("X-Forefront-Antispam-Report", Holds(&[
        "sfv:spm", "sfv:skb", "sfv:sks", "cat:spm", "cat:hspm", "cat:malw", "cat:phsh", "cat:hphsh", "cat:hphish",
        "scl:5", "scl:6", "scl:7", "scl:8", "scl:9",
    ])),
    // Google and Amazon
    ("X-Gm-Spam", AtLeast(1)),
    ("X-Gm-Phishy", AtLeast(1)),
    ("X-SES-Spam-Verdict", Begins(&["fail"])),
    ("X-SES-Virus-Verdict", Begins(&["fail"])),
    // Kaspersky, ESET, Bitdefender, Trend Micro, SonicWall, Fortinet, MessageLabs
    ("X-K*-AntiSpam-Status", Begins(&["spam", "probable_spam", "kas_status_spam", "kas_status_probable_spam", "blacklisted"])),
    ("X-K*-AntiVirus-Status", INFECTED),
    ("X-K*-AntiPhishing*", Begins(&["phishing"])),
    ("X-ESET-AS", Term("r", &["spam", "phish"])),
    ("X-ESET-Antispam", SPAM),
    ("X-EsetResult", Begins(&["infected", "is infected", "found virus"])),
    ("X-BitDefender-Spam", YES),
    ("X-BitDefender-Scanner", INFECTED),
    ("X-TM-AS-Result", Begins(&["yes-", "yes"])),
    ("X-Mlf-Threat", SPAM),
    ("X-SpamInfo", Present),
    ("X-SpamReason", YES),
    // Cisco and Sophos only report, and their reports are opaque
    ("X-IronPort-Anti-Spam-Filtered", Nothing),
    ("X-IronPort-Anti-Spam-Result", Nothing),
    ("X-IronPort-AV", Nothing),
    ("X-PMX-Spam", Nothing),
    ("X-Mimecast-Spam-Score", Nothing),
    // Vade, OVH, SpamExperts, Hornetsecurity
    ("X-V*-SPAMSTATE", Begins(&["spam", "spam:", "phishing", "phishing:", "virus", "malware", "malware:", "scam", "scam:"])),
    ("X-VadeSecure-score", Term("verdict", &["spam", "phishing", "virus", "malware", "scam"])),
    ("X-Ovh-Spam-Status", SPAM),
    ("X-SpamExperts-Class", SPAM),
    ("X-antispameurope-Spamstatus", SPAM),
    ("X-antispameurope-Virusscan", INFECTED),
    // GMX and web.de, Yandex, Mail.ru, AOL
    ("X-GMX-Antispam", AtLeast(5)),
    ("X-GMX-Antivirus", AtLeast(1)),
    ("X-Yandex-Spam", AtLeast(4)),
    ("X-Mras", SPAM),
    ("X-AOL-Global-Disposition", Begins(&["s"])),
];

/// Fields in which a spam filter says how near a message came to its limit.
pub const SCORES: &[&str] = &["X-Spam-Status", "X-Spamd-Result", "X-Spam-Score"];

/// The marks on a message, by field.
pub(super) fn read(mail: &Mail<'_>, rules: &[MarkRule]) -> BTreeMap<String, Mark> {
    let mut marks = BTreeMap::new();
    for field in mail.fields() {
        let own = rules.iter().filter_map(|rule| match rule {
            MarkRule::Header { name, value } if is_named(field.name, name) => Some(value),
            MarkRule::Header { .. } | MarkRule::Subject(_) => None,
        });
        let own: Vec<_> = own.collect();
        let known = FIELDS.iter().filter(|(name, _)| is_named(field.name, name));
        let first = known.clone().next();
        if first.is_none() && own.is_empty() {
            continue;
        }
        let value = String::from_utf8_lossy(field.raw);
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        let lower = value.to_lowercase();
        let positive = known.clone().any(|(_, says)| says.is_positive(&lower))
            || own.iter().any(|own| begins(&lower, &own.to_lowercase()));
        let name = match first {
            Some((name, _)) if !name.contains('*') => (*name).to_owned(),
            _ => field.name.chars().take(KEPT).collect(),
        };
        if marks.len() >= MOST && !marks.contains_key(&name) {
            continue;
        }
        let new = Mark {
            value: excerpt(&value, KEPT),
            positive,
        };
        // Of several fields of one name the positive one counts: another filter's "no" does not take it back.
        let mark = marks.entry(name).or_insert_with(|| new.clone());
        if positive && !mark.positive {
            *mark = new;
        }
    }
    let subject = mail.subject().unwrap_or_default();
    let prefixes = rules.iter().filter_map(|rule| match rule {
        MarkRule::Subject(prefix) => Some(prefix),
        MarkRule::Header { .. } => None,
    });
    if let Some(prefix) = prefixes.into_iter().find(|it| is_marked(subject, it)) {
        marks.insert(
            "Subject".into(),
            Mark {
                value: prefix.clone(),
                positive: true,
            },
        );
    }
    marks
}

impl Says {
    /// Whether a value, in lower case, says so.
    fn is_positive(self, value: &str) -> bool {
        match self {
            Nothing => false,
            Begins(words) => words.iter().any(|word| begins(value, word)),
            Holds(words) => words.iter().any(|word| value.contains(word)),
            AtLeast(least) => {
                let end = value.find(|char: char| !char.is_ascii_digit());
                let number = value.get(..end.unwrap_or(value.len()));
                number.is_some_and(|number| number.parse().is_ok_and(|it: i64| it >= least))
            }
            Term(name, words) => value
                .split([' ', ';', ','])
                .filter_map(|term| term.split_once('='))
                .filter(|(it, _)| *it == name)
                .any(|(_, value)| {
                    let mut said = value.split(|char: char| !char.is_alphanumeric());
                    said.clone().all(|word| word != "not") && said.any(|word| words.contains(&word))
                }),
            Present => {
                const NO: &[&str] = &["no", "none", "not", "clean", "ok", "0", "false", "ham"];
                !value.is_empty() && !NO.iter().any(|no| begins(value, no))
            }
        }
    }
}

/// Whether a value begins with a word or phrase, and not with a longer word: `spam, score=7`, but not `spam-free` and not
/// `spam=no`.
fn begins(value: &str, phrase: &str) -> bool {
    let rest = value.trim_start_matches('"').strip_prefix(phrase);
    let is_word = phrase.ends_with(char::is_alphanumeric);
    let goes_on = |char: char| char.is_alphanumeric() || "-_=:".contains(char);
    rest.is_some_and(|rest| !(is_word && rest.starts_with(goes_on)))
}

/// Whether a field has a name, in which a `*` stands for any text.
fn is_named(field: &str, name: &str) -> bool {
    let Some((head, tail)) = name.split_once('*') else {
        return field.eq_ignore_ascii_case(name);
    };
    let begins = field.get(..head.len());
    let ends = field.len().checked_sub(tail.len());
    field.len() >= head.len() + tail.len()
        && begins.is_some_and(|begin| begin.eq_ignore_ascii_case(head))
        && ends
            .and_then(|end| field.get(end..))
            .is_some_and(|end| end.eq_ignore_ascii_case(tail))
}

/// Whether the prefix stands at the subject's begin, behind any `FW:`, `Re:` or `[EXTERNAL]`.
fn is_marked(subject: &str, prefix: &str) -> bool {
    let mut rest = subject.trim_start();
    loop {
        if rest
            .get(..prefix.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
        {
            return true;
        }
        let next = match rest.strip_prefix('[') {
            Some(inside) => inside.split_once(']').map(|(_, rest)| rest),
            None => rest
                .split_once(':')
                .filter(|(word, _)| word.len() <= 5 && !word.contains(' '))
                .map(|(_, rest)| rest),
        };
        match next {
            Some(next) => rest = next.trim_start(),
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests;
