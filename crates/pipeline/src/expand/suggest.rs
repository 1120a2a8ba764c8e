//! Trials that somebody suggests who has seen what the ones before them gave: a sampler of the
//! language's libraries, or a function of the user's.
//!
//! Nobody has a memory: each time the whole search so far is told, in the order of its trials and
//! not of their ends, and the answer depends on that and the seed. So a search that is repeated
//! comes to the same trials, and one that goes on after a crash loses nothing.

use serde_json::{Value as Json, json};
use thrifty_key::Digest;

use super::search::{Goal, Point, Resulted, Trial, drawn};
use super::space::Space;
use crate::error::Place;

/// How many trials are drawn before a sampler is asked: those of `random` with the same seed.
pub(super) const FIRST: usize = 10;

/// A search whose trials are suggested.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggested {
    /// Who suggests them.
    pub by: Suggester,
    /// What they are taken from.
    pub spaces: Vec<(String, Space)>,
    /// How many there are, at most.
    pub runs: usize,
    /// What is drawn with.
    pub seed: u64,
    /// Where a file says so.
    pub at: Option<Place>,
}

/// Who suggests trials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suggester {
    /// Tree-structured Parzen estimators (Bergstra et al. 2011).
    Tpe,
    /// A Gaussian process and the improvement to be expected of it.
    Bayes,
    /// A function, as `module:name`.
    Tuner(String),
}

impl Suggester {
    /// What it is called where it is asked.
    pub fn word(&self) -> &str {
        match self {
            Self::Tpe => "tpe",
            Self::Bayes => "bayes",
            Self::Tuner(target) => target,
        }
    }
}

impl Suggested {
    /// The first trials of a sampler, which nobody suggests: no result says anything yet.
    pub(super) fn first(&self, past: usize, together: usize) -> Vec<Point> {
        let count = match self.by {
            Suggester::Tuner(_) => 0,
            Suggester::Tpe | Suggester::Bayes => FIRST.min(self.runs),
        };
        (past..count).take(together).map(|number| drawn(&self.spaces, self.seed, number)).collect()
    }

    /// How many more trials there may be.
    pub const fn left(&self, past: usize) -> usize {
        self.runs.saturating_sub(past)
    }

    /// What is asked, so that so many trials follow these.
    pub fn question(&self, past: &[(Trial, Resulted)], goal: Option<Goal>, count: usize) -> Json {
        match self.by {
            Suggester::Tuner(_) => json!({"trials": past.iter().map(told).collect::<Vec<_>>()}),
            Suggester::Tpe | Suggester::Bayes => {
                let axes = self.spaces.iter().map(|(_, space)| space.axis().told());
                let past_of = past.iter().filter_map(|it| self.placed(it));
                json!({
                    "axes": axes.collect::<Vec<_>>(),
                    "past": past_of.collect::<Vec<_>>(),
                    "minimize": goal != Some(Goal::Maximize),
                    "seed": lot(self.seed, past.len()),
                    "count": count,
                })
            }
        }
    }

    /// A trial by its positions, with what it gave.
    fn placed(&self, (trial, result): &(Trial, Resulted)) -> Option<Json> {
        let value = |name: &str| trial.point.iter().find(|(it, _)| it == name).map(|(_, it)| it);
        let at = self.spaces.iter().map(|(name, space)| space.position(value(name)?));
        let at: Option<Vec<f64>> = at.collect();
        Some(json!([at?, metric(result)]))
    }

    /// The trials of an answer: no more than so many; none if the search is over.
    ///
    /// # Errors
    ///
    /// What makes no trial of it, and what would.
    pub fn answered(&self, answer: &Json, count: usize) -> Result<Vec<Point>, String> {
        let rows = answer.as_array().ok_or_else(|| {
            format!(
                "it gave {}, and not a list of params by name, such as [{{\"rate\": 0.1}}]",
                short(answer)
            )
        })?;
        let rows = rows.iter().enumerate().take(count);
        rows.map(|(number, row)| {
            let point = match self.by {
                Suggester::Tuner(_) => self.chosen(row),
                Suggester::Tpe | Suggester::Bayes => self.at(row),
            };
            point.map_err(|why| format!("suggestion {number}: {why}"))
        })
        .collect()
    }

    /// The point at some positions.
    fn at(&self, row: &Json) -> Result<Point, String> {
        let row = row.as_array().filter(|row| row.len() == self.spaces.len());
        let wrong = || "it is no place in the space".to_owned();
        let at = |((name, space), at): (&(String, Space), &Json)| {
            let value = at.as_f64().and_then(|at| space.at(at)).ok_or_else(wrong)?;
            Ok((name.clone(), value))
        };
        self.spaces.iter().zip(row.ok_or_else(wrong)?).map(at).collect()
    }

    /// The point that a function chose.
    fn chosen(&self, row: &Json) -> Result<Point, String> {
        let names = || {
            let names: Vec<_> = self.spaces.iter().map(|(name, _)| name.as_str()).collect();
            format!("it has the params {}", names.join(", "))
        };
        let table =
            row.as_object().ok_or_else(|| format!("{} is no params by name", short(row)))?;
        if let Some(name) = table.keys().find(|it| self.spaces.iter().all(|(name, _)| name != *it))
        {
            return Err(format!("the search varies no `{name}`: {}", names()));
        }
        let value = |(name, space): &(String, Space)| {
            let value =
                table.get(name).ok_or_else(|| format!("`{name}` is missing: {}", names()))?;
            let value = space.settled(value).map_err(|why| format!("`{name}`: {why}"))?;
            Ok((name.clone(), value))
        };
        self.spaces.iter().map(value).collect()
    }
}

/// A trial as a function is told of it.
fn told((trial, result): &(Trial, Resulted)) -> Json {
    let params: serde_json::Map<_, _> = trial.point.iter().cloned().collect();
    let status = if *result == Resulted::Failed { "failed" } else { "succeeded" };
    json!({"params": params, "metric": metric(result), "status": status})
}

const fn metric(result: &Resulted) -> Option<f64> {
    match result {
        Resulted::Gave(found) => *found,
        Resulted::Failed => None,
    }
}

/// What a sampler draws with after so many trials.
fn lot(seed: u64, past: usize) -> u32 {
    let mut bytes = b"thrifty suggestion 1".to_vec();
    bytes.extend(seed.to_le_bytes());
    bytes.extend((past as u64).to_le_bytes());
    let digest = Digest::of_blob(&bytes);
    digest.as_bytes().iter().take(4).fold(0, |all, byte| all << 8 | u32::from(*byte))
}

fn short(value: &Json) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 {
        text
    } else {
        text.chars().take(60).collect::<String>() + "…"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggested(by: Suggester) -> Suggested {
        let spaces =
            json!({"rate": {"loguniform": [0.01, 1]}, "depth": [2, 4, 6], "kind": ["a", "b"]});
        let spaces = spaces.as_object().unwrap().iter();
        let spaces = spaces.map(|(name, it)| (name.clone(), Space::read(it).unwrap())).collect();
        Suggested { by, spaces, runs: 30, seed: 7, at: None }
    }

    fn tuner() -> Suggested {
        suggested(Suggester::Tuner("tuning:next".to_owned()))
    }

    #[test]
    fn a_sampler_sees_positions_and_a_function_params() {
        let point: Point = [("rate", json!(0.1)), ("depth", json!(6)), ("kind", json!("a"))]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec();
        let trial = Trial { point, rung: None, after: None };
        let past = [(trial.clone(), Resulted::Gave(Some(0.5))), (trial, Resulted::Failed)];
        let asked = suggested(Suggester::Tpe).question(&past, Some(Goal::Maximize), 3);
        assert_eq!(asked["axes"][1], json!({"kind": "steps", "count": 3}));
        assert_eq!(asked["past"], json!([[[0.5, 2.0, 0.0], 0.5], [[0.5, 2.0, 0.0], null]]));
        assert_eq!((&asked["minimize"], &asked["count"]), (&json!(false), &json!(3)));
        let asked = tuner().question(&past, None, 3);
        let params = json!({"rate": 0.1, "depth": 6, "kind": "a"});
        assert_eq!(
            asked["trials"][1],
            json!({"params": params, "metric": null, "status": "failed"})
        );
    }

    #[test]
    fn what_is_drawn_with_is_the_same_for_ever() {
        assert_eq!(
            [lot(0, 10), lot(0, 11), lot(1, 10)],
            [1_509_831_207, 4_199_470_858, 846_755_610]
        );
    }

    #[test]
    fn answers_become_trials() {
        let sampler = suggested(Suggester::Bayes);
        let points = sampler.answered(&json!([[1.0, 0, 1], [0.0, 2, 0], [0.5, 1, 1]]), 2).unwrap();
        assert_eq!(json!(points[0]), json!([["rate", 1.0], ["depth", 2], ["kind", "b"]]));
        assert_eq!(points.len(), 2);
        assert!(sampler.answered(&json!([[2.0, 0, 1]]), 2).unwrap_err().contains("no place"));
        let points = tuner().answered(&json!([{"kind": "b", "depth": 4.0, "rate": 0.5}]), 2);
        assert_eq!(json!(points.unwrap()[0]), json!([["rate", 0.5], ["depth", 4], ["kind", "b"]]));
        assert_eq!(tuner().answered(&json!([]), 2), Ok(Vec::new()));
    }

    #[test]
    fn an_answer_that_is_none_is_told() {
        for (answer, told) in [
            (json!({"rate": 1}), "it gave {\"rate\":1}, and not a list"),
            (json!([3]), "suggestion 0: 3 is no params by name"),
            (json!([{"rate": 0.1}]), "`depth` is missing: it has the params rate, depth, kind"),
            (json!([{"rat": 0.1}]), "the search varies no `rat`"),
            (json!([{"rate": 5, "depth": 2, "kind": "a"}]), "`rate`: 5 is not between 0.01 and 1"),
        ] {
            let error = tuner().answered(&answer, 5).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
