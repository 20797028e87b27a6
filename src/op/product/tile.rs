//! Register tiles of the CPU kernels: how many values one work-item holds in vector registers.
//!
//! A tile is `rows` x (`vectors` x `lanes`) values. The choice minimises an estimate of the time: multiply-adds of all
//! tiles, overhang included, plus the loads that feed them. How many values fit the registers is measured
//! ([`super::super::tuning`]).

use super::super::emit::{Kernel, Machine};

/// The shape of a register tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Pixels (forward, input gradient) or depths (weight gradient).
    pub rows: usize,
    /// Vectors of neighbouring outputs.
    pub vectors: usize,
    /// Numbers in a vector.
    pub lanes: usize,
}

/// A weight gradient's tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WeightTile {
    /// The tile.
    pub tile: Tile,
    /// Whole filter rows that the tile spans; 1: it lies within one.
    pub filter_rows: usize,
}

/// Runs of fewer terms are unrolled as a whole (`FOR_RUN` in `kernels/prelude.cl`), which takes registers from the sums.
const SHORT_RUN: usize = 16;

/// Relative time of one step of a tile: a multiply-add an accumulator, a load a row and a vector, two of each at once.
fn step_cost(machine: &Machine, rows: usize, vectors: usize) -> f64 {
    let (products, loads) = ((rows * vectors) as f64, (rows + vectors) as f64);
    products.max(loads) + machine.tuning.load_cost * loads
}

impl Tile {
    /// Values along the outputs.
    pub fn columns(&self) -> usize {
        self.vectors * self.lanes
    }

    /// Build-time constants of the kernel.
    pub fn define(&self, kernel: Kernel) -> Kernel {
        kernel
            .define("MR", self.rows)
            .define("NV", self.vectors)
            .define("VW", self.lanes)
    }

    /// The cheapest tile for `columns` neighbouring pixels and `outputs` channels.
    pub fn choose(machine: &Machine, columns: usize, outputs: usize) -> Self {
        let lanes = machine.limits.lanes(machine.precision);
        let mut best: Option<(f64, Self)> = None;
        for vectors in 1..=machine.tuning.vectors.min(outputs.div_ceil(lanes)) {
            let tile = Self::with_vectors(machine, columns, vectors);
            let cost = outputs.div_ceil(tile.columns()) as f64
                * columns.div_ceil(tile.rows) as f64
                * step_cost(machine, tile.rows, vectors);
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, tile));
            }
        }
        best.expect("internal error: every layer has a tile").1
    }

    /// Columns of the tiles of as many vectors as fit.
    pub fn most_columns(machine: &Machine) -> usize {
        machine.tuning.vectors * machine.limits.lanes(machine.precision)
    }

    /// The forward tile for weights that are packed in panels of `panel` outputs.
    pub fn forward(machine: &Machine, columns: usize, panel: usize) -> Self {
        Self::with_vectors(
            machine,
            columns,
            panel / machine.limits.lanes(machine.precision),
        )
    }

    /// The forward tile where its rows need not lie in one row of `columns` pixels: as many as fit the registers.
    pub fn joined(machine: &Machine, columns: usize, panel: usize) -> Self {
        let lanes = machine.limits.lanes(machine.precision);
        let vectors = panel / lanes;
        Self {
            rows: (machine.tuning.accumulators / vectors).clamp(1, columns),
            vectors,
            lanes,
        }
    }

    /// The forward tile of a product that pools: two rows of whole windows, for rows of `columns` pixels, an even number.
    pub fn pooled(machine: &Machine, columns: usize, panel: usize) -> Self {
        let lanes = machine.limits.lanes(machine.precision);
        let vectors = panel / lanes;
        let windows = (machine.tuning.accumulators / (4 * vectors)).clamp(1, columns / 2);
        Self {
            rows: 4 * windows,
            vectors,
            lanes,
        }
    }

    /// The cheapest tile of so many vectors.
    fn with_vectors(machine: &Machine, columns: usize, vectors: usize) -> Self {
        let lanes = machine.limits.lanes(machine.precision);
        let most = (machine.tuning.accumulators / vectors).clamp(1, columns);
        let rows = (1..=most)
            .min_by(|&a, &b| {
                let cost =
                    |rows: usize| columns.div_ceil(rows) as f64 * step_cost(machine, rows, vectors);
                cost(a).total_cmp(&cost(b)).then(b.cmp(&a))
            })
            .unwrap_or(1);
        Self {
            rows,
            vectors,
            lanes,
        }
    }

    /// The tile of a fully connected layer's input gradient: inputs by rows of the batch.
    pub fn batch(machine: &Machine, rows: usize) -> Self {
        let lanes = machine.limits.lanes(machine.precision);
        let vectors = rows.div_ceil(lanes);
        // As many vectors as divide the batch.
        let most = machine.tuning.batch_vectors;
        let vectors = (1..=most.min(vectors))
            .min_by_key(|n| (vectors.next_multiple_of(*n), most - n))
            .unwrap_or(1);
        Self {
            rows: machine.tuning.accumulators / vectors,
            vectors,
            lanes,
        }
    }

    /// The tile of sums over pixels, its rows within one vector of input channels.
    pub fn depths(machine: &Machine, vectors: usize) -> Self {
        let lanes = machine.limits.lanes(machine.precision);
        let most = (machine.tuning.accumulators / vectors).max(1);
        let fits = |rows: &usize| lanes.is_multiple_of(*rows);
        Self {
            rows: (1..=most).rev().find(fits).unwrap_or(1),
            vectors,
            lanes,
        }
    }

    /// The weight gradient's tile: over runs of `run` source numbers, `filter_height` of them a filter.
    pub fn weight(
        machine: &Machine,
        run: usize,
        filter_height: usize,
        panel: usize,
        row_runs: bool,
    ) -> WeightTile {
        let lanes = machine.limits.lanes(machine.precision);
        let vectors = panel / lanes;
        let most = (machine.tuning.accumulators / vectors).max(1);
        // Short rows (one to three channels) join into one tile while they fit.
        let filter_rows = if row_runs {
            (1..=filter_height)
                .rev()
                .find(|rows| filter_height.is_multiple_of(*rows) && rows * run <= most)
                .unwrap_or(1)
        } else {
            1
        };
        if filter_rows > 1 {
            return WeightTile {
                tile: Self {
                    rows: filter_rows * run,
                    vectors,
                    lanes,
                },
                filter_rows,
            };
        }
        WeightTile {
            tile: Self::with_vectors(machine, run, vectors),
            filter_rows: 1,
        }
    }

    /// Outputs of a weight panel: the forward tile's columns on a CPU; all outputs side by side elsewhere. `run`: terms of a
    /// sum that follow each other.
    pub fn panel(machine: &Machine, columns: usize, outputs: usize, run: usize) -> usize {
        if machine.limits.class != super::Class::Cpu {
            return outputs;
        }
        let mut on = *machine;
        if run < SHORT_RUN {
            on.tuning.vectors = on.tuning.vectors.min(2);
        }
        Self::choose(&on, columns, outputs).columns()
    }
}
