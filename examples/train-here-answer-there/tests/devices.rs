//! What was trained on one device says the same on every other that this build and machine have.

use std::path::Path;

use burn::tensor::{Device, FloatDType};
use parrot_infer::{AskOptions, Image, Parrot, Question, device};
use parrot_model::checkpoint::Checkpoint;
use parrot_model::device::Precision;
use train_here_answer_there::{answer, train};

const GOLDEN: &str = "../../assets/golden";

/// The devices that work, the CPU first.
fn devices() -> Vec<(String, Device)> {
    let working = device::list().into_iter().filter(|info| info.problem.is_none());
    working.rev().map(|info| (info.name.clone(), device::open(&info.name).unwrap())).collect()
}

/// What `answer` says, in f32 on every device and a few words long: in half precision, rounding chooses other words of
/// random weights.
fn said(model: &Path, image: &Path, device: &Device) -> Vec<u32> {
    let parrot = Parrot::loader().dtype(FloatDType::F32).load(model, device).unwrap();
    let images = [Image::open(image).unwrap()];
    let options = AskOptions { max_new_tokens: 12, ..AskOptions::default() };
    let answers = parrot.ask_batch(&[Question::new(&images, "Who?")], &options).unwrap();
    answers.into_iter().flat_map(|answer| answer.token_ids).collect()
}

/// A network's weights, in the order of its fields.
fn weights(model: &Path, device: &Device) -> Vec<f32> {
    let network = Checkpoint::open(model).unwrap().load(FloatDType::F32, device).unwrap();
    let mut values = Vec::new();
    struct Values<'a>(&'a mut Vec<f32>);
    impl burn::module::ModuleVisitor for Values<'_> {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<burn::tensor::Tensor<D>>) {
            self.0.extend(param.val().into_data().try_to_vec::<f32>().unwrap());
        }
    }
    burn::module::Module::visit(&network, &mut Values(&mut values));
    values
}

#[test]
fn every_device_passes_its_self_test_and_is_opened() {
    for info in device::list() {
        assert_eq!(info.problem, None, "{}", info.name);
        assert_eq!(device::choose(&info.name).unwrap().name, info.name);
    }
}

#[test]
fn every_device_trains_to_the_same_model_and_every_device_answers_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let model = Path::new(GOLDEN).join("t1");
    let lesson = folder.path().join("lesson.json");
    std::fs::write(
        &lesson,
        r#"[{"id": "1", "image": "parrot.png", "conversations": [
                {"from": "human", "value": "<image>\nWho?"}, {"from": "gpt", "value": "Coco."}]},
            {"id": "2", "image": "parrot.png", "conversations": [
                {"from": "human", "value": "<image>\n谁？"}, {"from": "gpt", "value": "可可。"}]}]"#,
    )
    .unwrap();
    let image = Path::new(GOLDEN).join("images/square.png");
    std::fs::copy(&image, folder.path().join("parrot.png")).unwrap();
    let untaught = weights(&model, &device::open("cpu").unwrap());

    let mut first: Option<(Vec<f32>, Vec<u32>)> = None;
    for (here, train_device) in devices() {
        let out = folder.path().join(here.replace(':', "-"));
        let taught = train(&model, &lesson, folder.path(), &train_device, 3, &out).unwrap();
        assert!(answer(&taught, &image, "Who?", &device::open("cpu").unwrap()).is_ok());
        for (there, answer_device) in devices() {
            let said = said(&taught, &image, &answer_device);
            let trained = weights(&taught, &answer_device);
            let (expected, expected_said) = first.get_or_insert_with(|| (trained.clone(), said.clone()));
            assert_ne!(trained, untaught);
            // Where products are rounded, the words of random weights are others.
            let precisions =
                [&train_device, &answer_device].map(|device| Precision::for_weights(device, FloatDType::F32));
            if precisions == [Precision::F32; 2] {
                assert_eq!(&said, expected_said, "trained on {here}, asked on {there}");
            }
            // AdamW moves a weight by up to the learning rate per step, however small its gradient: rounding
            // alone may turn a few of them the other way.
            let off = trained.iter().zip(expected.iter()).map(|(a, b)| (a - b).abs());
            assert!(
                off.clone().fold(0.0, f32::max) <= 2.0 * 3.0 * 1e-3,
                "trained on {here}, read on {there}"
            );
            let mean = off.sum::<f32>() / trained.len() as f32;
            let limit = if precisions[0] == Precision::F32 { 1e-5 } else { 1e-3 };
            assert!(mean <= limit, "trained on {here}, read on {there}: weights are {mean} off on average");
        }
    }
}
