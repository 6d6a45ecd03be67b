//! HELLO, the first frame of each side: do both sides mean the same cluster?
//!
//! `u8 role | u16 version | u8 count | count × (u8 name length | name | 32-byte digest)`, names in
//! ascending order of their bytes.

use crate::config::{HelloField, Role};
use crate::reason::RefuseReason;

/// The version of everything that travels over the lanes.
pub const PROTOCOL_VERSION: u16 = 1;
/// The type byte of HELLO, which no other frame may have.
pub(crate) const HELLO_KIND: u8 = 0x01;
/// Most fields of a HELLO: it stays below 3 KiB.
pub(crate) const HELLO_FIELDS_MAX: usize = 32;
/// Longest name of a field, in bytes.
pub(crate) const HELLO_NAME_MAX: usize = 32;
/// Largest length field of a HELLO frame.
pub(crate) const HELLO_LENGTH_MAX: u32 =
    1 + 4 + (HELLO_FIELDS_MAX * (1 + HELLO_NAME_MAX + DIGEST_BYTES)) as u32;
/// The name under which a difference of version or role is reported.
const VERSION_FIELD: &str = "protocolVersion";

const DIGEST_BYTES: usize = 32;

/// A HELLO, sent or received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    client: bool,
    version: u16,
    fields: Vec<HelloField>,
}

impl Hello {
    /// What this endpoint says.
    pub(crate) fn new(role: Role, fields: &[HelloField]) -> Self {
        let mut fields = fields.to_vec();
        fields.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Self {
            client: role == Role::Client,
            version: PROTOCOL_VERSION,
            fields,
        }
    }

    /// The payload of the frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.client)];
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.push(self.fields.len() as u8);
        for field in &self.fields {
            bytes.push(field.name.len() as u8);
            bytes.extend_from_slice(field.name.as_bytes());
            bytes.extend_from_slice(&field.digest);
        }
        bytes
    }

    /// Reads a payload. Of another version only role and version are read: what follows may have
    /// changed.
    ///
    /// # Errors
    /// [`RefuseReason::BadHello`] for anything but the one canonical encoding.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, RefuseReason> {
        Self::read(payload).ok_or(RefuseReason::BadHello)
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let (&[role, low, high], mut rest) = payload.split_first_chunk::<3>()?;
        let client = match role {
            0 => false,
            1 => true,
            _ => return None,
        };
        let version = u16::from_le_bytes([low, high]);
        let mut fields: Vec<HelloField> = Vec::new();
        if version != PROTOCOL_VERSION {
            return Some(Self {
                client,
                version,
                fields,
            });
        }
        let count;
        (count, rest) = rest.split_first()?;
        if usize::from(*count) > HELLO_FIELDS_MAX {
            return None;
        }
        for _ in 0..*count {
            let (length, after) = rest.split_first()?;
            if *length == 0 || usize::from(*length) > HELLO_NAME_MAX {
                return None;
            }
            let (name, after) = after.split_at_checked(usize::from(*length))?;
            let (digest, after) = after.split_first_chunk::<DIGEST_BYTES>()?;
            let name = std::str::from_utf8(name).ok()?.to_owned();
            if fields
                .last()
                .is_some_and(|last| last.name.as_bytes() >= name.as_bytes())
            {
                return None;
            }
            fields.push(HelloField {
                name,
                digest: *digest,
            });
            rest = after;
        }
        rest.is_empty().then_some(Self {
            client,
            version,
            fields,
        })
    }

    /// Compares with what the other side said. `peer_is_client` is what its ALPN claimed.
    ///
    /// Version is compared first, then every name that both have; between replicas a name that
    /// one side lacks differs too.
    ///
    /// # Errors
    /// [`RefuseReason::HelloMismatch`] with the first field that differs.
    pub(crate) fn compare(&self, peer: &Hello, peer_is_client: bool) -> Result<(), RefuseReason> {
        let differs = |name: &str| Err(RefuseReason::HelloMismatch(name.to_owned()));
        if peer.version != self.version {
            return differs(VERSION_FIELD);
        }
        if peer.client != peer_is_client {
            return Err(RefuseReason::BadHello);
        }
        let strict = !self.client && !peer.client;
        for ours in &self.fields {
            match peer.fields.iter().find(|theirs| theirs.name == ours.name) {
                Some(theirs) if theirs.digest != ours.digest => return differs(&ours.name),
                None if strict => return differs(&ours.name),
                _ => {}
            }
        }
        let lacks = |name: &str| self.fields.iter().all(|ours| ours.name != name);
        match peer
            .fields
            .iter()
            .find(|theirs| strict && lacks(&theirs.name))
        {
            Some(theirs) => differs(&theirs.name),
            None => Ok(()),
        }
    }

    /// The text that the close frame carries for a difference in `field`.
    pub(crate) fn difference(&self, field: &str, peer: &Hello) -> String {
        if field == VERSION_FIELD {
            format!(
                "hello: protocol version {}, peer has {}",
                self.version, peer.version
            )
        } else {
            format!("hello: {field} differs")
        }
    }

    /// The field that the other side's close text names. The text is the peer's, so only a name
    /// of the form that HELLO allows is taken from it.
    pub(crate) fn named_difference(text: &str) -> Option<String> {
        let rest = text.strip_prefix("hello: ")?;
        if rest.starts_with("protocol version ") {
            return Some(VERSION_FIELD.to_owned());
        }
        let name = rest.strip_suffix(" differs")?;
        (1..=HELLO_NAME_MAX)
            .contains(&name.len())
            .then(|| name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, digest: u8) -> HelloField {
        HelloField {
            name: name.to_owned(),
            digest: [digest; 32],
        }
    }

    fn replica(fields: &[HelloField]) -> Hello {
        Hello::new(Role::Replica { id: 0 }, fields)
    }

    #[test]
    fn a_hello_survives_its_encoding_and_names_are_sorted() {
        let hello = replica(&[field("window", 1), field("cluster", 2)]);
        assert_eq!(Hello::decode(&hello.encode()).unwrap(), hello);
        assert_eq!(hello.fields[0].name, "cluster");
    }

    #[test]
    fn no_other_byte_string_is_a_hello() {
        let good = replica(&[field("a", 1), field("b", 2)]).encode();
        for cut in 0..good.len() {
            assert!(Hello::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert!(Hello::decode(&longer).is_err());
        let swapped = Hello {
            client: false,
            version: PROTOCOL_VERSION,
            fields: vec![field("b", 2), field("a", 1)],
        };
        assert!(Hello::decode(&swapped.encode()).is_err());
        let mut role = good.clone();
        role[0] = 2;
        assert!(Hello::decode(&role).is_err());
        let mut count = good;
        count[3] = 33;
        assert!(Hello::decode(&count).is_err());
    }

    #[test]
    fn replicas_compare_all_names_and_clients_those_that_both_have() {
        let one = replica(&[field("a", 1), field("b", 2)]);
        let fewer = replica(&[field("a", 1)]);
        let missing = Err(RefuseReason::HelloMismatch("b".to_owned()));
        assert_eq!(one.compare(&fewer, false), missing);
        assert_eq!(fewer.compare(&one, false), missing);
        let client = Hello::new(Role::Client, &[field("a", 1)]);
        assert_eq!(one.compare(&client, true), Ok(()));
        assert_eq!(client.compare(&one, false), Ok(()));
        let other = Hello::new(Role::Client, &[field("a", 9)]);
        let differs = Err(RefuseReason::HelloMismatch("a".to_owned()));
        assert_eq!(one.compare(&other, true), differs);
        assert_eq!(one.compare(&client, false), Err(RefuseReason::BadHello));
    }

    #[test]
    fn the_version_is_compared_before_anything_else() {
        let ours = replica(&[field("a", 1)]);
        let theirs = Hello::decode(&[0, 2, 0, 77, 1]).unwrap();
        assert_eq!(
            ours.compare(&theirs, false),
            Err(RefuseReason::HelloMismatch("protocolVersion".to_owned()))
        );
        let text = ours.difference("protocolVersion", &theirs);
        assert_eq!(text, "hello: protocol version 1, peer has 2");
        assert_eq!(Hello::named_difference(&text).unwrap(), "protocolVersion");
        assert_eq!(Hello::named_difference("hello: a differs").unwrap(), "a");
        assert_eq!(Hello::named_difference("hello:  differs"), None);
        assert_eq!(Hello::named_difference("goodbye"), None);
    }
}
