//! The lab's one account, and the SASL mechanisms by which all three servers check it.

use data_encoding::BASE64;

/// The login of the mailbox's owner.
pub(crate) struct Account {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl Account {
    pub(crate) fn accepts(&self, username: &[u8], password: &[u8]) -> bool {
        username.eq_ignore_ascii_case(self.username.as_bytes())
            && password == self.password.as_bytes()
    }

    /// A decoded PLAIN response: authorisation identity, user and password (RFC 4616).
    pub(crate) fn accepts_plain(&self, response: &[u8]) -> bool {
        let mut fields = response.split(|&byte| byte == 0);
        match (fields.next(), fields.next(), fields.next(), fields.next()) {
            (Some(_), Some(user), Some(password), None) => self.accepts(user, password),
            _ => false,
        }
    }

    /// A decoded XOAUTH2 response; the token is the password.
    pub(crate) fn accepts_xoauth2(&self, response: &[u8]) -> bool {
        let fields: Vec<&[u8]> = response.split(|&byte| byte == 1).collect();
        let field = |name: &[u8]| fields.iter().find_map(|field| field.strip_prefix(name));
        match (field(b"user="), field(b"auth=Bearer ")) {
            (Some(user), Some(token)) => self.accepts(user, token),
            _ => false,
        }
    }
}

/// A base64 line of a SASL exchange; `=` stands for an empty response, `*` cancels.
pub(crate) fn decode(line: &[u8]) -> Option<Vec<u8>> {
    if line == b"=" {
        return Some(Vec::new());
    }
    BASE64.decode(line).ok()
}
