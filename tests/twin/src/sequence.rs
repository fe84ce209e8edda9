//! Sequence numbers: decimal text of 21 to 40 digits that grows in numeric order.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::random::Random;

/// A sequence number as the service writes it, without leading zeros, ordered as a number.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sequence(Arc<str>);

impl Sequence {
    /// Accepts what a request may carry; leading zeros are dropped.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::parse_up_to(text, 40)
    }

    /// Accepts digits of at most so many.
    pub(crate) fn parse_up_to(text: &str, most: usize) -> Option<Self> {
        let digits = !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| Self(text.trim_start_matches('0').into()))
    }

    /// Digits without leading zeros.
    pub(crate) fn of_digits(digits: String) -> Self {
        Self(digits.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for Sequence {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Sequence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gives one lineage its numbers: a prefix that grows, followed by 20 digits of an ordinal.
///
/// The prefix never shrinks and the ordinal (one counter for the whole twin) always grows, so
/// the numbers grow. The prefix has 1 to 20 digits, so the text has 21 to 40, wider with time:
/// that its text order is wrong is recorded (samples of the service's own model), that its
/// numeric order follows the lineage is assumed.
#[derive(Debug, Clone)]
pub(crate) struct Numbering {
    prefix: u128,
}

/// From here on the prefix grows by single steps only: 20 digits are never exceeded.
const WIDE: u128 = 10_u128.pow(19);

impl Numbering {
    pub(crate) fn new() -> Self {
        Self { prefix: 1 }
    }

    pub(crate) fn next(&mut self, ordinal: u64, random: &mut Random) -> Sequence {
        self.prefix += u128::from(random.below(3));
        Sequence(format!("{}{ordinal:020}", self.prefix).into())
    }

    /// The jump between a shard and its child: a quarter to twice as far again.
    pub(crate) fn leap(&mut self, random: &mut Random) {
        if self.prefix < WIDE {
            self.prefix += self.prefix / 4 * u128::from(1 + random.below(8)) + u128::from(random.below(9));
        }
    }
}
