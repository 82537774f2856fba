//! The first reading: syntax, unknown keys and types, each with its place. What is wrong is taken out and the rest read
//! on, so that one run shows everything.

use std::ops::{Range, RangeInclusive};

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostics, Source, suggest};
use super::file::{self, File};

/// The file as written, as far as it can be read; everything that cannot is in `found`.
pub(super) fn read(text: &str, found: &mut Diagnostics) -> Option<File> {
    let (mut table, syntax) = DeTable::parse_recoverable(text);
    let schema = file::schema();
    let walk = Walk { root: &schema };
    walk.table(table.get_mut(), &schema, "", found);
    if let Some(error) = syntax.first() {
        // After a syntax error the rest may be misread: nothing more is said.
        found.forget();
        found.error(
            error.span().unwrap_or_default(),
            error.message().trim(),
            None,
        );
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
                // It may be a secret under a misspelt key.
                if let Some(removed) = table.remove(name.as_str()) {
                    mask(&removed, &mut found.source);
                }
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
        let is_secret = self.resolve(schema).get("writeOnly").is_some();
        if is_secret && !value.get_ref().is_table() {
            mask(value, &mut found.source);
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
                    stays &= self.value(item, schema, &format!("each of {path}"), found);
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
    let is = |kind: &str| kinds(schema).any(|known| known == kind);
    match value {
        DeValue::String(_) => is("string"),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            is("integer") && number.is_ok_and(|number| range(schema).contains(&number))
        }
        DeValue::Boolean(_) => is("boolean"),
        DeValue::Array(_) => is("array"),
        DeValue::Table(_) => is("object"),
        DeValue::Float(_) | DeValue::Datetime(_) => false,
    }
}

/// The types that a schema names.
fn kinds(schema: &Value) -> impl Iterator<Item = &str> {
    let kind = schema.get("type");
    let several = kind.and_then(Value::as_array).into_iter().flatten();
    several.chain(kind).filter_map(Value::as_str)
}

fn range(schema: &Value) -> RangeInclusive<i64> {
    let bound = |name| schema.get(name).and_then(Value::as_i64);
    bound("minimum").unwrap_or(i64::MIN)..=bound("maximum").unwrap_or(i64::MAX)
}

/// Hides every value in it: what is shown of the config could be a secret.
fn mask(value: &Spanned<DeValue<'_>>, source: &mut Source) {
    match value.get_ref() {
        DeValue::Table(table) => table.values().for_each(|value| mask(value, source)),
        DeValue::Array(items) => items.iter().for_each(|value| mask(value, source)),
        _ => source.mask(value.span()),
    }
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
        .flat_map(|schema| kinds(schema).map(move |kind| (kind, range(schema))))
        .filter_map(|(kind, range)| match kind {
            "null" => None,
            "object" => Some("a table".to_owned()),
            "array" => Some("an array".to_owned()),
            "integer" => Some(format!(
                "a whole number from {} to {}",
                range.start(),
                range.end()
            )),
            "boolean" => Some("true or false".to_owned()),
            _ => Some("a string in quotes".to_owned()),
        })
        .collect();
    let given = match value {
        DeValue::Integer(_) if wanted.iter().any(|wanted| wanted.contains("number")) => "this one",
        DeValue::Integer(_) => "a number",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
        DeValue::String(_) => "a string",
        DeValue::Boolean(_) => "true or false",
        DeValue::Float(_) => "a fraction",
        DeValue::Datetime(_) => "a date",
    };
    let path = match path.rsplit_once("each of ") {
        Some((_, list)) => format!("each of `{list}`"),
        None => format!("`{path}`"),
    };
    found.error(
        span,
        format!("{path} takes {}, not {given}", wanted.join(" or ")),
        None,
    );
}
