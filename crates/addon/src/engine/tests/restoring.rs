//! A replica that persists in one life and goes on in the next, through a journal on a real disk.

use std::sync::{Arc, mpsc};

use byzantine_journal::{Identity, Origin};

use super::builders::*;
use super::scenes::*;
use super::*;
use crate::durable::DurableRecord;
use crate::journal::ReplicaJournal;
use crate::journal::testing::TemporaryDirectory;
use crate::messages::{new_view_name, view_change_digest};

/// Longest wait for a disk: what takes longer counts as not happening.
const DISK_MAX: Duration = Duration::from_secs(30);

fn identity(me: u8) -> Identity {
    Identity {
        cluster: [9; 32],
        epoch: 1,
        replica: *key(me).public().as_bytes(),
    }
}

/// A replica's next life: its engine, and what it recovers.
fn restarted(directory: &TemporaryDirectory, me: u8) -> (Scene, Vec<u8>) {
    let (mut engine, links) = (closed(me), Recorded::default());
    let opened = ReplicaJournal::open(directory.of(identity(me)), &mut engine, Arc::new(|| ()));
    let (journal, recovery) = opened.expect("a sound directory");
    journal.close().recv_timeout(DISK_MAX).expect("closed");
    (Scene { engine, links }, recovery)
}

/// Stores what `scene` recorded in its life, then begins the next one.
fn reborn(scene: Scene, me: u8, count: u64) -> (Scene, Vec<u8>) {
    let directory = TemporaryDirectory::new(&identity(me), Origin::Genesis);
    let Scene { mut engine, .. } = scene;
    let (wake, woken) = mpsc::channel();
    let waker = Arc::new(move || {
        // Nobody waits any more.
        let _ = wake.send(());
    });
    let opened = ReplicaJournal::open(directory.of(identity(me)), &mut closed(me), waker);
    let (mut journal, recovery) = opened.expect("a new directory");
    assert_eq!(recovery, [0; 14], "genesis, and nothing in it");
    journal.store(&mut engine).expect("dense");
    let persisted = (InputKind::Persisted as u8, count.to_le_bytes().to_vec());
    loop {
        journal.report(&mut engine);
        if records(&mut engine, &Recorded::default()).contains(&persisted) {
            break;
        }
        woken.recv_timeout(DISK_MAX).expect("durable in time");
    }
    journal.close().recv_timeout(DISK_MAX).expect("closed");
    restarted(&directory, me)
}

/// What `recovery` holds: records from 1 on, bundles, VIEW-CHANGEs.
fn recovery(
    records: &[DurableRecord<'_>],
    bundles: &[&Bytes],
    messages: &[(u8, &Bytes)],
) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.u8(1).u8(0).u32(records.len() as u32);
    for (lsn, record) in (1..).zip(records) {
        let mut body = Writer::default();
        record.write(&mut body);
        writer.u53(lsn).bytes(body.as_slice());
    }
    writer.u32(bundles.len() as u32);
    for bundle in bundles {
        let digest = byzantine_crypto::bundle_digest(bundle);
        writer.raw(&digest).raw(client_key().public().as_bytes());
        writer.u53(1).u53(4).u53(0).u16(1).u32(bundle.len() as u32);
    }
    writer.u32(messages.len() as u32);
    for (signer, payload) in messages {
        writer.u8(*signer).raw(&view_change_digest(payload));
        writer.bytes(&payload[..payload.len() - 64]);
    }
    writer.into_vec()
}

const PLAIN: [DurableRecord<'static>; 3] = [
    DurableRecord::Lease {
        view: 0,
        through: 100,
    },
    DurableRecord::Checkpoint {
        sequence: 2,
        digest: [1; 32],
        first: 1,
        batches: &[[2; 32], [3; 32]],
    },
    DurableRecord::CleanStop {
        view: 0,
        through: 9,
    },
];

#[test]
fn what_names_nothing_comes_back_as_it_was() {
    let mut scene = PreparedBatch::new().scene();
    for (lsn, record) in (1..).zip(PLAIN) {
        scene.persist(lsn, record);
    }
    let (_, recovered) = reborn(scene, 1, 3);
    assert_eq!(recovered, recovery(&PLAIN, &[], &[]));
}

#[test]
fn a_prepared_batch_comes_back_with_its_certificate_and_its_bodies() {
    let prepared = PreparedBatch::new();
    let mut scene = prepared.scene();
    scene.persist(1, prepared.record());
    scene.persist(2, prepared.decided());
    let (mut next, recovered) = reborn(scene, 1, 2);
    let expected = recovery(
        &[prepared.record(), prepared.decided()],
        &[&prepared.bundle],
        &[],
    );
    assert_eq!(recovered, expected, "each bundle once");
    let certificate = next.engine.prepared_certificate(&prepared.name, SIGNERS);
    assert_eq!(certificate, Ok(prepared.signatures()));
    assert_eq!(next.engine.work().signed, 0);

    let batch = next.fetched(3, FetchKind::Batch, &prepared.name.digest);
    let mut expected = Writer::default();
    prepared.batch().write(&mut expected);
    assert_eq!(batch, (FETCHED_BATCH, expected.into_vec()));
    let bundle = next.fetched(3, FetchKind::Bundle, &prepared.digests[0]);
    assert_eq!(bundle, (FETCHED_BUNDLE, prepared.bundle.to_vec()));

    open(&mut next.engine);
    let turn = records(&mut next.engine, &next.links);
    assert_eq!(turn, [], "the core knows the bundle");
    client(&mut next.engine, &next.links, prepared.bundle.clone());
    let turn = records(&mut next.engine, &next.links);
    assert_eq!((turn.len(), turn[0].1[0]), (1, AGAIN));
    apply(
        &mut next.engine,
        &next.links,
        Action::ReadBatch {
            sequence: 5,
            batch: prepared.batch(),
        },
    );
    assert_eq!(records(&mut next.engine, &next.links).len(), 1);
    apply(
        &mut next.engine,
        &next.links,
        Action::Release(&prepared.digests),
    );
    assert_eq!(next.engine.bodies().sizes(), (0, 0, 0));
}

#[test]
fn a_decided_batch_comes_back_without_a_certificate() {
    let prepared = PreparedBatch::new();
    let mut scene = prepared.scene();
    scene.persist(1, prepared.decided());
    let (mut next, recovered) = reborn(scene, 1, 1);
    assert_eq!(
        recovered,
        recovery(&[prepared.decided()], &[&prepared.bundle], &[])
    );
    assert_eq!(
        next.fetched(3, FetchKind::Batch, &prepared.name.digest).0,
        FETCHED_BATCH
    );
    assert_eq!(next.engine.votes().certificate(&prepared.name), []);
}

#[test]
fn a_certificate_of_the_view_that_goes_on_survives_later_votes_and_the_view() {
    let prepared = PreparedBatch::new();
    let mut scene = prepared.scene();
    scene.persist(1, prepared.record());
    let (mut next, _) = reborn(scene, 1, 1);
    open(&mut next.engine);
    let vote = prepare(3, &prepared.name);
    peer(&mut next.engine, &next.links, 3, PREPARE, vote);
    // One more than a certificate needs is not verified.
    let set = 0b0100u32;
    let mut votes = Writer::default();
    votes.u8(0).raw(&prepared.name.signed_bytes()).u32(set);
    let turn = records(&mut next.engine, &next.links);
    assert_eq!(turn, [(InputKind::Votes as u8, votes.into_vec())]);
    let other = Name {
        digest: [8; 32],
        ..prepared.name
    };
    let contradiction = next.engine.sign_name(PREPARE, &other);
    assert!(matches!(contradiction, Err(Fault::Contradiction { .. })));
    for view in [0, 0, 1, 9] {
        next.window(u64::from(view == 9), view);
        let certificate = next.engine.prepared_certificate(&prepared.name, SIGNERS);
        assert_eq!(certificate, Ok(prepared.signatures()), "in view {view}");
    }
    next.window(5, 9);
    assert_eq!(next.engine.votes().certificate(&prepared.name), []);
    assert_eq!(next.engine.work().signed, 0, "ours was made before");
}

#[test]
fn a_certificate_of_a_view_that_is_over_can_be_shown_in_later_ones() {
    let prepared = PreparedBatch::new();
    let mut scene = prepared.scene();
    scene.persist(1, prepared.record());
    let (mut next, _) = reborn(scene, 1, 1);
    for view in [7, 8] {
        next.window(0, view);
        let certificate = next.engine.prepared_certificate(&prepared.name, SIGNERS);
        assert_eq!(certificate, Ok(prepared.signatures()));
    }
    assert_eq!(next.engine.votes().slots(), 0);
}

#[test]
fn the_stable_certificate_comes_back_and_lasts() {
    let mut scene = stable_scene();
    scene.persist(1, stable_record(0b0111));
    let (mut next, recovered) = reborn(scene, 1, 1);
    assert_eq!(recovered, recovery(&[stable_record(0b0111)], &[], &[]));
    open(&mut next.engine);
    next.engine.actions_are_done();
    let certificate = next
        .engine
        .stable_certificate(4, &checkpoint_digest(), 0b0111);
    assert_eq!(certificate, Ok(checkpoint_signatures()));
    assert_eq!(next.engine.work().signed, 0, "ours was made before");
}

#[test]
fn our_view_change_and_new_view_are_answered_and_sent_again_byte_for_byte() {
    let next_view = NextView::new();
    let mut scene = next_view.scene(1);
    let digests = next_view.digests();
    let left = DurableRecord::ViewLeft {
        target: 1,
        cause: 3,
        message: digests[0],
    };
    scene.persist(1, left);
    scene.persist(2, next_view.record(1));
    let (mut next, recovered) = reborn(scene, 1, 2);
    let messages = &next_view.view_changes;
    let named = [(1, &messages[0]), (2, &messages[1]), (3, &messages[2])];
    let expected = recovery(&[left, next_view.record(1)], &[], &named);
    assert_eq!(recovered, expected, "each VIEW-CHANGE once");

    for ((signer, payload), digest) in named.into_iter().zip(&digests) {
        let answer = next.fetched(2, FetchKind::ViewChange, digest);
        assert_eq!(answer, (FETCHED_VIEW_CHANGE, fetched(signer, payload)));
    }
    let answer = next.fetched(2, FetchKind::NewView, &new_view_name(1));
    assert_eq!(answer, (FETCHED_NEW_VIEW, next_view.payload.to_vec()));
    for (digest, message_type, payload) in [
        (digests[0], VIEW_CHANGE, &messages[0]),
        (new_view_name(1), NEW_VIEW, &next_view.payload),
    ] {
        let send = Action::SendKept { to: 0b0001, digest };
        apply(&mut next.engine, &next.links, send);
        let sent = (Source::Peer(0), message_type, payload.to_vec());
        assert_eq!(next.links.take(), [sent]);
    }

    let other = ViewChangeOf {
        by: 1,
        prepared: &[],
        ..SOUND
    };
    let unsigned = other.unsigned();
    let seal = Action::Seal(unsigned.as_slice());
    let contradiction = next.engine.apply(seal, &next.links);
    assert!(matches!(contradiction, Err(Fault::Contradiction { .. })));
}

#[test]
fn anothers_new_view_comes_back_with_what_it_names_and_is_filed_when_its_view_is_entered() {
    let next_view = NextView::new();
    let mut scene = next_view.scene(2);
    scene.persist(1, next_view.record(2));
    let (mut next, recovered) = reborn(scene, 2, 1);
    let messages = &next_view.view_changes;
    let named = [(1, &messages[0]), (2, &messages[1]), (3, &messages[2])];
    let as_read = next_view.record(1);
    assert_eq!(recovered, recovery(&[as_read], &[], &named));
    let answer = next.fetched(3, FetchKind::NewView, &new_view_name(1));
    assert_eq!(answer, (FETCHED_NEW_VIEW, next_view.payload.to_vec()));

    let (name, votes) = (NextView::proposal(), next.engine.votes());
    assert_eq!(votes.certificate(&name), []);
    next.window(4, 1);
    let proposed = vec![(1, signature(1, PRE_PREPARE, &name))];
    assert_eq!(next.engine.votes().certificate(&name), proposed);

    // The stable certificate that they carry can be shown until they are let go of.
    let shown = |next: &mut Scene| {
        next.engine.actions_are_done();
        let held = next.engine.votes().checkpoints();
        held.certificate(4, &checkpoint_digest()).len()
    };
    assert_eq!(shown(&mut next), 3);
    peer(
        &mut next.engine,
        &next.links,
        3,
        VIEW_CHANGE,
        messages[2].clone(),
    );
    assert_eq!(records(&mut next.engine, &next.links), [], "it is held");
    for digest in next_view.digests() {
        forget(&mut next.engine, &next.links, digest);
    }
    assert_eq!(next.engine.kept_messages().0, 1);
}

#[test]
fn a_directory_that_was_wiped_or_stopped_in_order_says_so() {
    let directory = TemporaryDirectory::new(&identity(1), Origin::Wiped);
    let kind_of = |recovery: Vec<u8>| (recovery[0], recovery[1]);
    assert_eq!(kind_of(restarted(&directory, 1).1), (2, 0));
    let mut scene = PreparedBatch::new().scene();
    scene.persist(1, PLAIN[2]);
    let opened = ReplicaJournal::open(directory.of(identity(1)), &mut closed(1), Arc::new(|| ()));
    let (mut journal, _) = opened.expect("a sound directory");
    journal.store(&mut scene.engine).expect("dense");
    assert_eq!(journal.clean_stop(DISK_MAX), Ok(()));
    assert_eq!(kind_of(restarted(&directory, 1).1), (3, 1));
    assert_eq!(
        kind_of(restarted(&directory, 1).1),
        (3, 0),
        "it counts once"
    );
}
