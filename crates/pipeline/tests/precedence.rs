//! Who decides whether an operation uses the cache: every level against every other.

#![allow(clippy::unwrap_used)]

mod project;

use std::sync::Arc;

use project::Project;
use thrifty_engine::catalog::{RunId, Selector};
use thrifty_engine::{Cache, Context, Mode};
use thrifty_pipeline::{Chosen, Demand, Pipeline};

/// A step in a process in a file; each says `disable` as given, or nothing.
fn file(levels: [Option<bool>; 3]) -> String {
    let cache =
        |level: Option<bool>| level.map_or("{}".to_owned(), |it| format!("{{disable: {it}}}"));
    let [step, process, file] = levels.map(cache);
    format!(
        "cache: {file}\noperations:\n  p:\n    cache: {process}\n    operations:\n      s: {{run: 'true', cache: {step}}}\n  other: {{run: 'true'}}\n"
    )
}

/// The rule by which each operation of a file would use the cache, or not.
fn rules(project: &Project, cache: &Arc<Cache>, chosen: Chosen) -> Vec<(String, bool, String)> {
    let pipeline = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap();
    let demand = Demand {
        cache: Arc::clone(cache),
        work: project.at("work"),
        chosen,
        only: Vec::new(),
        workers: 1,
        interrupted: &|| false,
        listener: Arc::new(|_: &_| ()),
        arguments: String::new(),
        keeping: thrifty_pipeline::Keeping::default(),
        capacity: thrifty_pipeline::Resources::BOUNDLESS,
        language: None,
    };
    let plan = pipeline.plan(&demand).unwrap().ok().unwrap();
    let told = plan.nodes.into_iter().map(|planned| {
        let node = planned.node;
        (node.operation[2..].to_owned(), node.outcome != "uncached", node.rule)
    });
    told.collect()
}

#[test]
fn the_most_specific_level_that_says_something_decides() {
    let said = [None, Some(true), Some(false)];
    let modes = [None, Some(Mode::On), Some(Mode::Off)];
    let project = Project::new(&[("p.yaml", "")]);
    let cache = Cache::in_memory().unwrap();
    for code in 0..3_usize.pow(5) {
        let at = |level: u32| code / 3_usize.pow(level) % 3;
        let levels = [said[at(0)], said[at(1)], said[at(2)]];
        let (run, configured) = (modes[at(3)], modes[at(4)]);
        project.write("p.yaml", &file(levels));
        for (refresh, context) in
            [(false, Context::Pipeline), (false, Context::Again), (true, Context::Pipeline)]
        {
            let refresh = refresh.then(|| "p.s".to_owned()).into_iter().collect();
            let chosen =
                Chosen { mode: run, refresh, project: configured, context, ..Chosen::default() };
            let found = rules(&project, &cache, chosen.clone());
            let (_, is_on, rule) = found.iter().find(|(name, ..)| name == "p.s").unwrap();
            let is_on_at = |disable: bool| !disable;
            let expected = [
                (!chosen.refresh.is_empty()).then_some((true, "operation at run time")),
                run.map(|mode| (mode == Mode::On, "run")),
                levels[0].map(|disable| (is_on_at(disable), "definition")),
                levels[1].or(levels[2]).map(|disable| (is_on_at(disable), "workflow")),
                configured.map(|mode| (mode == Mode::On, "project")),
                (context == Context::Again).then_some((false, "restart or resume")),
            ];
            let expected = expected.into_iter().flatten().next().unwrap_or((true, "default"));
            assert_eq!((*is_on, rule.as_str()), expected, "{levels:?} {chosen:?}");
        }
    }
}

#[test]
fn a_lone_operation_is_off_unless_it_says_otherwise() {
    let project = Project::new(&[("p.yaml", "")]);
    let cache = Cache::in_memory().unwrap();
    let lone = "operations: {a: {run: 'true'}}";
    for (text, is_on, rule) in [
        (lone, false, "lone operation"),
        ("operations: {a: {run: 'true', cache: {disable: false}}}", true, "definition"),
        ("operations: {a: {run: 'true', cache: {ttl: 7d}}}", false, "lone operation"),
        ("cache: {disable: false}\noperations: {a: {run: 'true'}}", true, "workflow"),
        ("operations: {a: {run: 'true'}, b: {run: 'true'}}", true, "default"),
        ("operations: {a: {operations: {b: {run: 'true'}}}}", true, "default"),
    ] {
        project.write("p.yaml", text);
        let context = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap().context();
        let chosen = Chosen { context, ..Chosen::default() };
        let found = rules(&project, &cache, chosen);
        assert_eq!((found[0].1, found[0].2.as_str()), (is_on, rule), "{text}");
    }
    project.write("p.yaml", lone);
    let context = Context::Lone;
    for (chosen, expected) in [
        (Chosen { mode: Some(Mode::On), context, ..Chosen::default() }, (true, "run")),
        (Chosen { project: Some(Mode::On), context, ..Chosen::default() }, (true, "project")),
    ] {
        let found = rules(&project, &cache, chosen);
        assert_eq!((found[0].1, found[0].2.as_str()), expected);
    }
}

const AROUND: &str = "operations:
  p:
    operations:
      a: {run: 'echo 1 > o', outputs: {o: o}}
      b: {run: 'cat {{ inputs.o }} > r', inputs: {o: {from: a.o}}, outputs: {r: r}}
    outputs: {r: b.r}
";

#[test]
fn a_process_around_a_step_that_is_off_does_not_skip_it() {
    let off = AROUND.replace("a: {run", "a: {cache: {disable: true}, run");
    let project = Project::new(&[("p.yaml", &off)]);
    for b in ["computed", "hit"] {
        assert_eq!(project.run(&[]).1, ["p uncached", "p.a uncached", &format!("p.b {b}")]);
    }
    let found = rules(&project, &Cache::in_memory().unwrap(), Chosen::default());
    assert_eq!((found[0].1, found[0].2.as_str()), (false, "operation within"));
    // Whoever wants the whole cached all the same says so.
    project.write("p.yaml", &off.replace("  p:\n", "  p:\n    cache: {disable: false}\n"));
    project.run(&[]);
    assert_eq!(project.run(&[]).1, ["p hit"]);
}

#[test]
fn a_process_is_no_older_than_its_steps_may_be() {
    let text = AROUND.replace("a: {run", "a: {cache: {ttl: 1h}, run");
    let project = Project::new(&[("p.yaml", &text)]);
    let entry = || {
        let (ended, _) = project.run(&[]);
        let cache = Cache::open(project.directory.path().join("home")).unwrap();
        let run = RunId(ended.run.unwrap());
        let nodes = cache.catalog().nodes(&run).unwrap();
        let number =
            |name: &str| nodes.iter().find(|it| it.operation == name).and_then(|it| it.entry);
        let of = |id| Selector { ids: Some(vec![id]), ..Selector::default() };
        let find = |name| cache.catalog().entries(None, &of(number(name)?), 1).unwrap().pop();
        (find("p:p").unwrap(), find("p:p.a"))
    };
    let (whole, step) = entry();
    assert_eq!(step.unwrap().expires_at, None, "what a reader accepts binds no other reader");
    let valid = whole.expires_at.unwrap() - whole.created_at;
    assert!((3_500_000..=3_600_000).contains(&valid), "{valid}");
}
