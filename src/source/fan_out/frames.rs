//! The frames of an event stream, split from a body that is read only as far as the next one.

use std::time::Duration;

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::event_stream::{HeaderValue, Message};
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;

/// Total length, length of the headers, and the checksum of both.
const PRELUDE: usize = 12;

/// A frame holds one event: at most 10 MiB of data, a third more as base64, and the JSON around it.
/// A longer one is noise, and is refused before it is waited for.
const MAX_FRAME: usize = 32 << 20;

/// A body and what was read of it beyond the last frame: part of one frame and of one piece of the body.
#[derive(Debug)]
pub(super) struct Frames {
    body: SdkBody,
    read: BytesMut,
    /// How long it was listened to since anything came.
    silence: Duration,
}

/// One frame, by its headers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Event {
        kind: String,
        payload: Bytes,
    },
    /// The service ends the stream with an error of its model.
    Exception {
        code: String,
        payload: Bytes,
    },
    /// The service ends the stream with an error outside its model.
    Error {
        code: String,
        message: String,
    },
}

/// Why there is no frame.
#[derive(Debug)]
pub(super) enum Broken {
    /// The body ended between two frames.
    Ended,
    /// The connection broke, or the body ended within a frame.
    CutShort(String),
    /// What came is no frame.
    Garbled(String),
}

impl Frames {
    pub(super) fn new(body: SdkBody) -> Self {
        Self { body, read: BytesMut::new(), silence: Duration::ZERO }
    }

    /// Notes that it was listened to in vain for so long. Gives how long that has been so altogether, while
    /// nothing came: what comes when nobody listens waits in the connection, and says nothing of it.
    pub(super) fn heard_nothing(&mut self, listened: Duration) -> Duration {
        self.silence += listened;
        self.silence
    }

    /// The next frame. Nothing is lost when it is given up on before it is there.
    pub(super) async fn next(&mut self) -> Result<Frame, Broken> {
        loop {
            if let Some(frame) = self.split()? {
                return frame_of(&frame);
            }
            self.read_piece().await?;
        }
    }

    async fn read_piece(&mut self) -> Result<(), Broken> {
        match self.body.frame().await {
            None if self.read.is_empty() => Err(Broken::Ended),
            None => Err(Broken::CutShort("it ended within an event".into())),
            Some(Err(cause)) => Err(Broken::CutShort(crate::aws::errors::chain(cause.as_ref()))),
            Some(Ok(piece)) => {
                self.silence = Duration::ZERO;
                if let Ok(data) = piece.into_data() {
                    self.read.extend_from_slice(&data);
                }
                Ok(())
            }
        }
    }

    /// Takes a whole frame off what was read, once it is there.
    fn split(&mut self) -> Result<Option<Message>, Broken> {
        let Some(mut prelude) = self.read.get(..PRELUDE) else { return Ok(None) };
        let promised = crc32fast::hash(&prelude[..8]);
        let length = prelude.get_u32() as usize;
        let _headers = prelude.get_u32();
        if prelude.get_u32() != promised {
            return Err(Broken::Garbled("an event begins with a wrong checksum".into()));
        }
        if !(PRELUDE..=MAX_FRAME).contains(&length) {
            return Err(Broken::Garbled(format!("an event says it is {length} bytes long")));
        }
        if self.read.len() < length {
            self.read.reserve(length - self.read.len());
            return Ok(None);
        }
        let frame = self.read.split_to(length).freeze();
        read_message_from(frame).map(Some).map_err(|cause| Broken::Garbled(cause.to_string()))
    }
}

fn frame_of(message: &Message) -> Result<Frame, Broken> {
    let payload = message.payload().clone();
    let named = |name: &str| header(message, name).map(str::to_owned).unwrap_or_default();
    match header(message, ":message-type") {
        Some("event") => Ok(Frame::Event { kind: named(":event-type"), payload }),
        Some("exception") => Ok(Frame::Exception { code: named(":exception-type"), payload }),
        Some("error") => Ok(Frame::Error { code: named(":error-code"), message: named(":error-message") }),
        other => Err(Broken::Garbled(format!("a message of the type {other:?} came instead of an event"))),
    }
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let header = message.headers().iter().find(|header| header.name().as_str() == name)?;
    match header.value() {
        HeaderValue::String(text) => Some(text.as_str()),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::Header;

    use super::*;

    /// The bytes of a frame with these headers.
    pub(crate) fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
        let text = |text: &str| HeaderValue::String(text.to_owned().into());
        let headers = headers.iter().map(|(name, value)| Header::new((*name).to_owned(), text(value)));
        let message = Message::new_from_parts(headers.collect(), payload.to_owned().into_bytes());
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).unwrap();
        bytes
    }

    /// An event as the service sends it.
    pub(crate) fn event(payload: &str) -> Vec<u8> {
        let headers = [
            (":event-type", "SubscribeToShardEvent"),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ];
        frame(&headers, payload)
    }

    pub(crate) fn exception(code: &str, message: &str) -> Vec<u8> {
        let payload = serde_json::json!({ "message": message }).to_string();
        frame(&[(":message-type", "exception"), (":exception-type", code)], &payload)
    }

    async fn all(bytes: Vec<u8>) -> (Vec<Frame>, Broken) {
        let mut frames = Frames::new(SdkBody::from(bytes));
        let mut found = Vec::new();
        loop {
            match frames.next().await {
                Ok(frame) => found.push(frame),
                Err(broken) => return (found, broken),
            }
        }
    }

    #[tokio::test]
    async fn frames_are_split_and_told_apart() {
        let mut bytes = event("{}");
        bytes.extend(exception("ResourceInUseException", "no"));
        bytes.extend(frame(
            &[(":message-type", "error"), (":error-code", "E"), (":error-message", "why")],
            "",
        ));
        let (found, broken) = all(bytes).await;
        assert_eq!(
            found,
            [
                Frame::Event { kind: "SubscribeToShardEvent".into(), payload: "{}".into() },
                Frame::Exception {
                    code: "ResourceInUseException".into(),
                    payload: r#"{"message":"no"}"#.into()
                },
                Frame::Error { code: "E".into(), message: "why".into() },
            ]
        );
        assert!(matches!(broken, Broken::Ended));
    }

    #[tokio::test]
    async fn a_body_cut_at_any_place_gives_only_whole_frames() {
        let whole = [event(r#"{"a":1}"#), event(r#"{"b":2}"#)].concat();
        let first = event(r#"{"a":1}"#).len();
        for end in 0..whole.len() {
            let (found, broken) = all(whole[..end].to_vec()).await;
            assert_eq!(found.len(), end / first, "cut at {end}");
            match broken {
                Broken::Ended => assert_eq!(end % first, 0, "cut at {end}"),
                other => assert!(matches!(other, Broken::CutShort(_)), "cut at {end}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_changed_bit_anywhere_is_noticed() {
        let whole = event(r#"{"a":1}"#);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            let (found, broken) = all(bytes).await;
            assert!(found.is_empty(), "bit of byte {at}");
            assert!(matches!(broken, Broken::Garbled(_)), "byte {at}: {broken:?}");
        }
    }

    #[tokio::test]
    async fn a_length_that_cannot_be_is_refused_at_once() {
        for length in [0_u32, 11, u32::MAX] {
            let mut bytes = [length.to_be_bytes(), [0; 4]].concat();
            bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
            let (_, broken) = all(bytes).await;
            assert!(matches!(broken, Broken::Garbled(_)), "{length}: {broken:?}");
        }
    }
}
