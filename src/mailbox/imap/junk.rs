//! Finding the junk folder: by its attribute (RFC 6154), by the names that servers and clients give it, and only among the
//! user's own folders (RFC 2342).

use async_imap::imap_proto::{MailboxDatum, NameAttribute, Response};

use super::session::{ImapError, Session};
use super::utf7;

/// Names of the junk folder with widespread servers and clients, in many languages. They are compared without spaces,
/// punctuation and case. The first are the most usual.
const NAMES: &[&str] = &[
    "Junk",
    "Spam",
    "Junk Email",
    "Junk Mail",
    "Bulk",
    "Bulk Mail",
    "Spam Mail",
    "Spambox",
    "Spamverdacht",
    "Unerwünscht",
    "Unerwünschte E-Mail",
    "Unerwünschte Werbung",
    "Werbung",
    "Courrier indésirable",
    "Courriers indésirables",
    "Messages indésirables",
    "Indésirables",
    "Pourriel",
    "Pourriels",
    "Correo no deseado",
    "Correo electrónico no deseado",
    "Correo basura",
    "No deseado",
    "Posta indesiderata",
    "Indesiderata",
    "Ongewenste e-mail",
    "Ongewenst",
    "Ongewenste reclame",
    "Lixo eletrônico",
    "Lixo eletrónico",
    "Lixo electrónico",
    "E-mail de lixo",
    "Correio de lixo",
    "Correio eletrónico não solicitado",
    "Correo lixo",
    "Correu brossa",
    "Correu no desitjat",
    "Skräppost",
    "Uønsket mail",
    "Uønskede mails",
    "Uønsket e-mail",
    "Uønsket e-post",
    "Uønsket post",
    "Søppelpost",
    "Roskaposti",
    "Rämpspost",
    "Wiadomości-śmieci",
    "Niechciane",
    "Nevyžádaná pošta",
    "Nevyžiadaná pošta",
    "Levélszemét",
    "E-mail nedorit",
    "Mesaje nedorite",
    "Önemsiz",
    "Önemsiz e-posta",
    "Gereksiz",
    "Gereksiz e-posta",
    "Istenmeyen",
    "Neželjena pošta",
    "Neželena pošta",
    "Nepageidaujami laiškai",
    "Surogātpasts",
    "Mēstules",
    "Спам",
    "Нежелательная почта",
    "Небажана пошта",
    "Нежелана поща",
    "Нежељена пошта",
    "Ανεπιθύμητα",
    "Ανεπιθύμητη αλληλογραφία",
    "Ανεπιθύμητη ηλεκτρονική αλληλογραφία",
    "דואר זבל",
    "ספאם",
    "البريد العشوائي",
    "بريد عشوائي",
    "البريد غير الهام",
    "البريد الإلكتروني غير الهام",
    "迷惑メール",
    "迷惑メールフォルダ",
    "スパム",
    "垃圾邮件",
    "垃圾郵件",
    "垃圾信件",
    "정크 메일",
    "스팸",
    "스팸메일",
    "스팸메일함",
    "Thư rác",
    "อีเมลขยะ",
    "จดหมายขยะ",
];

/// Where servers show the folders of other users and those of everybody.
const NOT_OURS: &[&str] = &[
    "Shared",
    "Shared Folders",
    "Shared Mailboxes",
    "Other Users",
    "Other Folders",
    "User",
    "Users",
    "Public",
    "Public Folders",
    "Andere Benutzer",
    "Freigegebene Ordner",
    "Geteilte Ordner",
    "Öffentliche Ordner",
    "Autres utilisateurs",
    "Dossiers partagés",
    "Dossiers publics",
    "Otros usuarios",
    "Carpetas compartidas",
    "Carpetas públicas",
    "Altri utenti",
    "Cartelle condivise",
    "Andere gebruikers",
    "Gedeelde mappen",
];

/// A folder as LIST shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its name, decoded.
    pub(super) name: String,
    delimiter: Option<String>,
    can_be_opened: bool,
    junk: bool,
    /// Whether it is marked `\\Trash`.
    pub(super) trash: bool,
}

impl Listed {
    fn levels(&self) -> Vec<&str> {
        match self.delimiter.as_deref() {
            Some(delimiter) if !delimiter.is_empty() => self.name.split(delimiter).collect(),
            _ => self.name.split(['/', '.', '\\']).collect(),
        }
    }

    /// The place of its name among those of junk folders.
    fn rank(&self) -> Option<usize> {
        let last = comparable(self.levels().last()?);
        NAMES.iter().position(|name| comparable(name) == last)
    }
}

/// The namespaces of a server: the prefixes of folder names, and whether what is below is the user's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Namespaces(Vec<(String, bool)>);

impl Namespaces {
    /// Reads `(("" "/")) NIL NIL`: the personal namespaces, those of other users, and the shared ones (RFC 2342 §5).
    fn parse(text: &str) -> Self {
        let mut found = Vec::new();
        let (mut depth, mut group, mut strings) = (0_u32, 0, 0);
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let mut behind = rest.get(next.len_utf8()..).unwrap_or_default();
            match next {
                '(' => {
                    depth += 1;
                    strings = 0;
                }
                ')' => {
                    depth = depth.saturating_sub(1);
                    group += u32::from(depth == 0);
                }
                'N' | 'n' if depth == 0 => group += 1,
                '"' => {
                    let string = quoted_string(&mut behind);
                    // The prefix, its delimiter, and whatever extensions add.
                    if strings == 0 && depth == 2 {
                        found.push((utf7::decode(&string), group == 0));
                    }
                    strings += 1;
                }
                _ => {}
            }
            rest = behind;
        }
        Self(found)
    }

    /// Whether a folder is another user's, or everybody's.
    fn is_foreign(&self, folder: &Listed) -> bool {
        let starts = |(prefix, _): &&(String, bool)| {
            let start = folder.name.get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let innermost = self
            .0
            .iter()
            .filter(starts)
            .max_by_key(|(prefix, is_own)| (prefix.len(), *is_own));
        match innermost {
            Some((_, false)) => true,
            Some((prefix, true)) if !prefix.is_empty() => false,
            // A server that says nothing of others may show them all the same.
            _ => {
                let levels = folder.levels();
                let first = levels.first().copied().unwrap_or_default();
                let is_known = || {
                    let first = comparable(first);
                    NOT_OURS.iter().any(|name| comparable(name) == first)
                };
                levels.len() > 1 && (first.starts_with(['#', '~']) || is_known())
            }
        }
    }
}

/// Takes a quoted string, whose opening quote is taken already, off the begin of `text`.
fn quoted_string(text: &mut &str) -> String {
    let mut string = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => string.extend(chars.next()),
            c => string.push(c),
        }
    }
    *text = chars.as_str();
    string
}

/// A name without what makes no difference.
fn comparable(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// The folders that may be the junk folder, the likeliest first.
fn candidates(folders: Vec<Listed>, namespaces: &Namespaces) -> Vec<String> {
    let likely = |folder: Listed| {
        let rank = folder.rank();
        let may_be = folder.can_be_opened && (folder.junk || rank.is_some());
        if !may_be || namespaces.is_foreign(&folder) {
            return None;
        }
        let levels = folder.levels();
        let first = levels.first().copied().unwrap_or_default();
        // Where a provider puts its own folders: at the top, below INBOX, and Gmail below [Gmail].
        let is_usual = match levels.len() {
            1 => true,
            2 => first.eq_ignore_ascii_case("INBOX") || first.starts_with('['),
            _ => false,
        };
        let order = (
            !folder.junk,
            !is_usual,
            rank.unwrap_or(NAMES.len()),
            levels.len(),
        );
        Some((order, folder.name))
    };
    let mut found: Vec<_> = folders.into_iter().filter_map(likely).collect();
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, name)| name).collect()
}

impl Session {
    /// The folders that may be the junk folder, the likeliest first.
    pub(super) async fn junk_candidates(&mut self) -> Result<Vec<String>, ImapError> {
        let namespaces = self.namespaces().await?;
        Ok(candidates(self.list().await?, &namespaces))
    }

    /// Every folder, with the attributes of its special use.
    pub(super) async fn list(&mut self) -> Result<Vec<Listed>, ImapError> {
        const PLAIN: &str = "LIST \"\" \"*\"";
        // Cyrus shows the attributes only where they are asked for.
        if self.can.list_special_use {
            match self.list_by(&format!("{PLAIN} RETURN (SPECIAL-USE)")).await {
                Err(ImapError::No { .. } | ImapError::Bad { .. }) => {}
                listed => return listed,
            }
        }
        self.list_by(PLAIN).await
    }

    async fn list_by(&mut self, command: &str) -> Result<Vec<Listed>, ImapError> {
        let mut folders = Vec::new();
        self.run(command, |response| {
            let Response::MailboxData(MailboxDatum::List(list)) = response else {
                return;
            };
            let has = |attribute| list.name_attributes.contains(&attribute);
            let is_gone = list.name_attributes.iter().any(|attribute| {
                matches!(attribute, NameAttribute::Extension(word)
                    if word.trim_start_matches('\\').eq_ignore_ascii_case("NonExistent"))
            });
            folders.push(Listed {
                name: utf7::decode(&list.name),
                delimiter: list.delimiter.as_deref().map(str::to_owned),
                can_be_opened: !has(NameAttribute::NoSelect) && !is_gone,
                junk: has(NameAttribute::Junk),
                trash: has(NameAttribute::Trash),
            });
        })
        .await?;
        Ok(folders)
    }

    async fn namespaces(&mut self) -> Result<Namespaces, ImapError> {
        let mut found = Namespaces::default();
        if self.can.namespace {
            let told = self.namespace_text().await?;
            found = told.as_deref().map(Namespaces::parse).unwrap_or_default();
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, delimiter: &str) -> Listed {
        Listed {
            name: name.into(),
            delimiter: Some(delimiter.into()),
            can_be_opened: true,
            ..Listed::default()
        }
    }

    fn found(names: &[&str], delimiter: &str, namespaces: &str) -> Vec<String> {
        let folders = names.iter().map(|name| listed(name, delimiter)).collect();
        candidates(folders, &Namespaces::parse(namespaces))
    }

    #[test]
    fn junk_folders_have_many_names() {
        for name in [
            "Junk",
            "SPAM",
            "Junk Email",
            "Junk E-Mail",
            "Junk-E-Mail",
            "Bulk",
            "Bulk Mail",
            "Courrier indésirable",
            "Correo no deseado",
            "Posta indesiderata",
            "Ongewenste e-mail",
            "Skräppost",
            "迷惑メール",
            "垃圾邮件",
            "垃圾郵件",
            "Спам",
            "СПАМ",
            "스팸메일함",
        ] {
            assert_eq!(found(&["INBOX", "Sent", name], "/", ""), [name]);
            for below in [format!("INBOX.{name}"), format!("INBOX/{name}")] {
                let delimiter = &below[5..6];
                assert_eq!(found(&["INBOX", &below], delimiter, ""), [below.as_str()]);
            }
        }
        assert_eq!(
            found(&["[Gmail]/Spam", "[Gmail]/Trash"], "/", ""),
            ["[Gmail]/Spam"]
        );
        assert!(found(&["INBOX", "Trash", "Junkyard", "Antispam"], "/", "").is_empty());
    }

    #[test]
    fn only_the_users_own_folders_are_taken() {
        let all = [
            "shared/bob/Spam",
            "Other Users/eve/Junk",
            "#news/spam",
            "Archive/Junk",
            "Spam",
        ];
        assert_eq!(found(&all, "/", ""), ["Spam", "Archive/Junk"]);
        assert_eq!(
            found(&all, "/", "((\"\" \"/\")) NIL NIL"),
            ["Spam", "Archive/Junk"]
        );

        let cyrus = "((\"INBOX.\" \".\")) ((\"user.\" \".\")) ((\"\" \".\"))";
        let all = ["INBOX", "INBOX.Spam", "user.bob.Junk", "Junk"];
        assert_eq!(found(&all, ".", cyrus), ["INBOX.Spam"]);

        let odd = "((\"\" \"/\" \"X-PARAM\" (\"FLAG1\"))) ((\"Kollegen/\" \"/\")) ((\"a \\\"b\\\"/\" \"/\")(\"Alle/\" \"/\"))";
        let all = [
            "Kollegen/eva/Junk",
            "Alle/Junk",
            "a \"b\"/Junk",
            "Mail/Junk",
        ];
        assert_eq!(found(&all, "/", odd), ["Mail/Junk"]);
        assert_eq!(
            Namespaces::parse("((\"mail/\" \"/\")) nil ((\"x\" NIL))"),
            Namespaces(vec![("mail/".into(), true), ("x".into(), false)])
        );
        let own = "((\"Shared/\" \"/\")) NIL NIL";
        assert_eq!(found(&["Shared/Junk"], "/", own), ["Shared/Junk"]);
    }

    #[test]
    fn the_attribute_wins_where_the_folder_can_be_opened() {
        let marked = |name: &str, can_be_opened| Listed {
            junk: true,
            can_be_opened,
            ..listed(name, "/")
        };
        let none = Namespaces::default();
        let folders = vec![listed("Junk", "/"), marked("Kram", true)];
        assert_eq!(candidates(folders, &none), ["Kram", "Junk"]);
        let folders = vec![
            marked("shared/bob/Junk", true),
            marked("Kram", false),
            listed("Spam", "/"),
        ];
        assert_eq!(candidates(folders, &none), ["Spam"]);
    }

    #[test]
    fn namespaces_are_read_whatever_they_are() {
        for text in [
            "",
            "NIL NIL NIL",
            "((",
            "\"",
            "((\"a",
            ")))(((\"x\"",
            "((\"\\",
        ] {
            let _ = Namespaces::parse(text);
        }
    }
}
