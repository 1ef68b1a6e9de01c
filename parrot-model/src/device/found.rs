//! What each backend finds on this machine.

use burn::tensor::Device;

use super::backend::Backend;
use super::name::{Kind, Which};
use super::quiet::quietly;

impl Backend {
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

/// A device's memory in bytes, where it reports it.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Memory {
    pub(super) total: Option<u64>,
    /// The largest tensor: CubeCL allocates none that shaders could not bind.
    pub(super) largest: Option<u64>,
}

/// A device that is there.
#[derive(Debug, Clone, derive_new::new)]
pub(super) struct Found {
    pub(super) backend: Backend,
    pub(super) which: Which,
    pub(super) device: Device,
}

impl Found {
    /// The name that [`choose`](super::choose()) takes for it.
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

/// The name that [`open`](super::open) takes for a device of this machine: `cuda:0`.
#[must_use]
pub fn name_of(device: &Device) -> String {
    found(device).map_or_else(|| format!("{device:?}"), |found| found.name())
}

/// The device among those of this machine; the CPU is asked for first, as that costs nothing.
pub(super) fn found(device: &Device) -> Option<Found> {
    let backends = Backend::ALL.into_iter().rev();
    backends.flat_map(Backend::find).find(|found| found.device == *device)
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
#[cfg(feature = "cube")]
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

#[cfg(not(feature = "cube"))]
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
