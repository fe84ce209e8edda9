//! Moments as the service and its stand-ins write them.

use arrow_schema::TimeUnit;

use super::json::{Cursor, Fallible, bad_record};
use super::number::Number;
use super::short::short_moment;

/// A moment as a JSON number: so many of a unit since 1970.
///
/// DynamoDB Streams writes whole seconds, some as `1.47E9` (API reference, `StreamRecord`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks<'a> {
    text: &'a [u8],
    /// Whole units and billionths of one, where the text is of the usual form.
    usual: Option<(i64, i64)>,
}

impl<'a> Ticks<'a> {
    /// Passes the number at the cursor.
    #[inline]
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Fallible<Self> {
        let start = cursor.at;
        let usual = short_moment(cursor);
        if usual.is_none() {
            cursor.number()?;
        }
        Ok(Self { text: cursor.since(start), usual })
    }

    /// In microseconds; finer parts are cut off.
    #[inline]
    pub(super) fn to_micros(self, unit: TimeUnit) -> Fallible<i64> {
        let micros = self.usual.and_then(|(whole, billionths)| match unit {
            TimeUnit::Second => whole.checked_mul(1_000_000)?.checked_add(billionths / 1000),
            TimeUnit::Millisecond => whole.checked_mul(1000)?.checked_add(billionths / 1_000_000),
            TimeUnit::Microsecond => Some(whole),
            TimeUnit::Nanosecond => Some(whole / 1000),
        });
        match micros {
            Some(micros) => Ok(micros),
            None => to_micros(self.text, unit),
        }
    }
}

fn to_micros(text: &[u8], unit: TimeUnit) -> Fallible<i64> {
    let places = match unit {
        TimeUnit::Second => 6,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 0,
        TimeUnit::Nanosecond => -3,
    };
    let number = Number::parse(text)?;
    let shifted = Number { exponent: number.exponent + places, ..number };
    let micros = match u32::try_from(-shifted.exponent) {
        Ok(places) => shifted.digits.checked_div(10u128.checked_pow(places).unwrap_or(u128::MAX)),
        Err(_) => shifted.scaled(38, 0).map(i128::unsigned_abs),
    };
    match micros.and_then(|micros| i64::try_from(micros).ok()) {
        Some(micros) if number.negative => Ok(-micros),
        Some(micros) => Ok(micros),
        None => bad_record(format!("{} is not a time", String::from_utf8_lossy(text))),
    }
}

/// RFC 3339, to nanoseconds; finer parts are cut off.
pub(super) fn rfc3339_to_nanos(text: &[u8]) -> Fallible<i128> {
    match read_rfc3339(text) {
        Some(nanos) => Ok(nanos),
        None => bad_record(format!("{:?} is not an RFC 3339 time", String::from_utf8_lossy(text))),
    }
}

fn read_rfc3339(text: &[u8]) -> Option<i128> {
    let [date @ .., b'Z' | b'z'] = text else {
        let (local, offset) = text.split_last_chunk::<6>()?;
        return Some(local_nanos(local)? - i128::from(offset_seconds(*offset)?) * 1_000_000_000);
    };
    local_nanos(date)
}

fn offset_seconds(offset: [u8; 6]) -> Option<i64> {
    let [sign, h1, h2, b':', m1, m2] = offset else { return None };
    let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
    let seconds = (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

fn local_nanos(text: &[u8]) -> Option<i128> {
    let (head, fraction) = text.split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, b'-', o1, o2, b'-', d1, d2, b'T' | b't' | b' ', h1, h2, b':', m1, m2, b':', s1, s2] =
        *head
    else {
        return None;
    };
    let (year, month, day) = (two(y1, y2)? * 100 + two(y3, y4)?, two(o1, o2)?, two(d1, d2)?);
    let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    let valid = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    // 60 is a leap second.
    if !valid || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(i128::from(seconds) * 1_000_000_000 + i128::from(fraction_nanos(fraction)?))
}

fn fraction_nanos(text: &[u8]) -> Option<i64> {
    let digits = match text {
        [] => return Some(0),
        [b'.', digits @ ..] if !digits.is_empty() => digits,
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let padded = digits.iter().copied().chain(std::iter::repeat(b'0'));
    Some(padded.take(9).fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    (tens.is_ascii_digit() && ones.is_ascii_digit())
        .then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counts days in the Gregorian calendar, with the year starting in March so that the leap day is its last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Of a text that is a number as a whole, whether it stands alone, where the certain way takes it, or in a record.
    fn ticks(text: &str, unit: TimeUnit) -> Option<i64> {
        let found =
            ["", ",\"Keys\":{\"id\":{\"S\":\"7\"}}}", "},\"eventID\":\"0123456789abcdef\""].map(|behind| {
                let page = format!("{text}{behind}");
                let mut cursor = Cursor::new(page.as_bytes(), 0);
                let ticks = Ticks::read(&mut cursor).ok().filter(|_| cursor.rest() == behind.as_bytes());
                ticks.and_then(|ticks| ticks.to_micros(unit).ok())
            });
        assert!(found.iter().all(|each| *each == found[0]), "{text}: {found:?}");
        found[0]
    }

    #[test]
    fn seconds_in_every_notation() {
        let micros = |text: &str| ticks(text, TimeUnit::Second);
        assert_eq!(micros("1693997155"), Some(1_693_997_155_000_000));
        assert_eq!(micros("1693997155.0"), Some(1_693_997_155_000_000));
        assert_eq!(micros("1.479499740E9"), Some(1_479_499_740_000_000));
        assert_eq!(micros("1649930049.016"), Some(1_649_930_049_016_000));
        assert_eq!(micros("1.0000009"), Some(1_000_000));
        assert_eq!(micros("0"), Some(0));
        assert_eq!(micros("0.5"), Some(500_000));
        assert_eq!(micros("-1.5"), Some(-1_500_000));
        assert_eq!(micros("1e-100"), Some(0));
        assert_eq!(micros("9223372036854"), Some(9_223_372_036_854_000_000));
        assert_eq!(micros("9223372036855"), None);
        for bad in ["1e100", "now", "01", "1.", "1.2.3", "1..2", ".5", "123456789.123456789.1"] {
            assert_eq!(micros(bad), None, "{bad}");
        }
    }

    #[test]
    fn ticks_of_both_units() {
        let millis = |text: &str| ticks(text, TimeUnit::Millisecond);
        let micros = |text: &str| ticks(text, TimeUnit::Microsecond);
        assert_eq!(millis("1649930048474"), Some(1_649_930_048_474_000));
        assert_eq!(millis("1649930048474.999"), Some(1_649_930_048_474_999));
        assert_eq!(micros("1720740233012995"), Some(1_720_740_233_012_995));
        assert_eq!(millis("1.649930048474E12"), Some(1_649_930_048_474_000));
        assert_eq!(micros("1.9"), Some(1));
        assert_eq!(micros("9223372036854775808"), None);
        assert_eq!(millis("9223372036854776"), None);
    }

    #[test]
    fn rfc3339_in_every_notation() {
        let nanos = |text: &str| rfc3339_to_nanos(text.as_bytes()).ok();
        assert_eq!(nanos("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(nanos("2023-03-30T12:00:00Z"), Some(1_680_177_600_000_000_000));
        assert_eq!(nanos("2023-03-30T14:00:00+02:00"), Some(1_680_177_600_000_000_000));
        assert_eq!(nanos("2023-03-30T09:30:00-02:30"), Some(1_680_177_600_000_000_000));
        assert_eq!(nanos("2026-11-21T13:32:25.239000082Z"), Some(1_795_267_945_239_000_082));
        assert_eq!(nanos("2000-02-29T00:00:00.1234567899z"), Some(951_782_400_123_456_789));
        assert_eq!(nanos("1969-12-31T23:59:59.5Z"), Some(-500_000_000));
        for bad in [
            "",
            "Z",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-03-30",
            "2023-03-30T12:00:00",
            "2023-03-30T24:00:00Z",
            "2023-03-30T12:00:00.Z",
            "2023-03-30T12:00:00+25:00",
        ] {
            assert_eq!(nanos(bad), None, "{bad}");
        }
    }
}
