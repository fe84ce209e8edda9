//! A part of an aggregate that is kept aside.

use bytes::Bytes;
use serde_json::json;

use super::Payload;
use crate::decode::Quarantined;
use crate::position::SequenceNumber;

/// The part in the form of a record, so that what is kept aside looks the same wherever it came from.
pub(super) fn part(sequence: SequenceNumber, payload: &Payload<'_>, reason: String) -> Quarantined {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let mut record = json!({
        "SequenceNumber": sequence.as_str(),
        "PartitionKey": text(payload.partition_key),
        "Data": base64_simd::STANDARD.encode_to_string(payload.data),
    });
    if let Some(key) = payload.explicit_hash_key {
        record["ExplicitHashKey"] = text(key).into();
    }
    if let Some(micros) = payload.arrived {
        record["ApproximateArrivalTimestamp"] = (micros as f64 / 1e6).into();
    }
    Quarantined { sequence: Some(sequence), raw: Bytes::from(record.to_string()), reason }
}
