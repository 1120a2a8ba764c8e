//! Which trials a sweep has: the searches of operation files, for Python.

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::Value as Json;
use thrifty_engine::record::Record;
use thrifty_key::plain::Writer;
use thrifty_pipeline::expand::{
    Goal, Method, Metric, Next, Point, Resource, Resulted, Search as Searching, Space, Stop,
    Suggested, Suggester, Trial,
};
use thrifty_pipeline::{json_of, plain_of};

use super::load;
use super::session::Session;
use crate::value::digest;

/// A search, and what became of its trials so far.
#[pyclass(frozen, module = "thrifty._native")]
pub struct Search {
    search: Searching,
    past: Mutex<Vec<(Trial, Resulted)>>,
}

/// What comes next, in a word, and what belongs to it: the params of trials, a question, a reason.
type Step = (&'static str, Py<PyAny>);

#[pymethods]
impl Search {
    /// A search from a mapping of its fields.
    #[new]
    fn new(described: &Bound<'_, PyAny>) -> PyResult<Self> {
        let search = described_by(&json(described)?).map_err(PyValueError::new_err)?;
        Ok(Self { search, past: Mutex::default() })
    }

    /// How it goes on after all trials it has told.
    fn next(&self, py: Python<'_>) -> PyResult<Step> {
        let past = self.past.lock();
        match self.search.next(&past) {
            Next::Trials(trials) => {
                drop(past);
                self.begin(py, trials).map(|points| ("trials", points))
            }
            Next::Asked(count) => {
                let goal = self.search.metric.as_ref().map(|metric| metric.goal);
                let question = self.search.suggested().map(|it| it.question(&past, goal, count));
                Ok(("asked", value(py, &question.unwrap_or_default())?))
            }
            Next::Over(why) => Ok(("over", value(py, &Json::from(why))?)),
        }
    }

    /// The trials that an answer to a question stands for.
    fn answered(&self, py: Python<'_>, answer: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let past = self.past.lock().len();
        let points = self.search.suggested().map(|suggested| {
            let count = suggested.left(past).min(self.search.concurrency.unwrap_or(1));
            suggested.answered(&json(answer)?, count).map_err(PyValueError::new_err)
        });
        let points = points.transpose()?.unwrap_or_default();
        self.begin(py, points.into_iter().map(Trial::of).collect())
    }

    /// Says what the last trials gave, in their order: whether they succeeded, and the metric.
    fn gave(&self, results: Vec<(bool, Option<f64>)>) {
        let mut past = self.past.lock();
        let begun = past.len() - results.len();
        for ((_, result), (succeeded, metric)) in past[begun..].iter_mut().zip(results) {
            let metric = metric.filter(|metric| !metric.is_nan());
            *result = if succeeded { Resulted::Gave(metric) } else { Resulted::Failed };
        }
    }

    /// The best trial so far, by number.
    fn best(&self) -> Option<usize> {
        self.search.best(self.past.lock().iter().map(|(_, result)| *result))
    }
}

impl Search {
    /// The params of trials that begin now.
    fn begin(&self, py: Python<'_>, trials: Vec<Trial>) -> PyResult<Py<PyAny>> {
        let points = trials.iter().map(|trial| Json::Object(trial.point.iter().cloned().collect()));
        let points = value(py, &points.collect())?;
        self.past.lock().extend(trials.into_iter().map(|trial| (trial, Resulted::Failed)));
        Ok(points)
    }
}

/// A value of Python as one of JSON.
fn json(value: &Bound<'_, PyAny>) -> PyResult<Json> {
    let mut writer = Writer::new();
    digest::encode(value, "sweep", &mut writer, &mut digest::Alone)
        .map_err(|error| super::error::unhashable(value.py(), error))?;
    json_of(writer.as_bytes()).ok_or_else(|| PyValueError::new_err("it is no value of JSON"))
}

fn value(py: Python<'_>, json: &Json) -> PyResult<Py<PyAny>> {
    let encoding = plain_of(json).map_err(PyValueError::new_err)?;
    let session = Session::current(py)?;
    load::record(py, &session, &Record::Plain(encoding)).map(Bound::unbind)
}

/// The search that a mapping describes. Which fields belong to its kind was checked before.
fn described_by(given: &Json) -> Result<Searching, String> {
    let count =
        |name: &str| given[name].as_u64().map(|it| usize::try_from(it).unwrap_or(usize::MAX));
    let (runs, seed) = (count("runs"), given["seed"].as_u64().unwrap_or_default());
    let spaces = spaces(&given["space"])?;
    let suggested = |by, spaces: Vec<_>| {
        let runs = runs.unwrap_or_default();
        Method::Suggested(Suggested { by, spaces, runs, seed, at: None })
    };
    let names = spaces.iter().map(|(name, _)| name.clone()).collect();
    let method = match given["kind"].as_str().unwrap_or_default() {
        "grid" => Method::Listed(Searching::grid(&spaces, runs)?),
        "random" => Method::Listed(Searching::random(&spaces, runs.unwrap_or_default(), seed)?),
        "mapping" => Method::Listed(points(&given["values"])),
        "hyperband" => {
            let resource = resource(&given["resource"], given["eta"].as_u64())?;
            resource.bounded()?;
            Method::Brackets { resource, spaces, seed }
        }
        "tpe" => suggested(Suggester::Tpe, spaces),
        "bayes" => suggested(Suggester::Bayes, spaces),
        _ => suggested(Suggester::Tuner(String::new()), spaces),
    };
    let goal = match given["goal"].as_str() {
        Some("maximize") => Some(Goal::Maximize),
        Some(_) => Some(Goal::Minimize),
        None => None,
    };
    let metric = goal.map(|goal| Metric { name: "the metric".to_owned(), goal });
    let reached = given["stop"]["metric"].as_f64().map(Stop::Reached);
    let failures = given["stop"]["failures"].as_u64();
    let failures = failures.map(|most| Stop::Failures(usize::try_from(most).unwrap_or(usize::MAX)));
    let stops = reached.into_iter().chain(failures).collect();
    let (concurrency, resume) = (count("concurrency"), None);
    Ok(Searching { method, names, metric, stops, concurrency, resume })
}

fn spaces(given: &Json) -> Result<Vec<(String, Space)>, String> {
    let table = given.as_object().into_iter().flatten();
    let space = |(name, space): (&String, &Json)| {
        let read = Space::read(space).map_err(|why| format!("space of `{name}`: {why}"))?;
        Ok((name.clone(), read))
    };
    table.map(space).collect()
}

fn points(given: &Json) -> Vec<Point> {
    let rows = given.as_array().into_iter().flatten();
    rows.map(|row| row.as_object().cloned().unwrap_or_default().into_iter().collect()).collect()
}

fn resource(given: &Json, eta: Option<u64>) -> Result<Resource, String> {
    let one = Json::from(1);
    let min = given.get("min").unwrap_or(&one);
    Resource::read(given["name"].as_str().unwrap_or_default(), min, &given["max"], eta)
}
