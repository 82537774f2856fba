//! The rule that sends the copy on, for each kind of server, ready to be pasted. What is not the rule itself stands
//! behind `#`.

use clap::ValueEnum;

use super::fill;

/// What the server of the forwarding address understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Rule {
    /// Sieve scripts: Dovecot, Cyrus, Stalwart, …
    Sieve,
    /// Microsoft 365 and Exchange
    Exchange,
    /// Gmail and Google Workspace
    Gmail,
    /// An alias in Postfix
    Postfix,
    /// A procmail recipe
    Procmail,
}

/// What a rule names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    /// The sender.
    pub(super) from: &'a str,
    /// The address whose rule it is.
    pub(super) to: &'a str,
    /// Where the copy goes.
    pub(super) mailbox: &'a str,
    /// What it matches.
    pub(super) subject: &'a str,
}

impl Rule {
    /// The rule, and what stands in its way there.
    pub(super) fn text(self, names: Names<'_>) -> String {
        let Names {
            from,
            to,
            mailbox,
            subject,
        } = names;
        let [from, to, mailbox, subject] =
            [from, to, mailbox, subject].map(|name| self.escaped(name));
        fill(
            self.template(),
            &[
                ("from", &from),
                ("to", &to),
                ("mailbox", &mailbox),
                ("subject", &subject),
            ],
        )
    }

    fn template(self) -> &'static str {
        match self {
            Self::Sieve => include_str!("sieve.txt"),
            Self::Exchange => include_str!("exchange.txt"),
            Self::Gmail => include_str!("gmail.txt"),
            Self::Postfix => include_str!("postfix.txt"),
            Self::Procmail => include_str!("procmail.txt"),
        }
    }

    /// A text as it stands between this language's quotes.
    fn escaped(self, text: &str) -> String {
        match self {
            Self::Sieve => text.replace('\\', "\\\\").replace('"', "\\\""),
            Self::Exchange => text.replace('\'', "''"),
            Self::Gmail | Self::Postfix | Self::Procmail => text.to_owned(),
        }
    }
}
