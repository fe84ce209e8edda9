//! A response body that may end in the middle.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// A body of a promised length that keeps its promise, or does not.
pub(crate) struct Body {
    data: Option<Bytes>,
    promised: u64,
    /// How often `poll_frame` still yields before the cut, so that what was sent gets out.
    yields: u8,
    cut: bool,
}

impl Body {
    pub(crate) fn whole(data: Bytes) -> Self {
        Self { promised: data.len() as u64, data: Some(data), yields: 0, cut: false }
    }

    /// Sends the first half and then fails, which closes the connection.
    pub(crate) fn cut(data: Bytes) -> Self {
        Self { promised: data.len() as u64, data: Some(data.slice(..data.len() / 2)), yields: 8, cut: true }
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
        if self.yields > 0 {
            self.yields -= 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.cut { Poll::Ready(Some(Err(io::Error::other("cut")))) } else { Poll::Ready(None) }
    }

    fn is_end_stream(&self) -> bool {
        !self.cut && self.data.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        if self.cut {
            return SizeHint::with_exact(self.promised);
        }
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}
