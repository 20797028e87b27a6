//! Every diagnostic code, once.
//!
//! Codes are stable: a code never changes its meaning and is never used again for another one. The families are
//! E01 text, E02 words and values, E03 shapes, E04 TOML, E05 data, E06 runs and checkpoints, E07 devices, E08 training,
//! E09 files; W01 what could not be verified, W02 the signal at the start, W04 settings.

use std::fmt;
use std::str::FromStr;

macro_rules! codes {
    ($($code:ident $meaning:literal,)*) => {
        /// A diagnostic's stable code; its documentation says what it means.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $code,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// The code as users see it, `E0301`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$code => stringify!($code),)* }
            }

            /// What the code means, in one line.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$code => $meaning,)* }
            }

            /// Its entry in the folder `explain`, whole: a code without one does not compile.
            pub(super) fn entry(self) -> &'static str {
                match self { $(Self::$code => include_str!(concat!("explain/", stringify!($code), ".md")),)* }
            }
        }
    };
}

codes! {
    E0101 "something that is no layer, attribute or arrow stands here (the message says what may)",
    E0102 "bracket or parenthesis never closed, or closed and never opened",
    E0103 "malformed number or size, or a size with the wrong number of parts",
    E0104 "an arrow with nothing before or after it, or a layer missing its arrow",
    E0105 "no layer in the file",
    E0106 "the file is not UTF-8 text",
    E0107 "brackets nested deeper than 64",
    E0201 "unknown layer kind",
    E0202 "unknown attribute for this layer or this variant of it",
    E0203 "attribute given twice",
    E0204 "value of the wrong type, or an unknown word",
    E0205 "value out of range (width 0, stride 0, dropout 1.0, an even LRN size, a number too large)",
    E0206 "label used twice, or a label that has the shape of a generated name",
    E0207 "width missing (C), or given to a layer that has none (P3)",
    E0208 "attributes that contradict each other (max, avg; global with kernel; pad=same with an even kernel)",
    E0301 "window larger than its padded input",
    E0302 "groups that do not divide the channels or the filters",
    E0303 "image layer after F",
    E0304 "branches that disagree in shape (all shapes shown)",
    E0305 "the last layer is no F",
    E0306 "activation or dropout named on the classifier",
    E0307 "sizes whose product overflows, or a tensor beyond 2^40 elements",
    E0308 "more than 10,000 layers after expansion",
    E0401 "not TOML",
    E0402 "unknown table or key",
    E0403 "value of the wrong type or an unknown word",
    E0404 "value out of range",
    E0405 "keys that contradict each other",
    E0406 "key missing",
    E0501 "no such data set, file or folder",
    E0502 "broken data file (which file, which byte, what was expected)",
    E0503 "images whose shape is not the network's input",
    E0504 "more classes, or a higher label, than the classifier has units",
    E0505 "no images at all, or a class without any",
    E0506 "training images that are not those of the run",
    E0601 "not a checkpoint, or a damaged one (checksum)",
    E0602 "checkpoint tensors that do not fit the network (each with both shapes)",
    E0603 "run folder in use or already there",
    E0701 "no such device",
    E0702 "kernel does not build (kernel, device, the compiler's log)",
    E0703 "not enough device memory (needed and available bytes, the largest batch that fits)",
    E0704 "the device failed in the middle of work (call, kernel, status)",
    E0705 "self-test mismatch",
    E0706 "the device lacks this precision",
    E0801 "the loss is no longer finite (step, last good checkpoint, what to try)",
    E0901 "a file cannot be read or written (disk full, permission)",
    W0101 "the input shape is unknown, so shapes, parameters and memory could not be verified",
    W0201 "the signal vanishes at the start: a layer's output is far smaller than the network's input",
    W0202 "the signal explodes at the start: the loss would begin far above that of a blind guess",
    W0203 "the gradient vanishes at the start: it comes back to a layer far too small to change it",
    W0204 "the gradient explodes at the start: it grows from layer to layer on the way back",
    W0401 "a setting that changes nothing for this network",
    W0402 "tuned numbers that were kept for a device and cannot be used",
}

/// No diagnostic has this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCode;

/// In upper or lower case.
impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let found = Self::ALL
            .iter()
            .find(|code| code.name().eq_ignore_ascii_case(text));
        found.copied().ok_or(UnknownCode)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
