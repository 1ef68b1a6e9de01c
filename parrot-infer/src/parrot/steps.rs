//! An answer whose steps the caller asks for one at a time.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use parrot_model::text::Conversation;

use super::Parrot;
use super::run::Run;
use crate::Result;
use crate::answer::Answer;
use crate::generate::AskOptions;
use crate::image::Image;

/// An answer that is computed only as its text is asked for, without blocking: for a browser, where nothing may wait, and for
/// programs that do something else between two pieces. Made by [`Parrot::start`]. Dropping it drops the answer.
///
/// It is the loop of [`Parrot::answer`], and gives what that gives.
///
/// ```
/// # use parrot_infer::{AskOptions, Image, Parrot, device, tiny};
/// # use parrot_model::text::Conversation;
/// # let folder = tempfile::tempdir()?;
/// # tiny::write(folder.path(), 0)?;
/// # let parrot = Parrot::load(folder.path(), &device::open("auto")?)?;
/// # let answering = async {
/// let images = [Image::from_rgb(image::RgbImage::new(48, 32))];
/// let options = AskOptions { max_new_tokens: 8, ..AskOptions::default() };
/// let mut answer = parrot.start(&Conversation::question("What is this?", 1), &images, &options).await?;
/// while let Some(text) = answer.next().await? {
///     print!("{text}");
/// }
/// let answer = answer.finish().await?;
/// # Ok::<_, parrot_infer::Error>(answer)
/// # };
/// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// # assert!(std::pin::pin!(answering).poll(&mut context).is_ready(), "the processor is ready at once");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is computed until its text is asked for"]
pub struct AnswerSteps<'p> {
    run: Run<'p>,
    routing_weights: Vec<Vec<f32>>,
    /// Text that has not been taken.
    pieces: VecDeque<String>,
    is_cancelled: bool,
}

impl Parrot {
    /// Begins an answer: encodes what is new of the images, and routes them by the conversation.
    ///
    /// - conversation, images, options: as for [`answer`](Self::answer)
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer).
    pub async fn start(
        &self,
        conversation: &Conversation,
        images: &[Image],
        options: &AskOptions,
    ) -> Result<AnswerSteps<'_>> {
        let mut run = Run::begin(self, &[(conversation, images)], options, None).await?;
        let routing_weights = run.routing_weights(0).await?.to_vec();
        Ok(AnswerSteps { run, routing_weights, pieces: VecDeque::new(), is_cancelled: false })
    }
}

impl AnswerSteps<'_> {
    /// As [`Answer::routing_weights`]: known before the first word.
    #[must_use]
    pub fn routing_weights(&self) -> &[Vec<f32>] {
        &self.routing_weights
    }

    /// Computes tokens until they make text; `None` once the answer is complete.
    ///
    /// # Errors
    ///
    /// As [`Parrot::answer`].
    pub async fn next(&mut self) -> Result<Option<String>> {
        let Self { run, pieces, is_cancelled, .. } = self;
        while pieces.is_empty() {
            let mut on_text = |_: usize, text: &str| {
                pieces.push_back(text.into());
                if *is_cancelled { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            if !run.step(&mut on_text).await? {
                break;
            }
        }
        Ok(pieces.pop_front())
    }

    /// Ends the answer with its next piece of text.
    pub fn cancel(&mut self) {
        self.is_cancelled = true;
    }

    /// The answer, completed first if it is not.
    ///
    /// # Errors
    ///
    /// As [`Parrot::answer`].
    pub async fn finish(mut self) -> Result<Answer> {
        while self.next().await?.is_some() {}
        Ok(self.run.finish(None).await?.swap_remove(0))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::tests::{image, parrot};
    use super::*;
    use crate::device::wait;
    use crate::generate::FinishReason;
    use crate::{Files, device, tiny};

    fn options() -> AskOptions {
        AskOptions { max_new_tokens: 24, ..AskOptions::default() }
    }

    #[test]
    fn steps_make_the_same_answer() {
        let parrot = parrot(1);
        let (conversation, images) = (Conversation::question("What is this?", 1), [image(1)]);
        let expected = parrot.answer(&conversation, &images, &options(), |_| ControlFlow::Continue(()));
        let expected = expected.unwrap();
        let (text, answer) = wait(async {
            let mut steps = parrot.start(&conversation, &images, &options()).await.unwrap();
            assert_eq!(steps.routing_weights(), expected.routing_weights);
            let mut text = String::new();
            while let Some(piece) = steps.next().await.unwrap() {
                text += &piece;
            }
            (text, steps.finish().await.unwrap())
        });
        assert_eq!((&answer.token_ids, &answer.text), (&expected.token_ids, &expected.text));
        assert_eq!(text, expected.text);
        assert_eq!(answer.routing_weights, expected.routing_weights);
    }

    #[test]
    fn a_cancelled_answer_ends_at_its_next_piece() {
        let parrot = parrot(1);
        let answer = wait(async {
            let conversation = Conversation::question("Hm?", 0);
            let mut steps = parrot.start(&conversation, &[], &options()).await.unwrap();
            steps.next().await.unwrap().unwrap();
            steps.cancel();
            steps.finish().await.unwrap()
        });
        assert_eq!(answer.finish_reason, FinishReason::Cancelled);
    }

    /// Every file below `folder`, with its path there.
    fn files_in(folder: &Path, within: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(folder.join(within)).unwrap();
        let paths = entries.map(|entry| within.join(entry.unwrap().file_name()));
        let files = |path: std::path::PathBuf| match folder.join(&path) {
            file if file.is_dir() => files_in(folder, &path),
            file => vec![(path, std::fs::read(file).unwrap())],
        };
        paths.flat_map(files).collect()
    }

    #[test]
    fn a_model_in_memory_answers_as_from_disk() {
        let folder = tempfile::tempdir().unwrap();
        tiny::write(folder.path(), 2).unwrap();
        let device = device::open("cpu").unwrap();
        let from_disk = Parrot::load(folder.path(), &device).unwrap();
        let files = files_in(folder.path(), Path::new(""));
        let from_memory = Parrot::load(Files::in_memory("dropped", files.clone()), &device).unwrap();
        drop(folder);
        let answers = [from_disk, from_memory].map(|parrot| parrot.ask(&image(3), "这是什么?").unwrap());
        assert_eq!(answers[0].token_ids, answers[1].token_ids);
        assert_eq!(answers[0].routing_weights, answers[1].routing_weights);

        // Without one of its files it says which.
        for missing in ["config.json", "model.safetensors", "tokenizer.json"] {
            let rest = files.iter().filter(|(name, _)| name != Path::new(missing)).cloned();
            let error = Parrot::load(Files::in_memory("dropped", rest), &device).unwrap_err();
            let error = parrot_model::error_chain(&error);
            assert!(error.contains("dropped") && error.contains(missing), "{error}");
        }
    }
}
