//! The configuration object, checked once.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use byzantine_crypto::{Domain, PublicKey, SecretKey};
use byzantine_journal::{Disk, Identity};
use byzantine_transport::{ClientPolicy, Config, HelloField, Limits, Member, Role, TransportError};
use napi::bindgen_prelude::{Error, Result, Uint8Array};
use napi_derive::napi;

use super::{exact, failure};
use crate::engine::{EngineConfig, EngineLimits};
use crate::journal::DataDirectory;
use crate::reactor::StartError;
use crate::vote_table::Quorums;
use crate::wire::REPLICAS_MAX;

/// A replica as it is reached.
#[napi(object)]
pub struct NativeMember {
    /// Raw Ed25519 public key, 32 bytes.
    pub key: Uint8Array,
    /// `host:port`; empty: not known yet.
    pub address: String,
}

/// A named digest that both sides of a connection compare.
#[napi(object)]
pub struct NativeHelloField {
    /// 1 to 32 bytes.
    pub name: String,
    /// 32 bytes.
    pub digest: Uint8Array,
}

/// Bounds of the cluster's configuration.
#[napi(object)]
pub struct NativeLimits {
    /// Bytes of an operation.
    pub operation_bytes_max: u32,
    /// Bundles of a batch.
    pub batch_bundles_max: u32,
    /// Bytes of a batch.
    pub batch_bytes_max: u32,
}

/// What a reactor or a transport is made from.
#[napi(object)]
pub struct NativeConfig {
    /// 32 bytes.
    pub cluster_id: Uint8Array,
    /// Configuration epoch.
    pub epoch: f64,
    /// f.
    pub max_faults: u32,
    /// In order of replica ids.
    pub members: Vec<NativeMember>,
    /// This replica; absent: a client.
    pub me: Option<u32>,
    /// PKCS#8 PEM.
    pub secret_key_pem: String,
    /// Address to listen at; absent: not listening.
    pub listen_host: Option<String>,
    /// Port to listen at, 0 for any.
    pub listen_port: Option<u32>,
    /// Admitted client keys; absent: any.
    pub clients: Option<Vec<Uint8Array>>,
    /// What HELLO compares.
    pub hello: Vec<NativeHelloField>,
    /// Bounds.
    pub limits: NativeLimits,
    /// Largest UDP payload, 1,200 … 6,500; absent: 1,452.
    pub mtu: Option<u32>,
    /// Where a replica keeps its journal, a directory that `init` has made; absent: nowhere.
    pub data_dir: Option<String>,
}

/// Bytes of a batch that one output of a turn holds with its bodies.
const BATCH_BYTES_CEILING: u32 = 4 << 20;

impl NativeConfig {
    /// For the endpoint.
    pub fn transport(&self) -> Result<Config> {
        let members = self.members.iter().enumerate().map(|(id, member)| {
            let key = exact(&format!("members[{id}].key"), &member.key)?;
            Ok(Member {
                id: id as u8,
                key,
                address: member.address.clone(),
            })
        });
        let hello = self.hello.iter().map(|field| {
            Ok(HelloField {
                name: field.name.clone(),
                digest: exact("hello.digest", &field.digest)?,
            })
        });
        let mut limits = Limits::default();
        if let Some(mtu) = self.mtu {
            limits.mtu_max = u16::try_from(mtu).map_err(|_| invalid("mtu", "1200 to 6500"))?;
        }
        if self.me.is_none() && self.data_dir.is_some() {
            return Err(invalid("dataDir", "a replica's, nothing for a client"));
        }
        if self.members.is_empty() || self.members.len() > REPLICAS_MAX {
            return Err(invalid("members", "1 to 31 replicas"));
        }
        Ok(Config {
            identity: self.secret()?,
            role: match self.me {
                None => Role::Client,
                Some(_) => Role::Replica {
                    id: self.replica()?,
                },
            },
            listen: self.listen()?,
            members: members.collect::<Result<_>>()?,
            clients: match &self.clients {
                None => ClientPolicy::Any,
                Some(keys) => ClientPolicy::Listed(
                    keys.iter()
                        .map(|key| exact("clients[]", key))
                        .collect::<Result<_>>()?,
                ),
            },
            hello: hello.collect::<Result<_>>()?,
            limits,
        })
    }

    /// For a replica's engine.
    pub fn engine(&self) -> Result<EngineConfig> {
        let n = self.members.len() as u8;
        let f = u8::try_from(self.max_faults)
            .ok()
            .filter(|f| u32::from(*f) * 3 < u32::from(n));
        let f = f.ok_or_else(|| {
            invalid(
                "maxFaults",
                "at most a third of the members less one, rounded down",
            )
        })?;
        if self.limits.batch_bytes_max > BATCH_BYTES_CEILING {
            return Err(invalid("limits.batchBytesMax", "at most 4 MiB"));
        }
        let keys = self.members.iter().enumerate().map(|(id, member)| {
            PublicKey::from_bytes(&member.key)
                .map_err(|error| failure("INVALID_KEY", format!("members[{id}].key: {error}")))
        });
        Ok(EngineConfig {
            quorums: Quorums {
                n,
                f,
                me: self.replica()?,
            },
            domain: self.domain()?,
            secret: self.secret()?,
            members: keys.collect::<Result<_>>()?,
            clients: match &self.clients {
                None => None,
                Some(keys) => Some(
                    keys.iter()
                        .map(|key| exact("clients[]", key))
                        .collect::<Result<_>>()?,
                ),
            },
            limits: EngineLimits {
                operation_bytes_max: self.limits.operation_bytes_max as usize,
                batch_bundles_max: self.limits.batch_bundles_max as usize,
            },
        })
    }

    /// Where the journal is, if there is one.
    pub fn directory(&self) -> Result<Option<DataDirectory>> {
        let Some(path) = &self.data_dir else {
            return Ok(None);
        };
        let identity = Identity {
            cluster: exact("clusterId", &self.cluster_id)?,
            epoch: super::counter("epoch", self.epoch)?,
            replica: *self.secret()?.public().as_bytes(),
        };
        Ok(Some(DataDirectory {
            path: path.into(),
            identity,
            storage: Arc::new(Disk),
        }))
    }

    fn domain(&self) -> Result<Domain> {
        Ok(Domain::new(
            exact("clusterId", &self.cluster_id)?,
            super::counter("epoch", self.epoch)?,
        ))
    }

    fn replica(&self) -> Result<u8> {
        let count = self.members.len();
        let me = self.me.filter(|me| (*me as usize) < count);
        me.map(|me| me as u8)
            .ok_or_else(|| invalid("me", "the place of this replica among the members"))
    }

    fn secret(&self) -> Result<SecretKey> {
        SecretKey::from_pkcs8_pem(&self.secret_key_pem)
            .map_err(|error| failure("INVALID_KEY", error))
    }

    fn listen(&self) -> Result<Option<SocketAddr>> {
        let Some(host) = &self.listen_host else {
            return Ok(None);
        };
        let port = self.listen_port.and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or_else(|| invalid("listenPort", "0 to 65535"))?;
        let mut found = (host.as_str(), port)
            .to_socket_addrs()
            .map_err(|error| failure("LISTEN_FAILED", format!("{host}: {error}")))?;
        match found.next() {
            Some(address) => Ok(Some(address)),
            None => Err(failure("LISTEN_FAILED", format!("{host} has no address"))),
        }
    }
}

fn invalid(field: &str, accepted: &str) -> Error {
    failure("INVALID_CONFIG", format!("{field}: accepted is {accepted}"))
}

/// What a failed bind is to the caller.
pub fn transport_failure(error: &TransportError) -> Error {
    match error {
        TransportError::Config { field, problem } => {
            failure("INVALID_CONFIG", format!("{field}: {problem}"))
        }
        TransportError::Socket(error) => failure("LISTEN_FAILED", error),
        TransportError::Tls(problem) => failure("INVALID_KEY", problem),
        TransportError::NoRuntime => failure("NATIVE_BINDING", error),
    }
}

/// What a failed start is to the caller.
pub fn start_failure(error: &StartError) -> Error {
    match error {
        StartError::Directory(error) => failure("DATA_DIR", format!("{}: {error}", error.name())),
        StartError::Runtime(error) => failure("NATIVE_BINDING", error),
        StartError::Transport(error) => transport_failure(error),
    }
}
