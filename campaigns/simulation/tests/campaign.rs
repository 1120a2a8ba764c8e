//! The simulation itself: a small campaign, and that a seed is all there is to a run.

use thrifty_simulation::{Campaign, simulate};

#[test]
fn a_small_campaign_breaks_nothing() {
    let tally = Campaign { first: 0, count: 200, threads: 2 }.run();
    let broken: Vec<_> =
        tally.broken.iter().map(|report| (report.options.seed, &report.violation)).collect();
    assert_eq!(broken, []);
    assert_eq!(tally.seeds, 200);
}

#[test]
fn the_same_seed_gives_the_same_log() {
    for seed in 0..40 {
        let (first, second) = (simulate(seed, true).log, simulate(seed, true).log);
        let differing = first.iter().zip(&second).find(|(one, other)| one != other);
        assert_eq!(differing, None, "seed {seed}");
        assert_eq!(first.len(), second.len());
    }
}

#[test]
fn another_seed_gives_another_log() {
    assert_ne!(simulate(1, true).log, simulate(2, true).log);
}
