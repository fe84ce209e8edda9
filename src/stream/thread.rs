//! The thread on which one stream is driven, and what is left when something on it panics.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinError;

use super::driver::drive;
use super::{Command, Plan, Shared, Tokens, closed};
use crate::error::{Error, Result};

/// Runs one stream to its end, on a thread of its own, and says how it went, also when the driver
/// itself panics.
pub(super) async fn supervise(
    plan: Plan,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    tokens: Tokens,
) {
    let (end, ended) = oneshot::channel();
    let (runtime, seen) = (Handle::current(), shared.clone());
    let thread = thread::Builder::new().name("shardarrow-stream".into()).spawn(move || {
        let driving = || runtime.block_on(drive(plan, seen, commands, tokens));
        let result = catch_unwind(AssertUnwindSafe(driving));
        let _ = end.send(result.unwrap_or_else(|panic| Err(panicked(panic.as_ref()))));
    });
    let result = match thread {
        Ok(_) => ended.await.unwrap_or_else(|_| Err(closed())),
        Err(cause) => Err(Error::internal("the thread of a stream could not be started").with_cause(cause)),
    };
    finish(&shared, result);
}

fn finish(shared: &Shared, result: Result<()>) {
    let over = result.clone().err().unwrap_or_else(closed);
    let mut front = shared.front();
    front.opened.get_or_insert_with(|| Err(over.clone()));
    front.outcome.get_or_insert(Err(over));
    front.closed = Some(result);
    drop(front);
    (shared.wake)();
}

/// What became of a task that gave no result.
pub(super) fn broken_task(error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => panicked(panic.as_ref()),
        Err(_) => Error::internal("a task was cancelled; this is a bug in shardarrow"),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let words = text_of(panic);
    Error::internal(format!("a task panicked ({words}); this is a bug in shardarrow"))
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
