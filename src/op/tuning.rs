//! The numbers by which kernels are chosen that depend on the machine: measured, so data and not code.
//!
//! `kernels/tuned.toml` has them by class of device; `netc tune` finds better ones for one device, and `run::tuned` keeps
//! those. [`NUMBERS`] is the one list: reading, writing, ranges and the search of `netc tune` go by it.

use std::sync::{Arc, LazyLock};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::limits::{Class, Limits};
use crate::diagnostic::nearest::nearest;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Source, Span};

/// How far apart values are that are worth measuring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// One more or less, so many times.
    Add(f64),
    /// So many times as much, or that part of it.
    Times(f64),
}
use Step::{Add, Times};

/// One of the numbers.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// Its name in files.
    pub name: &'static str,
    /// Whether it is a whole number.
    whole: bool,
    /// The least that it may be.
    pub least: f64,
    /// The most that it may be.
    pub most: f64,
    /// See [`Step`].
    step: Step,
    get: fn(&Tuning) -> f64,
    set: fn(&mut Tuning, f64),
}

macro_rules! numbers {
    ($($(#[doc = $doc:literal])* $name:ident: $kind:ident = $least:literal to $most:literal, $step:expr;)*) => {
        /// What the choice of kernels depends on beside the network and the device's [`Limits`]. Each number has its origin.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct Tuning {
            $($(#[doc = $doc])* pub $name: $kind,)*
        }

        /// Every number, those with the largest effect first.
        pub const NUMBERS: &[Number] = &[$(Number {
            name: stringify!($name),
            whole: numbers!(@whole $kind),
            least: $least as f64,
            most: $most as f64,
            step: $step,
            get: |tuning| tuning.$name as f64,
            set: |tuning, value| tuning.$name = value as $kind,
        },)*];
    };
    (@whole usize) => { true };
    (@whole f64) => { false };
}

numbers! {
    /// Sums of a register tile, at most: what fits the vector registers beside operands. Of 32 registers 28 (PoCL 3.1 on
    /// Zen 4; 42 fall by a quarter), of 16 registers 12.
    accumulators: usize = 4 to 32, Add(2.0);
    /// Vectors of a register tile, at most. With 16 registers a tile of 3 x 4 keeps 12 sums, 4 operands and a broadcast,
    /// one too many: a weight gradient fell from 150 to 80 GFLOP/s (PoCL 3.1 on Zen 3).
    vectors: usize = 1 to 4, Add(1.0);
    /// Bytes of a work-item's slab in Winograd's forward product, at most: it stays in a core's second cache.
    winograd_slab_bytes: usize = 16_384 to 16_777_216, Times(1.5);
    /// Tiles of a block there, at most: more gain nothing while the weights stay in a cache.
    winograd_most_block: usize = 1 to 512, Times(1.5);
    /// Tiles of a block there, at least, whatever the slab takes.
    winograd_least_block: usize = 1 to 512, Times(1.5);
    /// Bytes of transformed weights that stay in a cache.
    winograd_cached_bytes: usize = 65_536 to 1_073_741_824, Times(4.0);
    /// Tiles of a block where they do not (32 images of 384 to 384 channels, 13x13, on Zen 3: 89 ms in blocks of 4, 51 of
    /// 16, 41 of 64).
    winograd_many_block: usize = 1 to 4096, Times(1.5);
    /// Bytes of Winograd's weight gradient's transforms at a time.
    winograd_chunk_bytes: usize = 65_536 to 1_073_741_824, Times(2.0);
    /// Inputs that Winograd's forward product adds up at a time: a panel of so many stays in a core's first cache.
    winograd_inputs: usize = 8 to 8192, Times(1.5);
    /// Tiles that its weight gradient adds up at a time, likewise.
    winograd_depth: usize = 8 to 8192, Times(1.5);
    /// Bytes of a panel's sums, or of its output's gradients, that one work-item of a direct product keeps: a band of rows.
    direct_band_bytes: usize = 1024 to 524_288, Times(1.5);
    /// Bytes of a panel's weights that stay in a core's first cache, in a direct product.
    direct_depth_bytes: usize = 1024 to 1_048_576, Times(1.5);
    /// Bytes of a panel's weights that stay in a core's first cache, in a fully connected layer's forward product.
    dense_depth_bytes: usize = 1024 to 1_048_576, Times(1.5);
    /// Panels that one work-item multiplies there, where there are enough.
    dense_side: usize = 1 to 8, Times(2.0);
    /// Bytes of its input gradient that one work-item sums.
    dense_sums_bytes: usize = 1024 to 524_288, Times(1.5);
    /// Inputs whose weight gradients one work-item sums.
    dense_weight_inputs: usize = 8 to 65_536, Times(1.5);
    /// Vectors of its input gradient's tile, at most: few enough that weights, which are broadcast, are read seldom.
    batch_vectors: usize = 1 to 4, Add(1.0);
    /// Bytes that the largest step of a group of images may touch in inference: what the caches hold, or, where thousands
    /// of work-items must be kept busy, much more.
    group_bytes: usize = 65_536 to 1_073_741_824, Times(2.0);
    /// The same in bytes a byte of weights, where that is more: a CPU reads the weights anew for each group.
    group_weights: usize = 0 to 64, Add(1.0);
    /// The time of a load in a register tile, beside the multiply-adds that it does not hide behind: an estimate.
    load_cost: f64 = 0.0 to 4.0, Times(2.0);
    /// The time of a transform of Winograd's, a point and vector, in multiply-adds: memory included (2 cores Zen 3).
    winograd_transform_cost: f64 = 0.5 to 500.0, Times(1.5);
    /// The time of a multiply-add of Winograd's products. A direct product's is 1.15.
    winograd_product_cost: f64 = 0.25 to 8.0, Times(1.25);
    /// The time of a weight vector's transform to one point, in multiply-adds: once a batch, which decides where that is a
    /// single small image (48 to 96 channels, 3x3, 2 cores Zen 3: 0.05 ms).
    winograd_weight_cost: f64 = 0.0 to 500.0, Times(1.5);
}

/// The numbers by class of device.
const TUNED: &str = include_str!("../../kernels/tuned.toml");

/// The tables of [`TUNED`]: each a class, and its numbers on top of the default's.
static CLASSES: LazyLock<Vec<(String, Tuning)>> = LazyLock::new(|| {
    classes(&Source::new("kernels/tuned.toml", TUNED))
        .expect("internal error: kernels/tuned.toml is wrong")
});

/// The default's table.
const DEFAULT: &str = "default";

/// Reads tables of numbers by class, the default's first and whole.
fn classes(source: &Arc<Source>) -> Result<Vec<(String, Tuning)>, Diagnostic> {
    let table = parse(source)?;
    let mut classes: Vec<(String, Tuning)> = Vec::new();
    let mut names: Vec<_> = table.get_ref().iter().collect();
    names.sort_by_key(|(name, _)| (name.get_ref() != DEFAULT, name.span().start));
    for (name, numbers) in names {
        let base = classes.first().map_or(Tuning::default(), |(_, base)| *base);
        classes.push((name.get_ref().to_string(), base.read(source, numbers)?));
    }
    Ok(classes)
}

impl Tuning {
    /// The built-in numbers for a device: the default's, overridden by those of its class.
    pub fn of(limits: &Limits) -> Self {
        let class = match limits.class {
            Class::Cpu => format!("cpu-{}", 8 * limits.vector_bytes),
            Class::Gpu => "gpu".into(),
            Class::Host => "host".into(),
        };
        let of = |class: &str| CLASSES.iter().find(|(name, _)| name == class);
        of(&class)
            .or_else(|| of(DEFAULT))
            .expect("internal error: kernels/tuned.toml has no default")
            .1
    }

    /// The same, changed as a table of numbers says.
    ///
    /// # Errors
    /// W0402 a number that is unknown, no number or out of range.
    pub fn read(
        mut self,
        source: &Arc<Source>,
        table: &Spanned<DeValue<'_>>,
    ) -> Result<Self, Diagnostic> {
        let DeValue::Table(numbers) = table.get_ref() else {
            return Err(fault("a table of numbers is expected here").at(source, span(table)));
        };
        for (name, value) in numbers {
            let number = Number::named(name.get_ref())
                .map_err(|diagnostic| diagnostic.at(source, span(name)))?;
            let given = number
                .parse(value.get_ref())
                .map_err(|diagnostic| diagnostic.at(source, span(value)))?;
            number.set(&mut self, given);
        }
        Ok(self)
    }

    /// The numbers that differ from another's, as lines of TOML.
    pub fn beside(&self, other: &Self) -> String {
        let different = |number: &&Number| number.get(self) != number.get(other);
        let numbers = NUMBERS.iter().filter(different);
        let line = |number: &Number| format!("{} = {}\n", number.name, number.show(self));
        numbers.map(line).collect()
    }
}

impl Number {
    fn named(name: &str) -> Result<&'static Self, Diagnostic> {
        let found = NUMBERS.iter().find(|number| number.name == name);
        found.ok_or_else(|| {
            let unknown = fault(format!("there is no number `{name}`"));
            match nearest(name, NUMBERS.iter().map(|number| number.name)) {
                Some(meant) => unknown.here(format!("did you mean `{meant}`?")),
                None => unknown,
            }
        })
    }

    fn parse(&self, value: &DeValue<'_>) -> Result<f64, Diagnostic> {
        let number = match value {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(f64::INFINITY, |whole| whole as f64),
            DeValue::Float(number) if !self.whole => number.as_str().parse().unwrap_or(f64::NAN),
            _ => {
                let kind = if self.whole {
                    "a whole number"
                } else {
                    "a number"
                };
                return Err(fault(format!("`{}` is {kind}", self.name)));
            }
        };
        if (self.least..=self.most).contains(&number) {
            return Ok(number);
        }
        let (name, least, most) = (self.name, self.least, self.most);
        Err(fault(format!("`{name}` lies between {least} and {most}")))
    }

    /// Its value.
    pub fn get(&self, tuning: &Tuning) -> f64 {
        (self.get)(tuning)
    }

    /// Sets it.
    pub fn set(&self, tuning: &mut Tuning, value: f64) {
        (self.set)(tuning, value);
    }

    /// Its value as TOML.
    pub fn show(&self, tuning: &Tuning) -> String {
        if self.whole {
            format!("{}", self.get(tuning))
        } else {
            format!("{:?}", self.get(tuning))
        }
    }

    /// The next value above or below that is worth measuring, where there is one.
    pub fn next(&self, value: f64, up: bool) -> Option<f64> {
        let next = match (self.step, up) {
            (Add(step), true) => value + step,
            (Add(step), false) => value - step,
            (Times(factor), true) => value * factor,
            (Times(factor), false) => value / factor,
        };
        // Three digits are enough: a file that people read.
        let digits = |value: f64| {
            let unit = 10f64.powf(value.abs().log10().floor() - 2.0);
            (value / unit).round() * unit
        };
        let next = match (self.whole, up) {
            (false, _) => format!("{:.4}", digits(next)).parse().unwrap_or(next),
            (true, true) => next.ceil(),
            (true, false) => next.floor(),
        };
        let possible = (self.least..=self.most).contains(&next) && next != value;
        possible.then_some(next)
    }
}

/// A file of numbers, parsed.
///
/// # Errors
/// W0402 it is not TOML.
pub fn parse(source: &Arc<Source>) -> Result<Spanned<DeTable<'_>>, Diagnostic> {
    DeTable::parse(source.text()).map_err(|error| {
        let end = source.text().len();
        let place = error.span().unwrap_or(0..0);
        let place = Span::new(place.start.min(end), place.end.min(end));
        fault(format!("this is not TOML: {}", error.message())).at(source, place)
    })
}

fn span<T>(of: &Spanned<T>) -> Span {
    Span::new(of.span().start, of.span().end)
}

/// W0402.
pub fn fault(message: impl Into<String>) -> Diagnostic {
    Diagnostic::warning(Code::W0402, message)
}

#[cfg(test)]
mod tests {
    use super::super::real::Precision;
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, Tuning)>, Diagnostic> {
        classes(&Source::new("a.toml", text))
    }

    #[test]
    fn every_class_has_every_number() {
        let (name, default) = &CLASSES[0];
        assert_eq!(name, DEFAULT);
        for number in NUMBERS {
            // A number that is not in the default's table would be 0.
            let line = format!("\n{} = ", number.name);
            assert!(TUNED.contains(&line), "{}", number.name);
            for (class, tuning) in CLASSES.iter() {
                let value = number.get(tuning);
                assert!(
                    (number.least..=number.most).contains(&value),
                    "{class}: {}",
                    number.name
                );
            }
        }
        assert_eq!(default.accumulators, 12);
        let classes: Vec<&str> = CLASSES.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(classes, ["default", "cpu-256", "cpu-512", "host", "gpu"]);
    }

    #[test]
    fn classes_go_by_the_width_of_vectors() {
        let of = |class, vector_bytes| {
            Tuning::of(&Limits {
                class,
                vector_bytes,
                ..Limits::nominal()
            })
        };
        assert_eq!(of(Class::Cpu, 32).accumulators, 12);
        assert_eq!(of(Class::Cpu, 64).accumulators, 28);
        assert_eq!(of(Class::Cpu, 16), CLASSES[0].1);
        assert_eq!(of(Class::Gpu, 32).group_bytes, 256 << 20);
        assert_eq!(of(Class::Host, 64).group_bytes, 4 << 20);
        assert_eq!(Limits::nominal().lanes(Precision::F32), 8);
    }

    #[test]
    fn tables_override_the_default_and_are_read_strictly() {
        let both = read("[wide]\nvectors = 4\n[default]\nvectors = 2\nload_cost = 1\n").unwrap();
        assert_eq!((both[0].1.vectors, both[1].1.vectors), (2, 4));
        assert_eq!(both[1].1.load_cost, 1.0);
        for (text, words) in [
            ("[default]\nvectors = 5", "`vectors` lies between 1 and 4"),
            ("[default]\nvectors = -1", "`vectors` lies between 1 and 4"),
            (
                "[default]\nvectors = 99999999999999999999",
                "`vectors` lies between",
            ),
            (
                "[default]\nload_cost = nan",
                "`load_cost` lies between 0 and 4",
            ),
            ("[default]\nvectors = 2.0", "`vectors` is a whole number"),
            ("[default]\nload_cost = \"1\"", "`load_cost` is a number"),
            ("[default]\nvector = 2", "there is no number `vector`"),
            ("default = 3", "a table of numbers is expected here"),
            ("[default", "this is not TOML"),
        ] {
            let fault = read(text).expect_err(text);
            assert!(fault.message.contains(words), "{text}: {fault}");
            assert!(fault.primary.is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let default = Tuning::of(&Limits::nominal());
        let mut tuning = default;
        assert_eq!(tuning.beside(&default), "");
        for number in NUMBERS {
            let value = number.get(&default);
            let next = number
                .next(value, true)
                .or_else(|| number.next(value, false));
            number.set(&mut tuning, next.expect("another value"));
        }
        let lines = tuning.beside(&default);
        assert_eq!(lines.lines().count(), NUMBERS.len());
        let text = format!("[default]\n{lines}");
        assert_eq!(read(&text).unwrap()[0].1, tuning, "{text}");
    }

    #[test]
    fn steps_stay_within_the_range() {
        for number in NUMBERS {
            for up in [true, false] {
                let mut value = number.get(&Tuning::of(&Limits::nominal()));
                let mut steps = 0;
                while let Some(next) = number.next(value, up) {
                    assert_eq!(next > value, up, "{}", number.name);
                    value = next;
                    steps += 1;
                    assert!(steps < 64, "{}", number.name);
                }
            }
        }
    }
}
