//! Engines that hold what records name.

use super::builders::*;
use super::*;
use crate::durable::DurableRecord;
use crate::messages::view_change_digest;

/// An engine and what it sent.
pub(super) struct Scene {
    pub engine: Engine,
    pub links: Recorded,
}

impl Scene {
    pub fn persist(&mut self, lsn: u64, record: DurableRecord<'_>) {
        self.try_persist(lsn, record).expect("recorded");
    }

    pub fn try_persist(&mut self, lsn: u64, record: DurableRecord<'_>) -> Result<(), Fault> {
        let action = Action::Persist { lsn, record };
        self.engine.apply(action, &self.links)
    }

    /// What `from` is sent for a fetch.
    pub fn fetched(&mut self, from: u8, kind: FetchKind, digest: &Digest) -> (u8, Vec<u8>) {
        let ask = [&[kind as u8], digest.as_slice()].concat();
        peer(&mut self.engine, &self.links, from, FETCH, ask);
        let mut sent = self.links.take();
        let (to, message_type, payload) = sent.pop().expect("an answer");
        assert_eq!((to, sent), (Source::Peer(from), vec![]));
        (message_type, payload)
    }

    pub fn window(&mut self, low: u64, view: u64) {
        let action = Action::Window {
            low,
            high: low + 100,
            view,
            pending: None,
        };
        apply(&mut self.engine, &self.links, action);
    }
}

/// A batch that is prepared at sequence 5 of view 0.
pub(super) struct PreparedBatch {
    pub name: Name,
    pub digests: [Digest; 1],
    pub bundle: Bytes,
}

pub(super) const SIGNERS: u32 = 0b0111;

impl PreparedBatch {
    pub fn new() -> Self {
        let bundle = bundle(&client_key(), 4, b"add 1");
        let digests = [byzantine_crypto::bundle_digest(&bundle)];
        let name = pre_prepare(0, 0, 5, &digests).0;
        Self {
            name,
            digests,
            bundle,
        }
    }

    pub fn batch(&self) -> Batch<'_> {
        Batch {
            time_ms: 7,
            bundles: &self.digests,
        }
    }

    pub fn record(&self) -> DurableRecord<'_> {
        DurableRecord::Prepared {
            name: self.name,
            signers: SIGNERS,
            batch: self.batch(),
        }
    }

    pub fn decided(&self) -> DurableRecord<'_> {
        DurableRecord::Decided {
            sequence: 5,
            digest: self.name.digest,
            batch: self.batch(),
        }
    }

    /// The certificate's signatures.
    pub fn signatures(&self) -> Vec<Signature> {
        let votes = [(0, PRE_PREPARE), (1, PREPARE), (2, PREPARE)];
        votes
            .map(|(by, message_type)| signature(by, message_type, &self.name))
            .to_vec()
    }

    /// Replica 1 holds it: proposal, another's vote, and the bundle, which was delivered.
    pub fn scene(&self) -> Scene {
        let (mut engine, links) = (engine(1), Recorded::default());
        engine.keep_journal(0);
        client(&mut engine, &links, self.bundle.clone());
        let proposal = pre_prepare(0, 0, 5, &self.digests).1;
        peer(&mut engine, &links, 0, PRE_PREPARE, proposal);
        peer(&mut engine, &links, 2, PREPARE, prepare(2, &self.name));
        records(&mut engine, &links);
        Scene { engine, links }
    }
}

/// View 1 begins with the VIEW-CHANGEs of replicas 1, 2 and 3.
pub(super) struct NextView {
    pub view_changes: [Bytes; 3],
    pub payload: Bytes,
}

impl NextView {
    pub fn new() -> Self {
        let view_changes = [1, 2, 3].map(|by| ViewChangeOf { by, ..SOUND }.payload());
        let mut writer = Writer::default();
        writer.u53(1).u8(3);
        for (from, message) in (1..).zip(&view_changes) {
            writer.u8(from).raw(&view_change_digest(message));
        }
        let name = Self::proposal();
        let signature = signature(1, PRE_PREPARE, &name);
        writer.u53(5).u16(1).raw(&name.digest).raw(&signature);
        Self {
            view_changes,
            payload: sign(writer, &key(1), NEW_VIEW),
        }
    }

    pub fn proposal() -> Name {
        Name {
            view: 1,
            sequence: 5,
            digest: [5; 32],
        }
    }

    pub fn digests(&self) -> [Digest; 3] {
        [0, 1, 2].map(|place: usize| view_change_digest(&self.view_changes[place]))
    }

    pub fn unsigned(&self) -> &[u8] {
        &self.payload[..self.payload.len() - 64]
    }

    /// Ours, where we are its primary; another's is kept already.
    pub fn record(&self, me: u8) -> DurableRecord<'_> {
        DurableRecord::ViewEntered {
            view: 1,
            new_view: if me == 1 { self.unsigned() } else { &[] },
        }
    }

    /// Replica `me` has sealed its own VIEW-CHANGE, and got the others and the NEW-VIEW.
    pub fn scene(&self, me: u8) -> Scene {
        let (mut engine, links) = (engine(me), Recorded::default());
        engine.keep_journal(0);
        for (by, message) in (1..).zip(&self.view_changes) {
            if by == me {
                let unsigned = &message[..message.len() - 64];
                apply(&mut engine, &links, Action::Seal(unsigned));
            } else {
                peer(&mut engine, &links, by, VIEW_CHANGE, message.clone());
            }
        }
        if me != 1 {
            peer(&mut engine, &links, 1, NEW_VIEW, self.payload.clone());
        }
        records(&mut engine, &links);
        Scene { engine, links }
    }
}

/// The certificate of checkpoint 4.
pub(super) fn stable_record(signers: u32) -> DurableRecord<'static> {
    DurableRecord::Stable {
        sequence: 4,
        digest: checkpoint_digest(),
        signers,
    }
}

pub(super) fn checkpoint_digest() -> Digest {
    *checkpoint_bytes(4).last_chunk().expect("a digest")
}

pub(super) fn checkpoint_signatures() -> Vec<Signature> {
    let signed = checkpoint_bytes(4);
    (0..3)
        .map(|by| key(by).sign(&[&domain().prefix(CHECKPOINT), &signed]))
        .collect()
}

/// Replica 1 holds the CHECKPOINTs of replicas 0 and 2.
pub(super) fn stable_scene() -> Scene {
    let (mut engine, links) = (engine(1), Recorded::default());
    engine.keep_journal(0);
    let signed = checkpoint_bytes(4);
    for (from, signature) in (0..).zip(checkpoint_signatures()) {
        if from != 1 {
            let payload = [&signed[..], &signature].concat();
            peer(&mut engine, &links, from, CHECKPOINT, payload);
        }
    }
    records(&mut engine, &links);
    Scene { engine, links }
}
