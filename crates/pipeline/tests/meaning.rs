//! A file whose parts do not fit together is told so, with the place, and nothing else happens.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use thrifty_pipeline::{Given, Origin, Pipeline};

/// Reads a file of this text beside `data.csv`, `train.py` and the directory `tables`.
fn read(text: &str, set: &[(&str, &str)]) -> Result<Pipeline, String> {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("data.csv"), "1\n").unwrap();
    std::fs::write(at("train.py"), "print(1)\n").unwrap();
    std::fs::create_dir(at("tables")).unwrap();
    std::fs::write(at("p.yaml"), text).unwrap();
    let set: Vec<_> = set.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let variable = |name: &str| (name == "HERE").then(|| "there".to_owned());
    Pipeline::read(&at("p.yaml"), &set, &variable)
        .map_err(|error| error.to_string().replace(&directory.path().display().to_string(), ""))
}

/// Two operations; `{}` is more of the second.
fn second(more: &str) -> String {
    format!(
        "params: {{rate: 0.5}}
operations:
  make:
    run: cp {{{{ inputs.data }}}} {{{{ outputs.table }}}}; echo 1 > score.json
    inputs: {{data: data.csv}}
    outputs: {{table: made/t.csv, score: {{json: score.json, at: /x}}}}
  use:
{more}"
    )
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    let many = "x".repeat(101);
    for (more, told) in [
        ("    run: ''", "/p.yaml:8:10: `run` is empty"),
        ("    run: []", "/p.yaml:8:10: `run` is empty"),
        (
            "    run: 'x {{ params.rat }}'",
            "/p.yaml:8:10: `params.rat` in `run`: there is no such name; did you mean `rate`?",
        ),
        (
            "    run: 'x {{ inputs.data }}'",
            "/p.yaml:8:10: `inputs.data` in `run`: there is no such name; there is none",
        ),
        ("    run: 'x {{ rate }}'", "names begin with `params.`, `inputs.` or `outputs.`"),
        ("    run: 'x {{ params.rate'", "/p.yaml:8:10: syntax error"),
        (
            "    run: x\n    inputs: {t: {from: mak.table}}",
            "/p.yaml:9:17: there is no operation `mak`; did you mean `make`?",
        ),
        (
            "    run: x\n    inputs: {t: {from: make.tabel}}",
            "`make` has no output `tabel`; did you mean `table`?",
        ),
        ("    run: x\n    inputs: {t: {from: make}}", "`make` must be operation.output"),
        (
            "    run: x\n    inputs: {t: {from: make.score}}",
            "`make.score` is a value: take it in `params`",
        ),
        (
            "    run: x\n    params: {t: {from: make.table}}",
            "`make.table` is a file: take it in `inputs`",
        ),
        (
            "    run: x\n    inputs: {t: nothing.csv}",
            "/p.yaml:9:17: input `t`: /nothing.csv: No such file",
        ),
        (
            "    run: x\n    inputs: {t: {path: data.csv, from: make.table}}",
            "an input has either `path` or `from`",
        ),
        (
            "    run: x\n    inputs: {t: {from: make.table, to: ../t}}",
            "input `t`: `../t` leads out of",
        ),
        (
            "    run: x\n    inputs: {a: data.csv, b: {from: make.table, to: data.csv}}",
            "inputs `a` and `b` both come to data.csv",
        ),
        (
            "    run: x\n    inputs: {a: data.csv}\n    outputs: {b: data.csv}",
            "output `b` would overwrite input `a` at data.csv",
        ),
        ("    run: x\n    outputs: {a: x/, b: x/y.csv}", "outputs `a` and `b` are both at x/y.csv"),
        ("    run: x\n    outputs: {a: /tmp/x}", "output `a`: `/tmp/x` is absolute"),
        ("    run: x\n    outputs: {a: {json: x.json, at: y}}", "`at: y` must begin with `/`"),
        ("    run: x\n    needs: [mke]", "/p.yaml:9:13: there is no operation `mke`"),
        ("    run: x\n    needs: [use]", "operations need each other in a circle: use → use"),
        ("    run: x\n    code: [lib.py]", "/p.yaml:9:12: code `lib.py`: there is no such file"),
        ("    run: x\n    timeout: 5", "/p.yaml:9:14: `timeout`: "),
        ("    run: x\n    cache: {io: [a]}", "`io` names `a`, which is no input and no param"),
        ("    run: x\n    env: {'A=B': c}", "`A=B` is no name of a variable"),
        (
            "    run: x\n    inputs: {rate: data.csv}\n    params: {rate: 1}",
            "`rate` is both an input and a param",
        ),
        ("    run: x\n    outputs: {'a b': x}", "`a b` is no name for output"),
        (&format!("    run: x\n    outputs: {{{many}: x}}"), "is no name for output"),
    ] {
        let error = read(&second(more), &[]).unwrap_err();
        assert!(error.contains(told), "{more}\n{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn what_is_said_about_failures_must_make_sense() {
    for (more, told) in [
        ("    run: x\n    retries: {limit: 1, delay: 5}", "/p.yaml:9:14: `retries.delay`: "),
        (
            "    run: x\n    retries: {limit: 1, backoff: exponential}",
            "/p.yaml:9:14: `retries` has no `delay` that could grow",
        ),
        (
            "    run: x\n    retries: {limit: 1, delay: 1s, jitter: 2}",
            "/p.yaml:9:14: `retries.jitter` is 2; it is a share from 0 to 1",
        ),
        ("    run: x\n    checkpoints: ../c", "/p.yaml:9:18: `checkpoints: ../c` leads out of"),
        (
            "    run: x\n    artifacts: o/a\n    outputs: {o: o/}",
            "/p.yaml:9:16: `artifacts: o/a` is where output `o` is (o): choose another",
        ),
        (
            "    run: x\n    checkpoints: c\n    artifacts: c/d",
            "`artifacts: c/d` is where `checkpoints` is (c): choose another",
        ),
        (
            "    run: x {{ run.checkpoints }}",
            "`run.checkpoints` in `run`: there is no such name; there is none",
        ),
        (
            "    run: x {{ run.artifact }}\n    artifacts: a/",
            "`run.artifact` in `run`: there is no such name; did you mean `artifacts`?",
        ),
        (
            "    operations: {s: {run: x}}\n    checkpoints: c/",
            "`checkpoints` is for a command: say it at the steps of `use`",
        ),
    ] {
        let error = read(&second(more), &[]).unwrap_err();
        assert!(error.contains(told), "{more}\n{error}");
    }
}

#[test]
fn what_the_pipeline_gives_must_be_there() {
    for (outputs, told) in [
        ("{x: make.tabel}", "`make` has no output `tabel`"),
        ("{x: {from: make.table, to: ../x}}", "`to: ../x` leads out"),
        (
            "{x: {from: make.table, to: y}, z: {from: use.o, to: y}}",
            "outputs `x` and `z` have the same `to`",
        ),
    ] {
        let text = format!("{}\noutputs: {outputs}\n", second("    run: x\n    outputs: {o: o}"));
        let error = read(&text, &[]).unwrap_err();
        assert!(error.contains(told), "{outputs}\n{error}");
    }
}

#[test]
fn an_operation_comes_after_what_it_takes_from() {
    let text = "operations:
  last: {run: 'x', params: {s: {from: first.s}}}
  first: {run: 'x', outputs: {s: {json: s.json}}}
";
    let pipeline = read(text, &[]).unwrap();
    let names: Vec<_> = pipeline.commands.iter().map(|command| command.name.as_str()).collect();
    assert_eq!(names, ["first", "last"]);
    assert_eq!(pipeline.commands[1].takes().next().unwrap().operation(), Some(0));
    assert_eq!(pipeline.deliveries, [], "the only output is taken");
}

#[test]
fn an_operation_has_what_it_names_and_nothing_else() {
    let text = "params: {rate: 0.5, name: x, unused: 1}
env: {A: all, B: all, HERE: null, GONE: null}
operations:
  one:
    run: python train.py {{ params.rate }} {{ params.depth }}
    params: {depth: '{{ params.rate }}', text: 'r{{ params.rate }}'}
    inputs: {data: data.csv, table: {path: tables, to: t}}
    outputs: {model: m/}
    env: {B: '{{ params.name }}'}
";
    let pipeline = read(text, &[("rate", "2")]).unwrap();
    let one = &pipeline.commands[0];
    let params: Vec<_> = one
        .params
        .iter()
        .map(|(name, given)| match given {
            Given::Value(value) => format!("{name}={value}"),
            Given::From(_) => name.clone(),
        })
        .collect();
    assert_eq!(params, ["depth=2.0", "rate=2.0", "text=\"r2.0\""]);
    assert_eq!(one.code.iter().map(|script| &script.word).collect::<Vec<_>>(), ["train.py"]);
    let env: Vec<_> =
        one.env.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    assert_eq!(
        env,
        [("A", Some("all")), ("B", Some("x")), ("GONE", None), ("HERE", Some("there"))]
    );
    let places: Vec<_> = one.inputs.iter().map(|input| input.to.as_str()).collect();
    assert_eq!(places, ["data.csv", "t"]);
    assert!(matches!(&one.inputs[0].from, Origin::Path(path) if path.ends_with("data.csv")));
    assert_eq!(pipeline.deliveries[0].name, "one.model");
}

#[test]
fn what_cannot_be_read_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let told = |path: &Path| Pipeline::read(path, &[], &|_| None).unwrap_err().to_string();
    let path = directory.path().join("p.yaml");
    assert!(told(&path).starts_with("cannot read "), "{}", told(&path));
    assert!(told(directory.path()).starts_with("cannot read "));
    std::fs::write(&path, b"operations:\n  a: {run: '\xff'}\n").unwrap();
    assert!(told(&path).ends_with("line 2 is not UTF-8"), "{}", told(&path));
    // A bomb of aliases is refused, and soon.
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    std::fs::write(&path, bomb).unwrap();
    assert!(told(&path).contains("p.yaml"), "{}", told(&path));
}
