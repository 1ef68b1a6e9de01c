//! A device's name → what Burn takes to make that device, for programs that draw with it as well.

use burn::tensor::DeviceKind;
use burn::tensor::wgpu::WgpuBackend;

use super::backend::Backend;
use super::name::{self, Kind, Request, Which};
use crate::Result;

/// A graphics interface's device that a name may stand for, whether or not this machine has it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GraphicsDevice {
    /// Its full name, which [`open`](super::open) takes: `vulkan:discrete:0`.
    pub name: String,
    /// What [`Device::wgpu_options`](burn::tensor::Device::wgpu_options) calls it.
    pub kind: DeviceKind,
    /// Through which interface.
    pub api: WgpuBackend,
}

/// What `name` may stand for among the devices of this build's graphics interfaces, best first; empty for a device of another
/// backend, and for `auto` where CUDA or ROCm would come first.
///
/// A window that shares its device with the model makes the first of them that it can, before it opens.
///
/// # Errors
///
/// [`Error::Device`](crate::Error::Device) for anything that is not of the form [`SYNTAX`](super::SYNTAX).
pub fn graphics_devices(name: &str) -> Result<Vec<GraphicsDevice>> {
    Ok(candidates(name::parse(name)?, Backend::is_built))
}

fn candidates(request: Request, is_built: impl Fn(Backend) -> bool) -> Vec<GraphicsDevice> {
    let (backends, which) = match request {
        Request::Auto if is_built(Backend::Cuda) || is_built(Backend::Rocm) => return Vec::new(),
        Request::Auto => (Backend::ALL.to_vec(), Which::Best),
        Request::Of(backend, which) => (vec![backend], which),
    };
    let adapters = match which {
        Which::Best => [Kind::Discrete, Kind::Integrated, Kind::Virtual].map(|kind| (kind, 0)).to_vec(),
        Which::Adapter(kind, number) => vec![(kind, number)],
        Which::Index(_) => return Vec::new(),
    };
    let built = backends.into_iter().filter(|backend| is_built(*backend));
    let interfaces = built.filter_map(|backend| Some((backend, api(backend)?)));
    let devices = interfaces.flat_map(|(backend, api)| {
        adapters.iter().filter_map(move |&(kind, number)| {
            let name = format!("{}{}", backend.name(), Which::Adapter(kind, number));
            Some(GraphicsDevice { name, kind: device_kind(kind, number)?, api })
        })
    });
    devices.collect()
}

fn api(backend: Backend) -> Option<WgpuBackend> {
    match backend {
        Backend::Metal => Some(WgpuBackend::Metal),
        Backend::Vulkan => Some(WgpuBackend::Vulkan),
        Backend::Wgpu => Some(WgpuBackend::Auto),
        // A browser's has to be asked for.
        Backend::WebGpu | Backend::Cuda | Backend::Rocm | Backend::Cpu => None,
    }
}

/// `None` where Burn has no word for it.
fn device_kind(kind: Kind, number: usize) -> Option<DeviceKind> {
    match kind {
        Kind::Discrete => Some(DeviceKind::DiscreteGpu(number)),
        Kind::Integrated => Some(DeviceKind::IntegratedGpu(number)),
        Kind::Virtual => Some(DeviceKind::VirtualGpu(number)),
        Kind::Cpu => Some(DeviceKind::Cpu),
        Kind::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: &str, built: &[Backend]) -> Vec<String> {
        let found = candidates(name::parse(name).unwrap(), |backend| built.contains(&backend));
        found.into_iter().map(|device| device.name).collect()
    }

    #[test]
    fn a_name_stands_for_what_it_says_and_no_name_for_the_best() {
        let built = [Backend::Vulkan, Backend::Wgpu, Backend::Cpu];
        assert_eq!(names("wgpu:discrete:1", &built), ["wgpu:discrete:1"]);
        assert_eq!(names("wgpu:cpu", &built), ["wgpu:cpu"]);
        let vulkan = ["vulkan:discrete:0", "vulkan:integrated:0", "vulkan:virtual:0"];
        assert_eq!(names("vulkan", &built), vulkan);
        let wgpu = ["wgpu:discrete:0", "wgpu:integrated:0", "wgpu:virtual:0"];
        assert_eq!(names("auto", &built), [vulkan, wgpu].concat());
    }

    #[test]
    fn devices_of_other_backends_are_none_of_them() {
        let built = [Backend::Cuda, Backend::Wgpu, Backend::Cpu];
        for name in ["auto", "cuda", "cuda:1", "cpu", "metal", "wgpu:other:0"] {
            assert!(names(name, &built).is_empty(), "{name}");
        }
        assert!(graphics_devices("wgpu:fast").is_err());
    }
}
