//! Four replicas with real keys; this one is replica 3, the primary of view 0 is replica 0.

mod certificates;
mod conflicts;
mod new_views;

use byzantine_crypto::{Domain, SecretKey};

use super::*;
use crate::checks::Verifier;
use crate::wire::types::{CHECKPOINT, COMMIT, PRE_PREPARE};

const ME: u8 = 3;
const DIGEST: Digest = [0xaa; 32];
const OTHER: Digest = [0xbb; 32];

struct Fixture {
    table: VoteTable,
    verifier: Verifier,
    keys: Vec<SecretKey>,
    domain: Domain,
    /// Signatures that the last settling verified.
    verified: usize,
}

type HandUp = (Phase, Digest, u32);

impl Fixture {
    fn new(n: u8, f: u8) -> Self {
        let keys: Vec<_> = (0..n)
            .map(|seed| SecretKey::from_raw([seed + 1; 32]))
            .collect();
        let domain = Domain::new([9; 32], 1);
        let verifier = Verifier::new(domain, keys.iter().map(SecretKey::public).collect());
        let mut table = VoteTable::new(Quorums { n, f, me: ME });
        table.set_window(0, 100, 0, None);
        Self {
            table,
            verifier,
            keys,
            domain,
            verified: 0,
        }
    }

    fn sign(&self, by: u8, message_type: u8, name: &Name) -> Signature {
        self.keys[usize::from(by)].sign(&[&self.domain.prefix(message_type), &name.signed_bytes()])
    }

    fn prepare(&mut self, from: u8, name: &Name) -> Result<(), Reason> {
        let signature = self.sign(from, PREPARE, name);
        self.table.offer_prepare(from, name, &signature)
    }

    fn settle(&mut self) -> Vec<HandUp> {
        let (mut checks, mut claims) = (Vec::new(), Vec::new());
        self.table.collect(&mut checks, &mut claims);
        self.verified = checks.len();
        self.table
            .resolve(&claims, &self.verifier.verdicts(&checks));
        let mut sets = Vec::new();
        self.table
            .hand_up(|phase, name, set| sets.push((phase, name.digest, set)));
        sets
    }
}

fn name(view: u64, sequence: u64, digest: Digest) -> Name {
    Name {
        view,
        sequence,
        digest,
    }
}

#[test]
fn votes_outside_of_window_and_views_are_refused_with_the_reason() {
    let mut fixture = Fixture::new(4, 1);
    fixture.table.set_window(10, 20, 5, Some(8));
    for (view, sequence, expected) in [
        (5, 11, Ok(())),
        (5, 20, Ok(())),
        (6, 11, Ok(())),
        (8, 11, Ok(())),
        (9, 11, Ok(())),
        (5, 10, Err(Reason::BelowWindow)),
        (5, 21, Err(Reason::AboveWindow)),
        (4, 11, Err(Reason::WrongView)),
        (7, 11, Err(Reason::WrongView)),
        (10, 11, Err(Reason::WrongView)),
        (u64::MAX, 11, Err(Reason::WrongView)),
    ] {
        assert_eq!(
            fixture.table.offer_commit(2, &name(view, sequence, DIGEST)),
            expected,
            "{view} {sequence}"
        );
    }
    let mut fresh = VoteTable::new(Quorums { n: 4, f: 1, me: ME });
    assert_eq!(
        fresh.offer_commit(2, &name(0, 1, DIGEST)),
        Err(Reason::AboveWindow)
    );
}

#[test]
fn one_claim_is_handed_up_at_f_1_and_a_quorum_stops_verification() {
    let mut fixture = Fixture::new(7, 2);
    let vote = name(0, 1, DIGEST);
    fixture.prepare(1, &vote).expect("taken");
    assert_eq!(fixture.settle(), []);
    assert_eq!(
        fixture.verified, 0,
        "one of f = 2 claims is not worth a verification"
    );
    fixture.prepare(2, &vote).expect("taken");
    assert_eq!(fixture.settle(), [(Phase::Prepare, DIGEST, 0b110)]);
    assert_eq!(fixture.verified, 2);
    fixture.prepare(4, &vote).expect("taken");
    fixture.prepare(5, &vote).expect("taken");
    assert_eq!(fixture.settle(), [(Phase::Prepare, DIGEST, 0b110110)]);
    // Q = 5, so four others are enough.
    fixture.prepare(6, &vote).expect("taken");
    assert_eq!(fixture.settle(), []);
    assert_eq!(fixture.verified, 0);
}

#[test]
fn with_our_own_vote_filed_one_signature_less_is_verified() {
    let mut fixture = Fixture::new(4, 1);
    let vote = name(0, 1, DIGEST);
    let own = fixture.sign(ME, PREPARE, &vote);
    fixture.table.file_own_prepare(&vote, &own);
    assert_eq!(fixture.settle(), []);
    fixture.prepare(1, &vote).expect("taken");
    assert_eq!(fixture.settle(), [(Phase::Prepare, DIGEST, 0b010)]);
    fixture.prepare(2, &vote).expect("taken");
    assert_eq!(fixture.settle(), []);
}

#[test]
fn claims_for_different_digests_never_add_up() {
    let mut fixture = Fixture::new(7, 2);
    fixture.prepare(1, &name(0, 1, DIGEST)).expect("taken");
    fixture.prepare(2, &name(0, 1, OTHER)).expect("taken");
    fixture.prepare(4, &name(0, 2, DIGEST)).expect("taken");
    fixture.prepare(5, &name(1, 1, DIGEST)).expect("taken");
    assert_eq!(fixture.settle(), []);
}

#[test]
fn commits_are_handed_up_from_one_less_than_a_quorum_to_a_quorum() {
    let mut fixture = Fixture::new(7, 2);
    let vote = name(0, 1, DIGEST);
    let mut handed = Vec::new();
    for from in [0, 1, 2, 4, 5, 6] {
        fixture.table.offer_commit(from, &vote).expect("taken");
        handed.extend(
            fixture
                .settle()
                .into_iter()
                .map(|(phase, _, set)| (phase, set)),
        );
    }
    // Q = 5; the sixth changes nothing any more.
    assert_eq!(
        handed,
        [(Phase::Commit, 0b10111), (Phase::Commit, 0b110111)]
    );
    assert_eq!(fixture.verified, 0);
}

#[test]
fn the_primary_has_no_prepare_and_a_repeated_vote_is_a_duplicate() {
    let mut fixture = Fixture::new(4, 1);
    assert_eq!(
        fixture.prepare(0, &name(0, 1, DIGEST)),
        Err(Reason::PrimaryVoted)
    );
    assert_eq!(fixture.prepare(0, &name(1, 1, DIGEST)), Ok(()));
    assert_eq!(fixture.prepare(2, &name(0, 1, DIGEST)), Ok(()));
    assert_eq!(
        fixture.prepare(2, &name(0, 1, DIGEST)),
        Err(Reason::Duplicate)
    );
    assert_eq!(fixture.table.offer_commit(0, &name(0, 1, DIGEST)), Ok(()));
    assert_eq!(
        fixture.table.offer_commit(0, &name(0, 1, DIGEST)),
        Err(Reason::Duplicate)
    );
    assert_eq!(
        fixture.table.offer_commit(0, &name(0, 1, OTHER)),
        Err(Reason::ConflictingVote)
    );
}

#[test]
fn a_bad_signature_empties_the_slot_and_puts_its_replica_on_eager_verification() {
    let mut fixture = Fixture::new(7, 2);
    let vote = name(0, 1, DIGEST);
    fixture
        .table
        .offer_prepare(1, &vote, &[0; 64])
        .expect("not looked at yet");
    fixture.prepare(2, &vote).expect("taken");
    assert_eq!(fixture.settle(), [], "one valid claim of two");
    fixture.prepare(1, &vote).expect("the slot is free again");
    assert_eq!(fixture.settle(), [(Phase::Prepare, DIGEST, 0b110)]);
    fixture.prepare(1, &name(0, 2, DIGEST)).expect("taken");
    assert_eq!(fixture.settle(), []);
    assert_eq!(fixture.verified, 1, "verified alone, on arrival");
}

#[test]
fn a_signature_for_another_type_view_sequence_or_digest_is_bad() {
    for wrong in [name(1, 1, DIGEST), name(0, 2, DIGEST), name(0, 1, OTHER)] {
        let mut fixture = Fixture::new(4, 1);
        let signature = fixture.sign(1, PREPARE, &wrong);
        fixture
            .table
            .offer_prepare(1, &name(0, 1, DIGEST), &signature)
            .expect("taken");
        assert_eq!(fixture.settle(), []);
    }
    for message_type in [PRE_PREPARE, COMMIT, CHECKPOINT] {
        let mut fixture = Fixture::new(4, 1);
        let signature = fixture.sign(1, message_type, &name(0, 1, DIGEST));
        fixture
            .table
            .offer_prepare(1, &name(0, 1, DIGEST), &signature)
            .expect("taken");
        assert_eq!(fixture.settle(), []);
    }
}

#[test]
fn a_certificate_is_the_proposal_and_the_verified_prepares_of_its_digest() {
    let mut fixture = Fixture::new(4, 1);
    let vote = name(0, 1, DIGEST);
    let signed = |fixture: &Fixture, by| {
        (
            by,
            fixture.sign(by, if by == 0 { PRE_PREPARE } else { PREPARE }, &vote),
        )
    };
    let expected = [
        signed(&fixture, 0),
        signed(&fixture, 1),
        signed(&fixture, ME),
    ];
    fixture
        .table
        .file_proposal(&vote, &expected[0].1)
        .expect("filed");
    fixture.table.file_own_prepare(&vote, &expected[2].1);
    fixture.prepare(1, &vote).expect("taken");
    fixture.prepare(2, &name(0, 1, OTHER)).expect("taken");
    fixture.settle();
    assert_eq!(fixture.table.certificate(&vote), expected);
    assert_eq!(fixture.table.certificate(&name(1, 1, DIGEST)), []);
    // It outlives its view until the window passes it.
    fixture.table.set_window(0, 100, 7, None);
    assert_eq!(fixture.table.slots(), 0);
    assert_eq!(fixture.table.certificate(&vote), expected);
    assert_eq!(fixture.table.certificate(&name(0, 1, OTHER)), []);
    fixture.table.set_window(1, 101, 7, None);
    assert_eq!(fixture.table.certificate(&vote), []);
}

#[test]
fn what_was_collected_before_a_view_was_installed_is_handed_up_again() {
    let mut fixture = Fixture::new(4, 1);
    fixture.prepare(2, &name(1, 1, DIGEST)).expect("taken");
    assert_eq!(fixture.settle(), [(Phase::Prepare, DIGEST, 0b100)]);
    fixture.table.set_window(0, 100, 0, Some(1));
    assert_eq!(fixture.settle(), []);
    fixture.table.set_window(0, 100, 1, None);
    assert_eq!(fixture.settle(), [(Phase::Prepare, DIGEST, 0b100)]);
    fixture.table.set_window(0, 200, 1, None);
    assert_eq!(fixture.settle(), []);
}

#[test]
fn checkpoint_votes_are_one_per_signer_and_sequence_bounded_and_freed_below_a_stable_one() {
    let mut fixture = Fixture::new(4, 1);
    let file = |fixture: &mut Fixture, from: u8, sequence: u64, digest: Digest| {
        fixture
            .table
            .file_checkpoint(from, sequence, &digest, &[from; 64])
    };
    for from in [2, 0, 1] {
        assert_eq!(file(&mut fixture, from, 100, DIGEST), Ok(()));
    }
    assert_eq!(file(&mut fixture, 2, 100, DIGEST), Err(Reason::Duplicate));
    for _ in 0..2 {
        assert_eq!(
            file(&mut fixture, 2, 100, OTHER),
            Err(Reason::ConflictingVote)
        );
    }
    assert_eq!(fixture.table.take_conflicts().len(), 1);
    let certificate = fixture.table.checkpoints().certificate(100, &DIGEST);
    assert_eq!(certificate, [(0, [0; 64]), (1, [1; 64]), (2, [2; 64])]);
    for interval in 2..=17 {
        assert_eq!(file(&mut fixture, 1, interval * 100, DIGEST), Ok(()));
    }
    assert_eq!(
        file(&mut fixture, 1, 100, DIGEST),
        Err(Reason::AboveWindow),
        "the lowest made room"
    );
    fixture.table.turn_is_over();
    let certificate = fixture.table.checkpoints().certificate(100, &DIGEST);
    assert_eq!(certificate, [(0, [0; 64]), (2, [2; 64])]);
    fixture.table.stable(200, DIGEST, 0b10);
    assert_eq!(fixture.table.checkpoints().certificate(100, &DIGEST), []);
    assert_eq!(
        fixture.table.checkpoints().certificate(200, &DIGEST),
        [(1, [1; 64])]
    );
    assert_eq!(file(&mut fixture, 2, 199, DIGEST), Err(Reason::BelowWindow));
}
