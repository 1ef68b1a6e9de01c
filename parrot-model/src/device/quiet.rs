//! Panics of drivers as errors.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

/// Does `work`; a panic in it, or meanwhile on a thread that a device runs on, is returned in one line
/// instead of printed.
///
/// Burn and CubeCL panic where a driver refuses, and print from whichever thread that was. The hook that
/// catches this is the process's, so `work` should be short; calls must not be nested.
///
/// # Errors
///
/// What the panic said.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let said = Arc::new(Mutex::new(None));
    let hook = panic::take_hook();
    let listener = Arc::clone(&said);
    panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or("for an unknown reason").lines().next();
        // The first is the cause, others follow from it.
        let mut said = listener.lock().unwrap_or_else(PoisonError::into_inner);
        said.get_or_insert_with(|| message.unwrap_or_default().to_string());
    }));
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(hook);
    let said = said.lock().unwrap_or_else(PoisonError::into_inner).take();
    done.map_err(|_| said.unwrap_or_else(|| "the driver failed".into()))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_panic_is_its_first_line() {
        assert_eq!(quietly(|| 7), Ok(7));
        let failed = quietly(|| panic!("no driver\nbut a long explanation"));
        assert_eq!(failed, Err::<(), _>("no driver".into()));
    }

    #[test]
    fn the_first_panic_is_the_cause_whichever_thread_it_was_on() {
        let failed: Result<(), _> = quietly(|| {
            thread::spawn(|| panic!("out of memory")).join().expect("the device's thread is gone");
        });
        assert_eq!(failed, Err("out of memory".into()));
    }
}
