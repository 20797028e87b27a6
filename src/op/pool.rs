//! `P`: pooling. Formulas and layouts stand in `kernels/pool.cl`.
//!
//! Shape rule: a convolution's; windows that do not fit are dropped, or kept and cut with `ceil`.

mod host;

use std::sync::Arc;

use super::activation::Function;
use super::attribute::{Arguments, Attribute, Type};
use super::conv::{image_only, sized, windows};
use super::emit::{Back, BufferId, Call, Element, Kernel, Ledger, Machine, Site, Tensor};
use super::limits::Class;
use super::product::Pooling;
use super::shape::{Shape, Size, Window};
use super::signal::{Flow, Gradient, Latent, Signal, field, moments, window};
use super::view::{D_DST, D_SRC, DST, SRC, View};
use super::{Fault, Kind, Op, Recipe};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use host::{AverageBackward, AverageForward, MaxBackward};
pub(in crate::op) use host::{Halving, MaxForward, larger};

/// `P`.
pub static KIND: Kind = Kind {
    letter: "P",
    name: "pooling",
    width: None,
    attributes: &[
        Attribute::variant("max", "the largest of the window (the default)"),
        Attribute::variant("avg", "the average of the window's cells inside the image"),
        Attribute::flag("global", "the whole map is one window"),
        Attribute::flag(
            "ceil",
            "windows that overhang the far edge are kept and cut there",
        ),
        Attribute::key(
            "kernel",
            Type::Size { min: 1, word: None },
            "2",
            "window size",
        ),
        Attribute::key(
            "stride",
            Type::Size { min: 1, word: None },
            "",
            "step between windows; default: the kernel",
        ),
        Attribute::key(
            "pad",
            Type::Size { min: 0, word: None },
            "0",
            "padding on each side; never wins a max, never counts in an average",
        ),
    ],
    build,
};

/// What a window becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Its largest value.
    Max,
    /// The average of its cells inside the image.
    Average,
}

/// A pooling layer.
#[derive(Debug)]
pub struct Pool {
    /// Max or average.
    pub reduction: Reduction,
    /// The windows; `None` pools the whole map.
    pub window: Option<Window>,
}

fn build(arguments: &Arguments<'_>, _: &Recipe, sink: &mut Diagnostics) -> Option<Arc<dyn Op>> {
    let before = sink.len();
    let reduction = if arguments.variant == "avg" {
        Reduction::Average
    } else {
        Reduction::Max
    };
    if arguments.has("global") {
        // One mistake, however many of them there are.
        let keys = ["kernel", "stride", "pad", "ceil"];
        if let Some(key) = keys.into_iter().find(|key| arguments.has(key)) {
            arguments.contradict(
                key,
                "global",
                format!("`{key}` contradicts `global`, which pools the whole map"),
                format!("leave out `{key}` or `global`"),
                sink,
            );
        }
        return (sink.len() == before).then(|| {
            Arc::new(Pool {
                reduction,
                window: None,
            }) as Arc<dyn Op>
        });
    }
    let size = arguments.size("kernel").unwrap_or(Size::square(2));
    let stride = arguments.size("stride").unwrap_or(size);
    let pad = arguments.size("pad").unwrap_or(Size::square(0));
    let too_wide = pad.height >= size.height || pad.width >= size.width;
    if too_wide && !arguments.is_unsure("kernel") {
        sink.push(
            Diagnostic::error(
                Code::E0205,
                format!("`pad` must be below the kernel, and {pad} is not below {size}"),
            )
            .at(arguments.source, arguments.span("pad"))
            .help("a window of nothing but padding has no value"),
        );
    }
    let window = Window {
        size,
        stride,
        pad,
        ceil: arguments.has("ceil"),
    };
    (sink.len() == before).then(|| {
        Arc::new(Pool {
            reduction,
            window: Some(window),
        }) as Arc<dyn Op>
    })
}

/// Windows of 2 x 2 beside each other.
const HALVING: Window = Window {
    size: Size::square(2),
    stride: Size::square(2),
    pad: Size::square(0),
    ceil: false,
};

/// Which way a kernel goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Forward,
    Backward,
}

/// One pooling on known sizes.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    window: Window,
    src: View,
    dst: View,
}

impl Geometry {
    /// Whether a place within a window fits a byte.
    fn place(&self) -> Element {
        if self.window.size.area() <= 256 {
            Element::Byte
        } else {
            Element::Int
        }
    }

    /// Asks for the buffer of the places of the largest values.
    fn places(&self, site: &Site, ledger: &mut Ledger) -> BufferId {
        let count = self.dst.batch * self.dst.shape.elements();
        ledger.buffer(site.named("place"), self.place(), count)
    }

    /// A kernel that takes every pixel: a work-item a pixel on a CPU, a work-item a value elsewhere.
    fn kernel(
        &self,
        function: &'static str,
        part: &'static str,
        pass: Pass,
        machine: &Machine,
    ) -> Kernel {
        let ([channels, ih, iw], [_, oh, ow]) =
            (self.src.shape.dimensions(), self.dst.shape.dimensions());
        let w = &self.window;
        let kernel = Kernel::new("pool", function, 1)
            .define(part, 1)
            .define("C", channels)
            .define("IH", ih)
            .define("IW", iw)
            .define("OH", oh)
            .define("OW", ow)
            .define("KY", w.size.height)
            .define("KX", w.size.width)
            .define("SY", w.stride.height)
            .define("SX", w.stride.width)
            .define("PY", w.pad.height)
            .define("PX", w.pad.width)
            .define(
                "PLACE",
                if self.place() == Element::Byte {
                    "uchar"
                } else {
                    "int"
                },
            );
        // Forward goes over the output's pixels, backward over the input's.
        let (over, names) = match pass {
            Pass::Forward => (&self.dst, [SRC, DST]),
            Pass::Backward => (&self.src, [D_SRC, D_DST]),
        };
        let [_, height, width] = over.shape.dimensions();
        let kernel = match machine.limits.class {
            Class::Cpu => kernel.define("VW", machine.limits.lanes(machine.precision)),
            _ => kernel.define("ITEM_CHANNEL", 1),
        };
        let kernel = kernel.places([width * channels, height, over.batch], machine);
        let kernel = self.src.define(kernel, names[0]);
        self.dst.define(kernel, names[1])
    }

    /// The window cells inside the image of output `(oy, ox)`: rows, columns of the input.
    #[inline]
    fn cells(&self, oy: usize, ox: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let [_, ih, iw] = self.src.shape.dimensions();
        let axis = |o: usize, stride: usize, pad: usize, size: usize, end: usize| {
            (o * stride).saturating_sub(pad)..(o * stride + size).saturating_sub(pad).min(end)
        };
        let w = &self.window;
        (
            axis(oy, w.stride.height, w.pad.height, w.size.height, ih),
            axis(ox, w.stride.width, w.pad.width, w.size.width, iw),
        )
    }

    /// Where an input cell stands in the window of output `(oy, ox)`.
    #[inline]
    fn place_of(&self, oy: usize, ox: usize, y: usize, x: usize) -> usize {
        let w = &self.window;
        (y + w.pad.height - oy * w.stride.height) * w.size.width + x + w.pad.width
            - ox * w.stride.width
    }
}

impl Pool {
    /// The windows on an input of this shape.
    fn window(&self, src: Shape) -> Window {
        let [_, height, width] = src.dimensions();
        let whole = Size { height, width };
        self.window.unwrap_or(Window {
            size: whole,
            stride: whole,
            pad: Size::square(0),
            ceil: false,
        })
    }

    fn geometry(&self, src: View, dst: View) -> Geometry {
        Geometry {
            window: self.window(src.shape),
            src,
            dst,
        }
    }

    /// The windows, and the rows and columns that one can hold of the image.
    fn seen(&self, src: Shape) -> (Window, (usize, usize)) {
        let (window, [_, height, width]) = (self.window(src), src.dimensions());
        let size = (window.size.height.min(height), window.size.width.min(width));
        (window, size)
    }

    /// The field of the windows' largest values, before the activation that they have passed: an activation keeps the
    /// order of values. A window's `n` cells are taken to be equally correlated, by `r`; their largest has then the
    /// mean of `sqrt(1 - r)` times the largest of `n` independent ones, and the variance `r + (1 - r)` times theirs.
    fn largest(&self, input: &Flow<'_>, output: Shape) -> Latent {
        let latent = input.signal.latent();
        let (window, size) = self.seen(input.shape);
        let cells = window::cells(&window, input.shape, output) / window::area(output);
        let variance = latent.covariance[0];
        let pooled = field::pooled(&latent.covariance, size, window::stride(&window));
        let together = if cells > 1.0 && variance > 0.0 {
            ((cells * pooled[0] / variance - 1.0) / (cells - 1.0)).clamp(0.0, 1.0)
        } else {
            1.0
        };
        let (mean, spread) = moments::largest(cells);
        let scale = if pooled[0] > 0.0 {
            variance * (together + spread * (1.0 - together)) / pooled[0]
        } else {
            0.0
        };
        Latent {
            mean: latent.mean + (variance * (1.0 - together)).sqrt() * mean,
            covariance: pooled.map(|covariance| covariance * scale),
            ..latent
        }
    }
}

impl Op for Pool {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, Fault> {
        let [channels, height, width] = image_only(&KIND, inputs[0])?;
        let Some(window) = &self.window else {
            return Ok(Shape::image(channels, 1, 1));
        };
        let (oh, ow) = windows(window, height, width)?;
        sized(Shape::image(channels, oh, ow))
    }

    fn signal(&self, inputs: &[Flow<'_>], output: Shape) -> Signal {
        let input = &inputs[0];
        match self.reduction {
            Reduction::Max => Signal::of(self.largest(input, output)),
            Reduction::Average => {
                let (window, size) = self.seen(input.shape);
                Signal {
                    mean: input.signal.mean,
                    moments: field::pooled(&input.signal.moments, size, window::stride(&window)),
                    latent: None,
                }
            }
        }
    }

    fn gradient(&self, inputs: &[Flow<'_>], output: Shape, d_dst: Gradient) -> Vec<Gradient> {
        let input = &inputs[0];
        let windows = window::area(output) / window::area(input.shape);
        vec![match self.reduction {
            // Each window's gradient goes to one of its cells, the largest.
            Reduction::Max => {
                let largest = self.largest(input, output);
                Gradient {
                    square: d_dst.square * windows,
                    positive: Some(moments::positive(largest.mean, largest.covariance[0])),
                }
            }
            // Each of n cells gets 1/n of it.
            Reduction::Average => {
                let (window, _) = self.seen(input.shape);
                let cells = window::cells(&window, input.shape, output) / window::area(output);
                Gradient::of(d_dst.square * windows / cells)
            }
        }]
    }

    fn needs_output(&self, _: bool, source_act: Function) -> bool {
        source_act != Function::None
    }

    /// A maximum is one of the values that it was taken from, so its derivative is that value's.
    fn undoes_activation(&self) -> bool {
        self.reduction == Reduction::Max
    }

    fn halves(&self, input: Shape) -> bool {
        let Some(window) = self.window else {
            return false;
        };
        // With `ceil` an odd image has a last window that is cut.
        let [_, height, width] = input.dimensions();
        let whole = !window.ceil || (height % 2, width % 2) == (0, 0);
        let window = Window {
            ceil: false,
            ..window
        };
        self.reduction == Reduction::Max && whole && window == HALVING
    }

    fn pooling(&self, site: &Site, ledger: &mut Ledger) -> Pooling {
        let geometry = self.geometry(site.source().view, site.destination.view);
        Pooling {
            dst: site.destination,
            place: site.training.then(|| geometry.places(site, ledger)),
        }
    }

    fn forward(&self, site: &Site, machine: &Machine, ledger: &mut Ledger) -> Vec<BufferId> {
        let (src, dst) = (site.source(), site.destination);
        let geometry = self.geometry(src.view, dst.view);
        let machine = *machine;
        match self.reduction {
            Reduction::Max => {
                let keep = site.training;
                let kernel = move || {
                    let kernel =
                        geometry.kernel("pool_max_forward", "MAX_FORWARD", Pass::Forward, &machine);
                    if keep {
                        kernel.define("SAVE_PLACE", 1)
                    } else {
                        kernel
                    }
                };
                let mut call = Call::new(kernel, MaxForward { geometry, keep })
                    .read(src.buffer)
                    .write(dst.buffer);
                let place = site.training.then(|| geometry.places(site, ledger));
                if let Some(place) = place {
                    call = call.write(place);
                }
                ledger.step(site.named("forward"), Some(site.layer), call);
                place.into_iter().collect()
            }
            Reduction::Average => {
                let kernel = move || {
                    geometry.kernel("pool_avg_forward", "AVG_FORWARD", Pass::Forward, &machine)
                };
                ledger.step(
                    site.named("forward"),
                    Some(site.layer),
                    Call::new(kernel, AverageForward { geometry })
                        .read(src.buffer)
                        .write(dst.buffer),
                );
                Vec::new()
            }
        }
    }

    fn backward(&self, site: &Site, back: &Back, machine: &Machine, ledger: &mut Ledger) {
        let Some(d_src) = back.d_src[0] else { return };
        let d_dst = back.d_dst;
        let geometry = self.geometry(d_src.view, d_dst.view);
        let machine = *machine;
        let kernel =
            move |function, part| move || geometry.kernel(function, part, Pass::Backward, &machine);
        let call = match self.reduction {
            Reduction::Max => {
                let (act, dst) = (site.source_act, site.destination);
                let kernel = kernel("pool_max_backward", "MAX_BACKWARD");
                let kernel = move || {
                    let kernel = kernel();
                    match act {
                        Function::None => kernel,
                        _ => dst.view.define(kernel, DST).define("ACT", act.number()),
                    }
                };
                let dst = (act != Function::None).then_some(dst);
                let host = MaxBackward {
                    geometry,
                    act,
                    dst: dst.map(|dst| dst.view),
                };
                let call = Call::new(kernel, host).read(back.kept[0]);
                dst.into_iter()
                    .fold(call, |call, dst| call.read(dst.buffer))
            }
            Reduction::Average => {
                let kernel = kernel("pool_avg_backward", "AVG_BACKWARD");
                Call::new(kernel, AverageBackward { geometry })
            }
        };
        let Tensor { buffer, .. } = d_dst;
        ledger.step(
            site.named("backward"),
            Some(site.layer),
            call.read(buffer).write(d_src.buffer),
        );
    }
}
