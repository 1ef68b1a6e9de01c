//! The threads that the CPU computes on, before the first product asks for them.

use std::env;
use std::error::Error as _;

use crate::{Error, Result};

/// rayon's own variable.
const VARIABLE: &str = "RAYON_NUM_THREADS";

/// More would be waited for rather than computed on.
const MOST: usize = 1024;

/// Starts them: what goes wrong panics where it is found out later.
///
/// # Errors
///
/// [`Error::Device`] for too many, and where the system gives no thread.
pub(super) fn start() -> Result<()> {
    let refuse = |reason| Error::Device { name: "cpu".into(), reason };
    check(env::var(VARIABLE).ok().as_deref()).map_err(refuse)?;
    match rayon::ThreadPoolBuilder::new().build_global() {
        // Without a source they run already.
        Err(error) if error.source().is_some() => {
            Err(refuse(format!("its threads cannot be started: {error}")))
        }
        _ => Ok(()),
    }
}

/// What is no number rayon passes over.
fn check(variable: Option<&str>) -> Result<(), String> {
    match variable.and_then(|count| count.parse::<usize>().ok()).filter(|count| *count > MOST) {
        Some(count) => Err(format!("{VARIABLE} should be at most {MOST}, found {count}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_threads_has_a_bound() {
        for count in [None, Some(""), Some("x"), Some("0"), Some("1024")] {
            check(count).unwrap();
        }
        assert_eq!(
            check(Some("100000000")).unwrap_err(),
            "RAYON_NUM_THREADS should be at most 1024, found 100000000"
        );
        start().unwrap();
        start().unwrap();
    }
}
