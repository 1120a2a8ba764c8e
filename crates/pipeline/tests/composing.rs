//! Files made of files, presets and single fields: which of them holds, and what is told.

#![allow(clippy::unwrap_used)]

mod project;

use project::Project;
use serde_json::json;
use thrifty_pipeline::{Given, Pipeline, Run, Variation, Work};

fn read(project: &Project, variation: &Variation) -> Result<Pipeline, String> {
    let pipeline = Pipeline::read_with(&project.at("p.yaml"), variation, &|_| None);
    let root = project.directory.path().canonicalize().unwrap().join("project");
    pipeline.map_err(|error| error.to_string().replace(&format!("{}/", root.display()), ""))
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

fn preset(names: &[&str]) -> Variation {
    let presets = names.iter().map(|name| (*name).to_owned()).collect();
    Variation { presets, ..Variation::default() }
}

fn fields(fields: &[(&str, &str)]) -> Variation {
    Variation { fields: pairs(fields), ..Variation::default() }
}

/// Each level against every other: of those that say something, the last one holds.
#[test]
fn later_levels_hold_over_earlier_ones() {
    let project = Project::new(&[]);
    let says = |level: usize| format!("params: {{rate: {level}}}\n");
    for levels in 1..1_usize << 7 {
        let is_said = |level: usize| levels >> level & 1 == 1;
        let part =
            |level: usize| if is_said(level) { says(level) } else { "params: {}\n".to_owned() };
        project.write("first.yaml", &part(0));
        project.write("second.yaml", &part(1));
        let preset = |level: usize| part(level).trim().to_owned();
        project.write("p.yaml", &format!(
            "include: [first.yaml, second.yaml]\n{}presets:\n  a: {{{}}}\n  b: {{{}}}\noperations:\n  use: {{run: 'echo {{{{ params.rate }}}}'}}\n",
            part(2), preset(3), preset(4)
        ));
        let variation = Variation {
            presets: vec!["a".to_owned(), "b".to_owned()],
            fields: pairs(if is_said(5) { &[("params.rate", "5")] } else { &[] }),
            params: pairs(if is_said(6) { &[("rate", "6")] } else { &[] }),
            ..Variation::default()
        };
        let last = (0..7).rev().find(|level| is_said(*level)).unwrap();
        let found = read(&project, &variation);
        // A level above cannot change what is nowhere.
        if levels & 0b111 == 0 {
            assert!(found.unwrap_err().contains("there is no parameter `rate`"), "{levels:b}");
            continue;
        }
        let pipeline = found.unwrap();
        assert_eq!(
            pipeline.commands[0].params,
            [("rate".to_owned(), Given::Value(json!(last)))],
            "{levels:b}"
        );
    }
}

const BASE: &str = "params: {rate: {type: float, default: 0.5, help: how fast}}
env: {A: base, B: base}
cache: {ttl: 7d, salt: s}
operations:
  train:
    run: train {{ params.rate }}
    env: {C: base}
    cache: {version: v1}
    timeout: 5m
    outputs: {model: model.bin}
  group:
    operations:
      one: {run: one}
      two: {run: two}
";

fn project(text: &str) -> Project {
    Project::new(&[
        ("base.yaml", BASE),
        ("p.yaml", text),
        ("lib/part.yaml", "include: [more.yaml]\n"),
        ("lib/more.yaml", "env: {FROM: lib}\n"),
    ])
}

fn env(pipeline: &Pipeline, position: usize) -> String {
    let env = pipeline.commands[position].env.iter();
    env.map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("-")))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn tables_are_merged_by_name_and_fields_one_by_one() {
    let project = project(
        "include: [base.yaml, lib/part.yaml]
params: {rate: 1.5}
env: {B: own}
operations:
  train: {env: {D: own}, cache: {ttl: 1d}}
  group: {operations: {two: {run: [other]}}}
  more: {run: more}
",
    );
    let pipeline = read(&project, &Variation::default()).unwrap();
    let names: Vec<_> = pipeline.names();
    assert_eq!(names, ["train", "group", "group.one", "group.two", "more"]);
    let train = &pipeline.commands[0];
    assert_eq!(train.run(), Some(&Run::Shell("train {{ params.rate }}".to_owned())));
    assert_eq!(train.params, [("rate".to_owned(), Given::Value(json!(1.5)))]);
    assert_eq!(env(&pipeline, 0), "A=base B=own C=base D=own FROM=lib");
    assert_eq!(train.cache.ttl.unwrap().as_secs(), 86_400);
    assert_eq!(train.cache.version.as_deref(), Some("v1"));
    assert_eq!((train.timeout.unwrap().as_secs(), train.cache.salt.as_deref()), (300, Some("s")));
    let Work::Process(group) = &pipeline.commands[1].work else { panic!() };
    assert_eq!(group.steps[1].run(), Some(&Run::Words(vec!["other".to_owned()])));
    // The type of a parameter stays that of the base.
    let set = Variation { params: pairs(&[("rate", "x")]), ..Variation::default() };
    assert!(read(&project, &set).unwrap_err().ends_with("`x` is not a number"));
}

#[test]
fn what_does_something_else_takes_the_place_of_what_was_done() {
    for (more, is_process) in [
        ("train: {operations: {a: {run: a}}, outputs: {model: a.m}, timeout: null}", true),
        ("group: {run: all}", false),
    ] {
        let text = format!("include: [base.yaml]\noperations: {{{more}}}\n");
        let text = text.replace("a: {run: a}", "a: {run: a, outputs: {m: m}}");
        let project = project(&text);
        project.write("base.yaml", &BASE.replace("    timeout: 5m\n", ""));
        let text = project.read("p.yaml").replace(", timeout: null", "");
        project.write("p.yaml", &text);
        let pipeline = read(&project, &Variation::default()).unwrap();
        let changed = usize::from(!is_process);
        assert_eq!(pipeline.commands[changed].run().is_none(), is_process);
    }
}

#[test]
fn presets_and_fields_change_what_is_there() {
    let text = format!(
        "{BASE}presets:
  fast: {{params: {{rate: 9.0}}, env: {{A: fast}}, cache: {{ttl: 1h}}, operations: {{train: {{cache: {{disable: true}}, timeout: 1m}}}}}}
  quiet: {{env: {{A: quiet}}, operations: {{group: {{operations: {{one: {{run: hush}}}}}}}}}}
"
    );
    let project = project(&text);
    let pipeline = read(&project, &preset(&["fast", "quiet"])).unwrap();
    let train = &pipeline.commands[0];
    assert_eq!((train.cache.disable, train.timeout.unwrap().as_secs()), (Some(true), 60));
    assert_eq!(train.cache.ttl.unwrap().as_secs(), 3600);
    assert_eq!(env(&pipeline, 0), "A=quiet B=base C=base");
    assert_eq!(
        env(&read(&project, &preset(&["quiet", "fast"])).unwrap(), 0),
        "A=fast B=base C=base"
    );
    let mut variation = preset(&["fast"]);
    variation.fields = pairs(&[
        ("operations.train.cache.ttl", "1d"),
        ("operations.train.env", "{C: x, E: 'true'}"),
        ("operations.group.operations.two.run", "[echo, 1d]"),
        ("operations.train.cache.disable", "false"),
        ("env.A", ""),
    ]);
    let pipeline = read(&project, &variation).unwrap();
    let train = &pipeline.commands[0];
    assert_eq!((train.cache.ttl.unwrap().as_secs(), train.cache.disable), (86_400, Some(false)));
    assert_eq!(env(&pipeline, 0), "A=- B=base C=x E=true");
    let Work::Process(group) = &pipeline.commands[1].work else { panic!() };
    assert_eq!(group.steps[1].run(), Some(&Run::Words(vec!["echo".to_owned(), "1d".to_owned()])));
}

#[test]
fn what_is_wrong_is_told_where_it_stands() {
    let told = |text: &str, variation: &Variation| {
        let project = project(text);
        project.write("circle.yaml", "include: [p.yaml]\n");
        project.write(
            "wrong.yaml",
            "params: {a: {type: int, default: x}}\noperations:\n  bad: {run: 'x {{ params.b }}'}\n",
        );
        project.write("typo.yaml", "operatons: {}\n");
        let error = read(&project, variation).unwrap_err();
        assert!(!error.contains('\n'), "{error}");
        error
    };
    let none = Variation::default();
    for (include, expected) in [
        ("none.yaml", "p.yaml:1:11: include: "),
        ("circle.yaml", "circle.yaml:1:11: files include each other in a circle: "),
        ("wrong.yaml", "wrong.yaml:1:13: the default of parameter `a` is not a whole number"),
        ("typo.yaml", "typo.yaml:1:1: unknown field `operatons`"),
    ] {
        let error = told(&format!("include: [{include}]\noperations: {{a: {{run: x}}}}\n"), &none);
        assert!(error.contains(expected), "{include}: {error}");
    }
    let error = told("include: [wrong.yaml]\nparams: {a: 1}\n", &none);
    assert!(
        error.contains("wrong.yaml:3:14: `params.b` in `run`: there is no such name"),
        "{error}"
    );
    for (field, value, expected) in [
        (
            "operations.trian.cache.ttl",
            "1d",
            "--set operations.trian.cache.ttl=1d: there is no operation `trian` to change; did you mean `train`?",
        ),
        ("operations.train.cach.ttl", "1d", "unknown field `cach`, expected one of"),
        (
            "operations.group.operations.three.run",
            "x",
            "there is no operation `three` to change; known: `one`, `two`",
        ),
        ("params.rat", "1", "there is no parameter `rat` to change; did you mean `rate`?"),
        (
            "params.rate",
            "fast",
            "--set params.rate=fast: the default of parameter `rate` is not a number",
        ),
        ("operations.train.cache.disable", "yes", "--set operations.train.cache.disable=yes: "),
        (
            "operations.train.cache.ttl",
            "soon",
            "--set operations.train.cache.ttl=soon: `ttl`: \"soon\" is not a duration",
        ),
        ("operations.train.run", "{", "--set operations.train.run={: "),
        ("include", "[x.yaml]", "`include` and `presets` stand in files"),
        ("", "x", "unknown field ``"),
    ] {
        let error = told(BASE, &fields(&[(field, value)]));
        assert!(error.contains(expected), "{field}={value}: {error}");
    }
    let with = |presets: &str| format!("{BASE}presets: {{{presets}}}\n");
    for (presets, chosen, expected) in [
        ("fast: {}", "fats", "p.yaml: there is no preset `fats`; did you mean `fast`?"),
        (
            "fast: {operations: {trian: {run: x}}}",
            "fast",
            "p.yaml:15:38: there is no operation `trian` to change; did you mean `train`?",
        ),
        ("fast: {params: {rat: 1}}", "fast", "there is no parameter `rat` to change"),
        (
            "fast: {params: {rate: x}}",
            "fast",
            "p.yaml:15:33: the default of parameter `rate` is not a number",
        ),
        ("fast: {outputs: {}}", "fast", "p.yaml:15:18: unknown field `outputs`"),
    ] {
        let error = told(&with(presets), &preset(&[chosen]));
        assert!(error.contains(expected), "{presets}: {error}");
    }
    assert!(told("include: [lib/part.yaml]\n", &none).contains("it has no `operations`"));
}

/// A preset that changes how the cache is used changes no key; one that changes a param does.
#[test]
fn composition_counts_by_what_comes_of_it() {
    let whole = "operations:\n  a: {run: 'echo {{ params.n }} > o', outputs: {o: o}}\nparams: {n: 1}\npresets: {two: {params: {n: 2}}}\n";
    let project = Project::new(&[("p.yaml", whole)]);
    assert_eq!(project.run(&[]).1, ["a computed"]);
    project.write("base.yaml", &whole.replace("n: 1", "n: 3"));
    project.write("p.yaml", "include: [base.yaml]\nparams: {n: 1}\n");
    assert_eq!(project.run(&[]).1, ["a hit"], "the same, put together otherwise");
    assert_eq!(project.run(&[("n", "2")]).1, ["a computed"]);
}
