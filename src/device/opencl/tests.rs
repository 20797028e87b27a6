//! The engine on a real OpenCL device (PoCL where there is no other): hand-made plans of trivial kernels.
//!
//! Nothing is skipped: without a device these tests fail.

#![allow(clippy::float_cmp)] // sums of small whole numbers and halves are exact

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use super::cache::Cache;
use super::finisher::{self, Task};
use super::program::{Maker, Programs};
use super::{Compiling, OpenClDevice, devices, ready};
use crate::device::{Device as _, Loaded};
use crate::diagnostic::Code;
use crate::op::emit::{BufferId, Call, Element, HostBuffers, Kernel, Routine, Scalar, Scalars};
use crate::op::name::Name;
use crate::op::real::Precision;
use crate::op::shape::Shape;
use crate::op::view::View;
use crate::plan::{Buffer, Class, Mode, Placement, Plan, Step};

/// The file `test` of the kernel table.
pub const KERNELS: &str = "
#ifndef HELPED
#define HELPED 0
#endif

static REAL helper(REAL x)
{
    return x * FACTOR + HELPED;
}

__kernel void test_scale(__global const REAL *src, __global REAL *dst)
{
    const size_t i = get_global_id(0) + 100 * get_global_id(1);
    dst[i] = helper(src[i]);
}

__kernel void test_add(__global REAL *value, const REAL rate, const uint step, const uint low, const uint high,
                       const int images, __global const REAL *src)
{
    const size_t i = get_global_id(0) + 100 * get_global_id(1);
    value[i] += src[i] + rate + step + (low == 0x89abcdefu && high == 0x01234567u ? 1000 : 0) + 10 * images;
}

#ifdef BROKEN
__kernel void test_broken(__global REAL *dst) { dst[0] = no_such_name; }
#endif
";

const COUNT: usize = 200;
const SRC: BufferId = BufferId(0);
const DST: BufferId = BufferId(1);
const VALUE: BufferId = BufferId(2);

/// No host form: these plans run on OpenCL only.
#[derive(Debug)]
struct NoHost;

impl Routine for NoHost {
    fn run(&self, _: Precision, _: HostBuffers<'_, '_>, _: &Scalars) {
        panic!("internal error: a plan without a host form");
    }
}

/// dst = src * factor; value += dst + scalars. `room` is the arena's size in buffers of 4 KiB.
fn plan(name: &str, factor: usize, precision: Precision, room: u64) -> Arc<Plan> {
    let kernel = move |function| {
        move || {
            let kernel = Kernel::new("test", function, 1).define("FACTOR", factor);
            kernel.define("UNUSED", "((REAL)1e-4)").global([100, 2, 1])
        }
    };
    let scale = Call::new(kernel("test_scale"), NoHost).read(SRC).write(DST);
    let add = Call::new(kernel("test_add"), NoHost)
        .update(VALUE)
        .scalar(Scalar::LearningRate)
        .scalar(Scalar::Step)
        .scalar(Scalar::SeedLow)
        .scalar(Scalar::SeedHigh)
        .scalar(Scalar::Images)
        .read(DST);
    let arena = |name: &'static str, offset| Buffer {
        placement: Placement::Arena { offset },
        ..persistent(name)
    };
    let owner = Arc::from(name);
    let view = View::packed(Shape::Vector(COUNT), 1, 0);
    Arc::new(Plan {
        name: name.into(),
        mode: Mode::Inference,
        batch: 16,
        precision,
        steps: vec![step("scale", scale), step("add", add)],
        forward_steps: 2,
        gradient_steps: 2,
        buffers: vec![
            arena("src", 0),
            arena("dst", 4096),
            persistent(Name::of(&owner).word("value")),
        ],
        arena_bytes: room * 4096,
        region_bytes: u64::MAX,
        lower_bound_bytes: 0,
        tensor_bytes: 0,
        parameters: Vec::new(),
        input: (SRC, view),
        labels: None,
        output: (DST, view),
        loss: None,
        outputs: Vec::new(),
        output_gradient: None,
        input_gradient: None,
    })
}

fn persistent(name: impl Into<Name>) -> Buffer {
    let placement = Placement::Persistent;
    Buffer {
        name: name.into(),
        element: Element::Real,
        elements: COUNT,
        bytes: 4000,
        placement,
        lifetime: 0..2,
    }
}

fn step(name: &'static str, call: Call) -> Step {
    Step {
        name: name.into(),
        layer: None,
        call,
    }
}

/// Changes the first step's kernel.
fn with_kernel(plan: &mut Plan, change: fn(Kernel) -> Kernel) {
    let old = plan.steps[0].call.clone();
    let mut call = Call::new(move || change(old.kernel()), NoHost);
    call.arguments = plan.steps[0].call.arguments.clone();
    plan.steps[0].call = call;
}

const SCALARS: Scalars = Scalars {
    learning_rate: 0.5,
    step_size: 0.0,
    correction: 0.0,
    step: 3,
    seed: 0x0123_4567_89ab_cdef,
    images: 2,
};
/// What [`SCALARS`] add to each value.
const ADDED: f64 = 0.5 + 3.0 + 1000.0 + 20.0;

fn open(cache: &Path) -> OpenClDevice {
    let found = devices()
        .into_iter()
        .next()
        .expect("the tests need an OpenCL device (Debian: pocl-opencl-icd)");
    OpenClDevice::open_with(&found, Cache::at(cache)).expect("the device opens")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for temporary files")
}

/// Writes 0, 1, 2, … to src, runs all steps, reads the value's number `at`.
fn run(device: &mut OpenClDevice, loaded: Loaded, at: usize) -> f64 {
    let src: Vec<f32> = (0_u16..COUNT as u16).map(f32::from).collect();
    device
        .write(loaded, SRC, bytemuck::cast_slice(&src))
        .expect("it can be written");
    device.run(loaded, 0..2, &SCALARS).expect("it runs");
    read(device, loaded, at)
}

fn read(device: &mut OpenClDevice, loaded: Loaded, at: usize) -> f64 {
    let mut value = vec![0_f32; COUNT];
    device
        .read(loaded, VALUE, bytemuck::cast_slice_mut(&mut value))
        .expect("it can be read");
    f64::from(value[at])
}

#[test]
fn steps_run_in_order_with_their_scalars() {
    let cache = folder();
    let mut device = open(cache.path());
    let loaded = device
        .load(&plan("a", 3, Precision::F32, 2))
        .expect("it loads");
    assert_eq!(
        read(&mut device, loaded, 7),
        0.0,
        "persistent buffers start as zeros"
    );
    assert_eq!(run(&mut device, loaded, 7), 21.0 + ADDED);
    assert_eq!(run(&mut device, loaded, 199), 2.0 * (3.0 * 199.0 + ADDED));
    let times = device.profile(loaded, 0..2, &SCALARS).expect("it runs");
    assert_eq!(times.len(), 2);
    assert_eq!(read(&mut device, loaded, 0), 3.0 * ADDED);
    device.finish().expect("it ends");
}

#[test]
fn kernels_with_other_defines_share_a_program_on_cpus() {
    let cache = folder();
    for start in ["cold", "warm"] {
        let mut device = open(cache.path());
        let mut two = (*plan("a", 3, Precision::F32, 2)).clone();
        // The same function with another factor, back from dst to src: src = 5 * 3 * src.
        let kernel = || {
            Kernel::new("test", "test_scale", 1)
                .define("FACTOR", 5)
                .define("HELPED", 1)
                .global([100, 2, 1])
        };
        two.steps.insert(
            1,
            step("again", Call::new(kernel, NoHost).read(DST).write(SRC)),
        );
        let loaded = device.load(&Arc::new(two)).expect("it loads");
        assert_eq!(
            run(&mut device, loaded, 7),
            0.0,
            "the third step is still to come"
        );
        device.run(loaded, 2..3, &SCALARS).expect("it runs");
        assert_eq!(read(&mut device, loaded, 7), 21.0 + ADDED);
        let mut src = vec![0_f32; COUNT];
        device
            .read(loaded, SRC, bytemuck::cast_slice_mut(&mut src))
            .expect("it can be read");
        assert_eq!(src[7], 5.0 * 21.0 + 1.0, "{start}");
        let programs = if device.limits().class == Class::Cpu {
            1
        } else {
            2
        };
        assert_eq!(device.program_count(), programs, "{start}");
    }
}

#[test]
fn double_precision_is_double() {
    let cache = folder();
    let mut device = open(cache.path());
    let loaded = device
        .load(&plan("a", 3, Precision::F64, 2))
        .expect("it loads");
    let src = [1.0 + 2f64.powi(-40); COUNT];
    device
        .write(loaded, SRC, bytemuck::cast_slice(&src))
        .expect("it can be written");
    device
        .run(
            loaded,
            0..2,
            &Scalars {
                learning_rate: 0.1,
                ..SCALARS
            },
        )
        .expect("it runs");
    let mut value = [0_f64; COUNT];
    device
        .read(loaded, VALUE, bytemuck::cast_slice_mut(&mut value))
        .expect("it can be read");
    assert!((value[5] - (3.0 * src[5] + 1023.1)).abs() < 1e-12);
}

#[test]
fn plans_share_persistent_buffers_by_name_and_the_arena() {
    let cache = folder();
    let mut device = open(cache.path());
    let training = device
        .load(&plan("a", 2, Precision::F32, 4))
        .expect("it loads");
    assert_eq!(device.allocated_bytes(), 4 * 4096 + 4000);
    let inference = device
        .load(&plan("a", 3, Precision::F32, 2))
        .expect("it loads");
    assert_eq!(device.allocated_bytes(), 4 * 4096 + 4000, "nothing new");
    assert_eq!(run(&mut device, training, 5), 10.0 + ADDED);
    assert_eq!(read(&mut device, inference, 5), 10.0 + ADDED);
    assert_eq!(run(&mut device, inference, 5), 25.0 + 2.0 * ADDED);
    let larger = device
        .load(&plan("b", 2, Precision::F32, 8))
        .expect("it loads");
    assert_eq!(
        device.allocated_bytes(),
        (4 + 8) * 4096 + 2 * 4000,
        "its own value, and a larger arena"
    );
    assert_eq!(read(&mut device, larger, 5), 0.0);
    assert_eq!(
        run(&mut device, training, 5),
        35.0 + 3.0 * ADDED,
        "older plans keep their arena"
    );
    device.clear().expect("it can be cleared");
    assert_eq!(device.allocated_bytes(), 0);
    let again = device
        .load(&plan("a", 2, Precision::F32, 2))
        .expect("it loads");
    assert_eq!(
        read(&mut device, again, 5),
        0.0,
        "cleared buffers are new ones"
    );
}

#[test]
#[should_panic(expected = "internal error: `a.value` has 100 elements")]
fn a_persistent_buffer_has_one_size() {
    let cache = folder();
    let mut device = open(cache.path());
    device
        .load(&plan("a", 2, Precision::F32, 2))
        .expect("it loads");
    let mut other = (*plan("a", 2, Precision::F32, 2)).clone();
    other.buffers[VALUE.0].elements = 100;
    let _ = device.load(&Arc::new(other));
}

/// The one file in a cache's folder.
fn entry(cache: &Path) -> PathBuf {
    let mut entries = fs::read_dir(cache).expect("the cache was made");
    let path = entries
        .next()
        .expect("a program was kept")
        .expect("it can be listed")
        .path();
    assert!(entries.next().is_none(), "two steps share one program");
    path
}

/// Loads and runs with a factor on a new device.
fn result(cache: &Path, factor: usize) -> f64 {
    let mut device = open(cache);
    let loaded = device
        .load(&plan("a", factor, Precision::F32, 2))
        .expect("it loads");
    run(&mut device, loaded, 10) - ADDED
}

/// Bytes before the program in a cache's file, the last 32 of them its checksum.
const HEADER: usize = 8 + 4 + 32 + 32;

#[test]
fn cached_programs_are_used_when_whole_and_rebuilt_when_not() {
    let (two, three) = (folder(), folder());
    assert_eq!(
        (result(two.path(), 2), result(three.path(), 3)),
        (20.0, 30.0)
    );
    let (path, other) = (entry(two.path()), entry(three.path()));
    let whole = fs::read(&path).expect("it was kept");
    let foreign = fs::read(&other).expect("it was kept");

    // Under the key of factor 2 stands, whole, the program of factor 3: that it is used is seen by its kernels' names.
    let planted = [
        &whole[..HEADER - 32],
        &Sha256::digest(&foreign[HEADER..]),
        &foreign[HEADER..],
    ]
    .concat();
    fs::write(&path, planted).expect("the cache is writable");
    let used = open(two.path()).load(&plan("a", 2, Precision::F32, 2));
    assert_eq!(used.unwrap_err().code, Code::E0702, "the cache is used");

    let mut flipped = whole.clone();
    flipped[HEADER + 99] ^= 1;
    let refused = [
        &whole[..HEADER - 32],
        &Sha256::digest(b"no program"),
        b"no program",
    ]
    .concat();
    let bad: [(&str, &[u8]); 5] = [
        ("a flipped bit", &flipped),
        ("cut short", &whole[..whole.len() / 2]),
        ("empty", b""),
        ("another program's", &foreign),
        ("refused by the driver", &refused),
    ];
    for (how, bytes) in bad {
        fs::write(&path, bytes).expect("the cache is writable");
        assert_eq!(result(two.path(), 2), 20.0, "{how}");
        let replaced = fs::read(entry(two.path())).expect("it was kept again");
        assert_eq!(replaced[..HEADER - 32], whole[..HEADER - 32], "{how}");
        assert_eq!(
            replaced[HEADER - 32..HEADER],
            *Sha256::digest(&replaced[HEADER..]),
            "{how}"
        );
    }
}

#[test]
fn another_process_can_finish_a_plan_s_kernels() {
    for precision in [Precision::F32, Precision::F64] {
        let mut plan = (*plan("finished", 3, precision, 4)).clone();
        with_kernel(&mut plan, |kernel| kernel.define("HELPED", 1));
        let folder = folder();
        let device = open(folder.path());
        let (queue, cache) = (&device.held.queue, Cache::at(folder.path()));
        let kernels: Vec<Kernel> = plan.steps.iter().map(|s| s.call.kernel()).collect();
        let mut programs = Programs::default();
        let maker = Maker {
            queue,
            cache: &cache,
            compiling: &|| (),
        };
        let missing = programs.missing(precision, &kernels);
        assert_eq!(missing, [0, 1]);
        let text = programs.unkept(&maker, precision, &kernels);
        let (text, options) = text.expect("nothing was kept yet");
        let message = Task::compiling(queue, &plan, &missing, options).message(text.as_bytes());
        let mut told = Vec::new();
        assert_eq!(finisher::serve(&message[..], &mut told), Some(()));
        assert_eq!(told, b"\n");
        let mut build = || programs.build(&maker, precision, &kernels).unwrap();
        assert!(build(), "the other process has a cache of its own here");
        assert!(!build(), "what is built is not built again");
        assert_eq!(programs.unkept(&maker, precision, &kernels), None);
        assert_eq!(programs.missing(precision, &kernels), [0; 0]);
        // Whatever goes wrong there, it says so and nothing else.
        let line = message.iter().position(|&byte| byte == b'\n').unwrap();
        for broken in [&message[..line / 2], &message[..=line], b"\n"] {
            assert_eq!(finisher::serve(broken, std::io::sink()), None);
        }
        let renamed = String::from_utf8_lossy(&message[..line]).replace("test_add", "test_odd");
        let renamed = [renamed.as_bytes(), &message[line..]].concat();
        assert_eq!(finisher::serve(&renamed[..], std::io::sink()), None);
    }
}

#[test]
fn a_plan_that_ran_is_ready_for_the_next_start() {
    let folder = folder();
    let told = Arc::new(Mutex::new(Vec::new()));
    let device = || {
        let (mut device, told) = (open(folder.path()), Arc::clone(&told));
        device.watch(Arc::new(move |what: Compiling<'_>| {
            told.lock().unwrap().push(format!("{what:?}"));
        }));
        device
    };
    let mut plan = (*plan("ready", 3, Precision::F32, 4)).clone();
    with_kernel(&mut plan, |kernel| kernel.define("HELPED", 2));
    let plan = Arc::new(plan);
    let mut first = device();
    let loaded = first.load(&plan).unwrap();
    let result = run(&mut first, loaded, 7);
    assert_eq!(run(&mut first, loaded, 7), 2.0 * result);
    assert_eq!(
        *told.lock().unwrap(),
        [
            "Program { kernels: 2 }",
            "Kernel { name: \"test_scale\", number: 1, of: 2 }",
            "Kernel { name: \"test_add\", number: 2, of: 2 }",
            "Done",
        ]
    );
    told.lock().unwrap().clear();

    let kernels: Vec<Kernel> = plan.steps.iter().map(|s| s.call.kernel()).collect();
    let queue = &first.held.queue;
    let Some(key) = ready::key(queue, &plan, &kernels) else {
        let version = &queue.found.platform_version;
        assert!(
            !version.contains("PoCL 3.1"),
            "{version} is what this is for"
        );
        return;
    };
    let (header, launches) = (
        first.held.programs.header(),
        ready::launches(&plan, &kernels),
    );
    let record = ready::record(&key, header.unwrap(), &launches).expect("all objects are found");
    // As the process that tries it would.
    let program = ready::program(queue, &record).expect("all objects are there");
    launches.run(queue, &program).unwrap();
    Cache::at(folder.path()).entry(&key).unwrap().keep(&record);

    let mut second = device();
    let loaded = second.load(&plan).unwrap();
    assert_eq!(run(&mut second, loaded, 7), result);
    assert_eq!(second.program_count(), 0, "nothing was compiled");
    // Where an object is missing or cut off, all goes as if nothing had been recorded.
    let end = record.iter().position(|&byte| byte == b'\n').unwrap();
    let objects: Vec<(PathBuf, u64)> = serde_json::from_slice(&record[..end]).unwrap();
    assert_eq!(objects.len(), 2);
    fs::remove_file(&objects[0].0).unwrap();
    let mut third = device();
    let loaded = third.load(&plan).unwrap();
    assert_eq!(run(&mut third, loaded, 7), result);
    assert_eq!(third.program_count(), 1);
    assert!(told.lock().unwrap().is_empty(), "the program was kept");
}

#[test]
fn a_kernel_that_does_not_build_shows_the_compilers_log() {
    let cache = folder();
    let mut device = open(cache.path());
    let mut broken = (*plan("a", 2, Precision::F32, 2)).clone();
    let kernel = || {
        Kernel::new("test", "test_broken", 1)
            .define("BROKEN", 1)
            .define("FACTOR", 2)
    };
    broken
        .steps
        .push(step("broken", Call::new(kernel, NoHost).write(DST)));
    let error = device
        .load(&Arc::new(broken))
        .expect_err("it cannot be built");
    assert_eq!(error.code, Code::E0702);
    assert!(
        error.message.contains("kernels/test.cl (test_broken)"),
        "{error:?}"
    );
    assert!(
        error.message.contains(&device.description().name),
        "{error:?}"
    );
    assert!(
        error.notes.iter().any(|note| note.contains("no_such_name")),
        "{error:?}"
    );
    // The device goes on.
    let loaded = device
        .load(&plan("a", 2, Precision::F32, 2))
        .expect("it loads");
    assert_eq!(run(&mut device, loaded, 1), 2.0 + ADDED);
}

#[test]
fn a_kernel_that_is_not_there_is_named() {
    let cache = folder();
    let mut device = open(cache.path());
    let mut broken = (*plan("a", 2, Precision::F32, 2)).clone();
    with_kernel(&mut broken, |kernel| Kernel {
        function: "test_missing",
        ..kernel
    });
    let error = device
        .load(&Arc::new(broken))
        .expect_err("there is no such kernel");
    assert_eq!(error.code, Code::E0702);
    assert!(error.message.contains("test_missing"), "{error:?}");
}

#[test]
fn a_plan_that_is_too_large_is_refused_with_the_batch_that_fits() {
    let cache = folder();
    let mut device = open(cache.path());
    let room = device.limits().allocation_bytes / 4096;
    let error = device
        .load(&plan("a", 2, Precision::F32, 2 * room))
        .expect_err("it cannot fit");
    assert_eq!(error.code, Code::E0703);
    assert!(
        error.message.contains(&format!("{}", 2 * room * 4096)),
        "{error:?}"
    );
    assert!(error.help.is_some_and(|help| help.contains("--batch")));
    assert_eq!(device.allocated_bytes(), 0);
}

#[test]
fn a_step_that_fails_names_call_step_kernel_and_status() {
    let cache = folder();
    let mut device = open(cache.path());
    let mut broken = (*plan("a", 2, Precision::F32, 2)).clone();
    with_kernel(&mut broken, |kernel| Kernel {
        local: Some([7, 1, 1]), // does not divide 100
        ..kernel
    });
    let loaded = device.load(&Arc::new(broken)).expect("it loads");
    let error = device
        .run(loaded, 0..2, &SCALARS)
        .expect_err("the groups do not fit");
    assert_eq!(error.code, Code::E0704);
    assert!(
        error
            .message
            .contains("clEnqueueNDRangeKernel gave CL_INVALID_WORK_GROUP_SIZE"),
        "{error:?}"
    );
    assert!(
        error
            .notes
            .iter()
            .any(|note| note.contains("`scale`") && note.contains("test_scale")),
        "{error:?}"
    );
}
