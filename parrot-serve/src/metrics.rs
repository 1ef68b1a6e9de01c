//! What is measured, in the text format that Prometheus reads (OpenMetrics).

use std::fmt;
use std::time::{Duration, Instant};

use parrot_infer::{EngineStats, Event};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::models::{Model, Models};

/// The type of what [`Metrics::text`] returns.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is measured.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    queue_time: Family<ModelLabels, Histogram>,
    first_token_time: Family<ModelLabels, Histogram>,
    token_time: Family<ModelLabels, Histogram>,
    answer_time: Family<ModelLabels, Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: String,
}

impl Metrics {
    pub(crate) fn new(models: &Models) -> Self {
        let mut registry = Registry::with_prefix("parrot");
        let requests = Family::default();
        registry.register("http_requests", "Requests that were answered", requests.clone());
        let mut times = |name, help, shortest| {
            let family = Family::new_with_constructor(match shortest {
                // From 1 ms to 131 s.
                Shortest::Millisecond => || Histogram::new(exponential_buckets(1e-3, 2.0, 18)),
                // From 0.1 ms to 3.3 s.
                Shortest::TenthOfOne => || Histogram::new(exponential_buckets(1e-4, 2.0, 16)),
            } as fn() -> Histogram);
            registry.register_with_unit(name, help, Unit::Seconds, family.clone());
            family
        };
        let queue_time =
            times("queue_time", "Time that questions waited for their turn", Shortest::TenthOfOne);
        let first_token_time = times(
            "time_to_first_token",
            "From the request to the first text of its answer",
            Shortest::Millisecond,
        );
        let token_time =
            times("time_per_token", "Time of each token after an answer's first", Shortest::TenthOfOne);
        let answer_time =
            times("answer_time", "From the request to the end of its answer", Shortest::Millisecond);
        registry.register_collector(Box::new(Engines(models.all().cloned().collect())));
        Self { registry, requests, queue_time, first_token_time, token_time, answer_time }
    }

    /// Counts a response.
    pub(crate) fn count_request(&self, method: &str, route: &str, status: u16) {
        let labels = RequestLabels { method: method.into(), route: route.into(), status };
        self.requests.get_or_create(&labels).inc();
    }

    /// The measurements of a model.
    pub(crate) fn of_model(&self, model: &str) -> ModelMetrics {
        let labels = ModelLabels { model: model.into() };
        let histogram = |family: &Family<ModelLabels, Histogram>| family.get_or_create_owned(&labels);
        ModelMetrics {
            queue_time: histogram(&self.queue_time),
            first_token_time: histogram(&self.first_token_time),
            token_time: histogram(&self.token_time),
            answer_time: histogram(&self.answer_time),
            has_text: false,
        }
    }

    /// All measurements.
    ///
    /// # Errors
    ///
    /// None in practice: a string takes everything.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[derive(Clone, Copy)]
enum Shortest {
    Millisecond,
    TenthOfOne,
}

/// The measurements of a model, for one request.
#[derive(Debug)]
pub(crate) struct ModelMetrics {
    queue_time: Histogram,
    first_token_time: Histogram,
    token_time: Histogram,
    answer_time: Histogram,
    has_text: bool,
}

impl ModelMetrics {
    /// Measures an event of a request that was `asked` then.
    pub(crate) fn observe(&mut self, event: &Event, asked: Instant) {
        let seconds = |time: Duration| time.as_secs_f64();
        match event {
            Event::Started { waited } => self.queue_time.observe(seconds(*waited)),
            Event::Text { .. } if !self.has_text => {
                self.has_text = true;
                self.first_token_time.observe(seconds(asked.elapsed()));
            }
            Event::Finished(answer) => {
                if let Some(time) = answer.timings.per_token() {
                    self.token_time.observe(seconds(time));
                }
                self.answer_time.observe(seconds(asked.elapsed()));
            }
            _ => {}
        }
    }
}

/// A measurement's name, what it is, and where it stands.
type Measured = (&'static str, &'static str, fn(&EngineStats) -> u64);

/// What the engines say of themselves when they are asked.
#[derive(Debug)]
struct Engines(Vec<Model>);

impl Collector for Engines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stats: Vec<(ModelLabels, EngineStats)> = self
            .0
            .iter()
            .map(|model| (ModelLabels { model: model.name.clone() }, model.engine.stats()))
            .collect();
        let gauges: [Measured; 6] = [
            ("engine_running", "Answers that are being computed", |stats| stats.running as u64),
            ("engine_waiting", "Questions that wait for their turn", |stats| stats.waiting as u64),
            ("engine_cache_used_bytes", "Keys and values of the running answers", |stats| stats.cache_bytes),
            ("engine_cache_kept_bytes", "Keys and values that are kept of earlier prompts", |stats| {
                stats.kept_bytes
            }),
            ("engine_cache_budget_bytes", "What both may take", |stats| stats.cache_budget),
            ("engine_image_cache_bytes", "Features of images that are remembered", |stats| {
                stats.images.bytes
            }),
        ];
        for (name, help, value) in gauges {
            let kind = ConstGauge::new(0u64).metric_type();
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for (labels, stats) in &stats {
                ConstGauge::new(value(stats)).encode(metric.encode_family(labels)?)?;
            }
        }
        let counters: [Measured; 10] = [
            ("engine_answers_finished", "Answers that ended", |stats| stats.finished),
            ("engine_answers_failed", "Answers that failed", |stats| stats.failed),
            ("engine_answers_cancelled", "Answers that nobody waited for any more", |stats| stats.cancelled),
            ("engine_prompt_tokens", "Tokens of prompts that were read", |stats| stats.prompt_tokens),
            ("engine_reused_tokens", "Tokens of prompts that did not have to be read", |stats| {
                stats.reused_tokens
            }),
            ("engine_generated_tokens", "Tokens of answers", |stats| stats.generated_tokens),
            ("engine_decode_steps", "Steps of decoding", |stats| stats.decode_steps),
            (
                "engine_decoded_tokens",
                "Tokens that came from these steps: divided by them, the size of a batch",
                |stats| stats.decoded_tokens,
            ),
            ("engine_image_cache_hits", "Images that were remembered", |stats| stats.images.hits),
            ("engine_image_cache_misses", "Images that were encoded", |stats| stats.images.misses),
        ];
        for (name, help, value) in counters {
            let kind = ConstCounter::new(0u64).metric_type();
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for (labels, stats) in &stats {
                ConstCounter::new(value(stats)).encode(metric.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}
