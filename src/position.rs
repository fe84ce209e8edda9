//! Where in a shard: sequence numbers that compare as numbers, positions, spans.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::broken;

/// The service's name of a shard; opaque.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(Arc<str>);

impl ShardId {
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl From<&str> for ShardId {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

/// A decimal sequence number of any length, compared as a number, and the sub-sequence number of
/// one record in an aggregate: `123`, or `123:4`.
///
/// DynamoDB Streams gives 21 to 40 digits and Kinesis up to 129, so no machine
/// integer holds them and text order is wrong. The text is kept as the service
/// wrote it, because it goes back into requests; leading zeros do not count.
///
/// A number without sub-sequence is the whole record: it comes behind all of its parts.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SequenceNumber {
    text: Arc<str>,
    /// How much of the text is the record's own number.
    digits: u8,
    sub: Option<u32>,
}

impl SequenceNumber {
    /// The longest the service models allow (Kinesis: `0|([1-9]\d{0,128})`).
    pub const MAX_DIGITS: usize = 129;

    /// # Errors
    /// `NotASequenceNumber` (a `Usage` error to the user) when the text is not 1 to 129 decimal digits,
    /// alone or with `:` and a sub-sequence number behind.
    pub fn parse(text: &str) -> Result<Self, NotASequenceNumber> {
        let (number, sub) = match text.split_once(':') {
            Some((number, sub)) => (number, Some(sub)),
            None => (text, None),
        };
        let is_decimal = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let sub = sub.map(|sub| if is_decimal(sub) { sub.parse().ok() } else { None });
        match (u8::try_from(number.len()), sub) {
            (Ok(digits), None | Some(Some(_))) if is_decimal(number) && number.len() <= Self::MAX_DIGITS => {
                Ok(Self { text: text.into(), digits, sub: sub.flatten() })
            }
            _ => Err(NotASequenceNumber(text.to_owned())),
        }
    }

    /// The part `sub` of this record.
    #[must_use]
    pub fn part(&self, sub: u32) -> Self {
        let (record, digits) = (self.record(), self.digits);
        Self { text: format!("{record}:{sub}").into(), digits, sub: Some(sub) }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The record's own number, without a sub-sequence number: what requests are made with.
    pub fn record(&self) -> &str {
        self.text.get(..self.digits.into()).unwrap_or_default()
    }

    /// Which part of an aggregate this is; `None` for a whole record.
    pub fn sub(&self) -> Option<u32> {
        self.sub
    }

    fn significant(&self) -> &str {
        self.record().trim_start_matches('0')
    }

    fn cmp_record(&self, other: &Self) -> Ordering {
        let (a, b) = (self.significant(), other.significant());
        let by_length = if broken::is("numbers-as-text") { Ordering::Equal } else { a.len().cmp(&b.len()) };
        by_length.then_with(|| a.cmp(b))
    }
}

/// The text that was to be a sequence number. Errors carry positions, so this stage comes before theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotASequenceNumber(String);

impl fmt::Display for NotASequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, digits) = (&self.0, SequenceNumber::MAX_DIGITS);
        write!(
            f,
            "{text:?} is not a sequence number: it must be 1 to {digits} decimal digits, \
             or such a number with a colon and a sub-sequence number"
        )
    }
}

impl std::error::Error for NotASequenceNumber {}

impl TryFrom<String> for SequenceNumber {
    type Error = NotASequenceNumber;

    fn try_from(text: String) -> Result<Self, NotASequenceNumber> {
        Self::parse(&text)
    }
}

impl From<SequenceNumber> for String {
    fn from(number: SequenceNumber) -> Self {
        number.text.as_ref().to_owned()
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let behind_its_parts = |sub: Option<u32>| sub.map_or(u64::MAX, u64::from);
        self.cmp_record(other).then_with(|| behind_its_parts(self.sub).cmp(&behind_its_parts(other.sub)))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SequenceNumber {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for SequenceNumber {}

impl std::hash::Hash for SequenceNumber {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.significant(), self.sub).hash(state);
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A place between records of one shard. `At` is just before its record, `After` just behind it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Position {
    Beginning,
    At(SequenceNumber),
    After(SequenceNumber),
}

impl Position {
    pub fn sequence(&self) -> Option<&SequenceNumber> {
        match self {
            Self::Beginning => None,
            Self::At(number) | Self::After(number) => Some(number),
        }
    }

    /// Where within its record: before it, before or behind one of its parts, behind it.
    fn within(&self) -> i64 {
        match self {
            Self::Beginning => -1,
            Self::At(number) => number.sub.map_or(-1, |sub| i64::from(sub) * 2),
            Self::After(number) => number.sub.map_or(i64::MAX, |sub| i64::from(sub) * 2 + 1),
        }
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        let records = match (self.sequence(), other.sequence()) {
            (Some(a), Some(b)) => a.cmp_record(b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        records.then_with(|| self.within().cmp(&other.within()))
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning => f.write_str("the beginning"),
            Self::At(number) => write!(f, "at {number}"),
            Self::After(number) => write!(f, "after {number}"),
        }
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What one batch covers of one shard: everything behind `from` up to and with `to`.
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    pub from: Position,
    pub to: Position,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {}]", self.from, self.to)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn number(text: &str) -> SequenceNumber {
        SequenceNumber::parse(text).unwrap()
    }

    #[test]
    fn positions_within_an_aggregate_stand_between_before_and_behind_it() {
        let at = |text| Position::At(number(text));
        let after = |text| Position::After(number(text));
        let order = [
            Position::Beginning,
            after("9"),
            at("10"),
            at("10:0"),
            after("10:0"),
            at("10:1"),
            after("10:1"),
            after("10:12"),
            after("10"),
            at("11"),
        ];
        for (index, one) in order.iter().enumerate() {
            for (other_index, other) in order.iter().enumerate() {
                assert_eq!(one.cmp(other), index.cmp(&other_index), "{one} and {other}");
            }
        }
    }

    #[test]
    fn a_part_knows_its_record() {
        let part = number("0049").part(7);
        assert_eq!((part.as_str(), part.record(), part.sub()), ("0049:7", "0049", Some(7)));
        assert_eq!(part, number("49:7"));
        assert_eq!(part.part(8).as_str(), "0049:8");
        assert!(part < number("49") && number("48") < part);
    }

    #[test]
    fn anything_else_is_no_sequence_number() {
        for text in ["", ":", "1:", ":1", "1:2:3", "1:-2", "1:+2", "x", "1:4294967296", &"1".repeat(130)] {
            assert!(SequenceNumber::parse(text).is_err(), "{text:?}");
        }
        assert!(SequenceNumber::parse(&"1".repeat(129)).is_ok());
    }
}
