//! The one tokio runtime of the process, made when first needed.
//!
//! Its few worker threads carry requests and answers. Each stream's driver, which decodes, has a thread
//! of its own, so no answer waits for a page to be decoded.

use std::future::Future;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{Error, ErrorKind, Result};

static RUNTIME: Mutex<State> = Mutex::new(State::Unused);

enum State {
    Unused,
    Running(Running),
    Ended,
}

struct Running {
    runtime: Runtime,
    /// Threads do not survive a fork, so a runtime is good for the process that made it.
    process: u32,
    tasks: TaskTracker,
    token: CancellationToken,
}

/// Runs `task` in the background. It gets the token under which everything in this process runs.
///
/// # Errors
/// `Closed` when the process is ending, or was forked from one that used the runtime.
pub fn spawn<F>(task: impl FnOnce(CancellationToken) -> F) -> Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut state = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*state, State::Unused) {
        *state = State::Running(Running::new()?);
    }
    match &*state {
        State::Running(running) if running.is_here() => {
            running.tasks.spawn_on(task(running.token.clone()), running.runtime.handle());
            Ok(())
        }
        State::Running(_) => Err(forked()),
        State::Unused | State::Ended => Err(ending()),
    }
}

/// Cancels every stream of the process and waits for what that leaves to do. Nothing can be opened
/// afterwards.
pub fn shut_down(patience: Duration) {
    let ended = std::mem::replace(&mut *RUNTIME.lock().unwrap_or_else(PoisonError::into_inner), State::Ended);
    match ended {
        State::Running(running) if running.is_here() => running.end(patience),
        // The threads are not here to be joined.
        State::Running(running) => std::mem::forget(running),
        State::Unused | State::Ended => {}
    }
}

impl Running {
    fn new() -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let runtime = Builder::new_multi_thread()
            // One reads as much as several streams decode; with more, an answer wanders between them.
            .worker_threads((cores / 4).clamp(1, 4))
            .thread_name("shardarrow")
            .enable_all()
            .build()
            .map_err(|cause| {
                Error::internal("the threads for reading could not be started").with_cause(cause)
            })?;
        let (tasks, token) = (TaskTracker::new(), CancellationToken::new());
        Ok(Self { runtime, process: std::process::id(), tasks, token })
    }

    fn is_here(&self) -> bool {
        self.process == std::process::id()
    }

    fn end(self, patience: Duration) {
        self.token.cancel();
        self.tasks.close();
        let _ = self.runtime.block_on(async { tokio::time::timeout(patience, self.tasks.wait()).await });
        self.runtime.shutdown_timeout(patience);
    }
}

fn forked() -> Error {
    Error::new(
        ErrorKind::Closed,
        "this process was forked from one that already used shardarrow, whose threads it does not have; \
         start it with multiprocessing's \"spawn\" or \"forkserver\" method",
    )
}

fn ending() -> Error {
    Error::new(ErrorKind::Closed, "the process is ending; no stream can be opened any more")
}
