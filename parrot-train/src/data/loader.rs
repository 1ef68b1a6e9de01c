//! Batches in a fixed order, made ahead of time by worker threads.
//!
//! The order depends on the seed alone, not on the number of workers: worker `w` of `n` makes the batches
//! `w, w + n, …` and the loader takes them in turn. A run resumes at any step by starting there.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::Dataset;
use crate::{Error, Result};

/// Batches that each worker may have ready.
const QUEUE: usize = 4;

/// An endless iterator over batches; `Err` in a batch's place when one of its samples cannot be made.
#[derive(Debug)]
pub struct BatchLoader<S> {
    workers: Vec<Receiver<Result<Vec<S>>>>,
    next: usize,
}

impl<S: Send + 'static> BatchLoader<S> {
    /// Starts `workers` threads that make batches of `batch_size` samples from batch number `first_batch`
    /// on. Every epoch visits each sample once, in an order drawn from the seed and the epoch; what does
    /// not fill a last batch is left for the next epoch's order.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] when the dataset does not fill one batch.
    pub fn start(
        dataset: &Arc<dyn Dataset<Sample = S>>,
        batch_size: usize,
        seed: u64,
        first_batch: usize,
        workers: usize,
    ) -> Result<Self> {
        if batch_size == 0 || dataset.len() < batch_size {
            let expected = format!("between 1 and the dataset's {} samples", dataset.len());
            return Err(Error::Setting { key: "micro_batch_size", expected, found: batch_size.to_string() });
        }
        let workers = workers.max(1);
        let workers = (0..workers)
            .map(|worker| {
                let (sender, receiver) = sync_channel(QUEUE);
                let dataset = Arc::clone(dataset);
                std::thread::spawn(move || {
                    let batches = (first_batch + worker..).step_by(workers);
                    produce(dataset.as_ref(), batch_size, seed, batches, &sender);
                });
                receiver
            })
            .collect();
        Ok(Self { workers, next: 0 })
    }
}

impl<S> Iterator for BatchLoader<S> {
    type Item = Result<Vec<S>>;

    fn next(&mut self) -> Option<Self::Item> {
        let worker = self.next;
        self.next = (self.next + 1) % self.workers.len();
        // A worker only ends when the loader is dropped, or by a panic of the dataset.
        Some(self.workers[worker].recv().unwrap_or(Err(Error::DatasetPanicked)))
    }
}

fn produce<S: Send + 'static>(
    dataset: &dyn Dataset<Sample = S>,
    batch_size: usize,
    seed: u64,
    batches: impl Iterator<Item = usize>,
    sender: &SyncSender<Result<Vec<S>>>,
) {
    let batches_per_epoch = dataset.len() / batch_size;
    let mut order: (usize, Vec<usize>) = (usize::MAX, Vec::new());
    for batch in batches {
        let (epoch, position) = (batch / batches_per_epoch, batch % batches_per_epoch);
        if order.0 != epoch {
            order = (epoch, epoch_order(dataset.len(), seed, epoch));
        }
        let indices = &order.1[position * batch_size..][..batch_size];
        let samples = indices.iter().map(|index| dataset.sample(*index)).collect();
        if sender.send(samples).is_err() {
            return;
        }
    }
}

/// A permutation of the dataset's numbers.
fn epoch_order(len: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    let mut rng = StdRng::seed_from_u64(seed ^ (epoch as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    order.shuffle(&mut rng);
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    struct Numbers(usize);

    impl Dataset for Numbers {
        type Sample = String;

        fn len(&self) -> usize {
            self.0
        }

        fn sample(&self, index: usize) -> Result<String> {
            Ok(index.to_string())
        }
    }

    fn ids(first_batch: usize, workers: usize, batches: usize) -> Vec<String> {
        let dataset: Arc<dyn Dataset<Sample = String>> = Arc::new(Numbers(10));
        let loader = BatchLoader::start(&dataset, 3, 7, first_batch, workers).unwrap();
        loader.take(batches).flat_map(Result::unwrap).collect()
    }

    #[test]
    fn order_does_not_depend_on_workers_and_resumes_anywhere() {
        let one = ids(0, 1, 8);
        assert_eq!(one, ids(0, 3, 8));
        assert_eq!(one[6..], ids(2, 2, 6));
    }

    #[test]
    fn an_epoch_repeats_nothing_and_epochs_differ() {
        let batches = ids(0, 2, 6);
        assert_eq!(batches[..9].iter().collect::<BTreeSet<_>>().len(), 9);
        assert_ne!(batches[..9], batches[9..]);
    }

    #[test]
    fn a_sample_that_cannot_be_made_is_reported_in_its_place() {
        struct Broken(bool);
        impl Dataset for Broken {
            type Sample = String;

            fn len(&self) -> usize {
                4
            }

            fn sample(&self, _index: usize) -> Result<String> {
                assert!(self.0, "a dataset's own mistake");
                Err(Error::Sample { id: "cat".into(), reason: "no picture".into() })
            }
        }
        for workers in [1, 3] {
            let first = |fails_well| {
                let dataset: Arc<dyn Dataset<Sample = String>> = Arc::new(Broken(fails_well));
                BatchLoader::start(&dataset, 2, 0, 0, workers).unwrap().next().unwrap().unwrap_err()
            };
            assert_eq!(first(true).to_string(), "sample cat: no picture");
            assert!(matches!(first(false), Error::DatasetPanicked));
        }
    }

    #[test]
    fn a_batch_larger_than_the_dataset_is_refused() {
        let dataset: Arc<dyn Dataset<Sample = String>> = Arc::new(Numbers(2));
        let error = BatchLoader::start(&dataset, 3, 0, 0, 1).unwrap_err().to_string();
        assert!(error.contains("micro_batch_size"), "{error}");
    }
}
