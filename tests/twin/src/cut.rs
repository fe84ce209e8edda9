//! A response body that may end in the middle.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::mpsc;

/// A body of a promised length that keeps its promise, or does not; or one that is fed as it goes.
pub(crate) struct Body {
    data: Option<Bytes>,
    feed: Option<mpsc::Receiver<Piece>>,
    promised: u64,
    /// How often `poll_frame` still yields before the cut, so that what was sent gets out.
    yields: u8,
    cut: bool,
}

pub(crate) enum Piece {
    Data(Bytes),
    /// The body fails here.
    Cut,
}

/// Polls between the last byte and the cut: hyper writes what it has before it asks again.
const YIELDS: u8 = 8;

impl Body {
    pub(crate) fn whole(data: Bytes) -> Self {
        Self { promised: data.len() as u64, data: Some(data), feed: None, yields: 0, cut: false }
    }

    /// Sends the first half and then fails, which closes the connection (HTTP/2: the stream).
    pub(crate) fn cut(data: Bytes) -> Self {
        let half = data.slice(..data.len() / 2);
        Self { promised: data.len() as u64, data: Some(half), feed: None, yields: YIELDS, cut: true }
    }

    /// A body without a length, which ends when its sender is dropped.
    pub(crate) fn fed() -> (mpsc::Sender<Piece>, Self) {
        // One piece waits: a client that does not read is noticed, and a session's memory is bounded.
        let (sender, feed) = mpsc::channel(1);
        (sender, Self { promised: 0, data: None, feed: Some(feed), yields: 0, cut: false })
    }

    fn poll_feed(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(feed) = &mut self.feed else { return Poll::Ready(None) };
        match feed.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Piece::Data(data))) => Poll::Ready(Some(data)),
            Poll::Ready(end) => {
                self.feed = None;
                (self.cut, self.yields) = (end.is_some(), if end.is_some() { YIELDS } else { 0 });
                Poll::Ready(None)
            }
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(data) = self.data.take().filter(|data| !data.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match self.poll_feed(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
            Poll::Ready(None) => {}
        }
        if self.yields > 0 {
            self.yields -= 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.cut { Poll::Ready(Some(Err(io::Error::other("cut")))) } else { Poll::Ready(None) }
    }

    fn is_end_stream(&self) -> bool {
        !self.cut && self.feed.is_none() && self.data.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        if self.feed.is_some() {
            return SizeHint::default();
        }
        if self.cut {
            return SizeHint::with_exact(self.promised);
        }
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}
