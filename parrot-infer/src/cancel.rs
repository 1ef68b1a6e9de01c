//! Ending an answer from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends the answers that were asked for with it ([`AskOptions::cancel`](crate::AskOptions::cancel)): at the next token, from
/// any thread. Clones cancel together; once cancelled it stays so.
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
    /// Ends the answers.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether they cancel together.
impl PartialEq for CancelToken {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
