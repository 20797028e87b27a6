//! Kernel texts to compiled programs. A kernel file with its defines is a unit, built once a device.
//!
//! On CPUs all new units of a plan are one program ([`super::bundle`]), elsewhere each is a program of its own, built
//! several at a time. Programs come from the cache on disk, else from the compiler. Knows kernels as the planner asks
//! for them ([`Kernel`]), nothing of buffers.
//!
//! On CPUs a program is compiled and linked in two calls, and what is kept is the compiled object. PoCL finishes a
//! kernel at its first launch and keeps that work in a cache of its own, so the object is all that is missing; the
//! binary of a linked program would cost 0.1 s a kernel, since PoCL finishes each once more for any group size
//! (PoCL 3.1, 2026-11-25: 4 to 6 s for the 45 kernels of a training step).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CString;
use std::ptr;
use std::sync::Mutex;
use std::thread;

use ocl::core::ffi;
use ocl::core::{Program, Status};

use super::bundle::{self, Part};
use super::cache::{Cache, Key};
use super::call::{self, Failure, check, created};
use super::queue::Queue;
use super::unit::Unit;
use crate::diagnostic::{Code, Diagnostic};
use crate::op::emit::Kernel;
use crate::op::real::Precision;
use crate::plan::Class;

/// The programs of one device.
#[derive(Debug, Default)]
pub struct Programs {
    units: HashMap<Unit, Place>,
    programs: Vec<Program>,
}

/// Where a unit is.
#[derive(Debug)]
struct Place {
    /// Index of its program.
    program: usize,
    /// What its functions' names end with there.
    suffix: String,
}

impl Programs {
    /// Builds what these kernels need and is not built yet; gives the object where one program of all of them was compiled.
    ///
    /// # Errors
    /// E0702 a kernel file does not build; E0704 the device failed.
    pub fn build(
        &mut self,
        queue: &Queue,
        cache: &Cache,
        precision: Precision,
        kernels: &[Kernel],
    ) -> Result<Option<Vec<u8>>, Diagnostic> {
        let mut wanted: BTreeMap<Unit, BTreeSet<&'static str>> = BTreeMap::new();
        for kernel in kernels {
            wanted
                .entry(Unit::of(kernel, precision))
                .or_default()
                .insert(kernel.function);
        }
        wanted.retain(|unit, _| !self.units.contains_key(unit));
        let on_cpu = queue.found.limits.class == Class::Cpu;
        if on_cpu
            && wanted.len() > 1
            && let Some(made) = self.build_bundle(queue, cache, &wanted)
        {
            return Ok(made.object);
        }
        let results = in_parallel(wanted.into_iter().collect(), |(unit, functions)| {
            let (text, options) = (unit.text(), unit.options());
            let built = Build {
                queue,
                cache,
                text: &text,
                options: &options,
            }
            .run();
            built
                .map_err(|stop| stop.diagnostic(queue, &unit, &functions))
                .map(|program| (unit, program))
        });
        for result in results {
            let (unit, program) = result?;
            self.units.insert(
                unit,
                Place {
                    program: self.programs.len(),
                    suffix: String::new(),
                },
            );
            self.programs.push(program.program);
        }
        Ok(None)
    }

    /// Builds all units as one program; `None` where that does not work, and nothing has changed.
    fn build_bundle(
        &mut self,
        queue: &Queue,
        cache: &Cache,
        wanted: &BTreeMap<Unit, BTreeSet<&'static str>>,
    ) -> Option<Made> {
        let texts: Vec<String> = wanted.keys().map(Unit::text).collect();
        let parts = wanted.keys().zip(&texts).map(|(unit, text)| Part {
            text,
            defines: &unit.defines,
        });
        let text = bundle::bundle(&parts.collect::<Vec<_>>());
        let options = wanted.keys().next().map_or("", Unit::base_options);
        let made = Build {
            queue,
            cache,
            text: &text,
            options,
        }
        .run()
        .ok()?;
        for (index, unit) in wanted.keys().enumerate() {
            let place = Place {
                program: self.programs.len(),
                suffix: bundle::suffix(index),
            };
            self.units.insert(unit.clone(), place);
        }
        self.programs.push(made.program.clone());
        Some(made)
    }

    /// How many programs there are.
    pub fn count(&self) -> usize {
        self.programs.len()
    }

    /// A kernel of a unit that was built, without arguments.
    ///
    /// # Errors
    /// E0702 the file has no such function; E0704 the device failed.
    pub fn kernel(
        &self,
        queue: &Queue,
        precision: Precision,
        kernel: &Kernel,
    ) -> Result<ocl::core::Kernel, Diagnostic> {
        let Kernel { file, function, .. } = kernel;
        let unit = Unit::of(kernel, precision);
        let place = self
            .units
            .get(&unit)
            .expect("internal error: a unit was not built");
        let program = &self.programs[place.program];
        let name = format!("{function}{}", place.suffix);
        self::kernel(program, &name).map_err(|failure| match failure.status {
            status if status == Status::CL_INVALID_KERNEL_NAME as i32 => Diagnostic::error(
                Code::E0702,
                format!(
                    "kernels/{file}.cl has no kernel `{function}` with the defines of this step"
                ),
            )
            .note(format!("options: {}", unit.options())),
            _ => queue.failed(
                failure,
                format!("while the kernel `{function}` of kernels/{file}.cl was made"),
            ),
        })
    }

    /// What a kernel's function is called in the program built last; `None` where it is not in that.
    pub fn newest_function(&self, precision: Precision, kernel: &Kernel) -> Option<String> {
        let place = self.units.get(&Unit::of(kernel, precision))?;
        let newest = place.program + 1 == self.programs.len();
        newest.then(|| format!("{}{}", kernel.function, place.suffix))
    }
}

/// A kernel of a program, without arguments.
pub fn kernel(program: &Program, name: &str) -> Result<ocl::core::Kernel, Failure> {
    let name = CString::new(name).expect("internal error: a function's name with a zero in it");
    let handle = created("clCreateKernel", |status| {
        // SAFETY: the program is valid and built, the name ends with a zero.
        unsafe { ffi::clCreateKernel(program.as_ptr(), name.as_ptr(), status) }
    })?;
    // SAFETY: a new kernel, which now belongs to this value.
    Ok(unsafe { ocl::core::Kernel::from_raw_create_ptr(handle) })
}

/// The program of an object that was compiled for this device.
pub fn loaded(queue: &Queue, object: &[u8]) -> Result<Program, Failure> {
    let build = Build {
        queue,
        cache: &Cache::none(),
        text: "",
        options: "",
    };
    build.load(object)
}

/// A program, and the object that it was made from, where that was just compiled.
struct Made {
    program: Program,
    object: Option<Vec<u8>>,
}

/// One program on its way.
struct Build<'a> {
    queue: &'a Queue,
    cache: &'a Cache,
    text: &'a str,
    options: &'a str,
}

/// Why there is no program: the call, and the compiler's log where it was the compiler's.
struct Stop {
    failure: Failure,
    log: Option<String>,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self { failure, log: None }
    }
}

impl Stop {
    /// E0702 where the compiler refused the text, else E0704.
    fn diagnostic(
        self,
        queue: &Queue,
        unit: &Unit,
        functions: &BTreeSet<&'static str>,
    ) -> Diagnostic {
        let (file, name) = (unit.file, &queue.found.description.name);
        let Some(log) = self.log else {
            return queue.failed(self.failure, format!("while kernels/{file}.cl was built"));
        };
        let functions: Vec<&str> = functions.iter().copied().collect();
        let message = format!(
            "kernels/{file}.cl ({}) does not build on {name}",
            functions.join(", ")
        );
        let mut diagnostic = Diagnostic::error(Code::E0702, message)
            .note(self.failure.to_string())
            .note(format!("options: {}", unit.options()))
            .help(
                "this is a fault of netc or of the driver: `--device host` does without the kernel",
            );
        for line in log.lines().filter(|line| !line.trim().is_empty()) {
            diagnostic = diagnostic.note(line);
        }
        diagnostic
    }
}

impl Build<'_> {
    /// From the cache, else from the compiler.
    fn run(&self) -> Result<Made, Stop> {
        let found = &self.queue.found;
        let device = &found.description;
        let platform = [
            &device.platform,
            &found.platform_version,
            &device.name,
            &device.driver,
        ];
        let [platform, version, name, driver] = platform.map(String::as_str);
        let key = Key::of(&[self.text, self.options, platform, version, name, driver]);
        if let Some(program) = self
            .cache
            .read(&key)
            .and_then(|binary| self.load(&binary).ok())
        {
            return Ok(Made {
                program,
                object: None,
            });
        }
        let program = self.source()?;
        let failed = |failure| Stop {
            failure,
            log: Some(self.log(&program)),
        };
        if found.limits.class != Class::Cpu {
            self.build(&program).map_err(failed)?;
            self.keep(&key, &program);
            return Ok(Made {
                program,
                object: None,
            });
        }
        self.compile(&program).map_err(failed)?;
        Ok(Made {
            object: self.keep(&key, &program),
            program: self.link(&program)?,
        })
    }

    /// From what the cache kept; the driver may refuse it all the same.
    fn load(&self, binary: &[u8]) -> Result<Program, Failure> {
        let (context, device) = (&self.queue.context, self.queue.found.device.as_raw());
        let (length, start) = (binary.len(), binary.as_ptr());
        let mut status = 0;
        let handle = created("clCreateProgramWithBinary", |error| {
            // SAFETY: one device, one length, one binary of that length, which the call copies.
            unsafe {
                ffi::clCreateProgramWithBinary(
                    context.as_ptr(),
                    1,
                    &raw const device,
                    &raw const length,
                    &raw const start,
                    &raw mut status,
                    error,
                )
            }
        })?;
        // SAFETY: a new program, which now belongs to this value.
        let program = unsafe { Program::from_raw_create_ptr(handle) };
        check("clCreateProgramWithBinary", status)?;
        if self.queue.found.limits.class == Class::Cpu {
            return self.link(&program);
        }
        self.build(&program)?;
        Ok(program)
    }

    /// The text as a program that is not compiled yet.
    fn source(&self) -> Result<Program, Failure> {
        let (length, start) = (self.text.len(), self.text.as_ptr().cast());
        let handle = created("clCreateProgramWithSource", |status| {
            // SAFETY: one text of this length, which the call copies.
            unsafe {
                let context = self.queue.context.as_ptr();
                ffi::clCreateProgramWithSource(
                    context,
                    1,
                    &raw const start,
                    &raw const length,
                    status,
                )
            }
        })?;
        // SAFETY: a new program, which now belongs to this value.
        Ok(unsafe { Program::from_raw_create_ptr(handle) })
    }

    /// The compiler's options, for the call.
    fn options(&self) -> CString {
        CString::new(self.options).expect("internal error: options with a zero in them")
    }

    /// Compiles and links a program in one.
    fn build(&self, program: &Program) -> Result<(), Failure> {
        let (options, device) = (self.options(), self.queue.found.device.as_raw());
        // SAFETY: one device; the options end with a zero; without a callback the call waits.
        let status = unsafe {
            ffi::clBuildProgram(
                program.as_ptr(),
                1,
                &raw const device,
                options.as_ptr(),
                None,
                ptr::null_mut(),
            )
        };
        check("clBuildProgram", status)
    }

    /// Compiles a program to an object that can be linked.
    fn compile(&self, program: &Program) -> Result<(), Failure> {
        let (options, device) = (self.options(), self.queue.found.device.as_raw());
        // SAFETY: one device, no headers; the options end with a zero; without a callback the call waits.
        let status = unsafe {
            ffi::clCompileProgram(
                program.as_ptr(),
                1,
                &raw const device,
                options.as_ptr(),
                0,
                ptr::null(),
                ptr::null(),
                None,
                ptr::null_mut(),
            )
        };
        check("clCompileProgram", status)
    }

    /// Links a compiled object to a program of its own.
    fn link(&self, object: &Program) -> Result<Program, Failure> {
        let (context, device) = (&self.queue.context, self.queue.found.device.as_raw());
        let object = object.as_ptr();
        let handle = created("clLinkProgram", |status| {
            // SAFETY: one device, one compiled object; no options; without a callback the call waits.
            unsafe {
                ffi::clLinkProgram(
                    context.as_ptr(),
                    1,
                    &raw const device,
                    c"".as_ptr(),
                    1,
                    &raw const object,
                    None,
                    ptr::null_mut(),
                    status,
                )
            }
        })?;
        // SAFETY: a new program, which now belongs to this value.
        Ok(unsafe { Program::from_raw_create_ptr(handle) })
    }

    /// Keeps a program's binary, and gives it. A cache or a driver that refuses costs the next start its time, nothing
    /// else.
    fn keep(&self, key: &Key, program: &Program) -> Option<Vec<u8>> {
        let entry = self.cache.entry(key)?;
        let binary = binary(program).ok()?;
        entry.keep(&binary);
        Some(binary)
    }

    /// The compiler's log.
    fn log(&self, program: &Program) -> String {
        let device = self.queue.found.device.as_raw();
        let log = call::info("clGetProgramBuildInfo", |size, space, actual| {
            // SAFETY: `info` gives the space's true size.
            unsafe {
                let log = ffi::CL_PROGRAM_BUILD_LOG;
                ffi::clGetProgramBuildInfo(program.as_ptr(), device, log, size, space, actual)
            }
        });
        call::text(&log.unwrap_or_default())
    }
}

/// A built program's binary for its one device.
fn binary(program: &Program) -> Result<Vec<u8>, Failure> {
    let ask = |request, size, space, actual| {
        // SAFETY: the callers give the space's true size.
        unsafe { ffi::clGetProgramInfo(program.as_ptr(), request, size, space, actual) }
    };
    let sizes = call::info("clGetProgramInfo", |size, space, actual| {
        ask(ffi::CL_PROGRAM_BINARY_SIZES, size, space, actual)
    })?;
    let nothing = Failure {
        call: "clGetProgramInfo",
        status: Status::CL_INVALID_VALUE as i32,
    };
    let length = sizes
        .try_into()
        .map(usize::from_ne_bytes)
        .map_err(|_| nothing)?;
    if length == 0 {
        return Err(nothing);
    }
    let mut binary = vec![0_u8; length];
    // The answer is an array of pointers, one a device, to where each binary goes.
    let mut places = [binary.as_mut_ptr()];
    let status = ask(
        ffi::CL_PROGRAM_BINARIES,
        size_of_val(&places),
        places.as_mut_ptr().cast(),
        ptr::null_mut(),
    );
    check("clGetProgramInfo", status)?;
    Ok(binary)
}

/// `work` over all items, on as many threads as there are cores; results in the items' order.
fn in_parallel<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(items.len());
    if threads <= 1 {
        return items.into_iter().map(work).collect();
    }
    let queue = Mutex::new(items.into_iter().enumerate());
    let next = || {
        queue
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .next()
    };
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let run = || {
            let mut done = Vec::new();
            while let Some((index, item)) = next() {
                done.push((index, work(item)));
            }
            done
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("internal error: a build panicked"))
            .collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        assert_eq!(
            in_parallel((0..100).collect(), |i| i * 2),
            (0..100).map(|i| i * 2).collect::<Vec<_>>()
        );
    }
}
