//! Connecting, talking, and connecting again.

mod support;

use std::collections::HashSet;
use std::time::Duration;

use byzantine_transport::{ALPN_REPLICA, ClientPolicy, DownReason, Event, Lane, SendError, Source};
use support::{KIND, Node, client, cluster, in_time, introduce, key, member_seed, public, raw};
use support::{replica, settle, talk};

#[tokio::test]
async fn two_replicas_exchange_frames_on_all_lanes() {
    let mut nodes = cluster(2, |_| {}).await;
    for lane in Lane::ALL {
        let payload = [lane as u8; 200];
        nodes[0].send(Source::Peer(1), lane, &payload);
        nodes[1].send(Source::Peer(0), lane, &payload);
    }
    for lane in Lane::ALL {
        let payload = [lane as u8; 200];
        nodes[0].frame(Source::Peer(1), lane, &payload).await;
        nodes[1].frame(Source::Peer(0), lane, &payload).await;
    }
    let traffic = nodes[0].endpoint.statistics().peers[0].traffic;
    assert_eq!(traffic.frames_in, [1; 4]);
    assert_eq!(traffic.bytes_in, [205; 4]);
    assert_eq!(traffic.frames_out, [1; 4]);
}

#[tokio::test]
async fn four_replicas_hear_each_others_broadcasts_in_the_order_of_sending() {
    let mut nodes = cluster(4, |_| {}).await;
    for (id, node) in nodes.iter().enumerate() {
        for number in 0..100u8 {
            node.endpoint
                .broadcast(Lane::Votes, KIND, &[&[id as u8], &[number]]);
        }
        node.endpoint.flush();
    }
    for (id, node) in nodes.iter_mut().enumerate() {
        for peer in (0..4u8).filter(|peer| usize::from(*peer) != id) {
            node.frame(Source::Peer(peer), Lane::Votes, &[peer, 99])
                .await;
            let numbers: Vec<u8> = node
                .events
                .iter()
                .filter_map(|event| match event {
                    Event::Frame { from, payload, .. } if *from == Source::Peer(peer) => {
                        Some(payload[1])
                    }
                    _ => None,
                })
                .collect();
            assert_eq!(numbers, (0..100).collect::<Vec<u8>>());
        }
    }
}

#[tokio::test]
async fn a_client_talks_with_every_replica_on_the_client_lane_alone() {
    let clients = ClientPolicy::Listed(HashSet::from([public(100)]));
    let mut nodes = cluster(2, |config| config.clients = clients.clone()).await;
    let mut config = client(100, 2);
    config.hello.truncate(1);
    let mut client = Node::bind(config);
    for (id, node) in nodes.iter().enumerate() {
        client
            .endpoint
            .set_member_address(id as u8, node.address().to_string());
    }
    for (id, node) in nodes.iter_mut().enumerate() {
        let peer = Source::Peer(id as u8);
        client.up(id as u8, 1).await;
        client.send(peer, Lane::Client, b"question");
        let number = node
            .until("client up", |events| {
                events.iter().find_map(|event| match event {
                    Event::ClientUp { client, key } if *key == public(100) => Some(*client),
                    _ => None,
                })
            })
            .await;
        let from = Source::Client(number);
        node.frame(from, Lane::Client, b"question").await;
        node.send(from, Lane::Client, b"answer");
        client.frame(peer, Lane::Client, b"answer").await;
        for lane in [Lane::Votes, Lane::Bulk] {
            assert_eq!(
                node.endpoint.send(from, lane, KIND, &[]),
                Err(SendError::WrongLane)
            );
            assert_eq!(
                client.endpoint.send(peer, lane, KIND, &[]),
                Err(SendError::WrongLane)
            );
        }
    }
    client.endpoint.shutdown(Duration::from_secs(1)).await;
    nodes[0]
        .until("client down", |events| {
            events
                .iter()
                .any(|event| matches!(event, Event::ClientDown { .. }))
                .then_some(())
        })
        .await;
    assert_eq!(nodes[0].endpoint.statistics().clients.connected, 0);
}

#[tokio::test]
async fn a_member_may_connect_as_a_client_too() {
    let mut nodes = cluster(2, |_| {}).await;
    let client = Node::bind(client(member_seed(0), 2));
    client
        .endpoint
        .set_member_address(1, nodes[1].address().to_string());
    nodes[1]
        .until("client up", |events| {
            let is_up =
                |event: &Event| matches!(event, Event::ClientUp { key, .. } if *key == public(1));
            events.iter().any(is_up).then_some(())
        })
        .await;
    talk(&mut nodes, 0, 1, b"and the replicas stay connected").await;
}

#[tokio::test]
async fn of_two_dials_at_once_the_lower_ids_stays_on_both_sides() {
    for round in 0..20u8 {
        let mut nodes: Vec<Node> = (0..2)
            .map(|id| {
                let mut config = replica(id, 2);
                config.limits.backoff_min = Duration::from_millis(1);
                Node::bind(config)
            })
            .collect();
        introduce(&nodes);
        settle(&nodes).await;
        talk(&mut nodes, 0, 1, &[round]).await;
        for (node, dialled) in nodes.iter().zip([true, false]) {
            let statistics = node.endpoint.statistics();
            assert_eq!(statistics.connections, 1, "round {round}");
            assert_eq!(
                statistics.peers[0].dialled_here,
                Some(dialled),
                "round {round}"
            );
        }
    }
}

#[tokio::test]
async fn a_second_connection_that_the_higher_id_dialled_is_closed_as_replaced() {
    let mut nodes = cluster(2, |_| {}).await;
    let stranger = raw::dialling();
    let second = raw::admitted(
        &stranger,
        nodes[0].address(),
        &key(member_seed(1)),
        ALPN_REPLICA,
    )
    .await;
    assert_eq!(raw::close_text(&second.connection).await, "replaced");
    talk(&mut nodes, 0, 1, b"the first stays").await;
}

#[tokio::test]
async fn the_newer_of_two_connections_that_one_side_dialled_stays_and_is_reported_up_again() {
    let mut node = Node::bind(replica(1, 2));
    let dialling = raw::dialling();
    let identity = key(member_seed(0));
    let first = raw::admitted(&dialling, node.address(), &identity, ALPN_REPLICA).await;
    node.up(0, 1).await;
    let _old = raw::open(
        &first.connection,
        Lane::Votes as u8,
        &raw::frame(KIND, b"old"),
    )
    .await;
    node.frame(Source::Peer(0), Lane::Votes, b"old").await;
    let second = raw::admitted(&dialling, node.address(), &identity, ALPN_REPLICA).await;
    assert_eq!(raw::close_text(&first.connection).await, "replaced");
    let _new = raw::open(
        &second.connection,
        Lane::Votes as u8,
        &raw::frame(KIND, b"new"),
    )
    .await;
    node.frame(Source::Peer(0), Lane::Votes, b"new").await;
    node.up(0, 2).await;
    assert!(
        !node
            .events
            .iter()
            .any(|event| matches!(event, Event::PeerDown { .. }))
    );
}

#[tokio::test]
async fn a_peer_that_restarts_on_its_port_is_connected_again() {
    for (stays, restarts) in [(0u8, 1u8), (1, 0)] {
        let mut nodes = cluster(2, |_| {}).await;
        let address = nodes[usize::from(restarts)].address();
        let old = nodes.remove(usize::from(restarts));
        old.endpoint.shutdown(Duration::from_secs(5)).await;
        drop(old);
        let down = DownReason::PeerShutDown;
        nodes[0]
            .until("peer down", |events| {
                let is_down = |event: &Event| matches!(event, Event::PeerDown { peer, reason } if *peer == restarts && *reason == down);
                events.iter().any(is_down).then_some(())
            })
            .await;
        nodes.insert(
            usize::from(restarts),
            in_time("port is free", rebind(restarts, address)).await,
        );
        introduce(&nodes);
        nodes[usize::from(stays)].up_again(restarts).await;
        talk(&mut nodes, 0, 1, b"again").await;
    }
}

#[tokio::test]
async fn a_peer_that_crashed_without_a_word_resets_the_connections_of_its_former_life() {
    for (stays, restarts) in [(0u8, 1u8), (1, 0)] {
        let mut config = replica(stays, 2);
        config.limits.idle_timeout = Duration::from_secs(60);
        config.limits.keep_alive = Duration::from_millis(200);
        let mut survivor = Node::bind(config);
        let mut doomed_config = replica(restarts, 2);
        doomed_config.limits.idle_timeout = Duration::from_secs(60);
        let doomed = support::Doomed::bind(doomed_config, stays, survivor.address());
        let address = doomed.address;
        survivor
            .endpoint
            .set_member_address(restarts, address.to_string());
        survivor.up(restarts, 1).await;
        doomed.crash();
        survivor
            .endpoint
            .poll_events(&mut survivor.events, usize::MAX);
        survivor.events.clear();
        let reborn = in_time("port is free", rebind(restarts, address)).await;
        reborn
            .endpoint
            .set_member_address(stays, survivor.address().to_string());
        // The lower id's new connection replaces the old one, the higher id's waits for its end.
        survivor.up(restarts, 1).await;
        let mut nodes = [survivor, reborn];
        if restarts == 0 {
            nodes.reverse();
        }
        talk(&mut nodes, 0, 1, b"again").await;
    }
}

/// Binds a member on the port of its former life as soon as its socket is gone.
async fn rebind(id: u8, address: std::net::SocketAddr) -> Node {
    loop {
        let mut config = replica(id, 2);
        config.listen = Some(address);
        if let Ok(endpoint) = byzantine_transport::Endpoint::bind(config) {
            return Node {
                endpoint,
                events: Vec::new(),
            };
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_member_is_found_by_its_host_name_and_at_a_new_address() {
    let mut nodes = cluster(2, |_| {}).await;
    let old = nodes.remove(1);
    old.endpoint.shutdown(Duration::from_secs(5)).await;
    nodes.push(Node::bind(replica(1, 2)));
    let port = nodes[1].address().port();
    nodes[0]
        .endpoint
        .set_member_address(1, format!("localhost:{port}"));
    nodes[0].up_again(1).await;
    talk(&mut nodes, 0, 1, b"moved").await;
}
