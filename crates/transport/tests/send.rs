//! What `send` takes and refuses.

mod support;

use byzantine_transport::{Lane, SendError, Source};
use support::{KIND, cluster, settle};

#[tokio::test]
async fn what_cannot_be_sent_says_why() {
    let nodes = cluster(2, |_| {}).await;
    let endpoint = &nodes[0].endpoint;
    let send = |to, lane, kind, payload: &[u8]| endpoint.send(to, lane, kind, &[payload]);
    let peer = Source::Peer(1);
    let too_large = SendError::TooLarge { length_max: 256 };
    assert_eq!(send(peer, Lane::Votes, KIND, &[0; 256]), Err(too_large));
    assert_eq!(send(peer, Lane::Votes, KIND, &[0; 255]), Ok(()));
    assert_eq!(send(peer, Lane::Control, 1, &[]), Err(SendError::WrongLane));
    assert_eq!(
        send(Source::Peer(9), Lane::Votes, KIND, &[]),
        Err(SendError::NotConnected)
    );
    assert_eq!(
        send(Source::Client(1), Lane::Client, KIND, &[]),
        Err(SendError::NotConnected)
    );
    assert_eq!(endpoint.outbound_room(Source::Peer(9), Lane::Bulk), 0);
    settle(&nodes).await;
}

#[tokio::test]
async fn a_larger_mtu_carries_large_frames() {
    let mut nodes = cluster(2, |config| config.limits.mtu_max = 6_500).await;
    let frame = vec![3; (4 << 20) - 1];
    for _ in 0..8 {
        nodes[0].send(Source::Peer(1), Lane::Bulk, &frame);
        nodes[1].frame(Source::Peer(0), Lane::Bulk, &frame).await;
        nodes[1].events.clear();
    }
}
