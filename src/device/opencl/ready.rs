//! A plan's kernels as PoCL finished them: a later start loads those, and needs no compiler.
//!
//! PoCL 3.1 keeps each finished kernel as a shared object in a folder of its cache, and still reads the whole program with
//! LLVM at every start, for kernels that might be missing: 0.7 s or more and 110 MiB (2026-11-28). Its own form of a
//! binary can leave that program out: names and arguments of kernels, and the name of the folder where their objects are.
//! So once a plan has run, the objects that PoCL loaded for it are linked into a folder of their own, and such a binary is
//! written ([`record`]).
//!
//! PoCL ends the process where an object is missing. So a second process tries a record before it is kept
//! ([`super::finisher`]), the key says all that the choice of objects depends on, and a record is used only while all of
//! its objects are there in their full size. Other versions of PoCL go without: only this one was measured.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ocl::core::Program;

use super::build::{self, Header};
use super::cache::{Cache, Key};
use super::launch::{Launch, Launches, parted, with_bytes};
use super::queue::Queue;
use super::sources;
use super::unit::Unit;
use crate::op::emit::{Argument, Kernel, Scalar};
use crate::op::real::Precision;
use crate::plan::{Class, Plan};

/// The platform that all this is about.
pub const PLATFORM: &str = "Portable Computing Language";
/// In its version's name.
const VERSION: &str = "PoCL 3.1";
/// PoCL forgets objects when more are loaded, 128 of them; nothing is recorded near that.
const MOST_OBJECTS: usize = 120;
/// How a binary that PoCL can read starts: a word, eight bytes of the device, the version of the form.
const WORD: &[u8] = b"poclbin\0";
const FORM: [u8; 4] = 9_u32.to_le_bytes();
/// `CL_PROGRAM_BINARY_TYPE_EXECUTABLE`, in the upper half of the flags.
const EXECUTABLE: u64 = 4 << 32;
/// `CL_KERNEL_ARG_ADDRESS_GLOBAL`.
const GLOBAL: u32 = 0x119b;
/// `CL_KERNEL_ARG_ADDRESS_PRIVATE`.
const PRIVATE: u32 = 0x119e;
/// `CL_KERNEL_ARG_ACCESS_NONE`.
const NO_ACCESS: u32 = 0x11a3;

/// Under which key a plan's record is kept; `None` where there are none.
pub fn key(queue: &Queue, plan: &Plan, kernels: &[Kernel]) -> Option<Key> {
    let found = &queue.found;
    let ours = found.description.platform == PLATFORM && found.platform_version.contains(VERSION);
    if !ours || found.limits.class != Class::Cpu {
        return None;
    }
    let mut files = BTreeSet::new();
    let mut launches = BTreeSet::new();
    for (kernel, step) in kernels.iter().zip(&plan.steps) {
        let unit = Unit::of(kernel, plan.precision);
        let (global, local) = (kernel.global, kernel.local);
        launches.insert(format!(
            "{}{} {global:?} {local:?} {:?}",
            kernel.function,
            unit.suffix(),
            kinds(&step.call.arguments, plan.precision)
        ));
        files.insert(unit.file);
    }
    // Where PoCL's cache is, and what it compiles.
    let mut environment: Vec<String> = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("POCL_") || name == "HOME" || name == "XDG_CACHE_HOME")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    environment.sort();
    let mut facts = vec!["ready", plan.precision.name(), sources::PRELUDE];
    facts.extend(found.facts());
    for text in files.into_iter().filter_map(sources::source) {
        facts.push(text);
    }
    facts.extend(launches.iter().map(String::as_str));
    facts.extend(environment.iter().map(String::as_str));
    Some(Key::of(&facts))
}

/// The program of a plan's record, where there is one and all of its objects are there.
pub fn load(queue: &Queue, cache: &Cache, key: &Key) -> Option<Program> {
    program(queue, &cache.read(key)?)
}

/// The program of a record.
pub fn program(queue: &Queue, record: &[u8]) -> Option<Program> {
    let (objects, binary) = parted::<Vec<(PathBuf, u64)>>(record)?;
    let whole = |(path, bytes): &(PathBuf, u64)| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == *bytes)
    };
    if objects.is_empty() || !objects.iter().all(whole) {
        return None;
    }
    build::linked(queue, binary).ok()
}

/// What a kernel is called in every program of many units, and so in a record's.
pub fn function(kernel: &Kernel, precision: Precision) -> String {
    format!(
        "{}{}",
        kernel.function,
        Unit::of(kernel, precision).suffix()
    )
}

/// All of a plan's launches: what a record has to hold, and what it is tried with. The smallest come first: a kernel that
/// was loaded for more work-items would serve fewer as well, and hide that their own is missing.
pub fn launches(plan: &Plan, kernels: &[Kernel]) -> Launches {
    let mut list: Vec<Launch> = Vec::new();
    for (step, kernel) in plan.steps.iter().zip(kernels) {
        let name = function(kernel, plan.precision);
        let launch = Launch::new(name, kernel, &step.call.arguments);
        let known = |other: &Launch| {
            (&other.function, other.global, other.local)
                == (&launch.function, launch.global, launch.local)
        };
        if !list.iter().any(known) {
            list.push(launch);
        }
    }
    list.sort_by_key(|launch| launch.global.iter().product::<usize>());
    Launches::new(plan, list)
}

/// The record of kernels that this process has launched; `None` where not all of their objects are found.
pub fn record(key: &Key, header: &Header, launches: &Launches) -> Option<Vec<u8>> {
    if !header.starts_with(WORD) || !header.ends_with(&FORM) {
        return None;
    }
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let loaded = objects(&maps);
    if loaded.values().map(BTreeMap::len).sum::<usize>() > MOST_OBJECTS {
        return None;
    }
    let folder = folder(key);
    let mut kernels: BTreeMap<&str, &[Argument]> = BTreeMap::new();
    let mut kept: Vec<(PathBuf, u64)> = Vec::new();
    for launch in &launches.list {
        let name = launch.function.as_str();
        if kernels.insert(name, &launch.arguments).is_some() {
            continue;
        }
        for (variant, object) in loaded.get(name)? {
            let top = object.ancestors().nth(5)?;
            let place = top.join(&folder).join(name).join(variant);
            let place = place.join(object.file_name()?);
            kept.push((place.clone(), link(object, &place).ok()?));
        }
    }
    let binary = binary(header, &folder, &kernels, launches.precision());
    Some(with_bytes(&kept, &binary))
}

/// The objects of PoCL's cache that a process has loaded, by kernel and variant (group size and the like):
/// `…/AB/CDEF…/kernel/1-1-1-goffs0/kernel.so`, the letters 40 with their slash.
fn objects(maps: &str) -> BTreeMap<String, BTreeMap<String, PathBuf>> {
    let mut objects: BTreeMap<String, BTreeMap<String, PathBuf>> = BTreeMap::new();
    for line in maps.lines() {
        let Some(path) = line.find('/').map(|start| Path::new(&line[start..])) else {
            continue;
        };
        let names: Vec<&str> = path
            .iter()
            .rev()
            .take(5)
            .filter_map(|n| n.to_str())
            .collect();
        let &[object, variant, kernel, rest, first] = names.as_slice() else {
            continue;
        };
        if object.strip_suffix(".so") == Some(kernel) && first.len() == 2 && rest.len() == 37 {
            let variants = objects.entry(kernel.to_owned()).or_default();
            variants.insert(variant.to_owned(), path.to_owned());
        }
    }
    objects
}

/// The folder of a record's objects in PoCL's cache, as PoCL writes hashes: 40 letters, the third one a slash.
fn folder(key: &Key) -> String {
    let letters = key.bytes()[..20]
        .iter()
        .flat_map(|byte| [byte & 15, byte >> 4])
        .map(|half| char::from(b'A' + half));
    let at = |(i, letter)| if i == 2 { '/' } else { letter };
    letters.enumerate().map(at).collect()
}

/// Links an object to a place, or copies it where that does not work; gives its size. The place is never half-written.
fn link(object: &Path, place: &Path) -> io::Result<u64> {
    let folder = place.parent().ok_or(io::ErrorKind::NotFound)?;
    fs::create_dir_all(folder)?;
    let own = folder.join(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&own);
    fs::hard_link(object, &own).or_else(|_| fs::copy(object, &own).map(|_| ()))?;
    fs::rename(&own, place)?;
    // Where the place was a link to the same file, a renaming does nothing.
    let _ = fs::remove_file(&own);
    Ok(fs::metadata(place)?.len())
}

/// What PoCL has to know of an argument: whether it is a buffer, and its size.
fn kinds(arguments: &[Argument], precision: Precision) -> Vec<(bool, u32)> {
    let kind = |argument: &Argument| match argument {
        Argument::Buffer(..) => (true, 8),
        Argument::Size(_) => (false, 8),
        Argument::Scalar(Scalar::LearningRate | Scalar::StepSize | Scalar::Correction) => {
            (false, precision.bytes() as u32)
        }
        Argument::Scalar(_) | Argument::Int(_) => (false, 4),
    };
    arguments.iter().map(kind).collect()
}

/// A program without source in PoCL's form, version 9 (`pocl_binary.c`).
fn binary(
    header: &Header,
    folder: &str,
    kernels: &BTreeMap<&str, &[Argument]>,
    precision: Precision,
) -> Vec<u8> {
    fn word(out: &mut Vec<u8>, value: u32) {
        out.extend(value.to_le_bytes());
    }
    fn long(out: &mut Vec<u8>, value: u64) {
        out.extend(value.to_le_bytes());
    }
    fn text(out: &mut Vec<u8>, text: &str) {
        word(out, text.len() as u32);
        out.extend_from_slice(text.as_bytes());
    }
    let mut out = header.to_vec();
    word(&mut out, kernels.len() as u32);
    long(&mut out, EXECUTABLE);
    word(&mut out, 1);
    out.extend_from_slice(folder.as_bytes());
    out.push(0);
    // One file of the folder has to be given: not `program.bc`, which PoCL would read.
    let mut file = Vec::new();
    text(&mut file, "/netc");
    text(&mut file, "\n");
    long(&mut out, file.len() as u64);
    out.extend(file);
    for (name, arguments) in kernels {
        let mut about = Vec::new();
        text(&mut about, name);
        word(&mut about, arguments.len() as u32);
        // No local memory, no group size of its own, no attributes, no names of arguments.
        word(&mut about, 0);
        (0..3).for_each(|_| long(&mut about, 0));
        text(&mut about, "");
        long(&mut about, 0);
        let mut each = Vec::new();
        for (buffer, bytes) in kinds(arguments, precision) {
            word(&mut each, NO_ACCESS);
            word(&mut each, if buffer { GLOBAL } else { PRIVATE });
            long(&mut each, 0);
            word(&mut each, u32::from(buffer));
            word(&mut each, bytes);
            text(&mut each, "");
            text(&mut each, "");
        }
        long(&mut out, (8 + 8 + 4 + about.len() + each.len()) as u64);
        long(&mut out, 0);
        word(&mut out, each.len() as u32);
        out.extend(about);
        out.extend(each);
    }
    out
}
