//! DynamoDB numbers: up to 38 significant digits, 1E-130 to 9.99…E+125, never rounded.
//!
//! Source: Amazon DynamoDB Developer Guide, "Naming rules and data types", Number.

use super::json::{Fallible, bad_record};

/// The scale of the decimal that integers widen to.
pub(super) const SCALE: i32 = 9;
/// All digits DynamoDB keeps, and all that decimal128 holds.
pub(super) const MAX_DIGITS: u32 = 38;
const LARGEST_EXPONENT: i32 = 125;
const SMALLEST_EXPONENT: i32 = -130;

/// ±`digits` × 10^`exponent`. `digits` does not end in a zero unless it is zero, and then the rest is zero too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) negative: bool,
    pub(super) digits: u128,
    pub(super) exponent: i32,
}

impl Number {
    pub(super) const ZERO: Self = Self { negative: false, digits: 0, exponent: 0 };

    /// # Errors
    /// A bad record when the text is not a number that DynamoDB can hold.
    pub(super) fn parse(text: &[u8]) -> Fallible<Self> {
        match Self::read(text) {
            Some(number) if number.is_in_range() => Ok(number),
            Some(_) => bad_record(format!("{} is outside of DynamoDB's range of numbers", shown(text))),
            None => bad_record(format!("{} is not a DynamoDB number", shown(text))),
        }
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (negative, mut rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let mut digits = Digits::default();
        rest = digits.read(rest)?;
        let mut fraction = 0;
        if let [b'.', behind @ ..] = rest {
            let after = digits.read(behind)?;
            fraction = i32::try_from(behind.len() - after.len()).ok()?;
            rest = after;
        }
        if !digits.any {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', power @ ..] => read_exponent(power)?,
            _ => return None,
        };
        if digits.value == 0 {
            return Some(Self::ZERO);
        }
        let exponent = exponent.checked_sub(fraction)?.checked_add(digits.zeros)?;
        Some(Self { negative, digits: digits.value, exponent })
    }

    fn is_in_range(&self) -> bool {
        let leading = self.exponent + self.digits.checked_ilog10().unwrap_or(0) as i32;
        (SMALLEST_EXPONENT..=LARGEST_EXPONENT).contains(&leading)
    }

    /// The value × 10^`scale` where that is an integer of at most `precision` digits.
    pub(super) fn scaled(&self, precision: u32, scale: i32) -> Option<i128> {
        let power = u32::try_from(self.exponent.checked_add(scale)?).ok()?;
        if self.digits == 0 {
            return Some(0);
        }
        let value = self.digits.checked_mul(10u128.checked_pow(power)?)?;
        let fits = value.checked_ilog10()? < precision;
        let value = i128::try_from(value).ok().filter(|_| fits)?;
        Some(if self.negative { -value } else { value })
    }

    pub(super) fn int64(&self) -> Option<i64> {
        i64::try_from(self.scaled(19, 0)?).ok()
    }

    pub(super) fn decimal(&self) -> Option<i128> {
        self.scaled(MAX_DIGITS, SCALE)
    }

    /// Of an integer that stands for itself × 10^-`scale`.
    pub(super) fn from_scaled(value: i128, scale: i32) -> Self {
        let (mut digits, mut exponent) = (value.unsigned_abs(), -scale);
        if digits == 0 {
            return Self::ZERO;
        }
        while digits % 10 == 0 {
            digits /= 10;
            exponent += 1;
        }
        Self { negative: value < 0, digits, exponent }
    }

    /// DynamoDB's own form: plain decimal, no sign but minus, no zero that carries nothing.
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        let mut buffer = [0; 40];
        let digits = written(self.digits, &mut buffer);
        match usize::try_from(self.exponent) {
            Ok(zeros) => {
                out.extend_from_slice(digits);
                out.resize(out.len() + zeros, b'0');
            }
            Err(_) => append_fraction(digits, self.exponent.unsigned_abs() as usize, out),
        }
    }
}

fn append_fraction(digits: &[u8], places: usize, out: &mut Vec<u8>) {
    let whole = digits.len().saturating_sub(places);
    if whole == 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + places - digits.len(), b'0');
        out.extend_from_slice(digits);
    } else {
        out.extend_from_slice(&digits[..whole]);
        out.push(b'.');
        out.extend_from_slice(&digits[whole..]);
    }
}

fn written(mut value: u128, buffer: &mut [u8; 40]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &buffer[start..];
        }
    }
}

/// Appends the number that `text` says, in DynamoDB's own form.
pub(super) fn append_canonical(text: &[u8], out: &mut Vec<u8>) -> Fallible<()> {
    if is_canonical(text) {
        out.extend_from_slice(text);
        return Ok(());
    }
    Number::parse(text)?.append_to(out);
    Ok(())
}

/// Whether a number is short and in DynamoDB's own form already, as the service sends it.
fn is_canonical(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = digits.split_at(point.unwrap_or(digits.len()));
    let whole_is = match whole {
        [] => false,
        [b'0'] => point.is_some() || text.len() == 1,
        [first, ..] => *first != b'0' && whole.iter().all(u8::is_ascii_digit),
    };
    let fraction_is = match fraction {
        [] => true,
        [_, places @ ..] => {
            places.last().is_some_and(|last| *last != b'0') && places.iter().all(u8::is_ascii_digit)
        }
    };
    whole_is && fraction_is && text.len() <= MAX_DIGITS as usize
}

/// An integer of at most 18 digits without sign tricks: nearly every number there is.
#[inline]
pub(super) fn small_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value: i64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

/// Digits around one point, at most 18 digits in all and at most `SCALE` places: × 10^`SCALE`.
#[inline]
pub(super) fn small_decimal(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let point = digits.iter().position(|byte| *byte == b'.')?;
    let places = digits.len() - point - 1;
    let scale = POWERS.get((SCALE as usize).checked_sub(places)?)?;
    if point == 0 || places == 0 || digits.len() > 19 {
        return None;
    }
    let mut value: i64 = 0;
    for byte in digits.iter().filter(|byte| **byte != b'.') {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    // A second point leaves fewer digits than places were counted for.
    if digits[point + 1..].contains(&b'.') {
        return None;
    }
    let value = i128::from(value) * i128::from(*scale);
    Some(if negative { -value } else { value })
}

const POWERS: [i64; SCALE as usize + 1] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// Digits read so far, without leading zeros and with trailing ones only counted.
#[derive(Default)]
struct Digits {
    any: bool,
    value: u128,
    count: u32,
    zeros: i32,
}

impl Digits {
    /// Reads as many digits as there are; `None` when more than 38 of them count.
    fn read<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = text.split_at(length);
        self.any |= length > 0;
        for byte in digits {
            let digit = byte - b'0';
            if digit == 0 {
                self.zeros = self.zeros.checked_add(i32::from(self.value != 0))?;
                continue;
            }
            self.push(digit)?;
        }
        Some(rest)
    }

    fn push(&mut self, digit: u8) -> Option<()> {
        let places = u32::try_from(self.zeros).ok()?.checked_add(1)?;
        self.count = self.count.checked_add(places).filter(|count| *count <= MAX_DIGITS)?;
        self.value = self.value * 10u128.pow(places) + u128::from(digit);
        self.zeros = 0;
        Some(())
    }
}

fn read_exponent(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Whatever is larger than this is outside of the range in any case.
    let value = digits.iter().fold(0i32, |value, digit| (value * 10 + i32::from(digit - b'0')).min(100_000));
    Some(sign * value)
}

fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let start: String = text.chars().take(60).collect();
    format!("{start:?}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> Option<String> {
        let number = Number::parse(text.as_bytes()).ok()?;
        let mut out = Vec::new();
        number.append_to(&mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_form_is_the_one_dynamodb_writes() {
        let cases = [
            ("1e3", "1000"),
            ("+3", "3"),
            ("007", "7"),
            ("1.10", "1.1"),
            ("-0", "0"),
            (".5", "0.5"),
            ("5.", "5"),
            ("0.000", "0"),
            ("-12.340", "-12.34"),
            ("1E-3", "0.001"),
            ("100", "100"),
            ("0e99999999999", "0"),
            ("12e-1", "1.2"),
            ("1000000e-6", "1"),
            ("-.25E+1", "-2.5"),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(canonical("1e125").unwrap().len(), 126);
        assert_eq!(canonical("1e-130").unwrap(), format!("0.{}1", "0".repeat(129)));
        let nines = "9".repeat(38);
        assert_eq!(canonical(&format!("{nines}e88")).unwrap(), format!("{nines}{}", "0".repeat(88)));
        assert_eq!(canonical(&nines).unwrap(), nines);
    }

    #[test]
    fn what_dynamodb_cannot_hold_is_refused() {
        for text in [
            "", "-", ".", "e5", "NaN", "Infinity", "1e126", "1e-131", "0x1", "1 ", " 1", "1e", "1e+", "--1",
            "1.2.3", "١",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
        assert_eq!(canonical(&"1".repeat(39)), None);
        assert_eq!(canonical(&format!("1{}1", "0".repeat(37))), None);
        assert!(canonical(&format!("0.{}1", "0".repeat(200))).is_none());
        assert!(canonical(&"0".repeat(100_000)).is_some());
    }

    #[test]
    fn decimals_are_taken_only_when_exact() {
        let decimal = |text: &str| Number::parse(text.as_bytes()).unwrap().decimal();
        assert_eq!(decimal("1.5"), Some(1_500_000_000));
        assert_eq!(decimal("0.000000001"), Some(1));
        assert_eq!(decimal("0.0000000001"), None);
        assert_eq!(decimal(&"9".repeat(29)), Some(99_999_999_999_999_999_999_999_999_999_000_000_000));
        assert_eq!(decimal(&format!("1{}", "0".repeat(29))), None);
        let int = |text: &str| Number::parse(text.as_bytes()).unwrap().int64();
        assert_eq!(int("9223372036854775807"), Some(i64::MAX));
        assert_eq!(int("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(int("9223372036854775808"), None);
        assert_eq!(int("1.5"), None);
        assert_eq!(int("1e3"), Some(1000));
    }

    /// The oracle works on text alone: it moves the point and strips zeros.
    fn oracle(negative: bool, whole: &str, fraction: &str, exponent: i32) -> String {
        let digits = format!("{whole}{fraction}");
        let point = whole.len() as i32 + exponent;
        let padded = format!("{}{digits}{}", "0".repeat(400), "0".repeat(400));
        let split = (400 + point) as usize;
        let whole = padded[..split].trim_start_matches('0');
        let fraction = padded[split..].trim_end_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        let text = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
        if negative && text != "0" { format!("-{text}") } else { text }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn numbers_keep_every_digit(
            negative in any::<bool>(), whole in "[0-9]{1,19}", fraction in "[0-9]{0,19}", exponent in -100i32..100,
        ) {
            let sign = if negative { "-" } else { "" };
            let text = format!("{sign}{whole}.{fraction}e{exponent}");
            let expected = oracle(negative, &whole, &fraction, exponent);
            let found = canonical(&text).unwrap();
            prop_assert_eq!(&found, &expected, "{}", text);
            prop_assert_eq!(is_canonical(expected.as_bytes()), expected.len() <= 38, "{}", expected);
            let number = Number::parse(text.as_bytes()).unwrap();
            let plain = format!("{sign}{whole}.{fraction}");
            if let Some(value) = small_decimal(plain.as_bytes()) {
                prop_assert_eq!(Number::parse(plain.as_bytes()).unwrap().decimal(), Some(value));
            }
            if let Some(value) = number.decimal() {
                prop_assert_eq!(Number::from_scaled(value, SCALE), number);
            }
            match expected.parse::<i64>() {
                Ok(value) => prop_assert_eq!(number.int64(), Some(value)),
                Err(_) => prop_assert_eq!(number.int64(), None),
            }
            let places = expected.split_once('.').map_or(0, |(_, places)| places.len());
            let integer = expected.trim_start_matches('-').split('.').next().unwrap().len();
            prop_assert_eq!(number.decimal().is_some(), places <= 9 && integer <= 29);
        }

        #[test]
        fn the_fast_way_agrees(value in any::<i64>()) {
            let text = value.to_string();
            if let Some(fast) = small_integer(text.as_bytes()) {
                prop_assert_eq!(fast, value);
            }
            prop_assert_eq!(Number::parse(text.as_bytes()).unwrap().int64(), Some(value));
        }

        #[test]
        fn parsing_never_panics(bytes in prop::collection::vec(prop::sample::select(b"0123456789+-.eE x".to_vec()), 0..60)) {
            let parsed = Number::parse(&bytes).ok();
            if is_canonical(&bytes) {
                let mut out = Vec::new();
                parsed.unwrap().append_to(&mut out);
                prop_assert_eq!(&out, &bytes);
            }
            if let Some(value) = small_integer(&bytes) {
                prop_assert_eq!(parsed.and_then(|number| number.int64()), Some(value));
            }
            if let Some(value) = small_decimal(&bytes) {
                prop_assert_eq!(parsed.and_then(|number| number.decimal()), Some(value));
            }
        }
    }
}
