//! What a file or a command line that is wrong gets: one message, with the place and what is
//! allowed; and nothing has run by then.

use std::fs;

use crate::project::{Project, Said};

/// What stands before the operation that is wrong: one that would say that it ran.
const BEFORE: &str = "params: {rate: 0.5}
operations:
  make: {run: 'echo make >> RAN; echo 1 > t', outputs: {table: t}}
";

/// The file is refused, and nothing has run.
#[track_caller]
fn refused(project: &Project, words: &[&str]) -> Said {
    let said = project.said(&[&["run", "p.yaml"], words].concat());
    assert_eq!(said.code, 2, "{}", said.all());
    assert_eq!((project.ran().as_str(), said.out.as_str()), ("", ""), "nothing has run");
    assert!(!said.err.contains("panicked"), "{}", said.err);
    said
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_place_and_what_is_allowed() {
    for (more, told) in [
        // An unknown field.
        ("  use: {rnu: x}", &["p.yaml:4:9: ", "unknown field `rnu`", " run,"][..]),
        ("  use: {run: x, cache: {tll: 1d}}", &["p.yaml:4:", "unknown field `tll`", " ttl,"]),
        ("optputs: {}", &["p.yaml:4:1: ", "unknown field `optputs`", " outputs"]),
        ("  use: {run: x, run: y}", &["p.yaml:4:17: ", "`run` stands here for the second time"]),
        // A wrong type.
        ("  use: {run: {a: b}}", &["p.yaml:4:14: ", "a text for the shell, or a list of words"]),
        ("  use: {run: x, cache: {disable: 'yes'}}", &["p.yaml:4:", "`true` or `false`"]),
        ("  use: {run: x, retries: many}", &["p.yaml:4:17: ", "how often, or {limit"]),
        ("  use: {run: x, timeout: soon}", &["p.yaml:4:26: `timeout`", "90s"]),
        ("  use: {run: x, cache: {ttl: 5}}", &["p.yaml:4:", "ttl"]),
        // A circle.
        (
            "  a: {run: x, needs: [b]}\n  b: {run: x, needs: [a]}",
            &["p.yaml:4:6: ", "in a circle: a → b → a"],
        ),
        // A reference to nothing.
        ("  use: {run: x, inputs: {t: {from: mak.table}}}", &["p.yaml:4:", "did you mean `make`?"]),
        (
            "  use: {run: x, inputs: {t: {from: make.tabel}}}",
            &["p.yaml:4:", "did you mean `table`?"],
        ),
        (
            "  use: {run: x, inputs: {t: nothing.csv}}",
            &["p.yaml:4:", "nothing.csv", "No such file"],
        ),
        ("  use: {run: x, code: [lib.py]}", &["p.yaml:4:", "`lib.py`: there is no such file"]),
        ("  use: {use: other.yaml}", &["p.yaml:4:", "other.yaml"]),
        // Two that write one path.
        ("  use: {run: x, outputs: {a: x/, b: x/y}}", &["p.yaml:4:", "both at x/y"]),
        (
            "  use: {run: x, outputs: {o: o}}\noutputs: {a: {from: make.table, to: x}, b: {from: use.o, to: x}}",
            &["p.yaml:5:", "`a` and `b` have the same `to`"],
        ),
        // A path outside of the run.
        ("  use: {run: x, outputs: {o: ../o}}", &["p.yaml:4:", "`../o` leads out of"]),
        ("  use: {run: x, outputs: {o: /etc/o}}", &["p.yaml:4:", "`/etc/o` is absolute"]),
        // A search without a bound.
        (
            "  use: {run: x, matrix: {kind: grid, params: {a: {range: [0, 1000]}, b: {range: [0, 1000]}}}}",
            &["p.yaml:4:", "1000000 trials", "`runs: N`"],
        ),
        // A template that is wrong.
        ("  use: {run: 'x {{ params.rat }}'}", &["p.yaml:4:14: ", "did you mean `rate`?"]),
        ("  use: {run: 'x {{ params.rate'}", &["p.yaml:4:14: ", "syntax error"]),
        ("  use: {run: 'x {{ params.rate | roound }}'}", &["p.yaml:4:14: ", "roound"]),
        ("  use: {run: 'x {% for a in params.rate %}'}", &["p.yaml:4:14: "]),
        // A tool or an image that is not there.
        ("  use: {run: [no-such-tool, x]}", &["p.yaml:4:", "`no-such-tool`", "PATH"]),
        ("  use: {run: 'no-such-tool x'}", &["p.yaml:4:", "`no-such-tool`", "PATH"]),
        ("  use: {run: x, image: no/such:image}", &["p.yaml:4:", "image"]),
        // YAML that is none.
        ("  use: {run: x", &["p.yaml:"]),
        ("\tuse: {run: x}", &["p.yaml:4:"]),
        ("  use: *nothing", &["p.yaml:4:"]),
    ] {
        let project = Project::of(&format!("{BEFORE}{more}\n"));
        let said = refused(&project, &[]);
        for part in told {
            assert!(said.err.contains(part), "{more}\nlacks `{part}`: {}", said.err);
        }
        assert_eq!(said.err.trim().lines().count(), 1, "{more}\n{}", said.err);
    }
}

#[test]
fn what_is_no_text_or_no_file_is_told() {
    let project = Project::of("");
    assert!(
        refused(&project, &[])
            .err
            .contains("p.yaml: it is empty: an operation file has `operations`")
    );
    project.write("p.yaml", "# nothing but a comment\n");
    assert!(refused(&project, &[]).err.contains("operations"));
    fs::write(project.at("p.yaml"), b"operations:\n  a: {run: '\xff'}\n").unwrap();
    let said = refused(&project, &[]);
    assert!(
        said.err.contains("p.yaml") && said.err.contains("line 2 is not UTF-8"),
        "{}",
        said.err
    );
    fs::remove_file(project.at("p.yaml")).unwrap();
    assert!(refused(&project, &[]).err.contains("cannot read "));
    fs::create_dir(project.at("p.yaml")).unwrap();
    assert!(refused(&project, &[]).err.contains("cannot read "));
}

#[test]
fn a_command_line_that_is_wrong_is_told_with_what_there_is() {
    let project = Project::of(&format!("{BEFORE}  use: {{run: 'true'}}\n"));
    for (words, told) in [
        (vec!["mkae"], "there is no operation `mkae`; did you mean `make`?"),
        (vec!["-p", "rat=1"], "did you mean `rate`?"),
        (vec!["-p", "rate=fast"], "rate"),
        (vec!["-p", "rate"], "write name=value"),
        (vec!["--preset", "quick"], "quick"),
        (vec!["--set", "operations.use.rnu=x"], "rnu"),
        (vec!["--set", "operations.us.run=x"], "did you mean `use`?"),
        (vec!["--set", "operations.use"], "write path=value"),
        (vec!["--refresh", "mkae"], "did you mean `make`?"),
        (vec!["--tick", "2026-01-01T00:00:00Z"], "`schedule`"),
        (vec!["--executor", "processes"], "--executor"),
    ] {
        let said = refused(&project, &words);
        assert!(said.err.contains(told), "{words:?}: {}", said.err);
    }
}

#[test]
fn an_output_that_was_not_produced_is_told_and_nothing_follows() {
    let project = Project::of(
        "operations:
  make: {run: 'echo make >> RAN; echo \"{}\" > m.json', outputs: {t: t.csv, x: {json: m.json, at: /x}}}
  use: {run: 'echo use >> RAN', inputs: {t: {from: make.t}}}
",
    );
    let said = project.said(&["run", "p.yaml"]);
    assert_eq!((said.code, project.ran().as_str()), (1, "make"), "{said:?}");
    assert!(said.err.contains("t.csv") && said.err.contains("make failed"), "{}", said.err);
    project.edit("p.yaml", "> m.json", "> m.json; touch t.csv");
    let said = project.said(&["run", "p.yaml"]);
    assert!(said.err.contains("there is nothing at `/x` in m.json"), "{}", said.err);
    assert!(!said.err.contains("attempt-"), "it names no directory that is gone: {}", said.err);
}
