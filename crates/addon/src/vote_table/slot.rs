//! Everything that is held for one (view, sequence).

use super::{Phase, Quorums};
use crate::wire::{Digest, Signature};

/// A signed vote.
#[derive(Clone, Debug)]
pub(super) struct Prepare {
    pub digest: Digest,
    pub signature: Signature,
    pub verified: bool,
}

#[derive(Debug)]
pub(super) struct Slot {
    /// The primary's verified proposal.
    pub proposal: Option<(Digest, Signature)>,
    /// By replica.
    pub prepares: Vec<Option<Prepare>>,
    /// By replica.
    pub commits: Vec<Option<Digest>>,
    /// The largest set that was handed up per phase and digest.
    pub handed: Vec<(Phase, Digest, u32)>,
    /// Replicas whose conflict is pending or reported.
    pub conflicting: u32,
    /// Whether it is in the table's list of slots to look at.
    pub dirty: bool,
    /// What the core named a certificate of.
    pub named: Option<Digest>,
}

impl Slot {
    pub fn new(n: u8) -> Self {
        Self {
            proposal: None,
            prepares: vec![None; usize::from(n)],
            commits: vec![None; usize::from(n)],
            handed: Vec::new(),
            conflicting: 0,
            dirty: false,
            named: None,
        }
    }

    /// The replicas whose PREPARE must be verified now: all unverified claims of a digest that
    /// enough others claim and that still needs signers, and those of replicas in `eager`.
    pub fn to_verify(&self, quorums: Quorums, view: u64, eager: u32) -> u32 {
        let mut unverified = self.prepares_where(quorums, |vote| !vote.verified) & eager;
        for digest in distinct(self.prepares.iter().flatten().map(|vote| vote.digest)) {
            let claimed = self.prepares_where(quorums, |vote| vote.digest == digest);
            let verified =
                self.prepares_where(quorums, |vote| vote.digest == digest && vote.verified);
            let enough = verified.count_ones() >= self.enough(quorums, view, &digest);
            if claimed.count_ones() >= quorums.hand_up_from() && !enough {
                unverified |= claimed & !verified;
            }
        }
        unverified
    }

    /// Verified PREPAREs of others that complete a certificate: the primary's proposal is one
    /// signature of Q, and where ours is filed it is another. Never less than what is handed up.
    fn enough(&self, quorums: Quorums, view: u64, digest: &Digest) -> u32 {
        let own = self.prepares[usize::from(quorums.me)].as_ref();
        let own =
            quorums.me != quorums.primary(view) && own.is_some_and(|vote| vote.digest == *digest);
        (quorums.quorum() - 1 - u32::from(own)).max(quorums.hand_up_from())
    }

    /// Replicas other than ourselves whose PREPARE satisfies `test`.
    fn prepares_where(&self, quorums: Quorums, test: impl Fn(&Prepare) -> bool) -> u32 {
        set_of(quorums.me, &self.prepares, |vote| {
            vote.as_ref().is_some_and(&test)
        })
    }

    /// Calls `emit` with sets that are large enough, new or grown.
    pub fn hand_up(&mut self, quorums: Quorums, mut emit: impl FnMut(Phase, Digest, u32)) {
        for digest in distinct(self.prepares.iter().flatten().map(|vote| vote.digest)) {
            let verified =
                self.prepares_where(quorums, |vote| vote.digest == digest && vote.verified);
            self.offer_up(
                Phase::Prepare,
                digest,
                verified,
                quorums.hand_up_from(),
                u32::from(quorums.n),
                &mut emit,
            );
        }
        for digest in distinct(self.commits.iter().flatten().copied()) {
            let claimed = set_of(quorums.me, &self.commits, |held| *held == Some(digest));
            let quorum = quorums.quorum();
            self.offer_up(
                Phase::Commit,
                digest,
                claimed,
                quorum - 1,
                quorum,
                &mut emit,
            );
        }
    }

    /// Emits `set` where it has grown, has `from` members, and what was emitted had fewer than
    /// `until`.
    fn offer_up(
        &mut self,
        phase: Phase,
        digest: Digest,
        set: u32,
        from: u32,
        until: u32,
        emit: &mut impl FnMut(Phase, Digest, u32),
    ) {
        if set == 0 || set.count_ones() < from {
            return;
        }
        match self
            .handed
            .iter_mut()
            .find(|(held, of, _)| *held == phase && *of == digest)
        {
            Some((_, _, before)) if *before == set || before.count_ones() >= until => return,
            Some((_, _, before)) => *before = set,
            None => self.handed.push((phase, digest, set)),
        }
        emit(phase, digest, set);
    }

    /// Verified signatures under `digest`, by replica ascending.
    pub fn votes_for(&self, digest: &Digest, primary: u8) -> Vec<(u8, Signature)> {
        (0..self.prepares.len() as u8)
            .filter_map(|replica| Some((replica, *self.vote_of(replica, digest, primary)?)))
            .collect()
    }

    /// The verified signature of a replica under `digest`; the primary's is that of its proposal.
    pub fn vote_of(&self, replica: u8, digest: &Digest, primary: u8) -> Option<&Signature> {
        if replica == primary {
            let (proposed, signature) = self.proposal.as_ref()?;
            return (proposed == digest).then_some(signature);
        }
        match self.prepares.get(usize::from(replica))? {
            Some(vote) if vote.verified && vote.digest == *digest => Some(&vote.signature),
            _ => None,
        }
    }

    /// The complete prepared certificate, if there is one: the proposal and PREPAREs of Q replicas.
    pub fn certificate_of(
        &self,
        quorums: Quorums,
        view: u64,
    ) -> Option<(Digest, Vec<(u8, Signature)>)> {
        let (digest, _) = self.proposal?;
        let votes = self.votes_for(&digest, quorums.primary(view));
        (votes.len() as u32 >= quorums.quorum()).then_some((digest, votes))
    }
}

fn set_of<T>(me: u8, votes: &[T], test: impl Fn(&T) -> bool) -> u32 {
    let others = votes
        .iter()
        .enumerate()
        .filter(|(replica, vote)| *replica != usize::from(me) && test(vote));
    others.fold(0, |set, (replica, _)| set | 1 << replica)
}

/// The distinct digests, in order of their first appearance; n at most.
fn distinct(digests: impl Iterator<Item = Digest>) -> Vec<Digest> {
    let mut seen: Vec<Digest> = Vec::with_capacity(2);
    for digest in digests {
        if !seen.contains(&digest) {
            seen.push(digest);
        }
    }
    seen
}
