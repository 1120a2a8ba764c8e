//! Spaces as those see them who suggest trials: without units, within bounds.

use serde_json::{Value as Json, json};

use super::draw::rounded;
use super::space::{Distribution, Shape, Space, number};

/// How far from its mean a normal distribution is looked at, in deviations.
const REACH: f64 = 3.0;

/// The positions that the values of a space have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    /// All numbers from 0 to 1.
    Line,
    /// The whole numbers below this one, where neighbours are alike.
    Steps(usize),
    /// The whole numbers below this one, which stand for values without an order.
    Choices(usize),
}

impl Axis {
    /// As those are told who suggest.
    pub(super) fn told(self) -> Json {
        match self {
            Self::Line => json!({"kind": "line"}),
            Self::Steps(count) => json!({"kind": "steps", "count": count}),
            Self::Choices(count) => json!({"kind": "choices", "count": count}),
        }
    }
}

impl Space {
    /// Its positions. Numbers that rise or fall from one to the next have an order.
    pub(super) fn axis(&self) -> Axis {
        match self {
            Self::Drawn(_) => Axis::Line,
            Self::Weighted(pairs) => Axis::Choices(pairs.len()),
            Self::List(values) => {
                let numbers: Option<Vec<f64>> = values.iter().map(Json::as_f64).collect();
                let has_order = numbers.is_some_and(|numbers| {
                    numbers.is_sorted_by(|a, b| a < b) || numbers.is_sorted_by(|a, b| a > b)
                });
                if has_order { Axis::Steps(values.len()) } else { Axis::Choices(values.len()) }
            }
        }
    }

    /// The value at a position.
    pub(super) fn at(&self, position: f64) -> Option<Json> {
        let index =
            || (position.round() == position && position >= 0.0).then_some(position as usize);
        match self {
            Self::List(values) => values.get(index()?).cloned(),
            Self::Weighted(pairs) => pairs.get(index()?).map(|(value, _)| value.clone()),
            Self::Drawn(distribution) => {
                (0.0..=1.0).contains(&position).then(|| distribution.at(position))
            }
        }
    }

    /// The position of one of its values, or the nearest one.
    pub(super) fn position(&self, value: &Json) -> Option<f64> {
        match self {
            Self::List(values) => values.iter().position(|it| it == value).map(|it| it as f64),
            Self::Weighted(pairs) => {
                pairs.iter().position(|(it, _)| it == value).map(|it| it as f64)
            }
            Self::Drawn(distribution) => Some(distribution.position(value.as_f64()?)),
        }
    }

    /// A value that somebody chose, as this space writes it.
    ///
    /// # Errors
    ///
    /// It is none of its values.
    pub(super) fn settled(&self, value: &Json) -> Result<Json, String> {
        let is_same = |it: &&Json| match (it.as_f64(), value.as_f64()) {
            (Some(one), Some(other)) => one == other,
            _ => **it == *value,
        };
        let listed = |found: Option<&Json>| {
            found.cloned().ok_or_else(|| format!("{value} is none of the values of its space"))
        };
        match self {
            Self::List(values) => listed(values.iter().find(is_same)),
            Self::Weighted(pairs) => listed(pairs.iter().map(|(it, _)| it).find(is_same)),
            Self::Drawn(distribution) => {
                let found = value.as_f64().ok_or_else(|| format!("{value} is no number"))?;
                if let Shape::Uniform(low, high) = distribution.shape
                    && !(low..=high).contains(&found)
                {
                    return Err(format!("{value} is not between {low} and {high}"));
                }
                if distribution.is_whole && found.fract() != 0.0 {
                    return Err(format!("{value} is no whole number"));
                }
                Ok(number(found, distribution.is_whole))
            }
        }
    }
}

impl Distribution {
    /// Its bounds, as logarithms if it is one of logarithms.
    fn bounds(&self) -> (f64, f64) {
        match self.shape {
            Shape::Uniform(low, high) if self.is_log => (low.ln(), high.ln()),
            Shape::Uniform(low, high) => (low, high),
            Shape::Normal(mean, deviation) => (mean - REACH * deviation, mean + REACH * deviation),
        }
    }

    fn at(&self, position: f64) -> Json {
        let (low, high) = self.bounds();
        let value = low + position * (high - low);
        self.written(if self.is_log { value.exp() } else { value })
    }

    fn position(&self, value: f64) -> f64 {
        let (low, high) = self.bounds();
        let value = if self.is_log { value.ln() } else { value };
        rounded(((value - low) / (high - low)).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(written: Json) -> Space {
        Space::read(&written).unwrap()
    }

    #[test]
    fn lists_of_numbers_with_an_order_have_steps() {
        for (written, axis) in [
            (json!([1, 2, 8]), Axis::Steps(3)),
            (json!([0.5, 0.1]), Axis::Steps(2)),
            (json!({"logspace": [-3, -1, 3]}), Axis::Steps(3)),
            (json!([1, 2, 2]), Axis::Choices(3)),
            (json!([1, "a"]), Axis::Choices(2)),
            (json!([true, false]), Axis::Choices(2)),
            (json!({"pchoice": [[1, 0.5], [2, 0.5]]}), Axis::Choices(2)),
            (json!({"normal": [0, 1]}), Axis::Line),
        ] {
            assert_eq!(space(written.clone()).axis(), axis, "{written}");
        }
    }

    #[test]
    fn a_value_is_found_again_at_its_position() {
        for written in [
            json!(["a", {"x": 1}, null]),
            json!({"pchoice": [["x", 0.25], ["y", 0.75]]}),
            json!({"range": [8, 2, -2]}),
            json!({"uniform": [-1, 3]}),
            json!({"loguniform": [1e-5, 0.1]}),
            json!({"quniform": [1, 10, 3]}),
            json!({"qloguniform": [1, 64, 2]}),
            json!({"normal": [5, 0.1]}),
            json!({"qlognormal": [3, 1, 5]}),
        ] {
            let space = space(written.clone());
            let positions: Vec<f64> = match space.axis() {
                Axis::Line => (0..=10).map(|it| f64::from(it) / 10.0).collect(),
                Axis::Steps(count) | Axis::Choices(count) => {
                    (0..count).map(|it| it as f64).collect()
                }
            };
            for position in positions {
                let value = space.at(position).unwrap();
                let again = space.at(space.position(&value).unwrap()).unwrap();
                assert_eq!(again, value, "{written} at {position}");
                assert_eq!(space.settled(&value), Ok(value));
            }
        }
    }

    #[test]
    fn positions_that_are_none_have_no_value() {
        let list = space(json!([1, 2]));
        assert_eq!((list.at(2.0), list.at(0.5), list.at(-1.0)), (None, None, None));
        let line = space(json!({"uniform": [0, 1]}));
        assert_eq!((line.at(1.5), line.at(f64::NAN)), (None, None));
        // Drawn further out than is looked at.
        let normal = space(json!({"normal": [0, 1]}));
        assert_eq!(normal.position(&json!(9.0)), Some(1.0));
    }

    #[test]
    fn what_somebody_chose_is_written_as_the_space_writes_it() {
        let list = space(json!([1, 2.0, "a"]));
        assert_eq!(list.settled(&json!(1.0)).unwrap().to_string(), "1");
        assert_eq!(list.settled(&json!(2)).unwrap().to_string(), "2.0");
        let whole = space(json!({"quniform": [1, 10, 1]}));
        assert_eq!(whole.settled(&json!(4.0)).unwrap().to_string(), "4");
        for (space, value, told) in [
            (&list, json!(3), "3 is none of the values"),
            (&whole, json!(11), "11 is not between 1 and 10"),
            (&whole, json!(2.5), "2.5 is no whole number"),
            (&whole, json!("x"), "\"x\" is no number"),
        ] {
            let error = space.settled(&value).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
