//! Which of several given answers the model finds likeliest.

use burn::prelude::*;
use burn::tensor::activation::log_softmax;
use parrot_model::batch::{PrepareOptions, Prepared, Sample};
use parrot_model::config::PaddingSide;
use parrot_model::int_tensor;
use parrot_model::language::{DecoderInput, KvCache};
use parrot_model::text::Conversation;

use super::encoded_images::stack;
use super::prompt::{Prompt, Prompts};
use super::{Parrot, Question, ask};
use crate::generate::AskOptions;
use crate::{Error, Result};

/// How likely the model finds each of several answers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// Index of the likeliest answer; the first one if several are equally likely.
    pub index: usize,
    /// For each answer, ln P(the answer, and nothing after it | the pictures and the question).
    pub log_probs: Vec<f32>,
}

impl Choice {
    fn new(log_probs: Vec<f32>) -> Self {
        let better =
            |best: usize, index: usize| if log_probs[index] > log_probs[best] { index } else { best };
        Self { index: (0..log_probs.len()).fold(0, better), log_probs }
    }

    /// How likely each answer is, given that it is one of these; they sum to 1.
    #[must_use]
    pub fn probabilities(&self) -> Vec<f32> {
        // Relative to the likeliest, so that very unlikely answers do not all become 0.
        let relative = self.log_probs.iter().map(|log_prob| (log_prob - self.log_probs[self.index]).exp());
        let relative: Vec<f32> = relative.collect();
        let sum: f32 = relative.iter().sum();
        relative.into_iter().map(|share| share / sum).collect()
    }
}

impl Parrot {
    /// Which of the `answers` the model finds likeliest. Benchmarks that rank options by likelihood ask this way, and
    /// it makes a model answer with one of a few words and nothing else. The model is not shown the answers.
    ///
    /// The prompt is read once, however many answers there are. Memory: the KV cache of the prompt once more per
    /// answer, and scores over the vocabulary for every token of the answers.
    ///
    /// ```
    /// # use parrot_infer::{Parrot, Image, Question, device, tiny};
    /// # let folder = tempfile::tempdir()?;
    /// # tiny::write(folder.path(), 0)?;
    /// # let parrot = Parrot::load(folder.path(), &device::open("auto")?)?;
    /// let image = [Image::from_rgb(image::RgbImage::new(48, 32))];
    /// let animals = ["cat", "dog", "parrot"];
    /// let choice = parrot.choose(Question::new(&image, "What is this?"), &animals)?;
    /// println!("{}, {:?}", animals[choice.index], choice.probabilities());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`ask_streaming`](Self::ask_streaming); [`Error::Option`] for no answers, or an empty one; an answer that
    /// the context has no room for.
    pub fn choose<S: AsRef<str>>(&self, question: Question<'_>, answers: &[S]) -> Result<Choice> {
        Ok(self.choose_batch(&[(question, answers)], &AskOptions::default())?.swap_remove(0))
    }

    /// [`choose`](Self::choose) for several questions at once, each with answers of its own. Of the options only `system`
    /// applies: nothing is sampled, and there is no token at which to stop.
    ///
    /// # Errors
    ///
    /// As [`choose`](Self::choose); one bad question fails the batch.
    pub fn choose_batch<S: AsRef<str>>(
        &self,
        questions: &[(Question<'_>, &[S])],
        options: &AskOptions,
    ) -> Result<Vec<Choice>> {
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        let conversations: Vec<Conversation> =
            questions.iter().map(|(question, _)| ask(*question, options)).collect::<Result<_>>()?;
        let images = questions.iter().map(|(question, _)| question.images);
        let Prompts { prompts, images } =
            self.encode(&conversations.iter().zip(images).collect::<Vec<_>>())?;
        let answers = Answers::encode(self, questions, &prompts)?;

        let features = stack(self.encode_images(&images)?.features);
        let samples: Vec<Sample> = prompts.into_iter().map(|prompt| prompt.sample).collect();
        // Padding before the prompts, so that the answers begin in the same column.
        let options = PrepareOptions { padding_side: PaddingSide::Left, ..PrepareOptions::default() };
        let prepared = self.model.prepare(&samples, features.as_ref(), options)?;
        let scores = self.log_probs(prepared, &answers)?;
        let mut scores = scores.into_iter();
        Ok(questions
            .iter()
            .map(|(_, answers)| Choice::new(scores.by_ref().take(answers.len()).collect()))
            .collect())
    }

    /// ln P of every answer.
    fn log_probs(&self, prompt: Prepared, answers: &Answers) -> Result<Vec<f32>> {
        let decoder = self.model.decoder();
        let device = prompt.input.inputs_embeds.device();
        let index = |values: Vec<i64>| int_tensor(&values, &device);
        let [batch, seq, _] = prompt.input.inputs_embeds.dims();
        // The token that ends an answer is predicted but never read.
        let [count, longest] = [answers.ids.len(), answers.longest() - 1];
        let mut kv_cache = KvCache::new(&self.config, seq + longest);
        let last = prompt.last_rows();
        let lengths = prompt.lengths;
        let prompt_mask = prompt.input.attention_mask.clone();
        let prompt_mask = prompt_mask.unwrap_or_else(|| Tensor::full([batch, seq], true, &device));
        let read = decoder.forward_rows(prompt.input, last, Some(&mut kv_cache));
        let prompts = index(answers.prompts.iter().map(|prompt| *prompt as i64).collect());
        let mut kv_cache = kv_cache.select(prompts.clone());
        let read = read.select(0, prompts.clone());

        // Padding is on the right, where the tokens before it do not see it.
        let grid = |value: &dyn Fn(usize, usize) -> i64| {
            let cells = (0..count).flat_map(|row| (0..longest).map(move |column| (row, column)));
            index(cells.map(|(row, column)| value(row, column)).collect()).reshape([count, longest])
        };
        let is_read = |row: usize, column: usize| column + 1 < answers.ids[row].len();
        let ids = grid(&|row, column| if is_read(row, column) { answers.ids[row][column].into() } else { 0 });
        let answer_mask = grid(&|row, column| is_read(row, column).into());
        // Through integers: on the CPU, `select` changes how booleans are stored, and `cat` cannot join the two kinds.
        let prompt_mask = prompt_mask.int().select(0, prompts);
        let attention_mask = Tensor::cat(vec![prompt_mask, answer_mask], 1).bool();
        let position_ids = grid(&|row, column| (lengths[answers.prompts[row]] + column) as i64);
        let [_, hidden] = read.dims();
        let inputs_embeds = decoder.embed(ids.reshape([-1])).reshape([count, longest, hidden]);
        let answers_read = DecoderInput {
            inputs_embeds,
            attention_mask: Some(attention_mask),
            position_ids: Some(position_ids),
        };
        let said = decoder.forward(answers_read, Some(&mut kv_cache));

        // `[count · (longest + 1), hidden]`: what predicts the first token, and what predicts each after it.
        let hidden_states = Tensor::cat(vec![read.unsqueeze_dim(1), said], 1).reshape([-1, hidden as i64]);
        let rows = (0..count)
            .flat_map(|row| (0..answers.ids[row].len()).map(move |column| row * (longest + 1) + column));
        let rows = index(rows.map(|row| row as i64).collect());
        let targets = index(answers.ids.iter().flatten().map(|id| i64::from(*id)).collect()).unsqueeze_dim(1);
        let dtype = hidden_states.dtype();
        let logits: Tensor<2> = decoder.logits(hidden_states.select(0, rows));
        let log_probs = log_softmax(logits, 1).gather(1, targets).try_into_vec_as::<f32>()?;
        if log_probs.iter().any(|log_prob| !log_prob.is_finite()) {
            return Err(Error::NotFinite { dtype: format!("{dtype:?}").to_lowercase() });
        }
        let mut log_probs = log_probs.into_iter();
        Ok(answers.ids.iter().map(|ids| log_probs.by_ref().take(ids.len()).sum()).collect())
    }
}

/// The answers to all questions of a batch, one after the other.
struct Answers {
    /// The index of the prompt that each belongs to.
    prompts: Vec<usize>,
    /// The ids of each, including the one that ends it.
    ids: Vec<Vec<u32>>,
}

impl Answers {
    fn encode<S: AsRef<str>>(
        parrot: &Parrot,
        questions: &[(Question<'_>, &[S])],
        prompts: &[Prompt],
    ) -> Result<Self> {
        let mut all = Self { prompts: Vec::new(), ids: Vec::new() };
        for (number, ((_, answers), prompt)) in questions.iter().zip(prompts).enumerate() {
            if answers.is_empty() {
                return Err(Error::option("answers", "at least one", 0));
            }
            for answer in *answers {
                let mut ids = parrot.template.encode_answer(&parrot.tokenizer, answer.as_ref())?;
                if ids.is_empty() {
                    return Err(Error::option("answers", "text in each", "an empty one"));
                }
                ids.extend(parrot.template.end_of_turn());
                if ids.len() > prompt.room {
                    let limit = parrot.config.max_position_embeddings;
                    let found = prompt.tokens + ids.len() - 1;
                    return Err(parrot_model::Error::TooLong { found, limit }.into());
                }
                all.prompts.push(number);
                all.ids.push(ids);
            }
        }
        Ok(all)
    }

    fn longest(&self) -> usize {
        self.ids.iter().map(Vec::len).max().unwrap_or(1)
    }
}
