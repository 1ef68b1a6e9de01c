//! Linear warm-up, then half a cosine down to zero: transformers' `get_cosine_schedule_with_warmup`.

/// The learning rate of every step of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineSchedule {
    /// The rate at the end of the warm-up.
    pub peak: f64,
    /// Steps of warm-up; the very first step has rate 0 unless this is 0.
    pub warmup_steps: usize,
    /// Steps of the whole run.
    pub total_steps: usize,
}

impl CosineSchedule {
    /// A schedule that warms up for `ratio` of the run, rounded up as transformers does.
    #[must_use]
    pub fn new(peak: f64, total_steps: usize, warmup_ratio: f64) -> Self {
        Self { peak, warmup_steps: (total_steps as f64 * warmup_ratio).ceil() as usize, total_steps }
    }

    /// The rate of a step, counted from 0.
    #[must_use]
    pub fn learning_rate(&self, step: usize) -> f64 {
        if step < self.warmup_steps {
            return self.peak * step as f64 / self.warmup_steps as f64;
        }
        let decay_steps = self.total_steps.saturating_sub(self.warmup_steps).max(1);
        let progress = (step - self.warmup_steps) as f64 / decay_steps as f64;
        self.peak * (0.5 * (1.0 + (std::f64::consts::PI * progress).cos())).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_steps_as_the_reference_logged_them() {
        let schedule = CosineSchedule::new(1e-3, 5, 0.03);
        assert_eq!(schedule.warmup_steps, 1);
        let expected = [0.0, 1e-3, 8.535533905932737e-4, 5e-4, 1.4644660940672628e-4];
        for (step, expected) in expected.into_iter().enumerate() {
            assert!((schedule.learning_rate(step) - expected).abs() < 1e-12, "step {step}");
        }
    }

    #[test]
    fn degenerate_runs_have_a_rate() {
        assert_eq!(CosineSchedule::new(1.0, 1, 0.0).learning_rate(0), 1.0);
        assert_eq!(CosineSchedule::new(1.0, 1, 1.0).learning_rate(0), 0.0);
        assert!(CosineSchedule::new(1.0, 10, 0.0).learning_rate(10).abs() < 1e-12);
    }
}
