//! The direct products in blocks that stay in a core's first cache, on CPUs: which products they suit, and their sizes.
//!
//! Long sums gain by it: a tile that passes over all of a panel's weights reads them from the second cache at best.

use super::super::emit::{Kernel, Machine};
use super::super::limits::Class;
use super::Product;
use super::tile::Tile;

/// Bytes that a work-item keeps for itself, at most: they lie on a thread's stack.
const MOST_BYTES: usize = 512 << 10;
/// Terms of a run that are worth a block (adding a tile to the sums of its band costs as much as some of them), and depths
/// that are worth packing a band for.
const LEAST_RUN: usize = 48;
/// Bytes of a cache line: so many of a pixel's channels are packed at a time.
const LINE_BYTES: usize = 64;

/// Sizes of a forward product in blocks.
#[derive(Clone, Copy, Debug)]
pub struct Forward {
    tile: Tile,
    /// Rows of a band.
    band: usize,
    /// Terms of a block.
    depth: usize,
}

/// Sizes of a weight gradient in blocks.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    tile: Tile,
    /// Rows of a band.
    band: usize,
    /// Inputs of a line, and those that are packed at a time, where they are.
    line: usize,
    side: Option<usize>,
}

impl Product {
    fn number_bytes(machine: &Machine) -> usize {
        machine.precision.bytes() as usize
    }

    /// Rows of a band: as many as the first cache holds beside a block, in whole steps, and few enough for so many bands of
    /// an image.
    fn band(&self, step: usize, bands: usize, machine: &Machine) -> usize {
        let (height, width) = self.output();
        let row = width * self.panels.panel * Self::number_bytes(machine);
        let rows = (machine.tuning.direct_band_bytes / row).min(height / bands.max(1));
        let rows = (rows / step * step).clamp(step, height);
        // Equal bands.
        let rows = height.div_ceil(height.div_ceil(rows));
        rows.next_multiple_of(step)
    }

    /// The forward product in blocks, where that is faster; of a product that pools or not.
    pub(super) fn blocked_forward(&self, pools: bool, machine: &Machine) -> Option<Forward> {
        if machine.limits.class != Class::Cpu {
            return None;
        }
        let (_, width) = self.output();
        let panels = &self.panels;
        let items = self.images() * panels.groups * panels.count();
        let bands = (4 * machine.limits.cores).div_ceil(items);
        let band = self.band(if pools { 2 } else { 1 }, bands, machine);
        let run = self.run();
        let row = panels.panel * Self::number_bytes(machine);
        if run < LEAST_RUN || band * width * row > MOST_BYTES {
            return None;
        }
        let most = (machine.tuning.direct_depth_bytes / row).max(16);
        Some(Forward {
            tile: Tile::joined(machine, width, panels.panel),
            band,
            depth: run.div_ceil(run.div_ceil(most)),
        })
    }

    /// The weight gradient in blocks, where that is faster.
    pub(super) fn blocked_weight(&self, machine: &Machine) -> Option<Weight> {
        let (_, width) = self.output();
        let (panels, run) = (&self.panels, self.run());
        let number = Self::number_bytes(machine);
        let packs = panels.inputs >= machine.limits.lanes(machine.precision);
        let line = if packs { panels.inputs } else { run };
        let of = Tile::weight(machine, line, panels.height, panels.panel, !packs);
        let short = panels.depth() < LEAST_RUN; // packing a band would not pay
        if short || !packs && (run == panels.inputs || of.filter_rows > 1) {
            return None;
        }
        let (band, tile) = (self.band(1, 1, machine), of.tile);
        let whole = (LINE_BYTES / number).next_multiple_of(tile.rows);
        let side = packs.then_some(whole.min(line));
        let source = ((band - 1) * self.window.stride.height + panels.height) * side.unwrap_or(0);
        if (band * panels.panel + source) * width * number > MOST_BYTES {
            return None;
        }
        Some(Weight {
            tile,
            band,
            line,
            side,
        })
    }
}

impl Forward {
    /// Sizes as build-time constants, and the work-items of a product.
    pub(super) fn define(&self, kernel: Kernel, product: &Product) -> Kernel {
        let bands = product.output().0.div_ceil(self.band);
        let panels = product.panels.groups * product.panels.count();
        self.tile
            .define(kernel)
            .define("RUN", product.run())
            .define("BAND", self.band)
            .define("BANDS", bands)
            .define("DEPTH", self.depth)
            .global([panels, product.images() * bands, 1])
            .single()
    }
}

impl Weight {
    /// Sizes as build-time constants.
    pub(super) fn define(&self, kernel: Kernel) -> Kernel {
        let kernel = self
            .tile
            .define(kernel)
            .define("BAND", self.band)
            .define("LINE", self.line)
            .define("SIDE", self.side.unwrap_or(self.line));
        if self.side.is_some() {
            kernel.define("PACK", 1)
        } else {
            kernel
        }
    }
}
