//! Cases of whole networks: losses, gradients, and parameters after each of three training steps.
//!
//! The network is given as a list of layers (`attrs.layers`) or as text (`attrs.text`, or `attrs.spec` where there is no
//! list). The tensors of `c1`, the first layer, are `l0.w` and `l0.b`, or go by netc's names: `c1.weight`,
//! `n1.running_mean`.

use std::sync::Arc;

use serde_json::Value;

use super::cases::{Results, Rig, batch_of, fault, number, op};
use crate::device::Device;
use crate::diagnostic::Diagnostic;
use crate::ir::{self, Graph};
use crate::op::Op;
use crate::op::emit::Scalars;
use crate::op::optimizer::Optimizer;
use crate::op::parameter::{Parameter, Role};
use crate::op::shape::Shape;
use crate::plan::lower::{Options, lower};
use crate::run::session::initial_values;
use crate::source::Source;
use crate::syntax;

impl Rig<'_> {
    /// A step's loss, logits and gradients, and the parameters after each of three updates, with and, where the case
    /// asks for it, without decay of biases.
    pub(super) fn net(&self, device: &mut dyn Device) -> Result<Results, Diagnostic> {
        let mut results = Results::new();
        self.net_steps(device, true, &mut results)?;
        device.reset()?;
        let mut expected = self.case.expected.keys();
        if expected.any(|name| name.starts_with("after3_nobiasdecay")) {
            self.net_steps(device, false, &mut results)?;
            device.reset()?;
        }
        Ok(results)
    }

    /// The network of the case.
    fn graph(&self, shape: Shape) -> Result<Graph, Diagnostic> {
        let (case, attributes) = (self.case, &self.case.attrs);
        if let Some(layers) = attributes.get("layers").and_then(Value::as_array) {
            let kinds = layers.iter().map(|layer| {
                let kind = layer.get("op").and_then(Value::as_str)?;
                op(kind, layer)
            });
            let ops: Vec<Arc<dyn Op>> = kinds
                .collect::<Option<_>>()
                .ok_or_else(|| fault(case, "netc knows not all of its layers"))?;
            return Graph::chain(&case.name, ops, shape).map_err(|f| fault(case, &f.message));
        }
        let text = ["text", "network", "net", "spec"];
        let text = text.iter().find_map(|key| attributes.get(*key)?.as_str());
        let text = text.ok_or_else(|| fault(case, "it names neither `layers` nor `text`"))?;
        let (tree, faults) = syntax::parse(&Source::new(&case.name, text));
        let options = ir::Options {
            name: case.name.clone(),
            input: Some(shape),
            ..ir::Options::default()
        };
        let (graph, more) = ir::build(&tree, &options);
        let mut faults = faults.into_vec().into_iter().chain(more.into_vec());
        graph.ok_or_else(|| match faults.next() {
            Some(first) => first.note(format!("in case `{}`", case.name)),
            None => fault(case, "its text is no network"),
        })
    }

    /// A parameter's values: given by one of its names, or, of a running statistic, the initial ones.
    fn given(&self, names: &[String], parameter: &Parameter) -> Result<Vec<f64>, Diagnostic> {
        match names.iter().find_map(|n| self.inputs.get(n.as_str())) {
            Some(values) => Ok(values.data.clone()),
            None if parameter.role == Role::Statistic => Ok(initial_values(parameter, 0, 0)),
            None => Ok(self.input(&names[0])?.data.clone()),
        }
    }

    fn net_steps(
        &self,
        device: &mut dyn Device,
        decay_biases: bool,
        results: &mut Results,
    ) -> Result<(), Diagnostic> {
        let (case, attributes) = (self.case, &self.case.attrs);
        let (batch, shape) = batch_of(&self.input("x1")?.shape);
        let graph = self.graph(shape)?;
        let (momentum, decay) = (
            number(attributes, "momentum", 0.0),
            number(attributes, "weight_decay", 0.0),
        );
        let optimizer = Optimizer {
            decay_biases,
            ..Optimizer::sgd(momentum, decay)
        };
        let options = Options {
            input_gradient: true,
            keep_gradients: true,
            ..Options::training(batch, optimizer)
        };
        let runner = self.load(device, lower(&graph, &options, &self.machine))?;
        let plan = Arc::clone(&runner.plan);
        let mut parameters = Vec::with_capacity(plan.parameters.len());
        for buffers in &plan.parameters {
            let names = names(&graph, &buffers.parameter.name.to_string());
            let values = self.given(&names, &buffers.parameter)?;
            runner.write_parameter(device, &buffers.parameter, buffers.value, &values)?;
            parameters.push((buffers, names));
        }
        let (Some(labels), Some((losses, _))) = (plan.labels, plan.loss) else {
            return Err(fault(case, "it has no loss"));
        };
        let scalars = Scalars {
            learning_rate: number(attributes, "lr", 0.0),
            ..Scalars::default()
        };
        for step in 1..=3 {
            runner.write_tensor(device, plan.input, &self.input(&format!("x{step}"))?.data)?;
            let given = &self.input(&format!("labels{step}"))?.data;
            let given: Vec<i32> = given.iter().map(|&label| label as i32).collect();
            runner.write_ints(device, labels, &given)?;
            runner.run(device, 0..plan.gradient_steps, &scalars)?;
            if decay_biases {
                let losses = runner.read_reals(device, losses, batch)?;
                let loss = losses.iter().sum::<f64>() / batch as f64;
                results.push((format!("loss{step}"), vec![loss]));
            }
            if step == 1 && decay_biases {
                results.push(("logits".into(), runner.read_tensor(device, plan.output)?));
                if let Some(d_input) = plan.input_gradient {
                    results.push(("dx".into(), runner.read_tensor(device, d_input)?));
                }
                for (buffers, names) in &parameters {
                    if let Some(gradient) = buffers.gradient {
                        let values = runner.read_parameter(device, &buffers.parameter, gradient)?;
                        let named = names
                            .iter()
                            .map(|name| (format!("d.{name}"), values.clone()));
                        results.extend(named);
                    }
                }
            }
            runner.run(device, plan.gradient_steps..plan.steps.len(), &scalars)?;
            let prefix = match (decay_biases, step) {
                (true, _) => format!("after{step}"),
                (false, 3) => "after3_nobiasdecay".into(),
                (false, _) => continue,
            };
            for (buffers, names) in &parameters {
                let values = runner.read_parameter(device, &buffers.parameter, buffers.value)?;
                let named = names
                    .iter()
                    .map(|name| (format!("{prefix}.{name}"), values.clone()));
                results.extend(named);
            }
        }
        Ok(())
    }
}

/// The names that `c1.weight` may go by: its layer by label or index, itself whole or short.
fn names(graph: &Graph, parameter: &str) -> Vec<String> {
    let (layer, own) = parameter.rsplit_once('.').unwrap_or(("", parameter));
    let index = graph.nodes.iter().position(|node| &*node.name == layer);
    let short = match own {
        "weight" => "w",
        "bias" => "b",
        other => other,
    };
    let mut names = Vec::new();
    for layer in [layer.to_owned(), format!("l{}", index.unwrap_or(0))] {
        names.extend([format!("{layer}.{own}"), format!("{layer}.{short}")]);
    }
    names.dedup();
    names
}
