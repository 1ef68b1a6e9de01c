//! Gradients of all processes → their sum, the same everywhere.
//!
//! Gradients of successive parameters travel together: many small messages would wait for each other, and a single
//! large one would need the memory of a whole model again.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::{DType, FloatDType};

use super::World;

/// Elements of a bucket: 25 MB, as in PyTorch's data parallel.
const BUCKET: usize = 25_000_000 / size_of::<f32>();

/// Sums gradients over all processes. A parameter that has a gradient in any of them has one in all.
pub(crate) fn sum<M: Module>(world: &World, module: &M, gradients: GradientsParams) -> GradientsParams {
    if world.size() == 1 {
        return gradients;
    }
    let mut present = Present { gradients: &gradients, found: Vec::new() };
    module.visit(&mut present);
    let mut present = present.found;
    world.sum(&mut present);
    let mut reduce =
        Reduce { world, gradients, present: present.into_iter(), bucket: Vec::new(), members: Vec::new() };
    module.visit(&mut reduce);
    reduce.flush();
    reduce.gradients
}

/// For every parameter, 1 where there is a gradient.
struct Present<'a> {
    gradients: &'a GradientsParams,
    found: Vec<f32>,
}

impl ModuleVisitor for Present<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push(f32::from(u8::from(self.gradients.get::<D>(param.id).is_some())));
    }
}

/// Puts a summed gradient back: its values, in the shape that it had.
type Member = Box<dyn FnOnce(&mut GradientsParams, Vec<f32>)>;

struct Reduce<'a> {
    world: &'a World,
    gradients: GradientsParams,
    present: std::vec::IntoIter<f32>,
    bucket: Vec<f32>,
    members: Vec<(usize, Member)>,
}

impl Reduce<'_> {
    fn flush(&mut self) {
        self.world.sum(&mut self.bucket);
        let mut rest = self.bucket.as_slice();
        for (elements, put_back) in self.members.drain(..) {
            let (values, tail) = rest.split_at(elements);
            put_back(&mut self.gradients, values.to_vec());
            rest = tail;
        }
        self.bucket.clear();
    }
}

impl ModuleVisitor for Reduce<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.present.next().is_none_or(|processes| processes == 0.0) {
            return;
        }
        let (id, device, dtype) = (param.id, param.val().device().inner(), param.val().dtype());
        let shape = param.val().dims();
        let elements = shape.iter().product();
        match self.gradients.remove::<D>(id) {
            Some(gradient) => self.bucket.extend(gradient.cast(FloatDType::F32).into_data().iter::<f32>()),
            None => self.bucket.extend(std::iter::repeat_n(0.0, elements)),
        }
        let put_back = move |gradients: &mut GradientsParams, values: Vec<f32>| {
            let summed = Tensor::<D>::from_data(TensorData::new(values, shape), (&device, DType::F32));
            gradients.register(id, summed.cast(dtype));
        };
        self.members.push((elements, Box::new(put_back)));
        if self.bucket.len() >= BUCKET {
            self.flush();
        }
    }
}
