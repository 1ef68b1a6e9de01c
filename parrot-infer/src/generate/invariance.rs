//! How often the ids of answers depend on which others are computed with them, for every width that weights may be held in
//! on the CPU.

use std::path::Path;

use burn::tensor::FloatDType;
use parrot_model::device::WeightDtype;
use parrot_model::quantization::BlockFormat;

use crate::{AskOptions, Parrot, Question, device};

/// So many that half of them are more than the rows from which on bf16 is multiplied in pairs.
const QUESTIONS: usize = 26;

/// The share of ids that differ between answers given together and each alone; what comes behind a difference counts, too.
fn differing(dtype: WeightDtype) -> f64 {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/parrot-mini");
    let device = device::open("cpu").unwrap();
    let parrot = Parrot::loader().dtype(dtype).load(&model, &device).unwrap();
    let texts: Vec<String> = (0..QUESTIONS).map(|number| format!("What is number {number}?")).collect();
    let options = AskOptions { max_new_tokens: 4, ..AskOptions::default() };
    let questions: Vec<_> = texts.iter().map(|text| Question::new(&[], text)).collect();
    let together = parrot.ask_batch(&questions, &options).unwrap();
    let (mut ids, mut differ) = (0, 0);
    for (question, together) in questions.iter().zip(together) {
        let alone = parrot.ask_batch(std::slice::from_ref(question), &options).unwrap().swap_remove(0);
        ids += alone.token_ids.len();
        let same = alone.token_ids.iter().zip(&together.token_ids).take_while(|(a, b)| a == b).count();
        differ += alone.token_ids.len() - same;
    }
    f64::from(differ as u32) / f64::from(ids as u32)
}

#[test]
fn ids_do_not_depend_on_who_else_is_answered_or_seldom() {
    let promised = [FloatDType::F32.into(), FloatDType::F16.into()];
    for dtype in promised {
        assert_eq!(differing(dtype), 0.0, "{dtype:?}");
    }
    let others = [FloatDType::BF16.into(), BlockFormat::Q8.into(), BlockFormat::Q4.into()];
    for dtype in others {
        let share = differing(dtype);
        println!("{dtype:?}: {:.2} % of ids differ", 100.0 * share);
        assert!(share <= 0.05, "{dtype:?}: {share}");
    }
}
