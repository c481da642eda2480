//! Sets of ASCII characters as bit masks, so that a membership test is a shift.

/// A set of ASCII characters.
#[derive(Clone, Copy)]
pub(crate) struct CharSet(u128);

impl CharSet {
    /// The ASCII letters and digits and what `more` lists.
    pub(crate) const fn alphanumeric_and(more: &[u8]) -> Self {
        let mut mask = 0_u128;
        let mut byte = 0_u8;
        while byte < 128 {
            if byte.is_ascii_alphanumeric() {
                mask |= 1 << byte;
            }
            byte += 1;
        }
        let mut rest = more;
        while let [first, tail @ ..] = rest {
            mask |= 1 << *first;
            rest = tail;
        }
        Self(mask)
    }

    /// Whether `byte` is in the set; a byte outside ASCII never is.
    pub(crate) const fn contains(self, byte: u8) -> bool {
        byte < 128 && (self.0 >> byte) & 1 == 1
    }

    /// Whether every byte of `text` is in the set.
    pub(crate) fn contains_all(self, text: &[u8]) -> bool {
        text.iter().all(|byte| self.contains(*byte))
    }
}
