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
    let tensors = module_tensors(module, name_of)?;
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

/// One parameter of a module, named as in a checkpoint; its values stay on their device until
/// [`read`](Self::read).
pub(crate) struct ModuleTensor {
    name: String,
    shape: Vec<usize>,
    dtype: DType,
    values: Box<dyn Fn() -> Result<TensorData, String>>,
}

impl std::fmt::Debug for ModuleTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {:?}", self.name, self.shape, self.dtype)
    }
}

impl ModuleTensor {
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
/// # Errors
///
/// [`Error::Checkpoint`] when the module has adapters, which have to be merged first
/// (`module.materialize()`).
pub(crate) fn module_tensors<M: Module>(
    module: &M,
    name_of: impl Fn(&[String]) -> String,
) -> Result<Vec<ModuleTensor>> {
    let mut collector =
        Collector { name_of: &name_of, path: ModulePath::default(), tensors: Vec::new(), adapters: false };
    module.visit(&mut collector);
    if collector.adapters {
        return Err(Error::checkpoint(MODEL, "adapters have to be merged before saving"));
    }
    Ok(collector.tensors)
}

struct Collector<'a> {
    name_of: &'a dyn Fn(&[String]) -> String,
    path: ModulePath,
    tensors: Vec<ModuleTensor>,
    adapters: bool,
}

impl ModuleVisitor for Collector<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.adapters |= container == "Reparameterization";
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.transform_for_save().val();
        let (dtype, dims) = (tensor.dtype(), tensor.dims());
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
pub(super) fn write_file(path: &Path, tensors: &[ModuleTensor], dtype: Option<FloatDType>) -> Result<()> {
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
fn header(tensors: &[ModuleTensor], dtype: Option<FloatDType>) -> Result<Vec<u8>> {
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
