//! Which brackets are open: the first 64 in one word, so that passing a usual value allocates nothing.

/// Objects (true) and arrays (false) around the cursor, innermost last; only beyond 64 they need memory.
#[derive(Default)]
pub(super) struct Brackets {
    depth: usize,
    /// The innermost ones, up to 64, the last in the lowest bit.
    word: u64,
    /// The words around that one, each full.
    outer: Vec<u64>,
}

impl Brackets {
    #[inline]
    pub(super) fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.word);
        }
        self.word = self.word << 1 | u64::from(object);
        self.depth += 1;
    }

    #[inline]
    pub(super) fn pop(&mut self) {
        self.word >>= 1;
        self.depth = self.depth.saturating_sub(1);
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.word = self.outer.pop().unwrap_or_default();
        }
    }

    #[inline]
    pub(super) fn last(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.word & 1 == 1)
    }
}
