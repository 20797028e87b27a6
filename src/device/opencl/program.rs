//! Kernel texts to compiled programs. A kernel file with its defines is a unit, built once a device.
//!
//! On CPUs all new units of a plan are one program ([`super::bundle`]), elsewhere each is a program of its own, built
//! several at a time. [`super::build`] makes each. Knows kernels as the planner asks for them ([`Kernel`]), nothing of
//! buffers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::thread;

use ocl::core::{Program, Status};

use super::build::{self, Build, Header, Made};
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
    /// Told when so many kernels have to be compiled, where that takes long (on CPUs).
    pub compiling: &'a dyn Fn(usize),
}

impl Programs {
    /// Builds what these kernels need and is not built yet; gives the object where one program of all of them was compiled.
    ///
    /// # Errors
    /// E0702 a kernel file does not build; E0704 the device failed.
    pub fn build(
        &mut self,
        maker: &Maker<'_>,
        precision: Precision,
        kernels: &[Kernel],
    ) -> Result<Option<Vec<u8>>, Diagnostic> {
        let (queue, cache) = (maker.queue, maker.cache);
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
            && !wanted.is_empty()
            && let Some(made) = self.build_bundle(maker, &wanted)
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
        Ok(None)
    }

    /// Builds all units as one program; `None` where that does not work, and nothing has changed.
    fn build_bundle(
        &mut self,
        maker: &Maker<'_>,
        wanted: &BTreeMap<Unit, BTreeSet<&'static str>>,
    ) -> Option<Made> {
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
        let build = Build {
            queue: maker.queue,
            cache: maker.cache,
            text: &text,
            options,
        };
        let kernels = wanted.values().map(BTreeSet::len).sum();
        let made = build.run(&|| (maker.compiling)(kernels)).ok()?;
        for (unit, (_, suffix)) in wanted.keys().zip(texts) {
            let place = Place {
                program: self.list.len(),
                suffix,
            };
            self.units.insert(unit.clone(), place);
        }
        self.header = made.header.or(self.header);
        self.list.push(made.program.clone());
        Some(made)
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

    /// What a kernel's function is called in the program built last; `None` where it is not in that.
    pub fn newest_function(&self, precision: Precision, kernel: &Kernel) -> Option<String> {
        let place = self.units.get(&Unit::of(kernel, precision))?;
        let newest = place.program + 1 == self.list.len();
        newest.then(|| format!("{}{}", kernel.function, place.suffix))
    }
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
