//! One event of a subscription: a page that says of itself where the subscription goes on.

use bytes::Bytes;
use memchr::{memchr, memmem};

use crate::error::{Error, ErrorKind, Result};
use crate::position::SequenceNumber;
use crate::source::envelope::{Envelope, OfEvent};

/// The payload of a `SubscribeToShardEvent`, and what it says about itself.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) payload: Bytes,
    pub(super) envelope: Envelope<OfEvent>,
    /// How far the subscription is; `None` at the end of the shard.
    pub(super) reached: Option<Reached>,
}

/// The furthest place an event names: its continuation, or its last record where that is further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reached(pub(super) SequenceNumber);

impl Event {
    /// # Errors
    /// `BadPage` when the payload is not an event.
    pub(super) fn read(payload: Bytes) -> Result<Self> {
        let envelope = Envelope::<OfEvent>::read(&payload)?;
        let bad = |cause| {
            let message = format!("the event cannot be read: {cause}");
            Error::new(ErrorKind::BadPage, message)
        };
        let records = payload.get(envelope.elements.clone()).unwrap_or_default();
        let last = last_number(records).map(SequenceNumber::parse).transpose().map_err(bad)?;
        let continuation = envelope.about.continuation.as_deref().filter(|_| !ends(&envelope.about, records));
        let reached = continuation.map(SequenceNumber::parse).transpose().map_err(bad)?;
        // Emulators have been seen to go on from "0" behind records.
        let reached = reached.map(|number| Reached(last.into_iter().fold(number, Ord::max)));
        Ok(Self { payload, envelope, reached })
    }
}

/// Whether a shard ends with an event that has a continuation all the same, as emulators send it: it names
/// children, has no record, and nothing is behind it. The service sends none: its last event goes on nowhere.
fn ends(about: &OfEvent, records: &[u8]) -> bool {
    !about.children.is_empty() && about.behind == Some(0) && records.trim_ascii().is_empty()
}

/// The sequence number of the last record, by the last member of that name. What has the name before
/// a colon is a member: within a string its quotes would stand behind backslashes.
fn last_number(records: &[u8]) -> Option<&str> {
    const NAME: &[u8] = br#""SequenceNumber""#;
    memmem::rfind_iter(records, NAME).find_map(|at| {
        let value = records.get(at + NAME.len()..)?.trim_ascii_start().strip_prefix(b":")?;
        let text = value.trim_ascii_start().strip_prefix(b"\"")?;
        std::str::from_utf8(text.get(..memchr(b'"', text)?)?).ok()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn reached(payload: &'static str) -> Option<String> {
        Event::read(Bytes::from_static(payload.as_bytes()))
            .unwrap()
            .reached
            .map(|Reached(number)| number.as_str().to_owned())
    }

    #[test]
    fn an_event_goes_on_behind_its_continuation() {
        let payload = r#"{"Records":[],"ContinuationSequenceNumber":"70","MillisBehindLatest":12}"#;
        assert_eq!(reached(payload).as_deref(), Some("70"));
        let event = Event::read(payload.into()).unwrap();
        assert_eq!((event.envelope.about.behind, event.envelope.about.children.len()), (Some(12), 0));
    }

    #[test]
    fn a_continuation_before_the_last_record_is_not_believed() {
        let payload = r#"{"Records":[{"SequenceNumber":"7","PartitionKey":"a"},
            {"PartitionKey":"\"SequenceNumber\":\"99\"","SequenceNumber" : "80"},
            {"SequenceNumber":"81","PartitionKey":"SequenceNumber"}],
            "ContinuationSequenceNumber":"0","MillisBehindLatest":0}"#;
        assert_eq!(reached(payload).as_deref(), Some("81"));
    }

    #[test]
    fn without_a_continuation_the_shard_ends_and_names_its_children() {
        let payload = r#"{"Records":[{"SequenceNumber":"7"}],"MillisBehindLatest":0,"ChildShards":[
            {"ShardId":"c-1","ParentShards":["p"],"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"9"}},
            {"ShardId":"c-2","ParentShards":["p"],"HashKeyRange":{"StartingHashKey":"10","EndingHashKey":"19"}}],
            "ContinuationSequenceNumber":null}"#;
        let event = Event::read(payload.into()).unwrap();
        assert_eq!(event.reached, None);
        let children: Vec<_> =
            event.envelope.about.children.iter().map(|child| child.shard_id.as_str()).collect();
        assert_eq!(children, ["c-1", "c-2"]);
        assert_eq!(&payload[event.envelope.elements.clone()], r#"{"SequenceNumber":"7"}"#);
    }

    #[test]
    fn children_end_a_shard_only_when_nothing_is_left_of_it() {
        let event = |records, behind| {
            let child = r#"{"ShardId":"c","ParentShards":["p"]}"#;
            let text = format!(
                r#"{{"Records":[{records}],"ContinuationSequenceNumber":"9","MillisBehindLatest":{behind},"ChildShards":[{child}]}}"#
            );
            Event::read(text.into()).unwrap().reached.is_some()
        };
        assert!(!event("", 0));
        assert!(event("", 1));
        assert!(event(r#"{"SequenceNumber":"7"}"#, 0));
    }

    #[test]
    fn what_is_no_event_is_a_bad_page() {
        for payload in
            ["", "{}", "[]", r#"{"Records":{}}"#, r#"{"Records":[],"ContinuationSequenceNumber":"x"}"#]
        {
            let error = Event::read(payload.into()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadPage, "{payload}");
        }
    }
}
