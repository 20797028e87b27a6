//! What an OpenCL call answers: the status as an error with its name, and queries of unknown size.
//!
//! The crate `ocl` panics on status codes that it does not know, so calls that may fail go to its raw functions and
//! their status comes here. Knows nothing of plans; the diagnostics are made where the work is known.

use std::ffi::c_void;
use std::fmt;
use std::ptr;

use num_traits::FromPrimitive;
use ocl::core::Status;
use ocl::core::ffi::{cl_int, size_t};

/// A call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The function, `clEnqueueNDRangeKernel`.
    pub call: &'static str,
    /// Its status.
    pub status: cl_int,
}

impl Failure {
    /// Whether the device ran out of memory (or says so: NVIDIA gives `CL_OUT_OF_RESOURCES` for most ills).
    pub fn is_memory(self) -> bool {
        [
            Status::CL_MEM_OBJECT_ALLOCATION_FAILURE,
            Status::CL_OUT_OF_RESOURCES,
            Status::CL_OUT_OF_HOST_MEMORY,
        ]
        .iter()
        .chain(&[Status::CL_INVALID_BUFFER_SIZE])
        .any(|&status| status as cl_int == self.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} gave {}", self.call, status_name(self.status))
    }
}

/// A status' name as the OpenCL headers have it, or its number where no header does.
pub fn status_name(status: cl_int) -> String {
    Status::from_i32(status).map_or_else(
        || format!("status {status}"),
        |status| format!("{status:?}"),
    )
}

/// The status as a result.
pub fn check(call: &'static str, status: cl_int) -> Result<(), Failure> {
    if status == Status::CL_SUCCESS as cl_int {
        Ok(())
    } else {
        Err(Failure { call, status })
    }
}

/// A creating call's handle, which answers its status through a last argument.
pub fn created(
    call: &'static str,
    create: impl FnOnce(*mut cl_int) -> *mut c_void,
) -> Result<*mut c_void, Failure> {
    let mut status = Status::CL_SUCCESS as cl_int;
    let handle = create(&raw mut status);
    check(call, status)?;
    // A null handle without an error would be the driver's bug; it must not reach the next call.
    if handle.is_null() {
        return Err(Failure {
            call,
            status: Status::CL_INVALID_VALUE as cl_int,
        });
    }
    Ok(handle)
}

/// Asks a `clGet…Info` function for its bytes: once for their number, once for themselves. `ask` gets the size of the
/// space, the space, and where the number goes.
pub fn info(
    call: &'static str,
    ask: impl Fn(size_t, *mut c_void, *mut size_t) -> cl_int,
) -> Result<Vec<u8>, Failure> {
    let mut size = 0;
    check(call, ask(0, ptr::null_mut(), &raw mut size))?;
    let mut bytes = vec![0; size];
    if size > 0 {
        check(call, ask(size, bytes.as_mut_ptr().cast(), ptr::null_mut()))?;
    }
    Ok(bytes)
}

/// Bytes of a C string as text, without the zero at its end and the white space around it.
pub fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_names_and_unknown_ones_numbers() {
        assert_eq!(status_name(-5), "CL_OUT_OF_RESOURCES");
        assert_eq!(status_name(-1001), "CL_PLATFORM_NOT_FOUND_KHR");
        assert_eq!(status_name(-1234), "status -1234");
        assert_eq!(
            check("clFinish", -36).unwrap_err().to_string(),
            "clFinish gave CL_INVALID_COMMAND_QUEUE"
        );
        assert!(created("clCreateBuffer", |_| ptr::null_mut()).is_err());
        assert_eq!(text(b" 3.1 \0x"), "3.1");
    }
}
