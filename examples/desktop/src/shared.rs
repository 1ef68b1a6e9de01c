//! One graphics device for the window and for the model.
//!
//! The device has to be made before the window is, by Burn, which hands out what it is made of: nothing that it computes has to
//! leave the GPU to be drawn. It works with the backends that are wgpu's: `wgpu`, `vulkan` and `metal`.

use eframe::egui_wgpu::{WgpuSetup, WgpuSetupExisting};
use parrot_infer::burn::tensor::wgpu::WgpuBackend;
use parrot_infer::burn::tensor::{Device, DeviceKind};
use parrot_infer::device::Backend;

/// A device that both use.
pub(crate) struct Shared {
    /// As [`parrot_infer::device::open`] takes it.
    pub(crate) name: String,
    /// What the window is to draw with.
    pub(crate) setup: WgpuSetup,
}

/// Makes the device of this name, or the best that there is of wgpu's for `auto`; `None` if the name is of another backend, or if
/// there is no such device, which is then told where the model is loaded.
pub(crate) fn open(name: &str) -> Option<Shared> {
    let mut parts = name.split(':');
    let first = parts.next().unwrap_or_default();
    let is_ours = |backend: &Backend| api(*backend).is_some() && backend.is_built();
    let backends: Vec<Backend> = match first {
        // These come first for `auto`, and are no devices of wgpu's.
        "auto" if Backend::Cuda.is_built() || Backend::Rocm.is_built() => return None,
        "auto" => Backend::ALL.into_iter().filter(is_ours).collect(),
        _ => Backend::ALL.into_iter().filter(is_ours).filter(|backend| backend.name() == first).collect(),
    };
    let number: usize = name.split(':').nth(2).map_or(Some(0), |number| number.parse().ok())?;
    let kinds: Vec<(DeviceKind, String)> = match parts.next() {
        None => {
            ["discrete", "integrated", "virtual"].into_iter().filter_map(|kind| kind_of(kind, 0)).collect()
        }
        Some(kind) => kind_of(kind, number).into_iter().collect(),
    };
    let choices = backends.iter().flat_map(|backend| kinds.iter().map(move |kind| (*backend, kind)));
    choices.into_iter().find_map(|(backend, (kind, rest))| {
        let options = Device::wgpu_options().device_kind(kind.clone()).graphics_api(api(backend)?);
        let (_, setup) = options.init_with_setup().ok()?;
        let (instance, adapter) = (setup.instance, setup.adapter);
        let setup = WgpuSetupExisting { instance, adapter, device: setup.device, queue: setup.queue };
        Some(Shared { name: format!("{}:{rest}", backend.name()), setup: WgpuSetup::Existing(setup) })
    })
}

fn api(backend: Backend) -> Option<WgpuBackend> {
    match backend {
        Backend::Metal => Some(WgpuBackend::Metal),
        Backend::Vulkan => Some(WgpuBackend::Vulkan),
        Backend::Wgpu => Some(WgpuBackend::Auto),
        _ => None,
    }
}

/// A kind of adapter, and what follows the backend's name in the device's.
fn kind_of(kind: &str, number: usize) -> Option<(DeviceKind, String)> {
    let name = format!("{kind}:{number}");
    Some(match kind {
        "discrete" => (DeviceKind::DiscreteGpu(number), name),
        "integrated" => (DeviceKind::IntegratedGpu(number), name),
        "virtual" => (DeviceKind::VirtualGpu(number), name),
        "cpu" => (DeviceKind::Cpu, kind.to_owned()),
        _ => return None,
    })
}
