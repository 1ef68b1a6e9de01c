//! Prepares a model's parts for training: weights in their stored layout, parts that do not learn frozen.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::{DType, FloatDType};
use parrot_model::parrot::ParrotModel;

use crate::Result;
use crate::error::read_back;
use crate::lora;
use crate::part::Part;

/// Gives every weight the layout that it has when loaded from a checkpoint: a product rounds differently on a
/// transposed matrix, and a run that was resumed must equal one that was not. What learns, as adapters do, goes on learning.
pub(super) struct StoredLayout;

impl ModuleMapper for StoredLayout {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // Blocks have no other layout.
        if !param.val().dtype().is_float() {
            return param;
        }
        let learns = param.val().is_require_grad();
        let (id, tensor, mapper) = param.consume();
        let stored = mapper.on_save(tensor.inner());
        let shape = stored.dims();
        // Flattening copies what is not contiguous.
        let tensor = mapper.on_load(stored.reshape([-1]).reshape(shape));
        Param::from_mapped_value(id, Tensor::from_inner(tensor).set_require_grad(learns), mapper)
    }
}

/// The dtype of a module's first parameter; checkpoints load all of them in one.
struct FirstDType(Option<DType>);

impl ModuleVisitor for FirstDType {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.get_or_insert_with(|| param.val().dtype());
    }
}

/// The dtype of a module's weights.
pub(crate) fn dtype_of<M: Module>(module: &M) -> DType {
    let mut first = FirstDType(None);
    module.visit(&mut first);
    first.0.unwrap_or(DType::F32)
}

/// The dtype of the first of a module's weights that are multiplied with, if they are numbers and have been made: on the CPU the
/// others may be held in more.
pub(crate) fn weight_dtype_of<M: Module>(module: &M) -> Option<FloatDType> {
    struct First(Option<DType>);

    impl ModuleVisitor for First {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if matches!(D, 2 | 3) && self.0.is_none() && param.is_initialized() {
                self.0 = Some(param.val().dtype());
            }
        }
    }

    let mut first = First(None);
    module.visit(&mut first);
    first.0.filter(DType::is_float).map(FloatDType::from)
}

/// What a model holds each of its weights in, by their paths; nothing of those that have not been made.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeldIn {
    path: Vec<String>,
    dtypes: BTreeMap<String, DType>,
}

impl HeldIn {
    pub(crate) fn of(model: &ParrotModel) -> Self {
        let mut held = Self::default();
        model.visit(&mut held);
        held
    }

    /// Another model's weights, held as these are.
    pub(crate) fn hold(&mut self, model: ParrotModel) -> ParrotModel {
        model.map(self)
    }
}

impl ModuleVisitor for HeldIn {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_initialized() {
            self.dtypes.insert(self.path.join("."), param.val().dtype());
        }
    }
}

impl ModuleMapper for HeldIn {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let wanted = self.dtypes.get(&self.path.join(".")).copied();
        match wanted.filter(|wanted| wanted.is_float() && *wanted != param.val().dtype()) {
            Some(wanted) => param.map(|tensor| Tensor::from_inner(tensor.inner().cast(wanted))),
            None => param,
        }
    }
}

/// Whether a module has weights in blocks of 8 or 4 bits. One whose weights have not been made yet has none.
pub(crate) fn in_blocks<M: Module>(module: &M) -> bool {
    struct Blocks(bool);

    impl ModuleVisitor for Blocks {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 |= param.is_initialized() && !param.val().dtype().is_float();
        }
    }

    let mut blocks = Blocks(false);
    module.visit(&mut blocks);
    blocks.0
}

/// Lets these parts learn, and adapters where there are some.
pub(crate) fn freeze_others(mut model: ParrotModel, trainable: &BTreeSet<Part>) -> ParrotModel {
    let learns = |part| trainable.contains(&part);
    model.vision_tower = set_trainable(model.vision_tower, learns(Part::VisionTower));
    model.mm_projector = set_trainable(model.mm_projector, learns(Part::Projector));
    model.moe_model = model.moe_model.map(|moe| set_trainable(moe, learns(Part::Moe)));
    // Adapters come with a decoder that is frozen already.
    if !lora::is_adapted(&model.language_model) {
        model.language_model = set_trainable(model.language_model, learns(Part::LanguageModel));
    }
    model
}

fn set_trainable<M: Module>(module: M, trainable: bool) -> M {
    if trainable { module.unfreeze() } else { module.freeze() }
}

/// The first weight that learns and holds what is no finite number, by its path; `None` where all are sound.
///
/// # Errors
///
/// [`Error::Device`](crate::Error::Device) when the device fails.
pub(crate) fn not_finite<M: Module>(module: &M) -> Result<Option<String>> {
    let mut sums = Zeros::default();
    module.visit(&mut sums);
    if sums.found.is_empty() {
        return Ok(None);
    }
    let (names, zeros): (Vec<String>, Vec<Tensor<1>>) = sums.found.into_iter().unzip();
    let zeros = read_back(Tensor::cat(zeros, 0))?;
    let broken = zeros.iter::<f32>().position(|zero| !zero.is_finite());
    Ok(broken.map(|at| names[at].clone()))
}

/// For each weight that learns, the sum of its values times 0, which is a number only if all of them are.
#[derive(Default)]
struct Zeros {
    path: Vec<String>,
    found: Vec<(String, Tensor<1>)>,
}

impl ModuleVisitor for Zeros {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            let zero = param.val().inner().mul_scalar(0.0).sum().cast(DType::F32);
            self.found.push((self.path.join("."), zero));
        }
    }
}
