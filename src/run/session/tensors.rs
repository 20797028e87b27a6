//! A session's parameters and the optimizer's state, by name: read, written, saved, looked at.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Session, is_finite};
use crate::diagnostic::{Code, Diagnostic};
use crate::op::emit::BufferId;
use crate::op::parameter::Parameter;
use crate::plan::Plan;
use crate::run::checkpoint::{self, Entry};
use crate::run::tensor::{Tensor, Tensors};

impl Session {
    /// All parameters' values.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn read(&mut self) -> Result<Vec<Tensor>, Diagnostic> {
        self.read_those(|_| true)
    }

    /// The values of the parameters that are not learned: running statistics.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn statistics(&mut self) -> Result<Vec<Tensor>, Diagnostic> {
        self.read_those(|parameter| !parameter.role.is_learned())
    }

    fn read_those(
        &mut self,
        wanted: impl Fn(&Parameter) -> bool,
    ) -> Result<Vec<Tensor>, Diagnostic> {
        let runner = self.any()?;
        let mut tensors = Vec::new();
        let all = runner.plan.parameters.iter();
        for buffers in all.filter(|buffers| wanted(&buffers.parameter)) {
            let parameter = &buffers.parameter;
            let values = runner.read_parameter(&mut *self.device, parameter, buffers.value)?;
            tensors.push(Tensor {
                name: parameter.name.to_string(),
                shape: parameter.shape.clone(),
                values,
            });
        }
        Ok(tensors)
    }

    /// Writes a checkpoint of the parameters, and of the optimizer's state, `c1.weight.velocity` and so on, where that is
    /// asked for.
    ///
    /// # Errors
    /// E0704 the device failed; E0801 a parameter is not finite; E0901 the file cannot be written.
    pub fn save(
        &mut self,
        path: &Path,
        state: bool,
        facts: &BTreeMap<String, String>,
    ) -> Result<(), Diagnostic> {
        let runner = self.any()?;
        let entries = kept(&runner.plan, state).into_iter();
        let entries = entries.map(|(name, parameter, buffer)| Entry {
            name,
            shape: parameter.shape.clone(),
            place: (parameter, buffer),
        });
        let entries = entries.collect();
        let device = &mut *self.device;
        checkpoint::write(
            path,
            entries,
            facts,
            self.precision,
            |&(parameter, buffer), sink| runner.save_parameter(device, parameter, buffer, sink),
        )
    }

    /// The last tensor, in the order of the network, that is not finite, if there is one: the way back goes from the last
    /// layer to the first, and takes what is not finite with it. Without `all` only parameters that are learned count.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn spoilt(&mut self, all: bool) -> Result<Option<String>, Diagnostic> {
        let runner = self.any()?;
        for (name, parameter, buffer) in kept(&runner.plan, all).into_iter().rev() {
            if all || parameter.role.is_learned() {
                let values = runner.read_parameter(&mut *self.device, parameter, buffer)?;
                if !is_finite(&values) {
                    return Ok(Some(name));
                }
            }
        }
        Ok(None)
    }

    /// Sets the parameters that these tensors name, which must fit; the others stay.
    ///
    /// # Errors
    /// E0704 the device failed; those of the tensors.
    pub fn write_some(&mut self, tensors: &dyn Tensors) -> Result<(), Diagnostic> {
        self.write_those(tensors, false)
    }

    fn write_those(&mut self, tensors: &dyn Tensors, state: bool) -> Result<(), Diagnostic> {
        let runner = self.any()?;
        for (name, parameter, buffer) in kept(&runner.plan, state) {
            if tensors.shape(&name).is_some() {
                let values = tensors.values(&name)?;
                runner.write_values(&mut *self.device, parameter, buffer, values)?;
            }
        }
        Ok(())
    }

    /// Sets all parameters, and with `state` the optimizer's state.
    ///
    /// # Errors
    /// E0602 tensors that are missing or of another shape; E0704 the device failed; those of the tensors.
    pub fn write(&mut self, tensors: &dyn Tensors, state: bool) -> Result<(), Diagnostic> {
        let runner = self.any()?;
        let wanted = kept(&runner.plan, state);
        let misfits: Vec<String> = wanted
            .iter()
            .filter_map(|(name, parameter, _)| match tensors.shape(name) {
                Some(shape) if shape == parameter.shape => None,
                Some(shape) => Some(format!(
                    "`{name}` is {shape:?} in the checkpoint and {:?} in the network",
                    parameter.shape
                )),
                None => Some(format!(
                    "`{name}`, {:?} in the network, is not in the checkpoint",
                    parameter.shape
                )),
            })
            .collect();
        if misfits.is_empty() {
            return self.write_those(tensors, state);
        }
        let mut diagnostic = Diagnostic::error(
            Code::E0602,
            format!(
                "{} of {} tensors do not fit the network",
                misfits.len(),
                wanted.len()
            ),
        );
        diagnostic.notes = misfits;
        Err(diagnostic
            .help("use the network that the checkpoint was made with, or train this one anew"))
    }
}

/// What a checkpoint has of a plan: names, parameters and buffers; with `state` the optimizer's too.
fn kept(plan: &Plan, state: bool) -> Vec<(String, &Parameter, BufferId)> {
    let all = plan.parameters.iter().flat_map(|buffers| {
        let own = (buffers.parameter.name.to_string(), buffers.value);
        let more = buffers.state.iter().filter(|_| state);
        let more = more.map(|&id| (plan.buffer(id).name.to_string(), id));
        let named = [own].into_iter().chain(more);
        named.map(|(name, id)| (name, &buffers.parameter, id))
    });
    all.collect()
}
