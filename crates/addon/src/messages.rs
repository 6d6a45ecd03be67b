//! VIEW-CHANGEs and NEW-VIEWs: our own, and the verified ones that were handed to TypeScript, until
//! it lets go of them. Whoever lacks one that a NEW-VIEW names fetches it from here.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use byzantine_crypto::hash::sha256_parts;

use crate::wire::Digest;
use crate::wire::types::VIEW_CHANGE;

/// Tag of a message digest (WIRE.md §3).
const TAG_MESSAGE: u8 = 0x05;
/// Most messages of one signer that are kept unasked. TypeScript refers to three VIEW-CHANGEs of a
/// signer at most (the highest, and those that two NEW-VIEWs name) and to two NEW-VIEWs, and lets
/// go of the rest a turn later; one that uses up its whole budget at once fits as well.
const PER_SIGNER_MAX: usize = 32;
/// Most bytes of them: six of the largest messages that a control frame holds, since one signer
/// must not have all memory.
const PER_SIGNER_BYTES_MAX: usize = 12 << 20;
/// VIEW-CHANGEs per signer whose signatures are known to be good after they were let go of: the
/// last one and the one before it may be under way again.
const REMEMBERED: usize = 2;

/// A message as it was signed.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Who signed it.
    pub signer: u8,
    /// The view that it is for.
    pub view: u64,
    /// The whole payload.
    pub payload: Bytes,
}

/// VIEW-CHANGEs per signer that are known to be bad: those that a NEW-VIEW names are asked for again
/// and again.
const BAD_REMEMBERED: usize = 8;

#[derive(Clone, Debug, Default)]
struct BySigner {
    messages: usize,
    bytes: usize,
    remembered: VecDeque<Digest>,
    bad: VecDeque<Digest>,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Messages {
    view_changes: HashMap<Digest, Kept>,
    new_views: BTreeMap<u64, Kept>,
    signers: Vec<BySigner>,
}

impl Messages {
    /// Nothing of n replicas.
    pub fn new(n: u8) -> Self {
        Self {
            view_changes: HashMap::new(),
            new_views: BTreeMap::new(),
            signers: vec![BySigner::default(); usize::from(n)],
        }
    }

    /// The VIEW-CHANGE with this message digest.
    pub fn view_change(&self, digest: &Digest) -> Option<&Kept> {
        self.view_changes.get(digest)
    }

    /// Another VIEW-CHANGE of the same signer for the same view than the one with this digest.
    pub fn rival_of(&self, signer: u8, target: u64, digest: &Digest) -> Option<&Kept> {
        let others = self.view_changes.iter();
        let mut rivals = others
            .filter(|(name, kept)| kept.signer == signer && kept.view == target && *name != digest);
        rivals.next().map(|(_, kept)| kept)
    }

    /// The NEW-VIEW of a view.
    pub fn new_view(&self, view: u64) -> Option<&Kept> {
        self.new_views.get(&view)
    }

    /// Whether all signatures of this VIEW-CHANGE were verified before.
    pub fn is_verified(&self, signer: u8, digest: &Digest) -> bool {
        self.signers[usize::from(signer)]
            .remembered
            .contains(digest)
            || self
                .view_changes
                .get(digest)
                .is_some_and(|kept| kept.signer == signer)
    }

    /// Whether `signer` signed this VIEW-CHANGE although a vote in it is none.
    pub fn is_bad(&self, signer: u8, digest: &Digest) -> bool {
        self.signers[usize::from(signer)].bad.contains(digest)
    }

    /// `signer` signed this VIEW-CHANGE although a vote in it is none.
    pub fn remember_bad(&mut self, signer: u8, digest: Digest) {
        let bad = &mut self.signers[usize::from(signer)].bad;
        bad.truncate(BAD_REMEMBERED - 1);
        bad.push_front(digest);
    }

    /// Whether a message of so many bytes that nobody asked for may be kept.
    pub fn has_room(&self, signer: u8, bytes: usize) -> bool {
        let held = &self.signers[usize::from(signer)];
        held.messages < PER_SIGNER_MAX && held.bytes + bytes <= PER_SIGNER_BYTES_MAX
    }

    /// Keeps a VIEW-CHANGE under its message digest.
    pub fn keep_view_change(&mut self, digest: Digest, message: Kept) {
        let held = &mut self.signers[usize::from(message.signer)];
        if !held.remembered.contains(&digest) {
            held.remembered.truncate(REMEMBERED - 1);
            held.remembered.push_front(digest);
        }
        let (signer, bytes) = (message.signer, message.payload.len());
        if self.view_changes.insert(digest, message).is_none() {
            self.count(signer, bytes);
        }
    }

    /// Keeps a NEW-VIEW under its view; the first one stays.
    pub fn keep_new_view(&mut self, message: Kept) {
        let (signer, bytes) = (message.signer, message.payload.len());
        if let Entry::Vacant(place) = self.new_views.entry(message.view) {
            place.insert(message);
            self.count(signer, bytes);
        }
    }

    /// Lets go of a VIEW-CHANGE.
    pub fn forget_view_change(&mut self, digest: &Digest) {
        if let Some(kept) = self.view_changes.remove(digest) {
            self.discount(&kept);
        }
    }

    /// Lets go of a NEW-VIEW.
    pub fn forget_new_view(&mut self, view: u64) {
        if let Some(kept) = self.new_views.remove(&view) {
            self.discount(&kept);
        }
    }

    /// Messages held and their bytes.
    pub fn sizes(&self) -> (usize, usize) {
        let held = self.signers.iter();
        held.fold((0, 0), |(messages, bytes), signer| {
            (messages + signer.messages, bytes + signer.bytes)
        })
    }

    fn count(&mut self, signer: u8, bytes: usize) {
        let held = &mut self.signers[usize::from(signer)];
        held.messages += 1;
        held.bytes += bytes;
    }

    fn discount(&mut self, kept: &Kept) {
        let held = &mut self.signers[usize::from(kept.signer)];
        held.messages -= 1;
        held.bytes -= kept.payload.len();
    }
}

/// The digest that names a VIEW_CHANGE with its signature.
pub fn view_change_digest(payload: &[u8]) -> Digest {
    sha256_parts(&[&[TAG_MESSAGE, VIEW_CHANGE], payload])
}

/// The name of a NEW_VIEW in a fetch: its view in the first 8 bytes.
pub fn new_view_name(view: u64) -> Digest {
    let mut name = [0; 32];
    name[..8].copy_from_slice(&view.to_le_bytes());
    name
}

/// The view that such a name stands for.
pub fn named_view(name: &Digest) -> Option<u64> {
    let (view, rest) = name.split_first_chunk::<8>()?;
    rest.iter()
        .all(|byte| *byte == 0)
        .then(|| u64::from_le_bytes(*view))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(signer: u8, view: u64, bytes: usize) -> Kept {
        Kept {
            signer,
            view,
            payload: vec![signer; bytes].into(),
        }
    }

    #[test]
    fn a_signer_fills_only_its_own_room_and_gets_it_back() {
        let mut messages = Messages::new(4);
        for number in 0..PER_SIGNER_MAX as u8 {
            assert!(messages.has_room(1, 10));
            messages.keep_view_change([number; 32], message(1, u64::from(number), 10));
            messages.keep_view_change([number; 32], message(1, u64::from(number), 10));
        }
        assert!(!messages.has_room(1, 10));
        assert!(messages.has_room(2, 10));
        assert_eq!(messages.sizes(), (PER_SIGNER_MAX, 10 * PER_SIGNER_MAX));
        messages.forget_view_change(&[0; 32]);
        messages.forget_view_change(&[0; 32]);
        assert!(messages.has_room(1, 10));
        assert!(!messages.has_room(1, PER_SIGNER_BYTES_MAX));
    }

    #[test]
    fn a_view_change_is_known_after_it_was_let_go_of_but_only_as_its_signers() {
        let mut messages = Messages::new(4);
        for number in 1..=3 {
            messages.keep_view_change([number; 32], message(1, 7, 10));
            messages.forget_view_change(&[number; 32]);
        }
        assert!(messages.view_change(&[3; 32]).is_none());
        assert!(messages.is_verified(1, &[3; 32]) && messages.is_verified(1, &[2; 32]));
        assert!(!messages.is_verified(1, &[1; 32]));
        assert!(!messages.is_verified(2, &[3; 32]));
    }

    #[test]
    fn a_rival_is_another_message_of_the_same_signer_for_the_same_view() {
        let mut messages = Messages::new(4);
        messages.keep_view_change([1; 32], message(1, 7, 10));
        assert!(messages.rival_of(1, 7, &[2; 32]).is_some());
        assert!(messages.rival_of(1, 7, &[1; 32]).is_none());
        assert!(messages.rival_of(1, 8, &[2; 32]).is_none());
        assert!(messages.rival_of(2, 7, &[2; 32]).is_none());
    }

    #[test]
    fn the_first_new_view_of_a_view_stays() {
        let mut messages = Messages::new(4);
        messages.keep_new_view(message(3, 7, 10));
        messages.keep_new_view(message(3, 7, 20));
        assert_eq!(messages.sizes(), (1, 10));
        messages.forget_new_view(7);
        assert!(messages.new_view(7).is_none());
        assert_eq!(messages.sizes(), (0, 0));
    }

    #[test]
    fn a_name_with_anything_after_the_view_names_no_new_view() {
        assert_eq!(named_view(&new_view_name(1 << 40)), Some(1 << 40));
        let mut name = new_view_name(5);
        name[31] = 1;
        assert_eq!(named_view(&name), None);
    }
}
