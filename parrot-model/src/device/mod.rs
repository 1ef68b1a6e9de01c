//! Where the network runs: a device's name → Burn's [`Device`](burn::tensor::Device).
//!
//! Everything else takes a [`Device`](burn::tensor::Device) and never asks what is behind it. Cargo features decide which
//! backends a build has (`flex`, `cuda`, `rocm`, `metal`, `vulkan`, `wgpu`, `webgpu`; any number of them), and a name
//! decides at run time which device is used:
//!
//! ```
//! use parrot_model::device;
//!
//! let device = device::open("auto")?;
//! let dtype = device::float_dtype(&device, None)?;
//! # Ok::<(), parrot_model::Error>(())
//! ```
//!
//! Burn's own default is the first backend that is built in, and a GPU without a driver fails on the device's
//! own thread at its first operation. Here a device is used only if it is there, and only after it has
//! computed something.

mod backend;
mod choose;
mod float_dtype;
mod found;
#[cfg(feature = "wgpu")]
mod graphics;
mod lanes;
mod list;
mod matmul_rate;
mod memory;
mod name;
mod precision;
mod process;
mod quiet;
mod self_test;
#[cfg(not(target_family = "wasm"))]
mod threads;
mod wait;
mod weight_dtype;

pub use backend::Backend;
pub use choose::{ChosenDevice, choose, open, open_async};
pub use float_dtype::{dtype_name, float_dtype, is_cpu, parameter_dtype, parse_dtype, training_dtype};
pub use found::name_of;
#[cfg(feature = "wgpu")]
pub use graphics::{GraphicsDevice, graphics_devices};
pub use lanes::{lanes, side_by_side};
pub use list::{DeviceInfo, list};
pub use matmul_rate::{MatmulRate, matmul_rate};
pub(crate) use memory::require_memory;
pub use memory::widest_dtype;
pub use name::SYNTAX;
pub use precision::{Precision, activation_dtype};
pub use process::name_of_process;
pub use quiet::panics_in_one_line;
pub use wait::wait;
pub use weight_dtype::{PartDtypes, WeightDtype, parse_weight_dtype, weight_dtype};
