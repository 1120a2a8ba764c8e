//! Searches: what they vary, and that it has an end.

use serde_json::Value as Json;
use thrifty_engine::did_you_mean;

use super::Check;
use super::task::is_target;
use crate::document::{
    Argument, EarlyStopping, GoalWord, Matrix, MatrixKind, Operation, Output, ResourceOf, Sought,
};
use crate::error::{FileError, Place};
use crate::expand::{
    Goal, Method, Metric, Point, RESUME, Resource, Search, Space, Stop, Suggested, Suggester,
    bounded,
};
use crate::place::{Location, Spanned};
use crate::section::Section;

/// Names that outputs of a search have beside those of the operation.
const OWN: [&str; 2] = ["best", "trials"];

impl Check<'_> {
    /// What an operation is tried with, if it is a search.
    pub(super) fn search(&self, operation: &Operation) -> Result<Option<Search>, FileError> {
        let Some(spanned) = &operation.matrix else { return Ok(None) };
        let (matrix, at) = (&spanned.value, spanned.referenced);
        let Some(kind) = &matrix.kind else {
            return Err(
                self.wrong(at, "`matrix` needs a `kind`: grid, random, mapping, hyperband, tpe, bayes or iterative")
            );
        };
        self.fields_fit(kind, matrix)?;
        let spaces = self.spaces(kind, matrix)?;
        let metric = Self::metric(matrix);
        let method = self.method(kind, matrix, at, &spaces)?;
        let names = varied(matrix, &method);
        self.names_fit(operation, at, &names)?;
        let concurrency = match &matrix.concurrency {
            Some(room) if room.value == 0 => {
                return Err(self.wrong(room.referenced, "`concurrency` is a number from 1 on"));
            }
            room => room.as_ref().map(|room| usize::try_from(room.value).unwrap_or(usize::MAX)),
        };
        let stops = matrix.early_stopping.iter().map(|stop| self.stop(stop, metric.as_ref()));
        Ok(Some(Search {
            stops: stops.collect::<Result<_, _>>()?,
            resume: self.resume(operation, matrix)?,
            method,
            names,
            metric,
            concurrency,
        }))
    }

    /// Every field is one of the kind.
    fn fields_fit(&self, written: &Spanned<MatrixKind>, matrix: &Matrix) -> Result<(), FileError> {
        let kind = written.value;
        let is = |kinds: &[MatrixKind]| kinds.contains(&kind);
        let at = |location: Option<Location>| location.unwrap_or(Location::UNKNOWN);
        use MatrixKind::{Bayes, Grid, Hyperband, Iterative, Mapping, Random, Tpe};
        let fields = [
            (
                "params",
                matrix.params.values().next().map(|it| it.referenced),
                is(&[Mapping]),
                false,
            ),
            (
                "values",
                matrix.values.as_ref().map(|it| it.referenced),
                !is(&[Mapping]),
                is(&[Mapping]),
            ),
            (
                "runs",
                matrix.runs.as_ref().map(|it| it.referenced),
                is(&[Mapping, Hyperband]),
                is(&[Random, Tpe, Bayes, Iterative]),
            ),
            (
                "seed",
                matrix.seed.as_ref().map(|it| it.referenced),
                is(&[Grid, Mapping, Iterative]),
                false,
            ),
            (
                "metric",
                matrix.metric.as_ref().map(|it| it.referenced),
                false,
                is(&[Hyperband, Tpe, Bayes]),
            ),
            (
                "tuner",
                matrix.tuner.as_ref().map(|it| it.referenced),
                !is(&[Iterative]),
                is(&[Iterative]),
            ),
            (
                "resource",
                matrix.resource.as_ref().map(|it| it.referenced),
                !is(&[Hyperband]),
                is(&[Hyperband]),
            ),
            ("eta", matrix.eta.as_ref().map(|it| it.referenced), !is(&[Hyperband]), false),
            ("resume", matrix.resume.as_ref().map(|it| it.referenced), !is(&[Hyperband]), false),
        ];
        for (field, found, is_foreign, is_needed) in fields {
            let word = kind.word();
            if found.is_some() && is_foreign {
                return Err(self.wrong(at(found), format!("`{field}` is not for `kind: {word}`")));
            }
            if found.is_none() && is_needed {
                let reason = format!("`kind: {word}` needs `{field}`");
                return Err(self.wrong(written.referenced, reason));
            }
        }
        Ok(())
    }

    fn spaces(
        &self,
        written: &Spanned<MatrixKind>,
        matrix: &Matrix,
    ) -> Result<Vec<(String, Space)>, FileError> {
        if matrix.params.is_empty() && matrix.values.is_none() {
            return Err(self.wrong(written.referenced, "`matrix` varies no `params`"));
        }
        let mut spaces = Vec::with_capacity(matrix.params.len());
        for (name, space) in &matrix.params {
            let at = space.referenced;
            let filled = self.filled(at, &space.value)?;
            let space = Space::read(&filled)
                .map_err(|why| self.wrong(at, format!("param `{name}` of `matrix`: {why}")))?;
            spaces.push((name.clone(), space));
        }
        Ok(spaces)
    }

    fn method(
        &self,
        kind: &Spanned<MatrixKind>,
        matrix: &Matrix,
        at: Location,
        spaces: &[(String, Space)],
    ) -> Result<Method, FileError> {
        let seed = matrix.seed.as_ref().map_or(0, |seed| seed.value);
        let runs =
            matrix.runs.as_ref().map(|runs| usize::try_from(runs.value).unwrap_or(usize::MAX));
        let at = matrix.runs.as_ref().map_or(at, |runs| runs.referenced);
        let listed = match kind.value {
            MatrixKind::Grid => Search::grid(spaces, runs),
            MatrixKind::Random => Search::random(spaces, runs.unwrap_or_default(), seed),
            MatrixKind::Mapping => return self.mapping(matrix).map(Method::Listed),
            MatrixKind::Hyperband => {
                let resource = self.resource(kind, matrix)?;
                resource.bounded().map_err(|why| self.wrong(at, why))?;
                return Ok(Method::Brackets { resource, spaces: spaces.to_vec(), seed });
            }
            MatrixKind::Tpe | MatrixKind::Bayes | MatrixKind::Iterative => {
                let (by, place) = self.suggester(kind, matrix)?;
                let (runs, spaces) = (runs.unwrap_or_default(), spaces.to_vec());
                bounded(runs).map_err(|why| self.wrong(at, why))?;
                let at = Some(place);
                return Ok(Method::Suggested(Suggested { by, spaces, runs, seed, at }));
            }
        };
        listed.map(Method::Listed).map_err(|why| self.wrong(at, why))
    }

    /// Who suggests the trials, and where the file says so.
    fn suggester(
        &self,
        kind: &Spanned<MatrixKind>,
        matrix: &Matrix,
    ) -> Result<(Suggester, Place), FileError> {
        let place = |at| self.world.sources.place(at);
        let Some(tuner) = &matrix.tuner else {
            let is_bayes = kind.value == MatrixKind::Bayes;
            let by = if is_bayes { Suggester::Bayes } else { Suggester::Tpe };
            return Ok((by, place(kind.referenced)));
        };
        if !is_target(&tuner.value) {
            let reason = format!("`tuner: {}` must be module:function", tuner.value);
            return Err(self.wrong(tuner.referenced, reason));
        }
        Ok((Suggester::Tuner(tuner.value.clone()), place(tuner.referenced)))
    }

    /// The trials that are written one by one.
    fn mapping(&self, matrix: &Matrix) -> Result<Vec<Point>, FileError> {
        let Some(values) = &matrix.values else { return Ok(Vec::new()) };
        let at = values.referenced;
        let wrong = |why: &str| self.wrong(at, format!("`values` of `matrix`: {why}"));
        let filled = self.filled(at, &values.value)?;
        let rows = filled.as_array().filter(|rows| !rows.is_empty());
        let rows =
            rows.ok_or_else(|| wrong("it is a list of params by name, such as [{rate: 0.1}]"))?;
        let mut points: Vec<Point> = Vec::with_capacity(rows.len());
        for (number, row) in rows.iter().enumerate() {
            let row = row.as_object().filter(|row| !row.is_empty());
            let row = row.ok_or_else(|| wrong(&format!("trial {number} is no params by name")))?;
            let names = points.first().map(|first| first.iter().map(|(name, _)| name.as_str()));
            let mut point: Point = row.clone().into_iter().collect();
            if let Some(names) = names {
                let names: Vec<&str> = names.collect();
                if point.len() != names.len() || point.iter().any(|(it, _)| !names.contains(&&**it))
                {
                    let reason = format!(
                        "trial {number} does not have the params of the first: {}",
                        names.join(", ")
                    );
                    return Err(wrong(&reason));
                }
                point.sort_by_key(|(it, _)| names.iter().position(|name| name == it));
            }
            points.push(point);
        }
        Ok(points)
    }

    fn resource(&self, kind: &Spanned<MatrixKind>, matrix: &Matrix) -> Result<Resource, FileError> {
        // Its field is needed, and was looked for.
        let Some(Spanned { value: ResourceOf { name, min, max }, referenced: at }) =
            &matrix.resource
        else {
            return Err(self.wrong(kind.referenced, "there is no `resource`"));
        };
        let one = Json::from(1);
        let read = Resource::read(
            name,
            min.as_ref().unwrap_or(&one),
            max,
            matrix.eta.as_ref().map(|eta| eta.value),
        );
        read.map_err(|why| {
            let eta = matrix.eta.as_ref().filter(|_| why.starts_with("`eta`"));
            self.wrong(eta.map_or(*at, |eta| eta.referenced), why)
        })
    }

    fn metric(matrix: &Matrix) -> Option<Metric> {
        let Sought { name, goal } = &matrix.metric.as_ref()?.value;
        let goal = match goal {
            GoalWord::Minimize => Goal::Minimize,
            GoalWord::Maximize => Goal::Maximize,
        };
        Some(Metric { name: name.clone(), goal })
    }

    /// Whether what a search seeks is a value that its operation gives.
    pub(super) fn is_measured(
        &self,
        operation: &Operation,
        outputs: &[(String, Output)],
    ) -> Result<(), FileError> {
        let sought = operation.matrix.as_ref().and_then(|matrix| matrix.value.metric.as_ref());
        let Some(Spanned { value: Sought { name, .. }, referenced: at }) = sought else {
            return Ok(());
        };
        match outputs.iter().find(|(known, _)| known == name).map(|(_, output)| output) {
            Some(Output::Json { .. } | Output::Value) => {}
            Some(_) => {
                let reason = format!(
                    "`metric`: output `{name}` is a file, and must be a value, such as {{json: scores.json, at: /{name}}}"
                );
                return Err(self.wrong(*at, reason));
            }
            None => {
                let hint = did_you_mean(name, outputs.iter().map(|(known, _)| known.as_str()));
                return Err(
                    self.wrong(*at, format!("`metric`: there is no output `{name}`; {hint}"))
                );
            }
        }
        Ok(())
    }

    fn stop(
        &self,
        stop: &Spanned<EarlyStopping>,
        metric: Option<&Metric>,
    ) -> Result<Stop, FileError> {
        match (stop.value.metric, stop.value.failures) {
            (Some(_), None) if metric.is_none() => {
                Err(self.wrong(stop.referenced, "`early_stopping` by `metric` needs a `metric`"))
            }
            (Some(wanted), None) => Ok(Stop::Reached(wanted)),
            (None, Some(most)) if most > 0 => {
                Ok(Stop::Failures(usize::try_from(most).unwrap_or(usize::MAX)))
            }
            _ => {
                let reason = "`early_stopping` is a list of {metric: a number} and {failures: a number from 1 on}";
                Err(self.wrong(stop.referenced, reason))
            }
        }
    }

    fn resume(&self, operation: &Operation, matrix: &Matrix) -> Result<Option<String>, FileError> {
        let Some(resume) = &matrix.resume else { return Ok(None) };
        if operation.run.is_none() {
            let reason = "`resume` is for an operation with `run`: leave it out";
            return Err(self.wrong(resume.referenced, reason));
        }
        match operation.outputs.get(&resume.value).map(|output| &output.value) {
            Some(Output::File(_) | Output::Directory(_)) => Ok(Some(resume.value.clone())),
            _ => {
                let reason = format!(
                    "`resume` names an output that is a file or a directory, and `{}` is none; {}",
                    resume.value,
                    did_you_mean(&resume.value, operation.outputs.keys().map(String::as_str))
                );
                Err(self.wrong(resume.referenced, reason))
            }
        }
    }

    /// The params that vary have names of their own, and all of them count.
    fn names_fit(
        &self,
        operation: &Operation,
        at: Location,
        names: &[String],
    ) -> Result<(), FileError> {
        for name in names {
            self.world.is_name("param", name, at)?;
            if operation.inputs.contains_key(name) {
                return Err(
                    self.wrong(at, format!("`{name}` is both an input and a param of `matrix`"))
                );
            }
            if let Some(own) = operation.params.get(name)
                && matches!(own.value, Argument::From(_))
            {
                let reason = format!(
                    "param `{name}` comes from another operation, and `matrix` varies it: leave one out"
                );
                return Err(self.wrong(own.referenced, reason));
            }
            let io = operation.cache.io.as_ref().or(self.scope.cache.io.as_ref());
            if io.is_some_and(|io| io.iter().all(|it| it.value != *name)) {
                let reason = format!(
                    "`cache.io` leaves out `{name}`, which `matrix` varies: all trials would share one result"
                );
                return Err(self.wrong(at, reason));
            }
        }
        let sections = operation.cache.sections.as_ref().or(self.scope.cache.sections.as_ref());
        if sections.is_some_and(|sections| !sections.contains(&Section::Params)) {
            let reason = "`cache.sections` leaves out `params`, which `matrix` varies: all trials would share one result";
            return Err(self.wrong(at, reason));
        }
        let own = operation.outputs.iter().find(|(name, _)| OWN.contains(&name.as_str()));
        if let Some((name, output)) = own {
            let reason = format!(
                "`{name}` is what a search gives itself: choose another name for the output"
            );
            return Err(self.wrong(output.referenced, reason));
        }
        if let Some(input) = operation.inputs.get(RESUME).filter(|_| operation.resumes()) {
            return Err(self.wrong(
                input.referenced,
                "`resume` is the input of promoted trials: choose another name",
            ));
        }
        Ok(())
    }
}

impl Search {
    /// An output by its name: a list of what its trials gave, or of the best one.
    pub(super) fn output(&self, outputs: &[(String, Output)], name: &str) -> Option<Output> {
        let value = || Output::Json { path: String::new(), at: String::new() };
        let own = |name: &str| outputs.iter().find(|(it, _)| it == name).map(|(_, it)| it.clone());
        match name.strip_prefix("best.") {
            Some(_) if self.metric.is_none() => None,
            Some("params" | "trial") => Some(value()),
            Some(name) => own(name),
            None if name == "trials" => Some(value()),
            None => own(name).map(|output| match output.as_file() {
                Some(path) => Output::Directory(path.to_owned()),
                None => output,
            }),
        }
    }
}

impl Operation {
    /// Whether it is a search whose promoted trials go on from an output.
    pub(crate) fn resumes(&self) -> bool {
        self.matrix.as_ref().is_some_and(|matrix| matrix.value.resume.is_some())
    }
}

/// The params that a search varies.
fn varied(matrix: &Matrix, method: &Method) -> Vec<String> {
    let mut names: Vec<String> = match method {
        Method::Listed(points) => {
            points.first().into_iter().flatten().map(|(name, _)| name.clone()).collect()
        }
        Method::Brackets { .. } | Method::Suggested(_) => matrix.params.keys().cloned().collect(),
    };
    let more = matrix.resource.as_ref().map(|resource| resource.value.name.clone());
    names.extend(more.filter(|name| !names.contains(name)));
    names
}
