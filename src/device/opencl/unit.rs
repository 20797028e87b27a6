//! A unit of compilation: one kernel file with its build-time constants. Steps that agree in both share it.
//!
//! Owns: the text and the options that the compiler gets. Knows no OpenCL call.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::sources;
use crate::file;
use crate::op::emit::{Define, Kernel};
use crate::op::real::Precision;

/// A kernel file with its build-time constants.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unit {
    /// The file's name, without folder and ending.
    pub file: &'static str,
    /// In the order of their names.
    pub defines: Vec<(&'static str, Define)>,
    /// Whether the numbers are doubles.
    double: bool,
}

impl Unit {
    /// The unit that holds a kernel.
    pub fn of(kernel: &Kernel, precision: Precision) -> Self {
        let mut defines = kernel.defines.clone();
        defines.sort_unstable();
        Self {
            file: kernel.file,
            defines,
            double: precision == Precision::F64,
        }
    }

    /// The text for the compiler. `#line` makes its log speak of the files in `kernels/`.
    pub fn text(&self) -> String {
        let source = sources::source(self.file);
        let source = source
            .unwrap_or_else(|| panic!("internal error: there is no kernels/{}.cl", self.file));
        let (file, prelude) = (self.file, sources::PRELUDE);
        format!(
            "#line 1 \"kernels/prelude.cl\"\n{prelude}\n#line 1 \"kernels/{file}.cl\"\n{source}\n"
        )
    }

    /// What its names at file scope end with in a program of many units: the same in every program.
    pub fn suffix(&self) -> String {
        let hash = Sha256::new_with_prefix(self.file).chain_update(self.options());
        format!("_u{}", file::hex(&hash.finalize()[..6]))
    }

    /// The compiler's options that do not depend on the kernel.
    pub fn base_options(&self) -> &'static str {
        // Without -w PoCL writes the number of warnings to the standard error.
        if self.double {
            "-w -D REAL=double -D PRECISION_F64=1"
        } else {
            "-w -D REAL=float"
        }
    }

    /// The compiler's options: the number type, then the defines in the order of their names.
    pub fn options(&self) -> String {
        let mut options = self.base_options().to_string();
        for (name, value) in &self.defines {
            // Drivers split options at white space, and each understands quotes in its own way.
            let safe =
                |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '`' | '$' | ';');
            assert!(
                value.to_string().chars().all(safe),
                "internal error: the define {name}={value} is not safe as an option"
            );
            let _ = write!(options, " -D {name}={value}");
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted_and_real_numbers_stay_whole() {
        let kernel = Kernel::new("test", "f", 1)
            .define("W", 3)
            .define("A", 1)
            .define("RATE", 1e-4);
        assert_eq!(
            Unit::of(&kernel, Precision::F32).options(),
            "-w -D REAL=float -D A=1 -D RATE=((REAL)1e-4) -D W=3"
        );
        assert!(
            Unit::of(&kernel, Precision::F64)
                .options()
                .starts_with("-w -D REAL=double -D PRECISION_F64=1 -D A=1")
        );
    }

    #[test]
    #[should_panic(expected = "internal error: the define A=1 -D B is not safe")]
    fn a_define_cannot_smuggle_an_option() {
        let kernel = Kernel::new("test", "f", 1).define("A", "1 -D B");
        let _ = Unit::of(&kernel, Precision::F32).options();
    }
}
