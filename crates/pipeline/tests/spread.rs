//! Operations that are done many times: with each seed, for each partition, up to one that
//! aggregates them.

#![allow(clippy::unwrap_used)]

mod project;

use project::Project;
use serde_json::{Value as Json, json};
use thrifty_engine::Mode;
use thrifty_engine::catalog::RunStatus;
use thrifty_pipeline::{Ended, Gave, Pipeline};

/// A split, a training with seeds, an evaluation of each, and a report of all.
const SEEDS: &str = "operations:
  split:
    run: cp {{ inputs.data }} {{ outputs.rows }}
    inputs: {data: data.txt}
    outputs: {rows: rows.txt}
  train:
    seeds: [1, 2, 3]
    run: (cat {{ inputs.rows }}; echo {{ seed }}) > {{ outputs.model }}
    inputs: {rows: {from: split.rows}}
    outputs: {model: model.txt}
  evaluate:
    run: wc -c < {{ inputs.model }} > {{ outputs.score }}
    inputs: {model: {from: train.model}}
    outputs: {score: {json: score.json}}
  report:
    aggregate: seeds
    run: (cd {{ inputs.models }}; ls *) > list; echo {{ params.scores }} > {{ outputs.text }}; cat list >> {{ outputs.text }}
    inputs: {models: {from: train.model}}
    params: {scores: {from: evaluate.score}}
    outputs: {text: report.txt}
outputs:
  text: {from: report.text, to: report.txt}
  scores: evaluate.score
  models: {from: train.model, to: models}
";

fn seeds() -> Project {
    Project::new(&[("p.yaml", SEEDS), ("data.txt", "rows\n")])
}

fn given<'a>(ended: &'a Ended, name: &str) -> &'a Json {
    match &ended.given.iter().find(|(known, _)| known == name).unwrap().1 {
        Gave::Value(value) => value,
        other => panic!("{name}: {other:?}"),
    }
}

/// What ran, without what puts results together.
fn computed(settled: &[String]) -> Vec<&str> {
    settled.iter().filter_map(|it| it.strip_suffix(" computed")).collect()
}

#[test]
fn a_seed_spreads_an_operation_and_what_follows_from_it() {
    let project = seeds();
    let (ended, settled) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    let expected = [
        "evaluate[seed=1]",
        "evaluate[seed=2]",
        "evaluate[seed=3]",
        "report",
        "split",
        "train[seed=1]",
        "train[seed=2]",
        "train[seed=3]",
    ];
    assert_eq!(computed(&settled), expected);
    let scores = given(&ended, "scores").as_object().unwrap();
    assert_eq!(scores.keys().collect::<Vec<_>>(), ["1", "2", "3"]);
    let text = project.read("report.txt");
    assert!(text.starts_with("{\"1\":") && text.contains("\n1:\nmodel.txt\n\n2:\n"), "{text}");
    assert!(project.read("models/2/model.txt").starts_with("rows\n"));
    assert_ne!(project.read("models/1/model.txt"), project.read("models/2/model.txt"));
    let (_, settled) = project.run(&[]);
    assert_eq!(computed(&settled), [""; 0], "{settled:?}");
}

#[test]
fn another_seed_runs_its_own_copies_and_what_aggregates() {
    let project = seeds();
    project.run(&[]);
    project.write("p.yaml", &SEEDS.replace("[1, 2, 3]", "[3, 1, 4, 2]"));
    let (_, settled) = project.run(&[]);
    assert_eq!(computed(&settled), ["evaluate[seed=4]", "report", "train[seed=4]"]);
    // In another order it is the same mapping.
    project.write("p.yaml", &SEEDS.replace("[1, 2, 3]", "[4, 3, 2, 1]"));
    assert_eq!(computed(&project.run(&[]).1), [""; 0]);
}

#[test]
fn a_copy_has_the_key_of_the_operation_with_its_seed() {
    let project = seeds();
    project.run(&[]);
    let alone = SEEDS.replace("seeds: [1, 2, 3]", "seed: 2");
    let alone = alone.split("  report:").next().unwrap();
    project.write("p.yaml", alone);
    let (ended, settled) = project.run(&[]);
    assert_eq!(computed(&settled), [""; 0], "{ended:?}");
    // And the other way round.
    project.write("p.yaml", &alone.replace("seed: 2", "seed: 9"));
    assert_eq!(computed(&project.run(&[]).1), ["evaluate", "train"]);
    project.write("p.yaml", &SEEDS.replace("[1, 2, 3]", "[9]"));
    assert_eq!(computed(&project.run(&[]).1), ["report"]);
}

/// Fault 15 of ExpOps: seeds ride in the hash of the whole configuration, so that another one
/// runs everything again.
#[test]
fn fault_15_of_expops_a_seed_counts_for_what_draws_from_it_alone() {
    let project = seeds();
    project.run(&[]);
    let edited = SEEDS.replace("[1, 2, 3]", "[1, 2]").replace(
        "outputs: {rows: rows.txt}",
        "outputs: {rows: rows.txt}\n  other: {run: 'echo x > o', outputs: {o: o}}",
    );
    project.write("p.yaml", &edited);
    assert_eq!(computed(&project.run(&[]).1), ["other", "report"]);
}

#[test]
fn equal_outputs_of_copies_cut_off() {
    let text = SEEDS.replace("echo {{ seed }})", "test {{ seed }} != 0)");
    let project = Project::new(&[("p.yaml", &text), ("data.txt", "rows\n")]);
    let (ended, settled) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    let evaluated = computed(&settled).iter().filter(|it| it.starts_with("evaluate")).count();
    assert_eq!(evaluated, 1, "the models are the same: {settled:?}");
}

#[test]
fn what_follows_draws_from_the_seed_of_its_copy() {
    let text = "seed: 5
operations:
  first: {seeds: [1, 2], run: 'echo {{ seed }} > n', outputs: {n: {json: n}}}
  second: {run: 'echo {{ seed }} > n; true {{ params.n }}', params: {n: {from: first.n}}, outputs: {n: {json: n}}}
  alone: {run: 'echo {{ seed }} > n', outputs: {n: {json: n}}}
outputs: {first: first.n, second: second.n, alone: alone.n}
";
    let project = Project::new(&[("p.yaml", text)]);
    let (ended, _) = project.run(&[]);
    let (first, second) = (given(&ended, "first"), given(&ended, "second"));
    assert!(first["1"] != first["2"] && second["1"] != second["2"], "{first} {second}");
    project.write("p.yaml", &text.replace("seed: 5", "seed: 6"));
    let (_, settled) = project.run(&[]);
    assert_eq!(computed(&settled), ["alone"], "the copies have seeds of their own");
}

#[test]
fn partitions_are_spread_over_values() {
    let text = "params: {regions: [eu, us]}
operations:
  clean:
    partitions: '{{ params.regions }}'
    run: tr a-z A-Z < {{ inputs.raw }} > {{ outputs.rows }}
    inputs: {raw: 'data/{{ params.partition }}.txt'}
    outputs: {rows: rows.txt}
  count:
    run: wc -l < {{ inputs.rows }} > n
    inputs: {rows: {from: clean.rows}}
    outputs: {n: {json: n}}
  total:
    aggregate: partitions
    run: cat {{ inputs.rows }}/*/rows.txt > {{ outputs.all }}
    inputs: {rows: {from: clean.rows}}
    params: {counts: {from: count.n}}
    outputs: {all: all.txt}
outputs: {counts: count.n, all: {from: total.all, to: all.txt}}
";
    let project =
        Project::new(&[("p.yaml", text), ("data/eu.txt", "a\nb\n"), ("data/us.txt", "c\n")]);
    let (ended, _) = project.run(&[]);
    assert_eq!(given(&ended, "counts"), &json!({"eu": 2, "us": 1}), "{ended:?}");
    assert_eq!(project.read("all.txt"), "A\nB\nC\n");
    // Only the partition whose bytes changed; its count came out the same.
    project.write("data/eu.txt", "a\nx\n");
    let (_, settled) = project.run(&[]);
    let expected = ["clean[partition=eu]", "count[partition=eu]", "total"];
    assert_eq!(computed(&settled), expected);
    // A copy has the key of the operation with the value written down.
    let alone = "operations:
  clean:
    params: {partition: us}
    run: tr a-z A-Z < {{ inputs.raw }} > {{ outputs.rows }}
    inputs: {raw: 'data/us.txt'}
    outputs: {rows: rows.txt}
    cache: {disable: false}
";
    project.write("p.yaml", &alone.replace("    params: {partition: us}\n", ""));
    assert_eq!(project.run(&[]).1, ["clean hit"], "it names its partition in no command");
    project.write("data/ap.txt", "d\n");
    project.write("p.yaml", text);
    let (_, settled) = project.run(&[("regions", r#"["eu", "us", "ap"]"#)]);
    assert_eq!(settled.iter().filter(|it| it.ends_with(" computed")).count(), 3, "{settled:?}");
}

const NESTED: &str = "operations:
  part: {partitions: [a, b], run: 'echo {{ params.partition }} > o', outputs: {o: o}}
  train:
    seeds: [1, 2]
    run: (cat {{ inputs.o }}; echo {{ seed }}) > m
    inputs: {o: {from: part.o}}
    outputs: {m: m}
  score: {run: 'head -c 1 {{ inputs.m }} > s', inputs: {m: {from: train.m}}, outputs: {s: s}}
  by_part: {aggregate: seeds, run: '(cd {{ inputs.m }}; ls -d */*; cat */s) > o', inputs: {m: {from: score.s}}, outputs: {o: o}}
  by_seed: {aggregate: partitions, run: '(cd {{ inputs.m }}; ls -d */*; cat */s) > o', inputs: {m: {from: score.s}}, outputs: {o: o}}
  all: {aggregate: [partitions, seeds], run: '(cd {{ inputs.m }}; ls -d */*/*; cat */*/s) > o', inputs: {m: {from: score.s}}, outputs: {o: o}}
outputs: {by_part: {from: by_part.o, to: by_part}, by_seed: {from: by_seed.o, to: by_seed}, all: {from: all.o, to: all}}
";

#[test]
fn seeds_and_partitions_are_spread_over_each_other() {
    let project = Project::new(&[("p.yaml", NESTED)]);
    let (ended, settled) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    let count = |name: &str| settled.iter().filter(|it| it.starts_with(name)).count();
    assert_eq!(
        (count("part["), count("train["), count("by_part["), count("by_seed[")),
        (2, 4, 2, 2)
    );
    assert!(settled.contains(&"train[seed=1,partition=b] computed".to_owned()), "{settled:?}");
    assert_eq!(project.read("by_part/b/o"), "1/s\n2/s\nbb");
    assert_eq!(project.read("by_seed/2/o"), "a/s\nb/s\nab");
    assert_eq!(project.read("all"), "1/a/s\n1/b/s\n2/a/s\n2/b/s\nabab");
    assert_eq!(computed(&project.run(&[]).1), [""; 0]);
    // Without a cache everything goes from hand to hand.
    let off = |demand: &mut thrifty_pipeline::Demand<'_>| demand.chosen.mode = Some(Mode::Off);
    std::fs::remove_file(project.at("all")).unwrap();
    assert_eq!(project.run_with(&[], &|| false, off).0.status, RunStatus::Succeeded);
    assert_eq!(project.read("all"), "1/a/s\n1/b/s\n2/a/s\n2/b/s\nabab");
}

#[test]
fn processes_are_spread_and_hold_what_is() {
    let text = "params: {n: 1}
operations:
  whole:
    seeds: [1, 2]
    params: {n: '{{ params.n }}'}
    operations:
      draw: {run: 'echo {{ seed }} > o', outputs: {o: o}}
      scale: {run: 'echo $(( $(cat {{ inputs.o }}) * {{ params.n }} )) > n', inputs: {o: {from: draw.o}}, outputs: {n: {json: n}}}
    outputs: {n: scale.n}
  within:
    operations:
      part: {partitions: [1, 2], run: 'echo {{ params.partition }} > o', outputs: {o: {json: o}}}
      sum: {aggregate: partitions, run: 'echo {{ params.o[\"1\"] + params.o[\"2\"] }} > o', params: {o: {from: part.o}}, outputs: {o: {json: o}}}
    outputs: {sum: sum.o, parts: part.o}
outputs: {n: whole.n, sum: within.sum, parts: within.parts}
";
    let project = Project::new(&[("p.yaml", text)]);
    let (ended, settled) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    assert!(settled.contains(&"whole[seed=1].draw computed".to_owned()), "{settled:?}");
    assert_eq!(given(&ended, "sum"), &json!(3));
    assert_eq!(given(&ended, "parts"), &json!({"1": 1, "2": 2}));
    let (_, settled) = project.run(&[]);
    let hits: Vec<_> = settled.iter().filter(|it| it.ends_with(" hit")).collect();
    assert_eq!(hits, ["whole[seed=1] hit", "whole[seed=2] hit", "within hit"]);
    let (_, settled) = project.run(&[("n", "2")]);
    assert_eq!(
        computed(&settled),
        ["whole[seed=1]", "whole[seed=1].scale", "whole[seed=2]", "whole[seed=2].scale"],
        "{settled:?}"
    );
}

#[test]
fn a_search_with_seeds_is_one_for_each() {
    let text = "operations:
  train:
    seeds: [1, 2]
    run: 'echo $(( {{ params.rate }} + 0 * {{ seed }} )) > n'
    matrix: {kind: grid, params: {rate: [3, 4]}, metric: {name: n, goal: maximize}}
    outputs: {n: {json: n}}
  best: {aggregate: seeds, run: 'echo {{ params.n[\"1\"] }} > o', params: {n: {from: train.best.n}}, outputs: {o: {json: o}}}
outputs: {n: train.n, best: best.o}
";
    let project = Project::new(&[("p.yaml", text)]);
    let (ended, settled) = project.run(&[]);
    assert_eq!(given(&ended, "n"), &json!({"1": [3, 4], "2": [3, 4]}), "{ended:?}");
    assert_eq!(given(&ended, "best"), &json!(4));
    let trials = settled.iter().filter(|it| it.ends_with("] computed")).count();
    assert_eq!(trials, 4, "{settled:?}");
    let mut searches: Vec<_> = ended.searches.iter().map(|it| it.operation.as_str()).collect();
    searches.sort_unstable();
    assert_eq!(searches, ["train[seed=1]", "train[seed=2]"]);
}

#[test]
fn a_copy_that_fails_stops_what_takes_it_and_no_other() {
    let text = "operations:
  a: {partitions: [x, y], run: 'test {{ params.partition }} = x; echo 1 > o', outputs: {o: o}}
  b: {run: 'cp {{ inputs.o }} p', inputs: {o: {from: a.o}}, outputs: {p: p}}
  all: {aggregate: partitions, run: 'touch q', inputs: {p: {from: b.p}}, outputs: {q: q}}
";
    let project = Project::new(&[("p.yaml", text)]);
    let (ended, settled) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Failed);
    assert_eq!(ended.failures.len(), 1, "{ended:?}");
    assert!(ended.failures[0].0 == "a[partition=y]", "{ended:?}");
    assert!(settled.contains(&"b[partition=x] computed".to_owned()), "{settled:?}");
    assert!(!computed(&settled).contains(&"all"));
}

#[test]
fn one_operation_is_chosen_with_all_its_copies_or_one_of_them() {
    let project = seeds();
    let only = |name: &str| {
        let name = name.to_owned();
        let (_, settled) = project.run_with(&[], &|| false, |demand| demand.only = vec![name]);
        computed(&settled).iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(only("train[seed=2]"), ["split", "train[seed=2]"]);
    assert_eq!(only("train"), ["train[seed=1]", "train[seed=3]"]);
    let refreshed = |name: &str| {
        let name = name.to_owned();
        let (_, settled) =
            project.run_with(&[], &|| false, |demand| demand.chosen.refresh = vec![name]);
        settled
            .iter()
            .filter(|it| it.starts_with("train") && it.ends_with(" computed"))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(refreshed("train[seed=3]"), ["train[seed=3] computed"]);
    assert_eq!(refreshed("train").len(), 3);
    let refused = project.refused_with(&[], |demand| demand.only = vec!["trian".to_owned()]);
    assert!(refused.contains("did you mean `train`?"), "{refused}");
}

#[test]
fn what_is_spread_badly_is_told_with_its_place() {
    let file = |more: &str| {
        format!(
            "operations:
  a: {{run: 'echo {{{{ seed }}}} > o', seeds: [1, 2], outputs: {{o: o}}}}
  b: {more}
"
        )
    };
    let many = format!("{:?}", (0..400).collect::<Vec<_>>());
    let parts = many.replace("0,", "x,");
    for (more, told) in [
        ("{run: x, seeds: []}", "p.yaml:3:22: `seeds` is empty; it is a list of whole numbers"),
        ("{run: x, seeds: [1, -1]}", "`seeds` has -1, which is no seed"),
        ("{run: x, seeds: [1, 1.5]}", "`seeds` has 1.5, which is no seed"),
        ("{run: x, seeds: [1, 2, 1]}", "`seeds` has `1` twice"),
        ("{run: x, seeds: 3}", "`seeds` is 3; it is a list"),
        ("{run: x, seeds: [1], seed: 1}", "it has `seed` and `seeds`"),
        ("{run: x, aggregate: seeds}", "nothing that `b` takes is spread over `seeds`"),
        ("{run: x, aggregate: seed}", "unknown variant `seed`, expected one of seeds, partitions"),
        ("{run: x, inputs: {o: {from: a.o}}, aggregate: partitions}", "nothing that `b` takes"),
        ("{run: x, inputs: {o: {from: a.o}}, seeds: [3]}", "spread over `seeds` already"),
        (
            "{run: x, partitions: [a, b]}",
            "all partitions of `b` are the same: name {{ params.partition }}",
        ),
        ("{run: x, partitions: []}", "`partitions` is empty"),
        (
            "{run: x, partitions: [a, 'b/c']}",
            "`partitions` has `b/c`, of which no name of a directory",
        ),
        ("{run: x, partitions: [[1]]}", "`partitions` has [1], which is neither"),
        (
            "{run: x, partitions: {form: a.o}}",
            "`partitions` is a list of texts or numbers, or {from: operation.output}",
        ),
        (
            &format!("{{run: 'x {{{{ params.partition }}}}', seeds: {many}, partitions: {parts}}}"),
            "`b` would be 160000 operations (400 seeds × 400 partitions); a pipeline may have 100000",
        ),
        (
            "{seeds: [1], operations: {s: {run: 'true'}}}",
            "`seeds` of `b`: none of its steps draws from a seed",
        ),
        (
            "{run: x, seeds: [3], outputs: {o: o}}\n  c: {run: x, inputs: {a: {from: a.o}, b: {from: b.o, to: b}}}",
            "`c` takes from operations with different `seeds`: `aggregate: seeds` of one of them first",
        ),
    ] {
        let project = Project::new(&[("p.yaml", &file(more))]);
        let error = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap_err().to_string();
        assert!(error.contains(told), "{more}\n{error}");
        assert!(error.contains("p.yaml:"), "{more}\n{error}");
    }
}

#[test]
fn nothing_more_than_its_own_copies_comes_of_a_replay() {
    let project = seeds();
    let (ended, _) = project.run(&[]);
    let run = thrifty_engine::catalog::RunId(ended.run.unwrap());
    let going = thrifty_pipeline::Going::Replay { run, from: vec!["report".to_owned()] };
    let (ended, settled) = project.run_with(&[], &|| false, |demand| {
        demand.keeping.going = going;
        demand.chosen.refresh = vec!["report".to_owned()];
    });
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    assert_eq!(computed(&settled), ["report"]);
}

const LATE: &str = "operations:
  split:
    run: mkdir parts; while read name row; do echo $row >> parts/$name.txt; done < {{ inputs.table }}
    inputs: {table: table.txt}
    outputs: {parts: parts/}
  clean:
    partitions: {from: split.parts}
    run: tr a-z A-Z < {{ inputs.rows }} > {{ outputs.rows }}
    inputs: {rows: {from: inputs.partition, to: raw.txt}}
    outputs: {rows: rows.txt}
  train:
    seeds: [1, 2]
    run: (cat {{ inputs.rows }}; echo {{ seed }}) > {{ outputs.model }}
    inputs: {rows: {from: clean.rows}}
    outputs: {model: model.txt}
  count:
    run: wc -l < {{ inputs.rows }} > n
    inputs: {rows: {from: clean.rows}}
    outputs: {n: {json: n}}
  scaled:
    run: echo $(( {{ params.n }} * ({% for part, n in params.all | items %}{{ n }} + {% endfor %}0) )) > n
    params: {n: {from: count.n}, all: {from: total.n}}
    outputs: {n: {json: n}}
  total:
    aggregate: partitions
    run: echo {{ params.n }} > n
    params: {n: {from: count.n}}
    outputs: {n: {json: n}}
  report:
    aggregate: [seeds, partitions]
    run: (cd {{ inputs.m }}; ls -d */*/*) > {{ outputs.list }}
    inputs: {m: {from: train.model}}
    outputs: {list: list.txt}
  of_seeds:
    aggregate: seeds
    run: (cd {{ inputs.m }}; ls -d */*; head -n 1 1/model.txt) > {{ outputs.list }}
    inputs: {m: {from: train.model}}
    outputs: {list: list.txt}
outputs:
  list: {from: report.list, to: list.txt}
  seeds: {from: of_seeds.list, to: seeds}
  scaled: scaled.n
";

#[test]
fn partitions_that_the_run_tells_are_spread_when_it_has() {
    let project = Project::new(&[("p.yaml", LATE), ("table.txt", "a x\nb y\na z\n")]);
    let (ended, settled) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    assert!(settled.contains(&"clean[partition=a.txt] computed".to_owned()), "{settled:?}");
    let copy = "train[seed=2,partition=b.txt] computed".to_owned();
    assert!(settled.contains(&copy), "{settled:?}");
    let all = "1/a.txt/model.txt\n1/b.txt/model.txt\n2/a.txt/model.txt\n2/b.txt/model.txt\n";
    assert_eq!(project.read("list.txt"), all);
    assert_eq!(project.read("seeds/a.txt/list.txt"), "1/model.txt\n2/model.txt\nX\n");
    assert_eq!(given(&ended, "scaled"), &json!({"a.txt": 6, "b.txt": 3}));
    assert_eq!(computed(&project.run(&[]).1), [""; 0]);
    // One part changed, the other did not: what is made of that is known.
    project.write("table.txt", "a x\nb q\na z\n");
    let (_, settled) = project.run(&[]);
    let ran: Vec<_> = computed(&settled).into_iter().filter(|it| it.contains('[')).collect();
    let expected = [
        "clean[partition=b.txt]",
        "count[partition=b.txt]",
        "of_seeds[partition=b.txt]",
        "train[seed=1,partition=b.txt]",
        "train[seed=2,partition=b.txt]",
    ];
    assert_eq!(ran, expected, "{settled:?}");
    // A new part, and everything without a cache.
    project.write("table.txt", "a x\nb q\na z\nc z\n");
    let (ended, settled) = project.run(&[]);
    let counts = given(&ended, "scaled");
    assert_eq!(counts, &json!({"a.txt": 8, "b.txt": 4, "c.txt": 4}), "{settled:?}");
    let off = |demand: &mut thrifty_pipeline::Demand<'_>| demand.chosen.mode = Some(Mode::Off);
    let (ended, _) = project.run_with(&[], &|| false, off);
    assert_eq!(given(&ended, "scaled"), counts, "{ended:?}");
}

#[test]
fn a_copy_for_a_part_has_the_key_of_the_operation_with_it_alone() {
    let late = "operations:
  split: {run: 'echo \"[{\\\"r\\\": 3}, {\\\"r\\\": 4}]\" > l', outputs: {l: {json: l}}}
  one: {partitions: {from: split.l}, seeds: [2, 3], run: 'echo {{ params.it.r }} > o', params: {it: '{{ params.partition }}'}, outputs: {o: {json: o}}}
outputs: {o: one.o}
";
    let project = Project::new(&[("p.yaml", late)]);
    let (ended, _) = project.run(&[]);
    let all = json!({"2": {"0": 3, "1": 4}, "3": {"0": 3, "1": 4}});
    assert_eq!(given(&ended, "o"), &all, "{ended:?}");
    let off = |demand: &mut thrifty_pipeline::Demand<'_>| demand.chosen.mode = Some(Mode::Off);
    let (ended, _) = project.run_with(&[], &|| false, off);
    assert_eq!(given(&ended, "o"), &all, "{ended:?}");
    let alone = "operations:
  one: {run: 'echo {{ params.it.r }} > o', params: {it: {r: 4}}, seed: 2, outputs: {o: {json: o}}, cache: {disable: false}}
";
    project.write("p.yaml", alone);
    assert_eq!(project.run(&[]).1, ["one hit"]);
    project.write("p.yaml", &alone.replace("r: 4", "r: 7"));
    assert_eq!(project.run(&[]).1, ["one computed"]);
    project.write("p.yaml", &late.replace("4}", "7}"));
    let (_, settled) = project.run(&[]);
    assert_eq!(computed(&settled), ["one[seed=3,partition=1]", "split"], "{settled:?}");
}

#[test]
fn processes_and_searches_are_done_for_parts_and_hold_them() {
    let text = "operations:
  split: {run: 'echo {\\\"a\\\": 1, \\\"b\\\": 2} > l', outputs: {l: {json: l}}}
  whole:
    partitions: {from: split.l}
    params: {n: '{{ params.partition }}'}
    operations:
      twice: {run: 'echo $(( {{ params.n }} * 2 )) > n', outputs: {n: {json: n}}}
      again: {run: 'echo $(( {{ params.n }} * 2 )) > n', params: {n: {from: twice.n}}, outputs: {n: {json: n}}}
    outputs: {n: again.n}
  search:
    seeds: [6]
    run: echo $(( {{ params.rate }} * {{ params.n }} )) > n
    params: {n: {from: whole.n}}
    matrix: {kind: grid, params: {rate: [2, 3]}, metric: {name: n, goal: maximize}}
    outputs: {n: {json: n}}
outputs: {n: whole.n, all: search.n, best: search.best.n}
";
    let project = Project::new(&[("p.yaml", text)]);
    let (ended, settled) = project.run(&[]);
    assert_eq!(given(&ended, "n"), &json!({"a": 4, "b": 8}), "{ended:?}");
    assert_eq!(given(&ended, "all"), &json!({"6": {"a": [8, 12], "b": [16, 24]}}));
    assert_eq!(given(&ended, "best"), &json!({"6": {"a": 12, "b": 24}}));
    assert!(settled.contains(&"whole[partition=b].twice computed".to_owned()), "{settled:?}");
    assert_eq!(ended.searches.len(), 2);
    let (_, settled) = project.run(&[]);
    assert_eq!(computed(&settled), [""; 0]);
    assert!(settled.contains(&"whole[partition=b] hit".to_owned()), "{settled:?}");
}

#[test]
fn parts_that_there_are_none_of_are_told() {
    let file = |run: &str, output: &str, more: &str| {
        format!(
            "operations:
  split: {{run: '{run}', outputs: {{o: {output}}}}}
  each: {more}
"
        )
    };
    let takes = "{partitions: {from: split.o}, run: 'true {{ params.partition }}'}";
    let reads = "{partitions: {from: split.o}, run: 'true', inputs: {p: {from: inputs.partition}}}";
    for (run, output, more, told) in [
        ("echo 3 > o", "{json: o}", takes, "it is no directory, no list and no mapping"),
        ("echo [] > o", "{json: o}", takes, "there is no partition"),
        ("mkdir o", "o/", reads, "there is no partition"),
    ] {
        let project = Project::new(&[("p.yaml", &file(run, output, more))]);
        let (ended, _) = project.run(&[]);
        assert!(ended.failures.iter().any(|(_, it)| it.contains(told)), "{run}: {ended:?}");
    }
    for (output, more, told) in [
        ("o", reads, "`split.o` is a file, which has no parts"),
        ("o/", takes, "`params.partition` in `run`: there is no such name"),
        ("o/", "{partitions: {from: split.o}, run: x}", "`each` does not take its partition"),
        ("o/", "{partitions: {from: split.q}, run: x}", "`split` has no output `q`"),
        (
            "o/",
            "{partitions: {from: split.o}, run: x, artifacts: a, inputs: {p: {from: inputs.partition}}}",
            "`each` keeps `artifacts` for partitions that only the run tells",
        ),
    ] {
        let project = Project::new(&[("p.yaml", &file("x", output, more))]);
        let error = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap_err().to_string();
        assert!(error.contains(told) && error.contains("p.yaml:"), "{more}\n{error}");
    }
}
