//! Virtual time: moved by tests, or following the real clock from a moment on.

use std::time::{Duration, Instant};

/// Milliseconds since 1970, virtual.
pub type Millis = i64;

/// Where an in-process twin starts: 2026-01-01T00:00:00Z. Any fixed moment would do.
pub const START: Millis = 1_767_225_600_000;

#[derive(Debug, Clone)]
pub(crate) struct Clock {
    base: Millis,
    /// When real time was switched on; `None` means that only `advance` moves the clock.
    anchor: Option<Instant>,
}

impl Clock {
    pub(crate) fn at(now: Millis) -> Self {
        Self { base: now, anchor: None }
    }

    pub(crate) fn now(&self) -> Millis {
        let since = self.anchor.map_or(0, |anchor| anchor.elapsed().as_millis());
        self.base.saturating_add(Millis::try_from(since).unwrap_or(Millis::MAX))
    }

    pub(crate) fn advance(&mut self, ms: u64) {
        self.base = self.base.saturating_add(Millis::try_from(ms).unwrap_or(Millis::MAX));
    }

    /// How long the real clock takes to a virtual moment; `None` while it moves only when told.
    pub(crate) fn real_time_until(&self, at: Millis) -> Option<Duration> {
        let ahead = u64::try_from(at.saturating_sub(self.now())).unwrap_or(0);
        self.anchor.filter(|_| at < Millis::MAX).map(|_| Duration::from_millis(ahead))
    }

    /// Never moves the clock backwards: switching off freezes it where it is.
    pub(crate) fn follow_real_time(&mut self, on: bool) {
        self.base = self.now();
        self.anchor = on.then(Instant::now);
    }
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    weekday: usize,
    second_of_day: i64,
    millis: i64,
}

/// The proleptic Gregorian calendar, counted in eras of 400 years that start on 1 March.
fn civil(at: Millis) -> Civil {
    const DAY: i64 = 86_400_000;
    let days = at.div_euclid(DAY);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    Civil {
        year: era * 400 + year_of_era + i64::from(month <= 2),
        month,
        day: day_of_year - (153 * from_march + 2) / 5 + 1,
        weekday: usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0),
        second_of_day: at.rem_euclid(DAY) / 1000,
        millis: at.rem_euclid(1000),
    }
}

/// `2015-05-20T20:51:10.252`, the form of a stream's label.
pub(crate) fn label(at: Millis) -> String {
    let Civil { year, month, day, second_of_day: s, millis, .. } = civil(at);
    let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}")
}

/// `20150520T205110Z`, the time of a signature.
pub(crate) fn compact(at: Millis) -> String {
    let Civil { year, month, day, second_of_day: s, .. } = civil(at);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", s / 3600, s / 60 % 60, s % 60)
}

/// What [`compact`] wrote.
pub(crate) fn moment(compact: &str) -> Option<Millis> {
    let digits = |range: std::ops::Range<usize>| compact.get(range)?.parse::<i64>().ok();
    if compact.len() != 16 || compact.get(8..9) != Some("T") || !compact.ends_with('Z') {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(4..6)?, digits(6..8)?);
    let (hour, minute, second) = (digits(9..11)?, digits(11..13)?, digits(13..15)?);
    // Years begin in March, so that the leap day is the last.
    let (year, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) - 719_468;
    let days = days + (153 * from_march + 2) / 5 + day - 1;
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the `Date` of RFC 7231.
pub(crate) fn http_date(at: Millis) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Civil { year, month, day, weekday, second_of_day: s, .. } = civil(at);
    let weekday = DAYS[weekday % 7];
    let month = MONTHS[usize::try_from(month - 1).unwrap_or(0) % 12];
    let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// `Sun Nov 06 08:49:37 UTC 1994`, as Kinesis writes times in messages.
pub(crate) fn utc(at: Millis) -> String {
    let date = http_date(at);
    let part = |range: std::ops::Range<usize>| date.get(range).unwrap_or_default();
    format!("{} {} {} {} UTC {}", part(0..3), part(8..11), part(5..7), part(17..25), part(12..16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(http_date(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(utc(784_111_777_000), "Sun Nov 06 08:49:37 UTC 1994");
        assert_eq!(label(1_432_155_070_252), "2015-05-20T20:51:10.252");
        assert_eq!(label(951_782_400_000), "2000-02-29T00:00:00.000");
        assert_eq!(label(START), "2026-01-01T00:00:00.000");
        for at in [0, 951_782_400_000, 951_868_799_000, START, 1_432_155_070_000] {
            assert_eq!(moment(&compact(at)), Some(at));
        }
        assert_eq!(compact(START), "20260101T000000Z");
        assert_eq!(["", "20260101T000000", "2026-01-01T00:00Z", "2026010xT000000Z"].map(moment), [None; 4]);
    }
}
