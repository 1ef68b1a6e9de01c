//! Micro-batches in a fixed order, made ahead of time by worker threads.
//!
//! The order depends only on the data, the seed and the [`LengthGrouping`]. Process `r` of `n` makes
//! the micro-batches `r, r + n, …`, and its threads take turns at them. Neither number changes what a step of the whole
//! run consists of, and a run resumes at any step by starting there.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{Dataset, LengthHint};
use crate::{Error, Result};

/// Micro-batches that each worker may have ready, where there is room for them.
const QUEUE: usize = 4;

/// How many micro-batches each worker may keep ready: at least one, and together less than 1 GiB.
///
/// - bytes: about how many a micro-batch has
#[must_use]
pub(crate) fn queue(workers: usize, bytes: usize) -> usize {
    const ROOM: usize = 1 << 30;
    (ROOM / workers.saturating_mul(bytes).max(1)).clamp(1, QUEUE)
}

/// Micro-batches' worth of samples that are sorted by length together, as LLaVA does: enough for alike
/// neighbours, few enough that long samples do not all come at once.
const SORTED_TOGETHER: usize = 50;

/// Which samples share a micro-batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LengthGrouping {
    /// Whichever samples come next.
    #[default]
    None,
    /// The samples of a step are dealt to its micro-batches by length. The step learns from the same samples
    /// as without, with less padding. Done by the trainer, within one process's share of the step: where
    /// micro-batches count alike, the weight of a sample then depends on the number of processes.
    Step,
    /// Samples of alike length from all over the epoch, those with pictures apart from those without, as
    /// LLaVA's `group_by_modality_length`: still less padding, but no longer a random batch. What does not
    /// fill a micro-batch of its kind shares one with what is left of the other.
    Epoch,
}

impl LengthGrouping {
    /// Its name in recipes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Step => "step",
            Self::Epoch => "epoch",
        }
    }
}

/// How samples become micro-batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Samples of a micro-batch.
    pub micro_batch_size: usize,
    /// Seed of the order.
    pub seed: u64,
    /// Which samples share a micro-batch.
    pub grouping: LengthGrouping,
    /// The first micro-batch, counted over all ranks and from 0.
    pub first_batch: usize,
    /// Threads that make samples.
    pub workers: usize,
    /// Micro-batches that each of them may have ready, at least one.
    pub ready: usize,
    /// Which process this is.
    pub rank: usize,
    /// How many processes there are.
    pub ranks: usize,
}

/// A micro-batch as it comes from the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<S> {
    /// The samples that could be made.
    pub samples: Vec<S>,
    /// The samples' numbers in the data set.
    pub numbers: Vec<usize>,
    /// What could not be made: id and reason. Nothing takes its place.
    pub skipped: Vec<Skipped>,
}

/// A sample that could not be made, or that the model cannot learn from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its id.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

/// An endless iterator over micro-batches; `Err` in a batch's place when the data set fails as a whole.
#[derive(Debug)]
pub struct BatchLoader<S> {
    workers: Vec<Receiver<Result<Batch<S>>>>,
    next: usize,
}

impl<S: Send + 'static> BatchLoader<S> {
    /// Starts the threads. Every epoch visits each sample at most once, in an order drawn from the seed and
    /// the epoch; what does not fill a last micro-batch is left for the next epoch's order.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] when the dataset does not fill one micro-batch.
    ///
    /// # Panics
    ///
    /// If `rank` is not below `ranks`.
    pub fn start(dataset: &Arc<dyn Dataset<Sample = S>>, options: &LoaderOptions) -> Result<Self> {
        assert!(options.rank < options.ranks, "rank {} of {}", options.rank, options.ranks);
        let batch_size = options.micro_batch_size;
        let order = Order::new(dataset.as_ref(), options);
        if batch_size == 0 || order.batches_per_epoch == 0 {
            let expected = format!("between 1 and the dataset's {} samples", dataset.len());
            return Err(Error::Setting {
                key: "train.micro_batch_size",
                expected,
                found: batch_size.to_string(),
            });
        }
        let order = Arc::new(order);
        let workers = options.workers.max(1);
        // The first micro-batch from there on that belongs to this rank.
        let behind = (options.rank + options.ranks - options.first_batch % options.ranks) % options.ranks;
        let first = options.first_batch + behind;
        let receivers = (0..workers)
            .map(|worker| {
                let (sender, receiver) = sync_channel(options.ready);
                let (dataset, order) = (Arc::clone(dataset), Arc::clone(&order));
                let batches = (first + worker * options.ranks..).step_by(workers * options.ranks);
                std::thread::spawn(move || produce(dataset.as_ref(), &order, batches, &sender));
                receiver
            })
            .collect();
        Ok(Self { workers: receivers, next: 0 })
    }
}

impl<S> Iterator for BatchLoader<S> {
    type Item = Result<Batch<S>>;

    fn next(&mut self) -> Option<Self::Item> {
        let worker = self.next;
        self.next = (self.next + 1) % self.workers.len();
        // A worker only ends when the loader is dropped, or by a panic of the dataset.
        Some(self.workers[worker].recv().unwrap_or(Err(Error::DatasetPanicked)))
    }
}

fn produce<S: Send + 'static>(
    dataset: &dyn Dataset<Sample = S>,
    order: &Order,
    batches: impl Iterator<Item = usize>,
    sender: &SyncSender<Result<Batch<S>>>,
) {
    let mut epoch_order: (usize, Vec<usize>) = (usize::MAX, Vec::new());
    for batch in batches {
        let (epoch, position) = (batch / order.batches_per_epoch, batch % order.batches_per_epoch);
        if epoch_order.0 != epoch {
            epoch_order = (epoch, order.epoch(epoch));
        }
        let indices = &epoch_order.1[position * order.batch_size..][..order.batch_size];
        if sender.send(make(dataset, indices)).is_err() {
            return;
        }
    }
}

fn make<S: Send + 'static>(dataset: &dyn Dataset<Sample = S>, indices: &[usize]) -> Result<Batch<S>> {
    let samples = Vec::with_capacity(indices.len());
    let mut batch = Batch { samples, numbers: Vec::with_capacity(indices.len()), skipped: Vec::new() };
    for index in indices {
        match dataset.sample(*index) {
            Ok(sample) => {
                batch.samples.push(sample);
                batch.numbers.push(*index);
            }
            Err(Error::Sample { id, reason }) => batch.skipped.push(Skipped { id, reason }),
            Err(error) => return Err(error),
        }
    }
    Ok(batch)
}

/// The order of an epoch's samples, whole micro-batches one after the other.
struct Order {
    seed: u64,
    batch_size: usize,
    batches_per_epoch: usize,
    /// Samples that may share a micro-batch, and their lengths where they are sorted by them.
    groups: Vec<Vec<(usize, LengthHint)>>,
    is_sorted: bool,
}

impl Order {
    fn new<S: Send + 'static>(dataset: &dyn Dataset<Sample = S>, options: &LoaderOptions) -> Self {
        let is_sorted = options.grouping == LengthGrouping::Epoch;
        let mut groups = vec![Vec::new(), Vec::new()];
        for index in 0..dataset.len() {
            let hint = if is_sorted { dataset.length_hint(index) } else { LengthHint::default() };
            groups[usize::from(hint.images > 0)].push((index, hint));
        }
        let batch_size = options.micro_batch_size;
        let batches_per_epoch = dataset.len() / batch_size.max(1);
        Self { seed: options.seed, batch_size, batches_per_epoch, groups, is_sorted }
    }

    fn epoch(&self, epoch: usize) -> Vec<usize> {
        let mut rng = StdRng::seed_from_u64(self.seed ^ (epoch as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut batches: Vec<Vec<usize>> = Vec::with_capacity(self.batches_per_epoch);
        let mut left = Vec::new();
        for group in &self.groups {
            let mut samples = group.clone();
            samples.shuffle(&mut rng);
            let whole = samples.len() / self.batch_size * self.batch_size;
            left.extend(samples.drain(whole..));
            if self.is_sorted {
                for chunk in samples.chunks_mut(self.batch_size * SORTED_TOGETHER) {
                    chunk.sort_by_key(|(_, hint)| *hint);
                }
            }
            batches.extend(samples.chunks(self.batch_size).map(numbers));
        }
        left.shuffle(&mut rng);
        batches.extend(left.chunks_exact(self.batch_size).map(numbers));
        if self.is_sorted {
            batches.shuffle(&mut rng);
        }
        batches.concat()
    }
}

fn numbers(samples: &[(usize, LengthHint)]) -> Vec<usize> {
    samples.iter().map(|(index, _)| *index).collect()
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

        fn length_hint(&self, index: usize) -> LengthHint {
            LengthHint { images: usize::from(index.is_multiple_of(3)), tokens: index }
        }
    }

    fn options(micro_batch_size: usize) -> LoaderOptions {
        let grouping = LengthGrouping::None;
        LoaderOptions {
            micro_batch_size,
            seed: 7,
            grouping,
            first_batch: 0,
            workers: 1,
            ready: 4,
            rank: 0,
            ranks: 1,
        }
    }

    fn batches(count: usize, options: &LoaderOptions, batches: usize) -> Vec<Vec<String>> {
        let dataset: Arc<dyn Dataset<Sample = String>> = Arc::new(Numbers(count));
        let loader = BatchLoader::start(&dataset, options).unwrap();
        loader.take(batches).map(|batch| batch.unwrap().samples).collect()
    }

    fn ids(first_batch: usize, workers: usize, count: usize) -> Vec<String> {
        batches(10, &LoaderOptions { first_batch, workers, ..options(3) }, count).concat()
    }

    /// Whatever the number of processes, and wherever it changes, a step is made of the same micro-batches.
    #[test]
    fn ranks_share_the_order_of_one() {
        let one = batches(10, &options(3), 24);
        for (ranks, first_batch) in [(2, 0), (4, 8), (3, 6), (2, 5)] {
            for rank in 0..ranks {
                let options = LoaderOptions { rank, ranks, first_batch, workers: 2, ..options(3) };
                let own = batches(10, &options, 3);
                let expected = one.iter().enumerate().skip(first_batch).filter(|(at, _)| at % ranks == rank);
                let expected: Vec<_> = expected.map(|(_, batch)| batch.clone()).take(3).collect();
                assert_eq!(own, expected, "rank {rank} of {ranks} from {first_batch}");
            }
        }
    }

    /// Every third sample has a picture; the longer ones come last.
    #[test]
    fn an_epoch_can_be_grouped_by_length_and_images() {
        let grouped = LoaderOptions { grouping: LengthGrouping::Epoch, ..options(4) };
        let batches = batches(120, &grouped, 30);
        let numbers: Vec<Vec<usize>> =
            batches.iter().map(|batch| batch.iter().map(|id| id.parse().unwrap()).collect()).collect();
        let seen: BTreeSet<usize> = numbers.concat().into_iter().collect();
        assert_eq!(seen.len(), 120);
        for batch in &numbers {
            assert!(batch.iter().all(|number| (number % 3 == 0) == (batch[0] % 3 == 0)), "{batch:?}");
            let spread = batch.iter().max().unwrap() - batch.iter().min().unwrap();
            assert!(spread <= 12, "{batch:?}");
        }
        let firsts: Vec<usize> = numbers.iter().map(|batch| batch[0]).collect();
        assert!(!firsts.is_sorted(), "lengths come in random order");
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

    /// Three of ten have a picture, which fills no micro-batch of four.
    #[test]
    fn grouping_leaves_no_kind_of_sample_out() {
        let grouped = LoaderOptions { grouping: LengthGrouping::Epoch, ..options(4) };
        let seen: BTreeSet<String> = batches(10, &grouped, 2 * 20).concat().into_iter().collect();
        assert_eq!(seen.len(), 10);
        let epoch = batches(10, &grouped, 2).concat();
        assert_eq!(epoch.iter().collect::<BTreeSet<_>>().len(), 8);
    }

    #[test]
    fn a_sample_that_cannot_be_made_is_left_out_and_told() {
        struct Broken;
        impl Dataset for Broken {
            type Sample = String;

            fn len(&self) -> usize {
                4
            }

            fn sample(&self, index: usize) -> Result<String> {
                match index {
                    2 => Err(Error::Sample { id: "cat".into(), reason: "no picture".into() }),
                    index => Ok(index.to_string()),
                }
            }
        }
        let dataset: Arc<dyn Dataset<Sample = String>> = Arc::new(Broken);
        let batch = BatchLoader::start(&dataset, &options(4)).unwrap().next().unwrap().unwrap();
        assert_eq!(batch.samples.len(), 3);
        assert!(
            batch.samples.iter().zip(&batch.numbers).all(|(sample, number)| *sample == number.to_string())
        );
        assert_eq!(batch.skipped, [Skipped { id: "cat".into(), reason: "no picture".into() }]);
    }

    #[test]
    fn a_dataset_that_fails_or_panics_ends_the_loading() {
        struct Failing(bool);
        impl Dataset for Failing {
            type Sample = String;

            fn len(&self) -> usize {
                4
            }

            fn sample(&self, _index: usize) -> Result<String> {
                assert!(self.0, "a dataset's own mistake");
                Err(Error::InUse { path: "disk".into() })
            }
        }
        for workers in [1, 3] {
            let first = |fails_well| {
                let dataset: Arc<dyn Dataset<Sample = String>> = Arc::new(Failing(fails_well));
                let options = LoaderOptions { workers, ..options(2) };
                BatchLoader::start(&dataset, &options).unwrap().next().unwrap().unwrap_err()
            };
            assert!(matches!(first(true), Error::InUse { .. }));
            assert!(matches!(first(false), Error::DatasetPanicked));
        }
    }

    #[test]
    fn what_is_made_ahead_has_a_limit() {
        let bytes = 8 * 3 * 336 * 336 * 4;
        assert_eq!([1, 4, 16, 64, 1024].map(|workers| queue(workers, bytes)), [4, 4, 4, 1, 1]);
        assert_eq!((queue(4, 0), queue(usize::MAX, usize::MAX)), (4, 1));
    }

    #[test]
    fn a_batch_larger_than_the_dataset_is_refused() {
        let dataset: Arc<dyn Dataset<Sample = String>> = Arc::new(Numbers(2));
        for size in [0, 3] {
            let error = BatchLoader::start(&dataset, &options(size)).unwrap_err().to_string();
            assert!(error.contains("micro_batch_size"), "{error}");
        }
    }
}
