//! Seeds of commands: who gets one, what it is, and for whom it counts.

#![allow(clippy::unwrap_used)]

mod project;

use project::Project;
use serde_json::json;
use thrifty_engine::Seed;
use thrifty_pipeline::{Gave, Pipeline};

/// Two operations that draw and one that does not; all say what they were given.
const DRAWS: &str = "seed: 7
operations:
  template:
    run: echo {{ seed }} > n
    outputs: {n: {json: n}}
  variable:
    run: echo $THRIFTY_SEED > n
    outputs: {n: {json: n}}
  script:
    run: sh draw.sh
    seed: true
    outputs: {n: {json: n}}
  without:
    run: sh draw.sh
    outputs: {n: {json: n}}
";
const SCRIPT: &str = "echo ${THRIFTY_SEED:-0} > n\n";

fn draws() -> Project {
    Project::new(&[("p.yaml", DRAWS), ("draw.sh", SCRIPT)])
}

/// What each operation gave.
fn given(project: &Project, seed: Option<u64>) -> (Vec<i64>, Vec<String>) {
    let (ended, settled) = project.run_with(&[], &|| false, |demand| {
        demand.chosen.seed = seed.and_then(Seed::new);
    });
    let numbers = ended.given.iter().map(|(_, gave)| match gave {
        Gave::Value(value) => value.as_i64().unwrap(),
        other => panic!("{other:?}"),
    });
    (numbers.collect(), settled)
}

fn outcomes(outcomes: [&str; 4]) -> Vec<String> {
    let names = ["script", "template", "variable", "without"];
    names.iter().zip(outcomes).map(|(name, outcome)| format!("{name} {outcome}")).collect()
}

#[test]
fn each_operation_that_asks_gets_a_number_of_its_own() {
    let project = draws();
    let (numbers, _) = given(&project, None);
    let [template, variable, script, without] = numbers[..] else { panic!("{numbers:?}") };
    assert_eq!(without, 0, "who does not ask cannot depend on it");
    assert!(template != variable && variable != script && script != template, "{numbers:?}");
    // As `docs/formats/seed.md` derives it, for a task in Python as well.
    let derived = Seed::new(7).unwrap().stream("p:template", std::iter::empty()).number();
    assert_eq!(template, i64::from(derived));
}

#[test]
fn a_seed_counts_for_those_that_draw_from_it() {
    let project = draws();
    let (first, _) = given(&project, None);
    let (other, settled) = given(&project, Some(8));
    assert_eq!(settled, outcomes(["computed", "computed", "computed", "hit"]));
    assert!(first.iter().zip(&other).take(3).all(|(a, b)| a != b), "{first:?} {other:?}");
    // The same number, said in another place.
    project.write("p.yaml", &DRAWS.replace("seed: 7", "seed: 8"));
    assert_eq!(given(&project, None), (other.clone(), outcomes(["hit"; 4])));
    project.write("p.yaml", &DRAWS.replace("seed: true", "seed: 8"));
    let (pinned, settled) = given(&project, Some(7));
    assert_eq!(settled, outcomes(["hit"; 4]));
    assert_eq!((pinned[0], pinned[2]), (first[0], other[2]), "a pin stays whatever is in force");
}

#[test]
fn the_number_depends_on_what_goes_in() {
    let text = "seed: 1
params: {p: 1}
operations:
  one: {run: 'echo {{ seed }} > n # {{ params.p }}', outputs: {n: {json: n}}}
  two: {run: 'echo {{ seed }} > n', params: {n: {from: one.n}}, outputs: {n: {json: n}}}
outputs: {one: one.n, two: two.n}
";
    let project = Project::new(&[("p.yaml", text)]);
    let numbers = |p: &str| project.run(&[("p", p)]).0.given;
    let (first, second) = (numbers("1"), numbers("2"));
    assert!(first[0] != second[0] && first[1] != second[1], "{first:?} {second:?}");
    assert_eq!(numbers("1"), first);
}

#[test]
fn a_seed_that_is_not_there_is_told_before_anything_runs() {
    let text = "operations:
  first: {run: 'touch ../../ran'}
  one: {run: 'echo {{ seed }}'}
";
    let project = Project::new(&[("p.yaml", text)]);
    let error = project.refused(&[]);
    assert!(
        error.ends_with(
            "p.yaml:3:14: `one` draws from the seed, and there is none: write `seed: 1` in the file, or give --seed"
        ),
        "{error}"
    );
    for (more, told) in [
        ("seed: -1", "p.yaml:"),
        ("seed: yes", "p.yaml:"),
        ("seed: 9223372036854775808", "a seed is a whole number from 0 to 9223372036854775807"),
        ("seed: false", "`seed: false`, and the command names the seed"),
    ] {
        project
            .write("p.yaml", &format!("operations:\n  one: {{run: 'x {{{{ seed }}}}', {more}}}\n"));
        let error = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap_err().to_string();
        assert!(error.contains(told) && error.contains("p.yaml:2:"), "{more}: {error}");
    }
}

#[test]
fn a_variable_of_its_own_is_no_seed() {
    let text = "operations:
  one:
    run: echo $THRIFTY_SEED > n
    env: {THRIFTY_SEED: '5'}
    outputs: {n: {json: n}}
";
    let project = Project::new(&[("p.yaml", text)]);
    let (ended, _) = project.run(&[]);
    assert_eq!(ended.given[0].1, Gave::Value(json!(5)));
}
