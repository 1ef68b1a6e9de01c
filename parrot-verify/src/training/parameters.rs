//! What belongs to each parameter, by its name in a checkpoint and in the checkpoint's layout.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{FloatDType, Tensor};
use parrot_model::checkpoint::names::{ModulePath, parrot, tensors};
use parrot_model::config::ParrotConfig;
use parrot_model::parrot::ParrotModel;

use crate::Result;
use crate::golden::Array;

/// The values of all parameters.
pub(super) fn values(model: &ParrotModel, config: &ParrotConfig) -> Result<BTreeMap<String, Array>> {
    collect(model, config, None)
}

/// The gradients of all parameters that have one.
pub(super) fn gradients(
    model: &ParrotModel,
    config: &ParrotConfig,
    gradients: &GradientsParams,
) -> Result<BTreeMap<String, Array>> {
    collect(model, config, Some(gradients))
}

fn collect(
    model: &ParrotModel,
    config: &ParrotConfig,
    gradients: Option<&GradientsParams>,
) -> Result<BTreeMap<String, Array>> {
    let name_of = parrot(config)?;
    let mut collector =
        Collector { name_of: &name_of, gradients, path: ModulePath::default(), found: BTreeMap::new() };
    model.visit(&mut collector);
    Ok(collector.found)
}

struct Collector<'a> {
    name_of: &'a dyn Fn(&[String]) -> String,
    /// `None`: the parameters themselves.
    gradients: Option<&'a GradientsParams>,
    path: ModulePath,
    found: BTreeMap<String, Array>,
}

impl ModuleVisitor for Collector<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = match self.gradients {
            None => Some(param.val().inner()),
            Some(gradients) => gradients.get::<D>(param.id),
        };
        let Some(tensor) = tensor else { return };
        // A linear layer's weight is held transposed; the parameter's own mapper brings it back.
        let tensor = param.clone().map(|_| Tensor::from_inner(tensor)).transform_for_save().val();
        let data = tensor.inner().cast(FloatDType::F32).into_data();
        let array = Array { shape: data.shape().to_vec(), values: data.iter::<f64>().collect() };
        let mut rest = array.values.as_slice();
        for (name, shape) in tensors(&(self.name_of)(self.path.segments()), &array.shape) {
            let (values, others) = rest.split_at(shape.iter().product());
            rest = others;
            self.found.insert(name, Array { shape: shape.to_vec(), values: values.to_vec() });
        }
    }
}

/// The Euclidean norm.
pub(super) fn norm(array: &Array) -> f64 {
    array.values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The rows of a matrix that a golden tensor keeps, as the brackets of its name say: `lm_head.weight[:64]`
/// (the first), `…[-64:]` (the last), `…[rows]` (those listed in `listed`), no brackets (all). Gives the
/// parameter's name and the rows.
pub(super) fn rows<'n>(
    name: &'n str,
    parameters: &BTreeMap<String, Array>,
    listed: Option<&[i64]>,
) -> Option<(&'n str, Array)> {
    let (name, selection) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((name, selection)) => (name, Some(selection)),
        None => (name, None),
    };
    let array = parameters.get(name)?;
    let Some(selection) = selection else { return Some((name, array.clone())) };
    let count = array.shape.first().copied()?;
    let width = array.values.len() / count.max(1);
    let rows: Vec<usize> = match (selection, selection.strip_prefix(':'), selection.strip_suffix(':')) {
        ("rows", ..) => listed?.iter().map(|row| usize::try_from(*row).ok()).collect::<Option<_>>()?,
        (_, Some(first), _) => (0..first.parse::<usize>().ok()?.min(count)).collect(),
        (_, _, Some(last)) => {
            let last = last.strip_prefix('-')?.parse::<usize>().ok()?.min(count);
            (count - last..count).collect()
        }
        _ => return None,
    };
    if rows.iter().any(|row| *row >= count) {
        return None;
    }
    let values =
        rows.iter().flat_map(|row| array.values[row * width..(row + 1) * width].iter().copied()).collect();
    let shape = [&[rows.len()], &array.shape[1..]].concat();
    Some((name, Array { shape, values }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_select_rows() {
        let table = Array { shape: vec![4, 2], values: (0..8).map(f64::from).collect() };
        let parameters = BTreeMap::from([("w".to_string(), table)]);
        let values = |name: &str| rows(name, &parameters, Some(&[3, 0])).map(|(_, array)| array.values);
        assert_eq!(values("w[:1]"), Some(vec![0.0, 1.0]));
        assert_eq!(values("w[-1:]"), Some(vec![6.0, 7.0]));
        assert_eq!(values("w[rows]"), Some(vec![6.0, 7.0, 0.0, 1.0]));
        assert_eq!(values("w").map(|values| values.len()), Some(8));
        assert_eq!(values("w[2]"), None);
        assert_eq!(values("v"), None);
    }
}
