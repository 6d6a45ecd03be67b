//! The end: nothing is left behind.

mod support;

use std::time::Duration;

use byzantine_transport::{DownReason, Endpoint, Event, Lane, SendError, Source, TransportError};
use support::{KIND, cluster, in_time, replica};
use tokio::runtime::Handle;

/// Waits until no task of this runtime is alive (the test itself is not one).
async fn no_task_left() {
    in_time("all tasks end", async {
        while Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn shutdown_tells_the_peers_and_leaves_no_task_and_the_second_does_nothing() {
    let mut nodes = cluster(3, |_| {}).await;
    let first = nodes.remove(0);
    first.endpoint.shutdown(Duration::from_secs(5)).await;
    for node in &mut nodes {
        node.until("the farewell", |events| {
            let is_down = |event: &Event| {
                matches!(
                    event,
                    Event::PeerDown {
                        peer: 0,
                        reason: DownReason::PeerShutDown
                    }
                )
            };
            events.iter().any(is_down).then_some(())
        })
        .await;
    }
    let result = first.endpoint.send(Source::Peer(1), Lane::Votes, KIND, &[]);
    assert_eq!(result, Err(SendError::NotConnected));
    first.endpoint.shutdown(Duration::from_secs(5)).await;
    for node in &nodes {
        node.endpoint.shutdown(Duration::from_secs(5)).await;
    }
    no_task_left().await;
    assert_eq!(first.endpoint.statistics().connections, 0);
}

#[tokio::test]
async fn an_endpoint_that_is_dropped_leaves_no_task() {
    let nodes = cluster(3, |_| {}).await;
    drop(nodes);
    no_task_left().await;
}

#[tokio::test]
async fn an_endpoint_whose_peers_never_answer_ends_at_once() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::bind(replica(0, 2)).unwrap();
    endpoint.set_member_address(1, silent.local_addr().unwrap().to_string());
    let mut first = [0; 2000];
    silent.set_nonblocking(true).unwrap();
    in_time("the dial", async {
        while silent.recv_from(&mut first).is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(
        (first[0] & 0xc0, &first[1..5]),
        (0xc0, &[0, 0, 0, 1][..]),
        "a QUIC v1 long header"
    );
    endpoint.shutdown(Duration::from_millis(500)).await;
    drop(endpoint);
    no_task_left().await;
}

#[test]
fn an_endpoint_needs_a_runtime() {
    assert!(matches!(
        Endpoint::bind(replica(0, 2)),
        Err(TransportError::NoRuntime)
    ));
}
