//! Searches of processes: each trial is the process with other params, and has its key.

#![allow(clippy::unwrap_used)]

mod project;

use project::Project;
use serde_json::{Value as Json, json};
use thrifty_pipeline::{Ended, Gave, Pipeline, Status};

/// A process of two steps, of which one does not depend on what is varied.
fn file(matrix: &str, params: &str) -> String {
    format!(
        "operations:
  fit:
    params: {params}
    inputs: {{rows: rows.txt}}
    operations:
      count: {{run: 'wc -l < {{{{ inputs.rows }}}} > n', inputs: {{rows: {{from: inputs.rows}}}}, outputs: {{n: {{json: n}}}}}}
      train:
        run: echo $(( {{{{ params.n }}}} * {{{{ params.rate }}}} + {{{{ params.depth }}}} )) > loss; echo {{{{ params.rate }}}} > model
        params: {{n: {{from: count.n}}}}
        outputs: {{loss: {{json: loss}}, model: model}}
    outputs: {{loss: train.loss, model: train.model}}
{matrix}"
    )
}

const GRID: &str = "    matrix: {kind: grid, params: {rate: [1, 2], depth: [5, 6]}, metric: {name: loss, goal: minimize}, concurrency: 2}
outputs: {loss: fit.loss, best: fit.best.params, trials: fit.trials, models: {from: fit.model, to: models}}
";

fn given<'a>(ended: &'a Ended, name: &str) -> &'a Json {
    match &ended.given.iter().find(|(known, _)| known == name).unwrap().1 {
        Gave::Value(value) => value,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn each_trial_of_a_process_is_the_process_with_its_params() {
    let project = Project::new(&[("p.yaml", &file(GRID, "{}")), ("rows.txt", "a\nb\n")]);
    let (ended, settled) = project.run(&[]);
    assert!(ended.failures.is_empty(), "{ended:?}");
    assert_eq!(given(&ended, "loss"), &json!([7, 8, 9, 10]));
    assert_eq!(given(&ended, "best"), &json!({"rate": 1, "depth": 5}));
    assert_eq!(given(&ended, "trials")[3]["loss"], 10);
    assert_eq!(project.read("models/2"), "2\n");
    assert_eq!(ended.searches[0].trials.len(), 4);
    let ran = |name: &str| settled.iter().filter(|it| **it == format!("{name} computed")).count();
    assert_eq!((ran("fit.train"), ran("fit.count")), (4, 1), "{settled:?}");
    // Whole trials are known, of another search as well.
    project.write("p.yaml", &file(&GRID.replace("[1, 2]", "[2, 3]"), "{}"));
    let (ended, _) = project.run(&[]);
    let statuses: Vec<_> = ended.searches[0].trials.iter().map(|trial| trial.status).collect();
    use Status::{Computed, Hit};
    assert_eq!(statuses, [Hit, Hit, Computed, Computed]);
    // And so is the process with these params written down, and the other way round.
    project.write("p.yaml", &file("", "{rate: 3, depth: 6}"));
    assert_eq!(project.run(&[]).1, ["fit hit"]);
    project.write("p.yaml", &file("", "{rate: 9, depth: 5}"));
    project.run(&[]);
    project.write("p.yaml", &file(&GRID.replace("[1, 2]", "[9]"), "{}"));
    let (ended, _) = project.run(&[]);
    let statuses: Vec<_> = ended.searches[0].trials.iter().map(|trial| trial.status).collect();
    assert_eq!(statuses, [Hit, Computed]);
}

#[test]
fn a_search_of_a_process_goes_on_in_rounds() {
    let matrix = "    matrix: {kind: grid, params: {rate: [3, 1, 2], depth: [0]}, metric: {name: loss, goal: minimize}, early_stopping: [{metric: 2}]}
outputs: {loss: fit.loss}
";
    let project = Project::new(&[("p.yaml", &file(matrix, "{}")), ("rows.txt", "a\nb\n")]);
    let (ended, _) = project.run(&[]);
    assert_eq!(given(&ended, "loss"), &json!([6, 2]), "{ended:?}");
}

#[test]
fn a_search_of_a_process_with_seeds_and_within_partitions() {
    let matrix = "    partitions: [x, y]
    matrix: {kind: grid, params: {rate: [1, 2]}}
outputs: {loss: fit.loss}
";
    let text = file(matrix, "{depth: \"{{ params.partition | length }}\"}");
    let text = text.replace("+ {{ params.depth }}", "+ {{ params.depth | int }}");
    let project = Project::new(&[("p.yaml", &text.replace("x, y", "a, bb")), ("rows.txt", "1\n")]);
    let (ended, _) = project.run(&[]);
    assert_eq!(given(&ended, "loss"), &json!({"a": [2, 3], "bb": [3, 4]}), "{ended:?}");
}

#[test]
fn a_bad_search_of_a_process_is_told_before_anything_runs() {
    for (matrix, told) in [
        (
            "    matrix: {kind: grid, params: {rate: [1]}, metric: {name: lss, goal: minimize}}\n",
            "`metric`: there is no output `lss`; did you mean `loss`?",
        ),
        (
            "    matrix: {kind: grid, params: {rate: [1]}, metric: {name: model, goal: minimize}}\n",
            "`metric`: output `model` is a file",
        ),
        (
            "    matrix: {kind: grid, params: {depth: [1]}}\n",
            "`params.rate` in `run`: there is no such name",
        ),
    ] {
        let project = Project::new(&[("p.yaml", &file(matrix, "{}")), ("rows.txt", "")]);
        let text = project.read("p.yaml").replace("rate: [1]", "rate: [1], depth: [1]");
        project.write("p.yaml", &text);
        let error = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap_err().to_string();
        assert!(error.contains(told) && error.contains("p.yaml:"), "{matrix}\n{error}");
    }
}
