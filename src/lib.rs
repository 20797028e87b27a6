//! netc: convolutional networks as compact text, checked, planned, trained and run through OpenCL or on the host.
//!
//! This page is the architecture: what flows where, what each part owns and deliberately does not know, what holds
//! always, and where something new belongs. README.md says how netc is used, grammar/README.md what the grammar is,
//! kernels/README.md how kernels are written and what was measured.
//!
//! # The flow
//!
//! ```text
//! network text                TOML, --set         images
//!      |                           |                 |
//!  [syntax]  Tree               [config]          [data]
//!      |                           |                 |
//!    [ir] <----- [op]: kinds       |                 |
//!      |  Graph                    |                 |
//!   [plan] <---- [op]: steps       |                 |
//!      |  Plan                     |                 |
//!  [device]  host or OpenCL        |                 |
//!      |                           |                 |
//!      +--------- [run]: session, training, evaluation, checks of a device
//!                   |
//!                 [cli]: the only part that prints
//! ```
//!
//! A part uses only what stands before it in **source, random, diagnostic, file, memory, syntax, op, ir, format, diff, plan, device,
//! config, data, analysis, run, cli**, and not all of that: `config` knows only `source` and `diagnostic`, `data` knows
//! nothing of graphs, plans or devices.
//!
//! # What each part owns, and what it does not know
//!
//! | part | owns | does not know |
//! |---|---|---|
//! | [`source`] | a user's text, byte spans, lines and columns | what the text is about |
//! | [`diagnostic`] | the one error type, the stable codes, rendering, did-you-mean | who finds which error |
//! | [`file`] | whole files, read and written in one piece | what is in them |
//! | [`memory`] | how much memory the machine and this process have | what it is for |
//! | [`random`] | the counter-based generator and what its streams are for | layers, images, distributions |
//! | [`syntax`] | brackets, grammar, tree, the E01 errors | layer kinds and attributes: `C` is just a word |
//! | [`op`] | each kind whole: attributes, shape rule, parameters, cost, kernels asked for, the same work in Rust | its neighbours, the plan, OpenCL |
//! | [`ir`] | the validated graph: expansion of repeats, names, shapes, rules between layers | batches, memory, devices |
//! | [`format`] | the canonical form of a text, and the difference between two texts | what a layer means beyond its attributes' defaults |
//! | [`diff`] | which items of two networks are one, the fewest edits between them, merging two sides' edits | git, files, devices |
//! | [`plan`] | steps, layouts, lifetimes, the arena | how a step is run |
//! | [`device`] | the two engines, compilation, program cache, device memory | networks |
//! | [`config`] | the table of keys, defaults, ranges, reading and writing TOML | networks, data files, devices |
//! | [`data`] | data sets, the mean, which image goes into which batch, how it is varied, batches prepared ahead | graphs, plans, devices |
//! | [`analysis`] | what is expected before a run: signal at the start, cost, network and configuration together | engines, the terminal |
//! | [`run`] | initial values, the training loop, evaluation, checkpoints, run folders, tuning, self-test, golden cases | the terminal |
//! | [`cli`] | arguments, tables, progress, JSON, exit codes | how anything is computed |
//!
//! # The values, and when each exists
//!
//! - [`source::Source`]: as soon as there is text. Everything that points into text holds one, and a span.
//! - [`syntax::tree::Tree`]: after [`syntax::parse`], *whatever* is wrong with the text. What could not be read stands
//!   in it as an error node; what was wrong is in the [`diagnostic::Diagnostics`] beside it.
//! - [`ir::Graph`]: after [`ir::build()`], and only where the network has no error. It never changes. A shape in it may
//!   be unknown (no `input`, W0101); a plan needs them all.
//! - [`op::Op`]: one layer's meaning, made by its kind from the attributes. It knows shapes of one image and never its
//!   place in the graph; a [`op::emit::Site`] tells it that when it is asked for steps.
//! - [`op::emit::Call`]: one piece of work in both forms: the OpenCL kernel with its build-time constants and work
//!   size, and an [`op::emit::Routine`] that does the same to the same buffers in Rust. A [`plan::Step`] is a call with
//!   a name.
//! - [`plan::Plan`]: after [`plan::lower::lower`], for one graph, one batch size, one precision, training or inference,
//!   and one device's [`plan::Limits`]. All of its buffers have their places; nothing is allocated yet.
//! - [`device::Device`]: from [`device::open`] on. It loads plans (kernels built, memory allocated) and runs ranges of
//!   their steps.
//! - [`run::session::Session`]: a graph on a device: a training plan where there is an optimizer, and an inference plan
//!   over the same parameters, loaded when it is first needed. A [`run::runner::Runner`] is one loaded plan that takes and gives logical values
//!   (`[batch, channels, height, width]`, PyTorch's parameter shapes), whatever their layout and precision on the
//!   device.
//!
//! # What holds always
//!
//! - **Architecture Invariant:** `syntax` knows no layer kind and no attribute.
//! - **Architecture Invariant:** only `syntax/parser.rs` names pest. No rule name reaches a user.
//! - **Architecture Invariant:** [`op::KINDS`] is the one list of layer kinds. Building, messages and did-you-mean read
//!   it.
//! - **Architecture Invariant:** [`config::keys::KEYS`] is the one list of configuration keys.
//! - **Architecture Invariant:** planning is pure. It reads [`plan::Limits`] and [`op::tuning::Tuning`], which are data,
//!   and never asks a device or a file, so `check` reports a plan's memory on a machine without OpenCL, and every test of a plan runs there too.
//! - **Architecture Invariant:** both engines run the same plan: the same steps on the same buffers in the same
//!   layouts. So any step can be compared between them, which is what `netc selftest` does.
//! - **Architecture Invariant:** only `device/opencl` names OpenCL types. `unsafe` stands there and in
//!   `op/product/matrix.rs` (the door to the matrix library), nowhere else; each use has its SAFETY line.
//! - **Architecture Invariant:** libOpenCL is opened at run time and never linked. netc builds and starts without it.
//! - **Architecture Invariant:** only `cli` prints. The training loop tells a [`run::train::Watcher`].
//! - **Architecture Invariant:** what passes `ir` never makes the planner or an engine panic. A panic is a bug, and
//!   says "internal error". Passes over user text return what they could make *and* the diagnostics; everything else
//!   returns one [`diagnostic::Diagnostic`].
//!
//! # Layouts
//!
//! Users, checkpoints and golden cases see `[batch, channels, height, width]` and PyTorch's parameter shapes. On a
//! device:
//!
//! - **Activations** are `[batch, height, width, channels]`, channels fastest ([`op::view::View`]). A filter row then
//!   reads one contiguous run of `width * channels` numbers, and an output tile stores whole vectors.
//! - **A halo of zero columns** stands beside each row of a tensor whose reader is a convolution with padding. It is
//!   written once a step, before the tensor itself, and spares the inner loop all bounds checks. Above and below there
//!   is none: rows outside the image are skipped, which saves their products too. Layers state such wishes
//!   ([`op::Wishes`]); the planner grants the widest, and copies where a reader needs a tensor without gaps.
//! - **Vectors** (after an F) are rows. They, and images without a halo, are padded by 16 numbers where they would
//!   otherwise start a multiple of 1,024 numbers apart, which costs a CPU its cache.
//! - **Weights** are panels `[group][panel][height][width][inputs][NR]` ([`op::parameter::Panels`]): NR neighbouring
//!   outputs side by side, so that one vector load brings the weights of one input for a tile of outputs. On an OpenCL
//!   CPU NR follows the register tile; elsewhere one panel holds all outputs of a group. Gradients and optimizer state
//!   have the same layout; values are repacked only where they are loaded and saved.
//!
//! Why: the measurements behind these choices stand in kernels/README.md. In short, what ran fastest on CPUs was one
//! work-item with one register tile, build-time shapes and contiguous inner loops; and no im2col buffer is ever made.
//!
//! # Random numbers
//!
//! All of them are words of Philox4x32-10 streams ([`random`]), named by seed, purpose, object and step: initial values
//! (the parameter's index), dropout (the layer, the training step), the order of a class's images, the order of the
//! classes, how a training image is varied (its place in the batch, the step). Any word can be computed alone. So a dropout mask is never stored: forward and backward pass, host and
//! kernel draw the same word for the same element; and the images of a step follow from the step's number.
//!
//! # Memory
//!
//! A plan's buffers live either in its *arena*, each at an offset that it shares with buffers whose lifetimes
//! (half-open ranges of steps) are disjoint, or on their own as *persistent* buffers: parameters, running statistics and
//! optimizer state. Persistent buffers are shared *by name* between the plans of one device, which is how an inference
//! plan sees what a training plan learned. Every buffer has 256 bytes of slack after its elements, which vector loads
//! may read and nothing may write. What keeps the arena small ([`plan::lower`]; `Options::fusion` turns it off):
//!
//! - A layer's output may lie within the place of its reader: an activation or a sum writes over its input where nobody
//!   else wants that, a part of a concatenation is written where the joined tensor wants it. On the way back such layers
//!   hand their gradient on without a copy; the first of several tensors that must change it takes one.
//! - Max pooling goes back through the activation before it, from its own output: the largest tensors of a network, its
//!   first convolutions' outputs, die as soon as they are pooled. Dropout masks are drawn again, local response
//!   normalization computes its sums again.
//! - On OpenCL CPUs a convolution pools its own output where only a pooling of 2 x 2 windows reads it: it is never stored.
//! - A fully connected layer's weights change in the step that knows their gradient, which is never stored, and its
//!   input gradient turns its weights a part at a time. Other gradients live until their layer's steps are through.
//! - Inference runs what gives images on some images of the batch at a time, as many as fill a cache.
//!
//! [`plan::budget`] makes choices from plans, never by trying: the largest batch that fits, and what to compute again on
//! the way back instead of keeping it, where a limit asks for that.
//!
//! A tensor that several layers read has its gradients added up in the order of the way back, so equal runs give equal
//! bits.
//!
//! # Where something new belongs
//!
//! - **A layer kind:** `src/op/<kind>.rs` and its `kernels/<kind>.cl`, its line in [`op::KINDS`], the kernel file's
//!   line in `device/opencl/sources.rs`, a self-test network and a golden case. kernels/README.md has the checklist.
//! - **A kernel variant:** a function beside the others in its `.cl` file, chosen in the op (or in [`op::product`]) by
//!   `Limits`. The host routine stays what it is compared with.
//! - **A number that depends on the machine:** its line in [`op::tuning`] with its origin, and in the default's table of
//!   `kernels/tuned.toml`.
//! - **A command:** one file in `src/cli/` with its arguments and one `run`, and its line in `cli/mod.rs`. What it
//!   computes belongs in [`run`].
//! - **A diagnostic:** its code and meaning in `diagnostic/code.rs` (the next free number of its family, never one used
//!   before), its wording in the pass that finds it, a case in `tests/cases/errors/`.
//! - **A change that `diff` can tell:** its [`diff::script::Edit`], its choice in `diff/search/walk.rs`, its words in
//!   `cli/diff/describe.rs`, its row in README's table of edits, and an edit in `tests/edited_nets.rs`.
//! - **A configuration key:** its field and default in [`config`], its line in [`config::keys::KEYS`].
//! - **A form of data set:** one file in `src/data/` that hands over labels and something that loads an image by index.
//!
//! # Where netc does it otherwise, and why
//!
//! - `Limits`, a device's numbers, live in [`op`] and not in [`plan`]: ops shape their kernels and weight panels by
//!   them. [`plan`] re-exports them.
//! - [`op::product`] is shared by C and F. A fully connected layer *is* a convolution whose one image is one row with
//!   the batch as its pixels; one set of kernels, tiles and host routines serves both.
//! - The host engine is no interpreter of its own: each op's call carries the same work in Rust, so a step cannot exist
//!   for one engine only.
//! - On OpenCL CPUs all kernels that a plan adds are built as *one* program (`device/opencl/bundle.rs`), because PoCL's
//!   cost is the program, not the kernel. Where the bundle does not build, kernels are built one by one.
//! - Register tiles are chosen by an estimate in `op/product/tile.rs` rather than from a table of tiles: a formula over
//!   measured numbers ([`op::tuning`]), which `kernels/tuned.toml` has by class of device and [`run::tune`] finds on a
//!   user's own. What it found is kept by [`run::tuned`]; only `cli` asks for it, so tests never depend on it.
//! - OpenCL's functions are forwarders of our own over a library opened at run time; the build script satisfies the
//!   linker with an empty archive. `ocl` stays the typed interface above them.
//! - TOML is not read through a derived `Deserialize`, whose first error is its last, but walked by the table of keys,
//!   so that one run shows every error with its place.

pub mod analysis;
pub mod cli;
pub mod config;
pub mod data;
pub mod device;
pub mod diagnostic;
pub mod diff;
pub mod file;
pub mod format;
pub mod ir;
pub mod memory;
pub mod op;
pub mod plan;
pub mod random;
pub mod run;
pub mod source;
pub mod syntax;
