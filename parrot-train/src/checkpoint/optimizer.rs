//! `optimizer.safetensors`: AdamW's state under the parameters' names.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::{Bytes, DType};
use parrot_model::checkpoint::Weights;
use safetensors::tensor::{Dtype, TensorView};

use super::broken;
use crate::Result;
use crate::optim::AdamW;
use crate::optim::adamw::Moments;

/// Writes `<parameter>.m`, `.v` and, where there is one, `.master`, all flat and f32, and `.t`, the one number of
/// the parameter's updates.
pub(super) fn write(path: &Path, optimizer: &AdamW) -> Result<()> {
    let mut tensors: BTreeMap<String, TensorData> = BTreeMap::new();
    for (name, moments) in optimizer.state() {
        let parts =
            [("m", Some(&moments.first)), ("v", Some(&moments.second)), ("master", moments.master.as_ref())];
        for (part, tensor) in parts {
            let Some(tensor) = tensor else { continue };
            let data = tensor.clone().try_into_data().map_err(|error| broken(path, &error))?;
            tensors.insert(format!("{name}.{part}"), data);
        }
        // Exact up to 16 million.
        tensors.insert(format!("{name}.t"), TensorData::new(vec![moments.steps as f32], [1]));
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

/// Reads it back for `model`, every part as long as its parameter.
///
/// # Errors
///
/// [`Error::Checkpoint`](crate::Error::Checkpoint) or the model's own error.
pub(super) fn read(path: &Path, model: &impl Module) -> Result<BTreeMap<String, Moments>> {
    let weights = Weights::from_file(path)?;
    let mut parameters = Parameters::default();
    model.visit(&mut parameters);
    let mut state = BTreeMap::new();
    for tensor in weights.names() {
        let (name, part) = tensor.rsplit_once('.').unwrap_or((tensor, ""));
        if !matches!(part, "m" | "v" | "master" | "t") || !parameters.found.contains_key(name) {
            return Err(broken(path, &format!("`{tensor}` belongs to no parameter of the model")));
        }
    }
    for (name, (elements, device)) in &parameters.found {
        let stored = |part: &str, elements: usize| -> Result<Option<&[u8]>> {
            let tensor = format!("{name}.{part}");
            let Some(stored) = weights.get(&tensor) else { return Ok(None) };
            if stored.dtype != Dtype::F32 || stored.shape != [elements] {
                let found = format!("found {:?} {:?}", stored.dtype, stored.shape);
                return Err(broken(path, &format!("`{tensor}` should be F32 [{elements}], {found}")));
            }
            Ok(Some(stored.bytes))
        };
        let read = |part: &str| -> Result<Option<Tensor<1>>> {
            let Some(bytes) = stored(part, *elements)? else { return Ok(None) };
            let data = TensorData::from_bytes(Bytes::from_bytes_vec(bytes.to_vec()), [*elements], DType::F32);
            Ok(Some(Tensor::from_data(data, (device, DType::F32))))
        };
        let steps =
            stored("t", 1)?.and_then(|bytes| Some(f32::from_le_bytes(bytes.try_into().ok()?) as usize));
        match (steps, read("m")?, read("v")?, read("master")?) {
            (Some(steps), Some(first), Some(second), master) => {
                state.insert(name.clone(), Moments { steps, first, second, master });
            }
            (None, None, None, None) => {}
            _ => return Err(broken(path, &format!("`{name}.m`, `{name}.v` or `{name}.t` is missing"))),
        }
    }
    Ok(state)
}

/// Every parameter's path, as [`AdamW`] names it, with its number of elements and its device.
#[derive(Default)]
struct Parameters {
    path: Vec<String>,
    found: BTreeMap<String, (usize, Device)>,
}

impl ModuleVisitor for Parameters {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let elements = param.lazy_shape().num_elements();
        self.found.insert(self.path.join("."), (elements, param.lazy_device().inner()));
    }
}
