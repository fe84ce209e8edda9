//! Times and dates as text: RFC 3339, with as many decimals as the unit has.

use std::fmt::Write as _;

use arrow_schema::TimeUnit;

const DAY: i64 = 86_400;

/// A timestamp since 1970; `utc` says that it is an instant and not a local time. `None` outside the
/// years 0 to 9999, which is all that RFC 3339 can write.
pub(super) fn timestamp(value: i64, unit: TimeUnit, utc: bool) -> Option<String> {
    let (seconds, fraction) = (value.div_euclid(per_second(unit)), value.rem_euclid(per_second(unit)));
    let mut text = date(seconds.div_euclid(DAY))?;
    text.push('T');
    text.push_str(&clock(seconds.rem_euclid(DAY), fraction, unit));
    if utc {
        text.push('Z');
    }
    Some(text)
}

/// A time of the day. `None` when it is longer than a day.
pub(super) fn time(value: i64, unit: TimeUnit) -> Option<String> {
    let (seconds, fraction) = (value.div_euclid(per_second(unit)), value.rem_euclid(per_second(unit)));
    (0..DAY).contains(&seconds).then(|| clock(seconds, fraction, unit))
}

/// Days since 1970, in the Gregorian calendar.
pub(super) fn date(days: i64) -> Option<String> {
    // Counted from March of the year 0, so that a leap day is the last of its year.
    let days = days.checked_add(719_468)?;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (0..=9999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

fn clock(seconds: i64, fraction: i64, unit: TimeUnit) -> String {
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let _ = match unit {
        TimeUnit::Second => Ok(()),
        TimeUnit::Millisecond => write!(text, ".{fraction:03}"),
        TimeUnit::Microsecond => write!(text, ".{fraction:06}"),
        TimeUnit::Nanosecond => write!(text, ".{fraction:09}"),
    };
    text
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_as_text() {
        use TimeUnit::*;
        let cases = [
            (0, Second, "1970-01-01T00:00:00Z"),
            (1_795_267_945_239, Millisecond, "2026-11-21T13:32:25.239Z"),
            (-500_000, Microsecond, "1969-12-31T23:59:59.500000Z"),
            (951_782_400_123_456_789, Nanosecond, "2000-02-29T00:00:00.123456789Z"),
            (-62_167_219_200, Second, "0000-01-01T00:00:00Z"),
            (253_402_300_799, Second, "9999-12-31T23:59:59Z"),
        ];
        for (value, unit, text) in cases {
            assert_eq!(timestamp(value, unit, true).as_deref(), Some(text));
        }
        assert_eq!(timestamp(0, Second, false).as_deref(), Some("1970-01-01T00:00:00"));
        for outside in [253_402_300_800, -62_167_219_201, i64::MAX, i64::MIN] {
            assert_eq!(timestamp(outside, Second, true), None);
        }
    }

    #[test]
    fn days_and_times_as_text() {
        assert_eq!(date(19_782).as_deref(), Some("2024-02-29"));
        assert_eq!(date(-1).as_deref(), Some("1969-12-31"));
        assert_eq!((date(i64::MAX), date(i64::MIN)), (None, None));
        assert_eq!(time(86_399_000, TimeUnit::Millisecond).as_deref(), Some("23:59:59.000"));
        assert_eq!((time(-1, TimeUnit::Second), time(DAY, TimeUnit::Second)), (None, None));
    }
}
