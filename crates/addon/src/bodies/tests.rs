//! What is delivered, when, and what is refused.

use super::*;

const CLIENT: [u8; 32] = [7; 32];

fn put(store: &mut BodyStore, digest: u8, from: u8, length: usize) -> Result<(), Reason> {
    let head = Head {
        client: CLIENT,
        session: 1,
        first_sequence: 1,
        acknowledged_through: 0,
        count: 1,
    };
    store.put([digest; 32], from, head, &vec![digest; length], false)
}

fn take(store: &mut BodyStore) -> Vec<u8> {
    std::iter::from_fn(|| store.next_request().map(|(digest, ..)| digest[0])).collect()
}

#[test]
fn a_delivered_bundle_that_its_client_sends_again_is_delivered_again_as_the_clients() {
    let mut store = BodyStore::default();
    store.set_room(1, 1000);
    put(&mut store, 1, 2, 10).expect("stored");
    assert!(!store.repeat(&[1; 32]), "not delivered yet");
    assert_eq!(take(&mut store), [1]);
    assert!(store.repeat(&[1; 32]));
    assert!(store.has_request(), "although no room is left");
    assert_eq!(
        store
            .next_request()
            .map(|(digest, from, _)| (digest[0], from)),
        Some((1, AGAIN))
    );
    assert!(store.repeat(&[1; 32]));
    assert!(store.release(&[1; 32]).is_some());
    assert_eq!(take(&mut store), []);
    assert!(!store.repeat(&[1; 32]), "released");
}

#[test]
fn a_body_is_delivered_once_and_again_only_after_its_release() {
    let mut store = BodyStore::default();
    store.set_room(10, 1000);
    put(&mut store, 1, NO_PEER, 10).expect("stored");
    assert_eq!(put(&mut store, 1, 2, 10), Err(Reason::Duplicate));
    assert_eq!(take(&mut store), [1]);
    assert_eq!(take(&mut store), []);
    assert!(store.release(&[1; 32]).is_some());
    put(&mut store, 1, NO_PEER, 10).expect("stored again");
    assert_eq!(take(&mut store), [1]);
    assert_eq!(store.sizes(), (1, 10, 0));
}

#[test]
fn requests_stay_within_the_room_and_pinned_ones_do_not_need_it() {
    let mut store = BodyStore::default();
    for digest in 1..=4 {
        put(
            &mut store,
            digest,
            if digest % 2 == 0 { 1 } else { NO_PEER },
            100,
        )
        .expect("stored");
    }
    assert!(!store.has_request());
    store.set_room(5, 250);
    assert_eq!(take(&mut store).len(), 2);
    assert!(store.pin(&[[3; 32], [4; 32], [9; 32]]));
    assert_eq!(take(&mut store), [3, 4]);
    put(&mut store, 9, 1, 100).expect("pinned");
    assert!(store.has_request());
    assert_eq!(take(&mut store), [9]);
}

#[test]
fn a_replica_fills_only_its_own_quota_and_a_pin_passes_it() {
    let mut store = BodyStore::default();
    let length = PEER_WAITING_BYTES_MAX / 4;
    for digest in 0..4 {
        put(&mut store, digest, 1, length).expect("within the quota");
    }
    assert_eq!(put(&mut store, 10, 1, 1), Err(Reason::OverQuota));
    put(&mut store, 11, 2, 1).expect("another replica's quota");
    assert!(store.pin(&[[10; 32]]));
    put(&mut store, 10, 1, 1).expect("pinned");
    store.release(&[0; 32]);
    put(&mut store, 12, 1, 1).expect("room again");
}

#[test]
fn a_client_beyond_its_share_is_told_busy_and_all_are_held_back_before_the_queue_is_full() {
    let mut store = BodyStore::default();
    put(&mut store, 1, NO_PEER, CLIENT_WAITING_BYTES_MAX).expect("its whole share");
    assert_eq!(put(&mut store, 2, NO_PEER, 1), Err(Reason::Busy));
    let mut key = 0u16;
    while !store.pauses_clients(false) {
        key += 1;
        let mut client = [0; 32];
        client[..2].copy_from_slice(&key.to_le_bytes());
        let head = Head {
            client,
            session: 1,
            first_sequence: 1,
            acknowledged_through: 0,
            count: 1,
        };
        store
            .put(client, NO_PEER, head, &vec![0; 1 << 20], false)
            .expect("below half");
    }
    assert_eq!(key, 15);
    assert!(store.pauses_clients(true));
    store.set_room(u32::MAX, u32::MAX);
    take(&mut store);
    assert!(!store.pauses_clients(true));
}

#[test]
fn pins_are_bounded() {
    let mut store = BodyStore::default();
    let digests: Vec<Digest> = (0..PINS_MAX as u32)
        .map(|number| {
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&number.to_le_bytes());
            digest
        })
        .collect();
    assert!(store.pin(&digests));
    assert!(!store.pin(&[[0xff; 32]]));
    store.release(&digests[0]);
    assert!(store.pin(&[[0xff; 32]]));
}
