//! Networks with random weights, as fast as trained ones: for measurements.

use burn::module::{Module, ModuleMapper, Param};
use burn::prelude::*;
use burn::tensor::{Bytes, DType, Distribution, Element, FloatDType};
use half::{bf16, f16};
use rayon::prelude::*;

use crate::allocator::zeroed_weights;
use crate::checkpoint::names::{ModulePath, is_product_weight};
use crate::config::{ParrotConfig, VisionConfig};
use crate::device::{PartDtypes, WeightDtype};
use crate::ops::blocks;
use crate::parrot::ParrotModel;
use crate::quantization::PANEL;
use crate::{Result, device};

impl ParrotModel {
    /// A network whose weights are small random numbers, in these dtypes from the start, as a loaded one's: in f32 they may be more than the
    /// device holds. To train a network, use [`init`](Self::init), whose random weights are meant for that.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) when the configuration describes no possible model,
    /// [`Error::Device`](crate::Error::Device) when it is too large for the device.
    pub fn random(
        config: &ParrotConfig,
        vision: &VisionConfig,
        dtypes: impl Into<PartDtypes>,
        device: &Device,
    ) -> Result<Self> {
        // Parameters get memory when they are first used.
        let dtypes = dtypes.into();
        let network = Self::init(config, vision, device)?;
        device::require_memory(&network, dtypes, device)?;
        let is_cpu = device::is_cpu(device);
        Ok(network.map(&mut Random { dtypes, is_cpu, path: ModulePath::default() }))
    }
}

struct Random {
    dtypes: PartDtypes,
    is_cpu: bool,
    path: ModulePath,
}

impl ModuleMapper for Random {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, device) = (param.id, param.lazy_device());
        let shape = param.lazy_shape();
        let dims = shape.dims::<D>();
        let tensor = match self.dtypes.of(self.path.segments()) {
            WeightDtype::Blocks(format) if is_product_weight(self.path.segments(), &dims) => {
                // Several matrices are whole panels, and so lie as one that is higher.
                let columns = dims[D - 1];
                let numbers = random(PATTERN, &device).into_iter().cycle().take(PANEL * columns);
                let panel = format.encode(&numbers.collect::<Vec<_>>(), [PANEL, columns]);
                let bytes = format.matrix_bytes([shape.num_elements() / columns, columns]);
                blocks(fill(&panel.expect("small numbers"), bytes), format, dims, &device)
            }
            dtype => {
                let activation_dtype = device::activation_dtype(&device, dtype);
                let dtype = device::parameter_dtype(D, dtype.float(), activation_dtype);
                if self.is_cpu && shape.num_elements() > PATTERN {
                    Tensor::from_data(
                        repeated(&random(PATTERN, &device), shape, dtype),
                        (&device, dtype.into()),
                    )
                } else {
                    Tensor::random(shape, NUMBERS, (&device, DType::from(dtype)))
                }
            }
        };
        param.transform_for_load(tensor, id)
    }
}

const NUMBERS: Distribution = Distribution::Normal(0.0, 0.02);
/// On the CPU, this many numbers of a tensor are drawn and then repeated: drawing billions takes minutes.
const PATTERN: usize = 99_991;

fn random(count: usize, device: &Device) -> Vec<f32> {
    Tensor::<1>::random([count], NUMBERS, (device, DType::F32)).into_data().iter::<f32>().collect()
}

/// A tensor in the memory that loaded ones have.
fn repeated(pattern: &[f32], shape: Shape, dtype: FloatDType) -> TensorData {
    let narrow = |bits: fn(f32) -> u16| pattern.iter().map(|x| bits(*x)).collect::<Vec<u16>>();
    let count = shape.num_elements();
    let bytes = match dtype {
        FloatDType::BF16 => fill(&narrow(|x| bf16::from_f32(x).to_bits()), count),
        FloatDType::F16 => fill(&narrow(|x| f16::from_f32(x).to_bits()), count),
        _ => fill(pattern, count),
    };
    let dtype = if matches!(dtype, FloatDType::BF16 | FloatDType::F16) { dtype } else { FloatDType::F32 };
    TensorData::from_bytes(bytes, shape, dtype.into())
}

/// `count` values, the pattern's again and again, on all threads.
fn fill<T: Element>(pattern: &[T], count: usize) -> Bytes {
    let mut values = zeroed_weights::<T>(count);
    values.par_chunks_mut(pattern.len()).for_each(|to| to.copy_from_slice(&pattern[..to.len()]));
    TensorData::new(values, [count]).into_bytes()
}

#[cfg(test)]
mod tests {
    use burn::module::ModuleVisitor;

    use super::*;

    #[test]
    fn every_weight_of_a_product_is_held_in_the_dtype_and_all_in_their_own_shape() {
        let (config, vision) = (ParrotConfig::parrot_mini(), VisionConfig::clip_vit_mini());
        let device = Device::default();
        let shapes = |network: &ParrotModel| {
            struct Shapes(Vec<(Vec<usize>, DType)>);
            impl ModuleVisitor for Shapes {
                fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                    let tensor = param.val();
                    self.0.push((tensor.dims().to_vec(), tensor.dtype()));
                }
            }
            let mut shapes = Shapes(Vec::new());
            network.visit(&mut shapes);
            shapes.0
        };
        let random = shapes(&ParrotModel::random(&config, &vision, FloatDType::F16, &device).unwrap());
        let fresh = shapes(&ParrotModel::init(&config, &vision, &device).unwrap());
        assert_eq!(random.len(), fresh.len());
        for ((random, dtype), (fresh, _)) in random.into_iter().zip(fresh) {
            // The tests' device is the CPU.
            let expected = if matches!(fresh.len(), 2 | 3) { DType::F16 } else { DType::F32 };
            assert_eq!((random, dtype), (fresh, expected));
        }
    }
}
