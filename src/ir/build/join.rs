//! Joins: the branches of `+[x | y]` and `&[x | y]`, all from one input, and the node that brings them together.

use std::sync::Arc;

use super::{Builder, Place};
use crate::ir::Node;
use crate::op::Op;
use crate::op::join::{Concatenation, Sum};
use crate::op::shape::Shape;
use crate::source::Span;
use crate::syntax::tree::{Join, JoinKind};

/// A branch that was walked.
struct Branch {
    /// Its end.
    end: Place,
    /// Where it is written; `None` for the identity that a bracket of one branch implies.
    span: Option<Span>,
    /// Whether it holds no layer.
    identity: bool,
}

impl<'a> Builder<'a> {
    /// Walks the branches, then adds the join. A bracket of one branch has the identity beside it.
    ///
    /// The join's number is its bracket's in text order, before those of brackets inside it. `+[x]`, `+[x | ]` and
    /// `+[ | x]` are one network, so identities come last among the feeds of a sum; a concatenation keeps the order of
    /// the text, and its implied identity comes first. Branches of unknown shape are left out of the shape rule.
    pub(super) fn join(&mut self, join: &'a Join, copy: &str, classifier: Option<Span>) {
        let (op, word): (Arc<dyn Op>, _) = match join.kind {
            JoinKind::Add => (Arc::new(Sum), "add"),
            JoinKind::Concat => (Arc::new(Concatenation), "cat"),
        };
        let name = format!("{word}{}", self.number(op.kind().letter));
        let start = self.place;
        let mut branches = Vec::with_capacity(join.branches.len() + 1);
        if let [_] = join.branches.as_slice() {
            branches.push(Branch {
                end: start,
                span: None,
                identity: true,
            });
        }
        for chain in &join.branches {
            self.place = start;
            self.chain(chain, copy, classifier);
            branches.push(Branch {
                end: self.place,
                span: Some(chain.span),
                identity: chain.stages.is_empty(),
            });
        }
        if join.kind == JoinKind::Add {
            branches.sort_by_key(|branch| branch.identity);
        }
        let known: Vec<Shape> = branches.iter().filter_map(|b| b.end.shape).collect();
        let joined = (!known.is_empty()).then(|| op.output(&known));
        let output = match joined {
            None => None,
            Some(Ok(shape)) => Some(shape).filter(|_| known.len() == branches.len()),
            Some(Err(fault)) => {
                let source = self.source;
                self.fault(join.span, || {
                    let shaped = branches.iter().filter_map(|b| Some((b, b.end.shape?)));
                    shaped.fold(fault.at(source, join.span), |found, (branch, shape)| {
                        let words = if branch.identity {
                            format!("the input itself: {shape}")
                        } else {
                            format!("this branch: {shape}")
                        };
                        match branch.span {
                            Some(span) => found.label(words, source, span),
                            None => found.note(format!("{words} (a bracket of one branch)")),
                        }
                    })
                });
                None
            }
        };
        self.push(Node {
            name: name.into(),
            op,
            feeds: branches.iter().map(|branch| branch.end.feed).collect(),
            output,
            span: join.span,
        });
    }
}
