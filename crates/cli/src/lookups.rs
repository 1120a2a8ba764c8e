//! Where results are looked up: by who drives the run, which is also who runs it.

use thrifty_engine::config::Variables;

use crate::failure::Failure;

/// Moves lookups from who drives a run to the machines that run its operations.
const VARIABLE: &str = "THRIFTY_PREVENT_CLIENT_SIDE_CACHING";

/// What is to be said if somebody asks for lookups elsewhere.
///
/// # Errors
///
/// [`Failure::Usage`]: the variable has a value that it cannot have.
pub(crate) fn elsewhere(variables: Variables<'_>) -> Result<Option<String>, Failure> {
    let value = variables(VARIABLE).unwrap_or_default();
    match value.to_string_lossy().to_ascii_lowercase().as_str() {
        "" | "0" | "false" => Ok(None),
        "1" | "true" => Ok(Some(format!(
            "{VARIABLE} is set, but operations run on this machine: their results are looked up here"
        ))),
        _ => Err(Failure::Usage(format!(
            "{VARIABLE} is `{}`; write `true` or `false`",
            value.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_that_cannot_be_met_is_said_and_a_wrong_one_refused() {
        let said =
            |value: &'static str| elsewhere(&move |name| (name == VARIABLE).then(|| value.into()));
        for value in ["", "0", "false"] {
            assert!(matches!(said(value), Ok(None)), "{value}");
        }
        for value in ["1", "true", "True"] {
            let said = said(value).ok().flatten().unwrap_or_default();
            assert!(said.contains("looked up here"), "{value}: {said}");
        }
        assert!(matches!(said("yes"), Err(Failure::Usage(_))));
        assert!(matches!(elsewhere(&|_| None), Ok(None)));
    }
}
