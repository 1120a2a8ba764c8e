//! Trials that the language suggests.

use std::ops::ControlFlow;

use crate::error::{Place, PrepareError};
use crate::expand::{Next, Resulted, Search, Suggested, Suggester, Trial};
use crate::json;

use super::prepared::Prepared;

/// Whether there is who suggests them. Asked before anything runs.
pub(super) fn is_there(suggested: &Suggested, tried: &Prepared) -> Result<(), PrepareError> {
    let found = match &tried.shared().language {
        Some(language) => language.finds(&tried.command().base, &suggested.by),
        None => {
            Err("it is Python that suggests trials: run the file with the thrifty of Python"
                .to_owned())
        }
    };
    found.map_err(|reason| PrepareError::Refused { place: place(suggested, tried), reason })
}

/// How a search goes on when who was to be asked has answered: with these trials, or not at all,
/// with the reason if it ended before its time.
///
/// # Errors
///
/// What was wrong with who was asked, or with the answer.
pub(super) fn settled(
    next: Next,
    search: &Search,
    tried: &Prepared,
    past: &[(Trial, Resulted)],
) -> Result<ControlFlow<Option<String>, Vec<Trial>>, String> {
    let count = match next {
        Next::Trials(trials) => return Ok(ControlFlow::Continue(trials)),
        Next::Over(why) => return Ok(ControlFlow::Break(why)),
        Next::Asked(count) => count,
    };
    let (Some(suggested), Some(language)) = (search.suggested(), &tried.shared().language) else {
        return Ok(ControlFlow::Break(None));
    };
    let place = place(suggested, tried);
    let told = |why: String| match &suggested.by {
        Suggester::Tuner(target) => format!("{place}: tuner `{target}`: {why}"),
        Suggester::Tpe | Suggester::Bayes => format!("{place}: {why}"),
    };
    let goal = search.metric.as_ref().map(|metric| metric.goal);
    let question = json::encode(&suggested.question(past, goal, count)).map_err(&told)?;
    let base = &tried.command().base;
    let answer = language.suggest(base, &suggested.by, &question).map_err(&told)?;
    let answer =
        json::decode(&answer).ok_or_else(|| told("it gave no values of JSON".to_owned()))?;
    let points = suggested.answered(&answer, count).map_err(told)?;
    let trials: Vec<_> = points.into_iter().map(Trial::of).collect();
    Ok(if trials.is_empty() { ControlFlow::Break(None) } else { ControlFlow::Continue(trials) })
}

fn place(suggested: &Suggested, tried: &Prepared) -> Place {
    let file = || Place { path: tried.command().base.to_path_buf(), line: 0, column: 0 };
    suggested.at.clone().unwrap_or_else(file)
}
