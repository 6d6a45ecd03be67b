//! The thread that prepares the next segment and removes the ones that were freed, so that no record waits for it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::{DiskFailure, DiskReason};
use crate::preparation::{Pace, Spare, prepare, unlink};
use crate::shared::{Order, Role, Shared, State};

/// How long to wait before a full disk is asked again: somebody else may have freed space.
const FULL_RETRY: Duration = Duration::from_secs(1);

enum Chore {
    Prepare { number: u64, capacity: u32 },
    Unlink(u64),
}

/// Runs until the writer has ended.
pub(crate) fn run(shared: &Shared) {
    let mut retry_at = None;
    while let Some(chore) = next_chore(shared, retry_at) {
        match carry_out(shared, &chore) {
            Ok(full) => retry_at = full.then(|| Instant::now() + FULL_RETRY),
            Err(failure) => shared.fail(failure),
        }
    }
}

fn carry_out(shared: &Shared, chore: &Chore) -> Result<bool, DiskFailure> {
    match *chore {
        Chore::Unlink(number) => {
            unlink(shared.storage.as_ref(), &shared.dir, number)?;
            shared
                .counters
                .segments_freed
                .fetch_add(1, Ordering::Relaxed);
            shared.wake();
            Ok(false)
        }
        Chore::Prepare { number, capacity } => {
            let storage = shared.storage.as_ref();
            match prepare(storage, &shared.dir, number, capacity, &|| pace(shared)) {
                Err(failure) if failure.reason == DiskReason::Full => {
                    report_full(shared);
                    Ok(true)
                }
                result => {
                    hand_over(shared, result?);
                    Ok(false)
                }
            }
        }
    }
}

fn goes_on(shared: &Shared, state: &State) -> bool {
    state.order != Order::Close && !state.ended.contains(&Role::Writer) && !shared.has_failed()
}

fn pace(shared: &Shared) -> Pace {
    let state = shared.state();
    match goes_on(shared, &state) {
        false => Pace::Stop,
        true if state.writer_waits => Pace::Hurry,
        true => Pace::Gentle,
    }
}

fn hand_over(shared: &Shared, spare: Option<Spare>) {
    let Some(spare) = spare else {
        return;
    };
    let mut state = shared.state();
    // The writer may have asked for a larger one meanwhile.
    state
        .wanted
        .take_if(|(_, wanted)| *wanted <= spare.capacity);
    state.spare = Some(spare);
    state.full = false;
    shared
        .counters
        .segments_prepared
        .fetch_add(1, Ordering::Relaxed);
    shared.work.notify_one();
    drop(state);
    shared.wake();
}

fn report_full(shared: &Shared) {
    let was_full = std::mem::replace(&mut shared.state().full, true);
    if !was_full {
        shared.wake();
    }
}

/// Waits for something to do. Removing comes first, for it makes room, unless the writer waits for a spare.
fn next_chore(shared: &Shared, retry_at: Option<Instant>) -> Option<Chore> {
    let mut state = shared.state();
    loop {
        if !goes_on(shared, &state) {
            return None;
        }
        let wait = retry_at.map(|at| at.saturating_duration_since(Instant::now()));
        let prepares = state.wanted.is_some() && wait.is_none_or(|wait| wait.is_zero());
        let comes_first = prepares && state.writer_waits;
        if !comes_first && let Some(number) = state.freed.pop_front() {
            return Some(Chore::Unlink(number));
        }
        if let Some((number, capacity)) = state.wanted
            && prepares
        {
            // One that is too short is prepared further.
            state.spare = None;
            return Some(Chore::Prepare { number, capacity });
        }
        state = match wait {
            Some(wait) if state.wanted.is_some() => shared.wait_for(&shared.chores, state, wait),
            _ => shared.wait(&shared.chores, state),
        };
    }
}
