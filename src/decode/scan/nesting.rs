//! Where an object ends that nobody will read.

/// Where in a block the bytes stand that give JSON its shape.
struct Shape {
    quotes: u64,
    backslashes: u64,
    opening: u64,
    closing: u64,
}

/// The length of the object or array that `bytes` begins with; `None` when it does not end.
///
/// Only brackets and strings are looked at: for what nobody will read.
pub(in super::super) fn nested_len(bytes: &[u8]) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if avx2::is_there() {
        // SAFETY: the processor has what the function needs.
        return unsafe { avx2::nested_len(bytes) };
    }
    length(bytes, portable::shape, portable::prefix_xor)
}

/// Inlined into each way, so that all of it is compiled for the processor the way is for.
#[inline(always)]
fn length(
    bytes: &[u8],
    shape: impl Fn(&[u8; 64]) -> Shape,
    prefix_xor: impl Fn(u64) -> u64,
) -> Option<usize> {
    let (blocks, tail) = bytes.as_chunks::<64>();
    let mut nesting = Nesting::default();
    for (number, block) in blocks.iter().enumerate() {
        if let Some(end) = nesting.ends_in(&shape(block), &prefix_xor) {
            return Some(number * 64 + end);
        }
    }
    let mut last = [b' '; 64];
    last.get_mut(..tail.len())?.copy_from_slice(tail);
    nesting.ends_in(&shape(&last), &prefix_xor).map(|end| blocks.len() * 64 + end)
}

/// What one block leaves to the next.
#[derive(Default)]
struct Nesting {
    depth: u32,
    /// All ones inside of a string.
    in_string: u64,
    /// Whether the next byte is escaped.
    escaped: bool,
}

impl Nesting {
    /// Goes over one block; where the outermost bracket closes in it, the length up to and with it.
    #[inline(always)]
    fn ends_in(&mut self, shape: &Shape, prefix_xor: impl Fn(u64) -> u64) -> Option<usize> {
        let quotes = shape.quotes & !self.escaped_bytes(shape.backslashes);
        let inside = prefix_xor(quotes) ^ self.in_string;
        self.in_string = ((inside as i64) >> 63) as u64;
        let (opening, closing) = (shape.opening & !inside, shape.closing & !inside);
        if closing != 0 && closing.count_ones() >= self.depth {
            let mut left = closing;
            while left != 0 {
                let below = (left & left.wrapping_neg()) - 1;
                let opened = self.depth + (opening & below).count_ones();
                let closed = (closing & below).count_ones() + 1;
                if closed >= opened {
                    return Some(left.trailing_zeros() as usize + 1);
                }
                left &= left - 1;
            }
        }
        self.depth = self.depth + opening.count_ones() - closing.count_ones();
        None
    }

    #[inline(always)]
    fn escaped_bytes(&mut self, backslashes: u64) -> u64 {
        let mut escaped = u64::from(std::mem::take(&mut self.escaped));
        let mut left = backslashes & !escaped;
        while left != 0 {
            let place = left.trailing_zeros();
            match place {
                63 => self.escaped = true,
                _ => escaped |= 2 << place,
            }
            left &= left - 1;
            left &= !escaped;
        }
        escaped
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm_clmulepi64_si128, _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm_set1_epi8,
        _mm256_cmpeq_epi8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set_epi64x, _mm256_set1_epi8,
    };

    use super::Shape;

    pub(super) fn is_there() -> bool {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("popcnt")
    }

    #[target_feature(enable = "avx2,bmi1,pclmulqdq,popcnt")]
    pub(super) fn nested_len(bytes: &[u8]) -> Option<usize> {
        super::length(bytes, |block| shape(block), |bits| prefix_xor(bits))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(block: &[u8; 64], half: usize) -> __m256i {
        let word = |number: usize| {
            block.as_chunks().0.get(4 * half + number).map_or(0, |bytes: &[u8; 8]| i64::from_le_bytes(*bytes))
        };
        _mm256_set_epi64x(word(3), word(2), word(1), word(0))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn mask(found: __m256i) -> u64 {
        u64::from(_mm256_movemask_epi8(found) as u32)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn shape(block: &[u8; 64]) -> Shape {
        let halves = [load(block, 0), load(block, 1)];
        // `[` and `{` differ in one bit, as do `]` and `}`.
        let folded = halves.map(|bytes| _mm256_or_si256(bytes, _mm256_set1_epi8(0x20)));
        let places = |[low, high]: [__m256i; 2], byte: u8| {
            let byte = _mm256_set1_epi8(byte as i8);
            mask(_mm256_cmpeq_epi8(low, byte)) | mask(_mm256_cmpeq_epi8(high, byte)) << 32
        };
        Shape {
            quotes: places(halves, b'"'),
            backslashes: places(halves, b'\\'),
            opening: places(folded, b'{'),
            closing: places(folded, b'}'),
        }
    }

    #[inline]
    #[target_feature(enable = "pclmulqdq")]
    pub(super) fn prefix_xor(bits: u64) -> u64 {
        let ones = _mm_set1_epi8(-1);
        _mm_cvtsi128_si64(_mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(bits as i64), ones)) as u64
    }
}

pub(super) mod portable {
    use super::Shape;

    pub(in super::super) const ONES: u64 = 0x0101_0101_0101_0101;
    pub(in super::super) const HIGHS: u64 = 0x8080_8080_8080_8080;

    pub(super) fn shape(block: &[u8; 64]) -> Shape {
        let mut shape = Shape { quotes: 0, backslashes: 0, opening: 0, closing: 0 };
        for (number, part) in block.as_chunks::<8>().0.iter().enumerate() {
            let word = u64::from_le_bytes(*part);
            // `[` and `{` differ in one bit, as do `]` and `}`.
            let folded = word | (ONES * 0x20);
            shape.quotes |= equal(word, b'"') << (8 * number);
            shape.backslashes |= equal(word, b'\\') << (8 * number);
            shape.opening |= equal(folded, b'{') << (8 * number);
            shape.closing |= equal(folded, b'}') << (8 * number);
        }
        shape
    }

    /// One bit for each of the eight bytes that is `byte`.
    pub(in super::super) fn equal(word: u64, byte: u8) -> u64 {
        let other = word ^ (ONES * u64::from(byte));
        // Exact in every byte: the sum cannot carry into the next.
        let same = !(((other & !HIGHS) + !HIGHS) | other) & HIGHS;
        // Gathers the bits, which stand eight apart, in the highest byte.
        (same >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    }

    /// Each bit: whether an odd number of bits is set up to and with it.
    pub(super) fn prefix_xor(mut bits: u64) -> u64 {
        for distance in [1, 2, 4, 8, 16, 32] {
            bits ^= bits << distance;
        }
        bits
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[cfg(target_arch = "x86_64")]
        #[test]
        fn both_ways_see_the_same_shape(bytes in prop::collection::vec(prop::sample::select(b"{}[]\"\\ax\xff".to_vec()), 64)) {
            let block: &[u8; 64] = bytes.as_slice().try_into().unwrap();
            if !avx2::is_there() {
                return Ok(());
            }
            // SAFETY: the processor has what the functions need.
            let (here, there) = (unsafe { avx2::shape(block) }, portable::shape(block));
            prop_assert_eq!(unsafe { avx2::prefix_xor(here.quotes) }, portable::prefix_xor(there.quotes));
            prop_assert_eq!(
                (here.quotes, here.backslashes, here.opening, here.closing),
                (there.quotes, there.backslashes, there.opening, there.closing)
            );
        }

        /// A nested value of strings that are full of brackets and backslashes, and something behind it.
        #[test]
        fn an_object_ends_where_it_closes(
            texts in prop::collection::vec("[\\[\\]{}\"\\\\a]{0,40}", 0..6),
            deep in 0usize..80,
            behind in "[\\]},\"a]{0,70}",
        ) {
            let inner = serde_json::json!({ "a": texts, "b": {}, "c": [[], {"d": texts}] }).to_string();
            let text = format!("{}{inner}{}", "[{\"x\":".repeat(deep), "}]".repeat(deep));
            prop_assert_eq!(nested_len(format!("{text}{behind}").as_bytes()), Some(text.len()));
            prop_assert_eq!(nested_len(&text.as_bytes()[..text.len() - 1]), None);
            let portable = |text: &str| length(text.as_bytes(), portable::shape, portable::prefix_xor);
            prop_assert_eq!(portable(&format!("{text}{behind}")), Some(text.len()));
            prop_assert_eq!(portable(&text[..text.len() - 1]), None);
        }

        #[test]
        fn noise_has_an_end_or_none(bytes in prop::collection::vec(prop::sample::select(b"{}[]\"\\a".to_vec()), 0..300)) {
            if let Some(length) = nested_len(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
