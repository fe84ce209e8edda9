//! Numbers of at most 16 characters, eight digits at a time.

use super::json::{BLOCK, Cursor, Digits};
use super::number::SCALE;
use super::scan::{digits as digits_of, points};

/// The value of an integer; `None` when the text is anything else.
#[inline]
pub(super) fn short_integer(digits: Digits<'_>) -> Option<i64> {
    let start = usize::from(digits.block[0] == b'-');
    let value = whole(digits, start, digits.length)?;
    Some(if start == 1 { -value } else { value })
}

/// The value × 10^`SCALE` of digits with a point, or without; `None` when the text is anything else.
#[inline]
pub(super) fn short_decimal(digits: Digits<'_>) -> Option<i128> {
    let points = points(digits.block.first_chunk()?) & ((1 << digits.length) - 1);
    let start = usize::from(digits.block[0] == b'-');
    let value = if points == 0 {
        i128::from(whole(digits, start, digits.length)?) * i128::from(power(SCALE as usize)?)
    } else {
        let point = points.trailing_zeros() as usize;
        let places = digits.length - point - 1;
        let fraction = eight(digits.block, point + 1, places)?;
        let fraction = fraction * power((SCALE as usize).checked_sub(places)?)?;
        let value = whole(digits, start, point)?;
        i128::from(value) * i128::from(power(SCALE as usize)?) + i128::from(fraction)
    };
    Some(if start == 1 { -value } else { value })
}

/// Passes a JSON number of digits with a point among them or not, as times are written: its whole part, and the
/// billionths behind the point.
#[inline]
pub(super) fn short_moment(cursor: &mut Cursor<'_>) -> Option<(i64, i64)> {
    let block: &[u8; BLOCK + 8] = cursor.ahead()?;
    let first = block.first_chunk()?;
    let points = points(first);
    let length = (!(points | digits_of(first))).trailing_zeros() as usize;
    let ends = matches!(block.get(length), Some(b',' | b'}'));
    if !ends || length > BLOCK || block[0] == b'0' {
        return None;
    }
    let digits = Digits { block, length };
    let point = (points.trailing_zeros() as usize).min(length);
    let billionths = match length - point {
        0 => 0,
        places => eight(block, point + 1, places - 1)? * power(10 - places)?,
    };
    let whole = whole(digits, 0, point)?;
    cursor.at += length;
    Some((whole, billionths))
}

/// Whether the text is a number in DynamoDB's own form.
#[inline]
pub(super) fn is_short_canonical(digits: Digits<'_>) -> bool {
    let Digits { block, length } = digits;
    let Some(first) = block.first_chunk() else { return false };
    let sign = usize::from(block[0] == b'-');
    let text = (1u32 << length) - 1;
    let (points, others) = (points(first) & text, !digits_of(first) & text & !(sign as u32));
    let end = if points == 0 { length } else { points.trailing_zeros() as usize };
    let leads = block[sign] != b'0' || (end == sign + 1 && (points != 0 || length == 1));
    let trails = points == 0 || (end + 1 < length && block[length - 1] != b'0');
    others == points && points & points.wrapping_sub(1) == 0 && end > sign && leads && trails
}

/// The digits from `start` up to `end`, which is at most `BLOCK`.
#[inline]
fn whole(digits: Digits<'_>, start: usize, end: usize) -> Option<i64> {
    let length = end.checked_sub(start)?;
    if length <= 8 {
        return eight(digits.block, start, length);
    }
    let low = eight(digits.block, start + 8, length - 8)?;
    Some(eight(digits.block, start, 8)? * power(length - 8)? + low)
}

/// The value of 1 to 8 digits. All of them are bytes of one word, and each step joins neighbours.
#[inline]
fn eight(block: &[u8; BLOCK + 8], start: usize, length: usize) -> Option<i64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    // A byte above 9 reaches its highest bit by this, or has it already.
    const OVER_NINE: u64 = 0x7676_7676_7676_7676;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let bytes = block.get(start..)?.first_chunk()?;
    if !(1..=8).contains(&length) {
        return None;
    }
    // What stands behind the digits is pushed out, and zeros come in before them.
    let word = (u64::from_le_bytes(*bytes) ^ ZEROS) << (64 - 8 * length);
    if (word.wrapping_add(OVER_NINE) | word) & HIGHS != 0 {
        return None;
    }
    let pairs = word.wrapping_mul(10).wrapping_add(word >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_FFFF_0000_FFFF;
    Some((fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xFFFF_FFFF) as i64)
}

#[inline]
fn power(exponent: usize) -> Option<i64> {
    const POWERS: [i64; 10] =
        [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
    POWERS.get(exponent).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::json::Cursor;
    use super::super::number::{Number, append_canonical};
    use super::*;
    use proptest::prelude::*;

    fn both(text: &str) -> (Option<i64>, Option<i128>) {
        let page = format!("{{\"N\":\"{text}\"}},\"next\":{{\"S\":\"a value that is long\"}}");
        let mut cursor = Cursor::new(page.as_bytes(), 0);
        let Some(digits) = cursor.quick_digits() else { return (None, None) };
        assert_eq!(digits.text(), text.as_bytes());
        assert_eq!(cursor.at, text.len() + 8);
        (short_integer(digits), short_decimal(digits))
    }

    fn canonical_by_block(text: &str) -> Option<bool> {
        let page = format!("{{\"N\":\"{text}\"}},\"next\":{{\"S\":\"a value that is long\"}}");
        Cursor::new(page.as_bytes(), 0).quick_digits().map(is_short_canonical)
    }

    #[test]
    fn the_form_dynamodb_writes_is_known() {
        for text in ["0", "7", "-7", "10", "0.5", "-0.5", "10.01", "123456789012345"] {
            assert_eq!(canonical_by_block(text), Some(true), "{text}");
        }
        for text in [
            "", "-", "-0", "00", "01", "1.", "1.0", "1.50", ".5", "-.5", "1.2.3", "1e3", "+1", "0.0", "-0.0",
            "--1", "1-", ".",
        ] {
            assert_eq!(canonical_by_block(text), Some(false), "{text}");
        }
    }

    #[test]
    fn usual_numbers_are_short() {
        assert_eq!(both("0"), (Some(0), Some(0)));
        assert_eq!(both("-7"), (Some(-7), Some(-7_000_000_000)));
        assert_eq!(both("123.45"), (None, Some(123_450_000_000)));
        assert_eq!(both("-0.5"), (None, Some(-500_000_000)));
        assert_eq!(both("999999999999999").0, Some(999_999_999_999_999));
        assert_eq!(both("1234567.9012345").1, Some(1_234_567_901_234_500));
        for text in
            ["", "-", ".", "1.", ".1", "1..2", "1.2.3", "+1", "1e3", "--1", "1-", "a", "1 ", "0x1", "é"]
        {
            assert_eq!(both(text), (None, None), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn a_short_number_is_the_number(text in "[-+]?[0-9]{0,9}[.eE/:]?[0-9]{0,9}") {
            let number = Number::parse(text.as_bytes()).ok();
            let (integer, decimal) = both(&text);
            let mut canonical = Vec::new();
            let is = append_canonical(text.as_bytes(), &mut canonical).is_ok() && canonical == text.as_bytes();
            prop_assert!(canonical_by_block(&text).is_none_or(|found| found == is));
            if let Some(integer) = integer {
                prop_assert_eq!(number.and_then(|number| number.int64()), Some(integer));
            }
            if let Some(decimal) = decimal {
                prop_assert_eq!(number.and_then(|number| number.decimal()), Some(decimal));
            }
        }

        #[test]
        fn noise_is_no_number(text in "[-0-9.eE+ #-~]{0,15}") {
            let (integer, decimal) = both(&text);
            if integer.is_some() || decimal.is_some() {
                prop_assert!(Number::parse(text.as_bytes()).is_ok());
            }
        }
    }
}
