//! Bounds: nobody slows anybody else, and nothing grows past its bound.

mod support;

use byzantine_transport::{
    ALPN_CLIENT, ALPN_REPLICA, ClientPolicy, Event, Lane, SendError, Source,
};
use support::{KIND, Node, cluster, in_time, key, member_seed, raw, replica, settle, talk};

#[tokio::test]
async fn a_full_queue_to_a_stalled_peer_is_dropped_and_counted_while_others_get_their_frames() {
    let mut nodes: Vec<Node> = (0..2).map(|id| Node::bind(replica(id, 3))).collect();
    nodes[0]
        .endpoint
        .set_member_address(1, nodes[1].address().to_string());
    nodes[1]
        .endpoint
        .set_member_address(0, nodes[0].address().to_string());
    let dialling = raw::dialling();
    let identity = key(member_seed(2));
    // It is connected, acknowledges everything, and never reads the votes.
    let stalled = raw::admitted(&dialling, nodes[0].address(), &identity, ALPN_REPLICA).await;
    nodes[0].up(2, 1).await;
    nodes[0].up(1, 1).await;
    let vote = [7; 200];
    let dropped = in_time("a full queue", async {
        loop {
            let result = nodes[0]
                .endpoint
                .send(Source::Peer(2), Lane::Votes, KIND, &[&vote]);
            nodes[0].endpoint.flush();
            match result {
                Ok(()) => tokio::task::yield_now().await,
                Err(SendError::QueueFull { frames, bytes }) => break (frames, bytes),
                Err(other) => panic!("{other}"),
            }
        }
    })
    .await;
    let limits = replica(0, 3).limits;
    assert_eq!(dropped.1, dropped.0 * 205, "only whole frames are dropped");
    assert!(
        dropped.1 > limits.outbound_bytes[0] as u64 - 205,
        "the queue was full"
    );
    let peers = nodes[0].endpoint.statistics().peers;
    assert_eq!(peers[1].traffic.frames_dropped[0], dropped.0);
    assert_eq!(peers[1].queued_bytes[0], 0);
    assert_eq!(peers[0].traffic.frames_dropped, [0; 4]);
    // The next frame begins an empty queue, and the other peer hears everything meanwhile.
    nodes[0].endpoint.broadcast(Lane::Votes, KIND, &[b"to all"]);
    nodes[0].endpoint.flush();
    nodes[1]
        .frame(Source::Peer(0), Lane::Votes, b"to all")
        .await;
    assert_eq!(
        nodes[0].endpoint.statistics().peers[1].queued_bytes[0],
        5 + 6
    );

    // What the stalled peer reads in the end is whole frames, with a gap where the drop was.
    let mut votes = in_time("votes", stalled.connection.accept_uni())
        .await
        .unwrap();
    let mut lane = [9];
    votes.read_exact(&mut lane).await.unwrap();
    assert_eq!(lane, [Lane::Votes as u8]);
    in_time("whole frames", async {
        loop {
            let mut header = [0; 5];
            votes.read_exact(&mut header).await.unwrap();
            let length = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
            let mut payload = vec![0; length - 1];
            votes.read_exact(&mut payload).await.unwrap();
            assert_eq!(header[4], KIND);
            if payload == b"to all" {
                break;
            }
            assert_eq!(payload, vote);
        }
    })
    .await;
}

#[tokio::test]
async fn thirty_two_mebibytes_on_bulk_do_not_delay_votes() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 32;
    let mut nodes = cluster(2, |_| {}).await;
    let mut receiver = nodes.pop().unwrap();
    let sender = nodes.pop().unwrap();
    let to = Source::Peer(1);
    let piece = vec![5; PIECE];
    let mut pieces = 0;
    let mut votes = 0u32;
    let mut bulk_at_vote = Vec::new();
    let mut bulk_received = 0;
    in_time("the transfer", async {
        while bulk_received < PIECES {
            while pieces < PIECES && sender.endpoint.outbound_room(to, Lane::Bulk) >= PIECE {
                sender
                    .endpoint
                    .send(to, Lane::Bulk, KIND, &[&piece])
                    .unwrap();
                pieces += 1;
            }
            // One vote is on its way at any time; each measures the transfer behind which it
            // would wait if lanes were one stream.
            if bulk_at_vote.len() == votes as usize {
                sender
                    .endpoint
                    .send(to, Lane::Votes, KIND, &[&votes.to_le_bytes()])
                    .unwrap();
                votes += 1;
            }
            sender.endpoint.flush();
            receiver
                .endpoint
                .poll_events(&mut receiver.events, usize::MAX);
            for event in receiver.events.drain(..) {
                match event {
                    Event::Frame {
                        lane: Lane::Bulk,
                        payload,
                        ..
                    } => {
                        assert_eq!(payload.len(), PIECE);
                        bulk_received += 1;
                    }
                    Event::Frame {
                        lane: Lane::Votes,
                        payload,
                        ..
                    } => {
                        let number = (bulk_at_vote.len() as u32).to_le_bytes();
                        assert_eq!(payload[..], number, "votes arrive in order");
                        bulk_at_vote.push(bulk_received);
                    }
                    _ => {}
                }
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let during = bulk_at_vote
        .iter()
        .filter(|received| **received < PIECES - 1)
        .count();
    assert!(
        during >= PIECES,
        "{during} votes made their way during {PIECES} pieces"
    );
    // A vote waits for what is in flight, at most the window of one lane, never for the queue.
    let gaps = bulk_at_vote
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap();
    assert!(gaps <= 3, "{gaps} MiB of bulk arrived between two votes");
}

#[tokio::test]
async fn a_lane_that_is_not_polled_holds_its_sender_within_the_bound_and_no_other_lane() {
    let mut nodes = cluster(2, |_| {}).await;
    let mut receiver = nodes.pop().unwrap();
    let sender = nodes.pop().unwrap();
    let to = Source::Peer(1);
    let limits = replica(0, 2).limits;
    let piece = vec![5; 1 << 20];
    let bulk = Lane::Bulk.index();
    let bound = limits.inbound_bytes[bulk] + piece.len() + (1 << 20);
    in_time("a full lane and a full queue", async {
        loop {
            let waiting = receiver.endpoint.statistics().waiting_bytes;
            assert!(waiting <= bound, "{waiting} wait");
            if sender.endpoint.outbound_room(to, Lane::Bulk) >= piece.len() {
                sender
                    .endpoint
                    .send(to, Lane::Bulk, KIND, &[&piece])
                    .unwrap();
                sender.endpoint.flush();
            } else if waiting >= limits.inbound_bytes[bulk] {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    sender.send(to, Lane::Votes, b"vote");
    in_time("a vote beside a full lane", async {
        let arrived = || receiver.endpoint.statistics().peers[0].traffic.frames_in[0] == 1;
        while !arrived() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // One poll brings the vote first, however little it asks for.
    receiver.events.clear();
    receiver.endpoint.poll_events(&mut receiver.events, 1);
    assert!(
        matches!(
            &receiver.events[0],
            Event::Frame {
                lane: Lane::Votes,
                ..
            }
        ),
        "{:?}",
        receiver.events.first()
    );
    assert_eq!(receiver.events.len(), 2, "and one frame of the full lane");
    // Once polled, the transfer goes on to its end.
    let total = sender.endpoint.statistics().peers[0].traffic.frames_out[bulk] as usize
        + sender.endpoint.statistics().peers[0].queued_bytes[bulk] / (piece.len() + 5);
    receiver
        .until("the rest", |events| {
            let is_bulk = |event: &&Event| {
                matches!(
                    event,
                    Event::Frame {
                        lane: Lane::Bulk,
                        ..
                    }
                )
            };
            (events.iter().filter(is_bulk).count() >= total).then_some(())
        })
        .await;
    assert_eq!(receiver.endpoint.statistics().waiting_bytes, 0);
}

#[tokio::test]
async fn empty_frames_are_bounded_as_well() {
    let mut nodes = cluster(2, |_| {}).await;
    let receiver = nodes.pop().unwrap();
    let sender = nodes.pop().unwrap();
    let bound = replica(0, 2).limits.inbound_bytes[0];
    let excess = 16 * 1024 / 5 * 64 + 64;
    in_time("a full lane", async {
        while receiver.endpoint.statistics().waiting_bytes < bound {
            for _ in 0..1000 {
                let _ = sender
                    .endpoint
                    .send(Source::Peer(1), Lane::Votes, KIND, &[]);
            }
            sender.endpoint.flush();
            tokio::task::yield_now().await;
        }
    })
    .await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
        assert!(receiver.endpoint.statistics().waiting_bytes <= bound + excess);
    }
}

#[tokio::test]
async fn paused_clients_are_held_by_flow_control_while_replicas_go_on() {
    let mut nodes = cluster(2, |config| config.clients = ClientPolicy::Any).await;
    nodes[0].endpoint.pause_clients(true);
    let dialling = raw::dialling();
    let client = raw::admitted(&dialling, nodes[0].address(), &key(100), ALPN_CLIENT).await;
    let request = raw::frame(KIND, &[1; 1000]);
    let mut lane = raw::open(&client.connection, Lane::Client as u8, &[]).await;
    let mut written = 0usize;
    // Writes until the window is used up: then a write does not complete any more.
    in_time("a full window", async {
        let mut still = 0;
        while still < 1000 {
            tokio::select! {
                biased;
                result = lane.write(&request) => {
                    written += result.unwrap();
                    still = 0;
                }
                () = tokio::task::yield_now() => still += 1,
            }
        }
    })
    .await;
    let window = replica(0, 2).limits.client_connection_window as usize;
    assert!(written <= window, "{written} bytes were accepted");
    assert_eq!(
        nodes[0].endpoint.statistics().clients.traffic.frames_in[2],
        0
    );
    talk(&mut nodes, 0, 1, b"meanwhile").await;
    nodes[0].endpoint.pause_clients(false);
    nodes[0]
        .until("requests", |events| {
            let is_request = |event: &&Event| {
                matches!(
                    event,
                    Event::Frame {
                        from: Source::Client(_),
                        ..
                    }
                )
            };
            (events.iter().filter(is_request).count() >= written / request.len()).then_some(())
        })
        .await;
}

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
