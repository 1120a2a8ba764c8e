//! The parameters of a pipeline, and what they are set to.

use std::path::Path;

use indexmap::IndexMap;
use serde_json::Value as Json;
use thrifty_engine::did_you_mean;

use crate::document::{Kind, Param, Table};
use crate::error::FileError;
use crate::place::Sources;

/// The values of all parameters, in the order of the file.
pub(crate) type Values = IndexMap<String, Json>;

/// The value of every parameter: as set, or its default.
pub(crate) fn settle(
    path: &Path,
    sources: &Sources,
    declared: &Table<Param>,
    set: &[(String, String)],
) -> Result<Values, FileError> {
    for (name, _) in set {
        if !declared.contains_key(name) {
            let hint = did_you_mean(name, declared.keys().map(String::as_str));
            let reason = format!("there is no parameter `{name}`; {hint}");
            return Err(FileError::Parameter { path: path.to_owned(), reason });
        }
    }
    let mut values = Values::new();
    for (name, param) in declared {
        let place = sources.place(param.referenced);
        let default = param.value.default.clone();
        if let Some(default) = &default {
            param.value.admit(default).map_err(|why| FileError::Meaning {
                place: place.clone(),
                reason: format!("the default of parameter `{name}` {why}"),
            })?;
        }
        // The last one counts, as everywhere on a command line.
        let value = match set.iter().rev().find(|(given, _)| given == name) {
            Some((_, text)) => {
                Some(param.value.read(text).map_err(|why| FileError::Parameter {
                    path: path.to_owned(),
                    reason: format!("parameter `{name}`: `{text}` {why}"),
                })?)
            }
            None => default,
        };
        let Some(value) = value else {
            let help =
                param.value.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
            let reason =
                format!("parameter `{name}`{help} has no default: set it with -p {name}=VALUE");
            return Err(FileError::Parameter { path: path.to_owned(), reason });
        };
        values.insert(name.clone(), param.value.typed(value));
    }
    Ok(values)
}

impl Param {
    /// The type of its values: as said, or that of the default.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.kind.or_else(|| Kind::of(self.default.as_ref()?))
    }

    /// The value as one of its type: whoever writes 1 for a number means 1.0.
    pub(crate) fn typed(&self, value: Json) -> Json {
        match (self.kind(), value.as_f64()) {
            (Some(Kind::Float), Some(number)) => Json::from(number),
            _ => value,
        }
    }

    /// Reads a value from a command line.
    fn read(&self, text: &str) -> Result<Json, String> {
        let value = match self.kind() {
            Some(Kind::Text) => Json::from(text),
            Some(Kind::Float) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Json::from(number),
                _ => Json::from(text),
            },
            // JSON is what a value looks like in YAML; anything else is a text.
            _ => serde_json::from_str(text).unwrap_or_else(|_| Json::from(text)),
        };
        self.admit(&value)?;
        Ok(value)
    }

    /// Whether the value is one the parameter may have.
    pub(crate) fn admit(&self, value: &Json) -> Result<(), String> {
        if let Some(kind) = self.kind()
            && !kind.admits(value)
        {
            return Err(format!("is not {}", kind.described()));
        }
        match &self.choices {
            Some(choices) if choices.iter().all(|it| !self.is_same(it, value)) => {
                let choices: Vec<_> = choices.iter().map(Json::to_string).collect();
                Err(format!("is none of {}", choices.join(", ")))
            }
            _ => Ok(()),
        }
    }

    fn is_same(&self, one: &Json, other: &Json) -> bool {
        self.typed(one.clone()) == self.typed(other.clone())
    }
}

impl Kind {
    fn of(value: &Json) -> Option<Self> {
        Some(match value {
            Json::Null => return None,
            Json::Bool(_) => Self::Bool,
            Json::Number(number) if number.is_f64() => Self::Float,
            Json::Number(_) => Self::Int,
            Json::String(_) => Self::Text,
            Json::Array(_) => Self::List,
            Json::Object(_) => Self::Map,
        })
    }

    fn admits(self, value: &Json) -> bool {
        match (self, Self::of(value)) {
            (Self::Float, Some(Self::Int)) => true,
            (kind, found) => Some(kind) == found,
        }
    }

    const fn described(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Bool => "`true` or `false`",
            Self::List => "a list, such as [1, 2]",
            Self::Map => "a mapping, such as {\"a\": 1}",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    fn settled(params: &str, set: &[(&str, &str)]) -> Result<String, String> {
        let text = format!("params: {params}\noperations: {{}}\n");
        let (path, sources) = (Path::new("p.yaml"), Sources::default());
        let document = sources.reading(path, || parse(path, &text)).unwrap();
        let set: Vec<_> = set.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let values = settle(path, &sources, &document.params, &set);
        values.map(|v| serde_json::to_string(&v).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_has_the_type_of_the_default_or_the_one_named() {
        for (params, text, value) in [
            ("{a: 1}", "2", "2"),
            ("{a: 1.5}", "2", "2.0"),
            ("{a: x}", "2", "\"2\""),
            ("{a: true}", "false", "false"),
            ("{a: [1]}", "[1, 2]", "[1,2]"),
            ("{a: {type: text}}", "true", "\"true\""),
            ("{a: {type: float}}", "1e3", "1000.0"),
            ("{a: {default: 3, choices: [3, 4]}}", "4", "4"),
        ] {
            let found = settled(params, &[("a", text)]).unwrap();
            assert_eq!(found, format!("{{\"a\":{value}}}"), "{params}");
        }
        assert_eq!(settled("{a: 1}", &[]).unwrap(), "{\"a\":1}");
        let number = "{a: {type: float, default: 1, choices: [1, 2]}}";
        assert_eq!(settled(number, &[]).unwrap(), "{\"a\":1.0}");
        assert_eq!(settled(number, &[("a", "2")]).unwrap(), "{\"a\":2.0}");
        assert_eq!(settled("{a: 1}", &[("a", "2"), ("a", "3")]).unwrap(), "{\"a\":3}");
    }

    #[test]
    fn what_a_parameter_cannot_be_is_refused() {
        for (params, set, told) in [
            ("{a: 1}", ("a", "x"), "parameter `a`: `x` is not a whole number"),
            ("{a: 1}", ("a", "1.5"), "is not a whole number"),
            ("{a: 1.5}", ("a", "nan"), "is not a number"),
            ("{a: true}", ("a", "yes"), "is not `true` or `false`"),
            ("{rate: 1}", ("rat", "1"), "there is no parameter `rat`; did you mean `rate`?"),
            ("{a: {type: int}}", ("a", "[1]"), "is not a whole number"),
            ("{a: {default: 3, choices: [3, 4]}}", ("a", "5"), "is none of 3, 4"),
            (
                "{a: {type: int, default: x}}",
                ("a", "1"),
                "p.yaml:1:13: the default of parameter `a` is not",
            ),
            ("{a: {type: int}, b: 1}", ("b", "1"), "parameter `a` has no default"),
        ] {
            let error = settled(params, &[set]).unwrap_err();
            assert!(error.contains(told), "{params}: {error}");
        }
    }
}
