//! Hyperband: which trials come next (Li et al., *Hyperband: a novel bandit-based approach to
//! hyperparameter optimization*, JMLR 18, 2018, algorithm 1).
//!
//! A bracket begins with many configurations at little of the resource, and promotes the best of
//! them, a share of one in `eta`, to `eta` times as much, until few have all of it. All
//! brackets go on side by side: a round is one rung of each.

use serde_json::Value as Json;

/// How many trials compete for a promotion, unless that was said.
const ETA: u64 = 3;

/// What the trials of a search are given more and more of.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// The param.
    pub name: String,
    /// How much of it the first rung of the first bracket has.
    pub min: f64,
    /// How much of it the last rungs have.
    pub max: f64,
    /// Whether it is a whole number.
    pub is_whole: bool,
    /// How many configurations compete for one promotion.
    pub eta: f64,
}

/// Where a trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// The bracket: how many promotions its first rung is away from the whole resource.
    pub bracket: u32,
    /// How often it was promoted.
    pub level: u32,
}

/// One bracket, by its rungs: how many trials each has, and how much of the resource.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bracket {
    pub(super) number: u32,
    pub(super) rungs: Vec<(usize, f64)>,
}

impl Resource {
    /// Reads a resource.
    ///
    /// # Errors
    ///
    /// What is wrong with its numbers, and what is allowed.
    pub fn read(name: &str, min: &Json, max: &Json, eta: Option<u64>) -> Result<Self, String> {
        let is_whole = [min, max].iter().all(|amount| amount.is_i64() || amount.is_u64());
        let eta = eta.unwrap_or(ETA);
        if !(2..=100).contains(&eta) {
            return Err("`eta` is a number from 2 to 100".to_owned());
        }
        match (min.as_f64(), max.as_f64()) {
            (Some(min), Some(max)) if min > 0.0 && min <= max => {
                Ok(Self { name: name.to_owned(), min, max, is_whole, eta: eta as f64 })
            }
            _ => {
                Err("`resource` goes from a `min` above 0 to a `max` that is not below it"
                    .to_owned())
            }
        }
    }

    /// All brackets, the one with the most trials first.
    pub(super) fn brackets(&self) -> Vec<Bracket> {
        // What is a power of eta but for rounding is one.
        let most = ((self.max / self.min).ln() / self.eta.ln() + 1e-9).floor();
        let bracket = |number: u32| {
            let (s, all) = (f64::from(number), most + 1.0);
            let first = (all / (s + 1.0) * self.eta.powf(s) - 1e-9).ceil();
            let rung = |level: u32| {
                let level = f64::from(level);
                let count = (first / self.eta.powf(level) + 1e-9).floor();
                (count as usize, self.max / self.eta.powf(s - level))
            };
            Bracket { number, rungs: (0..=number).map(rung).collect() }
        };
        (0..=most as u32).rev().map(bracket).collect()
    }

    /// How many trials all brackets have, promoted ones included.
    pub(super) fn trials(&self) -> usize {
        let brackets = self.brackets();
        brackets.iter().flat_map(|bracket| &bracket.rungs).map(|(count, _)| count).sum()
    }

    /// An amount as a value of the param.
    pub(super) fn value(&self, amount: f64) -> Json {
        match self.is_whole {
            true => Json::from(amount.round() as i64),
            false => Json::from(super::draw::rounded(amount)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(min: f64, max: f64, eta: f64) -> Resource {
        Resource { name: "epochs".to_owned(), min, max, is_whole: true, eta }
    }

    /// The table of the article, for 81 epochs and a third promoted.
    #[test]
    fn brackets_are_those_of_the_article() {
        let brackets = resource(1.0, 81.0, 3.0).brackets();
        let counts: Vec<Vec<usize>> = brackets
            .iter()
            .map(|bracket| bracket.rungs.iter().map(|(count, _)| *count).collect())
            .collect();
        let known =
            [vec![81, 27, 9, 3, 1], vec![34, 11, 3, 1], vec![15, 5, 1], vec![8, 2], vec![5]];
        assert_eq!(counts, known);
        let amounts: Vec<i64> = brackets[0].rungs.iter().map(|(_, at)| at.round() as i64).collect();
        assert_eq!(amounts, [1, 3, 9, 27, 81]);
    }

    #[test]
    fn every_bracket_ends_with_the_whole_resource_and_never_grows() {
        for (min, max, eta) in [
            (1.0, 9.0, 3.0),
            (1.0, 10.0, 2.0),
            (0.5, 32.0, 4.0),
            (3.0, 3.0, 3.0),
            (1.0, 243.0, 3.0),
        ] {
            let resource = resource(min, max, eta);
            let mut sum = 0;
            for bracket in resource.brackets() {
                assert_eq!(bracket.rungs.len(), bracket.number as usize + 1);
                let last = bracket.rungs.last().unwrap();
                assert!((last.1 - max).abs() < 1e-6 && last.0 >= 1, "{bracket:?}");
                assert!(bracket.rungs[0].1 >= min - 1e-9, "{bracket:?}");
                assert!(bracket.rungs.is_sorted_by(|a, b| a.0 >= b.0 && a.1 < b.1), "{bracket:?}");
                sum += bracket.rungs.iter().map(|(count, _)| count).sum::<usize>();
            }
            assert_eq!(resource.trials(), sum);
        }
    }
}
