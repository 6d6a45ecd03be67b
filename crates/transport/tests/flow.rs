//! Bounds: nobody slows anybody else, and nothing grows past its bound.

mod support;

use byzantine_transport::{
    ALPN_CLIENT, ALPN_REPLICA, ClientPolicy, Event, Lane, SendError, Source,
};
use support::{Doomed, KIND, Node, cluster, in_time, key, member_seed, raw, replica, talk};

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
    let read = in_time("whole frames", async {
        let mut read = 0;
        loop {
            let mut header = [0; 5];
            votes.read_exact(&mut header).await.unwrap();
            let length = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
            let mut payload = vec![0; length - 1];
            votes.read_exact(&mut payload).await.unwrap();
            assert_eq!(header[4], KIND);
            read += 1;
            if payload == b"to all" {
                break read;
            }
            assert_eq!(payload, vote);
        }
    })
    .await;
    let traffic = nodes[0].endpoint.statistics().peers[1].traffic;
    assert_eq!(traffic.frames_out[0], read, "what was not dropped was sent");
    assert_eq!(traffic.frames_dropped[0], dropped.0);
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
async fn a_vote_overtakes_bulk_that_was_handed_to_quic_before_it() {
    let nodes = cluster(2, |_| {}).await;
    let to = Source::Peer(1);
    let piece = [5; 16 * 1024];
    for _ in 0..64 {
        nodes[0]
            .endpoint
            .send(to, Lane::Bulk, KIND, &[&piece])
            .unwrap();
    }
    nodes[0].endpoint.flush();
    nodes[0].send(to, Lane::Votes, b"vote");
    let received = || nodes[1].endpoint.statistics().peers[0].traffic.frames_in;
    in_time("the vote", async {
        while received()[Lane::Votes.index()] == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // One initial congestion window is about one piece; without priority, or with a send window
    // that bulk may use up, the vote would come behind most of the 64.
    let before = received()[Lane::Bulk.index()];
    assert!(before <= 4, "{before} pieces came before the vote");
}

#[tokio::test]
async fn bulk_that_nobody_acknowledges_leaves_room_for_votes_in_the_send_window() {
    let mut node = Node::bind(replica(0, 2));
    let doomed = Doomed::bind(replica(1, 2), 0, node.address());
    node.up(1, 1).await;
    doomed.crash();
    let to = Source::Peer(1);
    let piece = vec![5; 1 << 20];
    for _ in 0..6 {
        node.endpoint.send(to, Lane::Bulk, KIND, &[&piece]).unwrap();
    }
    node.endpoint.flush();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    node.send(to, Lane::Votes, b"vote");
    in_time("the vote is handed to QUIC", async {
        loop {
            let statistics = node.endpoint.statistics();
            assert!(
                statistics.peers[0].connected,
                "the vote waited for the idle timeout"
            );
            if statistics.peers[0].traffic.frames_out[Lane::Votes.index()] == 1 {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
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
        let statistics = receiver.endpoint.statistics();
        assert!(statistics.waiting_bytes <= bound + excess);
        let frames = statistics.peers[0].traffic.frames_in[0] as usize;
        assert!(frames <= (bound + excess) / 64, "{frames} empty frames");
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
