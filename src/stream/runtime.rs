//! The one tokio runtime of the process, made when first needed.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};

static RUNTIME: Mutex<State> = Mutex::new(State::Unused);

enum State {
    Unused,
    Running { runtime: Runtime, process: u32, token: CancellationToken },
    Ended,
}

/// Runs `task` in the background.
///
/// # Errors
/// `Closed` when the process is ending, or when it was forked from one that used the runtime:
/// threads do not survive a fork.
pub fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Result<JoinHandle<T>> {
    let (handle, _) = running()?;
    Ok(handle.spawn(task))
}

/// The token under which everything in this process runs.
pub(super) fn root() -> Result<CancellationToken> {
    running().map(|(_, token)| token)
}

fn running() -> Result<(Handle, CancellationToken)> {
    let mut state = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*state, State::Unused) {
        *state = State::Running {
            runtime: build()?,
            process: std::process::id(),
            token: CancellationToken::new(),
        };
    }
    match &*state {
        State::Running { runtime, process, token } if *process == std::process::id() => {
            Ok((runtime.handle().clone(), token.clone()))
        }
        State::Running { .. } => Err(Error::new(
            ErrorKind::Closed,
            "this process was forked from one that already used shardarrow, whose threads it does not have; \
             start it with multiprocessing's \"spawn\" or \"forkserver\" method",
        )),
        State::Unused | State::Ended => {
            Err(Error::new(ErrorKind::Closed, "the process is ending; no stream can be opened any more"))
        }
    }
}

fn build() -> Result<Runtime> {
    let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4));
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("shardarrow")
        .enable_all()
        .build()
        .map_err(|cause| Error::internal("the threads for reading could not be started").with_cause(cause))
}

/// Cancels every stream of the process and waits briefly for their tasks. Nothing can be opened afterwards.
pub fn shut_down(patience: Duration) {
    let ended = std::mem::replace(&mut *RUNTIME.lock().unwrap_or_else(PoisonError::into_inner), State::Ended);
    match ended {
        State::Running { runtime, process, token } if process == std::process::id() => {
            token.cancel();
            runtime.shutdown_timeout(patience);
        }
        // After a fork the threads are not here to be joined.
        State::Running { runtime, .. } => std::mem::forget(runtime),
        State::Unused | State::Ended => {}
    }
}
