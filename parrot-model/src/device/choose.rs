//! A device's name → the device, after a GPU has computed something whose result is known.

use burn::tensor::{Device, Tensor};

use super::backend::Backend;
use super::found::Found;
use super::name::{self, Kind, Request, Which};
use super::quiet::quietly;
use super::self_test::{one_line, self_test};
use super::wait::wait;
use crate::{Error, Result};

/// A device that is ready, and how it came to be chosen.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChosenDevice {
    /// The device.
    pub device: Device,
    /// Its full name, like `vulkan:discrete:0`.
    pub name: String,
    /// A sentence for the user when `auto` could not take what the build is for: no GPU was found, or one does not work.
    pub notice: Option<String>,
}

/// The device called `name` (see [`SYNTAX`](super::SYNTAX)).
///
/// # Errors
///
/// As [`choose`].
pub fn open(name: &str) -> Result<Device> {
    Ok(choose(name)?.device)
}

/// The device called `name` (see [`SYNTAX`](super::SYNTAX)), and how it was chosen.
///
/// A GPU is opened only after it has computed a small network whose results are known, as [`list`](super::list()) has it do; once
/// for each while a program runs. The CPU is trusted, and so is a driver that computes on it.
///
/// `auto` is the best that is there, in the order of [`Backend::ALL`]; a backend's name is the best of that
/// backend. A driver that computes on the processor is used only when asked for by its full name.
///
/// # Errors
///
/// [`Error::Device`] for an unknown name, a backend that is not built in (naming its cargo feature), a device
/// that is not there (naming those that are), or one that does not work or computes something else than it should; where
/// rayon's threads cannot be started, or should be more than 1024.
pub fn choose(name: &str) -> Result<ChosenDevice> {
    #[cfg(not(target_family = "wasm"))]
    super::threads::start()?;
    match name::parse(name)? {
        Request::Auto => auto(Backend::find, works),
        Request::Of(backend, which) => named(name, backend, which),
    }
}

/// [`open`] for programs that must not block, above all for browsers, where opening a GPU is the only way to begin; the CPU is
/// tested as well. In a browser `auto` is its GPU if the build is for one, else the processor.
///
/// # Errors
///
/// As [`choose`], and [`Error::Device`] for a device that computes something else than it should.
pub async fn open_async(name: &str) -> Result<Device> {
    let found = find_async(name).await?;
    self_test(&found).await.map_err(|reason| Error::device(&found.name(), reason))?;
    Ok(found.device)
}

#[cfg(not(target_family = "wasm"))]
async fn find_async(name: &str) -> Result<Found> {
    let chosen = choose(name)?;
    super::found::found(&chosen.device).ok_or_else(|| Error::device(name, "it is gone".into()))
}

/// Without trying it out, which would wait for it.
#[cfg(target_family = "wasm")]
async fn find_async(name: &str) -> Result<Found> {
    let refuse = |reason: String| Error::device(name, reason);
    let (backend, which) = match name::parse(name)? {
        Request::Auto if Backend::WebGpu.is_built() => (Backend::WebGpu, Which::Best),
        Request::Auto => (Backend::Cpu, Which::Best),
        Request::Of(backend, which) => (backend, which),
    };
    if !backend.is_built() {
        return Err(refuse(format!("this build has no {backend} backend")));
    }
    backend.start().await.map_err(|reason| refuse(one_line(&reason)))?;
    let found = backend.find();
    pick(&found, which).cloned().ok_or_else(|| refuse(absent(backend, &found)))
}

fn named(name: &str, backend: Backend, which: Which) -> Result<ChosenDevice> {
    let refuse = |reason: String| Error::device(name, reason);
    if !backend.is_built() {
        let feature = backend.feature();
        return Err(refuse(format!(
            "this build has no {backend} backend; build with `--features {feature}`"
        )));
    }
    let found = backend.find();
    let chosen = pick(&found, which).ok_or_else(|| refuse(absent(backend, &found)))?;
    works(chosen).map_err(refuse)?;
    Ok(ready(chosen, None))
}

/// The first device, best backend first, that works. What is there and whether it works are arguments so
/// that machines can be made up.
fn auto(
    find: impl Fn(Backend) -> Vec<Found>,
    works: impl Fn(&Found) -> Result<(), String>,
) -> Result<ChosenDevice> {
    let built: Vec<Backend> = Backend::ALL.into_iter().filter(|backend| backend.is_built()).collect();
    let mut failures = Vec::new();
    for backend in Backend::ALL {
        // All devices of the backend are tried: if one GPU of two fails, the other may work.
        for found in find(backend).iter().filter(|found| !found.is_software()) {
            match works(found) {
                Ok(()) => return Ok(ready(found, notice(found, &built, &failures))),
                Err(reason) => failures.push(format!("{} does not work: {reason}", found.name())),
            }
        }
    }
    let mut reasons = vec![no_gpu(&built).unwrap_or_else(|| "this build has no backend".into())];
    reasons.extend(failures);
    reasons.push("a build with `--features flex` computes on the CPU".into());
    Err(Error::device("auto", reasons.join("; ")))
}

/// The chosen device, with what there is to tell the user about it.
fn ready(chosen: &Found, notice: Option<String>) -> ChosenDevice {
    ChosenDevice { device: chosen.device.clone(), name: chosen.name(), notice }
}

/// What to say about `auto`'s choice, if it is not what the build is for.
fn notice(chosen: &Found, built: &[Backend], failures: &[String]) -> Option<String> {
    let reason = match failures {
        [] if chosen.backend == Backend::Cpu => no_gpu(built)?,
        [] => return None,
        failures => failures.join("; "),
    };
    Some(format!("{reason}; computing on {}", chosen.name()))
}

/// `no GPU was found through CUDA or Vulkan`; `None` if no GPU backend is built in.
fn no_gpu(built: &[Backend]) -> Option<String> {
    let gpus = built.iter().filter(|backend| **backend != Backend::Cpu);
    let gpus: Vec<String> = gpus.map(Backend::to_string).collect();
    (!gpus.is_empty()).then(|| format!("no GPU was found through {}", gpus.join(" or ")))
}

fn pick(found: &[Found], which: Which) -> Option<&Found> {
    match which {
        Which::Best => found.iter().find(|found| !found.is_software()),
        exact => found.iter().find(|found| found.which == exact),
    }
}

fn absent(backend: Backend, found: &[Found]) -> String {
    let names: Vec<String> = found.iter().map(Found::name).collect();
    if names.is_empty() {
        format!("no {backend} device was found: there is no such hardware, or no driver for it")
    } else {
        format!("there is none; what {backend} found is {}", names.join(", "))
    }
}

/// Whether a device that was chosen may be used. The CPU always; a driver that computes on it is nobody's choice but for trying
/// things out, where minutes of compiling kernels are not wanted, so it only has to add two numbers.
fn works(found: &Found) -> Result<(), String> {
    match (found.backend, found.which) {
        (Backend::Cpu, _) => Ok(()),
        (_, Which::Adapter(Kind::Cpu, _)) => try_out(found),
        _ => try_out(found).and_then(|()| passes(found)),
    }
}

/// Makes a GPU add two numbers: with a missing or outdated driver, the first operation fails. The self-test would say so
/// too, but only after kernels of products were chosen by measuring.
pub(super) fn try_out(found: &Found) -> Result<(), String> {
    if found.backend == Backend::Cpu {
        return Ok(());
    }
    let device = &found.device;
    let sum = || Tensor::<1>::from_floats([1.0], device).add_scalar(2.0).try_into_scalar::<f32>();
    match quietly(sum)? {
        Ok(3.0) => Ok(()),
        Ok(sum) => Err(format!("it says that 1 + 2 is {sum}")),
        Err(error) => Err(one_line(&error.to_string())),
    }
}

/// The [`self_test`]; where the driver panics, what it said.
pub(super) fn passes(found: &Found) -> Result<(), String> {
    quietly(|| wait(self_test(found)))?
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device::found::name_of;

    /// A machine with these; the CPU stands in for every one of them.
    fn machine(devices: &[(Backend, Which)]) -> impl Fn(Backend) -> Vec<Found> {
        move |wanted| {
            let devices = devices.iter().filter(|(backend, _)| *backend == wanted);
            devices.map(|(backend, which)| Found::new(*backend, *which, Device::flex())).collect()
        }
    }

    const CPU: (Backend, Which) = (Backend::Cpu, Which::Best);
    const CUDA: (Backend, Which) = (Backend::Cuda, Which::Index(0));

    fn adapter(backend: Backend, kind: Kind) -> (Backend, Which) {
        (backend, Which::Adapter(kind, 0))
    }

    #[test]
    fn auto_takes_the_best_that_is_there() {
        let vulkan = |kind| adapter(Backend::Vulkan, kind);
        let wgpu = |kind| adapter(Backend::Wgpu, kind);
        for (devices, expected) in [
            (vec![CPU], "cpu"),
            (vec![CPU, vulkan(Kind::Cpu), wgpu(Kind::Other)], "cpu"),
            (vec![CPU, wgpu(Kind::Integrated)], "wgpu:integrated:0"),
            (vec![CPU, wgpu(Kind::Discrete), vulkan(Kind::Discrete), vulkan(Kind::Cpu)], "vulkan:discrete:0"),
            (
                vec![CPU, vulkan(Kind::Discrete), adapter(Backend::Metal, Kind::Integrated)],
                "metal:integrated:0",
            ),
            (vec![CPU, vulkan(Kind::Discrete), (Backend::Rocm, Which::Index(0))], "rocm:0"),
            (vec![(Backend::Rocm, Which::Index(0)), CUDA, CPU, vulkan(Kind::Discrete)], "cuda:0"),
        ] {
            assert_eq!(auto(machine(&devices), |_| Ok(())).unwrap().name, expected, "{devices:?}");
        }
    }

    #[test]
    fn auto_passes_over_what_does_not_work_and_says_so() {
        let works = |found: &Found| match found.backend {
            Backend::Cuda => Err("the driver is too old".into()),
            _ => Ok(()),
        };
        let choice = auto(machine(&[CUDA, CPU]), works).unwrap();
        assert_eq!(choice.name, "cpu");
        let notice = "cuda:0 does not work: the driver is too old; computing on cpu";
        assert_eq!(choice.notice.as_deref(), Some(notice));
        let error = auto(machine(&[CUDA]), works).unwrap_err().to_string();
        assert!(error.contains("the driver is too old") && error.contains("--features flex"), "{error}");
    }

    #[test]
    fn auto_speaks_up_only_when_a_gpu_was_to_be_expected() {
        let cpu = machine(&[CPU])(Backend::Cpu).remove(0);
        let cuda = machine(&[CUDA])(Backend::Cuda).remove(0);
        let built = [Backend::Cuda, Backend::Vulkan, Backend::Cpu];
        assert_eq!(
            notice(&cpu, &built, &[]).unwrap(),
            "no GPU was found through CUDA or Vulkan; computing on cpu"
        );
        assert_eq!(notice(&cpu, &[Backend::Cpu], &[]), None);
        assert_eq!(notice(&cuda, &built, &[]), None);
    }

    #[test]
    fn software_is_used_only_when_asked_for() {
        let found = machine(&[adapter(Backend::Vulkan, Kind::Cpu)])(Backend::Vulkan);
        assert!(pick(&found, Which::Best).is_none());
        assert!(pick(&found, Which::Adapter(Kind::Discrete, 0)).is_none());
        assert_eq!(pick(&found, Which::Adapter(Kind::Cpu, 0)).unwrap().name(), "vulkan:cpu");
        let error = absent(Backend::Vulkan, &found);
        assert_eq!(error, "there is none; what Vulkan found is vulkan:cpu");
    }

    #[test]
    fn what_is_not_there_is_explained() {
        assert_eq!(
            absent(Backend::Cuda, &[]),
            "no CUDA device was found: there is no such hardware, or no driver for it"
        );
        for backend in Backend::ALL.into_iter().filter(|backend| !backend.is_built()) {
            let error = choose(backend.name()).unwrap_err().to_string();
            let name = backend.name();
            let reason = format!("this build has no {backend} backend; build with `--features {name}`");
            assert_eq!(error, format!("device {name}: {reason}"));
        }
    }

    #[test]
    fn the_cpu_is_always_there() {
        let cpu = choose("cpu").unwrap();
        assert_eq!((cpu.name.as_str(), cpu.notice), ("cpu", None));
        assert_eq!(name_of(&cpu.device), "cpu");
    }
}
