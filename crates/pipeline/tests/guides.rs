//! The examples of the guides do what the guides say.

#![allow(clippy::unwrap_used)]

mod project;

use project::Project;
use serde_json::json;
use thrifty_pipeline::{Gave, Variation};

/// The fenced texts of a page that begin with the name of their file: the last one of each name.
fn files(page: &str) -> Vec<(String, String)> {
    let fenced = page.split("```").skip(1).step_by(2);
    let named = fenced.filter_map(|block| {
        let text = block.split_once('\n')?.1;
        let name = text.lines().next()?.strip_prefix("# ")?;
        (!name.contains(' ')).then(|| (name.to_owned(), text.to_owned()))
    });
    named.collect()
}

#[test]
fn the_delays_of_the_guide_are_spread_over_months_and_seeds() {
    let page = files(include_str!("../../../docs/guide/operation-files.md"));
    let (_, text) = page.iter().find(|(name, _)| name == "delays.yaml").unwrap();
    let project = Project::new(&[("p.yaml", text), ("delays.txt", "may 3\njune 5\nmay 4\n")]);
    let computed = || {
        let (ended, settled) = project.run(&[]);
        let names = settled.iter().filter_map(|it| it.strip_suffix(" computed"));
        (ended, names.map(str::to_owned).collect::<Vec<_>>())
    };
    let (ended, ran) = computed();
    assert_eq!(ran.iter().filter(|it| it.starts_with("fit[seed=")).count(), 6, "{ended:?}");
    let Gave::Value(spread) = &ended.given[1].1 else { panic!("{ended:?}") };
    assert_eq!(spread.as_object().unwrap().keys().collect::<Vec<_>>(), ["june.txt", "may.txt"]);
    assert_eq!(spread["may.txt"].as_object().unwrap().len(), 3);
    assert_eq!(computed().1, [""; 0]);
    project.write("p.yaml", &text.replace("[1, 2, 3]", "[1, 2, 3, 4]"));
    let (_, ran) = computed();
    let fitted = ["fit[seed=4,partition=june.txt]", "fit[seed=4,partition=may.txt]"];
    assert_eq!(ran[..2], fitted, "{ran:?}");
    project.write("delays.txt", "may 3\njune 5\nmay 9\n");
    let (_, ran) = computed();
    assert!(!ran.iter().any(|it| it.contains("partition=june.txt")), "{ran:?}");
    assert!(ran.contains(&"fit[seed=1,partition=may.txt]".to_owned()), "{ran:?}");
}

#[test]
fn the_pipeline_that_was_a_polyaxonfile_does_what_its_guide_says() {
    let project = Project::new(&[]);
    for (name, text) in files(include_str!("../../../docs/guide/migrating-from-polyaxon.md")) {
        project.write(&name, &text);
    }
    let with = |params: &[(&str, &str)], presets: &[&str]| Variation {
        params: params.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        presets: presets.iter().map(|name| (*name).to_owned()).collect(),
        ..Variation::default()
    };
    let run = |file: &str, variation| {
        let (ended, settled) = project.run_file(file, &variation, &|| false, |_| ());
        (settled, ended.given[0].1.clone())
    };
    let score = |score: i64| Gave::Value(json!(score));
    assert_eq!(
        run("churn.yaml", with(&[], &[])),
        (
            ["fit computed", "prepare computed", "prepare.table computed"]
                .map(str::to_owned)
                .to_vec(),
            score(360)
        )
    );
    assert_eq!(project.read("results/report.json"), "{\"score\": 360}\n");
    let hits = ["fit hit", "prepare hit"].map(str::to_owned).to_vec();
    assert_eq!(run("churn.yaml", with(&[], &[])), (hits, score(360)));
    let fitted = ["fit computed", "prepare hit"].map(str::to_owned).to_vec();
    assert_eq!(run("churn.yaml", with(&[("depth", "5")], &[])), (fitted, score(450)));
    let all =
        ["fit computed", "prepare computed", "prepare.table computed"].map(str::to_owned).to_vec();
    assert_eq!(run("churn.yaml", with(&[], &["quick"])), (all, score(28)));
    let alone = run("components/prepare.yaml", with(&[("days", "7")], &[]));
    assert_eq!(alone, (vec!["table hit".to_owned()], Gave::Kept), "known by its own name");
}
