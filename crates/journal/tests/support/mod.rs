//! What the tests share: a simulated disk, and a replica's data directory on it.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod disk;
pub mod fault;
pub mod inode;
pub mod real;
pub mod replica;
pub mod running;
pub mod soak;
pub mod world;
