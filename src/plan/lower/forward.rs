//! The way forward: every layer's steps, its output where its readers want it.
//!
//! Inference takes the part of a network that works on images some images at a time, as many as fill the caches but not
//! more: what lies between the input and the first fully connected layer is then never there for the whole batch. Each
//! layer sees a smaller batch, of which it knows nothing; only the copies into and out of such a group count images. The
//! last group begins early enough to be whole, so some images may be computed twice, to the same bits.

use super::Lowering;
use super::places::Places;
use crate::ir::Feed;
use crate::op::emit::{BufferId, Site, Tensor};
use crate::op::layout::{copy, copy_images, zero_halo};
use crate::op::limits::Class;
use crate::op::name::Name;
use crate::op::shape::Shape;
use crate::op::view::View;
use crate::plan::Mode;

/// What the way forward leaves behind.
pub(super) struct Passed {
    /// The batch of images.
    pub(super) input: Tensor,
    /// Where each layer stands.
    pub(super) sites: Vec<Site>,
    /// What each layer keeps for the way back.
    pub(super) kept: Vec<Vec<BufferId>>,
}

/// Columns of zeros beside the rows of each tensor.
struct Halos {
    input: usize,
    outputs: Vec<usize>,
}

/// Layers that run on the same images: where they read and write.
struct Group {
    /// Its images of the input, with the halo that its layers want.
    input: Tensor,
    /// The buffer of each root's output, once it is there.
    buffers: Vec<Option<BufferId>>,
}

/// More groups save no memory that counts, and their steps are many.
const MOST_GROUPS: usize = 64;

impl Lowering<'_> {
    /// Asks for the forward steps.
    pub(super) fn forward(&mut self) -> Passed {
        let (graph, batch) = (self.graph, self.options.batch);
        let places = self.places();
        let halos = self.halos(&places);
        let count = graph.nodes.len();
        let (mut sites, mut kept) = (vec![None; count], vec![Vec::new(); count]);
        let group = self.group();
        let halo = if group < batch { 0 } else { halos.input };
        let view = View::packed(graph.input_shape(), batch, halo);
        let input = self.ledger.tensor("input", view);
        self.before.push(input.buffer);
        if group < batch {
            self.in_groups(group, input, &halos, &places, &mut sites);
        }
        let views = self.views(batch, &halos, &places);
        let mut whole = Group {
            input,
            buffers: vec![None; count],
        };
        for layer in 0..count {
            if sites[layer].is_none() {
                let site = self.site(layer, &views, &places, &mut whole, &sites);
                kept[layer] = self.layer(&site, &sites);
                sites[layer] = Some(site);
            }
        }
        Passed {
            input,
            sites: sites.into_iter().flatten().collect(),
            kept,
        }
    }

    /// Asks for a layer's forward steps; returns what it keeps. A layer whose output its reader pools waits for that.
    fn layer(&mut self, site: &Site, before: &[Option<Site>]) -> Vec<BufferId> {
        let node = &self.graph.nodes[site.layer];
        if let [Feed::Node(source)] = node.feeds[..]
            && let Some(source) = before[source].as_ref().filter(|site| self.waits(site))
        {
            let pooling = node.op.pooling(site, &mut self.ledger);
            let op = &self.graph.nodes[source.layer].op;
            op.forward_pooled(source, pooling, &self.machine, &mut self.ledger);
            return pooling.place.into_iter().collect();
        }
        if self.waits(site) {
            return Vec::new();
        }
        node.op.forward(site, &self.machine, &mut self.ledger)
    }

    /// Whether a layer's output is only there for a pooling that its own step can do.
    fn waits(&self, site: &Site) -> bool {
        let [reader] = self.readers[site.layer][..] else {
            return false;
        };
        let nodes = &self.graph.nodes;
        self.options.fusion
            && nodes[reader].op.halves(site.destination.view.shape)
            && nodes[site.layer].op.pools(site, &self.machine)
    }

    /// The halos that the readers of each tensor wish for, the widest counts.
    fn halos(&self, places: &Places) -> Halos {
        let mut halos = Halos {
            input: 0,
            outputs: vec![0; self.graph.nodes.len()],
        };
        for (node, wishes) in self.graph.nodes.iter().zip(&self.wishes) {
            for feed in &node.feeds {
                let halo = match feed {
                    Feed::Input => &mut halos.input,
                    Feed::Node(i) => &mut halos.outputs[*i],
                };
                *halo = wishes.src_halo.max(*halo);
            }
        }
        places.agree(&mut halos.outputs);
        halos
    }

    /// Images of a group: the whole batch where nothing is gained.
    fn group(&self) -> usize {
        let (graph, batch) = (self.graph, self.options.batch);
        if self.options.mode == Mode::Training || !self.options.fusion {
            return batch;
        }
        let layers = (0..graph.nodes.len()).filter(|layer| self.is_image(*layer));
        let touched = layers.map(|layer| {
            let sources = graph.nodes[layer].feeds.iter();
            let read: usize = sources.map(|feed| graph.feed_shape(*feed).elements()).sum();
            read + graph.output_shape(layer).elements()
        });
        let Some(most) = touched.max() else {
            return batch;
        };
        let number = self.machine.precision.bytes();
        let class = self.machine.limits.class;
        let layers = (0..graph.nodes.len()).filter(|layer| self.is_image(*layer));
        let weights = layers.map(|layer| {
            let parameters = &self.parameters[self.owned[layer].clone()];
            let elements = parameters
                .iter()
                .map(|p| p.parameter.count())
                .sum::<usize>();
            elements as u64
        });
        let weights = number * weights.max().unwrap_or(0);
        let tuning = &self.machine.tuning;
        let bytes = (tuning.group_bytes as u64).max(tuning.group_weights as u64 * weights);
        let images = (bytes / (most as u64 * number).max(1)) as usize;
        // An image a core at least.
        let least = match class {
            Class::Gpu => 1,
            Class::Cpu | Class::Host => self.machine.limits.cores,
        };
        let images = images.max(least).max(batch.div_ceil(MOST_GROUPS));
        // As many groups, as alike as can be.
        if images >= batch {
            batch
        } else {
            batch.div_ceil(batch.div_ceil(images))
        }
    }

    /// Whether a layer gives images, and so reads nothing but images.
    fn is_image(&self, layer: usize) -> bool {
        matches!(self.graph.output_shape(layer), Shape::Image { .. })
    }

    /// Runs the layers that give images on some images at a time; what others read of them is put together.
    fn in_groups(
        &mut self,
        images: usize,
        input: Tensor,
        halos: &Halos,
        places: &Places,
        sites: &mut [Option<Site>],
    ) {
        let (graph, batch) = (self.graph, self.options.batch);
        let views = self.views(images, halos, places);
        let last = graph.nodes.len() - 1;
        let results: Vec<usize> = (0..=last)
            .filter(|&layer| self.is_image(layer))
            .filter(|&layer| {
                let others = self.readers[layer]
                    .iter()
                    .any(|reader| !self.is_image(*reader));
                layer == last || others
            })
            .collect();
        let mut whole = vec![None; graph.nodes.len()];
        let mut prepared = vec![None; graph.nodes.len()];
        for (number, first) in (0..batch).step_by(images).enumerate() {
            let first = first.min(batch - images);
            let steps = self.ledger.steps.len();
            let view = View::packed(input.view.shape, images, halos.input);
            let name = Name::from("input").word("part");
            let part = self.ledger.tensor(name.clone(), view);
            zero_halo(name.clone(), None, part, &self.machine, &mut self.ledger);
            copy_images(
                name,
                None,
                (input, first),
                (part, 0),
                &self.machine,
                &mut self.ledger,
            );
            let mut group = Group {
                input: part,
                buffers: vec![None; graph.nodes.len()],
            };
            let mut here: Vec<Option<Site>> = vec![None; graph.nodes.len()];
            for layer in 0..=last {
                if !self.is_image(layer) {
                    continue;
                }
                let mut site = self.site(layer, &views, places, &mut group, &here);
                let op = &graph.nodes[layer].op;
                if number == 0 {
                    prepared[layer] = op.prepare(&site, &self.machine, &mut self.ledger);
                }
                site.prepared = prepared[layer];
                self.layer(&site, &here);
                here[layer] = Some(site);
            }
            for &layer in &results {
                let name = Name::of(&graph.nodes[layer].name).word("whole");
                let site = here[layer].as_ref();
                let from = site.expect("internal error: the layer ran").destination;
                let all = *whole[layer].get_or_insert_with(|| {
                    let view = View::packed(from.view.shape, batch, 0);
                    self.ledger.tensor(name.clone(), view)
                });
                copy_images(
                    name,
                    Some(layer),
                    (from, 0),
                    (all, first),
                    &self.machine,
                    &mut self.ledger,
                );
            }
            for step in &mut self.ledger.steps[steps..] {
                step.name = step.name.clone().number(number + 1);
            }
            for (site, here) in sites.iter_mut().zip(here) {
                *site = here;
            }
        }
        for (site, whole) in sites.iter_mut().zip(whole) {
            if let (Some(site), Some(whole)) = (site, whole) {
                site.destination = whole;
            }
        }
    }

    /// How each layer's output lies: from the last to the first, since a part's view is its reader's.
    fn views(&self, batch: usize, halos: &Halos, places: &Places) -> Vec<View> {
        let count = self.graph.nodes.len();
        let mut views: Vec<View> = Vec::with_capacity(count);
        for layer in (0..count).rev() {
            let shape = self.graph.output_shape(layer);
            views.push(match places.inside(layer) {
                None => View::packed(shape, batch, halos.outputs[layer]),
                Some((reader, first)) => views[count - 1 - reader].part(first, shape),
            });
        }
        views.reverse();
        views
    }

    /// Where a layer stands; asks for its output's buffer where that is not there yet.
    fn site(
        &mut self,
        layer: usize,
        views: &[View],
        places: &Places,
        group: &mut Group,
        before: &[Option<Site>],
    ) -> Site {
        let node = &self.graph.nodes[layer];
        let root = places.root(layer);
        // The first of those that share a buffer finds it without an owner.
        let buffer = if let Some(buffer) = group.buffers[root] {
            buffer
        } else {
            let name = Name::of(&self.graph.nodes[root].name).word("dst");
            let whole = self.ledger.tensor(name.clone(), views[root]);
            zero_halo(name, Some(layer), whole, &self.machine, &mut self.ledger);
            *group.buffers[root].insert(whole.buffer)
        };
        let mut sources = Vec::with_capacity(node.feeds.len());
        for feed in &node.feeds {
            let source = match feed {
                Feed::Input => group.input,
                Feed::Node(i) => {
                    let before = before[*i].as_ref();
                    before
                        .expect("internal error: a layer follows what feeds it")
                        .destination
                }
            };
            sources.push(if self.wishes[layer].src_dense && !source.view.is_dense() {
                // Another reader wants the halo.
                let view = View::packed(source.view.shape, source.view.batch, 0);
                let name = Name::of(&node.name).word("src");
                let dense = self.ledger.tensor(name.clone(), view);
                copy(
                    name,
                    Some(layer),
                    source,
                    dense,
                    &self.machine,
                    &mut self.ledger,
                );
                dense
            } else {
                source
            });
        }
        Site {
            name: node.name.clone(),
            layer,
            sources,
            destination: Tensor {
                buffer,
                view: views[layer],
            },
            parameters: self.slots(layer),
            source_act: self.acts[layer].source_act,
            before_act: self.acts[layer].before_act,
            prepared: None,
            training: self.training(),
        }
    }
}
