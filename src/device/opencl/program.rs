//! Kernel texts to compiled programs. A kernel file with its defines is a unit, built once a device.
//!
//! On CPUs all new units of a plan are one program ([`super::bundle`]), elsewhere each is a program of its own, built
//! several at a time. [`super::build`] makes each. Knows kernels as the planner asks for them ([`Kernel`]), nothing of
//! buffers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Mutex;
use std::thread;

use ocl::core::{Program, Status};

use super::build::{self, Build, Header};
use super::bundle::{self, Part};
use super::cache::Cache;
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
    list: Vec<Program>,
    /// Of the newest binary, where there was one.
    header: Option<Header>,
}

/// Units, with the functions that are wanted of each.
type Wanted = BTreeMap<Unit, BTreeSet<&'static str>>;

/// Where a unit is.
#[derive(Debug)]
struct Place {
    /// Index of its program.
    program: usize,
    /// What its functions' names end with there.
    suffix: String,
}

/// What programs are made with.
pub struct Maker<'a> {
    /// The device.
    pub queue: &'a Queue,
    /// Where their binaries may be.
    pub cache: &'a Cache,
    /// Told before the compiler is started where that takes long, on CPUs.
    pub compiling: &'a dyn Fn(),
}

impl Programs {
    /// Builds what these kernels need and is not built yet. Whether one program of all of them was compiled.
    ///
    /// # Errors
    /// E0702 a kernel file does not build; E0704 the device failed.
    pub fn build(
        &mut self,
        maker: &Maker<'_>,
        precision: Precision,
        kernels: &[Kernel],
    ) -> Result<bool, Diagnostic> {
        let (queue, cache) = (maker.queue, maker.cache);
        let wanted = self.wanted(precision, kernels);
        let on_cpu = queue.found.limits.class == Class::Cpu;
        if on_cpu
            && !wanted.is_empty()
            && let Some(compiled) = self.build_bundle(maker, &wanted)
        {
            return Ok(compiled);
        }
        let results = in_parallel(wanted.into_iter().collect(), |(unit, functions)| {
            let (text, options) = (unit.text(), unit.options());
            let built = Build {
                queue,
                cache,
                text: &text,
                options: &options,
            }
            .run(&|| ());
            built
                .map_err(|stop| stop.diagnostic(queue, &unit, &functions))
                .map(|program| (unit, program))
        });
        for result in results {
            let (unit, program) = result?;
            self.units.insert(
                unit,
                Place {
                    program: self.list.len(),
                    suffix: String::new(),
                },
            );
            self.list.push(program.program);
        }
        Ok(false)
    }

    /// Units that are not built yet, with the functions that are wanted of each.
    fn wanted(&self, precision: Precision, kernels: &[Kernel]) -> Wanted {
        let mut wanted = Wanted::new();
        for kernel in kernels {
            let functions = wanted.entry(Unit::of(kernel, precision)).or_default();
            functions.insert(kernel.function);
        }
        wanted.retain(|unit, _| !self.units.contains_key(unit));
        wanted
    }

    /// Of kernels in the order of their first launches, those that are not built yet, each once: their indices.
    pub fn missing(&self, precision: Precision, kernels: &[Kernel]) -> Vec<usize> {
        let mut seen = HashSet::new();
        let mut is_new = |kernel: &Kernel| {
            let unit = Unit::of(kernel, precision);
            !self.units.contains_key(&unit) && seen.insert((unit, kernel.function, kernel.local))
        };
        (0..kernels.len())
            .filter(|&i| is_new(&kernels[i]))
            .collect()
    }

    /// Divides what is missing into the first half and the rest; kernels of one unit stay together.
    pub fn halves(precision: Precision, kernels: &[Kernel], missing: &[usize]) -> [Vec<usize>; 2] {
        let unit = |index: usize| Unit::of(&kernels[index], precision);
        let first = missing[..missing.len() / 2].iter();
        let units: BTreeSet<Unit> = first.map(|&index| unit(index)).collect();
        let (front, rear) = missing.iter().partition(|&&i| units.contains(&unit(i)));
        [front, rear]
    }

    /// The text and the options of the one program that [`Self::build`] makes of kernels which are not built yet, on CPUs;
    /// `None` where there are none, where the cache has it, and where it could not take it.
    pub fn unkept(
        &self,
        maker: &Maker<'_>,
        precision: Precision,
        kernels: &[Kernel],
    ) -> Option<(String, &'static str)> {
        let wanted = self.wanted(precision, kernels);
        if wanted.is_empty() {
            return None;
        }
        let (text, options) = bundled(&wanted);
        let (queue, cache) = (maker.queue, maker.cache);
        let build = Build {
            queue,
            cache,
            text: &text,
            options,
        };
        let key = build.key();
        let unkept = cache.read(&key).is_none() && cache.entry(&key).is_some();
        unkept.then_some((text, options))
    }

    /// Builds all units as one program, and says whether it was compiled; `None` where that does not work, and nothing has
    /// changed.
    fn build_bundle(&mut self, maker: &Maker<'_>, wanted: &Wanted) -> Option<bool> {
        let (text, options) = bundled(wanted);
        let build = Build {
            queue: maker.queue,
            cache: maker.cache,
            text: &text,
            options,
        };
        let made = build.run(maker.compiling).ok()?;
        for unit in wanted.keys() {
            let place = Place {
                program: self.list.len(),
                suffix: unit.suffix(),
            };
            self.units.insert(unit.clone(), place);
        }
        self.header = made.header.or(self.header);
        self.list.push(made.program);
        Some(made.compiled)
    }

    /// How many programs there are.
    pub fn count(&self) -> usize {
        self.list.len()
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
        let program = &self.list[place.program];
        let name = format!("{function}{}", place.suffix);
        build::kernel(program, &name).map_err(|failure| match failure.status {
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

    /// The start of a binary of this device, where one was seen.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Whether a kernel has, in its program, the name that tells it from all others.
    pub fn is_named(&self, precision: Precision, kernel: &Kernel) -> bool {
        let place = self.units.get(&Unit::of(kernel, precision));
        place.is_some_and(|place| !place.suffix.is_empty())
    }
}

/// All units as one text, and the options that it is compiled with.
fn bundled(wanted: &Wanted) -> (String, &'static str) {
    let texts = wanted.keys().map(|unit| (unit.text(), unit.suffix()));
    let texts: Vec<(String, String)> = texts.collect();
    let parts = wanted.keys().zip(&texts);
    let parts = parts.map(|(unit, (text, suffix))| Part {
        text,
        defines: &unit.defines,
        suffix,
    });
    let text = bundle::bundle(&parts.collect::<Vec<_>>());
    let options = wanted.keys().next().map_or("", Unit::base_options);
    (text, options)
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
    fn what_is_missing_is_halved_by_units() {
        let kernel = |function, a| Kernel::new("test", function, 1).define("A", a);
        let kernels = [
            kernel("f", 1),
            kernel("f", 2),
            kernel("f", 1),
            kernel("f", 3),
            kernel("g", 1),
        ];
        let missing = Programs::default().missing(Precision::F32, &kernels);
        assert_eq!(missing, [0, 1, 3, 4], "each once");
        let halves = Programs::halves(Precision::F32, &kernels, &missing);
        assert_eq!(halves, [vec![0, 1, 4], vec![3]], "4 is of the unit of 0");
    }

    #[test]
    fn results_keep_the_order_of_the_items() {
        assert_eq!(
            in_parallel((0..100).collect(), |i| i * 2),
            (0..100).map(|i| i * 2).collect::<Vec<_>>()
        );
    }
}
