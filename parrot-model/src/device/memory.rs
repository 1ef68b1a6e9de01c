//! Whether a model's weights fit into a device.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, FloatDType, Tensor};

use super::backend::Backend;
use super::float_dtype::{float_dtype, supported};
use super::found::{Memory, found};
use super::quiet::quietly;
use super::weight_dtype::{PartDtypes, WeightDtype};
use crate::quantization::BlockFormat;
use crate::{Error, Result};

/// Refuses a network that cannot fit, before its first parameter gets memory.
///
/// - dtypes: what its parameters are to be held in
///
/// # Errors
///
/// [`Error::Device`], saying how much is needed, how much there is, and which of the dtypes that the
/// device computes in would fit.
pub(crate) fn require_memory<M: Module>(
    network: &M,
    dtypes: impl Into<PartDtypes>,
    device: &Device,
) -> Result<()> {
    let Some(found) = found(device) else { return Ok(()) };
    let (_, memory) = quietly(|| found.describe()).unwrap_or_default();
    match too_large(&Sizes::of(network), dtypes.into(), memory, &widths(found.backend, device)) {
        Some(reason) => Err(Error::device(&found.name(), reason)),
        None => Ok(()),
    }
}

/// The widest dtype, from the device's default on, in which a network's weights leave a fifth of the device's memory free: for
/// keys and values, activations and other programs. Of two equally wide dtypes bf16 is taken, as every weight fits into it.
///
/// The network's parameters get no memory.
///
/// # Errors
///
/// [`Error::Device`] when there is none.
pub fn widest_dtype<M: Module>(network: &M, device: &Device) -> Result<WeightDtype> {
    let default = WeightDtype::from(float_dtype(device, None)?);
    let Some(found) = found(device) else { return Ok(default) };
    let (_, memory) = quietly(|| found.describe()).unwrap_or_default();
    widest(&Sizes::of(network), default, memory, &widths(found.backend, device))
        .map_err(|reason| Error::device(&found.name(), reason))
}

fn widest(
    sizes: &Sizes,
    default: WeightDtype,
    memory: Memory,
    supported: &[WeightDtype],
) -> Result<WeightDtype, String> {
    let room = Memory { total: memory.total.map(|total| total / 5 * 4), ..memory };
    let mut widths: Vec<WeightDtype> =
        supported.iter().copied().filter(|width| width.bits() < default.bits()).collect();
    let is_bf16 = |width: &WeightDtype| *width == FloatDType::BF16.into();
    widths.sort_by(|a, b| b.bits().total_cmp(&a.bits()).then(is_bf16(b).cmp(&is_bf16(a))));
    widths.insert(0, default);
    let fits = |width: &WeightDtype| too_large(sizes, (*width).into(), room, &[]).is_none();
    if let Some(width) = widths.iter().copied().find(fits) {
        return Ok(width);
    }
    let narrowest = widths[widths.len() - 1];
    let reason = too_large(sizes, narrowest.into(), memory, &[]);
    Err(reason.unwrap_or_else(|| {
        format!("the weights leave less than a fifth of its memory free, even in {narrowest}")
    }))
}

/// What a device holds weights in, the most precise first.
fn widths(backend: Backend, device: &Device) -> Vec<WeightDtype> {
    let floats = supported(Some(backend), device).into_iter().map(WeightDtype::from);
    floats.chain(BlockFormat::ALL.map(WeightDtype::from)).collect()
}

/// How many parameters a network has.
#[derive(Default)]
struct Sizes {
    vision_tower: PartSize,
    decoder: PartSize,
    others: PartSize,
    path: Vec<String>,
}

/// How many parameters a part of it has.
#[derive(Debug, Default, Clone, Copy)]
struct PartSize {
    total: u64,
    /// Parameters in the largest tensor.
    largest: u64,
}

impl Sizes {
    fn of<M: Module>(network: &M) -> Self {
        let mut sizes = Self::default();
        network.visit(&mut sizes);
        sizes
    }

    /// Bytes of all weights and of the largest.
    fn bytes(&self, dtypes: PartDtypes) -> [u64; 2] {
        let bytes = |parameters: u64, dtype: WeightDtype| (parameters as f64 * dtype.bits() / 8.0) as u64;
        let of =
            |part: PartSize, dtype| [part.total, part.largest].map(|parameters| bytes(parameters, dtype));
        let parts = [
            of(self.vision_tower, dtypes.vision_tower),
            of(self.decoder, dtypes.decoder),
            of(self.others, dtypes.others),
        ];
        parts.into_iter().fold([0, 0], |[total, largest], part| [total + part[0], largest.max(part[1])])
    }
}

impl ModuleVisitor for Sizes {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let parameters = param.lazy_shape().num_elements() as u64;
        let part = match self.path.first().map(String::as_str) {
            Some("vision_tower") => &mut self.vision_tower,
            Some("language_model") => &mut self.decoder,
            _ => &mut self.others,
        };
        part.total += parameters;
        part.largest = part.largest.max(parameters);
    }
}

/// Why the parameters are too many, if they are.
fn too_large(sizes: &Sizes, dtypes: PartDtypes, memory: Memory, supported: &[WeightDtype]) -> Option<String> {
    let exceeds = |bytes: u64, limit: Option<u64>| limit.is_some_and(|limit| bytes > limit);
    let fits =
        |[total, largest]: [u64; 2]| !exceeds(total, memory.total) && !exceeds(largest, memory.largest);
    let needed = sizes.bytes(dtypes);
    if fits(needed) {
        return None;
    }
    let narrowest = dtypes.vision_tower.bits().min(dtypes.decoder.bits()).min(dtypes.others.bits());
    let smaller =
        supported.iter().find(|other| other.bits() < narrowest && fits(sizes.bytes((**other).into())));
    let advice = smaller.map_or(String::new(), |smaller| format!("; {smaller} would fit"));
    let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    let [total, largest] = needed;
    Some(match (exceeds(total, memory.total), memory) {
        (true, Memory { total: Some(memory), .. }) => {
            format!(
                "the weights need {} in {dtypes}, of {} that it has{advice}",
                gigabytes(total),
                gigabytes(memory)
            )
        }
        (_, memory) => format!(
            "one tensor needs {} in {dtypes}, and it holds at most {} at once{advice}",
            gigabytes(largest),
            gigabytes(memory.largest.unwrap_or_default())
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::LinearConfig;

    /// Parrot-7B's decoder and its embeddings.
    fn parrot_7b() -> Sizes {
        let decoder = PartSize { total: 7_721_324_544, largest: 622_329_856 };
        Sizes { decoder, ..Sizes::default() }
    }

    #[test]
    fn a_decoder_in_blocks_leaves_room_for_the_rest() {
        let others = PartSize { total: 1_000_000_000, largest: 1_000_000 };
        let sizes = Sizes { others, ..parrot_7b() };
        let dtypes = PartDtypes { decoder: BlockFormat::Q4.into(), ..FloatDType::F32.into() };
        let refused = |total| too_large(&sizes, dtypes, Memory { total: Some(total), largest: None }, &[]);
        assert_eq!(refused(9_000_000_000), None);
        assert_eq!(
            refused(8_000_000_000).unwrap(),
            "the weights need 8.8 GB in f32, the decoder's in q4, of 8.0 GB that it has"
        );
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_would() {
        let sizes = parrot_7b();
        let refused = |dtype: FloatDType, total_memory, largest_tensor, supported: &[WeightDtype]| {
            let memory = Memory { total: total_memory, largest: largest_tensor };
            too_large(&sizes, dtype.into(), memory, supported)
        };
        let both = [FloatDType::F32, FloatDType::F16].map(WeightDtype::from);
        assert_eq!(refused(FloatDType::F32, None, None, &both), None);
        assert_eq!(refused(FloatDType::F32, Some(31_000_000_000), Some(2_500_000_000), &both), None);
        let of_16 = "the weights need 30.9 GB in f32, of 16.0 GB that it has";
        let found = refused(FloatDType::F32, Some(16_000_000_000), None, &both);
        assert_eq!(found.unwrap(), format!("{of_16}; f16 would fit"));
        assert_eq!(refused(FloatDType::F32, Some(16_000_000_000), None, &both[..1]).unwrap(), of_16);
        assert_eq!(
            refused(FloatDType::F16, Some(8_000_000_000), None, &both).unwrap(),
            "the weights need 15.4 GB in f16, of 8.0 GB that it has"
        );
        let with_blocks: Vec<WeightDtype> =
            both.into_iter().chain(BlockFormat::ALL.map(WeightDtype::from)).collect();
        assert_eq!(
            refused(FloatDType::F16, Some(8_000_000_000), None, &with_blocks).unwrap(),
            "the weights need 15.4 GB in f16, of 8.0 GB that it has; q4 would fit"
        );
        assert_eq!(
            refused(FloatDType::F32, Some(48_000_000_000), Some(2_147_483_648), &both).unwrap(),
            "one tensor needs 2.5 GB in f32, and it holds at most 2.1 GB at once; f16 would fit"
        );
    }

    #[test]
    fn the_widest_that_leaves_room_is_taken() {
        let sizes = parrot_7b();
        let floats = [FloatDType::F32, FloatDType::F16, FloatDType::BF16].map(WeightDtype::from);
        let all: Vec<WeightDtype> =
            floats.into_iter().chain(BlockFormat::ALL.map(WeightDtype::from)).collect();
        let widest = |default: FloatDType, total_gb: u64, supported: &[WeightDtype]| {
            let memory = Memory { total: Some(total_gb * 1_000_000_000), largest: None };
            widest(&sizes, default.into(), memory, supported).map(|width| width.to_string())
        };
        for (total_gb, expected) in [(40, "f32"), (32, "bf16"), (20, "bf16"), (16, "q8"), (8, "q4")] {
            assert_eq!(widest(FloatDType::F32, total_gb, &all).unwrap(), expected, "{total_gb}");
        }
        assert_eq!(widest(FloatDType::F16, 40, &all).unwrap(), "f16");
        let error = widest(FloatDType::F32, 4, &all).unwrap_err();
        assert_eq!(error, "the weights need 4.8 GB in q4, of 4.0 GB that it has");
        let error = widest(FloatDType::F32, 16, &floats).unwrap_err();
        assert_eq!(error, "the weights leave less than a fifth of its memory free, even in f16");
    }

    #[cfg(feature = "flex")]
    #[test]
    fn the_processor_refuses_more_than_its_main_memory() {
        let cpu = Device::flex();
        let small = LinearConfig::new(30, 100).init(&cpu);
        assert!(require_memory(&small, FloatDType::F32, &cpu).is_ok());
        // Nobody uses it, so it gets no memory.
        let large = LinearConfig::new(1 << 30, 1 << 30).init(&cpu);
        if cfg!(target_os = "linux") {
            let error = require_memory(&large, FloatDType::F32, &cpu).unwrap_err().to_string();
            assert!(error.starts_with("device cpu: the weights need "), "{error}");
        }
    }
}
