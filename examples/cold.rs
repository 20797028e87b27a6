use netc::config::Config;
use netc::op::emit::Scalars;
use netc::plan::Mode;
use netc::run::session::*;
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let batch: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let src = netc::source::Source::new("x", text);
    let (tree, _) = netc::syntax::parse(&src);
    let (g, _) = netc::ir::build(
        &tree,
        &netc::ir::Options {
            name: "x".into(),
            ..Default::default()
        },
    );
    let g = g.unwrap();
    let dev = netc::device::open("cpu").unwrap();
    let t = std::time::Instant::now();
    let sgd = netc::op::optimizer::Sgd {
        momentum: 0.9,
        weight_decay: 0.0005,
        decay_biases: false,
    };
    let mut s = Session::new(g, dev, netc::op::real::Precision::F32, batch, Some(sgd)).unwrap();
    s.initialize(1).unwrap();
    println!("load {:?}", t.elapsed());
    let r = s.runner(Mode::Training).unwrap().clone();
    let plan = r.plan.clone();
    s.device
        .write(
            r.loaded,
            plan.input.0,
            &vec![0u8; plan.buffer(plan.input.0).elements * 4],
        )
        .unwrap();
    s.device
        .write(r.loaded, plan.labels.unwrap(), &vec![0u8; 4 * batch])
        .unwrap();
    let mut v = vec![];
    let t0 = std::time::Instant::now();
    for i in 0..plan.steps.len() {
        let t = std::time::Instant::now();
        r.run(
            &mut *s.device,
            i..i + 1,
            &Scalars {
                learning_rate: 0.01,
                ..Default::default()
            },
        )
        .unwrap();
        s.device.finish().unwrap();
        v.push((t.elapsed(), i));
    }
    println!("first step {:?}", t0.elapsed());
    v.sort();
    v.reverse();
    for (d, i) in v.iter().take(26) {
        println!(
            "{:?} {} {}",
            d,
            plan.steps[*i].name,
            plan.steps[*i].call.kernel().function
        );
    }
    let _ = Config::default();
}
