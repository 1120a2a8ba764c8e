//! The values that a param of a search may have: a list, or a distribution to draw from.

use serde_json::{Map, Value as Json};

use super::draw::{Draws, rounded};

/// The most values that one list may have.
const LONGEST: usize = 100_000;

/// The words that a space may be written with.
const WORDS: [&str; 14] = [
    "choice",
    "pchoice",
    "range",
    "linspace",
    "logspace",
    "geomspace",
    "uniform",
    "quniform",
    "loguniform",
    "qloguniform",
    "normal",
    "qnormal",
    "lognormal",
    "qlognormal",
];

/// The values that one param of a search may have.
#[derive(Debug, Clone, PartialEq)]
pub enum Space {
    /// These, in this order.
    List(Vec<Json>),
    /// These, each as often as its weight says. The weights add up to 1.
    Weighted(Vec<(Json, f64)>),
    /// What is drawn of a distribution.
    Drawn(Distribution),
}

/// A distribution over numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distribution {
    /// Its shape.
    pub shape: Shape,
    /// Whether the logarithm of the value is so distributed, and not the value.
    pub is_log: bool,
    /// What drawn values are rounded to a multiple of.
    pub step: Option<f64>,
    /// Whether its values are whole numbers, because all it was written with are.
    pub is_whole: bool,
}

/// The shape of a distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Equally from the first to the second.
    Uniform(f64, f64),
    /// Around the first with a standard deviation of the second.
    Normal(f64, f64),
}

impl Space {
    /// Reads a space: a list of values, or a mapping of one word to its numbers.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what is allowed.
    ///
    /// ```
    /// use serde_json::json;
    /// use thrifty_pipeline::expand::Space;
    ///
    /// let depths = Space::read(&json!({"range": [2, 8, 2]}))?;
    /// assert_eq!(depths, Space::List(vec![json!(2), json!(4), json!(6)]));
    /// # Ok::<(), String>(())
    /// ```
    pub fn read(value: &Json) -> Result<Self, String> {
        let (word, given) = match value {
            Json::Array(values) => return Self::list(values.clone()),
            Json::Object(table) if table.len() == 1 => only(table)?,
            _ => return Err(format!("is a list of values, or one of {}", words())),
        };
        let given = given.as_array().ok_or_else(|| format!("`{word}` takes a list"))?;
        match word {
            "choice" => Self::list(given.clone()),
            "pchoice" => Self::weighted(given),
            "range" => Self::list(range(given)?),
            "linspace" | "logspace" | "geomspace" => Self::list(spaced(word, given)?),
            _ => distribution(word, given).map(Self::Drawn),
        }
    }

    fn list(values: Vec<Json>) -> Result<Self, String> {
        match values.len() {
            0 => Err("has no value".to_owned()),
            1..=LONGEST => Ok(Self::List(values)),
            many => Err(format!("has {many} values; at most {LONGEST} are allowed")),
        }
    }

    fn weighted(pairs: &[Json]) -> Result<Self, String> {
        let pair = |pair: &Json| match pair.as_array().map(Vec::as_slice) {
            Some([value, weight]) => {
                let weight = weight.as_f64().filter(|weight| (0.0..=1.0).contains(weight));
                Some((value.clone(), weight?))
            }
            _ => None,
        };
        let pairs: Option<Vec<_>> = pairs.iter().map(pair).collect();
        let pairs = pairs.ok_or("`pchoice` takes pairs of a value and its share from 0 to 1")?;
        let sum: f64 = pairs.iter().map(|(_, weight)| weight).sum();
        if (sum - 1.0).abs() > 1e-6 {
            return Err(format!("the shares of `pchoice` add up to {sum}, and not to 1"));
        }
        Ok(Self::Weighted(pairs))
    }

    /// All its values, if they can be listed.
    pub fn values(&self) -> Option<Vec<Json>> {
        match self {
            Self::List(values) => Some(values.clone()),
            Self::Weighted(pairs) => Some(pairs.iter().map(|(value, _)| value.clone()).collect()),
            Self::Drawn(_) => None,
        }
    }

    /// One of its values.
    pub fn draw(&self, draws: &mut Draws) -> Json {
        match self {
            Self::List(values) => values[draws.below(values.len())].clone(),
            Self::Weighted(pairs) => {
                let mut left = draws.unit();
                let found = pairs.iter().find(|(_, weight)| {
                    left -= weight;
                    left < 0.0
                });
                // What rounding leaves over goes to the last.
                found.or(pairs.last()).map_or(Json::Null, |(value, _)| value.clone())
            }
            Self::Drawn(distribution) => distribution.draw(draws),
        }
    }
}

impl Distribution {
    fn draw(&self, draws: &mut Draws) -> Json {
        let drawn = match self.shape {
            Shape::Uniform(low, high) if self.is_log => {
                low.ln() + draws.unit() * (high.ln() - low.ln())
            }
            Shape::Uniform(low, high) => low + draws.unit() * (high - low),
            Shape::Normal(mean, deviation) => mean + deviation * draws.normal(),
        };
        self.written(if self.is_log { drawn.exp() } else { drawn })
    }

    /// A value as it is tried: a multiple of the step, within the bounds, with twelve digits.
    pub(super) fn written(&self, value: f64) -> Json {
        let value = match self.step {
            Some(step) => self.within((value / step).round() * step),
            None => self.within(value),
        };
        number(rounded(value), self.is_whole)
    }

    /// Rounding must not lead out of the bounds.
    fn within(&self, value: f64) -> f64 {
        match (self.shape, self.step) {
            (Shape::Uniform(low, high), None) => value.clamp(low, high),
            (Shape::Uniform(low, _), Some(step)) if value < low => value + step,
            (Shape::Uniform(_, high), Some(step)) if value > high => value - step,
            _ => value,
        }
    }
}

fn only(table: &Map<String, Json>) -> Result<(&str, &Json), String> {
    let found = table.iter().find(|(word, _)| WORDS.contains(&word.as_str()));
    found.map(|(word, given)| (word.as_str(), given)).ok_or_else(|| {
        let word = table.keys().next().map_or("", String::as_str);
        format!("`{word}` is no space; {}", thrifty_engine::did_you_mean(word, WORDS))
    })
}

fn words() -> String {
    WORDS.map(|word| format!("{{{word}: […]}}")).join(", ")
}

fn numbers<const N: usize>(word: &str, given: &[Json], names: &str) -> Result<[f64; N], String> {
    let found: Option<Vec<f64>> = given.iter().map(Json::as_f64).collect();
    found
        .and_then(|found| <[f64; N]>::try_from(found).ok())
        .ok_or_else(|| format!("`{word}` takes the numbers [{names}]"))
}

/// As Python's `range`: without the end.
fn range(given: &[Json]) -> Result<Vec<Json>, String> {
    let whole = is_whole(given);
    let [start, end, step] = match given {
        [_, _] => {
            let [start, end] = numbers("range", given, "start, end")?;
            [start, end, 1.0]
        }
        _ => numbers("range", given, "start, end, step")?,
    };
    if step == 0.0 {
        return Err("`range` has a step of 0".to_owned());
    }
    // A last value that is the end but for rounding is the end.
    let count = ((end - start) / step - 1e-9).ceil();
    if count < 1.0 {
        return Err("`range` has no value: its end is left out".to_owned());
    }
    if count > LONGEST as f64 {
        return Err(format!("`range` has {count} values; at most {LONGEST} are allowed"));
    }
    let at = |position: usize| number(rounded(start + position as f64 * step), whole);
    Ok((0..count as usize).map(at).collect())
}

/// So many values from one to the other, both included.
fn spaced(word: &str, given: &[Json]) -> Result<Vec<Json>, String> {
    let [start, end, count] = numbers(word, given, "start, end, count")?;
    let is_count = count.fract() == 0.0 && (1.0..=LONGEST as f64).contains(&count);
    if !is_count {
        return Err(format!("the third number of `{word}` says how many: from 1 to {LONGEST}"));
    }
    if word == "geomspace" && (start <= 0.0 || end <= 0.0) {
        return Err("`geomspace` is between numbers above 0".to_owned());
    }
    let count = count as usize;
    let at = |position: usize| {
        let share = if count == 1 { 0.0 } else { position as f64 / (count - 1) as f64 };
        let between = |start: f64, end: f64| start + share * (end - start);
        rounded(match word {
            "logspace" => 10_f64.powf(between(start, end)),
            "geomspace" => between(start.ln(), end.ln()).exp(),
            _ => between(start, end),
        })
    };
    let values: Vec<f64> = (0..count).map(at).collect();
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(format!("`{word}` leads to {value}")),
        None => Ok(values.into_iter().map(Json::from).collect()),
    }
}

fn distribution(word: &str, given: &[Json]) -> Result<Distribution, String> {
    let (kind, step) = match word.strip_prefix('q') {
        Some(kind) => (kind, true),
        None => (word, false),
    };
    let (kind, is_log) = match kind.strip_prefix("log") {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    let names = if kind == "uniform" { "low, high" } else { "mean, deviation" };
    let (first, second, step) = match step {
        true => {
            let [first, second, step] = numbers(word, given, &format!("{names}, step"))?;
            if step <= 0.0 {
                return Err(format!("the step of `{word}` is above 0"));
            }
            (first, second, Some(step))
        }
        false => {
            let [first, second] = numbers(word, given, names)?;
            (first, second, None)
        }
    };
    let shape = match kind {
        "uniform" if first >= second => {
            return Err(format!("`{word}` goes from a lower to a higher number"));
        }
        "uniform" if is_log && first <= 0.0 => {
            return Err(format!("`{word}` is between numbers above 0"));
        }
        "uniform" => Shape::Uniform(first, second),
        _ if second <= 0.0 => return Err(format!("the deviation of `{word}` is above 0")),
        _ => Shape::Normal(first, second),
    };
    if let (Shape::Uniform(low, high), Some(step)) = (shape, step)
        && (low / step).ceil() * step > high
    {
        return Err(format!("`{word}` has no multiple of {step} between {low} and {high}"));
    }
    Ok(Distribution { shape, is_log, step, is_whole: step.is_some() && is_whole(given) })
}

fn is_whole(given: &[Json]) -> bool {
    given.iter().all(|number| number.is_i64() || number.is_u64())
}

/// A number as it is written: whole numbers stay whole.
pub(super) fn number(value: f64, is_whole: bool) -> Json {
    // Within the numbers of a file, which are at most 64 bits.
    if is_whole { Json::from(value.round() as i64) } else { Json::from(value) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(space: Json) -> Json {
        Json::from(Space::read(&space).unwrap().values().unwrap())
    }

    #[test]
    fn lists_are_those_that_people_write() {
        for (space, values) in [
            (json!([1, "a", null]), json!([1, "a", null])),
            (json!({"choice": ["x", "y"]}), json!(["x", "y"])),
            (json!({"pchoice": [["x", 0.25], ["y", 0.75]]}), json!(["x", "y"])),
            (json!({"range": [1, 4]}), json!([1, 2, 3])),
            (json!({"range": [8, 2, -2]}), json!([8, 6, 4])),
            (json!({"range": [0, 0.4, 0.1]}), json!([0.0, 0.1, 0.2, 0.3])),
            (json!({"linspace": [0, 1, 3]}), json!([0.0, 0.5, 1.0])),
            (json!({"linspace": [2, 9, 1]}), json!([2.0])),
            (json!({"logspace": [-3, -1, 3]}), json!([0.001, 0.01, 0.1])),
            (json!({"geomspace": [1, 100, 3]}), json!([1.0, 10.0, 100.0])),
        ] {
            assert_eq!(listed(space.clone()), values, "{space}");
        }
    }

    #[test]
    fn what_is_drawn_stays_in_its_bounds_and_is_the_same_again() {
        for (space, low, high, is_whole) in [
            (json!({"uniform": [0, 1]}), 0.0, 1.0, false),
            (json!({"quniform": [1, 10, 3]}), 3.0, 9.0, true),
            (json!({"quniform": [0, 1, 0.25]}), 0.0, 1.0, false),
            (json!({"loguniform": [1e-5, 0.1]}), 1e-5, 0.1, false),
            (json!({"qloguniform": [1, 64, 2]}), 2.0, 64.0, true),
            (json!({"normal": [5, 0.1]}), 3.0, 7.0, false),
            (json!({"lognormal": [0, 0.1]}), 0.3, 3.0, false),
            (json!({"qnormal": [10, 2, 5]}), -20.0, 40.0, true),
        ] {
            let read = Space::read(&space).unwrap();
            let draw = |number| read.draw(&mut Draws::new(7, number, "lr"));
            let values: Vec<_> = (0..500).map(draw).collect();
            for value in &values {
                let found = value.as_f64().unwrap();
                assert!((low..=high).contains(&found), "{space}: {value}");
                assert_eq!(value.is_i64(), is_whole, "{space}: {value}");
            }
            assert_eq!(values, (0..500).map(draw).collect::<Vec<_>>());
            let different: std::collections::BTreeSet<_> =
                values.iter().map(Json::to_string).collect();
            assert!(different.len() > 2, "{space}");
        }
    }

    #[test]
    fn shares_are_kept() {
        let space = Space::read(&json!({"pchoice": [["a", 0.1], ["b", 0.9]]})).unwrap();
        let drawn = (0..2000).map(|number| space.draw(&mut Draws::new(1, number, "x")));
        let share = drawn.filter(|value| value == "a").count() as f64 / 2000.0;
        assert!((0.07..0.13).contains(&share), "{share}");
    }

    #[test]
    fn what_is_no_space_is_told() {
        for (space, told) in [
            (json!(3), "is a list of values, or one of {choice: […]}"),
            (json!([]), "has no value"),
            (json!({"rang": [1, 2]}), "`rang` is no space; did you mean `range`?"),
            (json!({"range": [1]}), "`range` takes the numbers [start, end, step]"),
            (json!({"range": [1, 2, 0]}), "a step of 0"),
            (json!({"range": [2, 1]}), "`range` has no value"),
            (json!({"range": [0, 1, 1e-9]}), "at most 100000"),
            (json!({"linspace": [0, 1, 2.5]}), "says how many"),
            (json!({"geomspace": [0, 1, 2]}), "above 0"),
            (json!({"logspace": [0, 400, 2]}), "leads to inf"),
            (json!({"uniform": [1, 0]}), "from a lower to a higher"),
            (json!({"uniform": ["a", 0]}), "`uniform` takes the numbers [low, high]"),
            (json!({"loguniform": [0, 1]}), "above 0"),
            (json!({"normal": [0, 0]}), "deviation"),
            (json!({"quniform": [0, 1]}), "[low, high, step]"),
            (json!({"quniform": [1, 2, 5]}), "no multiple of 5"),
            (json!({"pchoice": [["a", 0.5]]}), "add up to 0.5"),
            (json!({"pchoice": ["a"]}), "pairs"),
            (json!({"choice": 1}), "takes a list"),
        ] {
            let error = Space::read(&space).unwrap_err();
            assert!(error.contains(told), "{space}: {error}");
        }
    }
}
