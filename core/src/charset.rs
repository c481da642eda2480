//! Sets of ASCII characters, encoded in one lookup table.

/// A set of characters, represented by one bit of [`TABLE`].
#[derive(Clone, Copy)]
pub(crate) struct CharSet(u8);

/// The unreserved characters of RFC 3986 section 2.3, which are also those of a driver token.
pub(crate) const UNRESERVED: CharSet = CharSet(1);
/// `pchar` of RFC 3986 section 3.3 and the slash, without the percent sign.
pub(crate) const PATH: CharSet = CharSet(1 << 1);
/// `query` of RFC 3986 section 3.4, without the percent sign and without the apostrophe, which WHATWG URL parsers
/// percent-encode.
pub(crate) const QUERY: CharSet = CharSet(1 << 2);
/// The characters of host names, without the dot.
pub(crate) const NAME: CharSet = CharSet(1 << 3);
/// The characters that end the authority of a URL; WHATWG URL parsers treat a backslash like a slash.
pub(crate) const AUTHORITY_END: CharSet = CharSet(1 << 4);
/// Hexadecimal digits.
pub(crate) const HEX: CharSet = CharSet(1 << 5);
/// The hyphen alone.
pub(crate) const HYPHEN: CharSet = CharSet(1 << 6);

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, and each index is a byte")]
static TABLE: [u8; 256] = {
    let table = [0; 256];
    let table = with(table, UNRESERVED, b"-._~");
    let table = with(table, PATH, b"-._~!$&'()*+,;=:@/");
    let table = with(table, QUERY, b"-._~!$&()*+,;=:@/?");
    let table = with(table, NAME, b"-_");
    let mut table = table;
    let mut byte = 0_u8;
    while byte < 128 {
        let at = usize_from(byte);
        if byte.is_ascii_alphanumeric() {
            table[at] |= UNRESERVED.0 | PATH.0 | QUERY.0 | NAME.0;
        }
        if byte.is_ascii_hexdigit() {
            table[at] |= HEX.0;
        }
        byte += 1;
    }
    with(with(table, HYPHEN, b"-"), AUTHORITY_END, b"/?#\\")
};

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, and each index is a byte")]
const fn with(mut table: [u8; 256], set: CharSet, characters: &[u8]) -> [u8; 256] {
    let mut rest = characters;
    while let [first, tail @ ..] = rest {
        table[usize_from(*first)] |= set.0;
        rest = tail;
    }
    table
}

#[expect(clippy::as_conversions, reason = "widening; From is not const")]
const fn usize_from(byte: u8) -> usize {
    byte as usize
}

impl CharSet {
    /// Returns `true` if `byte` is in the set; a byte outside ASCII never is.
    pub(crate) fn contains(self, byte: u8) -> bool {
        #[expect(clippy::indexing_slicing, reason = "a byte always lies in a table of 256")]
        let sets = TABLE[usize::from(byte)];
        sets & self.0 != 0
    }

    /// Returns `true` if every byte of `text` is in the set.
    pub(crate) fn contains_all(self, text: &[u8]) -> bool {
        // No early exit: texts are short and mostly valid.
        text.iter().fold(true, |all, byte| all & self.contains(*byte))
    }
}
