//! `application/vnd.amazon.eventstream`: messages with headers, lengths and two checksums.

use bytes::Bytes;

use crate::error::AwsError;

/// The first message of every answer (recorded: boto3 waits for it).
pub(crate) fn initial_response() -> Bytes {
    message(&[(":message-type", "event"), (":event-type", "initial-response"), JSON], b"{}")
}

pub(crate) fn event(kind: &str, payload: &[u8]) -> Bytes {
    message(&[(":message-type", "event"), (":event-type", kind), JSON], payload)
}

/// An error that ends the stream.
pub(crate) fn exception(error: &AwsError) -> Bytes {
    let payload = serde_json::json!({ "message": error.message }).to_string();
    message(&[(":message-type", "exception"), (":exception-type", &error.code), JSON], payload.as_bytes())
}

const JSON: (&str, &str) = (":content-type", "application/x-amz-json-1.1");

/// Documented: both lengths and their CRC32; headers; payload; the CRC32 of all before it. A
/// header is its name behind one byte of length, 7 for text, and the text behind two.
fn message(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        head.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
    let mut message = Vec::with_capacity(16 + head.len() + payload.len());
    message.extend_from_slice(&length(16 + head.len() + payload.len()));
    message.extend_from_slice(&length(head.len()));
    let prelude = crc32fast::hash(&message);
    message.extend_from_slice(&prelude.to_be_bytes());
    message.extend_from_slice(&head);
    message.extend_from_slice(payload);
    let whole = crc32fast::hash(&message);
    message.extend_from_slice(&whole.to_be_bytes());
    message.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_documented_bytes() {
        let event = event("E", b"xy");
        let number = |at: usize| u32::from_be_bytes(event[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(number(0), event.len());
        assert_eq!(number(8), crc32fast::hash(&event[..8]) as usize);
        assert_eq!(number(event.len() - 4), crc32fast::hash(&event[..event.len() - 4]) as usize);
        assert_eq!(&event[12..12 + 23], b"\x0d:message-type\x07\x00\x05event\x0b");
        assert_eq!(&event[12 + number(4)..event.len() - 4], b"xy");
    }
}
