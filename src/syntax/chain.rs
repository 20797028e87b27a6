//! A chain in the making: are there arrows where they belong, and what becomes of what is no stage.
//!
//! The parser hands over arrows, stages and junk in the order of the text; [`Links`] keeps what came last and reports what
//! does not fit, once: what stands beside something already reported is not blamed for its neighbour.

use super::fault::{Fault, Report};
use super::tree::{Chain, Stage};
use crate::source::Span;

/// What came last.
#[derive(Clone, Copy)]
enum Last {
    /// Nothing, or nothing but arrows that were reported.
    Nothing { arrows: bool },
    /// A stage: its head, for messages, and where it ends.
    Stage { head: Span, end: usize },
    /// An arrow; the first of several.
    Arrow(Span),
    /// Something reported that took the place of an arrow.
    Link,
    /// Junk, up to this offset. Anything may follow it.
    Junk(usize),
}

/// How a stage looks to a reader, where the arrow before it is missing.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Looks {
    /// Like a layer or bracket: the arrow was forgotten.
    Stage,
    /// Like any word: it may be no layer at all.
    Word,
}

/// A chain in the making.
pub(super) struct Links<'a> {
    text: &'a str,
    stages: Vec<Stage>,
    last: Last,
    /// Whether an arrow at the start is a consequence of something reported.
    excused: bool,
    after_input: bool,
    /// How many items were no stage and no arrow, reported or not.
    odd: usize,
    reports: Vec<Report>,
}

/// A chain, and what there is to say about it.
pub(super) struct Linked {
    pub chain: Chain,
    /// Whether it is whole at its end.
    pub whole: bool,
    /// How many of its items were neither stage nor arrow.
    pub odd: usize,
    pub reports: Vec<Report>,
}

impl<'a> Links<'a> {
    /// An empty chain of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        let last = Last::Nothing { arrows: false };
        Self {
            text,
            stages: Vec::new(),
            last,
            excused: false,
            after_input: false,
            odd: 0,
            reports: Vec::new(),
        }
    }

    /// Makes room for so many stages.
    pub(super) fn reserve(&mut self, stages: usize) {
        self.stages.reserve(stages);
    }

    /// An arrow at the start will not be reported.
    pub(super) fn excuse(&mut self) {
        self.excused = true;
    }

    fn report(&mut self, span: Span, fault: Fault) {
        self.reports.push(Report::new(span, fault));
    }

    /// Whether nothing but `input` has come yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.stages.is_empty() && matches!(self.last, Last::Nothing { arrows: false })
    }

    /// `input` at its place.
    pub(super) fn input(&mut self) {
        self.after_input = true;
    }

    /// `->`.
    pub(super) fn arrow(&mut self, span: Span) {
        match self.last {
            Last::Nothing { .. } => {
                if !std::mem::take(&mut self.excused) {
                    self.report(
                        span,
                        Fault::LeadingArrow {
                            after_input: self.after_input,
                        },
                    );
                }
                self.last = Last::Nothing { arrows: true };
            }
            Last::Arrow(first) => {
                self.report(span, Fault::DoubleArrow { first });
                // Which layer is missing here, nobody knows.
                self.stages
                    .push(Stage::Error(Span::new(span.start, span.start)));
            }
            Last::Stage { .. } | Last::Link | Last::Junk(_) => self.last = Last::Arrow(span),
        }
    }

    /// A stage; `head` is what messages call it. A mere word after a stage or after junk is no stage but junk.
    pub(super) fn stage(&mut self, stage: Stage, head: Span, looks: Looks) {
        match self.last {
            Last::Stage { head: before, end } if looks == Looks::Stage => {
                self.report(head, Fault::MissingArrow { before, end });
            }
            Last::Stage { .. } => return self.junk(stage.span()),
            Last::Junk(_) if looks == Looks::Word => return self.junk(stage.span()),
            _ => {}
        }
        self.last = Last::Stage {
            head,
            end: stage.span().end,
        };
        self.stages.push(stage);
    }

    /// Reports that no arrow stands before a layer that is reported for something else, where a stage does.
    pub(super) fn missing_arrow(&mut self, head: Span) {
        if let Last::Stage { head: before, end } = self.last {
            self.report(head, Fault::MissingArrow { before, end });
        }
    }

    /// A stage that was reported, so that an arrow missing before it is not.
    pub(super) fn reported_stage(&mut self, stage: Stage, head: Span) {
        self.last = Last::Stage {
            head,
            end: stage.span().end,
        };
        self.stages.push(stage);
    }

    /// Whether junk came last.
    pub(super) fn is_after_junk(&self) -> bool {
        matches!(self.last, Last::Junk(_))
    }

    /// The stage before was reported and may not be followed by anything that depends on its shape.
    pub(super) fn unsure(&mut self) {
        if let Some(stage) = self.stages.last() {
            let end = stage.span().end;
            self.stages.push(Stage::Error(Span::new(end, end)));
        }
    }

    /// What was a stage, for all that one can see of it.
    pub(super) fn ruined(&mut self, span: Span) {
        self.swallow(span);
        self.last = Last::Stage {
            head: span,
            end: span.end,
        };
    }

    /// Whether a stage came last.
    pub(super) fn is_after_stage(&self) -> bool {
        matches!(self.last, Last::Stage { .. })
    }

    /// Something that is no stage. A line's junk is one error, up to the next arrow.
    pub(super) fn junk(&mut self, span: Span) {
        match self.last {
            Last::Junk(end) if !self.text[end.min(span.start)..span.start].contains('\n') => {}
            Last::Stage { .. } => self.report(span, Fault::JunkAfterStage),
            _ => self.report(span, Fault::Junk),
        }
        self.swallow(span);
    }

    /// Something that was reported already and stands for an unknown stage.
    pub(super) fn swallow(&mut self, span: Span) {
        self.odd += 1;
        if !matches!(self.last, Last::Junk(_)) {
            self.stages.push(Stage::Error(span));
        }
        self.last = Last::Junk(span.end);
    }

    /// Something that was meant as an arrow.
    pub(super) fn not_arrow(&mut self, span: Span) {
        self.odd += 1;
        match self.last {
            Last::Stage { .. } => {
                self.report(span, Fault::WrongArrow);
                self.last = Last::Link;
            }
            Last::Junk(end) if !self.text[end.min(span.start)..span.start].contains('\n') => {
                self.last = Last::Junk(span.end);
            }
            Last::Link => {}
            // `->>`: the arrow is part of it.
            Last::Arrow(arrow) if arrow.end == span.start => {
                self.report(arrow.join(span), Fault::WrongArrow);
                self.last = Last::Link;
            }
            Last::Nothing { .. } | Last::Arrow(_) | Last::Junk(_) => self.junk(span),
        }
    }

    /// Something reported that is no stage and separates the stages around it.
    pub(super) fn separate(&mut self) {
        self.last = Last::Link;
    }

    /// The end of the chain. `start` is where it would begin.
    pub(super) fn finish(mut self, start: usize) -> Linked {
        match self.last {
            Last::Arrow(arrow) => {
                self.report(arrow, Fault::TrailingArrow);
                self.stages.push(Stage::Error(arrow));
            }
            Last::Nothing { arrows: true } => {
                self.stages.push(Stage::Error(Span::new(start, start)));
            }
            _ => {}
        }
        let whole = !matches!(self.last, Last::Link)
            && !matches!(self.stages.last(), Some(Stage::Error(_)));
        let span = match (self.stages.first(), self.stages.last()) {
            (Some(first), Some(last)) => first.span().join(last.span()),
            _ => Span::new(start, start),
        };
        Linked {
            chain: Chain {
                stages: self.stages,
                span,
            },
            whole,
            odd: self.odd,
            reports: self.reports,
        }
    }
}
