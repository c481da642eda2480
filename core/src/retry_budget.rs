//! A limit on retries as a share of calls, so that a failing service does not receive twice the calls.

/// A budget of retries: each first call earns a tenth of a retry, up to a small reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    tenths: u32,
}

impl RetryBudget {
    /// Largest saved budget, in tenths: ten retries, so that occasional failures are always retried.
    const RESERVE: u32 = 100;

    /// Creates a budget with a full reserve.
    #[must_use]
    pub const fn full() -> Self {
        Self { tenths: Self::RESERVE }
    }

    /// Returns the budget after a first call, which earns a tenth of a retry.
    #[must_use]
    pub const fn earn(self) -> Self {
        let tenths = self.tenths.saturating_add(1);
        Self { tenths: if tenths > Self::RESERVE { Self::RESERVE } else { tenths } }
    }

    /// Returns the budget after one retry, or `None` if the budget does not allow one.
    #[must_use]
    pub const fn spend(self) -> Option<Self> {
        match self.tenths.checked_sub(10) {
            Some(tenths) => Some(Self { tenths }),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_tenth_of_calls_once_the_reserve_is_spent() {
        let mut budget = RetryBudget::full();
        let mut retries = 0;
        for _ in 0..1000 {
            budget = budget.earn();
            if let Some(left) = budget.spend() {
                budget = left;
                retries += 1;
            }
        }
        assert_eq!(retries, 10 + 99);
    }

    #[test]
    fn the_reserve_is_bounded() {
        let mut budget = (0..10_000).fold(RetryBudget::full(), |budget, _| budget.earn());
        let mut retries = 0;
        while let Some(left) = budget.spend() {
            budget = left;
            retries += 1;
        }
        assert_eq!(retries, 10);
    }
}
