//! `optimizer.safetensors`: the optimizer's state under the parameters' names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::{Bytes, DType};
use parrot_model::checkpoint::Weights;
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::broken;
use crate::distributed::World;
use crate::error::read_back;
use crate::optim::{Optimizer, OptimizerConfig, ParameterState};
use crate::{Error, Result};

/// The state of all processes' optimizers, each tensor's values still with the process that has them.
#[derive(Debug)]
pub(crate) struct ShardedState<'a> {
    world: &'a World,
    own: BTreeMap<String, Value<'a>>,
    /// The entries of all processes, in the order of the file; the same in every process.
    all: Vec<Entry>,
}

/// What the file holds under a name.
#[derive(Debug)]
enum Value<'a> {
    /// Flat and f32.
    Tensor(&'a Tensor<1>),
    /// A parameter's updates; exact up to 16 million.
    Updates(usize),
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    elements: usize,
    owner: usize,
}

impl<'a> ShardedState<'a> {
    /// Lists what there is; all processes call it.
    pub(crate) fn list(world: &'a World, optimizer: &'a Optimizer) -> Self {
        let mut own = BTreeMap::new();
        for (name, state) in optimizer.state() {
            let parts = state.parts.iter().map(|(part, tensor)| (*part, tensor));
            for (part, tensor) in parts.chain(state.master.iter().map(|master| (MASTER, master))) {
                own.insert(format!("{name}.{part}"), Value::Tensor(tensor));
            }
            own.insert(format!("{name}.t"), Value::Updates(state.steps));
        }
        let owner = world.rank();
        let entry = |(name, value): (&String, &Value<'_>)| {
            let elements = match value {
                Value::Tensor(tensor) => tensor.dims()[0],
                Value::Updates(_) => 1,
            };
            Entry { name: name.clone(), elements, owner }
        };
        let mut all = world.gather(own.iter().map(entry).collect());
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Self { world, own, all }
    }

    /// Visits every tensor in turn: `take` gets its bytes in the first process, to which the others send theirs.
    pub(crate) fn stream(&self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for Entry { name, elements, owner } in &self.all {
            let own = self.own.get(name).filter(|_| *owner == self.world.rank());
            match (own.map(Value::read).transpose()?, self.world.is_first()) {
                (Some(data), true) => take(data.as_bytes())?,
                (Some(data), false) => self.world.send(&data.iter::<f32>().collect::<Vec<_>>()),
                (None, true) => {
                    let mut values = vec![0.0_f32; *elements];
                    self.world.receive(&mut values, *owner);
                    take(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())?;
                }
                (None, false) => {}
            }
        }
        Ok(())
    }

    /// How safetensors files begin: the header's length, the header, and blanks up to a multiple of 8.
    fn header(&self) -> Vec<u8> {
        let mut tensors = serde_json::Map::new();
        let mut end = 0;
        for Entry { name, elements, .. } in &self.all {
            let begin = end;
            end += elements * size_of::<f32>();
            let tensor = json!({"dtype": "F32", "shape": [elements], "data_offsets": [begin, end]});
            tensors.insert(name.clone(), tensor);
        }
        let mut text = serde_json::Value::from(tensors).to_string().into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        [(text.len() as u64).to_le_bytes().as_slice(), &text].concat()
    }
}

impl Value<'_> {
    fn read(&self) -> Result<TensorData> {
        match self {
            Self::Tensor(tensor) => read_back((*tensor).clone()),
            Self::Updates(updates) => Ok(TensorData::new(vec![*updates as f32], [1])),
        }
    }
}

/// Writes `<parameter>.<part>`, for AdamW `.m` and `.v`, where there is one `.master`, all flat and f32, and `.t`,
/// the one number of the parameter's updates. Memory holds one tensor at a time.
pub(super) fn write(path: &Path, state: &ShardedState<'_>) -> Result<()> {
    let file = File::create(path).map_err(Error::io("create", path))?;
    let mut out = BufWriter::new(file);
    let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(Error::io("write", path));
    put(&state.header())?;
    state.stream(put)?;
    out.flush().map_err(Error::io("write", path))
}

/// Reads it back for `model` and the optimizer that wrote it.
///
/// - only: the parameters whose state is wanted; that of others is checked and left in the file
///
/// # Errors
///
/// [`Error::Checkpoint`](crate::Error::Checkpoint) or the model's own error.
pub(super) fn read(
    path: &Path,
    model: &impl Module,
    config: &OptimizerConfig,
    only: Option<&BTreeSet<String>>,
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
        let is_number =
            |bytes: &[u8]| bytes.try_into().is_ok_and(|bytes| f32::from_le_bytes(bytes).is_finite());
        if !stored.bytes.chunks(4).all(is_number) {
            return Err(broken(path, &format!("`{tensor}` holds what is no finite number")));
        }
        Ok(Some(stored.bytes))
    };
    let mut known = BTreeSet::new();
    let mut state = BTreeMap::new();
    for (name, (shape, device)) in &parameters.found {
        let elements = shape.iter().product();
        let expected = config.parts(shape);
        let mut parts = BTreeMap::new();
        for (part, elements) in expected.iter().copied().chain([(MASTER, elements)]) {
            if let Some(bytes) = stored(&format!("{name}.{part}"), elements)? {
                known.insert(format!("{name}.{part}"));
                parts.insert(part, (bytes, elements));
            }
        }
        let master = parts.remove(MASTER);
        let updates = format!("{name}.t");
        let steps =
            stored(&updates, 1)?.and_then(|bytes| Some(f32::from_le_bytes(bytes.try_into().ok()?) as usize));
        let tensor = |(bytes, elements): (&[u8], usize)| {
            let data = TensorData::from_bytes(Bytes::from_bytes_vec(bytes.to_vec()), [elements], DType::F32);
            Tensor::from_data(data, (device, DType::F32))
        };
        match steps {
            Some(steps) if parts.len() == expected.len() => {
                known.insert(updates);
                if only.is_none_or(|only| only.contains(name)) {
                    let parts = parts.into_iter().map(|(part, stored)| (part, tensor(stored))).collect();
                    state.insert(name.clone(), ParameterState { steps, parts, master: master.map(tensor) });
                }
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
