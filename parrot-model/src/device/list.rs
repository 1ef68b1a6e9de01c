//! Every device of this machine.

use burn::tensor::FloatDType;

use super::backend::Backend;
use super::choose::{passes, try_out};
use super::float_dtype::{default_of, supported};
use super::found::Found;
use super::quiet::quietly;

/// A device of this machine that this build knows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The name that [`open`](super::open) takes.
    pub name: String,
    /// What computes on it.
    pub backend: Backend,
    /// The adapter or processor, where it is known.
    pub adapter: Option<String>,
    /// Its memory in bytes, where it is known. A GPU that shares the processor's memory says how much of it.
    pub memory: Option<u64>,
    /// What it computes in, the most precise first.
    pub dtypes: Vec<FloatDType>,
    /// The one of [`dtypes`](Self::dtypes) that is used unless another is asked for.
    pub default_dtype: FloatDType,
    /// Whether `auto` takes it.
    pub is_auto: bool,
    /// Why it does not work, if it does not.
    pub problem: Option<String>,
}

/// Every device of this machine that this build knows, in the order in which `auto` prefers their backends.
/// Opens them all, one after the other, and lets each compute a small network whose results are known.
#[must_use]
pub fn list() -> Vec<DeviceInfo> {
    let mut is_taken = false;
    let found = Backend::ALL.into_iter().flat_map(Backend::find);
    let describe = |found: Found| {
        let mut problem = try_out(&found).and_then(|()| passes(&found)).err();
        let (adapter, memory) = quietly(|| found.describe()).unwrap_or_else(|reason| {
            problem.get_or_insert(reason);
            Default::default()
        });
        let dtypes = match problem {
            None => supported(Some(found.backend), &found.device),
            Some(_) => Vec::new(),
        };
        let is_auto = !is_taken && problem.is_none() && !found.is_software();
        is_taken |= is_auto;
        DeviceInfo {
            name: found.name(),
            backend: found.backend,
            adapter,
            memory: memory.total,
            default_dtype: default_of(Some(found.backend), &dtypes),
            dtypes,
            is_auto,
            problem,
        }
    };
    found.map(describe).collect()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device::choose;

    #[test]
    fn the_cpu_is_always_listed() {
        let devices = list();
        assert_eq!(devices.iter().filter(|device| device.is_auto).count(), 1);
        let auto = devices.iter().find(|device| device.is_auto).unwrap();
        assert_eq!(auto.name, choose("auto").unwrap().name);
        let cpu = devices.last().unwrap();
        assert_eq!((cpu.name.as_str(), &cpu.problem), ("cpu", &None));
        assert_eq!(cpu.dtypes, [FloatDType::F32, FloatDType::F16, FloatDType::BF16]);
    }
}
