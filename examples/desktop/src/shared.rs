//! One graphics device for the window and for the model.
//!
//! The device has to be made before the window is, by Burn, which hands out what it is made of: nothing that it computes has to
//! leave the GPU to be drawn. It works with the backends that are wgpu's: `wgpu`, `vulkan` and `metal`.

use eframe::egui_wgpu::{WgpuSetup, WgpuSetupExisting};
use parrot_infer::burn::tensor::Device;
use parrot_infer::device;

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
    device::graphics_devices(name).ok()?.into_iter().find_map(|choice| {
        let options = Device::wgpu_options().device_kind(choice.kind).graphics_api(choice.api);
        let (_, setup) = options.init_with_setup().ok()?;
        let (instance, adapter) = (setup.instance, setup.adapter);
        let setup = WgpuSetupExisting { instance, adapter, device: setup.device, queue: setup.queue };
        Some(Shared { name: choice.name, setup: WgpuSetup::Existing(setup) })
    })
}
