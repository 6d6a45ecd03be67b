//! What leaves, and actions that cannot be carried out.

use super::*;

#[test]
fn our_messages_leave_signed_on_their_lanes_and_a_resend_is_the_same_bytes() {
    let (mut engine, links) = (engine(0), Recorded::default());
    let (name, proposal) = pre_prepare(0, 0, 1, &[[1; 32]]);
    let unsigned = &proposal[..proposal.len() - 64];
    for _ in 0..2 {
        apply(
            &mut engine,
            &links,
            Action::Send {
                to: 0b0010,
                message_type: PRE_PREPARE,
                payload: unsigned,
            },
        );
    }
    assert_eq!(engine.work().signed, 1);
    let expected = (Source::Peer(1), PRE_PREPARE, proposal.to_vec());
    assert_eq!(links.take(), [expected.clone(), expected]);
    apply(
        &mut engine,
        &links,
        Action::Send {
            to: 0b1111,
            message_type: COMMIT,
            payload: &name.signed_bytes(),
        },
    );
    assert_eq!(links.take().len(), 3, "never to ourselves");
    let contradiction = pre_prepare(0, 0, 1, &[[2; 32]]).1;
    let action = Action::Send {
        to: 1,
        message_type: PRE_PREPARE,
        payload: &contradiction[..contradiction.len() - 64],
    };
    let expected = Fault::Contradiction {
        message_type: PRE_PREPARE,
        sequence: 1,
    };
    assert_eq!(engine.apply(action, &links), Err(expected));
}

#[test]
fn a_bundle_of_our_own_is_one_that_another_replica_takes() {
    let (mut engine, links) = (engine(0), Recorded::default());
    let own = bundle(&key(0), 7, b"recover");
    apply(
        &mut engine,
        &links,
        Action::Send {
            to: 0b0010,
            message_type: BUNDLE,
            payload: &own[..own.len() - 64],
        },
    );
    assert_eq!(links.take(), [(Source::Peer(1), BUNDLE, own.to_vec())]);
    let mut other = super::engine(1);
    peer(&mut other, &links, 0, BUNDLE, own);
    let taken = records(&mut other, &links);
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].0, InputKind::Request as u8);
}

#[test]
fn our_prepare_and_checkpoint_contradict_nothing_that_we_signed() {
    let (mut engine, links) = (engine(1), Recorded::default());
    for (message_type, first, second) in [
        (
            PREPARE,
            pre_prepare(0, 0, 1, &[]).0.signed_bytes().to_vec(),
            pre_prepare(0, 0, 1, &[[1; 32]]).0.signed_bytes().to_vec(),
        ),
        (
            CHECKPOINT,
            [&1u64.to_le_bytes()[..], &[1; 32]].concat(),
            [&1u64.to_le_bytes()[..], &[2; 32]].concat(),
        ),
    ] {
        apply(
            &mut engine,
            &links,
            Action::Send {
                to: 1,
                message_type,
                payload: &first,
            },
        );
        apply(
            &mut engine,
            &links,
            Action::Send {
                to: 1,
                message_type,
                payload: &first,
            },
        );
        let action = Action::Send {
            to: 1,
            message_type,
            payload: &second,
        };
        assert_eq!(
            engine.apply(action, &links),
            Err(Fault::Contradiction {
                message_type,
                sequence: 1
            })
        );
        let sent = links.take();
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0], sent[1]);
    }
}

#[test]
fn long_results_travel_in_full_from_one_replica_only() {
    let client = *client_key().public().as_bytes();
    let mut writer = Writer::default();
    writer.u53(1).u53(2).u53(0).u8(0).u16(2);
    writer.u53(6).u8(0).u8(0).bytes(&[1; 64]);
    writer.u53(7).u8(0).u8(0).bytes(&[2; 65]);
    for me in 0..4 {
        let (mut engine, links) = (engine(me), Recorded::default());
        apply(
            &mut engine,
            &links,
            Action::Reply {
                client,
                in_full: false,
                payload: writer.as_slice(),
            },
        );
        apply(
            &mut engine,
            &links,
            Action::Reply {
                client: [0; 32],
                in_full: false,
                payload: writer.as_slice(),
            },
        );
        let sent = links.take();
        assert_eq!(
            (sent.len(), sent[0].0, sent[0].1),
            (1, Source::Client(CLIENT), REPLY)
        );
        let full = sent[0].2 == writer.as_slice();
        assert_eq!(full, me == 3, "client sequence 7 mod 4");
        let digest = byzantine_crypto::result_digest(0, &[2; 65]);
        assert_eq!(sent[0].2.ends_with(&digest), me != 3);
    }
}

#[test]
fn a_busy_answer_names_the_bundle_and_frees_it() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let payload = bundle(&client_key(), 9, b"op");
    client(&mut engine, &links, payload.clone());
    records(&mut engine, &links);
    let digest = byzantine_crypto::bundle_digest(&payload);
    apply(&mut engine, &links, Action::Busy { digest });
    let expected = [1u64.to_le_bytes(), 9u64.to_le_bytes()].concat();
    assert_eq!(links.take(), [(Source::Client(CLIENT), BUSY, expected)]);
    assert!(!engine.bodies().holds(&digest));
}

#[test]
fn every_action_record_is_carried_out_or_is_a_fault() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let mut seed = 7u64;
    for round in 0..2000u32 {
        let mut record = vec![(round % 18) as u8];
        let body: Vec<u8> = (0..round % 90)
            .map(|_| {
                seed = seed
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                if seed >> 63 == 0 {
                    0
                } else {
                    (seed >> 40) as u8
                }
            })
            .collect();
        record.extend_from_slice(&(body.len() as u32).to_le_bytes());
        record.extend_from_slice(&body);
        for action in Actions::new(&record).flatten() {
            let _ = engine.apply(action, &links);
        }
    }
    records(&mut engine, &links);
}
