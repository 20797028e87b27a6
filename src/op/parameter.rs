//! Parameters, and the running statistics that are kept with them: names, logical shapes, packed layouts, initial values.

use super::name::Name;
use super::real::Real;

/// How initial values are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All the same.
    Constant(f64),
    /// Normally distributed, mean 0, with this standard deviation.
    Gaussian(f64),
}

/// What a parameter is for: weight decay treats weights and biases apart, and statistics are not learned at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Decays.
    Weight,
    /// Does not, unless `decay_biases`.
    Bias,
    /// A running statistic: kept and saved with the parameters, changed by the forward pass of training. It has no
    /// gradient, no optimizer and no decay, and counts as no parameter.
    Statistic,
}

impl Role {
    /// Whether it has a gradient.
    pub fn is_learned(self) -> bool {
        self != Self::Statistic
    }
}

/// How a weight's logical values `[outputs, inputs, height, width]` lie in its buffer: for each group and each panel of
/// `panel` outputs, `[height][width][inputs][panel]`, so that one vector load brings the weights of neighbouring
/// outputs for one input. Outputs that a last panel lacks are zeros, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Panels {
    /// Outputs of one group.
    pub outputs: usize,
    /// Inputs of one group.
    pub inputs: usize,
    /// Rows of the filter; of a fully connected layer, rows of its input.
    pub height: usize,
    /// Columns of the filter, or of the input.
    pub width: usize,
    /// Groups.
    pub groups: usize,
    /// Outputs of a panel.
    pub panel: usize,
}

impl Panels {
    /// Panels of one group.
    pub fn count(&self) -> usize {
        self.outputs.div_ceil(self.panel)
    }

    /// Values that meet in one output: `height * width * inputs`.
    pub fn depth(&self) -> usize {
        self.height * self.width * self.inputs
    }

    /// Elements of the packed buffer.
    pub fn elements(&self) -> usize {
        self.groups * self.count() * self.depth() * self.panel
    }

    /// Calls `f(logical, packed)` for each logical value.
    pub fn for_each(&self, mut f: impl FnMut(usize, usize)) {
        let mut logical = 0;
        for g in 0..self.groups {
            for o in 0..self.outputs {
                let panel = (g * self.count() + o / self.panel) * self.depth();
                for i in 0..self.inputs {
                    for y in 0..self.height {
                        for x in 0..self.width {
                            let depth = (y * self.width + x) * self.inputs + i;
                            f(logical, (panel + depth) * self.panel + o % self.panel);
                            logical += 1;
                        }
                    }
                }
            }
        }
    }
}

/// How a parameter lies in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// As it is, `n` values.
    Plain(usize),
    /// A weight in panels.
    Panels(Panels),
}

impl Layout {
    /// Elements of the packed buffer.
    pub fn elements(&self) -> usize {
        match self {
            Self::Plain(n) => *n,
            Self::Panels(panels) => panels.elements(),
        }
    }

    /// Logical values, in their order, to packed ones.
    ///
    /// # Panics
    /// Where there are fewer.
    pub fn pack<T: Real>(&self, mut logical: impl Iterator<Item = T>) -> Vec<T> {
        match self {
            Self::Plain(_) => logical.collect(),
            Self::Panels(panels) => {
                let mut packed = vec![T::zero(); panels.elements()];
                panels.for_each(|_, to| {
                    let value = logical.next();
                    packed[to] = value.expect("internal error: a parameter lacks values");
                });
                packed
            }
        }
    }

    /// Packed values to logical ones.
    pub fn unpack<T: Real>(&self, packed: &[T], count: usize) -> Vec<T> {
        match self {
            Self::Plain(_) => packed[..count].to_vec(),
            Self::Panels(panels) => {
                let mut logical = vec![T::zero(); count];
                panels.for_each(|from, to| logical[from] = packed[to]);
                logical
            }
        }
    }
}

/// One parameter of a network, or one running statistic.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// `c1.weight`; as an op gives it, `weight`.
    pub name: Name,
    /// What it is for.
    pub role: Role,
    /// Logical shape, PyTorch's: `[filters, channels / groups, height, width]`, `[units, inputs]`, `[units]`.
    pub shape: Vec<usize>,
    /// How it lies in its buffer.
    pub layout: Layout,
    /// Initial values.
    pub init: Init,
}

impl Parameter {
    /// Logical values.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_hold_neighbouring_outputs_side_by_side() {
        let panels = Panels {
            outputs: 3,
            inputs: 2,
            height: 1,
            width: 2,
            groups: 2,
            panel: 2,
        };
        let logical: Vec<f64> = (1..=24).map(f64::from).collect();
        let layout = Layout::Panels(panels);
        let packed = layout.pack(logical.iter().copied());
        assert_eq!(packed.len(), 2 * 2 * 4 * 2);
        // Output 0 and 1 of input 0 at (0, 0): logical 1 and 5.
        assert_eq!(packed[..2], [1.0, 5.0]);
        // Output 2 stands in a panel of its own, whose second column is zero.
        assert_eq!(packed[8..10], [9.0, 0.0]);
        assert_eq!(layout.unpack(&packed, 24), logical);
    }
}
