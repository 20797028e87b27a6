use super::*;
use crate::source::Source;
use crate::syntax;

fn tree(text: &str) -> Tree {
    let (tree, faults) = syntax::parse(&Source::new("a.net", text));
    assert!(faults.is_empty(), "{faults:?}\n{text}");
    tree
}

#[test]
fn small_edits() {
    for (old, new, count) in [
        ("C8->P->F2", "C8 -> P(max) -> F2", 0),
        ("C8->P->F2", "C8->F2", 1),
        ("C8->P->N->F2", "C8->N->P->F2", 1),
        ("C8->C16->P->F2", "C8->P->C16(kernel=5)->F2", 2),
        ("3*[C8->N]->F2", "4*[C8->N]->F2", 1),
        ("3*[C8->N]->F2", "C8->N->C8->N->C8->N->F2", 0),
        ("3*[C8->N]->F2", "C8->N->C8->P->N->C8->N->F2", 1),
        ("C8->C8->F2", "+[C8->C8]->F2", 1),
        ("+[C8->C8]->F2", "+[C8->C8 | C8(kernel=1)]->F2", 1),
        ("C8->P->F2", "C8->+[C8->N->C8]->P->F2", 1),
        ("+[C8->N->C8]->P->F2", "P->+[C8->N->C8]->F2", 1),
        ("stem: C8->P->F2", "C8->P->F2", 1),
    ] {
        let diff = diff(&tree(old), &tree(new));
        assert_eq!(
            diff.script.edits.len(),
            count,
            "{old} {new} {:?}",
            diff.script.edits
        );
    }
}
