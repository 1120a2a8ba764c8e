//! Whether an operation uses the cache: by default, by what the file says, by what is said at run
//! time.

use crate::project::Project;

/// Two operations, one after the other.
pub const TWO: &str = "operations:
  first: {run: 'echo first >> RAN; echo 1 > o', outputs: {o: o}}
  second: {run: 'echo second >> RAN; cat o > p', inputs: {o: {from: first.o}}, outputs: {p: p}}
";

const LONE: &str = "operations: {one: {run: 'echo one >> RAN'}}";

/// The operations of the newest run with the rule that decided on the cache.
fn rules(project: &Project) -> Vec<String> {
    let nodes = project.nodes();
    nodes.iter().map(|it| format!("{} {}", it["name"], it["rule"]).replace('"', "")).collect()
}

#[test]
fn polyaxon_01_the_four_fields_of_a_cache_section_may_come_from_a_preset() {
    let project = Project::of(&format!(
        "{TWO}presets:\n  nightly:\n    operations: {{second: {{cache: {{disable: false, ttl: 1h, io: [o], sections: [command, inputs]}}}}}}\n"
    ));
    project.run(&["--preset", "nightly"]);
    assert_eq!(project.run(&["--preset", "nightly"]), ["first hit", "second hit"]);
    // Of a param, where it is not the same each time.
    project.edit("p.yaml", "ttl: 1h", "ttl: 0s");
    assert_eq!(project.run(&["--preset", "nightly"]), ["first hit", "second computed"]);
    let set = "operations.second.cache.ttl=1d";
    assert_eq!(project.run(&["--preset", "nightly", "--set", set]), ["first hit", "second hit"]);
}

#[test]
fn polyaxon_02_the_nearest_level_holds_field_by_field() {
    let project = Project::of(
        "cache: {disable: true, ttl: 0s}
operations:
  p:
    cache: {disable: false}
    operations:
      near: {run: 'echo near >> RAN', cache: {ttl: 1d}}
      far: {run: 'echo far >> RAN'}
  other: {run: 'echo other >> RAN'}
",
    );
    project.run(&[]);
    assert_eq!(project.ran(), "far near other");
    // `disable` comes from the process; the age that is accepted from the file, or the step.
    project.run(&[]);
    assert_eq!(project.ran(), "far other");
}

#[test]
fn polyaxon_03_f04_f05_off_alone_and_on_in_company_unless_it_is_written() {
    let project = Project::of(LONE);
    for (text, again, rule) in [
        (LONE.to_owned(), "one uncached", "one lone operation"),
        (LONE.replace("RAN'", "RAN', cache: {disable: false}"), "one hit", "one definition"),
        (LONE.replace("RAN'", "RAN', cache: {disable: true}"), "one uncached", "one definition"),
        (LONE.replace("RAN'}", "RAN'}, two: {run: 'true'}"), "one hit", "one default"),
        (format!("schedule: {{every: 1h}}\n{LONE}"), "one hit", "one default"),
    ] {
        project.write("p.yaml", &text);
        project.run(&[]);
        let outcomes = project.run(&[]);
        assert_eq!((outcomes[0].as_str(), rules(&project)[0].as_str()), (again, rule), "{text}");
    }
    project.write(
        "p.yaml",
        "operations: {one: {run: 'echo {{ params.x }} >> RAN', matrix: {kind: grid, params: {x: [1, 2]}}}}",
    );
    project.ran();
    project.run(&[]);
    project.run(&[]);
    assert_eq!(project.ran(), "1 2", "trials are cached");
}

#[test]
fn f06_a_switch_of_the_pipeline_holds_for_all_but_who_says_otherwise() {
    let project = Project::of(&format!("cache: {{disable: true}}\n{TWO}"));
    project.run(&[]);
    assert_eq!(project.run(&[]), ["first uncached", "second uncached"]);
    assert_eq!(rules(&project), ["first workflow", "second workflow"]);
    project.edit("p.yaml", "first: {", "first: {cache: {disable: false}, ");
    project.run(&[]);
    assert_eq!(project.run(&[]), ["first hit", "second uncached"]);
}

#[test]
fn f07_one_operation_of_one_run_is_switched() {
    let project = Project::of(TWO);
    project.run(&[]);
    let off = ["--set", "operations.second.cache.disable=true"];
    assert_eq!(project.run(&off), ["first hit", "second uncached"]);
    assert_eq!(project.run(&[]), ["first hit", "second hit"], "the file is as it was");
}

#[test]
fn polyaxon_23_f08_the_whole_run_is_switched_and_the_rest_of_the_section_holds() {
    let project = Project::of(LONE);
    project.run(&["--cache"]);
    assert_eq!(project.run(&["--cache"]), ["one hit"]);
    assert_eq!(rules(&project), ["one run"]);
    assert_eq!(project.run(&["--no-cache"]), ["one uncached"]);
    assert_eq!(project.run(&["--read-only"]), ["one hit"]);
    for two in [["--cache", "--no-cache"], ["--cache", "--read-only"], ["--cache", "--refresh"]] {
        let said = project.said(&[&["run", "p.yaml"], &two[..]].concat());
        assert_eq!(said.code, 2, "{two:?}: {}", said.all());
    }
    // What else the file says of the cache is not lost by it.
    project.write("p.yaml", &LONE.replace("RAN'", "RAN', cache: {disable: true, ttl: 0s}"));
    project.run(&["--cache"]);
    assert_eq!(project.run(&["--cache"]), ["one computed"], "none is new enough");
}

#[test]
fn polyaxon_24_f08_a_variable_switches_what_any_client_starts() {
    let project = Project::of(LONE);
    for (value, outcome) in [("on", "one computed"), ("on", "one hit"), ("off", "one uncached")] {
        let mut command = project.command(&["run", "p.yaml"]);
        assert!(command.env("THRIFTY_CACHE", value).status().unwrap().success());
        assert_eq!(project.outcomes(), [outcome]);
    }
}

#[test]
fn f09_of_all_who_say_something_the_most_specific_decides() {
    let project = Project::of(&format!("cache: {{disable: true}}\n{TWO}"));
    project.edit("p.yaml", "first: {", "first: {cache: {disable: false}, ");
    project.run(&[]);
    // Definition > file; run > definition; an operation at run time > run.
    assert_eq!(project.run(&[]), ["first hit", "second uncached"]);
    assert_eq!(project.run(&["--no-cache"]), ["first uncached", "second uncached"]);
    let outcomes = project.run(&["--no-cache", "--refresh", "first"]);
    assert_eq!(outcomes, ["first computed", "second uncached"]);
    assert_eq!(rules(&project), ["first operation at run time", "second run"]);
}

#[test]
fn f10_a_refresh_replaces_what_is_stored() {
    let project = Project::of(
        "operations: {a: {run: 'wc -l < RAN > o; echo a >> RAN', outputs: {o: o}}, b: {run: 'true'}}\noutputs: {o: {from: a.o, to: o}}\n",
    );
    project.beside("ran");
    std::fs::write(project.beside("ran"), "").unwrap();
    project.run(&[]);
    assert_eq!(project.read("o").trim(), "0");
    assert_eq!(project.run(&["--refresh"]), ["a computed", "b computed"]);
    assert_eq!(project.read("o").trim(), "1");
    assert_eq!(project.run(&[]), ["a hit", "b hit"]);
    assert_eq!(project.read("o").trim(), "1", "the first result is not served any more");
}

#[test]
fn f11_chosen_operations_are_computed_again_and_the_rest_hits() {
    let project = Project::of(TWO);
    project.run(&[]);
    project.ran();
    project.run(&["--refresh", "sec*"]);
    assert_eq!(project.ran(), "second");
    let said = project.said(&["run", "p.yaml", "--refresh", "secnd"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("no operation is named `secnd`; did you mean `second`?"), "{said:?}");
}

#[test]
fn polyaxon_04_what_is_done_again_is_not_looked_up() {
    let project = Project::of(TWO);
    project.run(&[]);
    project.ran();
    project.ok(&["restart", "last"]);
    assert_eq!(project.ran(), "first second");
    assert_eq!(project.outcomes(), ["first uncached", "second uncached"]);
    assert_eq!(rules(&project), ["first restart or resume", "second restart or resume"]);
}
