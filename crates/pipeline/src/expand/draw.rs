//! Numbers drawn by lot, the same for ever.
//!
//! What is drawn depends on the seed, the number of the trial and the name of the param, and on
//! nothing else: more trials leave the first ones what they were, and another param in the search
//! leaves this one's values alone. So a search that grows finds what it computed before.

use thrifty_key::Digest;

/// What one param of one trial draws from.
#[derive(Debug, Clone)]
pub struct Draws {
    seed: u64,
    trial: u64,
    name: String,
    drawn: u64,
}

impl Draws {
    /// The draws of a param in the trial of this number.
    pub fn new(seed: u64, trial: u64, name: &str) -> Self {
        Self { seed, trial, name: name.to_owned(), drawn: 0 }
    }

    fn next(&mut self) -> u64 {
        let mut bytes = b"thrifty draw 1".to_vec();
        for number in [self.seed, self.trial, self.drawn] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.name.as_bytes());
        self.drawn += 1;
        let digest = Digest::of_blob(&bytes);
        digest.as_bytes().iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
    }

    /// From 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        // The 53 bits that a float of this size holds.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A position in a list of this length, which is not empty.
    pub(super) fn below(&mut self, length: usize) -> usize {
        ((self.unit() * length as f64) as usize).min(length - 1)
    }

    /// Of the standard normal distribution (Box and Muller).
    pub(super) fn normal(&mut self) -> f64 {
        let (one, other) = (1.0 - self.unit(), self.unit());
        (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos()
    }
}

/// A number with twelve digits: what people can write down, and what logarithms give on every
/// machine.
pub(super) fn rounded(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_those_of_the_first_version() {
        let mut draws = Draws::new(7, 3, "lr");
        let units = [draws.unit(), draws.unit(), Draws::new(7, 4, "lr").unit()];
        let known = units.map(|unit| (unit * 1e6) as u64);
        assert_eq!(
            known,
            [165_809, 885_103, 850_174],
            "trials that were computed would be computed again"
        );
    }

    #[test]
    fn numbers_are_those_that_people_write() {
        for (value, written) in [(0.1 + 0.2, 0.3), (1e-9, 1e-9), (-0.0, -0.0), (12345.0, 12345.0)] {
            assert_eq!(rounded(value).to_bits(), f64::to_bits(written));
        }
    }
}
