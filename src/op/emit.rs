//! How an op asks for steps: plain data, no OpenCL and no plan.
//!
//! An op describes one piece of work as a [`Call`]: the OpenCL kernel with its build-time defines and work size, the
//! buffers that it reads and writes, and the same work as a [`Routine`] in plain Rust. Both engines run the same calls
//! over the same buffers in the same layouts, so that any step of any plan can be compared between them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::activation::Function;
use super::limits::{Class, Limits};
use super::name::Name;
use super::optimizer::Momentum;
use super::parameter::Layout;
use super::real::{Precision, Real};
use super::tuning::Tuning;
use super::view::View;

/// Names one buffer of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BufferId(pub usize);

/// What one element of a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// A number in the plan's precision.
    Real,
    /// A byte (`uchar`): the place of a maximum within its window, a given dropout mask.
    Byte,
    /// A 32-bit integer (`int`): labels, counts.
    Int,
}

impl Element {
    /// Bytes of one element.
    pub fn bytes(self, precision: Precision) -> u64 {
        match self {
            Self::Real => precision.bytes(),
            Self::Byte => 1,
            Self::Int => 4,
        }
    }
}

/// What a step does with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Only reads it.
    Read,
    /// Writes it without needing what was there. (It may leave parts unwritten that no later step reads.)
    Write,
    /// Reads and changes it.
    Update,
    /// Uses it for itself: what it holds means nothing before and after.
    Scratch,
}

/// A value that is known only when a step runs. Kernels take it as an argument at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scalar {
    /// The learning rate of this step, in the plan's precision.
    LearningRate,
    /// The learning rate over what Adam's first moment has of the gradients so far, in the plan's precision.
    StepSize,
    /// The root of what Adam's second moment has of them, in the plan's precision.
    Correction,
    /// The number of the step, from 0: `uint`. Part of the dropout generator's counter.
    Step,
    /// The low half of the run's seed: `uint`.
    SeedLow,
    /// The high half of the run's seed: `uint`.
    SeedHigh,
    /// How many images of the batch are real, the rest being padding: `int`.
    Images,
}

/// The values of all scalars for one run of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scalars {
    /// See [`Scalar::LearningRate`].
    pub learning_rate: f64,
    /// See [`Scalar::StepSize`].
    pub step_size: f64,
    /// See [`Scalar::Correction`].
    pub correction: f64,
    /// See [`Scalar::Step`].
    pub step: u32,
    /// See [`Scalar::SeedLow`] and [`Scalar::SeedHigh`].
    pub seed: u64,
    /// See [`Scalar::Images`].
    pub images: u32,
}

/// One argument of a call, in the kernel's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Argument {
    /// A buffer. A buffer stands at most once among a call's arguments: work in place names it once, as `Update`.
    Buffer(BufferId, Access),
    /// A value known at run time.
    Scalar(Scalar),
    /// A size, `ulong`, where one kernel serves steps of many sizes.
    Size(u64),
    /// The same as an `int`, which may meet negative ones. A plan that runs has none that does not fit.
    Int(i64),
}

/// What a build-time constant stands for. Plans have many of them, so none is a text of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Define {
    /// `27`
    Whole(u64),
    /// `27u`
    Unsigned(u32),
    /// `((REAL)1e-4)`, by the bits of the number: exact, and with a decimal point or exponent.
    Real(u64),
    /// A word of the kernel language.
    Word(&'static str),
}

impl fmt::Display for Define {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Unsigned(number) => write!(f, "{number}u"),
            Self::Real(bits) => write!(f, "((REAL){:e})", f64::from_bits(*bits)),
            Self::Word(word) => f.write_str(word),
        }
    }
}

impl From<usize> for Define {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<u8> for Define {
    fn from(number: u8) -> Self {
        Self::Whole(number.into())
    }
}

/// Literals.
impl From<i32> for Define {
    fn from(number: i32) -> Self {
        Self::Whole(u64::try_from(number).expect("internal error: a negative define"))
    }
}

impl From<f64> for Define {
    fn from(number: f64) -> Self {
        Self::Real(number.to_bits())
    }
}

impl From<&'static str> for Define {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

/// An OpenCL kernel, specialised: `kernels/<file>.cl`, one function, defines and work size.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// File name without folder and ending: `product`.
    pub file: &'static str,
    /// The function: `product_forward_tiled`.
    pub function: &'static str,
    /// Build-time constants, `-D NAME=VALUE`. `REAL` and its vectors come from the prelude, not from here.
    pub defines: Vec<(&'static str, Define)>,
    /// Work-items in each dimension; all at least 1.
    pub global: [usize; 3],
    /// Work-items of a group, `None` where the driver may choose.
    pub local: Option<[usize; 3]>,
}

/// As many defines as most kernels have.
const USUAL_DEFINES: usize = 24;

impl Kernel {
    /// A kernel without defines, of one dimension, local size left to the driver.
    pub fn new(file: &'static str, function: &'static str, items: usize) -> Self {
        Self {
            file,
            function,
            defines: Vec::with_capacity(USUAL_DEFINES),
            global: [items.max(1), 1, 1],
            local: None,
        }
    }

    /// Adds a build-time constant.
    #[must_use]
    pub fn define(mut self, name: &'static str, value: impl Into<Define>) -> Self {
        self.defines.push((name, value.into()));
        self
    }

    /// Sets the work size.
    #[must_use]
    pub fn global(mut self, global: [usize; 3]) -> Self {
        self.global = global.map(|items| items.max(1));
        self
    }

    /// One work-item a block of `count` numbers: on a CPU `block` of them, so that one compiled kernel serves every
    /// size (PoCL compiles again for every group size, 50 to 130 ms); elsewhere one. The kernel finds it as `BLOCK`.
    #[must_use]
    pub fn blocks(self, count: usize, block: usize, machine: &Machine) -> Self {
        if machine.limits.class == Class::Cpu {
            let blocks = [count.div_ceil(block), 1, 1];
            self.define("BLOCK", block).global(blocks).single()
        } else {
            self.define("BLOCK", 1).global([count, 1, 1])
        }
    }

    /// One work-item a place of a row, or on a CPU a whole row: `ROW_ITEM`, see `FOR_ROW` in `kernels/prelude.cl`.
    #[must_use]
    pub fn places(self, [places, rows, images]: [usize; 3], machine: &Machine) -> Self {
        if machine.limits.class == Class::Cpu {
            let rows = [1, rows, images];
            self.define("ROW_ITEM", 1).global(rows).single()
        } else {
            self.global([places, rows, images])
        }
    }

    /// Sets the work size of dimension 1.
    #[must_use]
    pub fn rows(mut self, rows: usize) -> Self {
        self.global[1] = rows;
        self
    }

    /// One work-item a group: the form of the register-tiled kernels on CPUs.
    #[must_use]
    pub fn single(mut self) -> Self {
        self.local = Some([1, 1, 1]);
        self
    }
}

/// One piece of work, for both engines.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its two forms.
    work: Arc<dyn Work>,
    /// Buffers and scalars, in the kernel's order.
    pub arguments: SmallVec<[Argument; 4]>,
    /// Its multiply-adds, by the definition of the layer's product: what another algorithm saves is not taken off. Only
    /// products count.
    pub multiply_adds: u64,
}

impl Call {
    /// A call of the kernel that `kernel` gives, mirrored by `host`.
    pub fn new(
        kernel: impl Fn() -> Kernel + Send + Sync + 'static,
        host: impl Routine + 'static,
    ) -> Self {
        Self {
            work: Arc::new(Forms { kernel, host }),
            arguments: SmallVec::new(),
            multiply_adds: 0,
        }
    }

    /// Says how many multiply-adds it is.
    #[must_use]
    pub fn multiply_adds(mut self, count: u64) -> Self {
        self.multiply_adds = count;
        self
    }

    /// The OpenCL form. It is made when it is asked for: most plans are only looked at.
    pub fn kernel(&self) -> Kernel {
        self.work.kernel()
    }

    /// The host form: the same work on the same buffers.
    pub fn host(&self) -> &dyn Routine {
        self.work.host()
    }

    /// Its buffers in order, and what it does with each.
    pub fn buffers(&self) -> impl Iterator<Item = (BufferId, Access)> + '_ {
        let of = |argument: &Argument| match argument {
            Argument::Buffer(id, access) => Some((*id, *access)),
            Argument::Scalar(_) | Argument::Size(_) | Argument::Int(_) => None,
        };
        self.arguments.iter().filter_map(of)
    }

    /// Adds an argument that is only read, where there is one.
    #[must_use]
    pub fn read_some(self, buffer: Option<BufferId>) -> Self {
        match buffer {
            Some(buffer) => self.read(buffer),
            None => self,
        }
    }

    /// Adds an argument that is only read.
    #[must_use]
    pub fn read(mut self, buffer: BufferId) -> Self {
        self.arguments.push(Argument::Buffer(buffer, Access::Read));
        self
    }

    /// Adds an argument that is written.
    #[must_use]
    pub fn write(mut self, buffer: BufferId) -> Self {
        self.arguments.push(Argument::Buffer(buffer, Access::Write));
        self
    }

    /// Adds an argument that is read and changed.
    #[must_use]
    pub fn update(mut self, buffer: BufferId) -> Self {
        self.arguments
            .push(Argument::Buffer(buffer, Access::Update));
        self
    }

    /// Adds memory that the work uses for itself.
    #[must_use]
    pub fn scratch(mut self, buffer: BufferId) -> Self {
        self.arguments
            .push(Argument::Buffer(buffer, Access::Scratch));
        self
    }

    /// Adds a size.
    #[must_use]
    pub fn size(mut self, value: usize) -> Self {
        self.arguments.push(Argument::Size(value as u64));
        self
    }

    /// Adds sizes that are `int`s.
    #[must_use]
    pub fn ints(mut self, values: impl IntoIterator<Item = usize>) -> Self {
        let values = values.into_iter();
        self.arguments
            .extend(values.map(|value| Argument::Int(value as i64)));
        self
    }

    /// Adds a value known at run time.
    #[must_use]
    pub fn scalar(mut self, scalar: Scalar) -> Self {
        self.arguments.push(Argument::Scalar(scalar));
        self
    }
}

/// The two forms of a piece of work.
trait Work: Send + Sync {
    fn kernel(&self) -> Kernel;
    fn host(&self) -> &dyn Routine;
}

struct Forms<K, R> {
    kernel: K,
    host: R,
}

impl<K: Fn() -> Kernel + Send + Sync, R: Routine> Work for Forms<K, R> {
    fn kernel(&self) -> Kernel {
        (self.kernel)()
    }

    fn host(&self) -> &dyn Routine {
        &self.host
    }
}

impl fmt::Debug for dyn Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host().fmt(f)
    }
}

/// One call's buffers on the host, in the order of the call's buffer arguments (scalars left out).
pub type HostBuffers<'a, 'b> = &'a mut [&'b mut [u8]];

/// A step's work in plain Rust.
pub trait Routine: fmt::Debug + Send + Sync {
    /// Does the work. `buffers` are the call's buffer arguments in order, each exactly its elements long.
    fn run(&self, precision: Precision, buffers: HostBuffers<'_, '_>, scalars: &Scalars);
}

/// A routine written once over both number types; every one is a [`Routine`].
pub trait RealRoutine: fmt::Debug + Send + Sync {
    /// See [`Routine::run`].
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, scalars: &Scalars);
}

impl<R: RealRoutine> Routine for R {
    fn run(&self, precision: Precision, buffers: HostBuffers<'_, '_>, scalars: &Scalars) {
        match precision {
            Precision::F32 => self.run_real::<f32>(buffers, scalars),
            Precision::F64 => self.run_real::<f64>(buffers, scalars),
        }
    }
}

/// The buffers of a call, taken apart; panics where a routine and its call disagree (a bug of ours).
pub fn take<'a, 'b, const N: usize>(buffers: &'a mut [&'b mut [u8]]) -> &'a mut [&'b mut [u8]; N] {
    buffers
        .try_into()
        .expect("internal error: a routine and its call disagree on the buffers")
}

/// A buffer's bytes as elements.
pub fn elements<T: bytemuck::Pod>(bytes: &[u8]) -> &[T] {
    bytemuck::cast_slice(bytes)
}

/// A buffer's bytes as elements that can be written.
pub fn elements_mut<T: bytemuck::Pod>(bytes: &mut [u8]) -> &mut [T] {
    bytemuck::cast_slice_mut(bytes)
}

/// A tensor: a buffer and how the tensor lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Where.
    pub buffer: BufferId,
    /// How.
    pub view: View,
}

/// A buffer that an op or the planner asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `c1.dst`.
    pub name: Name,
    /// What an element is.
    pub element: Element,
    /// How many.
    pub elements: usize,
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub struct Step {
    /// `c1.forward`, `c1.backward.weight`, `c1.weight.update`.
    pub name: Name,
    /// The layer's index in the graph; `None` for steps of no layer (the loss).
    pub layer: Option<usize>,
    /// The work.
    pub call: Call,
}

impl Step {
    /// Its buffers, and what it does with each.
    pub fn buffers(&self) -> impl Iterator<Item = (BufferId, Access)> + '_ {
        self.call.buffers()
    }
}

/// Everything asked for so far, in order.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Buffers; [`BufferId`] is the index.
    pub buffers: Vec<Request>,
    /// Steps in the order of execution.
    pub steps: Vec<Step>,
    /// Parameters' values that their layer has updated itself.
    pub updated: Vec<BufferId>,
}

impl Ledger {
    /// Asks for a buffer.
    pub fn buffer(&mut self, name: impl Into<Name>, element: Element, elements: usize) -> BufferId {
        self.buffers.push(Request {
            name: name.into(),
            element,
            elements,
        });
        BufferId(self.buffers.len() - 1)
    }

    /// Asks for a tensor alone in its buffer.
    pub fn tensor(&mut self, name: impl Into<Name>, view: View) -> Tensor {
        Tensor {
            buffer: self.buffer(name, Element::Real, view.elements()),
            view,
        }
    }

    /// Asks for a step.
    pub fn step(&mut self, name: impl Into<Name>, layer: Option<usize>, call: Call) {
        self.steps.push(Step {
            name: name.into(),
            layer,
            call,
        });
    }
}

/// A parameter's buffers, as a layer sees them.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// The values, packed.
    pub value: BufferId,
    /// How they are packed.
    pub layout: Layout,
    /// Where the gradient goes; only in training.
    pub gradient: Option<BufferId>,
    /// How the values are updated, where the layer may do so itself instead of writing the gradient.
    pub update: Option<Momentum>,
}

/// Where a layer stands in a plan: what it reads and writes.
#[derive(Clone, Debug)]
pub struct Site {
    /// The layer's name, `c1`.
    pub name: Arc<str>,
    /// Its index in the graph: the dropout generator's object.
    pub layer: usize,
    /// Its inputs.
    pub sources: Vec<Tensor>,
    /// Its output.
    pub destination: Tensor,
    /// Its parameters, in the order of [`super::Op::parameters`].
    pub parameters: Vec<Slot>,
    /// The activation that made its input, where its way back goes through that too: the gradient that it gives is that
    /// of the value before. [`Function::None`] where the input's producer does so itself.
    pub source_act: Function,
    /// Whether the gradient of its output is that of the value before its own activation.
    pub before_act: bool,
    /// What [`super::Op::prepare`] made once for all images; `None` where its forward step makes that itself.
    pub prepared: Option<BufferId>,
    /// Whether this is training: dropout on, and what the way back needs is kept.
    pub training: bool,
}

/// The way back through a layer.
#[derive(Clone, Debug)]
pub struct Back {
    /// The gradient of its output. The layer may change it.
    pub d_dst: Tensor,
    /// Where the gradients of its inputs go; `None` where nobody needs one.
    pub d_src: Vec<Option<Tensor>>,
    /// What its forward step kept.
    pub kept: Vec<BufferId>,
}

impl Site {
    /// Its only input.
    pub fn source(&self) -> Tensor {
        self.sources[0]
    }

    /// A step's or buffer's name.
    pub fn named(&self, word: &'static str) -> Name {
        Name::of(&self.name).word(word)
    }
}

/// The machine that a plan is for.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// The device's numbers.
    pub limits: Limits,
    /// What the numbers are.
    pub precision: Precision,
    /// Whether convolutions may go through Winograd's filtering: faster, with larger rounding errors.
    pub winograd: bool,
    /// The measured numbers by which kernels are chosen.
    pub tuning: Tuning,
    /// Images of the plan's batch, over which what is made once for all of them is spread; as good as infinitely many for
    /// what every plan on the machine has in common.
    pub batch: usize,
}

impl Machine {
    /// A machine where every way is open, with the built-in numbers of its class.
    pub fn new(limits: Limits, precision: Precision) -> Self {
        Self {
            limits,
            precision,
            winograd: true,
            tuning: Tuning::of(&limits),
            batch: usize::MAX,
        }
    }
}
