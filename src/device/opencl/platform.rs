//! Platforms and devices: what there is, and which one a user means.
//!
//! Finding devices never fails: where there is no OpenCL the list is empty. Knows nothing of plans.

use std::cmp::Reverse;

use ocl::core::ffi::{self, cl_bitfield, cl_device_id, cl_platform_id, cl_uint};
use ocl::core::{DeviceId, DeviceInfo, PlatformId, PlatformInfo};

use super::OpenClDevice;
use super::call;
use crate::device::Description;
use crate::diagnostic::{Code, Diagnostic};
use crate::plan::{Class, Limits};

/// A device of this machine.
#[derive(Clone, Debug)]
pub struct Found {
    /// For people; the selector is `platform:device` in numbers.
    pub description: Description,
    /// For the planner.
    pub limits: Limits,
    /// The platform's version, driver build included: part of the key of cached programs.
    pub(super) platform_version: String,
    /// The platform.
    pub(super) platform: PlatformId,
    /// The device.
    pub(super) device: DeviceId,
}

impl Found {
    /// All that a compiled program depends on: platform, its version, device, driver.
    pub(super) fn facts(&self) -> [&str; 4] {
        let Description {
            platform,
            name,
            driver,
            ..
        } = &self.description;
        [platform, &self.platform_version, name, driver]
    }
}

/// Every device of every platform that is available and has a compiler, in the platforms' order.
pub fn devices() -> Vec<Found> {
    // One thread at a time: while one makes PoCL 3.1 ready, another may be told that there is no device.
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut found = Vec::new();
    for (p, platform) in platforms().into_iter().enumerate() {
        for (d, device) in devices_of(platform).into_iter().enumerate() {
            found.extend(describe(platform, device, format!("{p}:{d}")));
        }
    }
    found
}

/// Opens the device that `word` means: `auto` the best there is (`None` where there is none: the caller then takes the
/// host engine), `gpu` and `cpu` the best of that kind, `platform:device` in numbers (`0:0`) or parts of names in any
/// case (`nvidia:h100`, `portable:`); where several fit, the best of them. The best is a GPU before a CPU, then the
/// one with more compute units.
///
/// # Errors
/// E0701 nothing fits, with a list of what there is; E0704 the device does not open.
pub fn select(word: &str) -> Result<Option<OpenClDevice>, Diagnostic> {
    let all = devices();
    match choose(word, &all) {
        Some(found) => OpenClDevice::open(found).map(Some),
        None if word == "auto" => Ok(None),
        None => Err(no_such_device(word, &all)),
    }
}

/// The best of the devices that `word` fits.
fn choose<'a>(word: &str, all: &'a [Found]) -> Option<&'a Found> {
    let fits = |found: &Found| match word {
        "auto" => true,
        "gpu" | "cpu" => found.description.kind == word,
        _ => word.split_once(':').is_some_and(|(platform, device)| {
            let (p, d) = found
                .description
                .selector
                .split_once(':')
                .unwrap_or_default();
            part_fits(platform, p, &found.description.platform)
                && part_fits(device, d, &found.description.name)
        }),
    };
    let rank = |found: &&Found| (found.limits.class == Class::Gpu, found.limits.cores);
    // Reversed, so that of equals the first wins.
    all.iter()
        .filter(|found| fits(found))
        .min_by_key(|found| Reverse(rank(found)))
}

/// Whether one half of `platform:device` fits: as a number, else as a part of the name.
fn part_fits(half: &str, number: &str, name: &str) -> bool {
    let half = half.trim();
    match half.parse::<usize>() {
        Ok(_) => half == number,
        Err(_) => name.to_lowercase().contains(&half.to_lowercase()),
    }
}

/// E0701, with a list of what there is.
fn no_such_device(word: &str, all: &[Found]) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(Code::E0701, format!("no OpenCL device fits `{word}`"));
    if all.is_empty() {
        diagnostic = diagnostic.note(
            "there is no OpenCL platform on this machine (no library, no driver, or no device)",
        );
    }
    for found in all {
        let Description {
            platform,
            name,
            kind,
            selector,
            ..
        } = &found.description;
        diagnostic = diagnostic.note(format!("`{selector}` is {name}, a {kind}, of {platform}"));
    }
    let choices = all
        .iter()
        .map(|found| found.description.selector.as_str())
        .chain(["auto", "host"]);
    diagnostic.help(format!(
        "write {}",
        crate::diagnostic::nearest::one_of(choices)
    ))
}

/// Every platform. The raw function is asked: the crate's own waits ten seconds where there is none.
fn platforms() -> Vec<PlatformId> {
    let mut count: cl_uint = 0;
    // SAFETY: no list is asked for, only its length.
    let status = unsafe { ffi::clGetPlatformIDs(0, std::ptr::null_mut(), &raw mut count) };
    if status != 0 || count == 0 {
        return Vec::new();
    }
    let mut list: Vec<cl_platform_id> = vec![std::ptr::null_mut(); count as usize];
    // SAFETY: the list has room for `count` handles.
    let status = unsafe { ffi::clGetPlatformIDs(count, list.as_mut_ptr(), std::ptr::null_mut()) };
    if status != 0 {
        return Vec::new();
    }
    // SAFETY: the handles come from OpenCL and stay valid as long as the process.
    list.into_iter()
        .map(|handle| unsafe { PlatformId::from_raw(handle) })
        .collect()
}

/// Every device of a platform; a platform whose driver finds none says so by a status.
fn devices_of(platform: PlatformId) -> Vec<DeviceId> {
    let mut count: cl_uint = 0;
    let all = ffi::CL_DEVICE_TYPE_ALL;
    // SAFETY: no list is asked for, only its length.
    let status = unsafe {
        ffi::clGetDeviceIDs(
            platform.as_ptr(),
            all,
            0,
            std::ptr::null_mut(),
            &raw mut count,
        )
    };
    if status != 0 || count == 0 {
        return Vec::new();
    }
    let mut list: Vec<cl_device_id> = vec![std::ptr::null_mut(); count as usize];
    // SAFETY: the list has room for `count` handles.
    let status = unsafe {
        ffi::clGetDeviceIDs(
            platform.as_ptr(),
            all,
            count,
            list.as_mut_ptr(),
            std::ptr::null_mut(),
        )
    };
    if status != 0 {
        return Vec::new();
    }
    // SAFETY: the handles come from OpenCL; root devices stay valid as long as the process.
    list.into_iter()
        .map(|handle| unsafe { DeviceId::from_raw(handle) })
        .collect()
}

/// Asks a device for all that netc wants to know; `None` where it cannot be used.
fn describe(platform: PlatformId, device: DeviceId, selector: String) -> Option<Found> {
    if number(device, DeviceInfo::Available)? == 0
        || number(device, DeviceInfo::CompilerAvailable)? == 0
    {
        return None;
    }
    let kinds: cl_bitfield = number(device, DeviceInfo::Type)?;
    let kind = if kinds & ffi::CL_DEVICE_TYPE_CPU != 0 {
        "cpu"
    } else if kinds & ffi::CL_DEVICE_TYPE_GPU != 0 {
        "gpu"
    } else {
        "accelerator"
    };
    let class = if kind == "cpu" {
        Class::Cpu
    } else {
        Class::Gpu
    };
    let floats = number(device, DeviceInfo::NativeVectorWidthFloat).unwrap_or(4) as usize;
    let alignment_bits = number(device, DeviceInfo::MemBaseAddrAlign).unwrap_or(1024);
    let limits = Limits {
        class,
        cores: (number(device, DeviceInfo::MaxComputeUnits)? as usize).max(1),
        vector_bytes: (floats * 4).clamp(16, 64),
        memory_bytes: number(device, DeviceInfo::GlobalMemSize)?,
        allocation_bytes: number(device, DeviceInfo::MaxMemAllocSize)?,
        alignment_bytes: (alignment_bits / 8).max(64).next_power_of_two(),
        double: number(device, DeviceInfo::DoubleFpConfig).is_some_and(|config| config != 0),
    };
    let description = Description {
        platform: platform_text(platform, PlatformInfo::Name)?,
        name: call::text(&raw(device, DeviceInfo::Name)?),
        driver: call::text(&raw(device, DeviceInfo::DriverVersion)?),
        kind,
        selector,
    };
    let platform_version = platform_text(platform, PlatformInfo::Version)?;
    Some(Found {
        description,
        limits,
        platform_version,
        platform,
        device,
    })
}

/// One text about a platform.
fn platform_text(platform: PlatformId, request: PlatformInfo) -> Option<String> {
    let bytes = call::info("clGetPlatformInfo", |size, space, actual| {
        // SAFETY: `info` gives the space's true size.
        unsafe {
            ffi::clGetPlatformInfo(
                platform.as_ptr(),
                request as ffi::cl_platform_info,
                size,
                space,
                actual,
            )
        }
    });
    bytes.ok().map(|bytes| call::text(&bytes))
}

/// One fact about a device, as bytes.
fn raw(device: DeviceId, request: DeviceInfo) -> Option<Vec<u8>> {
    let bytes = call::info("clGetDeviceInfo", |size, space, actual| {
        // SAFETY: `info` gives the space's true size.
        unsafe {
            ffi::clGetDeviceInfo(
                device.as_raw(),
                request as ffi::cl_device_info,
                size,
                space,
                actual,
            )
        }
    });
    bytes.ok()
}

/// One number about a device: a `cl_uint`, a `cl_ulong` or a `size_t`, by the answer's length.
fn number(device: DeviceId, request: DeviceInfo) -> Option<u64> {
    let bytes = raw(device, request)?;
    match bytes.len() {
        4 => bytes
            .try_into()
            .ok()
            .map(|bytes| u64::from(u32::from_ne_bytes(bytes))),
        8 => bytes.try_into().ok().map(u64::from_ne_bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that is not there; choosing never touches its handles.
    fn imagined(
        selector: &str,
        platform: &str,
        name: &str,
        kind: &'static str,
        cores: usize,
    ) -> Found {
        let class = if kind == "cpu" {
            Class::Cpu
        } else {
            Class::Gpu
        };
        Found {
            description: Description {
                platform: platform.into(),
                name: name.into(),
                driver: "1".into(),
                kind,
                selector: selector.into(),
            },
            limits: Limits {
                class,
                cores,
                ..Limits::nominal()
            },
            platform_version: String::new(),
            // SAFETY: null handles are given to no OpenCL function.
            platform: unsafe { PlatformId::null() },
            // SAFETY: as above.
            device: unsafe { DeviceId::null() },
        }
    }

    #[test]
    fn words_choose_devices() {
        let all = [
            imagined(
                "0:0",
                "Portable Computing Language",
                "pthread-haswell",
                "cpu",
                256,
            ),
            imagined("1:0", "NVIDIA CUDA", "NVIDIA A10", "gpu", 72),
            imagined("1:1", "NVIDIA CUDA", "NVIDIA H100", "gpu", 132),
            imagined("1:2", "NVIDIA CUDA", "NVIDIA H100", "gpu", 132),
        ];
        let chosen =
            |word: &str| choose(word, &all).map(|found| found.description.selector.as_str());
        assert_eq!(chosen("auto"), Some("1:1"));
        assert_eq!(chosen("gpu"), Some("1:1"));
        assert_eq!(chosen("cpu"), Some("0:0"));
        assert_eq!(chosen("1:2"), Some("1:2"));
        assert_eq!(chosen("nvidia:a10"), Some("1:0"));
        assert_eq!(chosen("Portable:"), Some("0:0"));
        assert_eq!(chosen("nvidia:2"), Some("1:2"));
        assert_eq!(chosen("1:7"), None);
        assert_eq!(chosen("h100"), None);
        let refused = no_such_device("1:7", &all);
        assert_eq!(refused.code, Code::E0701);
        assert!(
            refused
                .help
                .is_some_and(|help| help.contains("`1:2`") && help.contains("`host`"))
        );
    }

    #[test]
    fn this_machine_has_a_device_with_sensible_numbers() {
        let all = devices();
        assert!(
            !all.is_empty(),
            "the tests need an OpenCL device (Debian: pocl-opencl-icd)"
        );
        for found in &all {
            assert!(
                [16, 32, 64].contains(&found.limits.vector_bytes),
                "{found:?}"
            );
            assert!(
                found.limits.memory_bytes >= found.limits.allocation_bytes
                    && found.limits.allocation_bytes > 0
            );
            assert!(
                found.limits.alignment_bytes >= 64
                    && found.limits.alignment_bytes.is_power_of_two()
            );
            let same =
                choose(&found.description.selector, &all).expect("a selector chooses its device");
            assert_eq!(same.description, found.description);
        }
    }
}
