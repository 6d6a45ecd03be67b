//! Configuration of an endpoint, checked once when it is bound.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use byzantine_crypto::{PublicKey, SecretKey};

use crate::hello::{HELLO_FIELDS_MAX, HELLO_NAME_MAX};
use crate::limits::Limits;

/// Everything an endpoint is told at its birth.
pub struct Config {
    /// The Ed25519 key that this endpoint proves in every handshake.
    pub identity: SecretKey,
    /// Replica or client.
    pub role: Role,
    /// Where to listen, replicas only (`None`: port 0 of all IPv4 addresses). A client binds
    /// port 0 and accepts nothing; for it the address only chooses the interface or family.
    pub listen: Option<SocketAddr>,
    /// All members in any order, a replica's own entry included.
    pub members: Vec<Member>,
    /// Which clients a replica admits; a client ignores it.
    pub clients: ClientPolicy,
    /// What HELLO compares, in any order: names are unique, 1–32 bytes, at most 32 of them.
    pub hello: Vec<HelloField>,
    /// Bounds and times.
    pub limits: Limits,
}

/// What an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The member of this id: listens, dials every other member.
    Replica {
        /// Its id in `Config::members`.
        id: u8,
    },
    /// A client: dials every member.
    Client,
}

/// A replica of the cluster.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its id.
    pub id: u8,
    /// Its raw Ed25519 public key.
    pub key: [u8; 32],
    /// `host:port` under which it is reached; host names are resolved at every dial. Empty: not
    /// known yet (see [`crate::Endpoint::set_member_address`]).
    pub address: String,
}

/// Whose client connections a replica admits. Members' keys are always admitted.
#[derive(Clone, Debug)]
pub enum ClientPolicy {
    /// These keys.
    Listed(HashSet<[u8; 32]>),
    /// Every strong key, within the quotas of [`Limits`].
    Any,
}

/// One named digest of HELLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloField {
    /// What it is the digest of; shown when it differs.
    pub name: String,
    /// 32 bytes that both sides must agree on.
    pub digest: [u8; 32],
}

/// An endpoint could not be bound.
#[derive(Debug)]
pub enum TransportError {
    /// A field of the configuration is out of its range.
    Config {
        /// Which field.
        field: String,
        /// What is wrong and what is accepted.
        problem: String,
    },
    /// The operating system refused the socket.
    Socket(io::Error),
    /// TLS could not be set up with this identity.
    Tls(String),
    /// Not called within a tokio runtime.
    NoRuntime,
}

impl TransportError {
    pub(crate) fn config(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Config {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { field, problem } => write!(f, "{field}: {problem}"),
            Self::Socket(error) => write!(f, "socket: {error}"),
            Self::Tls(problem) => write!(f, "TLS: {problem}"),
            Self::NoRuntime => f.write_str("an endpoint must be bound within a tokio runtime"),
        }
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Socket(error) => Some(error),
            _ => None,
        }
    }
}

impl Config {
    /// Checks every field; the first that is wrong is named.
    pub(crate) fn check(&self) -> Result<(), TransportError> {
        self.limits.check()?;
        self.check_members()?;
        self.check_hello()
    }

    fn check_members(&self) -> Result<(), TransportError> {
        let mut ids = HashSet::new();
        let mut keys = HashSet::new();
        for member in &self.members {
            let field = format!("members[{}]", member.id);
            if !ids.insert(member.id) {
                return Err(TransportError::config(field, "its id is given twice"));
            }
            if !keys.insert(member.key) {
                return Err(TransportError::config(field, "its key is another member's"));
            }
            if let Err(error) = PublicKey::from_bytes(&member.key) {
                return Err(TransportError::config(
                    format!("{field}.key"),
                    error.to_string(),
                ));
            }
        }
        if let Role::Replica { id } = self.role {
            let own = self.members.iter().find(|member| member.id == id);
            if own.is_none_or(|member| &member.key != self.identity.public().as_bytes()) {
                return Err(TransportError::config(
                    "identity",
                    format!("must be the key of member {id}"),
                ));
            }
        }
        Ok(())
    }

    fn check_hello(&self) -> Result<(), TransportError> {
        if self.hello.len() > HELLO_FIELDS_MAX {
            return Err(TransportError::config("hello", "at most 32 fields"));
        }
        let mut names = HashSet::new();
        for field in &self.hello {
            if field.name.is_empty() || field.name.len() > HELLO_NAME_MAX {
                return Err(TransportError::config("hello", "names have 1 to 32 bytes"));
            }
            if !names.insert(&field.name) {
                return Err(TransportError::config("hello", "names are unique"));
            }
        }
        Ok(())
    }
}
