//! Whether a difference between two runs could be chance.

use statrs::distribution::{Binomial, DiscreteCDF};

/// The two-sided exact McNemar test: how likely it is that so uneven a split of the changed units, or a more uneven one, comes
/// about where gaining and losing are equally likely. 1 where nothing changed.
pub(super) fn mcnemar(gained: usize, lost: usize) -> f64 {
    let (fewer, all) = (gained.min(lost), gained + lost);
    match Binomial::new(0.5, all as u64) {
        Ok(chance) if all > 0 => (2.0 * chance.cdf(fewer as u64)).min(1.0),
        _ => 1.0,
    }
}

/// The half-width of the 95 % interval of a number, from what it is when each block of the data is left out in turn (the
/// delete-a-group jackknife, Quenouille 1956). `None` where there are fewer than two blocks.
pub(super) fn half_width(without_block: &[f64]) -> Option<f64> {
    const NORMAL_95: f64 = 1.959_963_984_540_054;
    let blocks = without_block.len() as f64;
    if without_block.len() < 2 {
        return None;
    }
    let mean = without_block.iter().sum::<f64>() / blocks;
    let squares: f64 = without_block.iter().map(|value| (value - mean).powi(2)).sum();
    Some(NORMAL_95 * (squares * (blocks - 1.0) / blocks).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.binomtest(min, gained + lost).pvalue`.
    #[test]
    fn mcnemar_is_the_sign_test_of_what_changed() {
        for (gained, lost, expected) in
            [(0, 0, 1.0), (5, 5, 1.0), (10, 2, 0.038_574_218_75), (0, 6, 0.031_25), (1, 0, 1.0)]
        {
            let found = mcnemar(gained, lost);
            assert!((found - expected).abs() < 1e-12, "{gained} {lost}: {found}");
        }
    }

    /// Of a mean of equal blocks the jackknife is the textbook's standard error.
    #[test]
    fn the_interval_of_a_mean_is_the_textbooks() {
        let values = [1.0, 4.0, 2.0, 8.0, 5.0];
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let without: Vec<f64> = values.iter().map(|value| (mean * count - value) / (count - 1.0)).collect();
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let expected = 1.959_963_984_540_054 * (variance / count).sqrt();
        assert!((half_width(&without).unwrap() - expected).abs() < 1e-12);
        assert_eq!(half_width(&[1.0]), None);
    }
}
