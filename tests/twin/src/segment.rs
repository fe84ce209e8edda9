//! The parts of a parallel scan: ranges of places, cut evenly.

use std::ops::RangeInclusive;

use crate::error::{AwsError, Result};

/// Documented: at most this many.
const MOST: u64 = 1_000_000;

/// Part `index` of `total`; a scan that names none is part 0 of 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Segment {
    index: u64,
    total: u64,
}

impl Segment {
    /// # Errors
    /// `ValidationException` when one is given without the other, or either is out of its range
    /// (documented; the sentences are recorded).
    pub(crate) fn of(index: Option<u64>, total: Option<u64>) -> Result<Self> {
        match (index, total) {
            (None, None) => Ok(Self { index: 0, total: 1 }),
            (Some(_), None) => Err(absent("TotalSegments", "Segment parameter")),
            (None, Some(_)) => Err(absent("Segment", "parameter TotalSegments")),
            (_, Some(total)) if !(1..=MOST).contains(&total) => Err(AwsError::validation(format!(
                "1 validation error detected: Value '{total}' at 'totalSegments' failed to satisfy constraint: \
                 Member must have value between 1 and {MOST}"
            ))),
            (Some(index), Some(total)) if index >= total => Err(AwsError::validation(format!(
                "The Segment parameter is zero-based and must be less than parameter TotalSegments: \
                 Segment: {index} is not less than TotalSegments: {total}"
            ))),
            (Some(index), Some(total)) => Ok(Self { index, total }),
        }
    }

    /// The places that fall into this part: every place falls into one part of a total.
    pub(crate) fn places(self) -> RangeInclusive<u64> {
        let edge = |i: u64| (u128::from(i) << 64) / u128::from(self.total);
        let low = u64::try_from(edge(self.index)).unwrap_or(u64::MAX);
        let high = u64::try_from(edge(self.index + 1) - 1).unwrap_or(u64::MAX);
        low..=high
    }

    /// Recorded: the sentence for a key of another segment.
    pub(crate) fn refuses_key(self) -> AwsError {
        AwsError::validation(format!(
            "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey \
             with correct Segment. TotalSegments: {} Segment: {}",
            self.total, self.index
        ))
    }
}

fn absent(missing: &str, present: &str) -> AwsError {
    AwsError::validation(format!(
        "The {missing} parameter is required but was not present in the request when {present} is present"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parts_meet_without_a_gap() {
        for total in [1, 2, 3, 7, 1000, MOST] {
            let mut next = Some(0);
            for index in 0..total {
                let places = Segment::of(Some(index), Some(total)).unwrap().places();
                assert_eq!(Some(*places.start()), next, "{index}/{total}");
                next = places.end().checked_add(1);
            }
            assert_eq!(next, None, "{total}");
        }
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for (index, total) in
            [(Some(0), None), (None, Some(2)), (Some(2), Some(2)), (Some(0), Some(MOST + 1))]
        {
            assert_eq!(Segment::of(index, total).unwrap_err().code, "ValidationException");
        }
        assert_eq!(Segment::of(None, None).unwrap().places(), 0..=u64::MAX);
    }
}
