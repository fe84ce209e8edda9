//! Answers of the driver, looked for without waiting.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use super::closed;
use crate::error::Result;

/// The answer to a question, when it has come.
pub struct Answer<T>(Mutex<oneshot::Receiver<Result<T>>>);

/// Resolves when everything done before it was asked for is durable.
pub type Ticket = Answer<()>;

impl<T> Answer<T> {
    pub(crate) fn new(receiver: oneshot::Receiver<Result<T>>) -> Self {
        Self(Mutex::new(receiver))
    }

    /// `None` while it has not come. It can be taken once.
    pub fn take(&self) -> Option<Result<T>> {
        let mut receiver = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match receiver.try_recv() {
            Ok(answer) => Some(answer),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(closed())),
        }
    }

    pub(super) fn ready(value: T) -> Self {
        let (sender, receiver) = oneshot::channel();
        let _ = sender.send(Ok(value));
        Self::new(receiver)
    }
}
