//! What is chosen for a run, from the keywords of `with_options`.

use glob::Pattern;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use thrifty_engine::Mode;
use thrifty_engine::config::Executor;

use super::context::{Chosen, RunOptions};
use super::seed;

/// What was chosen for a run, from the keywords of `with_options`.
///
/// # Errors
///
/// `ValueError` or `TypeError`, naming the keyword.
pub fn options(keywords: &Bound<'_, PyDict>) -> PyResult<RunOptions> {
    let mut options = RunOptions::default();
    for (name, value) in keywords.iter() {
        let name: String = name.extract()?;
        if name == "seed" {
            options.seeding = Some(seed::seeding(&value)?);
            continue;
        }
        if value.is_none() {
            continue;
        }
        match name.as_str() {
            "cache" => options.mode = Some(mode(&value)?),
            "refresh" => options.refresh = patterns(&value, "refresh")?,
            "check" => {
                options.check = Some(match value.extract::<f64>() {
                    Ok(share) => Chosen::Share(share),
                    Err(_) => Chosen::Named(patterns(&value, "check")?),
                });
            }
            "now" => options.now = value.extract()?,
            "serialize" => options.serialize = value.extract()?,
            "workers" => options.workers = Some(value.extract::<usize>()?.max(1)),
            "executor" => {
                let word: String = value.extract()?;
                let executor = Executor::from_word(&word);
                options.executor = Some(executor.ok_or_else(|| {
                    PyValueError::new_err(format!(
                        "executor is {word:?}, and may be \"threads\" or \"processes\""
                    ))
                })?);
            }
            _ => {
                return Err(PyTypeError::new_err(format!("with_options has no option {name:?}")));
            }
        }
    }
    Ok(options)
}

fn mode(value: &Bound<'_, PyAny>) -> PyResult<Mode> {
    if let Ok(on) = value.extract::<bool>() {
        return Ok(if on { Mode::On } else { Mode::Off });
    }
    let word: String = value.extract()?;
    Mode::from_word(&word).ok_or_else(|| {
        PyValueError::new_err(format!(
            "cache is {word:?}, and may be True, False, \"on\", \"refresh\", \"read-only\" or \"off\""
        ))
    })
}

fn patterns(value: &Bound<'_, PyAny>, option: &str) -> PyResult<Vec<Pattern>> {
    let words = match value.extract::<String>() {
        Ok(word) => vec![word],
        Err(_) => value.extract::<Vec<String>>()?,
    };
    words
        .iter()
        .map(|word| {
            Pattern::new(word).map_err(|error| {
                PyValueError::new_err(format!("{option} has the pattern {word:?}: {error}"))
            })
        })
        .collect()
}
