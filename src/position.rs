//! Where in a shard: sequence numbers that compare as numbers, positions, spans.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

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

/// A decimal sequence number of any length, compared as a number.
///
/// DynamoDB Streams gives 21 to 40 digits and Kinesis up to 129, so no machine
/// integer holds them and text order is wrong. The text is kept as the service
/// wrote it, because it goes back into requests; leading zeros do not count.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SequenceNumber(Arc<str>);

impl SequenceNumber {
    /// The longest the service models allow (Kinesis: `0|([1-9]\d{0,128})`).
    pub const MAX_DIGITS: usize = 129;

    /// # Errors
    /// `NotASequenceNumber` (a `Usage` error to the user) when the text is not 1 to 129 decimal digits.
    pub fn parse(text: &str) -> Result<Self, NotASequenceNumber> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits && text.len() <= Self::MAX_DIGITS {
            Ok(Self(text.into()))
        } else {
            Err(NotASequenceNumber(text.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn significant(&self) -> &str {
        self.0.trim_start_matches('0')
    }
}

/// The text that was to be a sequence number. Errors carry positions, so this stage comes before theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotASequenceNumber(String);

impl fmt::Display for NotASequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, digits) = (&self.0, SequenceNumber::MAX_DIGITS);
        write!(f, "{text:?} is not a sequence number: it must be 1 to {digits} decimal digits")
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
        number.0.as_ref().to_owned()
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.significant(), other.significant());
        a.len().cmp(&b.len()).then_with(|| a.cmp(b))
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
        self.significant().hash(state);
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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

    fn rank(&self) -> u8 {
        match self {
            Self::Beginning | Self::At(_) => 0,
            Self::After(_) => 1,
        }
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sequence().cmp(&other.sequence()).then_with(|| self.rank().cmp(&other.rank()))
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
