//! The state of a simulated disk: files, names, and what is durable of both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::fault::{Call, Fault};
use super::inode::{Inode, Tear};

/// A change of names; atomic, and durable only after a sync of the directory.
#[derive(Clone, Debug)]
pub enum NameChange {
    Link(PathBuf, usize),
    Rename(PathBuf, PathBuf, usize),
    Unlink(PathBuf),
}

pub struct World {
    pub random: ChaCha8Rng,
    pub inodes: Vec<Inode>,
    pub names: BTreeMap<PathBuf, usize>,
    pub durable_names: BTreeMap<PathBuf, usize>,
    pub pending_names: Vec<NameChange>,
    pub dirs: BTreeSet<PathBuf>,
    pub locked: BTreeSet<PathBuf>,
    pub faults: Vec<Fault>,
    pub crashed: bool,
    pub calls: u64,
    pub free: Option<usize>,
    pub held: usize,
    pub gates: usize,
    pub log: Vec<(Call, String)>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            dirs: BTreeSet::new(),
            locked: BTreeSet::new(),
            faults: Vec::new(),
            crashed: false,
            calls: 0,
            free: None,
            held: 0,
            gates: 0,
            log: Vec::new(),
        }
    }

    /// Changes names for programs; durable with the next sync of the directory.
    pub fn change_names(&mut self, change: NameChange) {
        apply(&mut self.names, &change);
        self.pending_names.push(change);
    }

    /// What is left after a crash.
    pub fn restart(&mut self, tear: Tear) {
        for inode in &mut self.inodes {
            inode.crash(tear, &mut self.random);
        }
        if tear != Tear::Process {
            let pending = std::mem::take(&mut self.pending_names);
            let cut = self.random.random_range(0..=pending.len());
            for (index, change) in pending.iter().enumerate() {
                let survives = match tear {
                    Tear::Lost | Tear::Process => false,
                    Tear::Kept => true,
                    Tear::Prefix => index < cut,
                    Tear::Sectors | Tear::Bytes => self.random.random_bool(0.5),
                };
                if survives {
                    apply(&mut self.durable_names, change);
                }
            }
            self.names.clone_from(&self.durable_names);
        }
        self.crashed = false;
        self.faults.clear();
        self.locked.clear();
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, change: &NameChange) {
    match change {
        NameChange::Link(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        NameChange::Rename(from, to, inode) => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
        NameChange::Unlink(path) => {
            names.remove(path);
        }
    }
}
