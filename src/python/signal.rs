//! How Python waits without any Rust thread touching Python.
//!
//! A thread that may block waits on a condition variable, in slices short enough for Ctrl-C. An event
//! loop waits for a byte on a socket pair whose write end is here, written only when somebody asked.

use std::io::Write;
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// The longest time until Ctrl-C is noticed.
pub(super) const SLICE: Duration = Duration::from_millis(100);

/// How many threads are inside `wait_for`: they must be out before the interpreter is taken apart.
static WAITING: Mutex<usize> = Mutex::new(0);
static LEFT: Condvar = Condvar::new();

#[derive(Default)]
pub(super) struct Signal {
    changes: Mutex<u64>,
    changed: Condvar,
    bells: Mutex<Vec<Weak<Cord>>>,
}

impl Signal {
    pub(super) fn notify(&self) {
        *lock(&self.changes) += 1;
        self.changed.notify_all();
        lock(&self.bells).retain(|bell| bell.upgrade().is_some_and(|cord| cord.pull()));
    }

    /// A bell that rings on every change after it was armed. It takes over the socket `fd`.
    pub(super) fn bell(&self, fd: i32) -> Bell {
        // SAFETY: Python gave up the descriptor with `socket.detach()`, so it is open and ours alone.
        let socket = unsafe { UnixStream::from_raw_fd(fd) };
        let cord = Arc::new(Cord { armed: AtomicBool::new(false), socket });
        lock(&self.bells).push(Arc::downgrade(&cord));
        Bell(cord)
    }

    pub(super) fn changes(&self) -> u64 {
        *lock(&self.changes)
    }

    /// Returns when there are more changes than `seen`, or after `longest`.
    pub(super) fn wait(&self, seen: u64, longest: Duration) {
        let changes = lock(&self.changes);
        let waited = self.changed.wait_timeout_while(changes, longest, |changes| *changes == seen);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Cord {
    armed: AtomicBool,
    socket: UnixStream,
}

impl Cord {
    /// False when nobody can hear it any more.
    fn pull(&self) -> bool {
        if !self.armed.swap(false, Ordering::SeqCst) {
            return true;
        }
        // A full pipe means that a byte is waiting already.
        match (&self.socket).write_all(&[1]) {
            Ok(()) => true,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Writes one byte to its socket on the first change after `arm`. Dropping it gives the listener EOF.
#[pyclass(frozen, module = "shardarrow._native")]
pub(super) struct Bell(Arc<Cord>);

#[pymethods]
impl Bell {
    /// Look whether there is anything *after* arming, or a change in between is missed.
    fn arm(&self) {
        self.0.armed.store(true, Ordering::SeqCst);
    }
}

/// Waits until `ready` gives something. `None` when `timeout` is over first; signals are raised.
pub(super) fn wait_for<T>(
    py: Python<'_>,
    signal: &Signal,
    timeout: Option<Duration>,
    mut ready: impl FnMut() -> Option<T>,
) -> PyResult<Option<T>> {
    let _inside = Inside::enter();
    // A time too far away to be counted is no limit.
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let seen = signal.changes();
        if let Some(value) = ready() {
            return Ok(Some(value));
        }
        let left = until.map_or(SLICE, |until| until.saturating_duration_since(Instant::now()).min(SLICE));
        if left.is_zero() {
            return Ok(None);
        }
        py.detach(|| signal.wait(seen, left));
        py.check_signals()?;
    }
}

struct Inside;

impl Inside {
    fn enter() -> Self {
        *lock(&WAITING) += 1;
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        *lock(&WAITING) -= 1;
        LEFT.notify_all();
    }
}

/// Lets threads that were waiting leave, which they need the interpreter for.
pub(super) fn wait_until_empty(patience: Duration) {
    let left = LEFT.wait_timeout_while(lock(&WAITING), patience, |waiting| *waiting > 0);
    drop(left.unwrap_or_else(PoisonError::into_inner));
}
