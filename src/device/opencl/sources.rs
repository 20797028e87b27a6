//! The kernels' texts, compiled into netc: one line a file of `kernels/`.

/// What stands before every kernel file.
pub const PRELUDE: &str = include_str!("../../../kernels/prelude.cl");

/// Every kernel file: its name without folder and ending, and its text.
pub const SOURCES: &[(&str, &str)] = &[
    ("activation", include_str!("../../../kernels/activation.cl")),
    ("dense", include_str!("../../../kernels/dense.cl")),
    ("join", include_str!("../../../kernels/join.cl")),
    ("layout", include_str!("../../../kernels/layout.cl")),
    ("loss", include_str!("../../../kernels/loss.cl")),
    ("norm_batch", include_str!("../../../kernels/norm_batch.cl")),
    ("norm_local", include_str!("../../../kernels/norm_local.cl")),
    (
        "norm_meanvar",
        include_str!("../../../kernels/norm_meanvar.cl"),
    ),
    ("optimizer", include_str!("../../../kernels/optimizer.cl")),
    ("peak", include_str!("../../../kernels/peak.cl")),
    ("pool", include_str!("../../../kernels/pool.cl")),
    ("product", include_str!("../../../kernels/product.cl")),
    ("winograd", include_str!("../../../kernels/winograd.cl")),
];

/// The text of a kernel file.
pub fn source(file: &str) -> Option<&'static str> {
    #[cfg(test)]
    if file == TEST.0 {
        return Some(TEST.1);
    }
    SOURCES
        .iter()
        .find(|(name, _)| *name == file)
        .map(|(_, text)| *text)
}

/// Trivial kernels for the tests of this folder.
#[cfg(test)]
const TEST: (&str, &str) = ("test", super::tests::KERNELS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_file_is_in_the_table() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("its entries can be read").path();
            let name = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default();
            if path.extension().is_some_and(|ending| ending == "cl") && name != "prelude" {
                assert!(source(name).is_some(), "{name}.cl has no line in SOURCES");
            }
        }
    }
}
