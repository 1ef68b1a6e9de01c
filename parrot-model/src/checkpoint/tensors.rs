//! A module's parameters as named tensors, and the safetensors files that they are written to.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use safetensors::tensor::{Metadata, TensorInfo};

use super::cast::{cast, stored_dtype};
use super::names::{self, ModulePath};
use super::stored_tensor::StoredTensor;
use crate::ops::block_format;
use crate::{Error, Result};

/// Stands for a path in errors about weights that are in memory.
const MODEL: &str = "<model>";

/// Writes any module's parameters as one safetensors file, replacing it atomically.
///
/// # Errors
///
/// [`Error::Io`] when the file cannot be written; [`Error::Checkpoint`] as for [`save`](super::save).
pub fn save_module<M: Module>(
    module: &M,
    name_of: impl Fn(&[String]) -> String,
    file: impl AsRef<Path>,
    dtype: Option<FloatDType>,
) -> Result<()> {
    let file = file.as_ref();
    let tensors = module_tensors(module, name_of, None)?;
    let mut aside = file.as_os_str().to_owned();
    aside.push(".partial");
    let aside = PathBuf::from(aside);
    let written = write_file(&aside, &tensors, dtype)
        .and_then(|()| fs::rename(&aside, file).map_err(Error::io("replace", file)));
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}

/// The numbers that are stored in the place of a weight in [blocks](crate::quantization), by its name in a checkpoint and in its
/// shape there, in f32; or in words, why there are none.
pub type Numbers<'a> = dyn Fn(&str) -> Result<TensorData, String> + 'a;

/// One parameter of a module, named as in a checkpoint; its values stay where they are until
/// [`read`](Self::read).
pub(crate) struct ModuleTensor<'a> {
    name: String,
    shape: Vec<usize>,
    dtype: DType,
    values: Box<dyn Fn() -> Result<TensorData, String> + 'a>,
}

impl std::fmt::Debug for ModuleTensor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {:?}", self.name, self.shape, self.dtype)
    }
}

impl ModuleTensor<'_> {
    /// Its name.
    #[must_use]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The dtype that it is held in.
    #[must_use]
    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }

    /// Its values, row-major in its shape.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] naming the tensor when the device fails.
    pub(super) fn read(&self) -> Result<TensorData> {
        let values = (self.values)().map_err(|reason| self.error(reason))?;
        let dtype = values.dtype();
        Ok(TensorData::from_bytes(values.into_bytes(), self.shape.clone(), dtype))
    }

    /// The dtype that it is stored in: `dtype`, or its own if that is `None`.
    fn target(&self, dtype: Option<FloatDType>) -> Result<FloatDType> {
        if let Some(format) = block_format(self.dtype) {
            return Err(
                self.error(format!("is held in {}, which loses too much to be stored again", format.name()))
            );
        }
        match (dtype, self.dtype) {
            (Some(dtype), _) => Ok(dtype),
            (None, DType::F32) => Ok(FloatDType::F32),
            (None, DType::F16) => Ok(FloatDType::F16),
            (None, DType::BF16) => Ok(FloatDType::BF16),
            (None, other) => Err(self.error(format!("is held as {other:?} and needs a dtype to be stored"))),
        }
    }

    /// Bytes that it takes in a file.
    pub(super) fn stored_bytes(&self, dtype: Option<FloatDType>) -> u64 {
        let dtype = dtype.map_or(self.dtype, DType::from);
        (self.shape.iter().product::<usize>() * dtype.size()) as u64
    }

    fn error(&self, reason: String) -> Error {
        Error::checkpoint(MODEL, format!("`{}` {reason}", self.name))
    }
}

/// The parameters of a module in the order of its fields, named by `name_of` as in
/// [`load_module`](super::load_module).
///
/// - numbers: those of weights in blocks, with what adapters add to them
///
/// # Errors
///
/// [`Error::Checkpoint`] when weights that are numbers have adapters, which have to be merged first
/// (`module.materialize()`).
pub(crate) fn module_tensors<'a, M: Module>(
    module: &M,
    name_of: impl Fn(&[String]) -> String,
    numbers: Option<&'a Numbers<'a>>,
) -> Result<Vec<ModuleTensor<'a>>> {
    let mut collector = Collector {
        name_of: &name_of,
        numbers,
        path: ModulePath::default(),
        tensors: Vec::new(),
        replaces: false,
        within_adapter: false,
        adapters: false,
    };
    module.visit(&mut collector);
    if collector.adapters {
        return Err(Error::checkpoint(MODEL, "adapters have to be merged before saving"));
    }
    Ok(collector.tensors)
}

struct Collector<'n, 'a> {
    name_of: &'n dyn Fn(&[String]) -> String,
    numbers: Option<&'a Numbers<'a>>,
    path: ModulePath,
    tensors: Vec<ModuleTensor<'a>>,
    /// Whether the parameter before has numbers stored in its place.
    replaces: bool,
    /// Whether the path leads through an adapter of it.
    within_adapter: bool,
    /// Whether there are other adapters.
    adapters: bool,
}

impl<'a> Collector<'_, 'a> {
    /// A parameter in blocks.
    fn replace(&mut self, numbers: &'a Numbers<'a>, dims: &[usize]) {
        for (name, shape) in names::tensors(&(self.name_of)(self.path.segments()), dims) {
            let shape = shape.to_vec();
            let (stored_name, stored_shape) = (name.clone(), shape.clone());
            let values = Box::new(move || {
                let values = numbers(&stored_name)?;
                if values.shape().as_slice() == stored_shape && values.dtype() == DType::F32 {
                    Ok(values)
                } else {
                    Err(format!("should be numbers of {stored_shape:?}, found {:?}", values.shape()))
                }
            });
            self.tensors.push(ModuleTensor { name, shape, dtype: DType::F32, values });
        }
    }
}

impl ModuleVisitor for Collector<'_, '_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        if container == "Reparameterization" {
            self.within_adapter = true;
            self.adapters |= !self.replaces;
        }
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.within_adapter &= container != "Reparameterization";
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.within_adapter {
            return;
        }
        let tensor = param.transform_for_save().val();
        let (dtype, dims) = (tensor.dtype(), tensor.dims());
        let numbers = self.numbers.filter(|_| block_format(dtype).is_some());
        self.replaces = numbers.is_some();
        if let Some(numbers) = numbers {
            self.replace(numbers, &dims);
            return;
        }
        let names = names::tensors(&(self.name_of)(self.path.segments()), &dims);
        let several = names.len() > 1;
        for (index, (name, shape)) in names.into_iter().enumerate() {
            let tensor = tensor.clone();
            let values = Box::new(move || {
                let tensor = if several { tensor.clone().narrow(0, index, 1) } else { tensor.clone() };
                tensor.try_into_data().map_err(|error| format!("cannot be read from its device: {error}"))
            });
            self.tensors.push(ModuleTensor { name, shape: shape.to_vec(), dtype, values });
        }
    }
}

/// A safetensors file, one tensor in memory at a time.
pub(super) fn write_file(path: &Path, tensors: &[ModuleTensor<'_>], dtype: Option<FloatDType>) -> Result<()> {
    let header = header(tensors, dtype)?;
    let file = File::create(path).map_err(Error::io("create", path))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let mut write = |bytes: &[u8]| file.write_all(bytes).map_err(Error::io("write", path));
    write(&(header.len() as u64).to_le_bytes())?;
    write(&header)?;
    for tensor in tensors {
        let data = tensor.read()?;
        let held = stored_dtype(data.dtype()).map_err(|reason| tensor.error(reason))?;
        let held = StoredTensor::new(held, data.shape(), data.as_bytes());
        let data = cast(held, tensor.target(dtype)?).map_err(|reason| tensor.error(reason))?;
        write(data.as_bytes())?;
    }
    let file = file.into_inner().map_err(|error| Error::io("write", path)(error.into_error()))?;
    file.sync_all().map_err(Error::io("write", path))
}

/// Names, dtypes, shapes and places of the tensors, padded so that these start at a multiple of 8 bytes.
fn header(tensors: &[ModuleTensor<'_>], dtype: Option<FloatDType>) -> Result<Vec<u8>> {
    let mut offset = 0;
    let mut infos = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let stored = stored_dtype(tensor.target(dtype)?.into()).map_err(|reason| tensor.error(reason))?;
        let end = offset + tensor.stored_bytes(dtype) as usize;
        let info = TensorInfo { dtype: stored, shape: tensor.shape.clone(), data_offsets: (offset, end) };
        infos.push((tensor.name.clone(), info));
        offset = end;
    }
    header_bytes(infos, [])
}

/// A header with these tensors, and with this metadata besides what transformers wants.
pub(super) fn header_bytes<const N: usize>(
    infos: Vec<(String, TensorInfo)>,
    metadata: [(String, String); N],
) -> Result<Vec<u8>> {
    // transformers refuses files that do not say which framework's layout they have.
    let format = [("format".to_string(), "pt".to_string())].into_iter().chain(metadata).collect();
    let invalid = |error: String| Error::checkpoint(MODEL, error);
    let header = Metadata::new(Some(format), infos).map_err(|error| invalid(error.to_string()))?;
    let mut header = serde_json::to_vec(&header).map_err(|error| invalid(error.to_string()))?;
    header.resize(header.len().next_multiple_of(size_of::<u64>()), b' ');
    Ok(header)
}
