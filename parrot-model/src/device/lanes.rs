//! Several computations with one small network at the same time.

use std::sync::{LazyLock, Mutex, PoisonError};

use burn::tensor::Device;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::float_dtype::is_cpu;

/// A network of up to this many parameters stays in the processor's caches, however many threads read it. Larger ones wait
/// for memory, so all threads had better share one reading of the weights.
const SMALL: usize = 8 << 20;

/// A pool of one thread for each core: what runs there is not split up any further, and waits for nobody.
static POOLS: LazyLock<Vec<ThreadPool>> = LazyLock::new(|| {
    let pool =
        |at| ThreadPoolBuilder::new().num_threads(1).thread_name(move |_| format!("lane-{at}")).build();
    (0..rayon::current_num_threads()).map_while(|at| pool(at).ok()).collect()
});

/// How many independent computations with a network are best done at the same time, each on a core of its own, by
/// [`side_by_side`]: one for each core where the network is small and the processor computes; else 1, as every computation then
/// takes the whole device.
///
/// - parameters: of the network
#[must_use]
pub fn lanes(device: &Device, parameters: usize) -> usize {
    if parameters <= SMALL && is_cpu(device) { rayon::current_num_threads() } else { 1 }
}

/// Does `work` with each item and returns the outcomes in the same order. What is computed does not depend on `lanes`.
///
/// - lanes: how many are worked at at the same time, as [`lanes`] says
///
/// # Panics
///
/// If `work` does.
pub fn side_by_side<T: Send, R: Send>(lanes: usize, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    if lanes.min(items.len()) < 2 {
        return items.into_iter().map(work).collect();
    }
    let pools = &POOLS[..lanes.min(items.len()).min(POOLS.len())];
    if pools.len() < 2 {
        return items.into_iter().map(work).collect();
    }
    let items = Mutex::new(items.into_iter().enumerate());
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let lane = || std::iter::from_fn(next).map(|(at, item)| (at, work(item))).collect::<Vec<_>>();
    let mut done: Vec<(usize, R)> = in_each(pools, &lane);
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

/// What `lane` returns in each pool.
fn in_each<R: Send>(pools: &[ThreadPool], lane: &(impl Fn() -> Vec<R> + Sync)) -> Vec<R> {
    let Some((pool, others)) = pools.split_first() else { return Vec::new() };
    let mut here = Vec::new();
    let mut elsewhere = pool.in_place_scope(|scope| {
        scope.spawn(|_| here = lane());
        in_each(others, lane)
    });
    elsewhere.append(&mut here);
    elsewhere
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_in_the_order_of_their_items() {
        for lanes in [0, 1, 2, 3, 99] {
            for count in [0, 1, 2, 50] {
                let found = side_by_side(lanes, (0..count).collect(), |item: usize| item * item);
                assert_eq!(found, (0..count).map(|item| item * item).collect::<Vec<_>>(), "{lanes} lanes");
            }
        }
    }

    #[test]
    fn large_networks_are_computed_one_at_a_time() {
        let device = crate::device::open("cpu").unwrap();
        assert_eq!(lanes(&device, SMALL), rayon::current_num_threads());
        assert_eq!(lanes(&device, SMALL + 1), 1);
    }
}
