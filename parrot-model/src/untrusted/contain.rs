//! Keeps a panic in a dependency that reads what comes from outside from being more than an error.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    /// How many calls of [`contained`] this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Does `work`, in which a decoder, parser or driver meets what comes from outside: a panic in it is an error.
///
/// What `work` changes should be of no use to anybody once it has failed. The process's panic hook is left alone and
/// still called: the standard one prints where the panic was; a program's own hook may ask [`is_contained`] first.
/// Running out of memory or stack ends the process here as anywhere; only limits that are checked beforehand help.
///
/// # Errors
///
/// `panicked: ` and what the panic said, in one line, for the caller to put the file's name in front.
pub fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    struct Inside;
    impl Drop for Inside {
        fn drop(&mut self) {
            DEPTH.with(|depth| depth.set(depth.get() - 1));
        }
    }
    DEPTH.with(|depth| depth.set(depth.get() + 1));
    let inside = Inside;
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    drop(inside);
    done.map_err(|payload| format!("panicked: {}", message(&*payload)))
}

/// [`contained`] with room for recursion: what is nested deeply, as only hostile input is, would overflow the stack of an
/// ordinary thread, and with that end the process.
///
/// Memory for the stack is taken as it is used. The input has to be limited all the same: 64 KiB of it nest less deeply than
/// there is room for.
///
/// # Errors
///
/// As [`contained`], and where the system gives no thread.
pub fn contained_deep<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    #[cfg(not(target_family = "wasm"))]
    {
        const STACK: usize = 512 << 20;
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK);
            let thread = thread.spawn_scoped(scope, || contained(work));
            let thread = thread.map_err(|error| format!("no thread can be started: {error}"))?;
            thread.join().unwrap_or_else(|payload| Err(format!("panicked: {}", message(&*payload))))
        })
    }
    // In a browser there is one thread; what overflows it ends the worker, and the page says so.
    #[cfg(target_family = "wasm")]
    contained(work)
}

/// Whether this thread is within [`contained`], so that a panic on it will be an error: for a program's panic hook, which
/// then has nothing to print.
#[must_use]
pub fn is_contained() -> bool {
    // A thread that is ending has no locals any more.
    DEPTH.try_with(|depth| depth.get() > 0).unwrap_or(false)
}

/// A panic's first line that says anything.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    first_line(text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or_default())
}

/// The first line of a panic's text that is not empty.
pub(crate) fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("for an unknown reason")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_no_more() {
        assert_eq!(contained(|| 7), Ok(7));
        let failed = contained(|| -> u8 { panic!("\n  index out of bounds: {}\nmore", 4) });
        assert_eq!(failed, Err("panicked: index out of bounds: 4".into()));
        assert_eq!(contained(|| panic::panic_any(4)), Err::<(), _>("panicked: for an unknown reason".into()));
    }

    #[test]
    fn deep_recursion_has_room() {
        fn depth(levels: u32) -> u32 {
            let page = std::hint::black_box([levels as u8; 4096]);
            if levels == 0 { 0 } else { depth(levels - 1) + 1 + u32::from(page[7] != levels as u8) }
        }
        assert_eq!(contained_deep(|| depth(20_000)), Ok(20_000));
        assert_eq!(contained_deep(|| panic!("deep")), Err::<(), _>("panicked: deep".into()));
    }

    #[test]
    fn a_hook_can_tell_what_is_contained() {
        assert!(!is_contained());
        let nested = contained(|| {
            assert!(contained(|| panic!("inner")) == Err::<(), _>("panicked: inner".into()));
            is_contained() && !std::thread::spawn(is_contained).join().unwrap()
        });
        assert_eq!(nested, Ok(true));
        assert!(!is_contained());
    }
}
