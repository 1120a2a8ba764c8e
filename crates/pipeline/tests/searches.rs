//! Searches: one operation tried with many params.

#![allow(clippy::unwrap_used)]

mod project;

use std::collections::BTreeMap;
use std::sync::Arc;

use project::Project;
use serde_json::{Value as Json, json};
use thrifty_engine::Cache;
use thrifty_engine::catalog::RunStatus;
use thrifty_pipeline::{Chosen, Demand, Ended, Gave, Keeping, Pipeline, Resources};
use thrifty_pipeline::{Searched, Status};

/// A search whose trials write what they were tried with into `ran`, beside the operation file.
fn search(matrix: &str, more: &str) -> Project {
    let project = Project::new(&[]);
    write(&project, matrix, more);
    project
}

fn write(project: &Project, matrix: &str, more: &str) {
    let ran = project.at("ran").display().to_string();
    let text = format!(
        "params: {{rates: [1, 2], scale: 1}}
operations:
  train:
    run: |
      echo {{{{ params.rate }}}} {{{{ params.depth }}}} >> {ran}
      test {{{{ params.rate }}}} != 13
      echo '{{\"loss\": '$(({{{{ params.rate }}}} * 10 + {{{{ params.depth }}}}))'}}' > loss.json
      echo {{{{ params.rate }}}} > {{{{ outputs.model }}}}
    params: {{depth: 0}}
    outputs: {{loss: {{json: loss.json, at: /loss}}, model: model.txt}}
    matrix: {matrix}
{more}"
    );
    project.write("p.yaml", &text);
}

/// What ran since this was last asked, sorted.
fn ran(project: &Project) -> Vec<String> {
    let path = project.at("ran");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    _ = std::fs::remove_file(path);
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn given(ended: &Ended) -> BTreeMap<&str, &Json> {
    let values = ended.given.iter().filter_map(|(name, gave)| match gave {
        Gave::Value(value) => Some((name.as_str(), value)),
        _ => None,
    });
    values.collect()
}

fn statuses(searched: &Searched) -> Vec<Status> {
    searched.trials.iter().map(|trial| trial.status).collect()
}

const GRID: &str = "{kind: grid, params: {rate: '{{ params.rates }}', depth: [5, 6]}}";
const SOUGHT: &str = "{kind: grid, params: {rate: '{{ params.rates }}', depth: [5, 6]}, metric: {name: loss, goal: maximize}}";

#[test]
fn each_trial_is_an_operation_of_its_own() {
    let project = search(GRID, "");
    let (ended, settled) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    assert_eq!(ran(&project), ["1 5", "1 6", "2 5", "2 6"]);
    assert_eq!(settled.iter().filter(|it| *it == "train computed").count(), 4);
    assert_eq!(given(&ended)["train.loss"], &json!([15, 16, 25, 26]));
    assert_eq!(statuses(&ended.searches[0]), [Status::Computed; 4]);
    // Another space that overlaps: only what is new.
    let (ended, _) = project.run(&[("rates", "[3, 2]")]);
    assert_eq!(ran(&project), ["3 5", "3 6"]);
    use Status::{Computed, Hit};
    assert_eq!(statuses(&ended.searches[0]), [Computed, Computed, Hit, Hit]);
    assert_eq!(given(&ended)["train.loss"], &json!([35, 36, 25, 26]));
}

#[test]
fn a_lone_run_with_the_params_of_a_trial_hits_and_the_reverse() {
    let project = search(GRID, "");
    project.run(&[]);
    ran(&project);
    let text = project.read("p.yaml");
    let lone = text.replace("params: {depth: 0}", "params: {depth: 6, rate: 2}");
    project.write("p.yaml", lone.split("    matrix:").next().unwrap());
    let (_, settled) = project.run(&[]);
    assert_eq!((settled, ran(&project)), (vec!["train hit".to_owned()], vec![]));
    // And a search finds what a lone run computed; the order of its params does not matter.
    let other = text.replace("params: {depth: 0}", "params: {rate: 9, depth: 9}");
    project.write("p.yaml", other.split("    matrix:").next().unwrap());
    project.run(&[]);
    assert_eq!(ran(&project), ["9 9"]);
    write(&project, "{kind: grid, params: {depth: [9, 5], rate: [9]}}", "");
    project.run(&[]);
    assert_eq!(ran(&project), ["9 5"]);
}

#[test]
fn what_follows_takes_lists_and_the_best() {
    let more = "  report:
    run: cat {{ inputs.models }}/0 {{ inputs.models }}/3 {{ inputs.best }} > {{ outputs.text }}; echo {{ params.losses }} {{ params.rate }} >> {{ outputs.text }}
    params: {losses: {from: train.loss}, rate: {from: train.best.loss}}
    inputs: {models: {from: train.model, to: models}, best: {from: train.best.model}}
    outputs: {text: report.txt}
outputs:
  text: {from: report.text, to: report.txt}
  best: train.best.params
  trials: train.trials
  models: {from: train.model, to: models}
";
    let project = search(SOUGHT, more);
    let (ended, _) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    assert_eq!(project.read("report.txt"), "1\n2\n2\n15 16 25 26 26\n");
    assert_eq!(project.read("models/2"), "2\n");
    let row = json!({"params": {"rate": 1, "depth": 6}, "status": "succeeded", "loss": 16});
    assert_eq!(given(&ended)["trials"][1], row);
    assert_eq!(given(&ended)["best"], &json!({"rate": 2, "depth": 6}));
    assert_eq!(ended.searches[0].best, Some(3));
    let (_, settled) = project.run(&[]);
    let computed = settled.iter().filter(|it| it.ends_with("computed")).count();
    assert_eq!(computed, 0, "{settled:?}");
}

#[test]
fn a_lost_model_of_a_trial_is_made_again() {
    let more = "  use:
    run: cat {{ inputs.models }}/1 {{ params.salt }} > {{ outputs.text }}
    params: {salt: 1}
    inputs: {models: {from: train.model, to: models}}
    outputs: {text: t.txt}
outputs: {text: {from: use.text, to: t.txt}}
";
    let matrix = "{kind: grid, params: {rate: [1, 2]}}";
    let project = search(matrix, &more.replace("{{ params.salt }}", ""));
    let (ended, _) = project.run(&[]);
    assert_eq!(project.read("t.txt"), "2\n", "{ended:?}");
    let blobs = project.directory.path().join("home");
    let mut lost = 0;
    let mut open = vec![blobs];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if std::fs::read(&path).is_ok_and(|bytes| bytes == b"2\n") {
                std::fs::remove_file(path).unwrap();
                lost += 1;
            }
        }
    }
    assert!(lost > 0, "a file of its own in the store");
    ran(&project);
    write(&project, matrix, &more.replace("{{ params.salt }}", "").replace("salt: 1", "salt: 2"));
    let (ended, _) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    assert_eq!((ran(&project), project.read("t.txt")), (vec!["2 0".to_owned()], "2\n".to_owned()));
}

#[test]
fn a_search_goes_on_around_failures() {
    let matrix = "{kind: grid, params: {rate: [1, 13, 3]}, metric: {name: loss, goal: minimize}}";
    let project = search(matrix, "");
    let (ended, _) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    assert!(ended.notes.iter().any(|it| it == "train: 1 of 3 trials failed"), "{:?}", ended.notes);
    let searched = &ended.searches[0];
    assert_eq!(statuses(searched), [Status::Computed, Status::Failed, Status::Computed]);
    assert_eq!(searched.best, Some(0));
    assert_eq!(given(&ended)["train.loss"], &json!([10, null, 30]));
    assert_eq!(ended.failures.len(), 1, "{:?}", ended.failures);
    ran(&project);
    // What succeeded is not computed again, what failed is tried again.
    project.run(&[]);
    assert_eq!(ran(&project), ["13 0"]);
    write(&project, "{kind: grid, params: {rate: [13], depth: [1, 2]}}", "");
    let (ended, _) = project.run(&[]);
    let told = ended.failures.iter().any(|(_, it)| it.contains("all 2 trials failed"));
    assert!(told, "{:?}", ended.failures);
}

#[test]
fn early_stopping_runs_no_more() {
    let stop = "early_stopping: [{metric: 25}], metric: {name: loss, goal: maximize}";
    let matrix = format!("{{kind: grid, params: {{rate: [1, 2, 3, 4], depth: [5]}}, {stop}}}");
    let project = search(&matrix, "");
    let (ended, _) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    assert_eq!(ran(&project), ["1 5", "2 5"]);
    assert_eq!(given(&ended)["train.loss"], &json!([15, 25]));
    let note = "train: stopped after 2 trials: loss reached 25 in trial 1";
    assert!(ended.notes.iter().any(|it| it == note), "{:?}", ended.notes);
}

#[test]
fn concurrency_bounds_how_many_trials_run_at_once() {
    let project = Project::new(&[]);
    let slots = project.at("slots").display().to_string();
    std::fs::create_dir_all(&slots).unwrap();
    // A directory can be made once: a second trial beside the first fails.
    let text = format!(
        "operations:
  train:
    run: mkdir {slots}/busy; echo {{{{ params.rate }}}} > {{{{ outputs.o }}}}; rmdir {slots}/busy
    outputs: {{o: o.txt}}
    matrix: {{kind: grid, params: {{rate: {{range: [0, 12]}}}}, concurrency: 1}}
"
    );
    project.write("p.yaml", &text);
    let (ended, _) = project.run_with(&[], &|| false, |demand| demand.workers = 4);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    assert_eq!(ended.searches[0].trials.len(), 12);
}

#[test]
fn points_that_are_given_twice_are_computed_once() {
    let project = search("{kind: mapping, values: [{rate: 1}, {rate: 2}, {rate: 1}]}", "");
    let (ended, _) = project.run(&[]);
    assert_eq!(ran(&project), ["1 0", "2 0"]);
    assert_eq!(given(&ended)["train.loss"], &json!([10, 20, 10]));
    let mut found = statuses(&ended.searches[0]);
    found.sort();
    assert_eq!(found, [Status::Computed, Status::Computed, Status::Waited]);
}

#[test]
fn random_trials_are_the_same_again_and_more_of_them_add_to_them() {
    let matrix = |runs| {
        format!(
            "{{kind: random, runs: {runs}, seed: 4, params: {{rate: {{quniform: [1, 900, 1]}}}}}}"
        )
    };
    let project = search(&matrix(3), "");
    project.run(&[]);
    assert_eq!(ran(&project).len(), 3);
    write(&project, &matrix(5), "");
    project.run(&[]);
    assert_eq!(ran(&project).len(), 2);
}

/// Trials add one line an epoch to what they go on from.
const HYPERBAND: &str = "operations:
  train:
    run: |
      cp {{ inputs.resume }} state 2>/dev/null || : > state
      while test $(wc -l < state) -lt {{ params.epochs }}; do echo {{ params.rate }} >> state; echo epoch >> COUNT; done
      echo {{ params.rate }} > loss.json
    outputs: {loss: {json: loss.json}, state: state}
    matrix:
      kind: hyperband
      params: {rate: {quniform: [1, 900, 1]}}
      resource: {name: epochs, max: 9}
      metric: {name: loss, goal: minimize}
      RESUME
outputs: {best: train.best.params, state: {from: train.best.state, to: results/best}}
";

#[test]
fn hyperband_goes_on_from_what_a_trial_left() {
    let project = Project::new(&[]);
    let count = project.at("count").display().to_string();
    let text = HYPERBAND.replace("COUNT", &count);
    let epochs = || {
        let lines = std::fs::read_to_string(project.at("count")).unwrap_or_default();
        _ = std::fs::remove_file(project.at("count"));
        lines.lines().count()
    };
    project.write("p.yaml", &text.replace("RESUME", "resume: state"));
    let (ended, _) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    assert_eq!(ended.searches[0].trials.len(), 9 + 3 + 1 + 5 + 1 + 3);
    // Brackets of 1, 3 and 9 epochs, of which a promoted trial runs only what is new.
    assert_eq!(epochs(), (9 + 3 * 2 + 6) + (5 * 3 + 6) + 3 * 9);
    let (best, state) = (given(&ended)["best"].clone(), project.read("results/best"));
    assert_eq!(state.lines().count() as i64, best["epochs"].as_i64().unwrap());
    let rate = best["rate"].to_string();
    assert!(state.lines().all(|line| line == rate), "{state} {best}");
    project.run(&[]);
    assert_eq!(epochs(), 0);
    // What a trial went on from is part of its key: without it, promoted ones run whole.
    project.write("p.yaml", &text.replace("RESUME", "").replace("{{ inputs.resume }}", "''"));
    project.run(&[]);
    assert_eq!(epochs(), (9 + 3 * 3 + 9) + (5 * 3 + 9) + 3 * 9);
}

#[test]
fn a_search_in_a_process_is_looked_into() {
    let project = Project::new(&[]);
    let ran_at = project.at("ran").display().to_string();
    let text = |rates: &str| {
        format!(
            "operations:
  tune:
    operations:
      train:
        run: echo {{{{ params.rate }}}} >> {ran_at}; echo {{{{ params.rate }}}} > loss.json
        outputs: {{loss: {{json: loss.json}}}}
        matrix: {{kind: grid, params: {{rate: {rates}}}, metric: {{name: loss, goal: minimize}}}}
    outputs: {{losses: train.loss, best: train.best.loss}}
"
        )
    };
    project.write("p.yaml", &text("[1, 2]"));
    let (ended, _) = project.run(&[]);
    assert_eq!(given(&ended)["tune.losses"], &json!([1, 2]), "{ended:?}");
    assert_eq!(ran(&project), ["1", "2"]);
    project.write("p.yaml", &text("[2, 3]"));
    let (ended, _) = project.run(&[]);
    assert_eq!(given(&ended)["tune.losses"], &json!([2, 3]));
    assert_eq!(given(&ended)["tune.best"], &json!(2));
    assert_eq!(ran(&project), ["3"]);
}

#[test]
fn a_search_that_makes_no_sense_is_told_with_its_place() {
    let wide = "params: {rate: {range: [0, 1000]}, depth: {range: [0, 1000]}}";
    let grid = |rest: &str| format!("{{kind: grid, {rest}}}");
    for (matrix, told) in [
        (grid(wide), "p.yaml:11:13: the grid has 1000000 trials, and without a bound 10000"),
        (grid(""), "p.yaml:11:20: `matrix` varies no `params`"),
        (grid("params: {rate: 3}"), "p.yaml:11:41: param `rate` of `matrix`: is a list of values"),
        (grid("params: {rate: {uniform: [0, 1]}}"), "take `kind: random`"),
        (grid("params: {rate: ['{{ params.nothing }}']}"), "p.yaml:11:41: undefined value"),
        (grid("params: {rate: [1]}, seed: 3"), "p.yaml:11:53: `seed` is not for `kind: grid`"),
        (grid("params: {rate: [1]}, eta: 3"), "`eta` is not for `kind: grid`"),
        (grid("params: {rate: [1]}, concurrency: 0"), "`concurrency` is a number from 1 on"),
        (grid("params: {rate: [1]}, metrik: 0"), "unknown field"),
        (grid("params: {rate: [1]}, metric: {name: los, goal: minimize}"), "did you mean `loss`?"),
        (grid("params: {rate: [1]}, metric: {name: model, goal: minimize}"), "`model` is a file"),
        (grid("params: {rate: [1]}, metric: {name: loss, goal: small}"), "p.yaml:11:"),
        (grid("params: {rate: [1]}, early_stopping: [{metric: 1}]"), "needs a `metric`"),
        (grid("params: {rate: [1]}, early_stopping: [{failures: 0}]"), "{failures: a number"),
        ("{kind: random, params: {rate: [1]}}".to_owned(), "`kind: random` needs `runs`"),
        ("{kind: random, runs: 0, params: {rate: [1]}}".to_owned(), "the search has no trial"),
        ("{kind: random, runs: 200000, params: {rate: [1]}}".to_owned(), "at most 100000"),
        ("{kind: mapping}".to_owned(), "`kind: mapping` needs `values`"),
        ("{kind: mapping, values: []}".to_owned(), "a list of params by name"),
        ("{kind: mapping, values: [{rate: 1}, {depth: 1}]}".to_owned(), "trial 1 does not have"),
        ("{kind: gird, params: {rate: [1]}}".to_owned(), "p.yaml:11:"),
        ("{kind: hyperband, params: {rate: [1]}}".to_owned(), "needs `metric`"),
        ("{kind: tpe, params: {rate: [1]}, runs: 3}".to_owned(), "`kind: tpe` needs `metric`"),
        ("{kind: bayes, params: {rate: [1]}}".to_owned(), "`kind: bayes` needs `runs`"),
        ("{kind: iterative, runs: 3, params: {rate: [1]}}".to_owned(), "needs `tuner`"),
        (
            "{kind: iterative, runs: 3, params: {rate: [1]}, tuner: next}".to_owned(),
            "p.yaml:11:68: `tuner: next` must be module:function",
        ),
        ("{kind: iterative, params: {rate: [1]}, tuner: 'a:b'}".to_owned(), "needs `runs`"),
        (
            "{kind: iterative, runs: 3, params: {rate: [1]}, tuner: 'a:b', seed: 1}".to_owned(),
            "`seed` is not for `kind: iterative`",
        ),
        (grid("params: {rate: [1]}, tuner: 'a:b'"), "`tuner` is not for `kind: grid`"),
        (
            "{kind: hyperband, params: {rate: [1]}, metric: {name: loss, goal: minimize}, resource: {name: e, max: 0}}".to_owned(),
            "`resource` goes from a `min` above 0",
        ),
        (
            "{kind: hyperband, params: {rate: [1]}, metric: {name: loss, goal: minimize}, resource: {name: e, max: 9}, eta: 1}".to_owned(),
            "`eta` is a number from 2 to 100",
        ),
        (
            "{kind: hyperband, params: {rate: [1]}, metric: {name: loss, goal: minimize}, resource: {name: e, max: 9}, resume: loss}".to_owned(),
            "`resume` names an output that is a file or a directory",
        ),
    ] {
        let project = search(&matrix, "");
        let read = Pipeline::read(&project.at("p.yaml"), &[], &|_| None);
        let error = read.unwrap_err().to_string();
        assert!(error.contains(told), "{matrix}: {error}");
    }
    for (more, told) in [
        ("outputs: {x: train.best.loss}\n", "`train` has no output `best.loss`"),
        ("outputs: {x: train.los}\n", "did you mean `loss`?"),
        ("cache: {io: [depth]}\n", "`cache.io` leaves out `rate`"),
        ("cache: {sections: [code, inputs]}\n", "`cache.sections` leaves out `params`"),
    ] {
        let project = search(&grid("params: {rate: [1]}"), more);
        let read = Pipeline::read(&project.at("p.yaml"), &[], &|_| None);
        let error = read.unwrap_err().to_string();
        assert!(error.contains(told), "{more}: {error}");
    }
}

#[test]
fn a_plan_tells_the_trials() {
    let project = search(GRID, "");
    let planned = |project: &Project| -> Vec<String> {
        let pipeline = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap();
        let home = project.directory.path().join("home");
        let demand = Demand {
            language: None,
            cache: Cache::open(&home).unwrap(),
            work: home.join("work"),
            chosen: Chosen::default(),
            only: Vec::new(),
            workers: 1,
            capacity: Resources::BOUNDLESS,
            interrupted: &|| false,
            listener: Arc::new(|_: &_| ()),
            arguments: String::new(),
            keeping: Keeping::default(),
        };
        let plan = pipeline.plan(&demand).unwrap().ok().unwrap();
        plan.nodes.into_iter().map(|planned| planned.node.outcome).collect()
    };
    assert_eq!(planned(&project), ["expanded", "computed", "computed", "computed", "computed"]);
    project.run(&[]);
    assert_eq!(planned(&project)[1..], ["hit-local"; 4]);
}

#[test]
fn without_python_nobody_suggests_trials_and_nothing_runs() {
    let matrix = "{kind: iterative, runs: 3, params: {rate: [1]}, tuner: 'tuning:next'}".to_owned();
    let project = search(&matrix, "");
    let pipeline = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap();
    assert!(pipeline.needs_language());
    let told = project.refused(&[]);
    assert!(told.contains("p.yaml:11:68: it is Python that suggests trials"), "{told}");
    assert_eq!(ran(&project), Vec::<String>::new());
}
