//! So many mistakes made in a good network are so many diagnostics, each at the place of its mistake.
//!
//! Networks come from `random_nets`, mistakes from `faults/catalogue.rs`; `faults/layout.rs` knows where tokens stand. A
//! network passes where its diagnostics can be paired with its mistakes one by one, code and place, and none is left over.
//!
//! `NETC_FAULTS=20000` makes it so many networks for each number of mistakes, `NETC_FAULTS_SEED=7` other ones; what
//! does not pass is printed then.

mod catalogue;
mod layout;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use netc::diagnostic::{Diagnostic, Severity};
use netc::random::{Purpose, Stream};
use netc::source::Source;
use netc::{ir, op, syntax};
use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::harness::number_of;
use crate::random_nets::{RandomNet, Scope};
use catalogue::{CATALOGUE, Fault, Needs, Site};
use layout::{Layout, Rendered, Style};

const SCOPE: Scope = Scope::Whole;

/// A network with mistakes in it.
struct Faulty {
    text: String,
    faults: Vec<(Fault, Vec<Range<usize>>)>,
    input: [usize; 3],
}

impl Faulty {
    /// A network with so many mistakes; `None` where it has no room for them.
    fn new(seed: u64, count: usize) -> Option<Self> {
        let net = RandomNet::new(seed, SCOPE);
        let layout = Layout::new(&net.tokens, net.states_input);
        let mut random = Stream::new(seed, Purpose::Dropout, 2, 0);
        let mut faults: Vec<Fault> = Vec::new();
        for _ in 0..40 * count {
            if faults.len() == count {
                break;
            }
            let (name, mistake) = CATALOGUE.choose(&mut random).expect("mistakes");
            let fault = mistake(&mut Site {
                layout: &layout,
                random: &mut random,
            });
            if let Some(fault) = fault
                && faults.iter().all(|other| may_stand_together(&fault, other))
            {
                faults.push(Fault { name, ..fault });
            }
        }
        if faults.len() < count {
            return None;
        }
        let edits: BTreeMap<_, _> = faults
            .iter()
            .flat_map(|fault| fault.edits.clone())
            .collect();
        let style =
            *[Style::Tight, Style::Plain, Style::Plain, Style::Loose].choose(&mut random)?;
        let rendered = Rendered::new(&layout, &edits, style, &mut random);
        let placed = |fault: Fault| {
            let places = fault
                .places
                .iter()
                .map(|&tokens| rendered.place(tokens))
                .collect();
            (fault, places)
        };
        let faults = faults.into_iter().map(placed).collect();
        Some(Self {
            faults,
            text: rendered.text,
            input: net.input,
        })
    }

    /// What netc has to say about it.
    fn diagnostics(&self) -> Vec<Diagnostic> {
        let source = Source::new("faulty.net", self.text.as_str());
        let (tree, mut found) = syntax::parse(&source);
        let [channels, height, width] = self.input;
        let input = Some(op::shape::Shape::image(channels, height, width));
        found.append(
            ir::build(
                &tree,
                &ir::Options {
                    input,
                    ..ir::Options::default()
                },
            )
            .1,
        );
        let mut found = found.sorted().into_vec();
        found.retain(|diagnostic| diagnostic.severity == Severity::Error);
        found
    }

    /// Whether mistakes and diagnostics pair.
    fn is_told(&self, found: &[Diagnostic]) -> bool {
        let mut taken = vec![None; found.len()];
        found.len() == self.faults.len()
            && (0..self.faults.len())
                .all(|fault| self.pair(fault, found, &mut taken, &mut vec![false; found.len()]))
    }

    /// Finds a diagnostic for a mistake, if need be by finding another one for the mistake that has it (Kuhn 1955).
    fn pair(
        &self,
        fault: usize,
        found: &[Diagnostic],
        taken: &mut [Option<usize>],
        tried: &mut [bool],
    ) -> bool {
        let (what, places) = &self.faults[fault];
        for (index, diagnostic) in found.iter().enumerate() {
            let span = diagnostic.primary.as_ref().expect("a place").span;
            let here = places
                .iter()
                .any(|place| span.start <= place.end && place.start <= span.end);
            if tried[index] || !here || !what.codes.contains(&diagnostic.code.name()) {
                continue;
            }
            tried[index] = true;
            if taken[index].is_none_or(|other| self.pair(other, found, taken, tried)) {
                taken[index] = Some(fault);
                return true;
            }
        }
        false
    }

    fn describe(&self, seed: u64, found: &[Diagnostic]) -> String {
        let mut words = format!("---- seed {seed}\n{}", self.text);
        for (fault, places) in &self.faults {
            words += &format!("  made: {} at {places:?}\n", fault.name);
        }
        for diagnostic in found {
            let span = diagnostic.primary.as_ref().expect("a place").span;
            words += &format!("  told: {diagnostic} at {}..{}\n", span.start, span.end);
        }
        words
    }
}

/// Whether two mistakes are two: apart, and neither keeps the other from being told of.
fn may_stand_together(one: &Fault, other: &Fault) -> bool {
    let apart = one
        .footprint
        .iter()
        .all(|a| other.footprint.iter().all(|b| a.1 < b.0 || b.1 < a.0));
    let start = |fault: &Fault| {
        let tokens = fault.footprint.iter().map(|tokens| tokens.0);
        tokens.min().expect("a footprint")
    };
    let tells = |needy: &Fault, other: &Fault| match needy.needs {
        Needs::Nothing => true,
        Needs::Shape => start(needy) < start(other),
        Needs::WholeText => !other.codes.iter().any(|code| code.starts_with("E01")),
    };
    apart && tells(one, other) && tells(other, one)
}

/// How many of so many networks with `count` mistakes pass, how many there were, and words about some of the others.
fn measure(count: usize, nets: usize, first: u64) -> (usize, usize, String) {
    let (mut passed, mut made, mut misses) = (0, 0, String::new());
    let mut names: HashMap<&str, usize> = HashMap::new();
    for seed in first.. {
        if made == nets {
            break;
        }
        let Some(faulty) = Faulty::new(seed, count) else {
            continue;
        };
        made += 1;
        let found = faulty.diagnostics();
        if faulty.is_told(&found) {
            passed += 1;
        } else {
            for (fault, _) in &faulty.faults {
                *names.entry(fault.name).or_default() += 1;
            }
            misses += &faulty.describe(seed, &found);
        }
    }
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_by_key(|&(name, times)| (std::cmp::Reverse(times), name));
    if !names.is_empty() {
        misses += &format!("mistakes in networks that do not pass: {names:?}\n");
    }
    (passed, made, misses)
}

#[test]
fn so_many_faults_are_so_many_diagnostics() {
    let nets = number_of("NETC_FAULTS", 400) as usize / 5;
    let first = number_of("NETC_FAULTS_SEED", 0) << 32;
    let (mut all_passed, mut all_made, mut all_misses) = (0, 0, String::new());
    for count in 1..=5 {
        let (passed, made, misses) = measure(count, nets, first);
        eprintln!("{count} faults: {passed} of {made} networks tell of each at its place");
        all_passed += passed;
        all_made += made;
        all_misses += &misses;
    }
    eprintln!("{all_passed} of {all_made}\n{all_misses}");
    assert!(
        all_passed * 100 >= all_made * 99,
        "{all_passed} of {all_made}:\n{all_misses}"
    );
}

/// A network without mistakes has no diagnostics, in every style.
#[test]
fn no_faults_are_no_diagnostics() {
    let (passed, made, misses) = measure(0, 200, 0);
    assert_eq!(passed, made, "{misses}");
}

/// Each mistake of the catalogue alone: where it can be made, it is told of.
#[test]
fn each_fault_alone() {
    let mut failed = String::new();
    for (name, mistake) in CATALOGUE {
        let (mut passed, mut made, mut misses) = (0, 0, String::new());
        for seed in 0..400 {
            if made == 40 {
                break;
            }
            let net = RandomNet::new(seed, SCOPE);
            let layout = Layout::new(&net.tokens, net.states_input);
            let mut random = Stream::new(seed, Purpose::Dropout, 3, 0);
            let fault = mistake(&mut Site {
                layout: &layout,
                random: &mut random,
            });
            let Some(fault) = fault.map(|fault| Fault { name, ..fault }) else {
                continue;
            };
            let edits = fault.edits.iter().cloned().collect();
            let style = [Style::Tight, Style::Plain, Style::Loose][random.random_range(0..3)];
            let rendered = Rendered::new(&layout, &edits, style, &mut random);
            let places = fault
                .places
                .iter()
                .map(|&tokens| rendered.place(tokens))
                .collect();
            let faulty = Faulty {
                text: rendered.text,
                faults: vec![(fault, places)],
                input: net.input,
            };
            let found = faulty.diagnostics();
            made += 1;
            if faulty.is_told(&found) {
                passed += 1;
            } else {
                misses += &faulty.describe(seed, &found);
            }
        }
        eprintln!("{name}: {passed} of {made}");
        if made == 0 {
            eprintln!("{name} is never made");
        }
        if passed * 100 < made * 95 {
            failed += &format!("{name}: {passed} of {made}\n{misses}");
        }
    }
    assert!(failed.is_empty(), "{failed}");
}
