//! A simulated disk: deterministic, in memory, and as bad as told.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use byzantine_journal::{Access, Storage, StorageFile, StorageLock};
use rand::{Rng, RngExt};

use super::fault::{Call, Fault, Harm};
use super::inode::{Inode, Tear};
use super::world::{NameChange, World};

/// A handle on the simulated disk; clones are the same disk.
#[derive(Clone)]
pub struct SimulatedDisk(Arc<(Mutex<World>, Condvar)>);

fn crashed() -> io::Error {
    io::Error::other("the machine crashed")
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

impl SimulatedDisk {
    pub fn new(seed: u64) -> Self {
        let world = World::new(seed);
        Self(Arc::new((Mutex::new(world), Condvar::new())))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0
            .0
            .lock()
            .expect("no test panics while it holds the disk")
    }

    pub fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.world().calls
    }

    /// Calls of one kind on files of this name, since the log was cleared.
    pub fn count(&self, call: Call, file: &str) -> usize {
        let world = self.world();
        world
            .log
            .iter()
            .filter(|(logged, name)| *logged == call && name.contains(file))
            .count()
    }

    pub fn clear_log(&self) {
        self.world().log.clear();
    }

    pub fn inject(&self, fault: Fault) {
        self.world().faults.push(fault);
    }

    pub fn clear_faults(&self) {
        self.world().faults.clear();
    }

    pub fn has_crashed(&self) -> bool {
        self.world().crashed
    }

    /// Bytes by which files may still grow; none for no limit.
    pub fn set_free(&self, free: Option<usize>) {
        self.world().free = free;
    }

    /// What is left of the disk after a crash; it works again. Locks ended with their processes.
    pub fn restart(&self, tear: Tear) {
        self.world().restart(tear);
    }

    /// Waits until a call is held.
    pub fn wait_for_held(&self) {
        self.wait_for(1);
    }

    /// Waits until a second call is held beside the first.
    pub fn wait_for_another_held(&self) {
        self.wait_for(2);
    }

    fn wait_for(&self, held: usize) {
        let mut world = self.world();
        while world.held < held {
            world = self.0.1.wait(world).expect("no test panics");
        }
    }

    /// Waits until nobody holds a lock.
    pub fn wait_for_unlocked(&self) {
        let mut world = self.world();
        while !world.locked.is_empty() {
            world = self.0.1.wait(world).expect("no test panics");
        }
    }

    /// Lets the held calls go.
    pub fn let_go(&self) {
        let mut world = self.world();
        world.gates += 1;
        world.held = 0;
        drop(world);
        self.0.1.notify_all();
    }

    /// Names of all files.
    pub fn names(&self) -> Vec<String> {
        self.world()
            .names
            .keys()
            .map(|path| file_name(path))
            .collect()
    }

    /// The bytes of a file, as programs see them.
    pub fn peek(&self, path: &Path) -> Vec<u8> {
        let world = self.world();
        world.inodes[world.names[path]].cached.clone()
    }

    /// Puts bytes into a file, durably, behind everybody's back.
    pub fn poke(&self, path: &Path, bytes: Vec<u8>) {
        let mut world = self.world();
        let inode = world.names.get(path).copied().unwrap_or_else(|| {
            let inode = world.inodes.len();
            world.inodes.push(Inode::default());
            world.names.insert(path.to_owned(), inode);
            world.durable_names.insert(path.to_owned(), inode);
            inode
        });
        let inode = &mut world.inodes[inode];
        inode.sync();
        inode.cached.clone_from(&bytes);
        inode.durable = bytes;
    }

    /// Removes a file, durably, behind everybody's back.
    pub fn vanish(&self, path: &Path) {
        let mut world = self.world();
        world.names.remove(path);
        world.durable_names.remove(path);
    }

    /// Another disk with the same contents.
    pub fn copy(&self, seed: u64) -> Self {
        let copy = Self::new(seed);
        let world = self.world();
        let mut other = copy.world();
        other.inodes.clone_from(&world.inodes);
        other.names.clone_from(&world.names);
        other.durable_names.clone_from(&world.durable_names);
        other.pending_names.clone_from(&world.pending_names);
        other.dirs.clone_from(&world.dirs);
        drop(other);
        copy
    }

    /// Counts a call, and says what goes wrong with it.
    fn begin(&self, call: Call, path: &Path) -> io::Result<(MutexGuard<'_, World>, Option<Harm>)> {
        let mut world = self.world();
        if world.crashed {
            return Err(crashed());
        }
        world.calls += 1;
        let name = file_name(path);
        let mut harm = None;
        world.faults.retain_mut(|fault| {
            let matches =
                fault.call.is_none_or(|wanted| wanted == call) && name.contains(fault.file);
            if harm.is_some() || !matches {
                return true;
            }
            if fault.after > 0 {
                fault.after -= 1;
                return true;
            }
            harm = Some(fault.harm);
            false
        });
        world.log.push((call, name));
        match harm {
            Some(Harm::Hold) => Ok((self.hold(world), None)),
            Some(Harm::Crash) => {
                world.crashed = true;
                Ok((world, harm))
            }
            _ => Ok((world, harm)),
        }
    }

    fn hold<'a>(&'a self, mut world: MutexGuard<'a, World>) -> MutexGuard<'a, World> {
        let gate = world.gates;
        world.held += 1;
        self.0.1.notify_all();
        while world.gates == gate {
            world = self.0.1.wait(world).expect("no test panics");
        }
        world
    }

    /// A call that changes nothing.
    fn ask(&self, call: Call, path: &Path) -> io::Result<MutexGuard<'_, World>> {
        match self.begin(call, path)? {
            (_, Some(Harm::Crash)) => Err(crashed()),
            (_, Some(Harm::Fail(kind))) => Err(kind.into()),
            (world, _) => Ok(world),
        }
    }

    /// A call that changes names: a crash comes before or after it.
    fn change_names(
        &self,
        call: Call,
        path: &Path,
        change: impl FnOnce(&World) -> io::Result<NameChange>,
    ) -> io::Result<()> {
        let (mut world, harm) = self.begin(call, path)?;
        if let Some(Harm::Fail(kind)) = harm {
            return Err(kind.into());
        }
        let change = change(&world)?;
        if harm == Some(Harm::Crash) && world.random.random_bool(0.5) {
            return Err(crashed());
        }
        world.change_names(change);
        if harm == Some(Harm::Crash) {
            return Err(crashed());
        }
        Ok(())
    }
}

impl Storage for SimulatedDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.ask(Call::CreateDir, dir)?.dirs.insert(dir.to_owned());
        Ok(())
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn StorageFile>> {
        let found = self.ask(Call::Open, path)?.names.get(path).copied();
        let inode = match (found, access) {
            (Some(inode), _) => inode,
            (None, Access::Read | Access::Write) => return Err(io::ErrorKind::NotFound.into()),
            (None, Access::Create | Access::Replace) => {
                let mut world = self.world();
                let inode = world.inodes.len();
                world.inodes.push(Inode::default());
                world.change_names(NameChange::Link(path.to_owned(), inode));
                inode
            }
        };
        if access == Access::Replace {
            self.world().inodes[inode].truncate();
        }
        Ok(Box::new(SimulatedFile {
            disk: self.clone(),
            path: path.to_owned(),
            inode,
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.ask(Call::List, dir)?;
        let names = world.names.keys();
        Ok(names
            .filter(|path| path.parent() == Some(dir))
            .map(|path| file_name(path))
            .collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change_names(Call::Rename, to, |world| {
            let inode = world.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            Ok(NameChange::Rename(from.to_owned(), to.to_owned(), *inode))
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change_names(Call::Remove, path, |world| {
            world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
            Ok(NameChange::Unlink(path.to_owned()))
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.ask(Call::SyncDir, dir)?;
        world.pending_names.clear();
        world.durable_names = world.names.clone();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn StorageLock>> {
        if !self.ask(Call::Lock, path)?.locked.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimulatedLock {
            disk: self.clone(),
            path: path.to_owned(),
        }))
    }

    fn entropy(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.ask(Call::Entropy, Path::new(""))?
            .random
            .fill_bytes(bytes);
        Ok(())
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    path: PathBuf,
    inode: usize,
}

impl StorageFile for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        let world = self.disk.ask(Call::Length, &self.path)?;
        Ok(world.inodes[self.inode].cached.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.disk.ask(Call::Read, &self.path)?;
        let rest = world.inodes[self.inode]
            .cached
            .get(offset as usize..)
            .unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut world, harm) = self.disk.begin(Call::Write, &self.path)?;
        if let Some(Harm::Fail(kind)) = harm {
            return Err(kind.into());
        }
        let offset = offset as usize;
        let length = world.inodes[self.inode].cached.len();
        let growth = (offset + bytes.len()).saturating_sub(length);
        if let Some(free) = &mut world.free {
            if growth > *free {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *free -= growth;
        }
        let inode = &mut world.inodes[self.inode];
        match harm {
            Some(Harm::LoseWrite) => inode.write_that_gets_lost(offset, bytes),
            Some(Harm::Misdirect(further)) => inode.write(offset + further, bytes),
            _ => inode.write(offset, bytes),
        }
        if harm == Some(Harm::Crash) {
            return Err(crashed());
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let (mut world, harm) = self.disk.begin(Call::Sync, &self.path)?;
        let World { inodes, random, .. } = &mut *world;
        match harm {
            None => inodes[self.inode].sync(),
            Some(Harm::Fail(kind)) => {
                inodes[self.inode].fail_sync(random);
                return Err(kind.into());
            }
            Some(_) => return Err(crashed()),
        }
        Ok(())
    }
}

struct SimulatedLock {
    disk: SimulatedDisk,
    path: PathBuf,
}

impl StorageLock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.disk.world().locked.remove(&self.path);
        self.disk.0.1.notify_all();
    }
}
