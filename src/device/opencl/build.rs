//! One program: from the cache on disk, else from the compiler.
//!
//! On CPUs a program is compiled and linked in two calls, and what is kept is the compiled object. PoCL finishes a
//! kernel at its first launch and keeps that work in a cache of its own, so the object is all that is missing; the
//! binary of a linked program would cost 0.1 s a kernel, since PoCL finishes each once more for any group size
//! (PoCL 3.1, 2026-11-25: 4 to 6 s for the 45 kernels of a training step).

use std::collections::BTreeSet;
use std::ffi::CString;
use std::ptr;

use ocl::core::ffi;
use ocl::core::{Program, Status};

use super::cache::{Cache, Key};
use super::call::{self, Failure, check, created};
use super::queue::Queue;
use super::unit::Unit;
use crate::diagnostic::{Code, Diagnostic};
use crate::plan::Class;

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

/// The program of a binary that was linked for this device.
pub fn linked(queue: &Queue, binary: &[u8]) -> Result<Program, Failure> {
    let build = Build {
        queue,
        cache: &Cache::none(),
        text: "",
        options: "",
    };
    let program = build.given(binary)?;
    build.build(&program)?;
    Ok(program)
}

/// A program.
pub struct Made {
    /// Ready for kernels.
    pub program: Program,
    /// Whether it was just compiled, not found in the cache.
    pub compiled: bool,
    /// The start of what the cache keeps.
    pub header: Option<Header>,
}

/// What PoCL writes before a binary's contents: a word, the device, the version of the form.
pub type Header = [u8; 20];

/// One program on its way.
pub struct Build<'a> {
    /// The device.
    pub queue: &'a Queue,
    /// Where its binary may be.
    pub cache: &'a Cache,
    /// The source.
    pub text: &'a str,
    /// The compiler's options.
    pub options: &'a str,
}

/// Why there is no program: the call, and the compiler's log where it was the compiler's.
pub struct Stop {
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
    pub fn diagnostic(
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
    /// Under which the cache keeps it.
    pub fn key(&self) -> Key {
        let [platform, version, name, driver] = self.queue.found.facts();
        Key::of(&[self.text, self.options, platform, version, name, driver])
    }

    /// From the cache, else from the compiler, which is told before.
    pub fn run(&self, compiling: &dyn Fn()) -> Result<Made, Stop> {
        let key = self.key();
        if let Some(binary) = self.cache.read(&key)
            && let Ok(program) = self.load(&binary)
        {
            return Ok(Made {
                program,
                compiled: false,
                header: binary.first_chunk().copied(),
            });
        }
        compiling();
        if self.queue.found.limits.class == Class::Cpu {
            let (object, header) = self.object()?;
            return Ok(Made {
                program: self.link(&object)?,
                compiled: true,
                header,
            });
        }
        let program = self.source()?;
        let built = self.build(&program);
        built.map_err(|failure| self.stop(failure, &program))?;
        self.keep(&key, &program);
        Ok(Made {
            program,
            compiled: true,
            header: None,
        })
    }

    /// The object for [`Self::link`] from the compiler, kept in the cache, and the start of what is kept.
    pub fn object(&self) -> Result<(Program, Option<Header>), Stop> {
        let program = self.source()?;
        let compiled = self.compile(&program);
        compiled.map_err(|failure| self.stop(failure, &program))?;
        let kept = self.keep(&self.key(), &program);
        Ok((program, kept.and_then(|kept| kept.first_chunk().copied())))
    }

    fn stop(&self, failure: Failure, program: &Program) -> Stop {
        Stop {
            failure,
            log: Some(self.log(program)),
        }
    }

    /// From what the cache kept; the driver may refuse it all the same.
    fn load(&self, binary: &[u8]) -> Result<Program, Failure> {
        let program = self.given(binary)?;
        if self.queue.found.limits.class == Class::Cpu {
            return self.link(&program);
        }
        self.build(&program)?;
        Ok(program)
    }

    /// A binary as a program that is not built yet.
    fn given(&self, binary: &[u8]) -> Result<Program, Failure> {
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

    /// Links a compiled object to a program of its own. A process's first one takes PoCL 0.8 s (2026-11-29): it reads the
    /// functions that come with OpenCL C.
    pub fn link(&self, object: &Program) -> Result<Program, Failure> {
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
