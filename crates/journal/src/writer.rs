//! The thread that writes: takes all that is queued, writes it as one group, syncs once, and reports.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::entry::{Entry, Wrote};
use crate::error::DiskFailure;
use crate::log::Log;
use crate::preparation::capacity_for;
use crate::shared::{Order, Shared};

/// What the writer does next.
enum Turn {
    Write,
    Stop(Vec<u8>),
    End,
}

/// Runs until it is told to end or the disk fails.
pub(crate) fn run(shared: &Shared, log: Log) {
    if let Err(failure) = write_all(shared, log) {
        shared.fail(failure);
    }
}

fn write_all(shared: &Shared, mut log: Log) -> Result<(), DiskFailure> {
    let mut queue = VecDeque::new();
    loop {
        match next_turn(shared, &log, &mut queue) {
            Turn::End => return Ok(()),
            Turn::Stop(payload) => {
                shared.busy.begin(Instant::now());
                let stopped = log.clean_stop(&payload);
                shared.busy.end();
                return stopped;
            }
            Turn::Write => write_group(shared, &mut log, &mut queue)?,
        }
    }
}

/// Waits for entries and takes them: all that were queued while the last sync ran share the next one.
fn next_turn(shared: &Shared, log: &Log, queue: &mut VecDeque<Entry>) -> Turn {
    let mut state = shared.state();
    loop {
        queue.append(&mut state.queue);
        if let Some(below) = state.release.take_if(|below| log.frees(*below)) {
            release(queue, below);
        }
        // A failure of the preparing thread is the writer's as well.
        if state.order == Order::Close || shared.has_failed() {
            return Turn::End;
        }
        if !queue.is_empty() {
            return Turn::Write;
        }
        if let Order::Stop(payload) = &mut state.order {
            return Turn::Stop(std::mem::take(payload));
        }
        state = shared.wait(&shared.work, state);
    }
}

/// Before all that waits: it speaks of durable records only, and may be what makes room for the others.
fn release(queue: &mut VecDeque<Entry>, below: u64) {
    match queue.front_mut() {
        Some(Entry::Release(queued)) => *queued = below.max(*queued),
        _ => queue.push_front(Entry::Release(below)),
    }
}

fn write_group(
    shared: &Shared,
    log: &mut Log,
    queue: &mut VecDeque<Entry>,
) -> Result<(), DiskFailure> {
    let mut spare = shared.state().spare.take();
    let number = log.next_number();
    let begun = Instant::now();
    shared.busy.begin(begun);
    let wrote = log.write(queue, &mut spare);
    let took = begun.elapsed();
    shared.busy.end();
    // Where it was not there yet it may have been prepared meanwhile.
    if spare.is_some() {
        shared.state().spare = spare;
    }
    match wrote? {
        Wrote::Wants { length, .. } => {
            await_spare(shared, log, capacity_for(shared.segment_bytes, length));
        }
        Wrote::Group {
            records,
            record_bytes,
            bytes,
            freed,
        } => {
            shared.counters.group(records, bytes, took);
            publish(shared, log.next_lsn() - 1, record_bytes);
            ask_for_chores(shared, log, freed, number != log.next_number());
            mark_if_idle(shared, log, queue)?;
        }
    }
    Ok(())
}

fn publish(shared: &Shared, persisted: u64, record_bytes: usize) {
    shared.state().queued_bytes -= record_bytes;
    if shared.persisted.swap(persisted, Ordering::AcqRel) != persisted {
        shared.wake();
    }
}

fn ask_for_chores(shared: &Shared, log: &Log, freed: Vec<u64>, spare_taken: bool) {
    if freed.is_empty() && !spare_taken {
        return;
    }
    let mut state = shared.state();
    state.freed.extend(freed);
    if spare_taken {
        state.wanted = Some((log.next_number(), shared.segment_bytes));
    }
    shared.chores.notify_one();
}

/// Under load the next group says itself what is durable.
fn mark_if_idle(
    shared: &Shared,
    log: &mut Log,
    queue: &VecDeque<Entry>,
) -> Result<(), DiskFailure> {
    if !queue.is_empty() || !shared.state().queue.is_empty() {
        return Ok(());
    }
    shared.busy.begin(Instant::now());
    let marked = log.mark();
    shared.busy.end();
    marked
}

/// Asks for the next segment and waits until it is there, or something else is to be done first.
fn await_spare(shared: &Shared, log: &Log, capacity: u32) {
    shared.counters.spare_waits.fetch_add(1, Ordering::Relaxed);
    shared.busy.begin(Instant::now());
    let mut state = shared.state();
    state.writer_waits = true;
    while !state.has_spare(capacity)
        && !state.release.is_some_and(|below| log.frees(below))
        && state.order != Order::Close
        && !shared.has_failed()
    {
        state.wanted = Some((log.next_number(), capacity));
        shared.chores.notify_one();
        state = shared.wait(&shared.work, state);
    }
    state.writer_waits = false;
    drop(state);
    shared.busy.end();
}
