//! Waking a reactor from any thread.
//!
//! The one exception to "no module holds global state": a reactor sleeps inside a native call of
//! its worker thread, and whoever wakes it lives in another thread with another instance of the
//! addon's classes. All they share is a number, so a process-wide table maps numbers to wakers. It
//! holds them weakly: a reactor that is gone leaves nothing behind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

static NEXT: AtomicU32 = AtomicU32::new(1);
static WAKERS: Mutex<BTreeMap<u32, Weak<Notify>>> = Mutex::new(BTreeMap::new());

/// A waker and its place in the table.
#[derive(Debug)]
pub struct Waker {
    handle: u32,
    notify: Arc<Notify>,
}

impl Waker {
    /// A waker that [`wake`] finds by its handle until it is dropped.
    pub fn register() -> Self {
        let notify = Arc::new(Notify::new());
        let handle = NEXT.fetch_add(1, Ordering::Relaxed);
        table().insert(handle, Arc::downgrade(&notify));
        Self { handle, notify }
    }

    /// Its number.
    pub fn handle(&self) -> u32 {
        self.handle
    }

    /// Ends when it was woken, also before this call; each wake ends one.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        table().remove(&self.handle);
    }
}

/// Wakes the reactor with this handle; unknown handles are ignored.
pub fn wake(handle: u32) {
    let waker = table().get(&handle).and_then(Weak::upgrade);
    if let Some(notify) = waker {
        notify.notify_one();
    }
}

fn table() -> MutexGuard<'static, BTreeMap<u32, Weak<Notify>>> {
    // The table is whole whatever a panicking thread was about to do: each use is one operation.
    WAKERS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_from_another_thread_is_not_lost_and_unknown_handles_are_ignored() {
        let waker = Waker::register();
        let handle = waker.handle();
        std::thread::spawn(move || wake(handle))
            .join()
            .expect("no panic");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(waker.woken());
        drop(waker);
        wake(handle);
        assert!(!table().contains_key(&handle));
    }
}
