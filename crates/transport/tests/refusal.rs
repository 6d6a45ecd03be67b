//! Who is refused, with what reason, while the others go on.

mod support;

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use byzantine_transport::{
    ALPN_CLIENT, ALPN_REPLICA, ClientPolicy, CloseCode, DownReason, Endpoint, Event, HelloField,
    Lane, RefuseReason, Role, Source, TransportError,
};
use support::{Node, client, cluster, hello, in_time, introduce, key, member_seed, public, raw};
use support::{replica, talk};

#[tokio::test]
async fn a_key_that_nobody_knows_is_refused_and_counted() {
    let mut nodes = cluster(2, |_| {}).await;
    for alpn in [ALPN_REPLICA, ALPN_CLIENT] {
        let dialling = raw::dialling();
        if let Ok(connection) = raw::dial(&dialling, nodes[0].address(), &key(200), alpn).await {
            in_time("close", connection.closed()).await;
        }
        let from = nodes[0].refusal(&RefuseReason::UnknownKey).await;
        assert_eq!(from, Some(public(200)));
        nodes[0].events.clear();
    }
    assert_eq!(nodes[0].refused("unknownKey"), 2);
    assert_eq!(
        nodes[0].refused("handshakeFailed"),
        0,
        "one refusal is counted once"
    );
    talk(&mut nodes, 0, 1, b"undisturbed").await;
}

#[tokio::test]
async fn a_peer_that_shows_a_members_key_without_its_secret_is_refused() {
    let mut nodes = cluster(2, |_| {}).await;
    let dialling = raw::dialling();
    let stolen = raw::certified(&key(member_seed(1)), &key(200));
    let config = raw::client_config(Some(stolen), ALPN_REPLICA);
    let connecting = dialling
        .connect_with(config, nodes[0].address(), "replica")
        .unwrap();
    if let Ok(connection) = in_time("handshake", connecting).await {
        in_time("close", connection.closed()).await;
    }
    let from = nodes[0].refusal(&RefuseReason::KeyNotProven).await;
    assert_eq!(from, Some(public(member_seed(1))), "the key it claimed");
    assert_eq!(
        nodes[0].endpoint.statistics().peers[0].connects,
        nodes[0].ups(1)
    );
    talk(&mut nodes, 0, 1, b"undisturbed").await;
}

#[tokio::test]
async fn a_server_that_shows_a_members_key_without_its_secret_is_refused() {
    let stolen = raw::certified(&key(member_seed(1)), &key(200));
    let impostor = raw::listening(stolen, ALPN_REPLICA);
    let mut node = Node::bind(replica(0, 2));
    node.endpoint
        .set_member_address(1, impostor.local_addr().unwrap().to_string());
    let accepted = in_time("dial", impostor.accept()).await.unwrap();
    assert!(in_time("handshake", accepted.into_future()).await.is_err());
    assert_eq!(
        node.refusal(&RefuseReason::KeyNotProven).await,
        Some(public(member_seed(1)))
    );
    assert!(!node.endpoint.is_connected(Source::Peer(1)));
}

#[tokio::test]
async fn a_member_that_is_dialled_as_another_one_is_refused() {
    let nodes = [Node::bind(replica(0, 3)), Node::bind(replica(2, 3))];
    nodes[0]
        .endpoint
        .set_member_address(1, nodes[1].address().to_string());
    let [mut dialler, _answers_as_two] = nodes;
    assert_eq!(
        dialler.refusal(&RefuseReason::WrongKey).await,
        Some(public(member_seed(2)))
    );
    assert!(!dialler.endpoint.is_connected(Source::Peer(1)));
}

#[tokio::test]
async fn a_peer_that_shows_no_key_is_refused() {
    let mut nodes = cluster(2, |_| {}).await;
    let dialling = raw::dialling();
    let config = raw::client_config(None, ALPN_REPLICA);
    let connecting = dialling
        .connect_with(config, nodes[0].address(), "replica")
        .unwrap();
    if let Ok(connection) = in_time("handshake", connecting).await {
        in_time("close", connection.closed()).await;
    }
    assert_eq!(nodes[0].refusal(&RefuseReason::HandshakeFailed).await, None);
}

#[tokio::test]
async fn a_client_does_not_become_a_replica_and_a_replica_not_itself() {
    let clients = ClientPolicy::Listed(HashSet::from([public(100)]));
    let mut nodes = cluster(2, |config| config.clients = clients.clone()).await;
    for seed in [100, member_seed(0)] {
        let dialling = raw::dialling();
        let connection = raw::dial(&dialling, nodes[0].address(), &key(seed), ALPN_REPLICA)
            .await
            .unwrap();
        assert_eq!(raw::close_text(&connection).await, "wrongRole");
        let from = nodes[0].refusal(&RefuseReason::WrongRole).await;
        assert_eq!(from, Some(public(seed)));
        nodes[0].events.clear();
    }
}

#[tokio::test]
async fn any_client_is_admitted_within_the_quotas() {
    let mut config = replica(0, 4);
    config.clients = ClientPolicy::Any;
    config.limits.clients_max = 3;
    config.limits.clients_per_key = 2;
    let mut node = Node::bind(config);
    let dialling = raw::dialling();
    let mut held = Vec::new();
    for seed in [100, 100, 101] {
        held.push(raw::admitted(&dialling, node.address(), &key(seed), ALPN_CLIENT).await);
        let count = held.len();
        node.until("client up", |events| {
            let ups = events
                .iter()
                .filter(|event| matches!(event, Event::ClientUp { .. }));
            (ups.count() == count).then_some(())
        })
        .await;
        if count == 2 {
            let third = raw::admitted(&dialling, node.address(), &key(100), ALPN_CLIENT).await;
            assert_eq!(raw::close_text(&third.connection).await, "clientQuota");
        }
    }
    let fourth = raw::admitted(&dialling, node.address(), &key(102), ALPN_CLIENT).await;
    assert_eq!(raw::close_text(&fourth.connection).await, "clientQuota");
    assert_eq!(
        node.refusal(&RefuseReason::ClientQuota).await,
        Some(public(100))
    );
    assert_eq!(node.refused("clientQuota"), 2);
}

#[tokio::test]
async fn a_barred_key_loses_all_its_connections_and_a_members_only_those_of_a_client() {
    let mut config = replica(0, 4);
    config.clients = ClientPolicy::Any;
    let mut node = Node::bind(config);
    let dialling = raw::dialling();
    let member = key(member_seed(1));
    let mut held = Vec::new();
    for secret in [&key(100), &key(100), &member, &key(101)] {
        held.push(raw::admitted(&dialling, node.address(), secret, ALPN_CLIENT).await);
    }
    node.until("four clients", |events| {
        let ups = events
            .iter()
            .filter(|event| matches!(event, Event::ClientUp { .. }));
        (ups.count() == 4).then_some(())
    })
    .await;
    let hour = Duration::from_secs(3600);
    node.endpoint.bar_client(public(100), hour);
    node.endpoint.bar_client(public(member_seed(1)), hour);
    for peer in &held[..3] {
        assert_eq!(raw::close_text(&peer.connection).await, "barred");
    }
    assert_eq!(node.refusal(&RefuseReason::Barred).await, Some(public(100)));
    assert_eq!(node.refused("barred"), 3);
    // The key that is shown is enough: the server's verifier refuses it within the handshake.
    if let Ok(connection) = raw::dial(&dialling, node.address(), &key(100), ALPN_CLIENT).await {
        in_time("the alert", connection.closed()).await;
    }
    assert_eq!(node.refused("barred"), 4);
    // A member's key may still be a replica's: whose connection it is shows after the handshake.
    let again = raw::dial(&dialling, node.address(), &member, ALPN_CLIENT)
        .await
        .unwrap();
    assert_eq!(raw::close_text(&again).await, "barred");
    assert_eq!(node.refused("barred"), 5);
    let _replica = raw::admitted(&dialling, node.address(), &member, ALPN_REPLICA).await;
    assert_eq!(held[3].connection.close_reason(), None);
}

#[tokio::test]
async fn both_sides_learn_which_field_of_hello_differs() {
    let mut nodes: Vec<Node> = (0..2)
        .map(|id| {
            let mut config = replica(id, 2);
            config.hello[1].digest = [id; 32];
            Node::bind(config)
        })
        .collect();
    introduce(&nodes);
    let reason = RefuseReason::HelloMismatch("checkpointInterval".to_owned());
    for (id, node) in nodes.iter_mut().enumerate() {
        let other = public(member_seed(1 - id as u8));
        assert_eq!(node.refusal(&reason).await, Some(other));
        assert!(
            !node
                .events
                .iter()
                .any(|event| matches!(event, Event::PeerUp { .. }))
        );
    }
}

#[tokio::test]
async fn a_difference_that_only_the_other_side_saw_is_learnt_from_its_close() {
    let mut node = Node::bind(replica(0, 2));
    let dialling = raw::dialling();
    let identity = key(member_seed(1));
    for text in ["go away", "hello: window differs"] {
        let connection = raw::dial(&dialling, node.address(), &identity, ALPN_REPLICA)
            .await
            .unwrap();
        in_time("control lane", connection.accept_uni())
            .await
            .unwrap();
        connection.close((CloseCode::Hello as u32).into(), text.as_bytes());
    }
    let reason = RefuseReason::HelloMismatch("window".to_owned());
    assert_eq!(node.refusal(&reason).await, Some(public(member_seed(1))));
    assert_eq!(node.refused("helloMismatch"), 1, "other texts name nothing");
}

#[tokio::test]
async fn replicas_send_the_same_names_and_clients_may_send_fewer() {
    let mut config = replica(0, 2);
    config.clients = ClientPolicy::Any;
    let mut node = Node::bind(config);
    let mut lacking = replica(1, 2);
    lacking.hello.truncate(1);
    let other = Node::bind(lacking);
    other
        .endpoint
        .set_member_address(0, node.address().to_string());
    node.refusal(&RefuseReason::HelloMismatch(
        "checkpointInterval".to_owned(),
    ))
    .await;
    let mut few = client(100, 2);
    few.hello.truncate(1);
    let mut few = Node::bind(few);
    few.endpoint
        .set_member_address(0, node.address().to_string());
    few.up(0, 1).await;
}

#[tokio::test]
async fn the_protocol_version_is_compared_first_and_both_versions_are_told() {
    let mut node = Node::bind(replica(0, 2));
    let dialling = raw::dialling();
    let identity = key(member_seed(1));
    let connection = raw::dial(&dialling, node.address(), &identity, ALPN_REPLICA)
        .await
        .unwrap();
    let other = [HelloField {
        name: "elsewhere".to_owned(),
        digest: [0; 32],
    }];
    let greeting = raw::frame(1, &raw::hello_payload(0, 2, &other));
    let _control = raw::open(&connection, Lane::Control as u8, &greeting).await;
    let text = raw::close_text(&connection).await;
    assert_eq!(text, "hello: protocol version 1, peer has 2");
    node.refusal(&RefuseReason::HelloMismatch("protocolVersion".to_owned()))
        .await;
}

#[tokio::test]
async fn frames_before_hello_are_not_delivered_and_another_first_frame_is_refused() {
    let mut node = Node::bind(replica(0, 2));
    let dialling = raw::dialling();
    let identity = key(member_seed(1));
    let first = [
        raw::frame(0x21, b"not HELLO"),
        raw::frame(1, &raw::hello_payload(1, 1, &hello())),
        raw::frame(1, b"nonsense"),
        raw::frame(1, &vec![0; 5000]),
    ];
    for greeting in first {
        let connection = raw::dial(&dialling, node.address(), &identity, ALPN_REPLICA)
            .await
            .unwrap();
        let vote = raw::frame(support::KIND, b"too early");
        let _votes = raw::open(&connection, Lane::Votes as u8, &vote).await;
        let _control = raw::open(&connection, Lane::Control as u8, &greeting).await;
        let text = raw::close_text(&connection).await;
        assert!(
            ["badHello", "lyingLength"].contains(&text.as_str()),
            "{text}"
        );
    }
    node.refusal(&RefuseReason::BadHello).await;
    node.refusal(&RefuseReason::LyingLength).await;
    assert!(
        !node
            .events
            .iter()
            .any(|event| !matches!(event, Event::Refused { .. }))
    );
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_closed_at_the_deadline() {
    let mut config = replica(0, 2);
    config.limits.handshake_deadline = std::time::Duration::from_millis(200);
    let mut node = Node::bind(config);
    let dialling = raw::dialling();
    let identity = key(member_seed(1));
    let connection = raw::dial(&dialling, node.address(), &identity, ALPN_REPLICA)
        .await
        .unwrap();
    assert_eq!(raw::close_text(&connection).await, "handshakeTimeout");
    let from = node.refusal(&RefuseReason::HandshakeTimeout).await;
    assert_eq!(from, Some(public(member_seed(1))));
}

#[tokio::test]
async fn attempts_beyond_the_allowance_of_an_address_must_prove_it_and_then_are_ignored() {
    let mut config = replica(0, 2);
    config.limits.accept_burst = 1;
    config.limits.accept_per_second = 1;
    let mut node = Node::bind(config);
    let dialling = raw::dialling();
    let key = raw::certified(&key(200), &key(200));
    let flood: Vec<_> = (0..8)
        .map(|_| {
            let config = raw::client_config(Some(key.clone()), ALPN_REPLICA);
            dialling
                .connect_with(config, node.address(), "replica")
                .unwrap()
        })
        .collect();
    node.refusal(&RefuseReason::Throttled).await;
    drop(flood);
}

#[tokio::test]
async fn a_wrong_configuration_names_its_field_and_starts_nothing() {
    let named = |config| match Endpoint::bind(config) {
        Err(TransportError::Config { field, .. }) => field,
        other => panic!("{:?}", other.err()),
    };
    let mut config = replica(0, 2);
    config.identity = key(99);
    assert_eq!(named(config), "identity");
    let mut config = replica(0, 2);
    config.members[1].key = [0; 32];
    assert_eq!(named(config), "members[1].key");
    let mut config = replica(0, 2);
    config.members[1].key = config.members[0].key;
    assert_eq!(named(config), "members[1]");
    let mut config = replica(0, 2);
    config.role = Role::Replica { id: 7 };
    assert_eq!(named(config), "identity");
    let mut config = replica(0, 2);
    config.hello[0].name = "n".repeat(33);
    assert_eq!(named(config), "hello");
    let mut config = replica(0, 2);
    config.limits.mtu_max = 9_000;
    assert_eq!(named(config), "limits.mtu_max");
    let taken = Node::bind(replica(0, 2));
    let mut config = replica(1, 2);
    config.listen = Some((Ipv4Addr::LOCALHOST, taken.address().port()).into());
    assert!(matches!(
        Endpoint::bind(config),
        Err(TransportError::Socket(_))
    ));
}

#[tokio::test]
async fn a_connection_closed_from_above_is_reported_and_dialled_again() {
    let mut nodes = cluster(2, |_| {}).await;
    nodes[0].endpoint.disconnect(Source::Peer(1), "rude");
    nodes[1]
        .until("down", |events| {
            let text = DownReason::ClosedByPeer("rude".to_owned());
            let is_down =
                |event: &Event| matches!(event, Event::PeerDown { reason, .. } if *reason == text);
            events.iter().any(is_down).then_some(())
        })
        .await;
    nodes[1].up_again(0).await;
    talk(&mut nodes, 0, 1, b"again").await;
    let closed = DownReason::ClosedHere;
    assert!(
        nodes[0]
            .events
            .iter()
            .any(|event| matches!(event, Event::PeerDown { peer: 1, reason } if *reason == closed))
    );
}
