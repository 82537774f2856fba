//! What filters write on a message, and which of it says positively that it is spam or infected.

use std::collections::BTreeMap;

use crate::probe::evidence::Mark;
use crate::probe::mail::Mail;

/// Of a field's value, this much is kept.
const KEPT: usize = 200;
/// Fields that filters write.
const FIELDS: &[&str] = &[
    "X-Spam-Flag",
    "X-Spam-Status",
    "X-Spam-Level",
    "X-Spam-Score",
    "X-Spam",
    "X-Spamd-Result",
    "X-Spamd-Bar",
    "X-Virus-Status",
    "X-Virus-Scanned",
    "X-Amavis-Alert",
    "X-MS-Exchange-Organization-SCL",
    "X-Microsoft-Antispam",
    "X-Forefront-Antispam-Report",
];

/// Fields in which a spam filter says how near a message came to its limit.
pub const SCORES: &[&str] = &["X-Spam-Status", "X-Spamd-Result", "X-Spam-Score"];

/// The marks on a message, by field.
pub(super) fn read(mail: &Mail<'_>, prefixes: &[String]) -> BTreeMap<String, Mark> {
    let mut marks = BTreeMap::new();
    for field in mail.fields() {
        let Some(name) = FIELDS.iter().find(|name| field.is(name)) else {
            continue;
        };
        let value = String::from_utf8_lossy(field.raw);
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        let positive = is_positive(name, &value.to_ascii_lowercase());
        let value = value.replace(char::is_control, "\u{fffd}");
        let kept = value.chars().take(KEPT).collect();
        // Of several fields of one name the positive one counts: another filter's "no" does not take it back.
        let mark = marks.entry((*name).to_owned()).or_insert(Mark {
            value: kept,
            positive: false,
        });
        if positive && !mark.positive {
            *mark = Mark {
                value: value.chars().take(KEPT).collect(),
                positive,
            };
        }
    }
    let subject = mail.subject().unwrap_or_default();
    if let Some(prefix) = prefixes.iter().find(|prefix| is_marked(subject, prefix)) {
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

fn is_positive(name: &str, value: &str) -> bool {
    match name {
        "X-Spam-Flag" | "X-Spam" | "X-Spam-Status" => {
            value.starts_with("yes") || value.starts_with("true")
        }
        "X-Virus-Status" => {
            value.starts_with("infected") || value.starts_with("yes") || value.contains("eicar")
        }
        "X-Amavis-Alert" => {
            value.starts_with("infected") || value.starts_with("banned") || value.contains("spam")
        }
        "X-Spamd-Result" => value.contains(": true ") || value.contains(": true["),
        "X-MS-Exchange-Organization-SCL" => value.parse::<i32>().is_ok_and(|level| level >= 5),
        "X-Forefront-Antispam-Report" => [
            "sfv:spm", "sfv:skb", "cat:spm", "cat:hspm", "cat:malw", "cat:phsh",
        ]
        .iter()
        .any(|mark| value.contains(mark)),
        _ => false,
    }
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
mod tests {
    use super::*;
    use crate::config::plan::DEFAULT_MARKS;

    fn positive(header: &str) -> bool {
        let raw = format!("{header}\r\n\r\nbody\r\n");
        let mail = Mail::parse(raw.as_bytes()).unwrap();
        read(&mail, &DEFAULT_MARKS.map(str::to_owned))
            .values()
            .any(|mark| mark.positive)
    }

    #[test]
    fn only_what_says_so_is_a_mark() {
        for header in [
            "X-Spam-Flag: YES",
            "X-Spam-Status: Yes, score=15.0 required=5.0",
            "X-Virus-Status: Infected (Eicar-Signature.UNOFFICIAL)",
            "X-Spamd-Result: default: True [15.00 / 15.00]",
            "X-Amavis-Alert: INFECTED, message contains virus: Eicar",
            "X-MS-Exchange-Organization-SCL: 6",
            "X-Forefront-Antispam-Report: CIP:192.0.2.1;SFV:SPM;SCL:5",
            "Subject: ***SPAM*** hello",
            "Subject: FW: [EXTERNAL] ***Spam*** hello",
            "Subject: [VIRUS] hello",
            "X-Spam-Flag: NO\r\nX-Spam-Flag: YES",
        ] {
            assert!(positive(header), "{header}");
        }
        for header in [
            "X-Spam-Flag: NO",
            "X-Spam-Status: No, score=-0.1",
            "X-Virus-Scanned: amavisd-new",
            "X-Virus-Status: Clean",
            "X-Spamd-Result: default: False [-0.10 / 15.00]",
            "X-MS-Exchange-Organization-SCL: 1",
            "Subject: FW: [EXTERNAL] hello",
            "Subject: about ***SPAM*** and how it is made",
        ] {
            assert!(!positive(header), "{header}");
        }
    }
}
