//! `N`: normalization: [`local`] response, [`meanvar`], or [`batch`], the one that may learn.

pub mod batch;
mod batch_host;
pub mod local;
pub mod meanvar;

use std::sync::Arc;

use super::attribute::{ANY_REAL, Arguments, Attribute, POSITIVE_REAL, Type};
use super::{Kind, Op, Recipe};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};

/// `N`.
pub static KIND: Kind = Kind {
    letter: "N",
    name: "normalization",
    width: None,
    attributes: &[
        Attribute::variant(
            "local",
            "local response normalization across channels (the default)",
        ),
        Attribute::variant("meanvar", "per image and channel: zero mean, unit variance"),
        Attribute::variant(
            "batch",
            "per channel over the batch: zero mean, unit variance",
        ),
        Attribute::flag("affine", "a learned scale and shift a channel").of(&["batch"]),
        Attribute::key(
            "size",
            Type::Whole { min: 1 },
            "5",
            "channels of the window, odd",
        )
        .of(&["local"]),
        Attribute::key(
            "alpha",
            POSITIVE_REAL,
            "1e-4",
            "factor of the sum of squares, not divided by size",
        )
        .of(&["local"]),
        Attribute::key("beta", ANY_REAL, "0.75", "exponent").of(&["local"]),
        Attribute::key("k", POSITIVE_REAL, "2", "added to the sum").of(&["local"]),
        Attribute::key("eps", POSITIVE_REAL, "1e-5", "added to the variance")
            .of(&["meanvar", "batch"]),
        Attribute::key(
            "momentum",
            Type::Real {
                min: 0.0,
                max: 1.0,
                below: false,
            },
            "0.1",
            "the share of the batch in the running statistics",
        )
        .of(&["batch"]),
    ],
    build,
};

fn build(arguments: &Arguments<'_>, _: &Recipe, sink: &mut Diagnostics) -> Option<Arc<dyn Op>> {
    if arguments.variant == "meanvar" {
        return Some(Arc::new(meanvar::MeanVariance {
            eps: arguments.real("eps").unwrap_or(1e-5),
        }));
    }
    if arguments.variant == "batch" {
        return Some(Arc::new(batch::BatchNorm {
            eps: arguments.real("eps").unwrap_or(1e-5),
            momentum: arguments.real("momentum").unwrap_or(0.1),
            affine: arguments.has("affine"),
        }));
    }
    let size = arguments.whole("size", 5);
    if size.is_multiple_of(2) {
        sink.push(
            Diagnostic::error(
                Code::E0205,
                format!("`size` must be odd, so that the window has a centre, and {size} is even"),
            )
            .at(arguments.source, arguments.span("size"))
            .help(format!("write `size={}` or `size={}`", size - 1, size + 1)),
        );
        return None;
    }
    let real = |key, default| arguments.real(key).unwrap_or(default);
    let (alpha, beta, k) = (real("alpha", 1e-4), real("beta", 0.75), real("k", 2.0));
    Some(Arc::new(local::LocalResponse {
        size,
        alpha,
        beta,
        k,
    }))
}
