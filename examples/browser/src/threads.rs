//! rayon's threads, each a worker of the browser's that runs this program on the same memory.

use std::sync::{Condvar, Mutex, PoisonError};

use rayon::{ThreadBuilder, ThreadPoolBuilder};
use wasm_bindgen::prelude::*;

/// What has to be run on threads of their own. Only a script can start those.
static WAITING: Mutex<Vec<ThreadBuilder>> = Mutex::new(Vec::new());
static CAME: Condvar = Condvar::new();

/// From now on rayon computes on `count` threads. The caller is one of them, and waits until the others have come.
///
/// # Errors
///
/// If rayon has threads already.
#[wasm_bindgen(js_name = startThreads)]
pub fn start_threads(count: usize) -> Result<(), JsError> {
    let pool = ThreadPoolBuilder::new().num_threads(count).use_current_thread();
    let pool = pool.spawn_handler(|thread| {
        WAITING.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        CAME.notify_one();
        Ok(())
    });
    Ok(pool.build_global()?)
}

/// One of the threads: computes what rayon gives it, and does not return. [`start_threads`] needs one call less than it starts.
#[wasm_bindgen(js_name = runThread)]
pub fn run_thread() {
    let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let waiting = CAME.wait_while(waiting, |waiting| waiting.is_empty());
    let thread = waiting.unwrap_or_else(PoisonError::into_inner).pop();
    thread.expect("one was waited for").run();
}
