//! Cases of batch normalization and of joins.
//!
//! Authors of cases name tensors differently, so a parameter's tensors are found, and results given, by any of the usual
//! names.

use std::sync::Arc;

use super::cases::{Results, Rig, batch_of, fault, number};
use crate::device::Device;
use crate::diagnostic::Diagnostic;
use crate::ir::Graph;
use crate::op::Op;
use crate::op::activation::Function;
use crate::op::emit::{Back, Ledger, Scalars, Site};
use crate::op::name::Name;
use crate::op::norm::batch::BatchNorm;
use crate::op::view::View;
use crate::plan::Mode;
use crate::plan::lower::{Options, lower};
use crate::run::session::initial_values;

/// Usual names of a parameter's values, of its gradient, and of a running statistic after the step.
const NAMES: &[(&str, &[&str], &[&str])] = &[
    (
        "weight",
        &["w", "weight", "gamma", "scale"],
        &["dw", "dweight", "d_weight", "dgamma"],
    ),
    (
        "bias",
        &["b", "bias", "beta", "shift"],
        &["db", "dbias", "d_bias", "dbeta"],
    ),
    (
        "running_mean",
        &["running_mean", "rmean", "rm"],
        &[
            "running_mean",
            "running_mean_after",
            "running_mean1",
            "new_running_mean",
            "rmean",
            "rm",
        ],
    ),
    (
        "running_var",
        &["running_var", "rvar", "rv"],
        &[
            "running_var",
            "running_var_after",
            "running_var1",
            "new_running_var",
            "rvar",
            "rv",
        ],
    ),
];

impl Rig<'_> {
    /// The first of several inputs that is there.
    fn any<'s>(&'s self, names: &[&str]) -> Option<&'s [f64]> {
        let found = names.iter().find_map(|name| self.inputs.get(*name));
        found.map(|values| values.data.as_slice())
    }

    /// Batch normalization in the mode that the attributes name, training where they name none: output; in training the
    /// gradients and the running statistics after the step.
    pub(super) fn batch_norm(&self, device: &mut dyn Device) -> Result<Results, Diagnostic> {
        let (case, attributes) = (self.case, &self.case.attrs);
        let mode = attributes.get("mode").and_then(serde_json::Value::as_str);
        let flag = |key: &str| attributes.get(key).and_then(serde_json::Value::as_bool);
        let training = flag("training").or(flag("train"));
        let inference =
            matches!(mode, Some("inference" | "eval" | "test")) || training == Some(false);
        let op = BatchNorm {
            eps: number(attributes, "eps", 1e-5),
            momentum: number(attributes, "momentum", 0.1),
            affine: self.any(NAMES[0].1).is_some(),
        };
        let x = self.input("x")?;
        let (batch, shape) = batch_of(&x.shape);
        let graph = Graph::single(&case.name, Arc::new(op), shape)
            .map_err(|broken| fault(case, &broken.message))?;
        let options = Options {
            mode: if inference {
                Mode::Inference
            } else {
                Mode::Training
            },
            input_gradient: !inference,
            keep_gradients: true,
            ..Options::inference(batch)
        };
        let runner = self.load(device, lower(&graph, &options, &self.machine))?;
        let plan = Arc::clone(&runner.plan);
        runner.write_tensor(device, plan.input, &x.data)?;
        let names = |name: &Name| {
            let own = name.first_word();
            NAMES
                .iter()
                .find(|(known, ..)| *known == own)
                .unwrap_or(&NAMES[0])
        };
        for buffers in &plan.parameters {
            let parameter = &buffers.parameter;
            let given = self.any(names(&parameter.name).1).map(<[f64]>::to_vec);
            let values = given.unwrap_or_else(|| initial_values(parameter, 0, 0));
            runner.write_parameter(device, parameter, buffers.value, &values)?;
        }
        if let Some(d_output) = plan.output_gradient {
            runner.write_tensor(device, d_output, &self.input("dy")?.data)?;
        }
        runner.run_all(device, &Scalars::default())?;
        let mut results = vec![("y".to_owned(), runner.read_tensor(device, plan.output)?)];
        if let Some(d_input) = plan.input_gradient {
            results.push(("dx".into(), runner.read_tensor(device, d_input)?));
        }
        for buffers in &plan.parameters {
            let parameter = &buffers.parameter;
            let buffer = buffers.gradient.unwrap_or(buffers.value);
            let values = runner.read_parameter(device, parameter, buffer)?;
            let names = names(&parameter.name).2.iter();
            results.extend(names.map(|&name| (name.to_owned(), values.clone())));
        }
        Ok(results)
    }

    /// A join of the case's inputs, in the order of their names: output, and the gradient of each.
    pub(super) fn join(
        &self,
        op: Arc<dyn Op>,
        device: &mut dyn Device,
    ) -> Result<Results, Diagnostic> {
        let case = self.case;
        let mut names: Vec<&str> = self.inputs.keys().copied().filter(|n| *n != "dy").collect();
        names.sort_by_key(|name| (name.len(), *name));
        let mut ledger = Ledger::default();
        let (mut sources, mut d_src, mut shapes, mut batch) = (vec![], vec![], vec![], 1);
        for name in &names {
            let (images, shape) = batch_of(&self.input(name)?.shape);
            let view = View::packed(shape, images, 0);
            batch = images;
            shapes.push(shape);
            let owner = Arc::from(*name);
            sources.push(ledger.tensor(Name::of(&owner), view));
            d_src.push(Some(ledger.tensor(Name::of(&owner).word("gradient"), view)));
        }
        if sources.is_empty() {
            return Err(fault(case, "it has no inputs"));
        }
        let output = op
            .output(&shapes)
            .map_err(|broken| fault(case, &broken.message))?;
        let view = View::packed(output, batch, 0);
        let (destination, d_dst) = (ledger.tensor("dst", view), ledger.tensor("d_dst", view));
        let site = Site {
            name: "join".into(),
            layer: 0,
            sources: sources.clone(),
            destination,
            parameters: Vec::new(),
            source_act: Function::None,
            before_act: false,
            prepared: None,
            training: true,
        };
        let kept = op.forward(&site, &self.machine, &mut ledger);
        let back = Back {
            d_dst,
            d_src: d_src.clone(),
            kept,
        };
        op.backward(&site, &back, &self.machine, &mut ledger);
        let runner = self.load(device, self.assemble(ledger, batch, destination))?;
        for (name, source) in names.iter().zip(&sources) {
            let values = &self.input(name)?.data;
            runner.write_tensor(device, (source.buffer, source.view), values)?;
        }
        runner.write_tensor(device, (d_dst.buffer, view), &self.input("dy")?.data)?;
        runner.run_all(device, &Scalars::default())?;
        let mut results = Results::new();
        let y = runner.read_tensor(device, (destination.buffer, view))?;
        results.push(("y".into(), y));
        for (name, tensor) in names.iter().zip(d_src.iter().flatten()) {
            let values = runner.read_tensor(device, (tensor.buffer, tensor.view))?;
            results.push((format!("d{name}"), values));
        }
        Ok(results)
    }
}
