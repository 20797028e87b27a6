//! libOpenCL, opened at run time: netc builds, links and starts on a machine that has none.
//!
//! The crate `ocl` declares the functions of OpenCL 1.2 and links `-lOpenCL`. The build script answers that flag with an
//! empty archive, and [`super::functions`] defines every declared function, through the macro `forwarders` of this file,
//! as a forwarder to the library that [`open`] opens at the first call. Where the library or the function is missing, a
//! forwarder answers `CL_PLATFORM_NOT_FOUND_KHR` (or a null handle and that error code); none panics. Signatures are
//! checked against the crate's by the compiler.
//!
//! Knows nothing of platforms, devices or plans.

use std::ffi::OsString;

use libloading::Library;
use ocl::core::ffi::cl_int;

/// The environment variable that names another OpenCL library, and that one only.
pub const LIBRARY_VARIABLE: &str = "NETC_OPENCL_LIBRARY";

/// `CL_PLATFORM_NOT_FOUND_KHR`: what the ICD loader answers where there is no driver, and we where there is no loader.
pub const PLATFORM_NOT_FOUND: cl_int = -1001;

/// The library's names, the one without a development package first.
#[cfg(not(any(target_os = "macos", windows)))]
const NAMES: &[&str] = &["libOpenCL.so.1", "libOpenCL.so"];
#[cfg(target_os = "macos")]
const NAMES: &[&str] = &[
    "/System/Library/Frameworks/OpenCL.framework/OpenCL",
    "libOpenCL.dylib",
];
#[cfg(windows)]
const NAMES: &[&str] = &["OpenCL.dll"];

/// Opens the library that the environment names, or the first of [`NAMES`] that can be opened.
pub fn open() -> Option<Library> {
    let named: Option<OsString> =
        std::env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty());
    let names: Vec<OsString> = named.map_or_else(
        || NAMES.iter().map(OsString::from).collect(),
        |path| vec![path],
    );
    // SAFETY: opening a library runs its initializers. It is the machine's OpenCL loader, or the one that the user
    // named, exactly what linking against it would have run.
    names
        .iter()
        .find_map(|name| unsafe { Library::new(name) }.ok())
}

/// One function of the library.
///
/// # Safety
/// `F` must be the function's type.
pub unsafe fn symbol<F: Copy>(library: &Library, name: &str) -> Option<F> {
    // SAFETY: the caller's promise.
    unsafe { library.get::<F>(name.as_bytes()) }
        .ok()
        .map(|function| *function)
}

macro_rules! forwarders {
    (
        status { $($status:ident($($s:ident: $s_type:ty),*);)* }
        object { $($object:ident($($o:ident: $o_type:ty),*) -> $handle:ty;)* }
        address { $($address:ident($($a:ident: $a_type:ty),*);)* }
    ) => {
        /// The opened library's functions; `None` where no library could be opened. It stays open for as long as the process
        /// lives: drivers start threads that outlast every handle.
        fn table() -> Option<&'static Table> {
            static TABLE: OnceLock<Option<Table>> = OnceLock::new();
            TABLE.get_or_init(|| open().map(Table::of)).as_ref()
        }

        /// Every function that was found.
        struct Table {
            $($status: Option<unsafe extern "system" fn($($s_type),*) -> cl_int>,)*
            $($object: Option<unsafe extern "system" fn($($o_type,)* *mut cl_int) -> $handle>,)*
            $($address: Option<unsafe extern "system" fn($($a_type),*) -> *mut c_void>,)*
            _library: Library,
        }

        impl Table {
            /// Looks every function up.
            fn of(library: Library) -> Self {
                // SAFETY: the types are those of the OpenCL headers; all but two are checked below.
                unsafe {
                    Self {
                        $($status: symbol(&library, stringify!($status)),)*
                        $($object: symbol(&library, stringify!($object)),)*
                        $($address: symbol(&library, stringify!($address)),)*
                        _library: library,
                    }
                }
            }
        }

        $(
            const _: unsafe extern "system" fn($($s_type),*) -> cl_int = ffi::$status;

            #[unsafe(no_mangle)]
            unsafe extern "system" fn $status($($s: $s_type),*) -> cl_int {
                match table().and_then(|table| table.$status) {
                    // SAFETY: the caller's promise is the forwarded function's.
                    Some(function) => unsafe { function($($s),*) },
                    None => PLATFORM_NOT_FOUND,
                }
            }
        )*

        $(
            const _: unsafe extern "system" fn($($o_type,)* *mut cl_int) -> $handle = ffi::$object;

            #[unsafe(no_mangle)]
            unsafe extern "system" fn $object($($o: $o_type,)* errcode_ret: *mut cl_int) -> $handle {
                if let Some(function) = table().and_then(|table| table.$object) {
                    // SAFETY: the caller's promise is the forwarded function's.
                    return unsafe { function($($o,)* errcode_ret) };
                }
                if !errcode_ret.is_null() {
                    // SAFETY: OpenCL demands that it is null or writable.
                    unsafe { errcode_ret.write(PLATFORM_NOT_FOUND) };
                }
                ptr::null_mut()
            }
        )*

        $(
            #[unsafe(no_mangle)]
            unsafe extern "system" fn $address($($a: $a_type),*) -> *mut c_void {
                match table().and_then(|table| table.$address) {
                    // SAFETY: the caller's promise is the forwarded function's.
                    Some(function) => unsafe { function($($a),*) },
                    None => ptr::null_mut(),
                }
            }
        )*
    };
}
pub(super) use forwarders;
