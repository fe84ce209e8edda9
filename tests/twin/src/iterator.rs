//! Shard iterators: opaque text that holds everything, so the service keeps no state.

use crate::clock::Millis;
use crate::error::{AwsError, Result};
use crate::random::place;

/// A place in a shard and the moment it was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShardIterator {
    pub(crate) stream: String,
    pub(crate) shard: String,
    /// Index of the next record, counted from the shard's birth.
    pub(crate) next: u64,
    /// Empty pages still to give before records.
    pub(crate) empties: u32,
    pub(crate) issued: Millis,
    /// Who reads: the same in all iterators that come from one GetShardIterator.
    pub(crate) reader: u64,
}

impl ShardIterator {
    /// `<stream arn>|1|<hex>`; the shape is recorded, what it means is ours.
    pub(crate) fn encode(&self) -> String {
        let plain = format!("{};{};{};{};{}", self.shard, self.next, self.empties, self.issued, self.reader);
        let check = place(&format!("{}{plain}", self.stream));
        let mut text = format!("{}|1|{check:016x}", self.stream);
        for byte in plain.bytes() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        text
    }

    /// # Errors
    /// `ValidationException` when the text was not given out by a twin, or was altered.
    pub(crate) fn decode(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| AwsError::validation("Invalid ShardIterator"))
    }
}

fn parse(text: &str) -> Option<ShardIterator> {
    let (stream, hex) = text.split_once("|1|")?;
    let (check, hex) = hex.split_at_checked(16)?;
    let plain = String::from_utf8(bytes_of(hex)?).ok()?;
    if u64::from_str_radix(check, 16).ok()? != place(&format!("{stream}{plain}")) {
        return None;
    }
    let mut parts = plain.split(';');
    let iterator = ShardIterator {
        stream: stream.to_owned(),
        shard: parts.next()?.to_owned(),
        next: parts.next()?.parse().ok()?,
        empties: parts.next()?.parse().ok()?,
        issued: parts.next()?.parse().ok()?,
        reader: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(iterator)
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = hex.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| u8::try_from(pair.first()? * 16 + pair.last()?).ok()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_given_out_is_accepted() {
        let iterator = ShardIterator {
            stream: "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026".into(),
            shard: "shardId-00000001767225600000-0a1b2c3d".into(),
            next: 7,
            empties: 2,
            issued: 1_767_225_600_000,
            reader: 9,
        };
        let text = iterator.encode();
        assert_eq!(ShardIterator::decode(&text).unwrap(), iterator);
        let altered = text.replace("|1|", "|1|0");
        for bad in ["", "x", "|1|", "é|1|éééééééééééééééé", &altered, &text[..text.len() - 2]]
        {
            assert_eq!(ShardIterator::decode(bad).unwrap_err().code, "ValidationException", "{bad}");
        }
    }
}
