//! The reactor of a replica's worker thread.

use std::time::Duration;

use napi::bindgen_prelude::{Float64Array, Result, Uint8Array, Uint8ArraySlice};
use napi_derive::napi;

use super::config::{NativeConfig, start_failure};
use super::statistics::{NativeStatistics, of_reactor};
use super::{counter, exact, exclusive, failure};
use crate::engine::Fault;
use crate::journal::ReplicaJournal;
use crate::reactor::{OUTPUT_BYTES_MIN, Reactor};
use crate::wire::{Name, Signature, types};

/// Longest shutdown that is waited for.
const SHUTDOWN_MAX_MS: u32 = 60_000;

/// One per replica, in the worker thread that runs its core.
#[napi]
pub struct NativeReactor {
    reactor: Option<Reactor>,
    wake_handle: u32,
    local_port: u16,
    /// Objects that were made for JavaScript; a turn makes none.
    objects: u64,
}

#[napi]
impl NativeReactor {
    /// Opens the data directory, where there is one, then binds the endpoint; nothing moves before the
    /// first turn. Blocks for as long as it takes to read the journal. A directory that is not used is
    /// `DATA_DIR: name: text` with `inUse`, `wiped`, `foreign`, `unsupportedVersion`, `corrupt` or
    /// `disk`.
    #[napi(constructor, catch_unwind)]
    pub fn new(config: NativeConfig) -> Result<Self> {
        if config.listen_host.is_none() {
            return Err(failure("INVALID_CONFIG", "listenHost: a replica listens"));
        }
        let reactor = Reactor::start(config.transport()?, config.engine()?, config.directory()?)
            .map_err(|error| start_failure(&error))?;
        let (wake_handle, local_port) = (
            reactor.wake_handle(),
            reactor.endpoint().local_address().port(),
        );
        Ok(Self {
            reactor: Some(reactor),
            wake_handle,
            local_port,
            objects: 0,
        })
    }

    /// One turn (WIRE.md §7): `length` bytes of `actions`; returns how many bytes `output` holds.
    /// The two must not share memory.
    #[napi(catch_unwind)]
    pub fn turn(
        &mut self,
        actions: &[u8],
        length: u32,
        mut output: Uint8ArraySlice<'_>,
        wait_ms: f64,
    ) -> Result<u32> {
        let output = exclusive(&mut output, actions)?;
        let actions = actions
            .get(..length as usize)
            .ok_or_else(|| failure("INVALID_ARGUMENT", "length is more than the actions hold"))?;
        if output.len() < OUTPUT_BYTES_MIN {
            return Err(failure(
                "INVALID_ARGUMENT",
                format!("output holds less than {OUTPUT_BYTES_MIN} bytes"),
            ));
        }
        // Not a number and negative times poll; the reactor caps long ones.
        let wait = Duration::try_from_secs_f64(wait_ms.max(0.0) / 1000.0).unwrap_or(Duration::MAX);
        let written = self.open()?.turn(actions, output, wait);
        written
            .map(|bytes| bytes as u32)
            .map_err(|fault| failure("INVALID_ARGUMENT", fault))
    }

    /// The number for `wakeReactor`.
    #[napi(getter)]
    pub fn wake_handle(&self) -> u32 {
        self.wake_handle
    }

    /// The UDP port.
    #[napi(getter)]
    pub fn local_port(&self) -> u16 {
        self.local_port
    }

    /// Where a replica is reached from now on.
    #[napi(catch_unwind)]
    pub fn set_member_address(&mut self, replica: u32, address: String) -> Result<()> {
        let replica =
            u8::try_from(replica).map_err(|_| failure("INVALID_ARGUMENT", "no such replica"))?;
        self.open()?.endpoint().set_member_address(replica, address);
        Ok(())
    }

    /// Smoothed round trip time to each replica in milliseconds; NaN where there is none.
    #[napi(catch_unwind)]
    pub fn round_trips(&mut self) -> Result<Float64Array> {
        self.objects += 1;
        let reactor = self.open()?;
        let mut milliseconds = vec![f64::NAN; usize::from(reactor.engine().votes().quorums().n)];
        for peer in reactor.statistics().peers {
            if let (Some(place), Some(rtt)) =
                (milliseconds.get_mut(usize::from(peer.peer)), peer.rtt)
            {
                *place = rtt.as_secs_f64() * 1000.0;
            }
        }
        Ok(milliseconds.into())
    }

    /// Signatures of `signers` under a prepared certificate, 64 bytes each by replica ascending, or
    /// fewer bytes where one of them is not held. Ours is made where it is missing.
    #[napi(catch_unwind)]
    pub fn prepared_certificate(
        &mut self,
        view: f64,
        sequence: f64,
        digest: &[u8],
        signers: u32,
    ) -> Result<Uint8Array> {
        let name = Name {
            view: counter("view", view)?,
            sequence: counter("sequence", sequence)?,
            digest: exact("digest", digest)?,
        };
        let engine = self.open()?.engine_mut();
        let signatures = engine.prepared_certificate(&name, signers);
        self.packed(signatures)
    }

    /// The same for a stable checkpoint.
    #[napi(catch_unwind)]
    pub fn stable_certificate(
        &mut self,
        sequence: f64,
        digest: &[u8],
        signers: u32,
    ) -> Result<Uint8Array> {
        let (sequence, digest) = (counter("sequence", sequence)?, exact("digest", digest)?);
        let engine = self.open()?.engine_mut();
        let signatures = engine.stable_certificate(sequence, &digest, signers);
        self.packed(signatures)
    }

    /// Our PRE-PREPARE signature under (view, sequence, digest), 64 bytes; it is filed as sent.
    #[napi(catch_unwind)]
    pub fn proposal_signature(
        &mut self,
        view: f64,
        sequence: f64,
        digest: &[u8],
    ) -> Result<Uint8Array> {
        let name = Name {
            view: counter("view", view)?,
            sequence: counter("sequence", sequence)?,
            digest: exact("digest", digest)?,
        };
        let signature = self
            .open()?
            .engine_mut()
            .sign_name(types::PRE_PREPARE, &name);
        self.objects += 1;
        signature
            .map(|bytes| bytes.to_vec().into())
            .map_err(|fault| failure("INVALID_ARGUMENT", fault))
    }

    /// The two messages that a CONFLICT names, records `u8 type | u32 length | signed payload |
    /// signature`; empty where they are not held.
    #[napi(catch_unwind)]
    pub fn evidence(&mut self, digest: &[u8]) -> Result<Uint8Array> {
        let digest = exact("digest", digest)?;
        let evidence = self
            .open()?
            .engine()
            .votes()
            .evidence(&digest)
            .unwrap_or_default()
            .to_vec();
        self.objects += 1;
        Ok(evidence.into())
    }

    /// What the core restarts from (WIRE.md §7): once, and empty without a data directory.
    #[napi(catch_unwind)]
    pub fn recovery(&mut self) -> Result<Uint8Array> {
        self.objects += 1;
        Ok(self.open()?.take_recovery().into())
    }

    /// Makes all records durable and marks the end of this process as one in order, within so many
    /// milliseconds; no record may follow. Does nothing without a data directory. What fails is
    /// `DATA_DIR: disk: text`, and the next start counts as one after a crash.
    #[napi(catch_unwind)]
    pub fn clean_stop(&mut self, within_ms: u32) -> Result<()> {
        let within = Duration::from_millis(u64::from(within_ms.min(SHUTDOWN_MAX_MS)));
        let stopped = self.open()?.clean_stop(within);
        stopped.map_err(|error| failure("DATA_DIR", format!("disk: {error}")))
    }

    /// For how many milliseconds the write at hand has been running; 0 while the disk is idle.
    #[napi(catch_unwind)]
    pub fn writing_for_ms(&mut self) -> Result<f64> {
        let writing = self.open()?.journal().and_then(ReplicaJournal::writing_for);
        Ok(writing.map_or(0.0, |writing| writing.as_secs_f64() * 1000.0))
    }

    /// All counters.
    #[napi(catch_unwind)]
    pub fn statistics(&mut self) -> Result<NativeStatistics> {
        self.objects += 1;
        let objects = self.objects;
        Ok(of_reactor(self.open()?, objects))
    }

    /// Closes all connections and waits for that at most `within_ms`, and for the data directory to be
    /// free; later calls do nothing. Without `clean_stop` before, records that are not durable are
    /// lost, as in a crash.
    #[napi(catch_unwind)]
    pub fn shutdown(&mut self, within_ms: u32) {
        if let Some(reactor) = self.reactor.take() {
            reactor.shutdown(Duration::from_millis(u64::from(
                within_ms.min(SHUTDOWN_MAX_MS),
            )));
        }
    }
}

impl NativeReactor {
    fn open(&mut self) -> Result<&mut Reactor> {
        self.reactor
            .as_mut()
            .ok_or_else(|| failure("CLOSED", "the reactor was shut down"))
    }

    fn packed(
        &mut self,
        signatures: std::result::Result<Vec<Signature>, Fault>,
    ) -> Result<Uint8Array> {
        self.objects += 1;
        signatures
            .map(|signatures| signatures.concat().into())
            .map_err(|fault| failure("INVALID_ARGUMENT", fault))
    }
}

/// Wakes the turn of the reactor with this handle, from any thread; unknown handles are ignored.
#[napi(catch_unwind)]
pub fn wake_reactor(handle: u32) {
    crate::wakers::wake(handle);
}

/// Bytes that the output of a turn must hold.
#[napi(catch_unwind)]
pub fn output_bytes_min() -> u32 {
    OUTPUT_BYTES_MIN as u32
}
