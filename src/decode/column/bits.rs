//! Which rows of a column have a value.

use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};

#[derive(Clone, Debug, Default)]
pub(in super::super) struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    pub(in super::super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(in super::super) fn push(&mut self, bit: bool) {
        let place = self.len % 8;
        if place == 0 {
            self.bytes.push(u8::from(bit));
        } else if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << place;
        }
        self.len += 1;
    }

    pub(in super::super) fn extend(&mut self, count: usize, bit: bool) {
        let end = self.len + count;
        while !self.len.is_multiple_of(8) && self.len < end {
            self.push(bit);
        }
        if self.len < end {
            self.bytes.resize(end.div_ceil(8), if bit { 0xff } else { 0 });
            self.len = end;
            self.clear_tail();
        }
    }

    pub(in super::super) fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            self.bytes.truncate(len.div_ceil(8));
            self.clear_tail();
        }
    }

    /// Bits behind the last one are zero: `push` only sets.
    fn clear_tail(&mut self) {
        let used = self.len % 8;
        if used != 0
            && let Some(last) = self.bytes.last_mut()
        {
            *last &= (1 << used) - 1;
        }
    }

    pub(in super::super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(in super::super) fn finish(&mut self) -> BooleanBuffer {
        let Self { bytes, len } = std::mem::take(self);
        BooleanBuffer::new(Buffer::from_vec(bytes), 0, len)
    }
}

/// One bit a row, kept only from the first null on.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Validity {
    len: usize,
    nulls: Option<Bits>,
}

impl Validity {
    pub(in super::super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(in super::super) fn push_valid(&mut self) {
        if let Some(bits) = &mut self.nulls {
            bits.push(true);
        }
        self.len += 1;
    }

    /// Nulls up to `rows` rows.
    pub(in super::super) fn pad(&mut self, rows: usize) {
        if rows <= self.len {
            return;
        }
        let bits = self.nulls.get_or_insert_default();
        let known = bits.len();
        bits.extend(self.len - known, true);
        bits.extend(rows - self.len, false);
        self.len = rows;
    }

    pub(in super::super) fn truncate(&mut self, rows: usize) {
        self.len = self.len.min(rows);
        if let Some(bits) = &mut self.nulls {
            bits.truncate(rows);
        }
    }

    pub(in super::super) fn bytes(&self) -> usize {
        self.nulls.as_ref().map_or(0, Bits::bytes)
    }

    pub(in super::super) fn finish(&mut self) -> Option<NullBuffer> {
        let nulls = std::mem::take(self).nulls;
        nulls.map(|mut bits| NullBuffer::new(bits.finish())).filter(|nulls| nulls.null_count() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_are_what_was_put_in(steps in prop::collection::vec((0usize..3, 0usize..20, any::<bool>()), 0..30)) {
            let (mut bits, mut model) = (Bits::default(), Vec::new());
            for (step, count, bit) in steps {
                match step {
                    0 => { bits.push(bit); model.push(bit); }
                    1 => { bits.extend(count, bit); model.resize(model.len() + count, bit); }
                    _ => { bits.truncate(count); model.truncate(count); }
                }
                prop_assert_eq!(bits.len(), model.len());
            }
            let found: Vec<bool> = bits.finish().iter().collect();
            prop_assert_eq!(found, model);
        }

        #[test]
        fn validity_is_what_was_put_in(steps in prop::collection::vec((0usize..3, 0usize..20), 0..30)) {
            let (mut validity, mut model) = (Validity::default(), Vec::new());
            for (step, count) in steps {
                match step {
                    0 => { validity.push_valid(); model.push(true); }
                    1 => { let rows = model.len().max(count); validity.pad(rows); model.resize(rows, false); }
                    _ => { validity.truncate(count); model.truncate(count); }
                }
            }
            let nulls = validity.finish();
            let found: Vec<bool> = (0..model.len()).map(|row| nulls.as_ref().is_none_or(|n| n.is_valid(row))).collect();
            prop_assert_eq!(found, model);
        }
    }
}
