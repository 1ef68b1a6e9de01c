//! The backends, and what each finds on this machine.
//!
//! Outside of `ops`, only this file asks which of them are built in.

use std::fmt;

use burn::tensor::{Device, DeviceType};

use super::memory::Memory;
use super::name::{Kind, Which};
use super::quiet::quietly;

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

    fn device_type(self) -> Option<DeviceType> {
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

            use burn::tensor::DeviceKind;
            use burn::tensor::wgpu::WgpuBackend;

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

    /// Its devices on this machine, best first: none where it is not built in, or has no driver.
    pub(super) fn find(self) -> Vec<Found> {
        let Some(device_type) = self.device_type() else {
            return Vec::new();
        };
        let enumerate = || Device::enumerate(device_type).to_vec();
        if self == Self::Cpu {
            return enumerate().into_iter().map(|device| Found::new(self, Which::Best, device)).collect();
        }
        // Asking is safe without a driver; one too old for the question may still panic.
        let present = quietly(enumerate).unwrap_or_default();
        let numbers = 0..present.len();
        let names: Vec<Which> = match self {
            Self::Cuda | Self::Rocm => numbers.map(Which::Index).collect(),
            _ => {
                let numbered = Kind::NUMBERED
                    .into_iter()
                    .flat_map(|kind| numbers.clone().map(move |number| Which::Adapter(kind, number)));
                numbered.chain([Which::Adapter(Kind::Cpu, 0)]).collect()
            }
        };
        let devices = names.into_iter().filter_map(|which| {
            let device = gpu::device(self, which)?;
            present.contains(&device).then(|| Found::new(self, which, device))
        });
        devices.collect()
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

/// A device that is there.
#[derive(Debug, Clone, derive_new::new)]
pub(super) struct Found {
    pub(super) backend: Backend,
    pub(super) which: Which,
    pub(super) device: Device,
}

impl Found {
    /// The name that [`choose`](super::choose) takes for it.
    pub(super) fn name(&self) -> String {
        format!("{}{}", self.backend.name(), self.which)
    }

    /// Whether it is, or may be, the processor behind a graphics driver: slower than the CPU backend, so
    /// used only when asked for.
    pub(super) fn is_software(&self) -> bool {
        matches!(self.which, Which::Adapter(Kind::Cpu | Kind::Other, _))
    }

    /// The adapter's name, if known, and its memory. Opens the device; panics if the driver does.
    pub(super) fn describe(&self) -> (Option<String>, Memory) {
        match self.backend {
            Backend::Cpu => (processor(), Memory { total: main_memory(), largest: None }),
            backend => gpu::describe(backend, self.which),
        }
    }

    /// Whether products of f32 may be computed in TF32.
    pub(super) fn rounds_to_tf32(&self) -> bool {
        gpu::rounds_to_tf32(self.backend, self.which)
    }
}

/// The processor's name, where Linux tells it.
fn processor() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// The machine's memory in bytes, where Linux tells it.
fn main_memory() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// What Burn's GPU backends have in common: they are all CubeCL's.
#[cfg(any(feature = "cuda", feature = "rocm", feature = "wgpu"))]
mod gpu {
    use burn::cubecl;
    use burn::cubecl::device::{AmdDevice, CudaDevice, WgpuBackend, WgpuDevice, WgpuDeviceKind};
    use burn::cubecl::ir::{ElemType, FloatKind};
    use burn::tensor::Device;

    use super::{Backend, Kind, Memory, Which};

    pub(super) fn device(backend: Backend, which: Which) -> Option<Device> {
        cube(backend, which).map(Device::new)
    }

    pub(super) fn describe(backend: Backend, which: Which) -> (Option<String>, Memory) {
        let Some(device) = cube(backend, which) else {
            return (None, Memory::default());
        };
        let client = device.client();
        let properties = client.properties();
        let memory = &properties.memory;
        let memory = Memory { total: memory.max_memory(), largest: Some(memory.max_page_size) };
        (Some(properties.identity.name.clone()), memory)
    }

    pub(super) fn rounds_to_tf32(backend: Backend, which: Which) -> bool {
        let tf32 = ElemType::Float(FloatKind::TF32);
        cube(backend, which).is_some_and(|device| device.client().properties().supports_type(tf32))
    }

    fn cube(backend: Backend, which: Which) -> Option<cubecl::Device> {
        let adapter = |interface| match which {
            Which::Adapter(kind, number) => {
                Some(cubecl::Device::Wgpu(WgpuDevice::new(wgpu_kind(kind, number)).on(interface)))
            }
            _ => None,
        };
        match (backend, which) {
            (Backend::Cuda, Which::Index(index)) => Some(cubecl::Device::Cuda(CudaDevice { index })),
            (Backend::Rocm, Which::Index(index)) => Some(cubecl::Device::Hip(AmdDevice { index })),
            (Backend::Metal, _) => adapter(WgpuBackend::Metal),
            (Backend::Vulkan, _) => adapter(WgpuBackend::Vulkan),
            (Backend::Wgpu, _) => adapter(WgpuBackend::Auto),
            (Backend::WebGpu, _) => adapter(WgpuBackend::WebGpu),
            _ => None,
        }
    }

    fn wgpu_kind(kind: Kind, number: usize) -> WgpuDeviceKind {
        match kind {
            Kind::Discrete => WgpuDeviceKind::DiscreteGpu(number),
            Kind::Integrated => WgpuDeviceKind::IntegratedGpu(number),
            Kind::Virtual => WgpuDeviceKind::VirtualGpu(number),
            Kind::Other => WgpuDeviceKind::Other(number),
            Kind::Cpu => WgpuDeviceKind::Cpu,
        }
    }
}

#[cfg(not(any(feature = "cuda", feature = "rocm", feature = "wgpu")))]
mod gpu {
    use burn::tensor::Device;

    use super::{Backend, Memory, Which};

    pub(super) fn device(_: Backend, _: Which) -> Option<Device> {
        None
    }

    pub(super) fn describe(_: Backend, _: Which) -> (Option<String>, Memory) {
        (None, Memory::default())
    }

    pub(super) fn rounds_to_tf32(_: Backend, _: Which) -> bool {
        false
    }
}
