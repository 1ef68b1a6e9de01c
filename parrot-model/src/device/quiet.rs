//! Turns panics of drivers into errors, and prints a program's panics in one line.

use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::untrusted::{first_line, is_contained, message};

/// What the program's hook knows about panics.
static PANICS: Panics =
    Panics { failed: AtomicBool::new(false), listener: Mutex::new(Listener { waiting: 0, heard: None }) };

struct Panics {
    /// Whether one has been printed.
    failed: AtomicBool,
    listener: Mutex<Listener>,
}

/// What [`quietly`] waits to hear from other threads.
struct Listener {
    /// Calls of [`quietly`] in progress.
    waiting: usize,
    /// What the first panic meanwhile said: it is the cause, others follow from it.
    heard: Option<String>,
}

/// Does `work`; a panic in it is returned in one line.
///
/// Burn and CubeCL panic where a driver refuses, often on a thread that a device runs on, and what fails here then says
/// less than what failed there. A program that has [`panics_in_one_line`] gets the first panic's words; in others
/// the process's own hook prints both, and the error is the calling thread's.
///
/// # Errors
///
/// What the panic said.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    PANICS.catch(work)
}

/// Prints each panic as one line, as an error is printed.
///
/// This sets the process's panic hook, so it is for a program's `main` to call. No library here calls it, and all of them
/// work without it.
///
/// Where a driver gives up in the midst of a computation, Burn and CubeCL panic, on several threads one after the other; each
/// gets its line. A panic that becomes an error ([`contained`](crate::untrusted::contained)) is not printed. With
/// `RUST_BACKTRACE` set, all other panics are left to the hook that was there before.
pub fn panics_in_one_line() {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !is_contained() {
                previous(panic);
            }
        }));
        return;
    }
    panic::set_hook(Box::new(|panic| {
        if let Some(line) = PANICS.line(panic.payload_as_str().unwrap_or_default()) {
            // `eprintln!` panics where standard error is gone, and a panic in here ends the process.
            let _ = io::stderr().write_all(format!("error: {line}\n").as_bytes());
        }
    }));
}

impl Panics {
    fn listener(&self) -> MutexGuard<'_, Listener> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn catch<T>(&self, work: impl FnOnce() -> T) -> Result<T, String> {
        self.listener().waiting += 1;
        let done = panic::catch_unwind(AssertUnwindSafe(work));
        let mut listener = self.listener();
        listener.waiting -= 1;
        let heard = if listener.waiting == 0 { listener.heard.take() } else { listener.heard.clone() };
        done.map_err(|payload| heard.unwrap_or_else(|| message(&*payload).to_owned()))
    }

    /// What to print about a panic on this thread, unless somebody waits for it.
    fn line(&self, message: &str) -> Option<String> {
        if is_contained() {
            return None;
        }
        let mut listener = self.listener();
        if listener.waiting > 0 {
            listener.heard.get_or_insert_with(|| first_line(message).to_owned());
            return None;
        }
        let follows = self.failed.swap(true, Ordering::Relaxed);
        Some(if follows { format!("and then: {}", first_line(message)) } else { in_one_line(message) })
    }
}

/// What a panic said, and what helps.
fn in_one_line(message: &str) -> String {
    let said = first_line(message);
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
    use crate::untrusted::contained;

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

    /// The hook itself is the process's, so the test calls what it calls.
    #[test]
    fn only_what_nobody_waits_for_is_printed() {
        let listener = Mutex::new(Listener { waiting: 0, heard: None });
        let panics = Panics { failed: AtomicBool::new(false), listener };
        let failed: Result<(), _> = panics.catch(|| {
            thread::scope(|scope| {
                scope.spawn(|| assert_eq!(panics.line("out of memory\nsomewhere"), None));
            });
            panic!("the device's thread is gone");
        });
        assert_eq!(failed, Err("out of memory".into()));
        assert_eq!(contained(|| panics.line("index out of bounds")), Ok(None));
        assert!(panics.line("one").unwrap().contains("one"));
        assert_eq!(panics.line("two").unwrap(), "and then: two");
    }
}
