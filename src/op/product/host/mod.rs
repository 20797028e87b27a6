//! The products on the host: patches of the input as rows of a matrix, and a matrix library.
//!
//! Images run side by side; a fully connected layer, which has one "image", runs one product on all threads. Sums are
//! taken in an order that does not depend on the number of threads.

mod backward;
mod forward;

use super::super::view::View;
use super::Product;
use super::matrix::{Matrix, Threads};

pub use backward::{
    BackwardBias, BackwardData, BackwardWeight, FromTransposed, SumChunks, Transpose, TransposeRows,
};
pub use forward::{Forward, PANEL};

impl Product {
    fn threads(&self) -> Threads {
        if self.images() == 1 {
            Threads::All
        } else {
            Threads::One
        }
    }

    /// Whether this is a fully connected layer: a row of pixels, each by itself.
    fn is_rows(&self) -> bool {
        self.images() == 1 && self.output().0 == 1 && self.panels.groups == 1 && self.is_pointwise()
    }

    /// Runs of output pixels that lie equally far apart in a tensor: how many there are in so many rows, and pixels of one.
    fn runs(&self, view: &View, rows: usize) -> (usize, usize) {
        let (_, ow) = self.output();
        if view.row == ow * view.pixel {
            (1, rows * ow)
        } else {
            (rows, ow)
        }
    }

    /// One group's panel `panel` of packed weights as a matrix `[depth][columns that exist]`.
    fn panel(&self, g: usize, panel: usize) -> Matrix {
        let p = &self.panels;
        let columns = (p.outputs - panel * p.panel).min(p.panel);
        Matrix::new(
            p.depth(),
            columns,
            (g * p.count() + panel) * p.depth() * p.panel,
            p.panel,
        )
    }
}
