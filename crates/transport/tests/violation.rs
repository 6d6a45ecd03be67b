//! Peers and clients with good keys that break the framing rules: counted, closed, alone.

mod support;

use std::net::Ipv4Addr;

use byzantine_transport::{
    ALPN_CLIENT, ALPN_REPLICA, ClientPolicy, DownReason, Event, Lane, RefuseReason, Source,
};
use support::{KIND, Node, in_time, key, member_seed, public, raw, replica, settle, talk};

/// Members 0 and 1 connected, and the key of member 2 in the hands of an enemy.
async fn pair_and_enemy() -> (Vec<Node>, quinn::Endpoint) {
    let nodes: Vec<Node> = (0..2)
        .map(|id| {
            let mut config = replica(id, 3);
            config.members.retain(|member| member.id != 2);
            config
                .members
                .extend(replica(0, 3).members.into_iter().skip(2));
            config.clients = ClientPolicy::Any;
            Node::bind(config)
        })
        .collect();
    nodes[0]
        .endpoint
        .set_member_address(1, nodes[1].address().to_string());
    nodes[1]
        .endpoint
        .set_member_address(0, nodes[0].address().to_string());
    let up = |id: usize| nodes[id].endpoint.is_connected(Source::Peer(1 - id as u8));
    in_time("pair", async {
        while !(up(0) && up(1)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    (nodes, raw::dialling())
}

async fn enemy_up(nodes: &mut [Node], enemy: &quinn::Endpoint, count: usize) -> raw::Admitted {
    let identity = key(member_seed(2));
    let admitted = raw::admitted(enemy, nodes[0].address(), &identity, ALPN_REPLICA).await;
    nodes[0].up(2, count).await;
    admitted
}

/// The enemy's connection is closed for `reason`, counted and reported; the pair goes on.
async fn punished(nodes: &mut [Node], connection: &quinn::Connection, reason: RefuseReason) {
    assert_eq!(raw::close_text(connection).await, reason.name());
    assert_eq!(
        nodes[0].refusal(&reason).await,
        Some(public(member_seed(2)))
    );
    let down = DownReason::Violation(reason);
    nodes[0]
        .until("enemy down", |events| {
            let is_down = |event: &Event| matches!(event, Event::PeerDown { peer: 2, reason } if *reason == down);
            events.iter().any(is_down).then_some(())
        })
        .await;
    talk(nodes, 0, 1, b"undisturbed").await;
}

#[tokio::test]
async fn a_lying_length_is_counted_and_closes_that_connection_alone() {
    let (mut nodes, enemy) = pair_and_enemy().await;
    let lies = [
        (Lane::Votes, 0),
        (Lane::Votes, 257),
        (Lane::Control, u32::MAX),
        (Lane::Client, (1 << 20) + 1),
        (Lane::Bulk, (4 << 20) + 1),
    ];
    for (count, (lane, length)) in lies.into_iter().enumerate() {
        let mut peer = enemy_up(&mut nodes, &enemy, count + 1).await;
        let mut bytes = raw::frame(KIND, &[count as u8]);
        bytes.extend(length.to_le_bytes());
        let mut opened = None;
        if lane == Lane::Control {
            peer.control.write_all(&bytes).await.unwrap();
        } else {
            opened = Some(raw::open(&peer.connection, lane as u8, &bytes).await);
        }
        punished(&mut nodes, &peer.connection, RefuseReason::LyingLength).await;
        nodes[0].frame(Source::Peer(2), lane, &[count as u8]).await;
        assert_eq!(nodes[0].refused("lyingLength"), count as u64 + 1);
        drop(opened);
        nodes[0]
            .events
            .retain(|event| matches!(event, Event::PeerUp { .. }));
    }
}

#[tokio::test]
async fn a_second_stream_of_one_lane_is_a_violation() {
    let (mut nodes, enemy) = pair_and_enemy().await;
    let peer = enemy_up(&mut nodes, &enemy, 1).await;
    let _first = raw::open(&peer.connection, Lane::Votes as u8, &[]).await;
    let _second = raw::open(&peer.connection, Lane::Votes as u8, &[]).await;
    punished(&mut nodes, &peer.connection, RefuseReason::DuplicateLane).await;
}

#[tokio::test]
async fn a_stream_of_no_lane_is_a_violation() {
    let (mut nodes, enemy) = pair_and_enemy().await;
    let peer = enemy_up(&mut nodes, &enemy, 1).await;
    let _stream = raw::open(&peer.connection, 4, &[]).await;
    punished(&mut nodes, &peer.connection, RefuseReason::UnknownLane).await;
}

#[tokio::test]
async fn a_stream_that_ends_within_a_frame_is_a_violation_of_its_own_name() {
    let (mut nodes, enemy) = pair_and_enemy().await;
    let peer = enemy_up(&mut nodes, &enemy, 1).await;
    let mut stream = raw::open(&peer.connection, Lane::Votes as u8, &[9, 0, 0, 0, KIND]).await;
    stream.finish().unwrap();
    punished(&mut nodes, &peer.connection, RefuseReason::PartialFrame).await;
}

#[tokio::test]
async fn a_lane_that_ends_or_is_reset_is_a_violation() {
    let (mut nodes, enemy) = pair_and_enemy().await;
    let peer = enemy_up(&mut nodes, &enemy, 1).await;
    let mut stream = raw::open(&peer.connection, Lane::Votes as u8, &[]).await;
    stream.finish().unwrap();
    punished(&mut nodes, &peer.connection, RefuseReason::LaneEnded).await;
    nodes[0]
        .events
        .retain(|event| matches!(event, Event::PeerUp { .. }));
    let mut peer = enemy_up(&mut nodes, &enemy, 2).await;
    peer.control.reset(7u32.into()).unwrap();
    punished(&mut nodes, &peer.connection, RefuseReason::LaneEnded).await;
}

#[tokio::test]
async fn a_second_hello_is_a_violation() {
    let (mut nodes, enemy) = pair_and_enemy().await;
    let mut peer = enemy_up(&mut nodes, &enemy, 1).await;
    let again = raw::frame(1, &raw::hello_payload(0, 1, &support::hello()));
    peer.control.write_all(&again).await.unwrap();
    punished(&mut nodes, &peer.connection, RefuseReason::BadHello).await;
}

#[tokio::test]
async fn a_client_that_opens_a_lane_of_replicas_is_closed() {
    let (mut nodes, enemy) = pair_and_enemy().await;
    for lane in [Lane::Votes, Lane::Bulk] {
        let peer = raw::admitted(&enemy, nodes[0].address(), &key(200), ALPN_CLIENT).await;
        let _stream = raw::open(&peer.connection, lane as u8, &raw::frame(KIND, b"vote")).await;
        assert_eq!(raw::close_text(&peer.connection).await, "unknownLane");
        assert_eq!(
            nodes[0].refusal(&RefuseReason::UnknownLane).await,
            Some(public(200))
        );
    }
    assert!(
        !nodes[0]
            .events
            .iter()
            .any(|event| matches!(event, Event::Frame { .. }))
    );
    talk(&mut nodes, 0, 1, b"undisturbed").await;
}

#[tokio::test]
async fn a_fifth_or_a_two_way_stream_cannot_even_be_opened() {
    let (mut nodes, enemy) = pair_and_enemy().await;
    let peer = enemy_up(&mut nodes, &enemy, 1).await;
    let mut streams = Vec::new();
    for lane in [Lane::Votes, Lane::Client, Lane::Bulk] {
        streams.push(raw::open(&peer.connection, lane as u8, &[]).await);
    }
    let vote = raw::frame(KIND, b"after the last stream");
    streams[0].write_all(&vote).await.unwrap();
    nodes[0]
        .frame(Source::Peer(2), Lane::Votes, b"after the last stream")
        .await;
    assert!(is_pending(peer.connection.open_uni()).await);
    assert!(is_pending(peer.connection.open_bi()).await);
}

/// Whether a future does not complete when it is polled once.
async fn is_pending<T>(work: impl Future<Output = T>) -> bool {
    tokio::select! {
        biased;
        _ = work => false,
        () = std::future::ready(()) => true,
    }
}

#[tokio::test]
async fn garbage_datagrams_change_nothing() {
    let mut nodes = support::cluster(2, |_| {}).await;
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut noise = 0x9e37_79b9_7f4a_7c15u64;
    for length in 0..1500usize {
        let mut datagram = vec![0; length];
        for byte in &mut datagram {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            *byte = noise as u8;
        }
        // A third each: any bytes, a long header of QUIC v1, and a short header.
        match (length % 3, datagram.first_chunk_mut::<5>()) {
            (1, Some(header)) => *header = [0xc0 | (noise as u8 & 0x3f), 0, 0, 0, 1],
            (2, Some(header)) => header[0] = 0x40 | (noise as u8 & 0x3f),
            _ => {}
        }
        socket.send_to(&datagram, nodes[0].address()).unwrap();
        if length % 100 == 0 {
            talk(&mut nodes, 0, 1, &(length as u32).to_le_bytes()).await;
        }
    }
    settle(&nodes).await;
    assert!(
        !nodes[0]
            .events
            .iter()
            .any(|event| matches!(event, Event::PeerDown { .. }))
    );
}
