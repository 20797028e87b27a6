//! The way back: gradients from the last layer to the first.
//!
//! A tensor that several layers read has several gradients, which are added up in the order in which the layers come on
//! the way back. The first is written where the sum will stand; each later one goes to a buffer of its own, which lives
//! until the next step adds it. So a tensor takes at most two buffers however many layers read it, no layer has to
//! know whether it is the first, and the order is the plan's: equal runs give equal bits.

use super::Lowering;
use crate::ir::Feed;
use crate::op::emit::{Back, BufferId, Site, Tensor};
use crate::op::join::accumulate;
use crate::op::layout::{copy, zero_halo};
use crate::op::view::View;

/// The gradients of all tensors so far.
struct Gradients {
    input: Option<Tensor>,
    outputs: Vec<Option<Tensor>>,
}

/// How what a layer writes becomes a tensor's gradient.
enum Then {
    /// Copied: written without gaps, wanted with a halo.
    Copy,
    /// Added to what is there.
    Add,
}

impl Lowering<'_> {
    /// Asks for the way back; returns the input's gradient where it is wanted.
    pub(super) fn backward(
        &mut self,
        sites: &[Site],
        kept: Vec<Vec<BufferId>>,
        d_logits: Tensor,
    ) -> Option<(BufferId, View)> {
        let graph = self.graph;
        let wanted = self.wanted(sites);
        let mut gradients = Gradients {
            input: None,
            outputs: vec![None; sites.len()],
        };
        if let Some(last) = gradients.outputs.last_mut() {
            *last = Some(d_logits);
        }
        for ((layer, site), kept) in sites.iter().enumerate().zip(kept).rev() {
            let Some(d_dst) = gradients.outputs[layer].filter(|_| wanted[layer]) else {
                continue;
            };
            let mut free = graph.nodes[layer].op.passes_gradient();
            let mut d_src = Vec::with_capacity(site.sources.len());
            let mut afterwards = Vec::new();
            for feed in &graph.nodes[layer].feeds {
                let want = match feed {
                    Feed::Input => self.options.input_gradient,
                    Feed::Node(i) => wanted[*i],
                };
                d_src.push(if !want {
                    None
                } else if let (true, Feed::Node(i)) = (free, feed)
                    && gradients.outputs[*i].is_none()
                {
                    // One input takes over the output's gradient: nothing reads that after this layer.
                    free = false;
                    gradients.outputs[*i] = Some(d_dst);
                    Some(d_dst)
                } else {
                    Some(self.contribution(layer, *feed, &mut gradients, &mut afterwards))
                });
            }
            let back = Back { d_dst, d_src, kept };
            let op = &graph.nodes[layer].op;
            op.backward(site, &back, self.machine, &mut self.ledger);
            for (name, then, from, into) in afterwards {
                match then {
                    Then::Copy => copy(&name, Some(layer), from, into, &mut self.ledger),
                    Then::Add => accumulate(&name, Some(layer), from, into, &mut self.ledger),
                }
            }
            if !self.options.keep_gradients {
                self.update(layer);
            }
        }
        let input = gradients.input?;
        self.after.push(input.buffer);
        Some((input.buffer, input.view))
    }

    /// Whether anything at or before a layer wants a gradient.
    fn wanted(&self, sites: &[Site]) -> Vec<bool> {
        let mut wanted: Vec<bool> = Vec::with_capacity(sites.len());
        for (node, site) in self.graph.nodes.iter().zip(sites) {
            let learned = site.parameters.iter().any(|slot| slot.gradient.is_some());
            let fed = node.feeds.iter().any(|feed| match feed {
                Feed::Input => self.options.input_gradient,
                Feed::Node(i) => wanted[*i],
            });
            wanted.push(learned || fed);
        }
        wanted
    }

    /// Where a layer writes the gradient of one of its inputs, and what is done with it afterwards.
    fn contribution(
        &mut self,
        layer: usize,
        feed: Feed,
        gradients: &mut Gradients,
        afterwards: &mut Vec<(String, Then, Tensor, Tensor)>,
    ) -> Tensor {
        let (name, shape, halo) = match feed {
            Feed::Input => ("d_input".into(), self.graph.input_shape(), 0),
            Feed::Node(i) => (
                format!("{}.d_dst", self.graph.nodes[i].name),
                self.graph.output_shape(i),
                self.wishes[i].d_dst_halo,
            ),
        };
        let dense = View::packed(shape, self.options.batch, 0);
        let known = match feed {
            Feed::Input => &mut gradients.input,
            Feed::Node(i) => &mut gradients.outputs[i],
        };
        if let Some(sum) = *known {
            let by = &self.graph.nodes[layer].name;
            let more = self.ledger.tensor(format!("{name}.of.{by}"), dense);
            afterwards.push((name, Then::Add, more, sum));
            return more;
        }
        let tensor = self
            .ledger
            .tensor(&name, View::packed(shape, self.options.batch, halo));
        *known = Some(tensor);
        let owner = match feed {
            Feed::Input => None,
            Feed::Node(i) => Some(i),
        };
        zero_halo(&name, owner, tensor, self.machine, &mut self.ledger);
        if self.wishes[layer].src_dense && !tensor.view.is_dense() {
            let gapless = self.ledger.tensor(format!("{name}.dense"), dense);
            afterwards.push((name, Then::Copy, gapless, tensor));
            return gapless;
        }
        tensor
    }
}
