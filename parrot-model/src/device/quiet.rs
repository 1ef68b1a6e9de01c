//! Panics of drivers as errors.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Has a panic printed as one line, as an error is, for a program's `main`: where a driver gives up in the midst of a
/// computation, Burn and CubeCL panic, on several threads one after the other. Only the first, which is the cause, is
/// printed. With `RUST_BACKTRACE` set everything stays as it was.
pub fn panics_in_one_line() {
    static FAILED: AtomicBool = AtomicBool::new(false);
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        return;
    }
    panic::set_hook(Box::new(|panic| {
        if !FAILED.swap(true, Ordering::Relaxed) {
            eprintln!("error: {}", in_one_line(panic.payload_as_str().unwrap_or_default()));
        }
    }));
}

/// What a panic said, and what helps.
fn in_one_line(message: &str) -> String {
    let said =
        message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("for an unknown reason");
    let lower = message.to_lowercase();
    let is_memory =
        ["out of memory", "outofmemory", "out_of_memory"].iter().any(|words| lower.contains(words));
    let advice = if is_memory {
        "a smaller dtype, fewer tokens or a smaller batch need less memory"
    } else {
        "RUST_BACKTRACE=1 says where"
    };
    format!("the computation failed: {said} ({advice})")
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
    fn a_failure_is_told_in_one_line_with_what_helps() {
        let memory = "\n  An error happened: CUDA_ERROR_OUT_OF_MEMORY\n 0: somewhere\n 1: elsewhere";
        let advice = "a smaller dtype, fewer tokens or a smaller batch need less memory";
        let expected = "the computation failed: An error happened: CUDA_ERROR_OUT_OF_MEMORY";
        assert_eq!(in_one_line(memory), format!("{expected} ({advice})"));
        let expected = "the computation failed: for an unknown reason (RUST_BACKTRACE=1 says where)";
        assert_eq!(in_one_line(""), expected);
    }

    #[test]
    fn the_first_panic_is_the_cause_whichever_thread_it_was_on() {
        let failed: Result<(), _> = quietly(|| {
            thread::spawn(|| panic!("out of memory")).join().expect("the device's thread is gone");
        });
        assert_eq!(failed, Err("out of memory".into()));
    }
}
