//! The way back: gradients from the last layer to the first.
//!
//! A tensor that several layers read has several gradients, which are added up in the order in which the layers come on
//! the way back. The first is written where the sum will stand; each later one goes to a buffer of its own, which lives
//! until the next step adds it. So a tensor takes at most two buffers however many layers read it, no layer has to
//! know whether it is the first, and the order is the plan's: equal runs give equal bits.
//!
//! Joins and activations hand their output's gradient on, whole or in parts, without a copy ([`InPlace`]). Then several
//! tensors have one buffer as their gradient; the first that must change it takes a copy, unless all others are done.

use std::collections::HashMap;

use super::Lowering;
use crate::ir::Feed;
use crate::op::InPlace;
use crate::op::emit::{Back, BufferId, Site, Tensor};
use crate::op::join::accumulate;
use crate::op::layout::{copy, zero_halo};
use crate::op::name::Name;
use crate::op::view::View;

/// The gradients of all tensors so far.
struct Gradients {
    input: Option<Tensor>,
    outputs: Vec<Option<Tensor>>,
    /// The tensors whose gradient lies in a buffer and is still to be read, where there are several.
    sharers: HashMap<BufferId, Vec<Feed>>,
}

impl Gradients {
    fn of(&mut self, feed: Feed) -> &mut Option<Tensor> {
        match feed {
            Feed::Input => &mut self.input,
            Feed::Node(i) => &mut self.outputs[i],
        }
    }

    /// Makes a tensor's gradient known, as one of several in a buffer.
    fn share(&mut self, feed: Feed, tensor: Tensor) {
        *self.of(feed) = Some(tensor);
        self.sharers.entry(tensor.buffer).or_default().push(feed);
    }

    /// Whether another tensor's gradient, still to be read, lies in the same place.
    fn is_shared(&mut self, feed: Feed, tensor: Tensor) -> bool {
        let sharers = self.sharers.get(&tensor.buffer).cloned();
        let others = sharers.into_iter().flatten().filter(|other| *other != feed);
        let others: Vec<Tensor> = others.filter_map(|other| *self.of(other)).collect();
        others
            .iter()
            .any(|other| other.buffer == tensor.buffer && meet(&other.view, &tensor.view))
    }

    /// Nothing reads a tensor's gradient any more.
    fn done(&mut self, feed: Feed) {
        if let Some(tensor) = *self.of(feed)
            && let Some(sharers) = self.sharers.get_mut(&tensor.buffer)
        {
            sharers.retain(|other| *other != feed);
        }
    }
}

/// Whether two parts of one tensor have channels in common.
fn meet(a: &View, b: &View) -> bool {
    let channels = |view: &View| view.origin..view.origin + view.shape.channels();
    let (a, b) = (channels(a), channels(b));
    a.start < b.end && b.start < a.end
}

/// How what a layer writes becomes a tensor's gradient.
enum Then {
    /// Copied: written without gaps, wanted with a halo.
    Copy,
    /// Added to what is there.
    Add,
}

/// What is done with a contribution after the layer that wrote it.
struct Afterwards {
    feed: Feed,
    name: Name,
    then: Then,
    from: Tensor,
}

impl Lowering<'_> {
    /// Asks for the way back; returns the input's gradient where it is wanted.
    pub(super) fn backward(
        &mut self,
        sites: &[Site],
        kept: Vec<Vec<BufferId>>,
        d_logits: Tensor,
    ) -> Option<(BufferId, View)> {
        let mut gradients = Gradients {
            input: None,
            outputs: vec![None; sites.len()],
            sharers: HashMap::new(),
        };
        if let Some(last) = gradients.outputs.last_mut() {
            *last = Some(d_logits);
        }
        for ((layer, site), kept) in sites.iter().enumerate().zip(kept).rev() {
            if gradients.outputs[layer].is_none() || !self.wanted[layer] {
                continue;
            }
            let op = &self.graph.nodes[layer].op;
            if op.changes_gradient(site.before_act) {
                self.own(Feed::Node(layer), layer, &mut gradients);
            }
            if self.options.fusion && op.in_place() != InPlace::No {
                self.hand_on(layer, site, &mut gradients);
            } else {
                self.through(layer, site, kept, &mut gradients);
            }
            gradients.done(Feed::Node(layer));
            self.after_gradients(layer);
        }
        let input = gradients.input?;
        self.after.push(input.buffer);
        Some((input.buffer, input.view))
    }

    /// Goes back through a layer that writes gradients of its own.
    fn through(
        &mut self,
        layer: usize,
        site: &Site,
        kept: Vec<BufferId>,
        gradients: &mut Gradients,
    ) {
        let graph = self.graph;
        let mut afterwards = Vec::new();
        let mut d_src = Vec::with_capacity(site.sources.len());
        for &feed in &graph.nodes[layer].feeds {
            d_src.push(
                self.wants(feed, &self.wanted)
                    .then(|| self.contribution(layer, feed, gradients, &mut afterwards)),
            );
        }
        let d_dst = gradients.outputs[layer].expect("internal error: a gradient is known");
        let back = Back { d_dst, d_src, kept };
        let op = &graph.nodes[layer].op;
        op.backward(site, &back, &self.machine, &mut self.ledger);
        for Afterwards {
            feed,
            name,
            then,
            from,
        } in afterwards
        {
            match then {
                Then::Copy => {
                    let into = gradients
                        .of(feed)
                        .expect("internal error: a gradient is known");
                    copy(
                        name,
                        Some(layer),
                        from,
                        into,
                        &self.machine,
                        &mut self.ledger,
                    );
                }
                Then::Add => self.add(feed, name, layer, from, gradients),
            }
        }
    }

    /// Hands the gradient of a layer's output on to its inputs, after the layer changed it in place.
    fn hand_on(&mut self, layer: usize, site: &Site, gradients: &mut Gradients) {
        let graph = self.graph;
        let d_dst = gradients.outputs[layer].expect("internal error: a gradient is known");
        let (op, feeds) = (&graph.nodes[layer].op, &graph.nodes[layer].feeds);
        let back = Back {
            d_dst,
            d_src: vec![None; feeds.len()],
            kept: Vec::new(),
        };
        op.backward(site, &back, &self.machine, &mut self.ledger);
        let mut first = 0;
        for &feed in feeds {
            let shape = graph.feed_shape(feed);
            let own = match op.in_place() {
                InPlace::Parts => Tensor {
                    view: d_dst.view.part(first, shape),
                    ..d_dst
                },
                _ => d_dst,
            };
            first += shape.channels();
            if !self.wants(feed, &self.wanted) {
                continue;
            }
            if gradients.of(feed).is_none() {
                // Until this layer is done, it is one of those that share.
                if !gradients.sharers.contains_key(&d_dst.buffer) {
                    gradients.share(Feed::Node(layer), d_dst);
                }
                gradients.share(feed, own);
            } else {
                let name = self.gradient_name(feed);
                self.add(feed, name, layer, own, gradients);
            }
        }
    }

    /// Adds a contribution to a tensor's gradient.
    fn add(
        &mut self,
        feed: Feed,
        name: Name,
        layer: usize,
        more: Tensor,
        gradients: &mut Gradients,
    ) {
        let sum = self.own(feed, layer, gradients);
        let mut more = more;
        if more.buffer == sum.buffer {
            // Another part of the same buffer, which no step may name twice.
            let view = View::packed(more.view.shape, self.options.batch, 0);
            let part = self.ledger.tensor(name.clone().word("part"), view);
            let copied = name.clone().word("part");
            copy(
                copied,
                Some(layer),
                more,
                part,
                &self.machine,
                &mut self.ledger,
            );
            more = part;
        }
        accumulate(name, Some(layer), more, sum, &mut self.ledger);
    }

    /// A tensor's gradient in a place that no other tensor's shares, so that it may be changed.
    fn own(&mut self, feed: Feed, layer: usize, gradients: &mut Gradients) -> Tensor {
        let tensor = gradients
            .of(feed)
            .expect("internal error: a gradient is known");
        if !gradients.is_shared(feed, tensor) {
            return tensor;
        }
        let (name, layer) = (self.gradient_name(feed), Some(layer));
        let halo = self.halo_of_gradient(feed);
        let view = View::packed(tensor.view.shape, self.options.batch, halo);
        let own = self.ledger.tensor(name.clone().word("own"), view);
        zero_halo(name.clone(), layer, own, &self.machine, &mut self.ledger);
        copy(name, layer, tensor, own, &self.machine, &mut self.ledger);
        gradients.done(feed);
        *gradients.of(feed) = Some(own);
        own
    }

    fn gradient_name(&self, feed: Feed) -> Name {
        match feed {
            Feed::Input => "d_input".into(),
            Feed::Node(i) => Name::of(&self.graph.nodes[i].name).word("d_dst"),
        }
    }

    fn halo_of_gradient(&self, feed: Feed) -> usize {
        feed.node().map_or(0, |i| self.wishes[i].d_dst_halo)
    }

    /// Where a layer writes the gradient of one of its inputs, and what is done with it afterwards.
    fn contribution(
        &mut self,
        layer: usize,
        feed: Feed,
        gradients: &mut Gradients,
        afterwards: &mut Vec<Afterwards>,
    ) -> Tensor {
        let (name, shape) = (self.gradient_name(feed), self.graph.feed_shape(feed));
        let dense = View::packed(shape, self.options.batch, 0);
        let mut later = |name, then, from| {
            afterwards.push(Afterwards {
                feed,
                name,
                then,
                from,
            });
            from
        };
        let by = || Name::of(&self.graph.nodes[layer].name).word("d_src");
        if gradients.of(feed).is_some() {
            let more = self.ledger.tensor(by(), dense);
            return later(name, Then::Add, more);
        }
        let view = View::packed(shape, self.options.batch, self.halo_of_gradient(feed));
        let tensor = self.ledger.tensor(name.clone(), view);
        *gradients.of(feed) = Some(tensor);
        zero_halo(
            name.clone(),
            feed.node(),
            tensor,
            &self.machine,
            &mut self.ledger,
        );
        if self.wishes[layer].src_dense && !tensor.view.is_dense() {
            let gapless = self.ledger.tensor(by(), dense);
            return later(name, Then::Copy, gapless);
        }
        tensor
    }
}
