//! Messages of view changes, signed.

use super::*;
use crate::messages::view_change_digest;

/// A VIEW_CHANGE payload: sequences with the replicas that sign their certificates in view 0.
pub(super) struct ViewChangeOf<'a> {
    pub by: u8,
    pub target: u64,
    pub stable: Option<(u64, u32)>,
    pub prepared: &'a [(u64, u32)],
    /// Replica whose votes are signed by somebody else.
    pub forged: Option<u8>,
}

impl ViewChangeOf<'_> {
    pub fn unsigned(&self) -> Writer {
        let mut writer = Writer::default();
        writer.u53(self.target);
        match self.stable {
            None => writer.u53(0),
            Some((sequence, signers)) => {
                let name = checkpoint_bytes(sequence);
                writer.raw(&name).u32(signers);
                self.votes(
                    &mut writer,
                    signers,
                    |by, signer| key(signer).sign(&[&domain().prefix(by), &name]),
                    |_| CHECKPOINT,
                );
                &mut writer
            }
        };
        writer.u16(self.prepared.len() as u16);
        for (sequence, signers) in self.prepared {
            let name = prepared_name(*sequence);
            writer.raw(&name.signed_bytes()).u32(*signers);
            self.votes(
                &mut writer,
                *signers,
                |message_type, signer| signature(signer, message_type, &name),
                |signer| if signer == 0 { PRE_PREPARE } else { PREPARE },
            );
        }
        writer
    }

    fn votes(
        &self,
        writer: &mut Writer,
        signers: u32,
        sign: impl Fn(u8, u8) -> Signature,
        message_type: impl Fn(u8) -> u8,
    ) {
        for signer in (0..4).filter(|signer| signers >> signer & 1 == 1) {
            let by = if self.forged == Some(signer) {
                (signer + 1) % 4
            } else {
                signer
            };
            writer.raw(&sign(message_type(signer), by));
        }
    }

    pub fn payload(&self) -> Bytes {
        sign(self.unsigned(), &key(self.by), VIEW_CHANGE)
    }
}

/// Sequence and digest of a checkpoint.
pub(super) fn checkpoint_bytes(sequence: u64) -> [u8; 40] {
    let mut bytes = [0xcc; 40];
    bytes[..8].copy_from_slice(&sequence.to_le_bytes());
    bytes
}

/// What is prepared at a sequence in view 0.
pub(super) fn prepared_name(sequence: u64) -> Name {
    Name {
        view: 0,
        sequence,
        digest: [sequence as u8; 32],
    }
}

pub(super) fn control(
    from: u8,
    message_type: u8,
    digest: &Digest,
    payload: &[u8],
) -> (u8, Vec<u8>) {
    let body = &payload[..payload.len() - 64];
    let record = [&[from, message_type], digest.as_slice(), body].concat();
    (InputKind::Control as u8, record)
}

/// By replica 2 for view 1: two prepared certificates above a stable one.
pub(super) const SOUND: ViewChangeOf<'static> = ViewChangeOf {
    by: 2,
    target: 1,
    stable: Some((4, 0b0111)),
    prepared: &[(5, 0b0111), (7, 0b1101)],
    forged: None,
};
/// Its own signature, and three under each of its three certificates.
pub(super) const SIGNATURES: u64 = 10;

pub(super) fn handed_up(payload: &Bytes) -> (u8, Vec<u8>) {
    control(2, VIEW_CHANGE, &view_change_digest(payload), payload)
}

pub(super) fn forget(engine: &mut Engine, links: &Recorded, digest: Digest) {
    let kind = FetchKind::ViewChange;
    let digests = [digest];
    apply(
        engine,
        links,
        Action::Forget {
            kind,
            digests: &digests,
        },
    );
}

pub(super) fn fetch(engine: &mut Engine, links: &Recorded, digest: Digest) {
    let kind = FetchKind::ViewChange;
    apply(
        engine,
        links,
        Action::Fetch {
            from: 0b1101,
            kind,
            digest,
        },
    );
    links.take();
}

pub(super) fn ask(digest: &Digest) -> Vec<u8> {
    [&[FetchKind::ViewChange as u8], digest.as_slice()].concat()
}

pub(super) fn fetched(signer: u8, payload: &Bytes) -> Vec<u8> {
    [&[signer], &payload[..]].concat()
}
