//! What differs between two layers of one kind, attribute by attribute.

use crate::format::attribute::{Setting, Written};

/// What stands at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing: what is the default there.
    Absent,
    /// The bare flag.
    Flag,
    /// A value, as written.
    Text(String),
}

/// One attribute that differs. A layer's width is an attribute here, named by what it counts (`filters`, `units`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: &'static str,
    /// What stands in the old layer.
    pub old: Value,
    /// What stands in the new one.
    pub new: Value,
    /// What it is where nothing stands, as one would write it; empty where that depends.
    pub default: &'static str,
    /// Whether the key is a flag that chooses the kind's variant.
    pub chooses: bool,
}

impl Value {
    fn of(setting: Option<&Setting>) -> Self {
        match setting {
            None => Self::Absent,
            Some(Setting { value: None, .. }) => Self::Flag,
            Some(Setting {
                value: Some(value), ..
            }) => Self::Text(value.clone()),
        }
    }
}

/// The attributes that differ between two layers of one kind, in the order of its table. Empty where the layers mean the
/// same.
pub fn between(old: &Written, new: &Written) -> Vec<Change> {
    if old == new {
        return Vec::new();
    }
    let mut changes = Vec::new();
    if let Some(counted) = old.kind.width
        && old.width != new.width
    {
        let value = |width: &Option<String>| Value::Text(width.clone().unwrap_or_default());
        changes.push(Change {
            key: counted,
            old: value(&old.width),
            new: value(&new.width),
            default: "",
            chooses: false,
        });
    }
    for attribute in old.kind.attributes {
        let find = |layer: &'_ Written| {
            let found = layer.settings.iter().find(|s| s.key == attribute.key);
            found.cloned()
        };
        let (was, is) = (find(old), find(new));
        let same = match (&was, &is) {
            (None, None) => true,
            (Some(was), Some(is)) => was.says_as(is),
            _ => false,
        };
        if !same {
            changes.push(Change {
                key: attribute.key,
                old: Value::of(was.as_ref()),
                new: Value::of(is.as_ref()),
                default: attribute.default,
                chooses: attribute.chooses,
            });
        }
    }
    changes
}

impl Change {
    /// Makes the change.
    pub fn apply(&self, layer: &mut Written) {
        if layer.kind.width == Some(self.key) {
            if let Value::Text(width) = &self.new {
                layer.width = Some(width.clone());
            }
            return;
        }
        let value = match &self.new {
            Value::Absent => return layer.set(self.key, None),
            Value::Flag => None,
            Value::Text(value) => Some(value.clone()),
        };
        let key = self.key;
        layer.set(key, Some(Setting { key, value }));
    }
}
