//! Weights → modules.
//!
//! Names and shapes are compared first, so that one error lists everything that does not fit before a single
//! element is read. Then each parameter is cast and handed to the device on its own: besides the model,
//! memory holds one tensor at a time. A tensor that is stored in the wanted dtype stays in the mapped file.

use std::collections::BTreeSet;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bytes, DType, FloatDType, Tensor, TensorData};

use super::block_file;
use super::cast::{cast, element_size};
use super::names::{self, ModulePath};
use super::quantize::quantize;
use super::stored_tensor::StoredTensor;
use super::weights::Weights;
use crate::device::{PartDtypes, WeightDtype};
use crate::ops::blocks;
use crate::quantization::BlockFormat;
use crate::{Error, Result, device};

/// Loads any module: the vision tower of a folder of its own, a projector, a layer in a test.
///
/// - `name_of` maps a parameter's path to its name in `weights`; [`names`](super::names) has those of a
///   checkpoint. In paths, enums add nothing.
/// - `dtype` is f32, f16, bf16 or, on the CPU, blocks of 8 or 4 bits, whatever the file holds; what is no weight of a product is
///   held in the device's [`activation_dtype`](device::activation_dtype).
///
/// Parameters stay on their device and keep their id and whether they are trained. Tensors that the module
/// does not ask for are ignored.
///
/// # Errors
///
/// [`Error::Checkpoint`] listing every missing or mis-shaped tensor, or else every one that holds NaN,
/// infinities or a value too large for `dtype`.
pub fn load_module<M: Module>(
    module: M,
    weights: &Weights,
    name_of: impl Fn(&[String]) -> String,
    dtype: impl Into<WeightDtype>,
) -> Result<M> {
    let origin = Origin { path: weights.path(), title: &|name| weights.title(name) };
    load_from(origin, module, |name| weights.get(name), name_of, dtype)
}

/// [`load_module`] from wherever `find` finds a name's tensor; `path` is what errors name.
///
/// # Errors
///
/// As [`load_module`].
pub fn load_found<'w, M: Module>(
    module: M,
    path: &Path,
    find: impl Fn(&str) -> Option<StoredTensor<'w>>,
    name_of: impl Fn(&[String]) -> String,
    dtype: impl Into<WeightDtype>,
) -> Result<M> {
    load_from(Origin { path, title: &|name| format!("`{name}`") }, module, find, name_of, dtype)
}

fn load_from<'w, M: Module>(
    origin: Origin<'_>,
    module: M,
    find: impl Fn(&str) -> Option<StoredTensor<'w>>,
    name_of: impl Fn(&[String]) -> String,
    dtype: impl Into<WeightDtype>,
) -> Result<M> {
    let check = |_: &M, wanted: &[ExpectedTensor]| match mismatches(wanted, &find, origin.title) {
        problems if problems.is_empty() => Ok(()),
        problems => Err(origin.error(problems)),
    };
    check_and_fill(module, origin, &find, &name_of, dtype.into().into(), check, &mut |_, _| ())
}

/// What errors call the place that weights come from, and its tensors.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) path: &'a Path,
    pub(super) title: &'a dyn Fn(&str) -> String,
}

impl Origin<'_> {
    fn error(self, problems: Vec<String>) -> Error {
        Error::Checkpoint { path: self.path.to_path_buf(), problems }
    }
}

/// Compares a module with what is stored, then fills it.
///
/// - `check` refuses names and shapes that do not fit, and whatever else has to be known before an element is read
/// - `progress` is told how many of the stored bytes have been read, and how many there are
///
/// # Errors
///
/// Those of `check`; [`Error::Checkpoint`] for blocks that are wanted as anything else, or listing every tensor whose
/// elements cannot be used.
pub(super) fn check_and_fill<'w, M: Module>(
    module: M,
    origin: Origin<'_>,
    find: &dyn Fn(&str) -> Option<StoredTensor<'w>>,
    name_of: &dyn Fn(&[String]) -> String,
    dtypes: PartDtypes,
    check: impl FnOnce(&M, &[ExpectedTensor]) -> Result<()>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<M> {
    let wanted = parameters(&module, name_of);
    if let Some(problem) = other_width(&wanted, find, dtypes) {
        return Err(origin.error(vec![problem]));
    }
    check(&module, &wanted)?;
    let bytes = |wanted: &ExpectedTensor| find(&wanted.name).map_or(0, |stored| stored.bytes.len());
    let total = wanted.iter().map(bytes).sum::<usize>() as u64;
    let mut done = 0;
    let mut advance = |bytes| {
        done += bytes;
        progress(done, total);
    };
    fill(module, name_of, find, origin.title, dtypes, &mut advance).map_err(|problems| origin.error(problems))
}

/// A parameter that a module wants: its name and its shape, both as stored.
#[derive(Debug)]
pub(super) struct ExpectedTensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// Its path in the network.
    path: Vec<String>,
    /// Whether it is held in blocks where a network is.
    pub(super) is_product_weight: bool,
}

/// Everything that a module wants.
pub(super) fn parameters<M: Module>(
    module: &M,
    name_of: &dyn Fn(&[String]) -> String,
) -> Vec<ExpectedTensor> {
    let mut listing = Listing { name_of, path: ModulePath::default(), wanted: Vec::new() };
    module.visit(&mut listing);
    listing.wanted
}

/// The error if blocks are wanted in another format than theirs.
fn other_width<'w>(
    wanted: &[ExpectedTensor],
    find: impl Fn(&str) -> Option<StoredTensor<'w>>,
    dtypes: PartDtypes,
) -> Option<String> {
    let stored =
        wanted.iter().filter_map(|wanted| Some((find(&wanted.name)?.blocks?, dtypes.of(&wanted.path))));
    let (format, dtype) =
        stored.into_iter().find(|(format, dtype)| *dtype != WeightDtype::Blocks(*format))?;
    Some(other_format(format, dtype))
}

/// What is said of blocks that are wanted as something else.
pub(super) fn other_format(format: BlockFormat, dtype: WeightDtype) -> String {
    let name = format.name();
    format!(
        "its weights are quantised and can be held in {name} alone, not in {dtype}; for other widths and for training take the \
         model that it was made from"
    )
}

/// One sentence for each parameter that is missing, has another shape or is stored as what cannot be read.
///
/// - title: what a tensor is called in them
pub(super) fn mismatches<'w>(
    wanted: &[ExpectedTensor],
    find: impl Fn(&str) -> Option<StoredTensor<'w>>,
    title: &dyn Fn(&str) -> String,
) -> Vec<String> {
    let undeclared = wanted.iter().find_map(|wanted| {
        let format = block_file::undeclared(&find(&wanted.name)?, &wanted.shape)?;
        Some(block_file::undeclared_reason(&title(&wanted.name), format))
    });
    // Every product's weight has the wrong shape then.
    if let Some(reason) = undeclared {
        return vec![reason];
    }
    let problem = |wanted: &ExpectedTensor| {
        let ExpectedTensor { name, shape, is_product_weight, .. } = wanted;
        let reason = match find(name) {
            None => Some(format!("{shape:?} is missing")),
            Some(StoredTensor { blocks: Some(_), .. }) if !is_product_weight => {
                Some("should be numbers, found blocks".into())
            }
            Some(stored @ StoredTensor { blocks: Some(format), .. }) => {
                block_file::mismatch(&stored, format, shape)
            }
            Some(stored) if stored.shape != shape => {
                Some(format!("should be {shape:?}, found {:?}", stored.shape))
            }
            // llama.cpp's blocks are known by another type than their bytes'.
            Some(StoredTensor { coding: Some(_), .. }) => None,
            Some(stored) => element_size(stored.dtype).err(),
        };
        reason.map(|reason| format!("{} {reason}", title(name)))
    };
    wanted.iter().filter_map(problem).collect()
}

/// Casts and sets every parameter, calling `progress` with the stored bytes of each.
///
/// # Errors
///
/// One sentence for each tensor whose elements cannot be used.
fn fill<'w, M: Module>(
    module: M,
    name_of: &dyn Fn(&[String]) -> String,
    find: &dyn Fn(&str) -> Option<StoredTensor<'w>>,
    title: &dyn Fn(&str) -> String,
    dtypes: PartDtypes,
    progress: &mut dyn FnMut(u64),
) -> Result<M, Vec<String>> {
    let mut filling = Filling {
        name_of,
        find,
        title,
        dtypes,
        activation_dtype: None,
        progress,
        path: ModulePath::default(),
        problems: Vec::new(),
    };
    let module = module.map(&mut filling);
    if filling.problems.is_empty() { Ok(module) } else { Err(filling.problems) }
}

/// Names in `weights` that nobody wants.
pub(super) fn unwanted<'w>(wanted: &[ExpectedTensor], weights: &'w Weights) -> impl Iterator<Item = &'w str> {
    let wanted: BTreeSet<String> = wanted.iter().map(|wanted| wanted.name.clone()).collect();
    weights.names().filter(move |name| !wanted.contains(*name))
}

struct Listing<'a> {
    name_of: &'a dyn Fn(&[String]) -> String,
    path: ModulePath,
    wanted: Vec<ExpectedTensor>,
}

impl ModuleVisitor for Listing<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = (self.name_of)(self.path.segments());
        let shape = stored_shape(param);
        let is_product_weight = names::is_product_weight(self.path.segments(), &shape);
        let tensors = names::tensors(&name, &shape).into_iter();
        self.wanted.extend(tensors.map(|(name, shape)| ExpectedTensor {
            name,
            shape: shape.to_vec(),
            path: self.path.segments().to_vec(),
            is_product_weight,
        }));
    }
}

/// A parameter's shape in a file. A linear layer stores the transpose of what it computes with, and Burn
/// makes that transpose only once there are weights.
fn stored_shape<const D: usize>(param: &Param<Tensor<D>>) -> Vec<usize> {
    let shape =
        if param.is_initialized() { param.transform_for_save().lazy_shape() } else { param.lazy_shape() };
    shape.to_vec()
}

struct Filling<'a, 'w> {
    name_of: &'a dyn Fn(&[String]) -> String,
    find: &'a dyn Fn(&str) -> Option<StoredTensor<'w>>,
    title: &'a dyn Fn(&str) -> String,
    dtypes: PartDtypes,
    /// What was found for the dtype of the weight before.
    activation_dtype: Option<(WeightDtype, FloatDType)>,
    progress: &'a mut dyn FnMut(u64),
    path: ModulePath,
    problems: Vec<String>,
}

impl ModuleMapper for Filling<'_, '_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = (self.name_of)(self.path.segments());
        let shape = stored_shape(&param);
        let dtype = self.dtypes.of(self.path.segments());
        if let WeightDtype::Blocks(format) = dtype
            && names::is_product_weight(self.path.segments(), &shape)
        {
            return self.quantize(param, &name, &shape, format);
        }
        let activation_dtype = self.activation_dtype.filter(|(of, _)| *of == dtype);
        let (_, activation_dtype) = *self.activation_dtype.insert(
            activation_dtype
                .unwrap_or_else(|| (dtype, device::activation_dtype(&param.lazy_device(), dtype))),
        );
        let dtype = device::parameter_dtype(D, dtype.float(), activation_dtype);
        let mut parts = Vec::new();
        for (name, _) in names::tensors(&name, &shape) {
            let Some(stored) = (self.find)(&name) else { return param };
            (self.progress)(stored.bytes.len() as u64);
            match cast(stored, dtype) {
                Ok(data) => {
                    release_if_copied(stored, data.as_bytes());
                    parts.push(data);
                }
                Err(reason) => {
                    self.problems.push(format!("{} {reason}", (self.title)(&name)));
                    return param;
                }
            }
        }
        set(param, join(parts, shape), dtype)
    }
}

impl Filling<'_, '_> {
    /// Sets a parameter that is held in blocks, stored as such or not.
    fn quantize<const D: usize>(
        &mut self,
        param: Param<Tensor<D>>,
        name: &str,
        shape: &[usize],
        format: BlockFormat,
    ) -> Param<Tensor<D>> {
        let mut parts = Vec::new();
        for (name, _) in names::tensors(name, shape) {
            let Some(stored) = (self.find)(&name) else { return param };
            (self.progress)(stored.bytes.len() as u64);
            let matrix = match stored.blocks {
                Some(format) => block_file::read(stored, format),
                None => quantize(stored, format).map(Bytes::from_bytes_vec),
            };
            match matrix {
                Ok(matrix) => {
                    release_if_copied(stored, &matrix);
                    parts.push(matrix);
                }
                Err(reason) => {
                    self.problems.push(format!("{} {reason}", (self.title)(&name)));
                    return param;
                }
            }
        }
        let bytes = concat(parts);
        let dims = std::array::from_fn(|dim| shape[dim]);
        let (id, device) = (param.id, param.lazy_device());
        let tensor =
            device.memory_persistent_allocations(bytes, |bytes| blocks(bytes, format, dims, &device));
        param.transform_for_load(tensor, id)
    }
}

/// Gives up the file's pages of what lies in memory of its own by now.
pub(super) fn release_if_copied(stored: StoredTensor<'_>, held: &[u8]) {
    if held.as_ptr() != stored.bytes.as_ptr() {
        stored.release();
    }
}

fn set<const D: usize>(param: Param<Tensor<D>>, data: TensorData, dtype: FloatDType) -> Param<Tensor<D>> {
    let (id, device) = (param.id, param.lazy_device());
    // Weights outlive everything else on the device, so they should not share memory pages with it.
    let tensor =
        device.memory_persistent_allocations(data, |data| Tensor::from_data(data, (&device, dtype.into())));
    param.transform_for_load(tensor, id)
}

/// Values one after the other, as one tensor of this shape.
fn join(parts: Vec<TensorData>, shape: Vec<usize>) -> TensorData {
    let dtype = parts.first().map_or(DType::F32, |part| part.dtype());
    let bytes = concat(parts.into_iter().map(TensorData::into_bytes).collect());
    TensorData::from_bytes(bytes, shape, dtype)
}

/// Bytes one after the other; those of one part are not copied.
fn concat(parts: Vec<Bytes>) -> Bytes {
    match <[Bytes; 1]>::try_from(parts) {
        Ok([whole]) => whole,
        Err(parts) => {
            let parts: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
            Bytes::from_bytes_vec(parts.concat())
        }
    }
}
