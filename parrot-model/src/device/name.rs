//! Devices as people write them: `auto`, `cuda:1`, `vulkan:discrete:0`.

use std::fmt;

use super::backend::Backend;
use crate::{Error, Result};

/// What [`choose`](super::choose()) takes, for help texts.
pub const SYNTAX: &str = "auto, cpu, cuda[:N], rocm[:N], or metal, vulkan, wgpu or webgpu, each alone or followed \
                          by :discrete[:N], :integrated[:N], :virtual[:N], :other[:N] or :cpu";

/// A device as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// The best that there is.
    Auto,
    /// One of a backend.
    Of(Backend, Which),
}

/// Which device of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// The best; the CPU has no other.
    Best,
    /// CUDA and ROCm number their devices.
    Index(usize),
    /// Graphics interfaces number them within their kind.
    Adapter(Kind, usize),
}

/// What a graphics interface says an adapter is, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A card with its own memory.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU that is lent to a virtual machine.
    Virtual,
    /// The driver does not say, so it may be the processor in disguise.
    Other,
    /// A driver that computes on the processor, like Mesa's lavapipe.
    Cpu,
}

impl Kind {
    pub(super) const NUMBERED: [Self; 4] = [Self::Discrete, Self::Integrated, Self::Virtual, Self::Other];

    fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Other => "other",
            Self::Cpu => "cpu",
        }
    }
}

impl fmt::Display for Which {
    /// What follows the backend's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => Ok(()),
            Self::Index(index) => write!(f, ":{index}"),
            Self::Adapter(Kind::Cpu, _) => write!(f, ":{}", Kind::Cpu.name()),
            Self::Adapter(kind, index) => write!(f, ":{}:{index}", kind.name()),
        }
    }
}

/// Reads a device's name.
///
/// # Errors
///
/// [`Error::Device`] for anything that is not of the form [`SYNTAX`].
pub(super) fn parse(name: &str) -> Result<Request> {
    let refuse = |reason: String| Error::device(name, reason);
    let mut parts = name.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    if first == "auto" {
        return match rest[..] {
            [] => Ok(Request::Auto),
            _ => Err(refuse("`auto` stands alone".into())),
        };
    }
    let Some(backend) = Backend::ALL.into_iter().find(|backend| backend.name() == first) else {
        return Err(refuse(format!("there is no such device; write {SYNTAX}")));
    };
    let which = match backend {
        Backend::Cpu if rest.is_empty() => Ok(Which::Best),
        Backend::Cpu => Err("`cpu` stands alone: there is one".into()),
        Backend::Cuda | Backend::Rocm => indexed(first, &rest),
        Backend::Metal | Backend::Vulkan | Backend::Wgpu | Backend::WebGpu => adapter(first, &rest),
    };
    which.map(|which| Request::Of(backend, which)).map_err(refuse)
}

fn indexed(backend: &str, rest: &[&str]) -> Result<Which, String> {
    match rest {
        [] => Ok(Which::Best),
        [index] => Ok(Which::Index(number(index)?)),
        _ => Err(format!("write {backend} or {backend}:N")),
    }
}

fn adapter(backend: &str, rest: &[&str]) -> Result<Which, String> {
    let (kind, rest) = match rest {
        [] => return Ok(Which::Best),
        ["cpu"] => return Ok(Which::Adapter(Kind::Cpu, 0)),
        [kind, rest @ ..] => (kind, rest),
    };
    match (Kind::NUMBERED.into_iter().find(|known| known.name() == *kind), rest) {
        (Some(kind), []) => Ok(Which::Adapter(kind, 0)),
        (Some(kind), [index]) => Ok(Which::Adapter(kind, number(index)?)),
        _ => Err(format!(
            "write {backend}, {backend}:cpu, or {backend}:KIND or {backend}:KIND:N with KIND one of discrete, \
             integrated, virtual, other"
        )),
    }
}

/// Digits alone: no sign, no blanks.
fn number(text: &str) -> Result<usize, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Drivers number devices with 16 bits.
    let number = text.parse::<u16>().ok().filter(|_| is_number);
    number.map(usize::from).ok_or_else(|| format!("`{text}` is no device number: those are 0, 1, 2, …"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        use Which::{Adapter, Best, Index};
        for (name, backend, which) in [
            ("cpu", Backend::Cpu, Best),
            ("cuda", Backend::Cuda, Best),
            ("cuda:0", Backend::Cuda, Index(0)),
            ("cuda:11", Backend::Cuda, Index(11)),
            ("rocm", Backend::Rocm, Best),
            ("rocm:1", Backend::Rocm, Index(1)),
            ("metal", Backend::Metal, Best),
            ("metal:integrated:0", Backend::Metal, Adapter(Kind::Integrated, 0)),
            ("vulkan", Backend::Vulkan, Best),
            ("vulkan:cpu", Backend::Vulkan, Adapter(Kind::Cpu, 0)),
            ("vulkan:discrete", Backend::Vulkan, Adapter(Kind::Discrete, 0)),
            ("vulkan:discrete:2", Backend::Vulkan, Adapter(Kind::Discrete, 2)),
            ("vulkan:integrated:0", Backend::Vulkan, Adapter(Kind::Integrated, 0)),
            ("wgpu", Backend::Wgpu, Best),
            ("wgpu:virtual:1", Backend::Wgpu, Adapter(Kind::Virtual, 1)),
            ("wgpu:other", Backend::Wgpu, Adapter(Kind::Other, 0)),
            ("wgpu:cpu", Backend::Wgpu, Adapter(Kind::Cpu, 0)),
            ("webgpu", Backend::WebGpu, Best),
        ] {
            assert_eq!(parse(name).unwrap(), Request::Of(backend, which), "{name}");
        }
        assert_eq!(parse("auto").unwrap(), Request::Auto);
    }

    #[test]
    fn a_full_name_is_read_as_it_was_written() {
        for name in ["cpu", "cuda:3", "rocm:0", "metal:integrated:0", "vulkan:discrete:1", "wgpu:cpu"] {
            let Request::Of(backend, which) = parse(name).unwrap() else { panic!("{name}") };
            assert_eq!(format!("{}{which}", backend.name()), name);
        }
    }

    #[test]
    fn everything_else_is_refused_in_words() {
        let kinds = "write vulkan, vulkan:cpu, or vulkan:KIND or vulkan:KIND:N with KIND one of discrete, \
                     integrated, virtual, other";
        let unknown = format!("there is no such device; write {SYNTAX}");
        let number = |text| format!("`{text}` is no device number: those are 0, 1, 2, …");
        for (name, reason) in [
            ("", unknown.as_str()),
            ("gpu", &unknown),
            ("CUDA", &unknown),
            (" cpu", &unknown),
            (":0", &unknown),
            ("auto:0", "`auto` stands alone"),
            ("cpu:0", "`cpu` stands alone: there is one"),
            ("cuda:", &number("")),
            ("cuda:one", &number("one")),
            ("cuda:-1", &number("-1")),
            ("cuda:+1", &number("+1")),
            ("cuda:70000", &number("70000")),
            ("cuda:0:1", "write cuda or cuda:N"),
            ("vulkan:0", kinds),
            ("vulkan:fast", kinds),
            ("vulkan:cpu:0", kinds),
            ("vulkan:discrete:0:0", kinds),
            ("vulkan:discrete:x", &number("x")),
        ] {
            assert_eq!(parse(name).unwrap_err().to_string(), format!("device {name}: {reason}"));
        }
    }
}
