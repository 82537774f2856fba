//! The tag: what identifies a probe's message anywhere on its way, and what nobody can forge.
//!
//! It is one lower-case word of 40 characters, `mr` and 38 base32 characters (RFC 4648, no padding), because subjects are
//! cut at spaces, Message-IDs replaced, and words with punctuation broken by clients. The 190 bits are a `UUIDv7`
//! (RFC 9562 §5.7) whose random part begins with 24 bits of instance, and 62 bits of HMAC-SHA256 over it.

use std::fmt;
use std::time::Duration;

use data_encoding::{BASE32_NOPAD, Encoding};
use jiff::Timestamp;
use ring::{digest, hmac};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::clock::Stamp;

/// What a tag begins with.
pub const PREFIX: &str = "mr";
/// Characters in a tag, prefix included.
pub const LENGTH: usize = 40;

/// Bytes that stand behind the 38 characters; the last two bits are always zero.
const RAW: usize = 24;
const CONTEXT: &[u8] = b"mailrobin tag 1\0";

/// A tag whose signature was made or verified by a [`Signer`]: there is no other way to get one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    raw: [u8; RAW],
}

impl Tag {
    /// The probe's id: the `UUIDv7` inside the tag.
    pub fn id(self) -> Uuid {
        let [id @ .., _, _, _, _, _, _, _, _] = self.raw;
        Uuid::from_bytes(id)
    }

    /// Who made it.
    pub fn instance(self) -> Instance {
        let [_, _, _, _, _, _, a, b, c, d, ..] = self.raw;
        Instance([
            (a << 4) | (b >> 4),
            (b << 4) | ((c & 0x3f) >> 2),
            (c << 6) | (d >> 2),
        ])
    }

    /// When it was made, to the millisecond.
    pub fn minted_at(self) -> Timestamp {
        let (seconds, nanos) = self
            .id()
            .get_timestamp()
            .map_or((0, 0), |minted| minted.to_unix());
        Timestamp::new(
            i64::try_from(seconds).unwrap_or(i64::MAX),
            nanos.cast_signed(),
        )
        .unwrap_or(Timestamp::MAX)
    }

    /// Its age by the wall clock of now or by that of `since`, whichever makes it younger: a clock that is set forward makes
    /// no message old. `None`: it was made later.
    pub fn age(self, since: Stamp, now: Stamp) -> Option<Duration> {
        let wall = now.wall.min(since.wall_at(now.mono));
        Duration::try_from(wall.duration_since(self.minted_at())).ok()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = BASE32_NOPAD.encode(&self.raw).to_ascii_lowercase();
        // 24 bytes fill 38.4 characters; the 39th holds only the two zero bits.
        f.write_str(PREFIX)?;
        f.write_str(word.get(..LENGTH - PREFIX.len()).unwrap_or(&word))
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which mailrobin sent a probe: 24 bits, so that several can share one mailbox and one key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Instance([u8; 3]);

impl Instance {
    /// The instance of a configured name, the same on every start.
    pub fn named(name: &str) -> Self {
        match *digest::digest(&digest::SHA256, name.as_bytes()).as_ref() {
            [a, b, c, ..] => Self([a, b, c]),
            _ => Self([0; 3]),
        }
    }

    /// An instance drawn at random.
    pub const fn drawn(random: [u8; 3]) -> Self {
        Self(random)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([a, b, c]) = self;
        write!(f, "{a:02x}{b:02x}{c:02x}")
    }
}

/// Makes tags and tells ours from everybody else's.
#[derive(Clone)]
pub struct Signer {
    key: hmac::Key,
    instance: Instance,
}

impl Signer {
    /// `secret` is the family's key: every machine that shares it recognises the others' probes.
    pub fn new(secret: &[u8], instance: Instance) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            instance,
        }
    }

    /// The instance whose tags this signer mints.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// A new tag for a probe made at `at`. Of `random` 50 bits are used; the first byte's two lowest come before the others.
    pub fn mint(&self, at: Timestamp, random: [u8; 7]) -> Tag {
        let [_, _, t0, t1, t2, t3, t4, t5] = at.as_millisecond().to_be_bytes();
        let Instance([i0, i1, i2]) = self.instance;
        let [r0, r1, r2, r3, r4, r5, r6] = random;
        let id = [
            t0,
            t1,
            t2,
            t3,
            t4,
            t5,
            0x70 | (i0 >> 4),
            (i0 << 4) | (i1 >> 4),
            0x80 | ((i1 & 0x0f) << 2) | (i2 >> 6),
            (i2 << 2) | (r0 & 0x03),
            r1,
            r2,
            r3,
            r4,
            r5,
            r6,
        ];
        self.sign(id)
    }

    /// The tag of a probe that was minted with this key before.
    pub fn tag(&self, id: Uuid) -> Tag {
        self.sign(*id.as_bytes())
    }

    /// The first verified tag in `text`, which may be any bytes: quoted, folded, or with other words glued to it.
    pub fn find(&self, text: &[u8]) -> Option<Tag> {
        self.find_contiguous(text)
            .or_else(|| self.find_contiguous(&unfold(text)?))
    }

    fn find_contiguous(&self, text: &[u8]) -> Option<Tag> {
        text.windows(LENGTH)
            .filter(|word| {
                let (prefix, body) = word.split_at(PREFIX.len());
                prefix.eq_ignore_ascii_case(PREFIX.as_bytes())
                    && body
                        .iter()
                        .all(|c| matches!(c, b'a'..=b'z' | b'A'..=b'Z' | b'2'..=b'7'))
            })
            .find_map(|word| self.verify(word))
    }

    /// The tag that `word` spells, if it is well-formed and signed with our key.
    pub fn verify(&self, word: &[u8]) -> Option<Tag> {
        let body = word.get(PREFIX.len()..).filter(|_| word.len() == LENGTH)?;
        let mut spelled = body.to_ascii_uppercase();
        spelled.push(b'A');
        let raw: [u8; RAW] = decode(&BASE32_NOPAD, &spelled)?;
        let [id @ .., _, _, _, _, _, _, _, _] = raw;
        let uuid = Uuid::from_bytes(id);
        if uuid.get_version_num() != 7 || uuid.get_variant() != uuid::Variant::RFC4122 {
            return None;
        }
        // The comparison need not be constant in time: mail carries no timing worth measuring, and a guess costs a message.
        Some(self.sign(id)).filter(|tag| tag.raw == raw)
    }

    fn sign(&self, id: [u8; 16]) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(CONTEXT);
        context.update(&id);
        let mac = context.sign();
        let mut raw = [0; RAW];
        for (to, from) in raw.iter_mut().zip(id.iter().chain(mac.as_ref())) {
            *to = *from;
        }
        let [.., last] = &mut raw;
        *last &= 0xfc;
        Tag { raw }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

fn decode<const N: usize>(encoding: &Encoding, text: &[u8]) -> Option<[u8; N]> {
    encoding.decode(text).ok()?.try_into().ok()
}

/// `text` with line breaks, and the quote marks and white space that follow them, taken out; `None` where there are none.
fn unfold(text: &[u8]) -> Option<Vec<u8>> {
    let mut lines = text.split(|&c| c == b'\n');
    let mut joined = lines.next()?.trim_ascii_end().to_vec();
    if joined.len() == text.len() {
        return None;
    }
    for line in lines {
        let start = line
            .iter()
            .position(|c| !matches!(c, b' ' | b'\t' | b'>' | b'|'))
            .unwrap_or(line.len());
        joined.extend(line.iter().skip(start).copied());
        joined.truncate(joined.trim_ascii_end().len());
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signer() -> Signer {
        Signer::new(b"a family's key", Instance::named("berlin-1"))
    }

    fn any_tag() -> impl Strategy<Value = Tag> {
        (0_i64..4_000_000_000_000, any::<[u8; 7]>()).prop_map(|(ms, random)| {
            signer().mint(Timestamp::from_millisecond(ms).unwrap(), random)
        })
    }

    #[test]
    fn a_clock_that_is_set_makes_no_message_older() {
        let hour = Duration::from_hours(1);
        let since = Stamp::now();
        let minted = Timestamp::from_millisecond(since.wall.as_millisecond()).unwrap();
        let tag = signer().mint(minted, [0; 7]);
        let later = since + hour;
        let set = |wall: Result<Timestamp, _>| Stamp {
            wall: wall.unwrap(),
            ..later
        };
        let is_an_hour =
            |age: Option<Duration>| age.is_some_and(|age| age.abs_diff(hour) < hour / 60);
        assert!(is_an_hour(tag.age(since, later)));
        assert!(is_an_hour(
            tag.age(since, set(later.wall.checked_add(24 * hour)))
        ));
        assert_eq!(tag.age(since, set(later.wall.checked_sub(24 * hour))), None);
    }

    proptest! {
        #[test]
        fn it_is_one_lower_case_word_that_carries_instance_and_time(
            ms in 0_i64..4_000_000_000_000, random: [u8; 7], instance: [u8; 3],
        ) {
            let instance = Instance::drawn(instance);
            let signer = Signer::new(b"key", instance);
            let at = Timestamp::from_millisecond(ms).unwrap();
            let tag = signer.mint(at, random);
            let word = tag.to_string();
            prop_assert_eq!(word.len(), LENGTH);
            prop_assert!(word.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
            prop_assert_eq!(tag.instance(), instance);
            prop_assert_eq!(tag.minted_at(), at);
            prop_assert_eq!(tag.id().get_version_num(), 7);
            prop_assert_eq!(signer.find(word.as_bytes()), Some(tag));
        }

        #[test]
        fn a_changed_character_never_verifies(tag in any_tag(), at in 2_usize..LENGTH, to in 0_usize..32) {
            let mut word = tag.to_string().into_bytes();
            let with = b"abcdefghijklmnopqrstuvwxyz234567"[to];
            prop_assume!(word[at] != with);
            word[at] = with;
            prop_assert_eq!(signer().find(&word), None);
        }

        #[test]
        fn it_is_found_glued_quoted_and_broken_across_lines(tag in any_tag(), before in "[a-z2-7mr ]{0,50}", at in 1_usize..LENGTH) {
            let word = tag.to_string();
            let glued = format!("{before}{word}mr");
            prop_assert_eq!(signer().find(glued.as_bytes()), Some(tag));
            let (head, rest) = word.split_at(at);
            for fold in ["\r\n ", "\n> ", "\r\n>> "] {
                let folded = format!("> {before} {head}{fold}{rest}\r\n");
                prop_assert_eq!(signer().find(folded.as_bytes()), Some(tag));
            }
        }

        #[test]
        fn any_bytes_are_searched_without_a_panic(bytes: Vec<u8>) {
            prop_assert_eq!(signer().find(&bytes), None);
        }
    }

    #[test]
    fn another_key_does_not_verify() {
        let tag = signer().mint(Timestamp::UNIX_EPOCH, [7; 7]);
        let other = Signer::new(b"another key", Instance::named("berlin-1"));
        assert_eq!(other.find(tag.to_string().as_bytes()), None);
    }
}
