//! One safe door to the matrix library: `c (+)= a * b` over strided slices.

use rayon::current_num_threads;

use super::super::real::Real;

/// A matrix in a slice: element `(i, j)` at `offset + i * row + j * column`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Where element (0, 0) is.
    pub offset: usize,
    /// From one row to the next.
    pub row: usize,
    /// From one column to the next.
    pub column: usize,
}

impl Matrix {
    /// Rows one after another, each contiguous.
    pub fn new(rows: usize, columns: usize, offset: usize, row: usize) -> Self {
        Self {
            rows,
            columns,
            offset,
            row,
            column: 1,
        }
    }

    /// The same values, rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row: self.column,
            column: self.row,
            ..self
        }
    }

    /// Some of its rows.
    #[must_use]
    pub fn part(self, first: usize, rows: usize) -> Self {
        Self {
            rows,
            offset: self.offset + first * self.row,
            ..self
        }
    }

    /// One past the last element.
    fn end(&self) -> usize {
        if self.rows == 0 || self.columns == 0 {
            0
        } else {
            self.offset + (self.rows - 1) * self.row + (self.columns - 1) * self.column + 1
        }
    }
}

/// Threads for one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// The calling one.
    One,
    /// All of the pool's.
    All,
}

/// `c = a * b`, or `c += a * b` where `add`.
pub fn multiply<T: Real>(
    c: (&mut [T], Matrix),
    a: (&[T], Matrix),
    b: (&[T], Matrix),
    add: bool,
    threads: Threads,
) {
    let ((c, cm), (a, am), (b, bm)) = (c, a, b);
    assert!(
        cm.rows == am.rows && cm.columns == bm.columns && am.columns == bm.rows,
        "internal error: matrix sizes disagree"
    );
    assert!(
        cm.end() <= c.len() && am.end() <= a.len() && bm.end() <= b.len(),
        "internal error: a matrix leaves its slice"
    );
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(current_num_threads()),
    };
    // SAFETY: the assertions above keep every element (i, j) of the three matrices inside its slice, and `c` is borrowed
    // mutably, so it overlaps neither `a` nor `b`.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            cm.rows,
            cm.columns,
            am.columns,
            c.as_mut_ptr().add(cm.offset),
            cm.column as isize,
            cm.row as isize,
            add,
            a.as_ptr().add(am.offset),
            am.column as isize,
            am.row as isize,
            b.as_ptr().add(bm.offset),
            bm.column as isize,
            bm.row as isize,
            T::one(),
            T::one(),
            false,
            false,
            false,
            parallelism,
        );
    }
}
