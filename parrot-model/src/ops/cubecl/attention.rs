//! Attention on Burn's GPU backends: the fastest of the exact kernels.
//!
//! Burn's own attention also chooses among others. In half precision some of them compute unscaled scores, which with Qwen2
//! overflow f16, and take the softmax in half precision; those for matrix units round to f16 whatever they are
//! given; and its flash attention silently gives wrong results for grouped queries.

use burn::backend::cubecl::dtype_to_elem_type;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Backend, TensorMetadata, read_sync};
use burn::cubecl::tune::{LocalTuner, Tunable, TunableSet, TuneGroup, local_tuner};
use burn::prelude::*;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, FloatDType};
use burn_cubecl::kernel::attention::flash_attention;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeDevice, CubeTuneId};
use cubek::attention::forward::launch::{AttentionAutotuneKey, BlueprintStrategy, Strategy};
use cubek::attention::forward::routines::blackbox_accelerated::BlackboxAcceleratedStrategy;

use crate::ops::attention::{self, AttentionOps};

/// Rows that a matrix unit takes at a time.
const TILE: usize = 16;

/// Bytes of scores from which on kernels are preferred that do not store them.
const LARGE: usize = 1 << 28;

/// Query, key, value, bias, and whether the bias is the causal one.
type Inputs = (CubeTensor, CubeTensor, CubeTensor, CubeTensor, bool);

impl AttentionOps for CubeBackend {
    fn flash_attention(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
        bias: CubeTensor,
        is_causal: bool,
        operands: DType,
    ) -> CubeTensor {
        // The kernels are chosen and checked for as many queries as keys.
        if is_causal && query.shape()[2] != key.shape()[2] {
            return <Self as AttentionOps>::attention(query, key, value, bias, operands);
        }
        static TUNER: LocalTuner<AttentionAutotuneKey, CubeTuneId> = local_tuner!();
        let (client, device) = (query.client.clone(), query.device.clone());
        let tune_id = CubeTuneId::new(&client, &device);
        let candidates = TUNER.init(&tune_id, move || candidates(&device));
        TUNER.execute(&tune_id, &client, candidates, (query, key, value, bias, is_causal))
    }
}

/// The kernels that a device measures, once for every size that it meets.
fn candidates(device: &CubeDevice) -> TunableSet<AttentionAutotuneKey, Inputs, CubeTensor> {
    // Those that come later are measured only if none of the first works.
    const FIRST: i8 = 2;
    const LATER: i8 = 1;
    let group = TuneGroup::<AttentionAutotuneKey>::new("attention", |_| FIRST);
    let [f16, f32] = [DType::F16, DType::F32].map(dtype_to_elem_type);
    let client = device.client();
    let matrix_units = &client.properties().features.matmul.cmma;
    let has_matrix_units = matrix_units.iter().any(|unit| unit.a_type == f16 && unit.cd_type == f32);

    let kernel = Tunable::new("composed", |inputs| Ok::<_, String>(composed(inputs)));
    let mut set = TunableSet::new_cloning_inputs(key_of).with(kernel.group(&group, |key| {
        let scores = [key.total_batches, key.seq_q, key.seq_kv, size_of::<f32>()];
        let scores = scores.into_iter().fold(1, usize::saturating_mul);
        if scores < LARGE { FIRST } else { LATER }
    }));
    if has_matrix_units {
        for num_planes in [2, 4, 8] {
            let kernel = move |inputs| on_matrix_units(inputs, num_planes);
            if is_exact(kernel, device) {
                let kernel = Tunable::new(&format!("matrix_units_{num_planes}"), kernel);
                set = set.with(kernel.group(&group, |_| FIRST));
            }
        }
    }
    let kernel = Tunable::new("units", |inputs| {
        Ok::<_, String>(flash(inputs, 1, Strategy::Unit(BlueprintStrategy::Inferred(()))))
    });
    set.with(kernel.group(&group, move |_| if has_matrix_units { LATER } else { FIRST }))
}

/// Whether a kernel computes on this device what is composed in f32, from every half precision that the device has:
/// measuring alone would take a kernel that is fast and wrong.
fn is_exact(kernel: impl Fn(Inputs) -> Result<CubeTensor, String>, device: &CubeDevice) -> bool {
    // More queries than a tile has rows, and no multiple of them.
    const SEQ: usize = 72;
    // A few roundings of numbers up to 1; a wrong kernel is off by as much as the numbers themselves.
    const LIMIT: f32 = 0.03;
    let tensor = |data: Vec<f32>, shape: [usize; 4]| {
        CubeBackend::float_from_data(TensorData::new(data, shape), device)
    };
    let sees = |at: usize| if at % SEQ <= at / SEQ { 0.0 } else { f32::NEG_INFINITY };
    let bias = tensor((0..SEQ * SEQ).map(sees).collect(), [1, 1, SEQ, SEQ]);
    let waves = [0.7, 1.1, 1.9].map(|frequency: f32| {
        let wave = (0..2 * SEQ * 64).map(|at| (frequency * at as f32).sin());
        tensor(wave.collect(), [1, 2, SEQ, 64])
    });
    let read = |x: CubeTensor| {
        let data = read_sync(CubeBackend::float_into_data(x)).ok()?;
        Some(data.iter::<f32>().collect::<Vec<_>>())
    };
    let agrees = |dtype: FloatDType| {
        let rounded = waves.clone().map(|x| CubeBackend::float_cast(x, dtype));
        let [query, key, value] = rounded.clone();
        let found = kernel((query, key, value, bias.clone(), true)).ok().and_then(read)?;
        let [query, key, value] = rounded.map(|x| CubeBackend::float_cast(x, FloatDType::F32));
        let expected = read(composed((query, key, value, bias.clone(), true)))?;
        Some(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < LIMIT))
    };
    let has = |dtype: &FloatDType| CubeBackend::supports_dtype(device, DType::from(*dtype));
    [FloatDType::F16, FloatDType::BF16].into_iter().filter(has).all(|dtype| agrees(dtype) == Some(true))
}

/// Sizes are rounded to powers of two, so that a longer prompt is rarely a new kind.
fn key_of((query, key, ..): &Inputs) -> AttentionAutotuneKey {
    let [batch, heads, seq, head_dim] = query.meta.shape.dims();
    let [_, _, keys, _] = key.meta.shape.dims::<4>();
    let elem = dtype_to_elem_type(query.dtype);
    AttentionAutotuneKey::generate(
        elem,
        elem,
        elem,
        elem,
        batch * heads,
        seq,
        head_dim,
        keys,
        head_dim,
        false,
    )
}

fn composed((query, key, value, bias, _): Inputs) -> CubeTensor {
    attention::composed::<CubeBackend>(query, key, value, bias).context
}

/// Attention in tiles of f16 that are summed in f32.
///
/// # Errors
///
/// If that would round the inputs.
fn on_matrix_units(inputs: Inputs, num_planes: u8) -> Result<CubeTensor, String> {
    if inputs.0.dtype == DType::F32 {
        return Err("f32 would be rounded to f16".into());
    }
    let strategy = BlackboxAcceleratedStrategy { num_planes, seq_q: 1, seq_kv: 1 };
    let strategy = Strategy::BlackboxAccelerated(BlueprintStrategy::Inferred(strategy));
    Ok(flash(inputs, TILE * usize::from(num_planes), strategy))
}

/// Attention that never holds all scores; softmax and sums are in f32.
///
/// - rows: the number of queries must be a multiple of it; the missing ones are put before the first, as the causal mask is
///   aligned with the last
fn flash(inputs: Inputs, rows: usize, strategy: Strategy) -> CubeTensor {
    let (query, key, value, _, is_causal) = inputs.clone();
    let [batch, heads, seq, head_dim] = query.meta.shape.dims();
    let missing = seq.next_multiple_of(rows) - seq;
    let query = match missing {
        0 => query,
        _ => {
            let zeros = Shape::new([batch, heads, missing, head_dim]);
            let zeros = CubeBackend::float_zeros(zeros, &query.device, FloatDType::from(query.dtype));
            CubeBackend::float_cat(vec![zeros, query], 2)
        }
    };
    let (key, value) = (for_every_head(key, heads), for_every_head(value, heads));
    let options = AttentionModuleOptions { is_causal, ..Default::default() };
    match flash_attention(query, key, value, None, None, options, strategy) {
        Ok(context) => CubeBackend::float_slice(context, &s![.., .., missing.., ..]),
        // The kernel was chosen for another size that rounds to the same; it does not take this one.
        Err(_) => composed(inputs),
    }
}

/// Repeats each key/value head for the query heads that share it.
///
/// # Shapes
///
/// - x: `[batch, kv_heads, keys, head_dim]`
/// - output: `[batch, heads, keys, head_dim]`
fn for_every_head(x: CubeTensor, heads: usize) -> CubeTensor {
    let [batch, kv_heads, keys, head_dim] = x.meta.shape.dims();
    if kv_heads == heads {
        return x;
    }
    let groups = heads / kv_heads;
    let x = CubeBackend::float_reshape(x, Shape::new([batch, kv_heads, 1, keys, head_dim]));
    let x = CubeBackend::float_expand(x, Shape::new([batch, kv_heads, groups, keys, head_dim]));
    CubeBackend::float_reshape(x, Shape::new([batch, heads, keys, head_dim]))
}

// On the driver that computes on the processor, which has no matrix units.
#[cfg(all(test, feature = "wgpu", feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn::cubecl::device::{WgpuBackend, WgpuDevice, WgpuDeviceKind};
    use burn::tensor::{Distribution, Tolerance};

    use super::*;

    fn device() -> CubeDevice {
        CubeDevice::Wgpu(WgpuDevice::new(WgpuDeviceKind::Cpu).on(WgpuBackend::Auto))
    }

    fn gpu(data: TensorData, dtype: FloatDType) -> CubeTensor {
        CubeBackend::float_cast(CubeBackend::float_from_data(data, &device()), dtype)
    }

    fn random(shape: [usize; 4]) -> TensorData {
        Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex()).into_data()
    }

    /// `[1, 1, seq, seq]`
    fn bias(seq: usize, is_causal: bool) -> TensorData {
        let hides = |at: usize| is_causal && at % seq > at / seq;
        let bias = (0..seq * seq).map(|at| if hides(at) { f32::NEG_INFINITY } else { 0.0 });
        TensorData::new(bias.collect(), [1, 1, seq, seq])
    }

    #[test]
    fn flash_attention_is_its_formula() {
        // Six query heads over two of keys and values; a number of queries that no tile divides, alone and filled up.
        let [query, key, value] = [6, 2, 2].map(|heads| random([2, heads, 37, 32]));
        for is_causal in [false, true] {
            let bias = bias(37, is_causal);
            let [q, k, v, b] = [&query, &key, &value, &bias]
                .map(|data| Flex::float_from_data(data.clone(), &Default::default()));
            let expected =
                read_sync(Flex::float_into_data(attention::composed::<Flex>(q, k, v, b).context)).unwrap();
            for (dtype, rows, tolerance) in [(FloatDType::F32, 1, 1e-5), (FloatDType::F16, 2 * TILE, 5e-3)] {
                let [q, k, v] = [&query, &key, &value].map(|data| gpu(data.clone(), dtype));
                let inputs = (q, k, v, gpu(bias.clone(), FloatDType::F32), is_causal);
                let strategy = Strategy::Unit(BlueprintStrategy::Inferred(()));
                let found = CubeBackend::float_into_data(flash(inputs, rows, strategy));
                let found = read_sync(found).unwrap().convert::<f32>();
                found.assert_approx_eq::<f32>(&expected, Tolerance::absolute(tolerance));
            }
        }
    }

    #[test]
    fn matrix_units_never_get_f32() {
        let data = || gpu(random([1, 1, 32, 32]), FloatDType::F32);
        assert!(on_matrix_units((data(), data(), data(), data(), true), 2).is_err());
    }

    #[test]
    fn a_kernel_that_computes_something_else_is_found_out() {
        let units = |inputs| Ok(flash(inputs, 2 * TILE, Strategy::Unit(BlueprintStrategy::Inferred(()))));
        assert!(is_exact(units, &device()));
        let sees_all = |(query, key, value, bias, _): Inputs| units((query, key, value, bias, false));
        assert!(!is_exact(sees_all, &device()));
        assert!(!is_exact(|_| Err("it does not start".into()), &device()));
    }
}
