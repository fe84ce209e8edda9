//! One answer to SubscribeToShard: its events one by one, until the service or the network ends it.

use std::time::Duration;

use aws_smithy_types::body::SdkBody;
use serde::Deserialize;
use tokio::time::Instant;

use super::event::Event;
use super::frames::{Broken, Frame, Frames};
use crate::aws::errors::Call;
use crate::error::{Error, ErrorKind};
use crate::page::Millis;

const EVENT: &str = "SubscribeToShardEvent";

/// A subscription that was answered and is being read.
#[derive(Debug)]
pub(super) struct Session {
    frames: Frames,
    pub(super) began: Instant,
    /// The service's time when the answer began. An event may have waited since to be read, so this
    /// is all that is known of when it was sent.
    pub(super) date: Option<Millis>,
}

/// Why a session gives no further event.
#[derive(Debug)]
pub(super) enum End {
    /// The service ended it, as it does after five minutes.
    Over,
    Failed(Error),
}

impl Session {
    pub(super) fn new(body: SdkBody, date: Option<Millis>) -> Self {
        Self { frames: Frames::new(body), began: Instant::now(), date }
    }

    /// The next event; `call` is what errors name.
    pub(super) async fn next(&mut self, call: &Call<'_>) -> Result<Event, End> {
        loop {
            let frame = self.frames.next().await.map_err(|broken| broken_off(&broken, call))?;
            match frame {
                Frame::Event { kind, payload } if kind == EVENT => {
                    let event = Event::read(payload);
                    return event.map_err(|error| End::Failed(bad_page(&error.to_string(), call)));
                }
                // The answer's first frame, or one of the future.
                Frame::Event { .. } => {}
                Frame::Exception { code, payload } => {
                    let said = message_of(&payload);
                    return Err(End::Failed(call.refused(Some(&code), said.as_deref(), 400)));
                }
                Frame::Error { code, message } => {
                    return Err(End::Failed(call.refused(Some(&code), Some(&message), 500)));
                }
            }
        }
    }

    /// Notes that nothing came for so long. Gives for how long in all.
    pub(super) fn heard_nothing(&mut self, listened: Duration) -> Duration {
        self.frames.heard_nothing(listened)
    }
}

fn broken_off(broken: &Broken, call: &Call<'_>) -> End {
    match broken {
        Broken::Ended => End::Over,
        Broken::CutShort(reason) => {
            End::Failed(Error::new(ErrorKind::Connection, format!("{call} was cut off: {reason}")))
        }
        Broken::Garbled(reason) => End::Failed(bad_page(reason, call)),
    }
}

fn bad_page(reason: &str, call: &Call<'_>) -> Error {
    Error::new(ErrorKind::BadPage, format!("{call}: the answer cannot be read, {reason}"))
}

fn message_of(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Said {
        #[serde(alias = "Message")]
        message: Option<String>,
    }
    serde_json::from_slice::<Said>(payload).ok()?.message
}
