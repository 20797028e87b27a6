//! Settings with a written form of their own: `"10min"`, `"2 GiB"`, `"0:1"`, a number or a word.
//!
//! Owns: these types, how they are read and how they are written. Knows nothing of keys or spans.

use std::fmt;
use std::str::FromStr;

use super::value::{Malformed, Setting, Value, text_setting};

text_setting!(Every, MemoryLimit, Select);

/// Images of a mini-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// So many.
    Images(usize),
    /// The largest that fits the device.
    Auto,
}

impl Setting for Batch {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) if text == "auto" => Some(Self::Auto),
            _ => usize::read(value).map(Self::Images),
        }
    }

    fn write(&self) -> Value {
        match self {
            Self::Images(images) => images.write(),
            Self::Auto => Value::Text("auto".into()),
        }
    }
}

/// How often something happens: `"10min"`, `"500 steps"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every {
    /// How many of the unit, at least 1.
    pub count: u64,
    /// Of what.
    pub unit: Unit,
}

/// What [`Every`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Training steps.
    Steps,
    /// Epochs.
    Epochs,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Steps => " steps",
            Unit::Epochs => " epochs",
            Unit::Seconds => "s",
            Unit::Minutes => "min",
            Unit::Hours => "h",
        };
        write!(f, "{}{unit}", self.count)
    }
}

impl FromStr for Every {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (count, unit) = number_and_unit(text)?;
        let unit = match unit {
            "step" | "steps" => Unit::Steps,
            "epoch" | "epochs" => Unit::Epochs,
            "s" => Unit::Seconds,
            "min" => Unit::Minutes,
            "h" => Unit::Hours,
            _ => return Err(Malformed),
        };
        // Below 2^32 hours, seconds and steps are safe to multiply.
        if (1..1 << 32).contains(&count) {
            Ok(Self { count, unit })
        } else {
            Err(Malformed)
        }
    }
}

/// `12 GiB` to 12 and `GiB`; the space may be missing.
fn number_and_unit(text: &str) -> Result<(u64, &str), Malformed> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Ok((number.parse().map_err(|_| Malformed)?, unit.trim_start()))
}

/// How much device memory training may take: `"none"`, `"2 GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// As much as there is.
    None,
    /// At most so many bytes.
    Bytes(u64),
}

impl MemoryLimit {
    /// The bytes, where there is a limit.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::None => None,
        }
    }
}

/// The units of [`MemoryLimit`], the larger first, each with its bytes.
const BYTE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::None => f.write_str("none"),
            Self::Bytes(bytes) => {
                let (unit, size) = BYTE_UNITS
                    .into_iter()
                    .find(|(_, size)| bytes % size == 0)
                    .unwrap_or(("B", 1));
                write!(f, "{} {unit}", bytes / size)
            }
        }
    }
}

impl FromStr for MemoryLimit {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text == "none" {
            return Ok(Self::None);
        }
        let (count, unit) = number_and_unit(text)?;
        let (_, size) = BYTE_UNITS
            .into_iter()
            .find(|(name, _)| *name == unit)
            .ok_or(Malformed)?;
        count
            .checked_mul(size)
            .filter(|&bytes| bytes > 0)
            .map(Self::Bytes)
            .ok_or(Malformed)
    }
}

/// Which device computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// The best OpenCL device, or the host engine where there is none.
    Auto,
    /// The host engine.
    Host,
    /// The best OpenCL device that is a GPU.
    Gpu,
    /// The best OpenCL device that is a CPU.
    Cpu,
    /// One OpenCL device, `platform:device`: each half a number that `netc devices` prints, or a
    /// part of the name (`nvidia:h100`).
    Device(String),
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Host => f.write_str("host"),
            Self::Gpu => f.write_str("gpu"),
            Self::Cpu => f.write_str("cpu"),
            Self::Device(selector) => f.write_str(selector),
        }
    }
}

impl FromStr for Select {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "auto" => Ok(Self::Auto),
            "host" => Ok(Self::Host),
            "gpu" => Ok(Self::Gpu),
            "cpu" => Ok(Self::Cpu),
            _ if text.contains(':') => Ok(Self::Device(text.to_owned())),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_take_every_unit_with_and_without_a_space() {
        for (text, canonical) in [
            ("10min", "10min"),
            ("10 min", "10min"),
            ("1 step", "1 steps"),
            ("3 epochs", "3 epochs"),
            ("2h", "2h"),
        ] {
            let every: Every = text.parse().unwrap();
            assert_eq!(every.to_string(), canonical);
            assert_eq!(canonical.parse(), Ok(every));
        }
        for text in [
            "",
            "min",
            "0 s",
            "-1 s",
            "1.5 h",
            "10 minutes",
            "99999999999999999999 s",
        ] {
            assert_eq!(text.parse::<Every>(), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn memory_limits_keep_their_bytes() {
        for (text, bytes) in [
            ("2 GiB", 2 << 30),
            ("1500MB", 1_500_000_000),
            ("7 B", 7),
            ("1 kB", 1000),
        ] {
            let limit: MemoryLimit = text.parse().unwrap();
            assert_eq!(limit, MemoryLimit::Bytes(bytes));
            assert_eq!(limit.to_string().parse(), Ok(limit));
        }
        assert_eq!("none".parse(), Ok(MemoryLimit::None));
        for text in ["0 B", "12", "1 TiB ", "99999999999 GiB", "GiB"] {
            assert_eq!(text.parse::<MemoryLimit>(), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn devices_are_words_or_a_platform_and_a_device() {
        assert_eq!("1:0".parse(), Ok(Select::Device("1:0".into())));
        assert_eq!(
            "nvidia:h100".parse(),
            Ok(Select::Device("nvidia:h100".into()))
        );
        assert_eq!("1:0".parse::<Select>().unwrap().to_string(), "1:0");
        for text in ["", "1", "Host", "nvidia"] {
            assert_eq!(text.parse::<Select>(), Err(Malformed), "{text}");
        }
    }
}
