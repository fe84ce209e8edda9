//! A subscription over HTTP: the session's events as frames, until it ends or somebody hangs up.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::cut::Piece;
use crate::error::AwsError;
use crate::faults::Fault;
use crate::frame;
use crate::http::{Shared, Signal};
use crate::kinesis::{Pushed, ShardEvent, Subscription};

/// The client has gone, or must think so of the server.
struct Over;

pub(crate) async fn push(
    subscription: Subscription,
    damage: Option<Fault>,
    shared: Arc<Shared>,
    signal: watch::Sender<Signal>,
    out: mpsc::Sender<Piece>,
) {
    let feed = Feed { subscription, shared, signal, out };
    let _ = feed.run(damage).await;
    feed.shared.look().kinesis().unsubscribe(&feed.subscription);
}

struct Feed {
    subscription: Subscription,
    shared: Arc<Shared>,
    signal: watch::Sender<Signal>,
    out: mpsc::Sender<Piece>,
}

impl Feed {
    async fn run(&self, damage: Option<Fault>) -> Result<(), Over> {
        let mut changes = self.shared.changes();
        self.send(frame::initial_response(), damage).await?;
        loop {
            changes.mark_unchanged();
            let (pushed, damage, wait) = self.next();
            match pushed {
                Pushed::Event(event) => self.event(&event, damage).await?,
                Pushed::Nothing { .. } => tokio::select! {
                    _ = changes.changed() => {}
                    () = sleep(wait) => {}
                    () = self.out.closed() => return Err(Over),
                },
                Pushed::Failed(error) => return self.fail(&error).await,
                Pushed::Ended => return Ok(()),
            }
        }
    }

    /// What the session has to say, and how long until it says something by itself.
    fn next(&self) -> (Pushed, Option<Fault>, Option<Duration>) {
        let mut aws = self.shared.look();
        let (pushed, damage) = aws.kinesis().push(&self.subscription);
        let wait = match pushed {
            Pushed::Nothing { until_ms } => aws.clock.real_time_until(until_ms),
            _ => None,
        };
        (pushed, damage, wait)
    }

    async fn event(&self, event: &ShardEvent, damage: Option<Fault>) -> Result<(), Over> {
        let json = event.json();
        let cut = damage == Some(Fault::InvalidJson);
        let json = if cut { json.slice(..json.len() / 2) } else { json };
        self.send(frame::event("SubscribeToShardEvent", &json), damage).await
    }

    async fn fail(&self, error: &AwsError) -> Result<(), Over> {
        match error.code.as_str() {
            AwsError::RESET => {
                self.signal.send_replace(Signal::Reset);
                self.out.closed().await;
                Err(Over)
            }
            _ if error.status == 0 => self.piece(Piece::Cut).await,
            _ => self.piece(Piece::Data(frame::exception(error))).await,
        }
    }

    /// Sends one frame, or what is left of it.
    async fn send(&self, frame: Bytes, damage: Option<Fault>) -> Result<(), Over> {
        match damage {
            Some(Fault::Truncated) => {
                self.piece(Piece::Data(frame.slice(..frame.len() / 2))).await?;
                self.piece(Piece::Cut).await?;
                return Err(Over);
            }
            Some(Fault::WrongCrc) => {
                let mut bytes = frame.to_vec();
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                return self.piece(Piece::Data(bytes.into())).await;
            }
            Some(Fault::Delay { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Some(Fault::GoAway) => drop(self.signal.send_replace(Signal::GoAway)),
            _ => {}
        }
        self.piece(Piece::Data(frame)).await
    }

    async fn piece(&self, piece: Piece) -> Result<(), Over> {
        self.out.send(piece).await.map_err(|_| Over)
    }
}

/// Without an end virtual time has to be moved, which is a change.
async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => pending().await,
    }
}
