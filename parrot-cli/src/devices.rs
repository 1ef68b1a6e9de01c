//! `parrot devices`: where this build can compute on this machine.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::Result;
use parrot_infer::device::{self, Backend, DeviceInfo};
use serde::Serialize;

use crate::report::readable_bytes;
use crate::terminal::print_json;

/// Show what --device takes here: the devices of this machine, and what this build lacks
///
/// Every device is opened and computes a small network whose results are known, so a driver that does not work, or computes
/// something else, is found out.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  parrot devices
  parrot devices --json";

pub(crate) fn run(args: &Args) -> Result<()> {
    let offer = Offer::new(&device::list());
    if args.json {
        print_json(&serde_json::to_string(&offer)?)?;
    } else {
        write!(io::stdout(), "{}", offer.to_text())?;
    }
    Ok(())
}

/// The devices of this machine, and what this build lacks.
#[derive(Debug, Serialize)]
struct Offer {
    devices: Vec<Device>,
    /// Backends of this build that found nothing.
    without_device: Vec<&'static str>,
    not_built: Vec<Missing>,
}

#[derive(Debug, Serialize)]
struct Device {
    name: String,
    adapter: Option<String>,
    memory_bytes: Option<u64>,
    dtypes: Vec<String>,
    default_dtype: String,
    /// Whether `--device auto` takes it.
    auto: bool,
    problem: Option<String>,
}

/// A backend that this build was made without.
#[derive(Debug, Serialize)]
struct Missing {
    name: &'static str,
    /// The cargo feature that adds it.
    feature: &'static str,
}

impl Offer {
    fn new(devices: &[DeviceInfo]) -> Self {
        let is_there = |backend: &Backend| devices.iter().any(|device| device.backend == *backend);
        let backends = || Backend::ALL.into_iter();
        let without_device = backends().filter(|backend| backend.is_built() && !is_there(backend));
        let not_built = backends().filter(|backend| !backend.is_built());
        Self {
            devices: devices.iter().map(Device::new).collect(),
            without_device: without_device.map(Backend::name).collect(),
            not_built: not_built
                .map(|backend| Missing { name: backend.name(), feature: backend.feature() })
                .collect(),
        }
    }

    fn to_text(&self) -> String {
        let width = self.devices.iter().map(|device| device.name.len()).max().unwrap_or_default();
        let mut text = String::new();
        for device in &self.devices {
            let mark = if device.auto { "*" } else { " " };
            let _ = writeln!(text, "{mark} {:width$}  {}", device.name, device.to_text());
        }
        if self.devices.iter().any(|device| device.auto) {
            text.push_str("* is what --device auto takes\n");
        }
        if !self.without_device.is_empty() {
            let _ = writeln!(text, "no device found for: {}", self.without_device.join(", "));
        }
        if !self.not_built.is_empty() {
            let features: Vec<&str> = self.not_built.iter().map(|missing| missing.feature).collect();
            let _ = writeln!(text, "not in this build, each a cargo feature: {}", features.join(", "));
        }
        text
    }
}

impl Device {
    fn new(device: &DeviceInfo) -> Self {
        Self {
            name: device.name.clone(),
            adapter: device.adapter.clone(),
            memory_bytes: device.memory,
            dtypes: device.dtypes.iter().map(|dtype| device::dtype_name(*dtype)).collect(),
            default_dtype: device::dtype_name(device.default_dtype),
            auto: device.is_auto,
            problem: device.problem.clone(),
        }
    }

    fn to_text(&self) -> String {
        let adapter = self.adapter.as_deref().unwrap_or("unknown adapter");
        if let Some(problem) = &self.problem {
            return format!("{adapter}, does not work: {problem}");
        }
        let memory = match self.memory_bytes {
            Some(bytes) => readable_bytes(bytes),
            None => "memory unknown".into(),
        };
        // The default first.
        let mut dtypes = vec![format!("{} by default", self.default_dtype)];
        dtypes.extend(self.dtypes.iter().filter(|dtype| **dtype != self.default_dtype).cloned());
        format!("{adapter}, {memory}, {}; self-test passed", dtypes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu() -> Device {
        Device {
            name: "cuda:0".into(),
            adapter: Some("Some GPU".into()),
            memory_bytes: Some(24_000_000_000),
            dtypes: ["f32", "f16", "bf16"].map(String::from).to_vec(),
            default_dtype: "bf16".into(),
            auto: true,
            problem: None,
        }
    }

    #[test]
    fn a_line_says_what_a_device_can_do() {
        let broken = Device {
            name: "vulkan:discrete:0".into(),
            adapter: None,
            auto: false,
            problem: Some("the driver is too old".into()),
            ..gpu()
        };
        let missing = Missing { name: "cpu", feature: "flex" };
        let offer =
            Offer { devices: vec![gpu(), broken], without_device: vec!["wgpu"], not_built: vec![missing] };
        let expected = "\
* cuda:0             Some GPU, 24.0 GB, bf16 by default, f32, f16; self-test passed
  vulkan:discrete:0  unknown adapter, does not work: the driver is too old
* is what --device auto takes
no device found for: wgpu
not in this build, each a cargo feature: flex
";
        assert_eq!(offer.to_text(), expected);
    }
}
