//! Which process keeps the optimizer's state of which parameter, and how its updates reach the others.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::{DType, FloatDType};

use super::World;

/// The owner of every parameter that learns, by its path in the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners(BTreeMap<String, usize>);

impl Owners {
    /// Deals a module's parameters to `processes`, the largest first, each to the one that has least. Every
    /// process comes to the same result on its own.
    #[must_use]
    pub fn new<M: Module>(module: &M, processes: usize) -> Self {
        let mut learning = Learning::default();
        module.visit(&mut learning);
        let mut parameters = learning.found;
        parameters.sort_by(|(a, count_a), (b, count_b)| count_b.cmp(count_a).then_with(|| a.cmp(b)));
        let mut loads = vec![0; processes.max(1)];
        let mut owners = BTreeMap::new();
        for (name, elements) in parameters {
            let least = (0..loads.len()).min_by_key(|process| loads[*process]).unwrap_or(0);
            loads[least] += elements;
            owners.insert(name, least);
        }
        Self(owners)
    }

    /// Whether nothing learns, or nobody has been asked yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The parameters of one process.
    #[must_use]
    pub fn owned_by(&self, process: usize) -> BTreeSet<String> {
        self.0.iter().filter(|(_, owner)| **owner == process).map(|(name, _)| name.clone()).collect()
    }
}

/// Parameters that learn, with their elements.
#[derive(Default)]
struct Learning {
    path: Vec<String>,
    found: Vec<(String, usize)>,
}

impl ModuleVisitor for Learning {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().is_require_grad() {
            self.found.push((self.path.join("."), param.lazy_shape().num_elements()));
        }
    }
}

/// Hands every parameter that learns from its owner to all.
pub(crate) fn exchange<M: Module>(world: &World, owners: &Owners, module: M) -> M {
    if world.size() == 1 {
        return module;
    }
    module.map(&mut Exchange { path: Vec::new(), world, owners })
}

struct Exchange<'a> {
    path: Vec<String>,
    world: &'a World,
    owners: &'a Owners,
}

impl ModuleMapper for Exchange<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(owner) = self.owners.0.get(&self.path.join(".")) else { return param };
        let (id, tensor, mapper) = param.consume();
        // In the stored layout, which a step leaves as it is.
        let tensor = mapper.on_save(tensor.inner());
        let (shape, device, dtype) = (tensor.dims(), tensor.device(), tensor.dtype());
        let mut values: Vec<f32> = if *owner == self.world.rank() {
            tensor.cast(FloatDType::F32).into_data().iter::<f32>().collect()
        } else {
            vec![0.0; shape.iter().product()]
        };
        self.world.broadcast(&mut values, *owner);
        // Exact for f16 and bf16 as well: f32 holds all of their values.
        let tensor =
            Tensor::<D>::from_data(TensorData::new(values, shape), (&device, DType::F32)).cast(dtype);
        let tensor = Tensor::from_inner(mapper.on_load(tensor)).require_grad();
        Param::from_mapped_value(id, tensor, mapper)
    }
}
