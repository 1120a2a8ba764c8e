//! Joins over earlier runs: which results, in which order, and what of them counts.

#![allow(clippy::unwrap_used)]

mod project;

use project::Project;
use serde_json::json;
use thrifty_engine::catalog::RunStatus;
use thrifty_pipeline::{Ended, Gave, Pipeline};

/// A training, and a ranking of all trainings there were.
fn file(join: &str) -> String {
    format!(
        "params: {{lr: 0.1, name: a}}
operations:
  train:
    run: 'echo {{{{ params.lr }}}} {{{{ params.name }}}} > model.txt; echo {{{{ params.lr }}}} > auc.json'
    outputs: {{model: model.txt, auc: {{json: auc.json}}}}
  rank:
    run: 'echo \"{{{{ params.scores }}}}\" > o; echo x >> {{{{ params.count }}}}'
    params: {{count: COUNT}}
    joins: {{scores: {join}}}
    outputs: {{o: o}}
outputs: {{o: {{from: rank.o, to: o}}}}
"
    )
}

fn project(join: &str) -> Project {
    let project = Project::new(&[]);
    set_join(&project, join);
    project
}

fn set_join(project: &Project, join: &str) {
    let count = project.at("count").display().to_string();
    project.write("p.yaml", &file(join).replace("COUNT", &count));
}

/// Trains with these rates.
fn train(project: &Project, rates: &[&str]) {
    for rate in rates {
        let only =
            |demand: &mut thrifty_pipeline::Demand<'_>| demand.only = vec!["train".to_owned()];
        let (ended, _) =
            project.run_with(&[("lr", rate), ("name", &format!("n{rate}"))], &|| false, only);
        assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    }
}

/// Ranks; gives what was found, and what became of the ranking.
fn rank(project: &Project) -> (String, String) {
    let only = |demand: &mut thrifty_pipeline::Demand<'_>| demand.only = vec!["rank".to_owned()];
    let (ended, settled) = project.run_with(&[], &|| false, only);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    (project.read("o").trim().to_owned(), settled.join(", "))
}

fn refused(project: &Project) -> String {
    project.refused_with(&[], |demand| demand.only = vec!["rank".to_owned()])
}

#[test]
fn a_join_gives_the_values_of_earlier_runs_and_hits_where_they_are_the_same() {
    let project = project("{query: 'operation:train', sort: outputs.auc, from: auc}");
    assert_eq!(rank(&project), (String::new(), "rank computed".to_owned()), "there are none yet");
    train(&project, &["0.3", "0.1", "0.2"]);
    assert_eq!(rank(&project), ("0.1 0.2 0.3".to_owned(), "rank computed".to_owned()));
    assert_eq!(rank(&project).1, "rank hit");
    // A run that took a result is no other result.
    train(&project, &["0.2"]);
    assert_eq!(rank(&project).1, "rank hit");
    train(&project, &["0.15"]);
    assert_eq!(rank(&project), ("0.1 0.15 0.2 0.3".to_owned(), "rank computed".to_owned()));
}

#[test]
fn the_same_values_from_other_runs_are_a_hit() {
    let join = "{query: 'operation:train params.name:~n0.1', sort: outputs.auc, from: auc}";
    let project = project(join);
    train(&project, &["0.1", "0.2"]);
    assert_eq!(rank(&project).1, "rank computed");
    // Another training with the same score, and the first one gone.
    let cache = thrifty_engine::Cache::open(project.directory.path().join("home")).unwrap();
    let selector = thrifty_engine::catalog::Selector {
        operation: Some("train".to_owned()),
        ..Default::default()
    };
    cache.catalog().invalidate(Some(cache.scope()), &selector).unwrap();
    train(&project, &["0.1", "0.2"]);
    assert_eq!(rank(&project), ("0.2".to_owned(), "rank hit".to_owned()));
}

#[test]
fn a_query_picks_by_params_outputs_and_times() {
    let join = |query: &str| format!("{{query: '{query}', sort: outputs.auc, from: auc}}");
    let project = project(&join("operation:train"));
    train(&project, &["0.3", "0.1", "0.2"]);
    for (query, found) in [
        ("operation:train params.lr:>0.1", "0.2 0.3"),
        ("operation:train params.lr:>=0.2 status:succeeded", "0.2 0.3"),
        ("operation:train params.lr:<0.2", "0.1"),
        ("operation:train params.lr:0.1..0.2", "0.1 0.2"),
        ("operation:train params.lr:0.10|0.3", "0.1 0.3"),
        ("operation:train params.lr:~0.1", "0.2 0.3"),
        ("operation:train params.name:n0.2", "0.2"),
        ("operation:train params.name:\"n0.2\"|n0.3", "0.2 0.3"),
        ("operation:p:train outputs.auc:<=0.1", "0.1"),
        ("operation:train started:>-1d", "0.1 0.2 0.3"),
        ("operation:train started:<-1d", ""),
        ("operation:train finished:>2020-01-01 finished:<2020-01-01", ""),
        ("operation:train used:>2020-01-01T00:00:00Z took:<1h", "0.1 0.2 0.3"),
        ("operation:train run:nothing", ""),
        ("operation:tr*", "0.1 0.2 0.3"),
        ("operation:other|train", "0.1 0.2 0.3"),
    ] {
        set_join(&project, &join(query));
        assert_eq!(rank(&project).0, found, "{query}");
    }
    set_join(&project, "{query: 'operation:train', sort: -params.lr, limit: 2, from: auc}");
    assert_eq!(rank(&project).0, "0.3 0.2");
    set_join(&project, "{query: 'operation:train', from: auc}");
    assert_eq!(rank(&project).0, "0.2 0.1 0.3", "the newest first");
}

#[test]
fn a_run_that_took_results_has_them() {
    let project = project("{query: 'operation:train', from: auc}");
    train(&project, &["0.1", "0.2"]);
    let (ended, _) = project.run_with(&[("lr", "0.1"), ("name", "n0.1")], &|| false, |_| ());
    let run = ended.run.unwrap();
    set_join(&project, &format!("{{query: 'operation:train run:{run}', from: auc}}"));
    assert_eq!(rank(&project).0, "0.1");
}

#[test]
fn files_of_earlier_runs_come_into_a_directory() {
    let project = Project::new(&[(
        "p.yaml",
        "params: {lr: 1}
operations:
  train:
    run: 'echo {{ params.lr }} > model.txt'
    outputs: {model: model.txt}
  blend:
    run: 'cat {{ inputs.models }}/*/model.txt > o; find models -type f | sort >> o'
    joins: {models: {query: 'operation:train', sort: params.lr, from: model, to: models}}
    outputs: {o: o}
outputs: {o: {from: blend.o, to: o}}
",
    )]);
    let only = |name: &str| {
        let only = vec![name.to_owned()];
        move |demand: &mut thrifty_pipeline::Demand<'_>| demand.only = only
    };
    for rate in ["2", "1"] {
        project.run_with(&[("lr", rate)], &|| false, only("train"));
    }
    assert_eq!(project.run_with(&[], &|| false, only("blend")).1, ["blend computed"]);
    let written = project.read("o");
    assert!(written.starts_with("1\n2\n"), "{written}");
    assert_eq!(project.run_with(&[], &|| false, only("blend")).1, ["blend hit"]);
    project.run_with(&[("lr", "3")], &|| false, only("train"));
    assert_eq!(project.run_with(&[], &|| false, only("blend")).1, ["blend computed"]);
    assert!(project.read("o").starts_with("1\n2\n3\n"));
}

#[test]
fn what_no_result_has_is_told_with_what_there_is() {
    let project = project("{query: 'operation:train params.rate:>1', from: auc}");
    train(&project, &["0.1"]);
    let told = refused(&project);
    assert!(told.contains("p.yaml:9:21: no result has `params.rate`"), "{told}");
    set_join(&project, "{query: 'operation:train', from: acu}");
    let told = refused(&project);
    assert!(told.contains("has no output `acu`; did you mean `auc`?"), "{told}");
    set_join(&project, "{query: 'operation:train', from: model}");
    let told = refused(&project);
    assert!(told.contains("`model` of p:train is a file: say in `to` where to put it"), "{told}");
    set_join(&project, "{query: 'operation:train', from: auc, to: scores}");
    let text = project.read("p.yaml").replace("{{ params.scores }}", "{{ inputs.scores }}");
    project.write("p.yaml", &text);
    assert!(refused(&project).contains("it is a value, and `to` is for files"));
    assert!(!project.at("count").exists(), "nothing has run");
}

#[test]
fn a_query_that_makes_no_sense_is_told_with_its_place() {
    for (join, told) in [
        ("{query: 'params.lr:1', from: auc}", "9:29: a query names the operation"),
        ("{query: 'operation:train lr', from: auc}", "`lr`: write field:value"),
        (
            "{query: 'operation:train stared:>-7d', from: auc}",
            "there is no field `stared`; did you mean `started` or `used`?",
        ),
        ("{query: 'operation:train started:>7d', from: auc}", "`7d` is no time: write `-7d`"),
        ("{query: 'operation:train took:>soon', from: auc}", "is not a duration"),
        ("{query: 'operation:train params.x:', from: auc}", "there is no value"),
        ("{query: 'operation:train user:>ada', from: auc}", "neither larger nor smaller"),
        ("{query: 'operation:train status:failed', from: auc}", "only operations that succeeded"),
        ("{query: 'operation:\"train', from: auc}", "the quote is not closed"),
        ("{query: 'operation:train', sort: age, from: auc}", "there is no field `age`"),
        (
            "{query: 'operation:train', limit: 5001, from: auc}",
            "`limit: 5001`: a join takes 1 to 5000",
        ),
        ("{query: 'operation:train', limit: 0, from: auc}", "a join takes 1 to 5000"),
        ("{query: 'operation:train', from: auc, to: ../x}", "leads out of"),
        ("{query: 'operation:train', form: auc}", "unknown field"),
    ] {
        let project = project(join);
        let error = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap_err().to_string();
        assert!(error.contains(told) && error.contains("p.yaml:9:"), "{join}: {error}");
    }
}

#[test]
fn a_join_in_a_process_counts_in_the_key_of_the_process() {
    let project = Project::new(&[(
        "p.yaml",
        "params: {lr: 1}
operations:
  train:
    run: 'echo {{ params.lr }} > auc.json'
    outputs: {auc: {json: auc.json}}
  all:
    operations:
      rank:
        run: 'echo \"{{ params.scores }}\" > o.json'
        joins: {scores: {query: 'operation:train', sort: params.lr, from: auc}}
        outputs: {o: o.json}
    outputs: {o: rank.o}
",
    )]);
    let only = |name: &str| {
        let only = vec![name.to_owned()];
        move |demand: &mut thrifty_pipeline::Demand<'_>| demand.only = only
    };
    project.run_with(&[], &|| false, only("train"));
    let computed = |settled: &[String]| settled.iter().any(|it| it == "all computed");
    assert!(computed(&project.run_with(&[], &|| false, only("all")).1));
    assert!(!computed(&project.run_with(&[], &|| false, only("all")).1));
    project.run_with(&[("lr", "2")], &|| false, only("train"));
    assert!(
        computed(&project.run_with(&[], &|| false, only("all")).1),
        "another list, another key"
    );
}

#[test]
fn a_run_says_how_much_its_joins_found() {
    let project = project("{query: 'operation:train', from: auc}");
    train(&project, &["0.1", "0.2"]);
    let only = |demand: &mut thrifty_pipeline::Demand<'_>| demand.only = vec!["rank".to_owned()];
    let (Ended { notes, given, .. }, _) = project.run_with(&[], &|| false, only);
    assert!(notes.contains(&"join `scores` of rank: 2 results".to_owned()), "{notes:?}");
    assert!(matches!(given[0].1, Gave::Placed(_)), "{:?}", json!(given.len()));
}
