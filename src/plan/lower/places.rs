//! Where outputs lie: most in a buffer of their own, some within the place of the layer that reads them.
//!
//! A part of a concatenation is written where the joined tensor wants it, and a layer that may work in place (an
//! activation, a sum) writes over an input that nobody else reads and the way back does not need. Both are one thing: the
//! output of a layer lies in the place of one of its readers, from some channel on. Chains of that end at a root, which has
//! the buffer.
//!
//! Readers are gone through from the last to the first, so that the place of a reader is final before anything is put
//! into it.

use super::Lowering;
use crate::ir::Feed;
use crate::op::InPlace;

/// Where each layer's output lies.
#[derive(Debug)]
pub(super) struct Places {
    /// The reader in whose place it lies, and its first channel there; `None` where it has a buffer of its own.
    inside: Vec<Option<(usize, usize)>>,
    /// The layer whose buffer it is.
    roots: Vec<usize>,
}

impl Places {
    /// The layer whose buffer it is.
    pub(super) fn root(&self, layer: usize) -> usize {
        self.roots[layer]
    }

    /// Puts a layer's output into the place of its reader.
    fn put(&mut self, layer: usize, reader: usize, first: usize) {
        self.inside[layer] = Some((reader, first));
        self.roots[layer] = self.roots[reader];
    }

    /// The reader in whose place it lies, and its first channel there.
    pub(super) fn inside(&self, layer: usize) -> Option<(usize, usize)> {
        self.inside[layer]
    }

    /// What each layer needs beside its rows, once all that share a buffer agree: the most that one of them wishes for.
    pub(super) fn agree(&self, halos: &mut [usize]) {
        // A reader comes after what it reads.
        for layer in 0..halos.len() {
            if let Some((reader, _)) = self.inside[layer] {
                halos[reader] = halos[reader].max(halos[layer]);
            }
        }
        for layer in (0..halos.len()).rev() {
            if let Some((reader, _)) = self.inside[layer] {
                halos[layer] = halos[reader];
            }
        }
    }
}

impl Lowering<'_> {
    /// Decides where outputs lie.
    pub(super) fn places(&self) -> Places {
        let nodes = &self.graph.nodes;
        let count = nodes.len();
        let mut places = Places {
            inside: vec![None; count],
            roots: (0..count).collect(),
        };
        if !self.options.fusion {
            return places;
        }
        // Whether something is written over the layer's output while others may still want it.
        let mut overwritten = vec![false; count];
        for reader in (0..count).rev() {
            let feeds = &nodes[reader].feeds;
            match nodes[reader].op.in_place() {
                InPlace::No => {}
                InPlace::Over => {
                    let over = feeds.iter().take(2).find_map(|feed| match feed {
                        Feed::Node(i) if self.is_free(*i) && self.may_lie(*i, reader, &places) => {
                            Some(*i)
                        }
                        _ => None,
                    });
                    if let Some(over) = over {
                        places.put(over, reader, 0);
                        overwritten[over] = true;
                    }
                }
                InPlace::Parts => {
                    let mut first = 0;
                    for feed in feeds {
                        let channels = self.graph.feed_shape(*feed).channels();
                        if let Feed::Node(i) = feed
                            && (!overwritten[reader] || self.is_free(*i))
                            && self.may_lie(*i, reader, &places)
                        {
                            places.put(*i, reader, first);
                            overwritten[*i] = overwritten[reader];
                        }
                        first += channels;
                    }
                }
            }
        }
        places
    }

    /// Whether nobody but one reader wants a layer's output, once that reader ran.
    fn is_free(&self, layer: usize) -> bool {
        let site = &self.acts[layer];
        let needed = self.training()
            && self.graph.nodes[layer]
                .op
                .needs_output(site.before_act, site.source_act);
        self.readers[layer].len() == 1 && !needed
    }

    /// Whether a layer's output may lie in the buffer of one of its readers: it has no other place, and no step would
    /// read and write that one buffer.
    fn may_lie(&self, layer: usize, reader: usize, places: &Places) -> bool {
        let root = places.root(reader);
        let apart = |other: usize| places.root(other) != root;
        let others = self.readers[layer].iter().filter(|&&r| r != reader);
        let twice = self.readers[layer].iter().filter(|&&r| r == reader).count() > 1;
        let feeds = self.graph.nodes[layer].feeds.iter();
        places.inside[layer].is_none()
            && !twice
            && others.copied().all(apart)
            && feeds.filter_map(|feed| feed.node()).all(apart)
    }
}
