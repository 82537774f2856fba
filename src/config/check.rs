//! The first reading: syntax, unknown keys and types, each with its place. What is wrong is taken out and the rest read
//! on, so that one run shows everything.

use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostics, suggest};
use super::file::File;

/// The file as written, as far as it can be read; everything that cannot is in `found`.
pub(super) fn read(text: &str, found: &mut Diagnostics) -> Option<File> {
    let (mut table, syntax) = DeTable::parse_recoverable(text);
    let schema = schemars::schema_for!(File).to_value();
    let walk = Walk { root: &schema };
    walk.table(table.get_mut(), &schema, "", found);
    if !syntax.is_empty() {
        // After a syntax error the rest may be misread: nothing more is said.
        let mut only = Diagnostics::new(found.source.clone());
        for error in syntax {
            only.error(
                error.span().unwrap_or_default(),
                error.message().trim(),
                None,
            );
        }
        *found = only;
        return None;
    }
    let read = File::deserialize(toml::Deserializer::from(table));
    read.map_err(|error| found.error(error.span().unwrap_or_default(), error.message(), None))
        .ok()
}

struct Walk<'s> {
    root: &'s Value,
}

impl<'s> Walk<'s> {
    fn table(
        &self,
        table: &mut DeTable<'_>,
        schema: &'s Value,
        path: &str,
        found: &mut Diagnostics,
    ) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let keys: Vec<_> = table
            .keys()
            .map(|key| (key.get_ref().to_string(), key.span()))
            .collect();
        for (name, span) in keys {
            let known = properties.and_then(|properties| properties.get(&name));
            let Some(schema) = known.or(others).filter(|schema| schema.is_object()) else {
                let known = properties
                    .into_iter()
                    .flat_map(|properties| properties.keys().map(String::as_str));
                let place = if path.is_empty() {
                    "at the top".to_owned()
                } else {
                    format!("in [{path}]")
                };
                found.error(
                    span,
                    format!("unknown key `{name}` {place}"),
                    Some(suggest(&name, known)),
                );
                table.remove(name.as_str());
                continue;
            };
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            let stays = table
                .get_mut(name.as_str())
                .is_some_and(|value| self.value(value, schema, &path, found));
            if !stays {
                table.remove(name.as_str());
            }
        }
    }

    /// Whether the value may stay.
    fn value(
        &self,
        value: &mut Spanned<DeValue<'_>>,
        schema: &'s Value,
        path: &str,
        found: &mut Diagnostics,
    ) -> bool {
        let span = value.span();
        let choices = self.choices(schema);
        if self.resolve(schema).get("writeOnly").is_some() && value.get_ref().is_str() {
            found.source.mask(span.clone());
        }
        let fitting = choices
            .iter()
            .find(|choice| fits(value.get_ref(), choice))
            .copied();
        let Some(schema) = fitting else {
            wrong_type(value.get_ref(), span, &choices, path, found);
            return false;
        };
        match value.get_mut() {
            DeValue::Table(table) => self.table(table, schema, path, found),
            DeValue::Array(items) => {
                let Some(schema) = schema.get("items") else {
                    return true;
                };
                let mut index = 0;
                let mut stays = true;
                while let Some(item) = items.get_mut(index) {
                    stays &= self.value(item, schema, path, found);
                    index += 1;
                }
                return stays;
            }
            _ => {}
        }
        true
    }

    /// The schemas a value may follow, references resolved.
    fn choices(&self, schema: &'s Value) -> Vec<&'s Value> {
        let schema = self.resolve(schema);
        match schema.get("anyOf").and_then(Value::as_array) {
            Some(any) => any.iter().flat_map(|choice| self.choices(choice)).collect(),
            None => vec![schema],
        }
    }

    fn resolve(&self, schema: &'s Value) -> &'s Value {
        let pointer = schema.get("$ref").and_then(Value::as_str);
        pointer
            .and_then(|pointer| self.root.pointer(pointer.trim_start_matches('#')))
            .unwrap_or(schema)
    }
}

fn fits(value: &DeValue<'_>, schema: &Value) -> bool {
    let is = |kind: &str| match schema.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ => false,
    };
    match value {
        DeValue::String(_) => is("string"),
        DeValue::Integer(number) => is("integer") && in_range(number.as_str(), schema),
        DeValue::Boolean(_) => is("boolean"),
        DeValue::Array(_) => is("array"),
        DeValue::Table(_) => is("object"),
        DeValue::Float(_) | DeValue::Datetime(_) => false,
    }
}

fn in_range(number: &str, schema: &Value) -> bool {
    let bound = |name| schema.get(name).and_then(Value::as_i64);
    number.parse::<i64>().is_ok_and(|number| {
        bound("minimum").is_none_or(|least| number >= least)
            && bound("maximum").is_none_or(|most| number <= most)
    })
}

fn wrong_type(
    value: &DeValue<'_>,
    span: Range<usize>,
    choices: &[&Value],
    path: &str,
    found: &mut Diagnostics,
) {
    let wanted: Vec<_> = choices
        .iter()
        .flat_map(|schema| match schema.get("type") {
            Some(Value::String(only)) => vec![only.as_str()],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        })
        .filter(|kind| *kind != "null")
        .map(|kind| match kind {
            "object" => "a table",
            "array" => "an array",
            "integer" => "a whole number in range",
            "boolean" => "true or false",
            _ => "a string in quotes",
        })
        .collect();
    let message = format!(
        "`{path}` takes {}, not {}",
        wanted.join(" or "),
        article(value)
    );
    found.error(span, message, None);
}

fn article(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => format!("{number}"),
        DeValue::Array(_) => "an array".into(),
        other => format!("a {}", other.type_str()),
    }
}
