//! Kinesis' sequence numbers: 186 bits, written as a decimal of 56 digits.
//!
//! The layout is recorded (kinesalite's reading of numbers from the service), its meaning is
//! nobody's promise: 2, the second in which the shard was created (9 hexadecimal digits), the
//! last digit of the shard's index, an ordinal (16), two zeros, the second of the write (9), the
//! shard's index (8), 2. So numbers grow within a shard, and a child's are above its parents',
//! since it is created in a later second (assumed to be always so).

use crate::clock::Millis;
use crate::sequence::Sequence;

/// Six digits of base 2^32, the most significant first: 47 hexadecimal digits fit.
type Limbs = [u32; 6];

const LAYOUT: usize = 47;
/// What an ending number has for an ordinal: no record comes behind it (recorded).
const LAST: u64 = 0x7fff_ffff_ffff_ffff;

/// Gives one shard its numbers.
#[derive(Debug, Clone)]
pub(crate) struct Numbering {
    /// The second in which the shard was created, as its numbers say.
    pub(crate) created_s: i64,
    index: u32,
    ordinal: u64,
}

impl Numbering {
    pub(crate) fn new(created_s: i64, index: u32) -> Self {
        Self { created_s, index, ordinal: 0 }
    }

    pub(crate) fn starting(&self) -> Sequence {
        self.number(0, self.created_s)
    }

    pub(crate) fn next(&mut self, now: Millis) -> Sequence {
        self.ordinal += 1;
        self.number(self.ordinal, now.div_euclid(1000))
    }

    /// A number behind the first `count` records and before the next one, and above those it gave before.
    pub(crate) fn behind(&self, count: u64, now: Millis) -> Sequence {
        self.number(count, now.div_euclid(1000))
    }

    pub(crate) fn ending(&self, now: Millis) -> Sequence {
        self.number(LAST, now.div_euclid(1000))
    }

    fn number(&self, ordinal: u64, second: i64) -> Sequence {
        let Self { created_s, index, .. } = self;
        let nibble = index % 16;
        let hex = format!("2{created_s:09x}{nibble:x}{ordinal:016x}00{second:09x}{index:08x}2");
        Sequence::of_digits(decimal(limbs(&hex)))
    }
}

/// What a number says about the shard it came from: its second of creation and its index.
pub(crate) fn origin(sequence: &Sequence) -> Option<(i64, u32)> {
    let hex = hexadecimal(sequence.as_str())?;
    if !(hex.starts_with('2') && hex.ends_with('2')) {
        return None;
    }
    let created = i64::from_str_radix(hex.get(1..10)?, 16).ok()?;
    Some((created, u32::from_str_radix(hex.get(38..46)?, 16).ok()?))
}

fn limbs(hex: &str) -> Limbs {
    let mut limbs = [0; 6];
    let padded = format!("{hex:0>48}");
    for (limb, at) in limbs.iter_mut().zip((0..48).step_by(8)) {
        *limb = padded.get(at..at + 8).and_then(|part| u32::from_str_radix(part, 16).ok()).unwrap_or(0);
    }
    limbs
}

fn decimal(mut limbs: Limbs) -> String {
    let mut parts = Vec::with_capacity(7);
    while limbs.iter().any(|limb| *limb > 0) {
        let mut rest = 0_u64;
        for limb in &mut limbs {
            let value = (rest << 32) | u64::from(*limb);
            *limb = u32::try_from(value / 1_000_000_000).unwrap_or(u32::MAX);
            rest = value % 1_000_000_000;
        }
        parts.push(rest);
    }
    let mut text = parts.pop().unwrap_or(0).to_string();
    for part in parts.iter().rev() {
        text.push_str(&format!("{part:09}"));
    }
    text
}

/// The 47 hexadecimal digits of a decimal, unless it needs more or fewer.
fn hexadecimal(decimal: &str) -> Option<String> {
    let mut limbs: Limbs = [0; 6];
    for digit in decimal.bytes() {
        let mut carry = u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        for limb in limbs.iter_mut().rev() {
            let value = u64::from(*limb) * 10 + carry;
            *limb = u32::try_from(value & 0xffff_ffff).unwrap_or(0);
            carry = value >> 32;
        }
        if carry > 0 {
            return None;
        }
    }
    let hex: String = limbs.iter().map(|limb| format!("{limb:08x}")).collect();
    let trimmed = hex.trim_start_matches('0');
    (trimmed.len() == LAYOUT).then(|| trimmed.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_number_from_the_service_reads_back() {
        // From the examples of the service's API reference.
        let number =
            Sequence::of_digits("49546986683135544286507457935754639466300920667981217794".to_owned());
        let hex = hexadecimal(number.as_str()).unwrap();
        assert_eq!(decimal(limbs(&hex)), number.as_str());
        let (created, index) = origin(&number).unwrap();
        assert_eq!(index, 0);
        assert_eq!(created, 1_421_279_230);
    }

    #[test]
    fn numbers_have_56_digits_grow_and_name_their_shard() {
        let mut parent = Numbering::new(1_767_225_600, 17);
        let now = 1_767_225_600_000;
        let numbers = [parent.starting(), parent.next(now), parent.next(now), parent.ending(now)];
        assert!(numbers.is_sorted_by(|a, b| a < b));
        assert!(numbers.iter().all(|number| number.as_str().len() == 56));
        assert!(numbers.iter().all(|number| origin(number) == Some((1_767_225_600, 17))));
        assert!(numbers[3] < Numbering::new(1_767_225_601, 3).starting());
        for foreign in
            ["0", "1", &"9".repeat(129), "49546986683135544286507457935754639466300920667981217793"]
        {
            assert_eq!(origin(&Sequence::of_digits(foreign.to_owned())), None, "{foreign}");
        }
    }
}
