//! Texts with `{{ … }}` in them.
//!
//! The syntax is Jinja's; a name that is not there is an error and never an empty text. In a
//! command for the shell, what a template puts in is quoted for the shell, so that a path with a
//! space or a parameter with a `;` stays one word; `| safe` puts it in as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

/// For what a text is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// A text of its own: a word of a command, a path, a value.
    Text,
    /// A command for the shell.
    Shell,
}

/// The names a template uses, dotted: `params.rate`.
///
/// # Errors
///
/// What is wrong with its syntax.
pub(crate) fn names(text: &str) -> Result<BTreeSet<String>, String> {
    let environment = environment(For::Text);
    let template = environment.template_from_str(text).map_err(|error| told(&error))?;
    Ok(template.undeclared_variables(true).into_iter().collect())
}

/// Checks that there are the filters, tests and functions that a template uses, before anything
/// is known of what it is filled with. Of branches, those that are taken then are looked into.
///
/// # Errors
///
/// Which one is not there.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let environment = environment(For::Text);
    let spaces = ["params", "inputs", "outputs", "run", "seed", "tick"];
    let anything = spaces.map(|space| (space, Value::from_object(Anything)));
    let tried = environment.render_str(text, BTreeMap::from(anything));
    match tried.err().filter(|error| is_unknown(error.kind())) {
        Some(error) => Err(told(&error)),
        None => Ok(()),
    }
}

const fn is_unknown(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction)
}

/// A value that has every part, and one of everything in it.
#[derive(Debug)]
struct Anything;

impl Object for Anything {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(Arc::clone(self)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(vec![Value::from_dyn_object(Arc::clone(self))])
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// The text with everything put in.
///
/// # Errors
///
/// What is wrong with its syntax, or which name is not there.
pub(crate) fn render(text: &str, purpose: For, names: &Value) -> Result<String, String> {
    // Most texts are no templates.
    if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
        return Ok(text.to_owned());
    }
    environment(purpose).render_str(text, names.clone()).map_err(|error| told(&error))
}

fn environment(purpose: For) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    if purpose == For::Shell {
        environment.set_auto_escape_callback(|_| AutoEscape::Custom("shell".into()));
        environment.set_formatter(quoted);
    } else {
        environment.set_formatter(plain);
    }
    environment
}

/// Puts a value into a text: a mapping as JSON.
fn plain(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Map => out.write_str(&text(value)?).map_err(Error::from),
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// Puts a value into a command for the shell: a list as several words.
fn quoted(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_undefined() || value.is_safe() {
        return minijinja::escape_formatter(
            out,
            state,
            &Value::from_safe_string(value.to_string()),
        );
    }
    let words = match value.kind() {
        ValueKind::Seq => {
            value.try_iter()?.map(|item| quote(&item)).collect::<Result<Vec<_>, _>>()?
        }
        _ => vec![quote(value)?],
    };
    out.write_str(&words.join(" ")).map_err(Error::from)
}

fn quote(value: &Value) -> Result<String, Error> {
    let text = text(value)?;
    let quoted = shlex::try_quote(&text)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
    Ok(quoted.into_owned())
}

/// What is put in for a value: a mapping, or a list within another value, as JSON.
fn text(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Map | ValueKind::Seq => serde_json::to_string(value)
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string())),
        _ => Ok(value.to_string()),
    }
}

/// One line for a person. The engine names the template, which here has no name.
fn told(error: &Error) -> String {
    let kind = error.kind().to_string();
    match error.detail() {
        Some(detail) => format!("{kind}: {detail}"),
        None => kind,
    }
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    fn rendered(text: &str, purpose: For) -> Result<String, String> {
        let names = context! { params => context! {
            rate => 0.5, name => "a b; rm -rf /", many => vec!["x", "y z"], quote => "it's",
            table => std::collections::BTreeMap::from([("a", vec![1.5]), ("b c", vec![])]),
        }};
        render(text, purpose, &names)
    }

    #[test]
    fn a_shell_sees_one_word_for_each_value() {
        let shell = |text: &str| rendered(text, For::Shell).unwrap();
        assert_eq!(shell("echo {{ params.name }}"), "echo 'a b; rm -rf /'");
        assert_eq!(shell("echo {{ params.many }}"), "echo x 'y z'");
        assert_eq!(shell("echo {{ params.rate }}"), "echo 0.5");
        assert_eq!(shell("echo {{ params.quote }}"), "echo \"it's\"");
        assert_eq!(shell("echo {{ params.name | safe }}"), "echo a b; rm -rf /");
        assert_eq!(shell("echo {{ params.table }}"), r#"echo '{"a":[1.5],"b c":[]}'"#);
        assert_eq!(rendered("{{ params.table }}", For::Text).unwrap(), r#"{"a":[1.5],"b c":[]}"#);
        assert_eq!(rendered("{{ params.name }}", For::Text).unwrap(), "a b; rm -rf /");
    }

    #[test]
    fn a_name_that_is_not_there_is_an_error() {
        for text in
            ["{{ params.rat }}", "{{ rate }}", "{% if params.rat %}x{% endif %}", "{{ x.y.z }}"]
        {
            let error = rendered(text, For::Shell).unwrap_err();
            assert!(error.contains("undefined"), "{text}: {error}");
        }
        assert!(rendered("{{ params.rate", For::Text).is_err());
    }

    #[test]
    fn a_filter_that_is_not_there_is_found_whatever_it_is_given() {
        for text in [
            "{{ params.rate | roound }}",
            "{% for x in params.many %}{{ x | nothing }}{% endfor %}",
            "{% if params.x is nothing %}{% endif %}",
            "{{ outputs.o }}{{ run.checkpoints | nothing }}",
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains("nothing") || error.contains("roound"), "{text}: {error}");
        }
        for text in [
            "{{ params.rate | round(2) + 1 }} {{ params.many | join(',') | upper }}",
            "{% for x in params.many %}{{ loop.index }}{{ x }}{% endfor %}{{ seed }}",
            "{{ params.a.b[3] | default(1) }} {{ params.t | length if params.t is sequence else 0 }}",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn names_are_found_wherever_they_stand() {
        let text =
            "{{ params.a }} {% for x in inputs.b %}{{ x }}{% endfor %} {{ outputs.c | upper }}";
        let found: Vec<_> = names(text).unwrap().into_iter().collect();
        assert_eq!(found, ["inputs.b", "outputs.c", "params.a"]);
        assert!(names("{{ params.a").unwrap_err().contains("syntax"));
    }
}
