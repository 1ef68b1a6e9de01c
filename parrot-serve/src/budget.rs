//! Memory that requests have in common: for their bodies, and for their decoded images.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted in, in bytes: a semaphore counts no further than four thousand million.
const UNIT: usize = 1 << 10;

/// A budget of bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Arc<Semaphore>,
    units: usize,
}

/// A request's share. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Semaphore>,
    bytes: usize,
    held: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// - bytes: of all requests together
    pub(crate) fn new(bytes: usize) -> Self {
        let units = bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        Self { left: Arc::new(Semaphore::new(units)), units }
    }

    /// A share of nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share { budget: self.left.clone(), bytes: 0, held: None }
    }

    /// Whether this share could have what it asks for if there were no other.
    pub(crate) fn could_hold(&self, share: &Share) -> bool {
        share.bytes.div_ceil(UNIT) <= self.units
    }
}

impl Share {
    /// Takes `bytes` more; false if there are not enough left.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = self.bytes.div_ceil(UNIT).saturating_sub(held);
        let Ok(missing) = u32::try_from(missing) else { return false };
        if missing == 0 {
            return true;
        }
        let Ok(more) = self.budget.clone().try_acquire_many_owned(missing) else { return false };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_one_budget_and_given_back() {
        let budget = Budget::new(4 * UNIT);
        let (mut first, mut second) = (budget.share(), budget.share());
        assert!(first.grow(1) && first.grow(UNIT - 1) && first.grow(2 * UNIT));
        assert!(second.grow(UNIT));
        assert!(!second.grow(1) && !first.grow(1));
        assert!(budget.could_hold(&second) && !first.grow(9 * UNIT) && !budget.could_hold(&first));
        drop(first);
        assert!(second.grow(UNIT));
    }
}
