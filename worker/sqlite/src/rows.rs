//! Statements that insert several rows: the round trip to the connection's thread costs more than a row.

/// Rows per statement, largest first. The sizes are few, so that all statements stay prepared.
const SIZES: [usize; 4] = [64, 16, 4, 1];

/// An `INSERT .. VALUES` statement for each size.
pub(super) struct Rows([String; SIZES.len()]);

impl Rows {
    /// Creates the statements: `head` ends before `VALUES`, `row` is one row with parentheses, `tail` follows the rows.
    pub(super) fn new(head: &str, row: &str, tail: &str) -> Self {
        Self(SIZES.map(|size| format!("{head} VALUES {} {tail}", vec![row; size].join(","))))
    }

    /// Splits `items` into chunks, each with its statement.
    pub(super) fn chunks<'a, T>(&'static self, mut items: &'a [T]) -> Vec<(&'static str, &'a [T])> {
        let mut chunks = Vec::new();
        for (size, sql) in SIZES.into_iter().zip(&self.0) {
            while let Some((chunk, rest)) = items.split_at_checked(size) {
                chunks.push((sql.as_str(), chunk));
                items = rest;
            }
        }
        chunks
    }
}
