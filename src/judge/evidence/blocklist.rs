//! Which blocklist a refusal names. Servers put it in their own words, so known lists are looked for by their names, and
//! others by the phrases of the usual servers.

/// What a text says where it speaks of a list, and the list's name.
const KNOWN: &[(&str, &str)] = &[
    ("spamhaus", "Spamhaus"),
    ("spamcop", "SpamCop"),
    ("barracudacentral", "Barracuda"),
    ("barracuda reputation", "Barracuda"),
    ("sorbs.net", "SORBS"),
    ("abuseat.org", "CBL"),
    ("psbl.", "PSBL"),
    ("uceprotect", "UCEPROTECT"),
    ("mailspike", "Mailspike"),
    ("manitu.net", "NiX Spam"),
    ("blocklist.de", "blocklist.de"),
    ("invaluement", "Invaluement"),
    ("hostkarma", "Hostkarma"),
    ("truncate.gbudb", "GBUdb Truncate"),
    ("spfbl", "SPFBL"),
    ("spameatingmonkey", "SpamEatingMonkey"),
    ("senderscore", "Sender Score"),
    ("talosintelligence", "Cisco Talos"),
    ("senderbase", "Cisco Talos"),
    ("cloudmark", "Cloudmark"),
    ("ipcheck.proofpoint", "Proofpoint"),
    ("ers.trendmicro", "Trend Micro ERS"),
    ("mail-abuse.com", "Trend Micro ERS"),
    ("symanteccloud", "Symantec"),
    ("0spam", "0Spam"),
    // Outlook.com: "part of their network is on our block list (S3140)".
    ("on our block list", "the server's own list"),
    ("on our blocklist", "the server's own list"),
    ("on our blacklist", "the server's own list"),
    // Exchange Online: "banned sending IP [192.0.2.1]".
    ("banned sending ip", "Exchange Online"),
];

/// What stands before the name of a list in the replies of Postfix, Exim, Sendmail and their like.
const BEFORE: &[&str] = &[
    "blocked using ",
    "blocked by ",
    "listed at ",
    "listed in ",
    "listed on ",
    "listed by ",
    "blacklisted at ",
    "blacklisted by ",
    "rejected by ",
    "found in ",
    "found on ",
];

/// The list that a refusal names, if it names one.
pub(in crate::judge) fn named(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let known = KNOWN.iter().find(|(sign, _)| lower.contains(sign));
    if let Some((_, name)) = known {
        return Some((*name).to_owned());
    }
    BEFORE.iter().find_map(|before| {
        let (_, after) = lower.split_once(before)?;
        let zone: String = after
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
            .take(100)
            .collect();
        let zone = zone.trim_matches('.');
        is_zone(zone).then(|| zone.to_owned())
    })
}

/// Whether a name is that of a list: it says so, as names of lists do, and is no address.
fn is_zone(name: &str) -> bool {
    let mut labels = name.split('.');
    let says_so = labels.any(|label| {
        ["dnsbl", "rbl", "bl", "dul", "spam", "block", "black"]
            .iter()
            .any(|sign| label == *sign || (sign.len() > 2 && label.contains(sign)))
    });
    says_so && name.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_recognised_in_the_words_of_real_servers() {
        for (text, list) in [
            (
                "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1",
                "Spamhaus",
            ),
            (
                "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.example-rbl.net",
                "bl.example-rbl.net",
            ),
            (
                "JunkMail rejected - (x) [192.0.2.1]:1 is in an RBL: Blocked - see http://www.spamcop.net/bl.shtml?192.0.2.1",
                "SpamCop",
            ),
            (
                "rejected because 192.0.2.1 is in a black list at dnsbl.sorbs.net",
                "SORBS",
            ),
            (
                "Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).",
                "the server's own list",
            ),
            (
                "5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal from this list please visit https://sender.office.com/",
                "Exchange Online",
            ),
            (
                "Your host is listed in dnsbl.example.org, see there",
                "dnsbl.example.org",
            ),
            (
                "550 Rejected: 192.0.2.1 listed at ix.dnsbl.manitu.net",
                "NiX Spam",
            ),
            (
                "554 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1",
                "Proofpoint",
            ),
        ] {
            assert_eq!(named(text).as_deref(), Some(list), "{text}");
        }
        for text in [
            "5.1.1 <a@example.com>: Recipient address rejected: User unknown",
            "4.7.1 Greylisting in action, please come back later",
            "5.7.1 Message rejected by filter.example.com",
            "5.7.1 message blocked by content filter: EICAR found in eicar.com",
            "no such user found in ldap.example.com",
            "5.7.1 rejected by 192.0.2.1",
            "blocked by ",
        ] {
            assert_eq!(named(text), None, "{text}");
        }
    }
}
