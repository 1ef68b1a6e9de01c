//! Memory for the bodies of all requests that are being read.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted in, in bytes: a semaphore counts no further than four thousand million.
const UNIT: usize = 1 << 10;

/// A budget of bytes that requests share until their questions have been handed over.
#[derive(Debug)]
pub(crate) struct Bodies(Arc<Semaphore>);

/// A request's share. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Semaphore>,
    bytes: usize,
    held: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// - bytes: of all bodies together
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS))))
    }

    /// A share of nothing yet.
    pub(crate) fn share(&self) -> Share {
        let Self(budget) = self;
        Share { budget: budget.clone(), bytes: 0, held: None }
    }
}

impl Share {
    /// Takes so many bytes more; false if they are not left.
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
        let bodies = Bodies::new(4 * UNIT);
        let (mut first, mut second) = (bodies.share(), bodies.share());
        assert!(first.grow(1) && first.grow(UNIT - 1) && first.grow(2 * UNIT));
        assert!(second.grow(UNIT));
        assert!(!second.grow(1) && !first.grow(1));
        drop(first);
        assert!(second.grow(UNIT));
    }
}
