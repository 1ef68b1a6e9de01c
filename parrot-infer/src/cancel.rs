//! Cancelling an answer from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Cancels every answer that was asked with it ([`AskOptions::cancel`](crate::AskOptions::cancel)), from any thread; an
/// answer ends at its next token. Clones share one state, and cancelling is final.
///
/// ```
/// use parrot_infer::{AskOptions, CancelToken};
///
/// let cancel = CancelToken::default();
/// let options = AskOptions { cancel: Some(cancel.clone()), ..AskOptions::default() };
/// // … `parrot.ask_streaming(&images, question, &options, …)` on another thread …
/// cancel.cancel();
/// # assert!(options.cancel.unwrap().is_cancelled());
/// ```
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Cancels every answer that was asked with this token or a clone of it.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether both are clones of one token.
impl PartialEq for CancelToken {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
