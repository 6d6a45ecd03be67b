//! What a view change costs at n = 31 with a full default window: bytes of its messages, and the
//! time to check the Q VIEW-CHANGEs that a NEW-VIEW names.
//!
//! `cargo bench -p byzantine-addon --bench new-view`
//!
//! Bytes by design, for a window of w sequences and certificates of s signers (s = Q where nobody
//! sends more than it must, s ≤ n):
//!
//! - VIEW_CHANGE = 118 + 64 s + w (52 + 64 s)
//! - NEW_VIEW = 83 + 33 Q + 96 w
//!
//! A frame of the control lane holds 2 MiB, which bounds w (52 + 64 n).

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use byzantine_addon::engine::{Engine, EngineConfig, EngineLimits};
use byzantine_addon::links::Links;
use byzantine_addon::records::Action;
use byzantine_addon::vote_table::Quorums;
use byzantine_addon::wire::types::{CHECKPOINT, NEW_VIEW, PRE_PREPARE, PREPARE, VIEW_CHANGE};
use byzantine_addon::wire::{Batch, Lane, Name, Signature, Writer, lane_of};
use byzantine_crypto::{Domain, SecretKey};
use byzantine_transport::Source;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const N: u8 = 31;
const F: u8 = 10;
/// Two checkpoint intervals of 100, the default.
const WINDOW: u64 = 200;
/// The stable checkpoint below the window.
const LOW: u64 = 100;
/// The replica that checks.
const ME: u8 = 2;
/// The primary of the view that begins.
const PRIMARY: u8 = 1;
const QUORUMS: Quorums = Quorums { n: N, f: F, me: ME };
const OUTPUT_BYTES: usize = 16 << 20;

struct Nobody;

impl Links for Nobody {
    fn send(&self, _: Source, _: u8, _: &[&[u8]]) -> bool {
        true
    }

    fn is_connected(&self, _: Source) -> bool {
        true
    }

    fn room(&self, _: Source, _: Lane) -> usize {
        OUTPUT_BYTES
    }

    fn bar_client(&self, _: [u8; 32], _: Duration) {}
}

fn domain() -> Domain {
    Domain::new([7; 32], 1)
}

fn key(replica: u8) -> SecretKey {
    SecretKey::from_raw([replica + 1; 32])
}

/// Everything that the replicas signed in view 0.
struct History {
    names: Vec<Name>,
    /// By sequence and replica; the primary's are its proposals.
    votes: Vec<Vec<Signature>>,
    checkpoint: [u8; 40],
    checkpoints: Vec<Signature>,
}

impl History {
    fn new() -> Self {
        let keys: Vec<SecretKey> = (0..N).map(key).collect();
        let sign = |replica: usize, message_type: u8, bytes: &[u8]| {
            keys[replica].sign(&[&domain().prefix(message_type), bytes])
        };
        let names: Vec<Name> = (LOW + 1..=LOW + WINDOW)
            .map(|sequence| Name {
                view: 0,
                sequence,
                digest: batch(sequence).digest(),
            })
            .collect();
        let votes = names
            .iter()
            .map(|name| {
                let vote = |replica| {
                    let message_type = if replica == 0 { PRE_PREPARE } else { PREPARE };
                    sign(replica, message_type, &name.signed_bytes())
                };
                (0..usize::from(N)).map(vote).collect()
            })
            .collect();
        let mut checkpoint = [9; 40];
        checkpoint[..8].copy_from_slice(&LOW.to_le_bytes());
        Self {
            names,
            votes,
            checkpoints: (0..usize::from(N))
                .map(|replica| sign(replica, CHECKPOINT, &checkpoint))
                .collect(),
            checkpoint,
        }
    }

    /// The VIEW_CHANGE of a replica for view 1, with the votes of the primary, its own, and those of
    /// the replicas after it, as far as a certificate needs.
    fn view_change(&self, by: u8) -> Bytes {
        let after = (0..N).map(|place| (by + place) % N);
        let mut signers: Vec<u8> = [0]
            .into_iter()
            .chain(after.filter(|signer| *signer != 0))
            .collect();
        signers.truncate(QUORUMS.quorum() as usize);
        signers.sort_unstable();
        let set = signers.iter().fold(0u32, |set, signer| set | 1 << signer);
        let mut writer = Writer::default();
        writer.u53(1).raw(&self.checkpoint).u32(set);
        for signer in &signers {
            writer.raw(&self.checkpoints[usize::from(*signer)]);
        }
        writer.u16(WINDOW as u16);
        for (name, votes) in self.names.iter().zip(&self.votes) {
            writer.raw(&name.signed_bytes()).u32(set);
            for signer in &signers {
                writer.raw(&votes[usize::from(*signer)]);
            }
        }
        signed(writer, by, VIEW_CHANGE)
    }

    /// The NEW_VIEW of the primary of view 1.
    fn new_view(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.u53(1).u8(QUORUMS.quorum() as u8);
        for from in 0..QUORUMS.quorum() as u8 {
            writer.u8(from).raw(&[from; 32]);
        }
        writer.u53(LOW + 1).u16(WINDOW as u16);
        for name in &self.names {
            let name = Name { view: 1, ..*name };
            let signature =
                key(PRIMARY).sign(&[&domain().prefix(PRE_PREPARE), &name.signed_bytes()]);
            writer.raw(&name.digest).raw(&signature);
        }
        signed(writer, PRIMARY, NEW_VIEW)
    }
}

fn batch(sequence: u64) -> Batch<'static> {
    Batch {
        time_ms: sequence,
        bundles: &[],
    }
}

fn signed(mut writer: Writer, by: u8, message_type: u8) -> Bytes {
    let signature = key(by).sign(&[&domain().prefix(message_type), writer.as_slice()]);
    writer.raw(&signature);
    Bytes::from(writer.into_vec())
}

fn engine() -> Engine {
    let mut engine = Engine::new(EngineConfig {
        quorums: QUORUMS,
        domain: domain(),
        secret: key(ME),
        members: (0..N).map(|replica| key(replica).public()).collect(),
        clients: None,
        limits: EngineLimits {
            operation_bytes_max: 1 << 18,
            batch_bundles_max: 256,
        },
    });
    let window = Action::Window {
        low: LOW,
        high: LOW + WINDOW,
        view: 0,
        pending: Some(1),
    };
    engine.apply(window, &Nobody).expect("a window");
    engine
}

fn deliver(engine: &mut Engine, from: u8, message_type: u8, payload: Bytes) {
    let lane = lane_of(message_type).expect("a lane");
    engine.on_frame(Source::Peer(from), lane, message_type, payload, &Nobody);
}

/// An engine that took part in view 0: its vote table verified what certificates need.
fn engine_with_votes(history: &History) -> Engine {
    let mut engine = engine();
    for (name, votes) in history.names.iter().zip(&history.votes) {
        let mut proposal = Writer::default();
        proposal.u53(0).u53(name.sequence);
        batch(name.sequence).write(&mut proposal);
        proposal.raw(&votes[0]);
        deliver(&mut engine, 0, PRE_PREPARE, proposal.into_vec().into());
        for from in (1..N).filter(|from| *from != ME) {
            let vote = [&name.signed_bytes()[..], &votes[usize::from(from)]].concat();
            deliver(&mut engine, from, PREPARE, vote.into());
        }
    }
    settle(&mut engine);
    engine
}

thread_local! {
    /// The output of a turn, as the reactor's caller holds it.
    static OUTPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; OUTPUT_BYTES]);
}

fn settle(engine: &mut Engine) -> usize {
    engine.settle(&Nobody);
    OUTPUT.with_borrow_mut(|output| engine.fill(output))
}

/// Q VIEW-CHANGEs, one per turn or all in one, and whether all of them were handed up.
fn check(engine: &mut Engine, messages: &[(u8, Bytes)], one_per_turn: bool) {
    for (from, payload) in messages {
        deliver(engine, *from, VIEW_CHANGE, payload.clone());
        if one_per_turn {
            black_box(settle(engine));
        }
    }
    black_box(settle(engine));
    assert_eq!(engine.kept_messages().0, messages.len());
}

fn view_changes(criterion: &mut Criterion) {
    let history = History::new();
    let senders = (0..N)
        .filter(|from| *from != ME)
        .take(QUORUMS.quorum() as usize);
    let messages: Vec<(u8, Bytes)> = senders.map(|by| (by, history.view_change(by))).collect();
    let new_view = history.new_view();
    let (window, quorum) = (WINDOW as usize, QUORUMS.quorum() as usize);
    let by_design = 118 + 64 * quorum + window * (52 + 64 * quorum);
    println!(
        "VIEW_CHANGE {} bytes, by design {by_design}",
        messages[0].1.len()
    );
    assert_eq!(messages[0].1.len(), by_design);
    let by_design = 83 + 33 * quorum + 96 * window;
    println!("NEW_VIEW {} bytes, by design {by_design}", new_view.len());
    assert_eq!(new_view.len(), by_design);
    println!(
        "{quorum} VIEW_CHANGEs hold {} signatures",
        quorum * (1 + quorum * (window + 1))
    );
    for (name, votes) in [("nothing known before", false), ("after taking part", true)] {
        let mut engine = if votes {
            engine_with_votes(&history)
        } else {
            engine()
        };
        let before = engine.work().verified;
        check(&mut engine, &messages, true);
        println!("{name}: {} verified", engine.work().verified - before);
    }

    let mut group = criterion.benchmark_group("check Q VIEW-CHANGEs at n = 31");
    group.sample_size(10);
    group.bench_function("each by itself, nothing remembered", |bencher| {
        bencher.iter(|| {
            for message in &messages {
                check(&mut engine(), std::slice::from_ref(message), false);
            }
        });
    });
    for (name, one_per_turn) in [("one per turn", true), ("all in one turn", false)] {
        group.bench_function(name, |bencher| {
            let run = |mut engine: Engine| check(&mut engine, &messages, one_per_turn);
            bencher.iter_batched(engine, run, BatchSize::PerIteration);
        });
    }
    group.bench_function("one per turn, after taking part in the view", |bencher| {
        let run = |mut engine: Engine| check(&mut engine, &messages, true);
        bencher.iter_batched(|| engine_with_votes(&history), run, BatchSize::PerIteration);
    });
    group.finish();
    criterion.bench_function("check a NEW-VIEW at n = 31", |bencher| {
        let run = |mut engine: Engine| {
            deliver(&mut engine, PRIMARY, NEW_VIEW, new_view.clone());
            black_box(settle(&mut engine));
            assert_eq!(engine.kept_messages().0, 1);
        };
        bencher.iter_batched(engine, run, BatchSize::PerIteration);
    });
}

criterion_group!(benches, view_changes);
criterion_main!(benches);
