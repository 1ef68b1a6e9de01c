//! The backends.
//!
//! Outside of `ops`, only this file and `found.rs` ask which of them are built in.

use std::fmt;

use burn::tensor::DeviceType;

/// A way to compute, built in by a cargo feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// NVIDIA GPUs.
    Cuda,
    /// AMD GPUs, through HIP.
    Rocm,
    /// Apple GPUs, through wgpu, with kernels in Metal's own language.
    Metal,
    /// GPUs of any maker, through wgpu, with kernels in SPIR-V.
    Vulkan,
    /// GPUs of any maker, through whichever graphics interface the system has.
    Wgpu,
    /// A browser's GPU; never there outside one.
    WebGpu,
    /// The processor, through Burn's flex backend.
    Cpu,
}

impl Backend {
    /// Every backend, in the order in which `auto` prefers them.
    pub const ALL: [Self; 7] =
        [Self::Cuda, Self::Rocm, Self::Metal, Self::Vulkan, Self::Wgpu, Self::WebGpu, Self::Cpu];

    /// How a device of it is named: `cuda`, `vulkan`, `cpu`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Metal => "metal",
            Self::Vulkan => "vulkan",
            Self::Wgpu => "wgpu",
            Self::WebGpu => "webgpu",
            Self::Cpu => "cpu",
        }
    }

    /// The cargo feature that builds it in.
    #[must_use]
    pub fn feature(self) -> &'static str {
        match self {
            Self::Cpu => "flex",
            other => other.name(),
        }
    }

    /// Whether this build has it.
    #[must_use]
    pub fn is_built(self) -> bool {
        self.device_type().is_some()
    }

    /// What Burn calls it, if it is built in.
    pub(super) fn device_type(self) -> Option<DeviceType> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda => Some(DeviceType::Cuda),
            #[cfg(feature = "rocm")]
            Self::Rocm => Some(DeviceType::Rocm),
            #[cfg(feature = "metal")]
            Self::Metal => Some(DeviceType::Metal),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Some(DeviceType::Vulkan),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Some(DeviceType::Wgpu),
            #[cfg(feature = "webgpu")]
            Self::WebGpu => Some(DeviceType::WebGpu),
            #[cfg(feature = "flex")]
            Self::Cpu => Some(DeviceType::Flex),
            #[allow(unreachable_patterns)]
            _ => None,
        }
    }

    /// Asks the browser for its GPU; the others need no asking.
    ///
    /// # Errors
    ///
    /// What the browser said.
    #[cfg(target_family = "wasm")]
    pub(super) async fn start(self) -> Result<(), String> {
        #[cfg(feature = "webgpu")]
        if self == Self::WebGpu {
            use std::sync::atomic::{AtomicBool, Ordering};

            use burn::tensor::wgpu::WgpuBackend;
            use burn::tensor::{Device, DeviceKind};

            // It can be asked for once.
            static IS_STARTED: AtomicBool = AtomicBool::new(false);
            if IS_STARTED.load(Ordering::Relaxed) {
                return Ok(());
            }
            // The one that is found: a browser has one GPU, and does not say of which kind it is.
            let options = Device::wgpu_options().device_kind(DeviceKind::DiscreteGpu(0));
            let options = options.graphics_api(WgpuBackend::WebGpu);
            options.init_async().await.map_err(|error| error.to_string())?;
            IS_STARTED.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl fmt::Display for Backend {
    /// Its name as its makers write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cuda => "CUDA",
            Self::Rocm => "ROCm",
            Self::Metal => "Metal",
            Self::Vulkan => "Vulkan",
            Self::Wgpu => "wgpu",
            Self::WebGpu => "WebGPU",
            Self::Cpu => "CPU",
        })
    }
}
