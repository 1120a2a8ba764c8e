//! Groups, schedules, searches, joins, runs that are done again, and what is told of them.

use crate::keys::one;
use crate::project::Project;
use crate::switches::TWO;

const PROCESS: &str = "operations:
  table:
    operations:
      clean: {run: 'echo clean >> RAN; echo 1 > o', outputs: {o: o}}
      cut: {run: 'echo cut >> RAN; cat o > p', inputs: {o: {from: clean.o}}, outputs: {p: p}}
    outputs: {p: cut.p}
outputs: {p: {from: table.p, to: got}}
";

#[test]
fn f02_a_process_is_one_hit_and_on_a_miss_its_steps_are_looked_up() {
    let project = Project::of(PROCESS);
    project.run(&[]);
    assert_eq!(project.run(&[]), ["table hit"]);
    project.ran();
    project.edit("p.yaml", "cat o > p", "cat o o > p");
    project.run(&[]);
    assert_eq!((project.ran().as_str(), project.read("got").as_str()), ("cut", "1\n1\n"));
}

#[test]
fn f03_each_trial_is_an_entry_of_its_own() {
    let text = "operations: {train: {run: 'echo {{ params.x }} >> RAN', matrix: {kind: grid, params: {x: [1, 2, 3]}}}}";
    let project = Project::of(text);
    project.run(&[]);
    assert_eq!(project.ran(), "1 2 3");
    project.edit("p.yaml", "[1, 2, 3]", "[3, 4, 1]");
    project.run(&[]);
    assert_eq!(project.ran(), "4");
    let trial = project.nodes().into_iter().find(|it| it["outcome"] == "hit-local").unwrap();
    project.ok(&["invalidate", "--yes", "--key", trial["key"].as_str().unwrap()]);
    project.run(&[]);
    assert_eq!(project.ran().len(), 1, "one trial runs alone");
}

#[test]
fn polyaxon_25_f45_a_restart_begins_anew_with_what_was_said_and_what_is_said_now() {
    let project = Project::of(&one(
        "echo {{ params.rate }} > o; echo one >> RAN",
        "params: {rate: '{{ params.rate }}'}",
    ));
    project.write("p.yaml", &format!("params: {{rate: 1}}\n{}", project.read("p.yaml")));
    project.run(&["-p", "rate=2"]);
    project.run(&["-p", "rate=2"]);
    project.ran();
    // The newest run was a hit; what it asked for is done.
    project.edit("p.yaml", "disable: false", "ttl: 1d");
    project.ok(&["restart", "last"]);
    assert_eq!((project.ran().as_str(), project.read("got").as_str()), ("one", "2\n"));
    project.ok(&["restart", "last", "-p", "rate=3"]);
    assert_eq!((project.ran().as_str(), project.read("got").as_str()), ("one", "3\n"));
}

#[test]
fn polyaxon_26_f45_a_run_that_failed_goes_on_from_what_it_left() {
    let project = Project::of(
        "operations:
  data: {run: 'echo data >> RAN; echo 1 > o', outputs: {o: o}}
  train:
    run: 'echo train >> RAN; echo step >> {{ run.checkpoints }}/log; test -e GATE; wc -l < {{ run.checkpoints }}/log > m'
    inputs: {o: {from: data.o}}
    checkpoints: kept/
    outputs: {m: m}
outputs: {m: {from: train.m, to: m}}
",
    );
    assert_eq!(project.said(&["run", "p.yaml"]).code, 1);
    let failed = project.newest();
    assert_eq!(project.ran(), "data train");
    project.go();
    project.ok(&["resume"]);
    assert_eq!((project.newest(), project.ran().as_str()), (failed, "train"));
    assert_eq!(project.read("m").trim(), "2", "from its checkpoints");
    let said = project.said(&["resume"]);
    assert_eq!(said.code, 2, "there is nothing left to do: {said:?}");
}

#[test]
fn polyaxon_27_f45_artifacts_are_brought_in_all_or_chosen_and_count() {
    let project = Project::of(
        "operations:
  train:
    run: 'ls {{ run.artifacts }} | tr \"\\n\" \" \" > seen; mkdir -p art/d; touch art/a art/d/b'
    artifacts: art/
    outputs: {seen: seen}
    cache: {disable: false}
outputs: {seen: {from: train.seen, to: seen}}
",
    );
    project.run(&[]);
    let first = project.newest();
    for (copy, seen) in [
        (vec!["--copy"], "a d "),
        (vec!["--copy-dir", "train/d"], "d "),
        (vec!["--copy-file", "train/a"], "a "),
        (vec![], ""),
    ] {
        project.ok(&[&["restart", first.as_str()], &copy[..]].concat());
        assert_eq!(project.read("seen"), seen, "{copy:?}");
    }
    assert_eq!(project.run(&[]), ["train hit"]);
    assert_eq!(project.read("seen"), "", "what was made with copies answers nobody without");
}

#[test]
fn f45_a_run_is_recovered_and_replayed_from_an_operation_on() {
    let project = Project::of(&TWO.replace("cat o > p", "cat o > p; test -e GATE"));
    assert_eq!(project.said(&["run", "p.yaml"]).code, 1);
    project.ran();
    project.go();
    project.ok(&["recover"]);
    assert_eq!(project.ran(), "second");
    project.edit("p.yaml", "echo 1 >", "echo 2 >");
    project.edit("p.yaml", "cat o > p", "cat o o > p");
    project.ok(&["replay", "--from", "second"]);
    assert_eq!(project.ran(), "second", "what stands before is as it was");
    assert_eq!(project.outcomes(), ["first skipped", "second computed"]);
}

#[test]
fn polyaxon_28_a_promoted_trial_goes_on_from_what_it_left() {
    let project = Project::of(
        "operations:
  train:
    run: |
      cp {{ inputs.resume }} state 2> /dev/null || : > state
      while test $(wc -l < state) -lt {{ params.epochs }}; do echo x >> state; echo epoch >> RAN; done
      echo {{ params.rate }} > loss.json
    outputs: {loss: {json: loss.json}, state: state}
    matrix: {kind: hyperband, params: {rate: {quniform: [1, 900, 1]}}, resource: {name: epochs, max: 4}, eta: 2, metric: {name: loss, goal: minimize}, resume: state}
",
    );
    project.run(&[]);
    let resumed = project.ran().split(' ').count();
    project.edit("p.yaml", ", resume: state", "");
    project.edit("p.yaml", "{{ inputs.resume }}", "nothing");
    project.run(&[]);
    let anew = project.ran().split(' ').count();
    assert!(resumed < anew, "{resumed} epochs, and {anew} where each begins afresh");
}

#[test]
fn polyaxon_29_f42_ticks_hit_across_each_other_unless_they_are_named() {
    let project = Project::of(
        "schedule: {cron: '0 3 * * *'}
operations:
  still: {run: 'echo still >> RAN'}
  dated: {run: 'echo {{ tick.date }} >> RAN'}
",
    );
    let at = |tick| ["--tick", tick];
    project.run(&at("2026-01-01T03:00:00Z"));
    assert_eq!(project.ran(), "2026-01-01 still");
    project.run(&at("2026-01-02T03:00:00Z"));
    assert_eq!(project.ran(), "2026-01-02");
    project.run(&at("2026-01-02T03:00:00Z"));
    assert_eq!(project.ran(), "");
}

#[test]
fn polyaxon_30_what_a_pipeline_can_resolve_is_resolved_once_and_trials_late() {
    let project = Project::of(
        "params: {base: 2}
operations:
  train:
    run: 'echo {{ params.double }} {{ params.x }} >> RAN'
    params: {double: '{{ params.base * 2 }}'}
    matrix: {kind: grid, params: {x: [1, '{{ params.base }}']}}
",
    );
    project.run(&[]);
    assert_eq!(project.ran(), "4 1 4 2");
    project.run(&["-p", "base=3"]);
    assert_eq!(project.ran(), "6 1 6 3");
}

#[test]
fn polyaxon_31_f43_searches_of_any_kind_meet_in_the_same_points() {
    let metric = "metric: {name: loss, goal: minimize}";
    let project = Project::of("");
    let search = |matrix: &str| {
        project.write(
            "p.yaml",
            &format!(
                "operations:\n  train:\n    run: 'echo {{{{ params.x }}}} >> RAN; echo {{{{ params.x }}}} > loss.json; : {{{{ params.n | default(1) }}}}'\n    params: {{n: 1}}\n    outputs: {{loss: {{json: loss.json}}}}\n    matrix: {matrix}\n"
            ),
        );
        project.run(&[]);
        project.ran()
    };
    assert_eq!(search("{kind: grid, params: {x: [1, 2, 3]}}"), "1 2 3");
    assert_eq!(search("{kind: mapping, values: [{x: 2}, {x: 9}, {x: 3}]}"), "9");
    assert_eq!(search("{kind: random, runs: 20, params: {x: {choice: [1, 2, 3, 9]}}}"), "");
    let hyperband = format!(
        "{{kind: hyperband, params: {{x: [1, 2, 3]}}, resource: {{name: n, max: 1}}, {metric}}}"
    );
    assert_eq!(search(&hyperband), "");
}

#[test]
fn polyaxon_32_f44_a_join_is_a_list_in_an_order_and_counts_by_what_it_holds() {
    let project = Project::of(
        "params: {x: 1}
operations:
  train: {run: 'echo {{ params.x }} > s.json', outputs: {score: {json: s.json}}}
  rank:
    run: 'echo {{ params.scores }} > o'
    joins: {scores: {query: 'operation:train', sort: -outputs.score, limit: 2, from: score}}
    outputs: {o: o}
outputs: {o: {from: rank.o, to: o}}
",
    );
    for x in ["x=1", "x=3", "x=2"] {
        project.run(&["train", "-p", x]);
    }
    project.run(&["rank"]);
    assert_eq!(project.read("o"), "3 2\n");
    project.run(&["train", "-p", "x=0"]);
    assert_eq!(project.run(&["rank"]), ["rank hit"], "the list is the same");
    project.run(&["train", "-p", "x=4"]);
    project.run(&["rank"]);
    assert_eq!(project.read("o"), "4 3\n");
}

#[test]
fn polyaxon_33_what_follows_a_hit_has_the_very_files() {
    let project = Project::of(TWO);
    project.run(&[]);
    project.edit("p.yaml", "cat o > p", "cat o o > p");
    project.edit("p.yaml", "operations:", "outputs: {p: {from: second.p, to: got}}\noperations:");
    assert_eq!(project.run(&[]), ["first hit", "second computed"]);
    assert_eq!(project.read("got"), "1\n1\n");
}

#[test]
fn polyaxon_34_runs_are_found_by_how_they_ended_and_what_they_took() {
    let project = Project::of(TWO);
    project.run(&[]);
    let source = project.newest();
    project.run(&[]);
    let taker = project.newest();
    project.edit("p.yaml", "cat o > p", "exit 1");
    project.said(&["run", "p.yaml"]);
    let failed = project.newest();
    let found = |words: &[&str]| -> Vec<String> {
        let runs = project.json(&[&["runs", "--json"], words].concat());
        let ids = runs.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned());
        ids.collect()
    };
    assert_eq!(found(&["--status", "failed"]), [failed.as_str()]);
    assert_eq!(found(&["--status", "succeeded"]), [taker.as_str(), source.as_str()]);
    assert_eq!(found(&["--status", "succeeded", "--limit", "1"]), [taker.as_str()]);
    assert_eq!(found(&["--status", "lost"]), Vec::<String>::new());
    let said = project.said(&["runs", "--status", "faild"]);
    assert!(said.code == 2 && said.err.contains("failed"), "{said:?}");
}

#[test]
fn polyaxon_35_f51_who_took_results_of_a_run_is_known() {
    let project = Project::of(TWO);
    project.run(&[]);
    let source = project.newest();
    project.run(&[]);
    project.run(&["--no-cache"]);
    project.run(&["--refresh", "second"]);
    let takers = project.json(&["runs", "--source", &source, "--json"]);
    let hits: Vec<_> = takers.as_array().unwrap().iter().map(|it| it["hits"].clone()).collect();
    assert_eq!(hits, [1, 2], "those that had hits, the newest first");
    let said = project.said(&["runs", "--source", "nothing"]);
    assert!(said.code == 2 && said.err.contains("there is no run `nothing`"), "{said:?}");
}

#[test]
fn polyaxon_36_f53_f59_a_list_of_operations_tells_hits_their_source_and_what_waits() {
    let project = Project::of(TWO);
    project.run(&[]);
    let source = project.newest();
    project.run(&[]);
    let shown = project.ok(&["show"]);
    let hits: Vec<_> = shown.lines().filter(|line| line.contains("hit-local")).collect();
    assert_eq!(hits.len(), 2, "{shown}");
    assert!(hits.iter().all(|line| line.contains(&source)), "{shown}");
}

#[test]
fn f46_hits_are_settled_before_any_command_begins() {
    let project = Project::of(TWO);
    project.run(&[]);
    project.ran();
    // Without any program to start.
    let mut command = project.command(&["run", "p.yaml"]);
    command.env("THRIFTY_PREVENT_CLIENT_SIDE_CACHING", "true");
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("2 hits"), "{told}");
    assert!(told.contains("looked up here"), "what is asked for in vain is said: {told}");
    assert_eq!(project.ran(), "");
}

#[test]
fn f64_any_program_is_an_operation() {
    let project = Project::new(&[
        (
            "p.yaml",
            "operations:
  words: {run: [awk, '{print NF}', '{{ inputs.text }}'], inputs: {text: t.txt}}
  piped: {run: \"sort {{ inputs.text }} | uniq > o\", inputs: {text: t.txt}, outputs: {o: o}}
  script: {run: ./tool.pl, inputs: {o: {from: piped.o}}}
",
        ),
        ("t.txt", "b\na\nb\n"),
        ("tool.pl", "#!/usr/bin/env perl\nopen(my $f, '<', 'o'); print <$f>;\n"),
    ]);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(project.at("tool.pl"), mode).unwrap();
    project.run(&[]);
    assert!(project.ok(&["logs", "script"]).contains("a\nb\n"));
    assert_eq!(project.run(&[]), ["words hit", "piped hit", "script hit"]);
}
