//! Which trials a search has, and when it is over.

use serde_json::Value as Json;

use super::brackets::{Resource, Rung};
use super::draw::Draws;
use super::space::Space;
use super::suggest::Suggested;

/// The most trials that one search may have.
pub const MOST: usize = 100_000;
/// The most trials of a grid that nobody bounded.
const UNBOUNDED: usize = 10_000;

/// Values of the params that a search varies, by name.
pub type Point = Vec<(String, Json)>;

/// The name of the input that a promoted trial goes on from.
pub(crate) const RESUME: &str = "resume";

/// What one operation is tried with.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Where its trials come from.
    pub method: Method,
    /// The params it varies, in the order of the file.
    pub names: Vec<String>,
    /// What is sought.
    pub metric: Option<Metric>,
    /// When it is over before its time.
    pub stops: Vec<Stop>,
    /// How many of its trials run at once, if that is bounded.
    pub concurrency: Option<usize>,
    /// The output that a promoted trial goes on from.
    pub resume: Option<String>,
}

/// Where the trials of a search come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// They are known.
    Listed(Vec<Point>),
    /// Many with little of a resource, and the best of them with more (Hyperband).
    Brackets {
        /// What they get more and more of.
        resource: Resource,
        /// What they are drawn from.
        spaces: Vec<(String, Space)>,
        /// What they are drawn with.
        seed: u64,
    },
    /// Somebody suggests them who has seen the ones before.
    Suggested(Suggested),
}

/// What a search seeks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// The output.
    pub name: String,
    /// Which of its values are good.
    pub goal: Goal,
}

/// Which values of a metric are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Small ones.
    Minimize,
    /// Large ones.
    Maximize,
}

/// When a search is over before its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stop {
    /// The metric of a trial is this good.
    Reached(f64),
    /// So many trials failed.
    Failures(usize),
}

/// One trial: what it is tried with.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The values of the params.
    pub point: Point,
    /// Where it stands, if there are brackets.
    pub rung: Option<Rung>,
    /// The trial it was promoted from, by number.
    pub after: Option<usize>,
}

/// What became of a trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Resulted {
    /// It succeeded; with the metric, if there is one and it is a number.
    Gave(Option<f64>),
    /// It failed, or never ran.
    Failed,
}

/// How a search goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// With these trials.
    Trials(Vec<Trial>),
    /// With so many, at most, that are to be [suggested](Suggested::question).
    Asked(usize),
    /// Not at all; with the reason, if it ended before its time.
    Over(Option<String>),
}

impl Goal {
    /// Whether one result is better than another.
    pub fn is_better(self, one: f64, other: f64) -> bool {
        match self {
            Self::Minimize => one < other,
            Self::Maximize => one > other,
        }
    }

    fn is_reached(self, found: f64, wanted: f64) -> bool {
        !self.is_better(wanted, found)
    }
}

impl Search {
    /// All points of a grid: every combination once, the last param changing fastest. No more
    /// than `runs`, if that was said.
    ///
    /// # Errors
    ///
    /// A param whose values cannot be listed; too many points.
    pub fn grid(spaces: &[(String, Space)], runs: Option<usize>) -> Result<Vec<Point>, String> {
        let mut lists = Vec::with_capacity(spaces.len());
        for (name, space) in spaces {
            let values = space.values().ok_or_else(|| {
                format!(
                    "`{name}` is drawn from a distribution, of which a grid knows no values: take \
                     `kind: random`, or `linspace` or `logspace`"
                )
            })?;
            lists.push((name, values));
        }
        let all = lists.iter().try_fold(1_usize, |all, (_, values)| all.checked_mul(values.len()));
        let count = match (all, runs) {
            (_, Some(runs)) => runs.min(all.unwrap_or(usize::MAX)),
            (Some(all), None) if all <= UNBOUNDED => all,
            (all, None) => {
                let all = all.map_or("more trials than can be counted".to_owned(), |all| {
                    format!("{all} trials")
                });
                return Err(format!(
                    "the grid has {all}, and without a bound {UNBOUNDED} are allowed: say \
                     `runs: N` for its first N (at most {MOST}), or draw N of them with \
                     `kind: random`"
                ));
            }
        };
        bounded(count)?;
        let point = |number: usize| {
            let mut left = number;
            let mut point: Point = Vec::with_capacity(lists.len());
            for (name, values) in lists.iter().rev() {
                point.push(((*name).clone(), values[left % values.len()].clone()));
                left /= values.len();
            }
            point.reverse();
            point
        };
        Ok((0..count).map(point).collect())
    }

    /// So many points drawn by lot.
    ///
    /// # Errors
    ///
    /// Too many of them.
    pub fn random(
        spaces: &[(String, Space)],
        runs: usize,
        seed: u64,
    ) -> Result<Vec<Point>, String> {
        bounded(runs)?;
        Ok((0..runs).map(|number| drawn(spaces, seed, number)).collect())
    }

    /// How it goes on after these trials.
    pub fn next(&self, past: &[(Trial, Resulted)]) -> Next {
        if let Some(why) = self.is_stopped(past) {
            return Next::Over(Some(why));
        }
        let together = self.concurrency.unwrap_or(1);
        let trials: Vec<Trial> = match &self.method {
            Method::Listed(points) => {
                let left = points.iter().skip(past.len());
                let together = if self.stops.is_empty() { usize::MAX } else { together };
                left.take(together).cloned().map(Trial::of).collect()
            }
            Method::Brackets { resource, spaces, seed } => {
                self.rungs(resource, spaces, *seed, past)
            }
            Method::Suggested(suggested) => {
                let first = suggested.first(past.len(), together);
                let left = suggested.left(past.len()).min(together);
                if first.is_empty() && left > 0 {
                    return Next::Asked(left);
                }
                first.into_iter().map(Trial::of).collect()
            }
        };
        if trials.is_empty() { Next::Over(None) } else { Next::Trials(trials) }
    }

    /// Who suggests its trials, if somebody does.
    pub const fn suggested(&self) -> Option<&Suggested> {
        match &self.method {
            Method::Suggested(suggested) => Some(suggested),
            Method::Listed(_) | Method::Brackets { .. } => None,
        }
    }

    /// Whether all its trials are known before anything ran.
    pub fn is_listed(&self) -> bool {
        matches!(self.method, Method::Listed(_)) && self.stops.is_empty()
    }

    /// The best trial so far, by number: the first, if several are as good.
    pub fn best(&self, results: impl Iterator<Item = Resulted>) -> Option<usize> {
        let goal = self.metric.as_ref()?.goal;
        let numbers = results.enumerate().filter_map(|(number, result)| match result {
            Resulted::Gave(Some(found)) => Some((number, found)),
            Resulted::Gave(None) | Resulted::Failed => None,
        });
        let best = numbers.reduce(|best, it| if goal.is_better(it.1, best.1) { it } else { best });
        best.map(|(number, _)| number)
    }

    fn is_stopped(&self, past: &[(Trial, Resulted)]) -> Option<String> {
        let failed = past.iter().filter(|(_, result)| *result == Resulted::Failed).count();
        self.stops.iter().find_map(|stop| match stop {
            Stop::Failures(most) if failed >= *most => Some(format!("{failed} trials failed")),
            Stop::Failures(_) => None,
            Stop::Reached(wanted) => {
                let metric = self.metric.as_ref()?;
                let is_reached = |result: &Resulted| match result {
                    Resulted::Gave(Some(found)) => metric.goal.is_reached(*found, *wanted),
                    Resulted::Gave(None) | Resulted::Failed => false,
                };
                let at = past.iter().position(|(_, result)| is_reached(result))?;
                Some(format!("{} reached {wanted} in trial {at}", metric.name))
            }
        })
    }

    /// The next rung of every bracket.
    fn rungs(
        &self,
        resource: &Resource,
        spaces: &[(String, Space)],
        seed: u64,
        past: &[(Trial, Resulted)],
    ) -> Vec<Trial> {
        let brackets = resource.brackets();
        let with = |mut point: Point, amount: f64| {
            point.retain(|(name, _)| *name != resource.name);
            point.push((resource.name.clone(), resource.value(amount)));
            point
        };
        let mut trials = Vec::new();
        if past.is_empty() {
            for bracket in &brackets {
                let (count, amount) = bracket.rungs[0];
                for _ in 0..count {
                    let point = with(drawn(spaces, seed, trials.len()), amount);
                    let rung = Some(Rung { bracket: bracket.number, level: 0 });
                    trials.push(Trial { point, rung, after: None });
                }
            }
            return trials;
        }
        let level = past.iter().filter_map(|(trial, _)| trial.rung).map(|rung| rung.level).max();
        let level = level.unwrap_or_default();
        for bracket in &brackets {
            let Some((count, amount)) = bracket.rungs.get(level as usize + 1) else { continue };
            let before = Rung { bracket: bracket.number, level };
            for number in self.promoted(before, *count, past) {
                let point = with(past[number].0.point.clone(), *amount);
                let rung = Some(Rung { bracket: bracket.number, level: level + 1 });
                trials.push(Trial { point, rung, after: Some(number) });
            }
        }
        trials
    }

    /// The best trials of a rung, by number: so many, or as many as have a result.
    fn promoted(&self, rung: Rung, count: usize, past: &[(Trial, Resulted)]) -> Vec<usize> {
        let goal = self.metric.as_ref().map_or(Goal::Minimize, |metric| metric.goal);
        let found = past.iter().enumerate().filter_map(|(number, (trial, result))| match result {
            Resulted::Gave(Some(found)) if trial.rung == Some(rung) => Some((*found, number)),
            _ => None,
        });
        let mut found: Vec<(f64, usize)> = found.collect();
        found.sort_by(|(one, _), (other, _)| match goal {
            Goal::Minimize => one.total_cmp(other),
            Goal::Maximize => other.total_cmp(one),
        });
        found.into_iter().take(count).map(|(_, number)| number).collect()
    }
}

impl Trial {
    /// One of no bracket.
    pub const fn of(point: Point) -> Self {
        Self { point, rung: None, after: None }
    }
}

pub(super) fn drawn(spaces: &[(String, Space)], seed: u64, trial: usize) -> Point {
    let value = |name: &str, space: &Space| space.draw(&mut Draws::new(seed, trial as u64, name));
    spaces.iter().map(|(name, space)| (name.clone(), value(name, space))).collect()
}

pub(crate) fn bounded(count: usize) -> Result<(), String> {
    match count {
        0 => Err("the search has no trial".to_owned()),
        1..=MOST => Ok(()),
        _ => Err(format!("the search has {count} trials; at most {MOST} are allowed")),
    }
}

impl Resource {
    /// Whether its trials are not too many.
    ///
    /// # Errors
    ///
    /// How many there are.
    pub fn bounded(&self) -> Result<(), String> {
        bounded(self.trials())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::super::suggest::Suggester;
    use super::*;

    fn spaces(all: Json) -> Vec<(String, Space)> {
        let table = all.as_object().unwrap();
        table.iter().map(|(name, it)| (name.clone(), Space::read(it).unwrap())).collect()
    }

    fn search(method: Method, goal: Goal) -> Search {
        let metric = Some(Metric { name: "loss".to_owned(), goal });
        let (names, stops) = (Vec::new(), Vec::new());
        Search { method, names, metric, stops, concurrency: None, resume: None }
    }

    fn shown(points: &[Point]) -> Vec<String> {
        points.iter().map(|point| json!(point).to_string()).collect()
    }

    /// Runs a search to its end with this result for each trial.
    fn played(
        search: &Search,
        result: impl Fn(usize, &Trial) -> Resulted,
    ) -> Vec<(Trial, Resulted)> {
        let mut past = Vec::new();
        while let Next::Trials(trials) = search.next(&past) {
            for trial in trials {
                let result = result(past.len(), &trial);
                past.push((trial, result));
            }
        }
        past
    }

    #[test]
    fn a_grid_has_every_combination_once() {
        let spaces = spaces(json!({"a": [1, 2], "b": ["x", "y", "z"], "c": {"range": [0, 4]}}));
        let points = Search::grid(&spaces, None).unwrap();
        let different: BTreeSet<_> = shown(&points).into_iter().collect();
        assert_eq!((points.len(), different.len()), (2 * 3 * 4, 2 * 3 * 4));
        assert_eq!(json!(points[1]), json!([["a", 1], ["b", "x"], ["c", 1]]));
        let first = Search::grid(&spaces, Some(5)).unwrap();
        assert_eq!(first, points[..5]);
    }

    #[test]
    fn a_search_without_a_bound_is_refused() {
        let many = json!({"range": [0, 100]});
        let spaces = spaces(json!({"a": many, "b": many, "c": many}));
        let error = Search::grid(&spaces, None).unwrap_err();
        assert!(error.contains("1000000 trials") && error.contains("runs: N"), "{error}");
        assert!(Search::grid(&spaces, Some(1_000_000)).unwrap_err().contains("at most 100000"));
        assert_eq!(Search::grid(&spaces[..2], None).unwrap().len(), 10_000);
        assert_eq!(Search::grid(&spaces, Some(10_001)).unwrap().len(), 10_001);
        let huge: Vec<_> = (0..20).map(|n| (format!("p{n}"), spaces[0].1.clone())).collect();
        assert!(Search::grid(&huge, None).unwrap_err().contains("more trials than can be counted"));
        assert!(Search::random(&spaces, 100_001, 0).unwrap_err().contains("at most 100000"));
        assert!(Search::random(&spaces, 0, 0).unwrap_err().contains("no trial"));
    }

    #[test]
    fn what_is_drawn_is_the_same_again_and_grows() {
        let small = spaces(json!({"lr": {"loguniform": [1e-4, 1]}, "depth": {"range": [1, 9]}}));
        let points = Search::random(&small, 20, 3).unwrap();
        assert_eq!(points, Search::random(&small, 20, 3).unwrap());
        assert_eq!(points[..10], Search::random(&small, 10, 3).unwrap()[..]);
        assert_ne!(points, Search::random(&small, 20, 4).unwrap());
        let mut more = small.clone();
        more.insert(0, ("width".to_owned(), Space::read(&json!([1, 2, 3])).unwrap()));
        let wider = Search::random(&more, 20, 3).unwrap();
        for (one, other) in points.iter().zip(&wider) {
            assert_eq!(one[..], other[1..], "another param leaves the values of these alone");
        }
    }

    #[test]
    fn early_stopping_ends_a_search() {
        let points = Search::grid(&spaces(json!({"a": {"range": [0, 10]}})), None).unwrap();
        let mut search = search(Method::Listed(points), Goal::Minimize);
        search.concurrency = Some(2);
        let loss = |number: usize, _: &Trial| Resulted::Gave(Some(10.0 - number as f64));
        assert_eq!(played(&search, loss).len(), 10);
        search.stops = vec![Stop::Reached(6.0)];
        let past = played(&search, loss);
        assert_eq!(past.len(), 6, "the fifth reached it, and the sixth ran beside it");
        let over = search.next(&past);
        assert_eq!(over, Next::Over(Some("loss reached 6 in trial 4".to_owned())));
        search.stops = vec![Stop::Failures(3)];
        let past = played(&search, |number, _| match number % 2 {
            0 => Resulted::Failed,
            _ => Resulted::Gave(None),
        });
        assert_eq!(past.len(), 6);
    }

    #[test]
    fn a_sampler_is_asked_when_there_is_something_to_learn_from() {
        let spaces = spaces(json!({"lr": {"uniform": [0, 1]}}));
        let random = Search::random(&spaces, 10, 3).unwrap();
        for (by, drawn) in
            [(Suggester::Tpe, 10), (Suggester::Bayes, 10), (Suggester::Tuner("a:b".into()), 0)]
        {
            let suggested = Suggested { by, spaces: spaces.clone(), runs: 17, seed: 3, at: None };
            let mut search = search(Method::Suggested(suggested), Goal::Minimize);
            search.concurrency = Some(4);
            let (mut past, mut asked) = (Vec::new(), Vec::new());
            loop {
                let trials = match search.next(&past) {
                    Next::Trials(trials) => trials,
                    Next::Asked(count) => {
                        asked.push(count);
                        vec![Trial::of(random[0].clone()); count]
                    }
                    Next::Over(why) => break assert_eq!(why, None),
                };
                assert!(trials.len() <= 4);
                past.extend(trials.into_iter().map(|it| (it, Resulted::Gave(None))));
            }
            assert_eq!((past.len(), asked.iter().sum::<usize>()), (17, 17 - drawn));
            let first: Vec<_> = past[..drawn].iter().map(|(it, _)| it.point.clone()).collect();
            assert_eq!(first, random[..drawn], "those of a random search with the seed");
        }
    }

    #[test]
    fn hyperband_promotes_the_best_and_never_what_failed() {
        for goal in [Goal::Minimize, Goal::Maximize] {
            let spaces = spaces(json!({"lr": {"uniform": [0, 1]}}));
            let name = "epochs".to_owned();
            let resource = Resource { name, min: 1.0, max: 9.0, is_whole: true, eta: 3.0 };
            let method = Method::Brackets { resource, spaces, seed: 1 };
            let sign = if goal == Goal::Minimize { 1.0 } else { -1.0 };
            let past = played(&search(method, goal), |number, trial| match number {
                0 => Resulted::Failed,
                _ => Resulted::Gave(trial.point[0].1.as_f64().map(|lr| sign * lr)),
            });
            let at = |bracket, level| {
                let rung = Some(Rung { bracket, level });
                past.iter()
                    .filter(|(trial, _)| trial.rung == rung)
                    .map(|(it, _)| it)
                    .collect::<Vec<_>>()
            };
            let counts =
                [at(2, 0), at(2, 1), at(2, 2), at(1, 0), at(1, 1), at(0, 0)].map(|it| it.len());
            assert_eq!(counts, [9, 3, 1, 5, 1, 3]);
            let rate = |trial: &Trial| trial.point[0].1.as_f64().unwrap();
            let mut first: Vec<f64> = at(2, 0)[1..].iter().map(|it| rate(it)).collect();
            first.sort_by(f64::total_cmp);
            let promoted: Vec<f64> = at(2, 1).iter().map(|it| rate(it)).collect();
            assert_eq!(promoted, first[..3], "the best three, without the one that failed");
            for (trial, _) in &past {
                let epochs = trial.point[1].1.as_i64().unwrap();
                let rung = trial.rung.unwrap();
                assert_eq!(epochs, 9 / 3_i64.pow(rung.bracket - rung.level));
                if let Some(after) = trial.after {
                    assert_eq!(past[after].0.point[0], trial.point[0], "it goes on from itself");
                }
            }
        }
    }
}
