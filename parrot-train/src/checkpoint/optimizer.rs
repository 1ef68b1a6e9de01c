//! `optimizer.safetensors`: the optimizer's state under the parameters' names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::{Bytes, DType};
use parrot_model::checkpoint::Weights;
use safetensors::tensor::{Dtype, TensorView};

use super::broken;
use crate::Result;
use crate::optim::{Optimizer, OptimizerConfig, ParameterState};

/// Writes `<parameter>.<part>`, for AdamW `.m` and `.v`, where there is one `.master`, all flat and f32, and `.t`,
/// the one number of the parameter's updates.
pub(super) fn write(path: &Path, optimizer: &Optimizer) -> Result<()> {
    let mut tensors: BTreeMap<String, TensorData> = BTreeMap::new();
    for (name, state) in optimizer.state() {
        let parts = state.parts.iter().map(|(part, tensor)| (*part, tensor));
        for (part, tensor) in parts.chain(state.master.iter().map(|master| (MASTER, master))) {
            let data = tensor.clone().try_into_data().map_err(|error| broken(path, &error))?;
            tensors.insert(format!("{name}.{part}"), data);
        }
        // Exact up to 16 million.
        tensors.insert(format!("{name}.t"), TensorData::new(vec![state.steps as f32], [1]));
    }
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, data)| {
            let bytes = data.as_bytes();
            TensorView::new(Dtype::F32, vec![bytes.len() / size_of::<f32>()], bytes).map(|view| (name, view))
        })
        .collect();
    let views = views.map_err(|error| broken(path, &error))?;
    safetensors::serialize_to_file(views, None, path).map_err(|error| broken(path, &error))
}

/// Reads it back for `model` and the optimizer that wrote it.
///
/// # Errors
///
/// [`Error::Checkpoint`](crate::Error::Checkpoint) or the model's own error.
pub(super) fn read(
    path: &Path,
    model: &impl Module,
    config: &OptimizerConfig,
) -> Result<BTreeMap<String, ParameterState>> {
    let weights = Weights::from_file(path)?;
    let mut parameters = Parameters::default();
    model.visit(&mut parameters);
    let stored = |tensor: &str, elements: usize| -> Result<Option<&[u8]>> {
        let Some(stored) = weights.get(tensor) else { return Ok(None) };
        if stored.dtype != Dtype::F32 || stored.shape != [elements] {
            let found = format!("found {:?} {:?}", stored.dtype, stored.shape);
            return Err(broken(path, &format!("`{tensor}` should be F32 [{elements}], {found}")));
        }
        Ok(Some(stored.bytes))
    };
    let mut known = BTreeSet::new();
    let mut state = BTreeMap::new();
    for (name, (shape, device)) in &parameters.found {
        let elements = shape.iter().product();
        let mut read = |part: &str, elements: usize| -> Result<Option<Tensor<1>>> {
            let tensor = format!("{name}.{part}");
            let Some(bytes) = stored(&tensor, elements)? else { return Ok(None) };
            let data = TensorData::from_bytes(Bytes::from_bytes_vec(bytes.to_vec()), [elements], DType::F32);
            known.insert(tensor);
            Ok(Some(Tensor::from_data(data, (device, DType::F32))))
        };
        let mut parts = BTreeMap::new();
        let expected = config.parts(shape);
        for (part, elements) in &expected {
            parts.extend(read(part, *elements)?.map(|tensor| (*part, tensor)));
        }
        let master = read(MASTER, elements)?;
        let updates = format!("{name}.t");
        let steps =
            stored(&updates, 1)?.and_then(|bytes| Some(f32::from_le_bytes(bytes.try_into().ok()?) as usize));
        match steps {
            Some(steps) if parts.len() == expected.len() => {
                known.insert(updates);
                state.insert(name.clone(), ParameterState { steps, parts, master });
            }
            None if parts.is_empty() && master.is_none() => {}
            _ => {
                let names: Vec<_> = expected.iter().map(|(part, _)| format!("`{name}.{part}`")).collect();
                return Err(broken(path, &format!("{} or `{updates}` is missing", names.join(", "))));
            }
        }
    }
    match weights.names().find(|tensor| !known.contains(*tensor)) {
        Some(tensor) => Err(broken(path, &format!("`{tensor}` belongs to no parameter of the model"))),
        None => Ok(state),
    }
}

/// The part that every optimizer may have.
const MASTER: &str = "master";

/// Every parameter's path, as [`Optimizer`] names it, with its stored shape and its device.
#[derive(Default)]
struct Parameters {
    path: Vec<String>,
    found: BTreeMap<String, (Vec<usize>, Device)>,
}

impl ModuleVisitor for Parameters {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // As stored: the state of a matrix has rows and columns.
        let shape = param.transform_for_save().lazy_shape().to_vec();
        self.found.insert(self.path.join("."), (shape, param.lazy_device().inner()));
    }
}
