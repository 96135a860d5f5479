//! Replaces CloudFormation's functions (`!Ref`, `!Sub`, `Fn::If`, …) by their values, as far as they can be known here.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

/// A reference to a resource becomes its logical id, `!GetAtt` becomes `LogicalId.Attribute`; parameters have their
/// defaults, empty where there is none. Resources whose condition is false are left out.
pub(super) fn resolve(document: &Yaml) -> anyhow::Result<Value> {
    let plain = untagged(document)?;
    let Some(sections) = plain.as_object() else {
        bail!("a template is a map");
    };
    let scope = Scope::new(sections);
    let mut resolved = scope.value(&plain);
    if let Some(resources) = resolved.get_mut("Resources").and_then(Value::as_object_mut) {
        resources.retain(|_, resource| {
            resource
                .get("Condition")
                .and_then(Value::as_str)
                .is_none_or(|name| scope.condition(name))
        });
    }
    Ok(resolved)
}

/// YAML's short forms (`!Ref X`) in CloudFormation's long form (`{"Ref": X}`).
fn untagged(value: &Yaml) -> anyhow::Result<Value> {
    Ok(match value {
        Yaml::Tagged(tagged) => {
            let name = tagged.tag.to_string();
            let name = name.trim_start_matches('!');
            let inner = untagged(&tagged.value)?;
            let key = match name {
                "Ref" | "Condition" => name.to_owned(),
                other => format!("Fn::{other}"),
            };
            Value::Object(Map::from_iter([(key, inner)]))
        }
        Yaml::Mapping(mapping) => {
            let mut object = Map::new();
            for (key, value) in mapping {
                let key = match key {
                    Yaml::String(text) => text.clone(),
                    other => serde_yaml_ng::to_string(other)?.trim().to_owned(),
                };
                object.insert(key, untagged(value)?);
            }
            Value::Object(object)
        }
        Yaml::Sequence(items) => {
            Value::Array(items.iter().map(untagged).collect::<anyhow::Result<_>>()?)
        }
        scalar => serde_json::to_value(scalar).context("a scalar of YAML that JSON lacks")?,
    })
}

struct Scope<'a> {
    parameters: BTreeMap<&'a str, Value>,
    conditions: Option<&'a Map<String, Value>>,
    mappings: Option<&'a Value>,
}

impl<'a> Scope<'a> {
    fn new(document: &'a Map<String, Value>) -> Self {
        let declared = document.get("Parameters").and_then(Value::as_object);
        let parameters = declared
            .into_iter()
            .flatten()
            .map(|(name, parameter)| {
                let default = parameter.get("Default").cloned();
                (name.as_str(), default.unwrap_or_else(|| "".into()))
            })
            .collect();
        Self {
            parameters,
            conditions: document.get("Conditions").and_then(Value::as_object),
            mappings: document.get("Mappings"),
        }
    }

    fn condition(&self, name: &str) -> bool {
        self.conditions
            .and_then(|conditions| conditions.get(name))
            .is_some_and(|expression| self.truth(expression))
    }

    fn truth(&self, expression: &Value) -> bool {
        let Some((name, argument)) = single(expression) else {
            return self.value(expression).as_bool().unwrap_or(false);
        };
        let list = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        match name {
            "Fn::Equals" => match list {
                [left, right] => text(&self.value(left)) == text(&self.value(right)),
                _ => false,
            },
            "Fn::Not" => !list.first().is_some_and(|inner| self.truth(inner)),
            "Fn::And" => list.iter().all(|inner| self.truth(inner)),
            "Fn::Or" => list.iter().any(|inner| self.truth(inner)),
            "Condition" => argument.as_str().is_some_and(|name| self.condition(name)),
            _ => self.value(expression).as_bool().unwrap_or(false),
        }
    }

    fn value(&self, value: &Value) -> Value {
        if let Some((name, argument)) = single(value)
            && let Some(resolved) = self.call(name, argument)
        {
            return resolved;
        }
        match value {
            Value::Object(object) => object
                .iter()
                .map(|(key, value)| (key.clone(), self.value(value)))
                .filter(|(_, value)| !is_no_value(value))
                .collect(),
            Value::Array(items) => items
                .iter()
                .map(|item| self.value(item))
                .filter(|item| !is_no_value(item))
                .collect(),
            scalar => scalar.clone(),
        }
    }

    /// `None` when this is no function of CloudFormation.
    fn call(&self, name: &str, argument: &Value) -> Option<Value> {
        match name {
            "Ref" => Some(self.reference(argument.as_str()?)),
            "Fn::GetAtt" => Some(match argument {
                Value::Array(parts) => parts.iter().map(text).collect::<Vec<_>>().join(".").into(),
                other => other.clone(),
            }),
            "Fn::Sub" => Some(self.substitute(argument).into()),
            "Fn::If" => {
                let [condition, then, otherwise] = argument.as_array()?.as_slice() else {
                    return Some(Value::Null);
                };
                let holds = condition.as_str().is_some_and(|name| self.condition(name));
                Some(self.value(if holds { then } else { otherwise }))
            }
            "Fn::Join" => {
                let [separator, items] = argument.as_array()?.as_slice() else {
                    return Some(Value::Null);
                };
                let items = self.value(items);
                let items: Vec<_> = items.as_array()?.iter().map(text).collect();
                Some(items.join(&text(separator)).into())
            }
            "Fn::Select" => {
                let [index, items] = argument.as_array()?.as_slice() else {
                    return Some(Value::Null);
                };
                let index: usize = text(index).parse().ok()?;
                Some(self.value(items).get(index).cloned().unwrap_or_default())
            }
            "Fn::Split" => {
                let [separator, whole] = argument.as_array()?.as_slice() else {
                    return Some(Value::Null);
                };
                let whole = text(&self.value(whole));
                Some(whole.split(&text(separator)).map(Value::from).collect())
            }
            "Fn::FindInMap" => {
                let mut found = self.mappings?;
                for key in argument.as_array()? {
                    found = found.get(text(&self.value(key)))?;
                }
                Some(found.clone())
            }
            other if other.starts_with("Fn::") => Some(Value::Null),
            _ => None,
        }
    }

    fn reference(&self, name: &str) -> Value {
        match name {
            "AWS::NoValue" => no_value(),
            "AWS::Region" => "us-east-1".into(),
            "AWS::AccountId" => "000000000000".into(),
            "AWS::Partition" => "aws".into(),
            "AWS::URLSuffix" => "amazonaws.com".into(),
            "AWS::StackName" => "darkroom".into(),
            _ => self
                .parameters
                .get(name)
                .cloned()
                .unwrap_or_else(|| name.into()),
        }
    }

    fn substitute(&self, argument: &Value) -> String {
        let (pattern, own) = match argument {
            Value::Array(parts) => (parts.first(), parts.get(1)),
            other => (Some(other), None),
        };
        let pattern = pattern.map(text).unwrap_or_default();
        let mut result = String::new();
        let mut rest = pattern.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            result.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                result.push_str("${");
                rest = after;
                continue;
            };
            match name.strip_prefix('!') {
                Some(literal) => result.push_str(&format!("${{{literal}}}")),
                None => {
                    let given = own.and_then(|own| own.get(name));
                    let value = given.map_or_else(|| self.reference(name), |own| self.value(own));
                    result.push_str(&text(&value));
                }
            }
            rest = after;
        }
        result.push_str(rest);
        result
    }
}

fn single(value: &Value) -> Option<(&str, &Value)> {
    let object = value.as_object()?;
    let (name, argument) = object.iter().next()?;
    (object.len() == 1).then_some((name.as_str(), argument))
}

/// What stands for `AWS::NoValue` until its key is left out.
fn no_value() -> Value {
    "AWS::NoValue".into()
}

fn is_no_value(value: &Value) -> bool {
    value.as_str() == Some("AWS::NoValue")
}

/// A scalar as CloudFormation writes it into a text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
