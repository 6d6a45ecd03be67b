//! Which bundle was seen first for each client sequence: a client that signs two for one is at fault.
//!
//! An honest client retries with the same bytes and never uses a session again after a restart. Both
//! signatures are its own whoever brought them, and nobody else can make a second one for the same
//! content, so two bundles with a common (session, sequence) are proof against it.

use std::collections::{BTreeMap, VecDeque};

use crate::bodies::Head;
use crate::wire::Digest;

/// Bundles that are remembered, 2 MiB of them: seconds of the heaviest load, while what contradicts a
/// bundle comes within a few round trips. Older ones are forgotten, which only lets a client off.
const BUNDLES_MAX: usize = 16_384;

/// Client, session, first sequence.
type Place = ([u8; 32], u64, u64);

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Claims {
    /// The last sequence, and the bundle.
    by_place: BTreeMap<Place, (u64, Digest)>,
    order: VecDeque<Place>,
}

impl Claims {
    /// Takes note of a verified bundle; says which other one claims some of its sequences.
    pub fn note(&mut self, head: &Head, digest: &Digest) -> Option<Digest> {
        // OPENs have no session: a nonce is drawn anew, and what repeats it opens nothing.
        if head.session == 0 {
            return None;
        }
        let (client, session, first) = (head.client, head.session, head.first_sequence);
        let last = first + u64::from(head.count).saturating_sub(1);
        let before = self
            .by_place
            .range((client, session, 0)..=(client, session, last))
            .next_back();
        if let Some((_, (claimed_through, rival))) = before
            && *claimed_through >= first
        {
            return (rival != digest).then_some(*rival);
        }
        if self.order.len() >= BUNDLES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_place.remove(&oldest);
        }
        self.by_place
            .insert((client, session, first), (last, *digest));
        self.order.push_back((client, session, first));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(client: u8, session: u64, first_sequence: u64, count: u16) -> Head {
        Head {
            client: [client; 32],
            session,
            first_sequence,
            acknowledged_through: 0,
            count,
        }
    }

    #[test]
    fn a_second_bundle_that_shares_a_sequence_is_named_with_its_rival() {
        let mut claims = Claims::default();
        assert_eq!(claims.note(&head(1, 1, 10, 5), &[1; 32]), None);
        for (first, count, rival) in [
            (10, 5, Some([1; 32])),
            (5, 5, None),
            (15, 1, None),
            (14, 1, Some([1; 32])),
            (12, 1, Some([1; 32])),
            (13, 9, Some([2; 32])),
            (1, 40, Some([2; 32])),
        ] {
            let found = claims.note(&head(1, 1, first, count), &[2; 32]);
            let expected = rival.filter(|rival| *rival != [2; 32]);
            assert_eq!(found, expected, "{count} from {first} on");
        }
        assert_eq!(claims.note(&head(1, 1, 10, 5), &[1; 32]), None, "the same");
    }

    #[test]
    fn other_clients_other_sessions_and_openings_contradict_nothing() {
        let mut claims = Claims::default();
        for (number, (client, session)) in
            [(1, 1), (2, 1), (1, 2), (1, 0), (1, 0)].iter().enumerate()
        {
            let found = claims.note(&head(*client, *session, 10, 5), &[number as u8; 32]);
            assert_eq!(found, None);
        }
    }

    #[test]
    fn no_more_than_the_bound_is_remembered() {
        let mut claims = Claims::default();
        for first in 0..2 * BUNDLES_MAX as u64 {
            claims.note(&head(1, 1, first, 1), &[1; 32]);
        }
        assert_eq!(
            (claims.by_place.len(), claims.order.len()),
            (BUNDLES_MAX, BUNDLES_MAX)
        );
        assert_eq!(claims.note(&head(1, 1, 0, 1), &[2; 32]), None, "forgotten");
    }
}
