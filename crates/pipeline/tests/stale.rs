//! Whatever can change what a command gives makes it run again, or is not there for it.

#![allow(clippy::unwrap_used)]

mod project;

use project::Project as Plain;
use thrifty_pipeline::{Ended, Gave};

/// A project in whose files `BASE/` stands for its directory.
struct Project(Plain);

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let project = Self(Plain::new(&[]));
        files.iter().for_each(|(name, text)| project.write(name, text));
        project
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.at(name)
    }

    fn write(&self, name: &str, text: &str) {
        self.0.write(name, &text.replace("BASE/", &self.at("").display().to_string()));
    }

    fn read(&self, name: &str) -> String {
        self.0.read(name)
    }

    fn run(&self) -> (Ended, Vec<String>) {
        self.0.run(&[])
    }

    /// What became of its only operation, and the text it gave or why it failed.
    fn one(&self) -> (String, String) {
        let (ended, settled) = self.run();
        let said = match (ended.failures.first(), ended.given.first()) {
            (Some((_, message)), _) => message.clone(),
            (None, Some((_, Gave::Value(serde_json::Value::String(text))))) => text.clone(),
            (None, other) => format!("{other:?}"),
        };
        (settled.join(", "), said)
    }
}

/// A script that gives what `text()` says, which is to be defined in front of it.
const GIVE: &str = "\nimport json\njson.dump(text(), open('o.json', 'w'))\n";

/// An operation file with one operation that gives a text.
fn giving(run: &str, more: &str) -> String {
    let run = run.replace('\n', "\n      ");
    let path = project::path();
    format!(
        "env: {{PATH: {path:?}}}\noperations:\n  one:\n    run: |\n      {run}\n    outputs: {{o: {{json: o.json}}}}\n    {more}\n"
    )
}

/// Changing a file from one text to another runs the operation again, and gives the new.
#[track_caller]
fn counts(project: &Project, file: &str, before: &str, after: &str) {
    assert_eq!(project.one(), ("one computed".to_owned(), before.to_owned()));
    assert_eq!(project.one(), ("one hit".to_owned(), before.to_owned()), "nothing has changed");
    project.write(file, &project.read(file).replace(before, after));
    assert_eq!(project.one(), ("one computed".to_owned(), after.to_owned()), "{file} has changed");
}

/// The operation fails at once, and names what is missing.
#[track_caller]
fn fails(project: &Project, told: &str) {
    let (settled, said) = project.one();
    assert_eq!(settled, "one failed", "{said}");
    assert!(said.contains(told), "{said}");
}

#[test]
fn a_script_counts_however_it_is_named() {
    let script = format!("from lib import text{GIVE}");
    for run in [
        "python3 s.py",
        "python3 ./s.py",
        "python3 < s.py",
        "python3 <s.py",
        "bash -c \"python3 s.py\"",
        "env X=1 python3 -u s.py",
        "true&&python3 s.py;true",
        "x=$(python3 s.py)",
        "echo s.py | xargs python3",
        "python3 -m s",
        "python3 -c 'import s'",
        "python3 - <<E\nimport s\nE",
        "python3 link.py",
        "cp s.py t.py && python3 t.py",
    ] {
        let project = Project::new(&[("s.py", &script), ("lib.py", "def text(): return 'one'\n")]);
        std::os::unix::fs::symlink("s.py", project.at("link.py")).unwrap();
        project.write("p.yaml", &giving(run, "code: [lib.py]"));
        counts(&project, "lib.py", "one", "two");
        project.write("s.py", &script.replace("text()", "text() + '!'"));
        assert_eq!(project.one(), ("one computed".to_owned(), "two!".to_owned()), "{run}");
    }
}

#[test]
fn modules_are_followed_from_wherever_the_code_begins() {
    let give = format!("from p.lib import text{GIVE}");
    let lib = ("p/lib.py", "def text(): return 'one'\n");
    for (run, file) in [
        ("python3 -m p.main", "p/main.py"),
        ("python3 -m p", "p/__main__.py"),
        ("python3 main.py", "main.py"),
        ("./main", "main"),
        ("python3 main", "main"),
        ("sh run.sh", "run.sh"),
    ] {
        let text = if file == "run.sh" { "python3 -m p.main".to_owned() } else { give.clone() };
        let text = if file == "main" { format!("#!/usr/bin/env python3\n{text}") } else { text };
        let project = Project::new(&[lib, (file, &text), ("p/main.py", &give)]);
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(project.at(file), executable).unwrap();
        let more = if file == "run.sh" { "code: [p]" } else { "" };
        project.write("p.yaml", &giving(run, more));
        counts(&project, "p/lib.py", "one", "two");
    }
}

#[test]
fn a_script_named_by_a_parameter_or_taken_as_an_input_counts_with_what_it_imports() {
    let lib = ("lib.py", "def text(): return 'one'\n");
    let script = format!("from lib import text{GIVE}");
    for (run, more) in [
        ("python3 {{ params.script }}", "params: {script: s.py}"),
        ("python3 {{ inputs.script }}", "inputs: {script: s.py}"),
        ("python3 {{ inputs.script }}", "inputs: {script: {path: s.py, to: other/t.py}}"),
        ("python3 s.py", "inputs: {script: s.py}"),
    ] {
        let project = Project::new(&[lib, ("s.py", &script), ("p.yaml", &giving(run, more))]);
        counts(&project, "lib.py", "one", "two");
    }
}

/// A project whose only operation finds a program of its own on the `PATH`.
fn with_program(run: &str, text: &str, more: &str) -> Project {
    let path = format!("BASE/tools:{}", project::path());
    let file = format!(
        "env: {{PATH: '{path}'}}\noperations: {{one: {{run: '{run}', outputs: {{o: {{json: o.json}}}}{more}}}}}\noutputs: {{o: {{from: one.o}}}}\n"
    );
    let project = Project::new(&[("p.yaml", file.as_str()), ("tools/say", text)]);
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(project.at("tools/say"), executable).unwrap();
    project
}

#[test]
fn a_program_that_somebody_installed_counts() {
    let shell = "#!/bin/sh\necho \"\\\"one\\\"\"\n";
    for run in ["say > o.json", "echo | xargs say > o.json", "sh -c \"say > o.json\""] {
        counts(&with_program(run, shell, ""), "tools/say", "one", "two");
    }
    // A script of Python by what it does, and with what it imports.
    let python = "#!/usr/bin/env python3\n# says\nprint('\"one\"')\n";
    let project = with_program("say > o.json", python, "");
    assert_eq!(project.one(), ("one computed".to_owned(), "one".to_owned()));
    project.write("tools/say", &python.replace("# says", "# says what it says"));
    assert_eq!(project.one().0, "one hit");
    counts(&with_program("say > o.json", python, ""), "tools/say", "one", "two");
}

#[test]
fn the_first_line_of_a_script_counts_where_it_is_run_by_it() {
    let python = format!("{}/python3", project::path().split(':').next().unwrap());
    let script = format!("def text(): return 'one' if __debug__ else 'two'\n{GIVE}");
    for run in ["./tool.py", "cp tool.py t; ./t", "env X=1 ./tool.py"] {
        let text = format!("#!{python}\n{script}");
        let project = Project::new(&[("tool.py", &text), ("p.yaml", &giving(run, ""))]);
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(project.at("tool.py"), executable).unwrap();
        assert_eq!(project.one(), ("one computed".to_owned(), "one".to_owned()), "{run}");
        assert_eq!(project.one().0, "one hit");
        project.write("tool.py", &format!("#!{python} -O\n{script}"));
        assert_eq!(project.one(), ("one computed".to_owned(), "two".to_owned()), "{run}");
    }
    let project = Project::new(&[
        ("tool.py", &format!("#!{python}\n{script}")),
        ("p.yaml", &giving("python3 tool.py", "")),
    ]);
    assert_eq!(project.one().0, "one computed");
    project.write("tool.py", &format!("#!{python} -O\n{script}"));
    assert_eq!(project.one().0, "one hit", "nobody reads its first line");
}

#[test]
fn a_program_that_cannot_be_followed_counts_by_its_bytes() {
    let old = "#!/nowhere/python2\nprint \"one\"\n";
    let project = with_program("type say; echo \"\\\"one\\\"\" > o.json", old, "");
    assert_eq!(project.one().0, "one computed");
    assert_eq!(project.one().0, "one hit");
    project.write("tools/say", &old.replace("one", "two"));
    assert_eq!(project.one().0, "one computed");
    let project =
        with_program("say > o.json", "#!/bin/sh\necho 1\n", ", cache: {sections: [command]}");
    assert_eq!(project.run().1, ["one computed"]);
    project.write("tools/say", "#!/bin/sh\necho 2\n");
    assert_eq!(project.run().1, ["one hit"], "the code was left out");
}

#[test]
fn what_does_not_count_is_not_there() {
    let reads = |place: &str| format!("def text(): return open({place}).read()\n{GIVE}");
    let beside = reads("__import__('pathlib').Path(__file__).resolve().parent / 'c.txt'");
    for (script, run, told) in [
        (beside.as_str(), "python3 s.py", "`c.txt`"),
        (&reads("'c.txt'"), "python3 s.py", "`c.txt`"),
        (
            &format!("import importlib\ntext = importlib.import_module('li' + 'b').text\n{GIVE}"),
            "python3 s.py",
            "`lib.py`",
        ),
        ("", ". ./l.sh && echo \"\\\"$x\\\"\" > o.json", "l.sh"),
        ("", "cd sub && python3 t.py", "sub"),
        ("", "f=s; python3 $f.py", "`s.py`"),
        ("", "cat *.txt > o.json", "*.txt"),
    ] {
        let project = Project::new(&[
            ("s.py", script),
            ("c.txt", "one"),
            ("lib.py", "def text(): return 'one'\n"),
            ("l.sh", "x=$(cat m.txt)\n"),
            ("m.txt", "one"),
            ("sub/t.py", ""),
            ("p.yaml", &giving(run, "")),
        ]);
        fails(&project, if told == "l.sh" { "m.txt" } else { told });
    }
}

#[test]
fn what_is_named_in_code_is_there_and_counts() {
    let beside = "def text(): return open(__import__('pathlib').Path(__file__).resolve().parent / 'c/c.txt').read()\n";
    for code in ["[c/c.txt]", "[c]"] {
        let script = format!("{beside}{GIVE}");
        let more = format!("code: {code}");
        let project = Project::new(&[
            ("s.py", &script),
            ("c/c.txt", "one"),
            ("p.yaml", &giving("python3 s.py", &more)),
        ]);
        counts(&project, "c/c.txt", "one", "two");
    }
}

#[test]
fn what_runs_is_what_the_key_was_made_of() {
    let script = "open('o', 'w').write('old')";
    let text = "operations:
  first: {run: \"f=BASE/s; sed -i s/old/new/ $f.py $f.sh\"}
  second: {run: python3 s.py, needs: [first], outputs: {o: o}}
  third: {run: sh s.sh, needs: [first], outputs: {o: o}}
outputs: {two: {from: second.o, to: two}, three: {from: third.o, to: three}}
";
    let project = Project::new(&[("p.yaml", text), ("s.py", script), ("s.sh", "printf old > o\n")]);
    let (_, settled) = project.run();
    assert_eq!(settled, ["first computed", "second computed", "third computed"]);
    assert_eq!((project.read("two"), project.read("three")), ("old".to_owned(), "old".to_owned()));
    let (_, settled) = project.run();
    assert_eq!(settled, ["first hit", "second computed", "third computed"]);
    assert_eq!((project.read("two"), project.read("three")), ("new".to_owned(), "new".to_owned()));
}

#[test]
fn a_command_cannot_change_the_code_that_others_run() {
    for run in [
        "chmod u+w s.py; echo >> s.py",
        "chmod +x \"$(readlink -f s.py)\"",
        "touch \"$(dirname \"$(readlink -f s.py)\")/left\"",
    ] {
        let project = Project::new(&[("s.py", ""), ("p.yaml", &giving(run, ""))]);
        fails(&project, "it wrote into its code");
        assert_eq!(project.read("s.py"), "");
    }
}

#[test]
fn the_text_of_a_script_counts_where_it_is_no_program() {
    let script = "# one\nprint('\"two\"')\n";
    for run in [
        "echo \"\\\"$(head -n 1 s.py | tail -c 4)\\\"\" > o.json",
        "python3 -c 'import json; print(json.dumps(open(\"s.py\").read()[2:5]))' s.py > o.json",
        "python3 s.py; echo \"\\\"$(head -c 5 < s.py | tail -c 3)\\\"\" > o.json",
    ] {
        let project = Project::new(&[("s.py", script), ("p.yaml", &giving(run, ""))]);
        assert_eq!(project.one(), ("one computed".to_owned(), "one".to_owned()), "{run}");
        project.write("s.py", &script.replace("one", "six"));
        assert_eq!(project.one(), ("one computed".to_owned(), "six".to_owned()), "{run}");
        assert_eq!(project.one().0, "one hit", "{run}");
    }
    let project =
        Project::new(&[("s.py", script), ("p.yaml", &giving("python3 s.py > o.json", ""))]);
    assert_eq!(project.one(), ("one computed".to_owned(), "two".to_owned()));
    project.write("s.py", &script.replace("one", "six"));
    assert_eq!(project.one().0, "one hit", "nobody reads its comment");
}

#[test]
fn what_changes_and_changes_back_while_a_command_runs_gives_nothing_to_store() {
    let replace = "(cd BASE/.; mv in old; echo two > in)";
    for (read, given, change, back) in [
        ("in", "in", "echo two > BASE/in", "echo one > BASE/in"),
        ("in", "in", replace, "(cd BASE/.; mv old in)"),
        ("in/*", "dir", "echo two > BASE/dir/b", "(cd BASE/.; rm dir/b)"),
        ("in/sub/*", "dir", "echo two > BASE/dir/sub/a", "echo one > BASE/dir/sub/a"),
        ("in", "in", "true", "true"),
    ] {
        let give = format!("printf '\"%s\"' \"$(cat {read} | tr -d '\\n')\" > o.json");
        let more = format!("inputs: {{given: {{path: {given}, to: in}}}}");
        let project = Project::new(&[
            ("in", "one\n"),
            ("dir/a", "one\n"),
            ("dir/sub/a", "one\n"),
            ("p.yaml", &giving(&format!("{change}\n{give}\n{back}"), &more)),
        ]);
        let (settled, said) = project.one();
        let is_changed = change != "true";
        assert_eq!(said.contains("two"), is_changed, "{change}: {said}");
        let (first, again) = match is_changed {
            true => ("one computed-not-stored", "one computed-not-stored"),
            false => ("one computed", "one hit"),
        };
        assert_eq!((settled.as_str(), project.one().0.as_str()), (first, again), "{change}");
    }
}

#[test]
fn docstrings_count_where_they_are_read() {
    for script in [
        "def f():\n    'one'\ndef text(): return f.__doc__\n",
        "import lib\ndef text(): return lib.__doc__\n",
        "import inspect, lib\ndef text(): return inspect.getdoc(lib.g)\n",
    ] {
        let lib = "'''one'''\ndef g():\n    'one'\n";
        let script = format!("{script}{GIVE}");
        let project = Project::new(&[
            ("s.py", &script),
            ("lib.py", lib),
            ("p.yaml", &giving("python3 s.py", "")),
        ]);
        counts(&project, if script.contains("lib") { "lib.py" } else { "s.py" }, "one", "two");
    }
}

#[test]
fn an_output_beside_the_operation_file_is_no_code() {
    for run in ["echo '\"one\"' > o.json", "echo '\"one\"' | tee o.json"] {
        let text = "operations: {one: {run: RUN, outputs: {o: o.json}}}\noutputs: {o: {from: one.o, to: o.json}}\n";
        let project = Project::new(&[("p.yaml", &text.replace("RUN", &format!("{run:?}")))]);
        assert_eq!(project.run().1, ["one computed"]);
        assert_eq!(project.run().1, ["one hit"], "{run}");
    }
}

/// An operation whose interpreter has a home of its own, with a module `lib` in it somewhere: below
/// `SITE` it is among the packages.
fn at_home(files: &[(&str, &str)], env: &str) -> Project {
    let script = format!("from lib import text{GIVE}");
    let more = format!("env: {{HOME: BASE/home, {env}}}");
    let project =
        Project::new(&[("s.py", script.as_str()), ("p.yaml", &giving("python3 s.py", &more))]);
    let site = site_of(&project);
    for (name, text) in files {
        project.write(&name.replace("SITE", &site), text);
    }
    project
}

/// Where the interpreter of a project looks for packages of its user.
fn site_of(project: &Project) -> String {
    let site = std::process::Command::new("python3")
        .args(["-c", "import site; print(site.getusersitepackages())"])
        .env("HOME", project.at("home"))
        .output()
        .unwrap();
    String::from_utf8(site.stdout).unwrap().trim().to_owned()
}

/// Gives everything below a directory the same time of writing, as images and package stores do.
fn at_one_time(directory: &std::path::Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            at_one_time(&path);
        }
        std::fs::File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    }
}

const LIB: &str = "def text(): return 'one'\n";

#[test]
fn modules_outside_of_the_project_count_wherever_the_interpreter_finds_them() {
    let project = at_home(&[("elsewhere/lib.py", LIB)], "PYTHONPATH: BASE/elsewhere");
    counts(&project, "elsewhere/lib.py", "one", "two");
    // As `pip install --editable` leaves it.
    let link = ("SITE/__editable__.lib.pth", "BASE/src\n");
    let project = at_home(
        &[link, ("src/lib/__init__.py", "from .m import text\n"), ("src/lib/m.py", LIB)],
        "",
    );
    counts(&project, "src/lib/m.py", "one", "two");
}

#[test]
fn modules_among_the_packages_that_belong_to_none_count_by_their_bytes() {
    let package = ("SITE/lib/__init__.py", "from .m import text\n");
    for files in [vec![("SITE/lib.py", LIB)], vec![("SITE/lib/m.py", LIB), package]] {
        let project = at_home(&files, "");
        let edited = files[0].0.replace("SITE", &site_of(&project));
        counts(&project, &edited, "one", "two");
    }
}

#[test]
fn packages_count_where_all_times_of_writing_are_the_same() {
    let files = [
        ("SITE/lib.py", LIB),
        ("SITE/lib-1.dist-info/METADATA", "Name: lib\nVersion: 1\n"),
        ("SITE/lib-1.dist-info/RECORD", "lib.py,,\nlib-1.dist-info/METADATA,,\n"),
        ("SITE/lib-1.dist-info/top_level.txt", "lib\n"),
    ];
    let project = at_home(&files, "");
    let site = std::path::PathBuf::from(site_of(&project));
    at_one_time(&project.at("home"));
    assert_eq!(project.one(), ("one computed".to_owned(), "one".to_owned()));
    std::fs::write(site.join("lib.py"), LIB.replace("one", "two")).unwrap();
    std::fs::rename(site.join("lib-1.dist-info"), site.join("lib-2.dist-info")).unwrap();
    std::fs::write(site.join("lib-2.dist-info/METADATA"), "Name: lib\nVersion: 2\n").unwrap();
    at_one_time(&project.at("home"));
    assert_eq!(project.one(), ("one computed".to_owned(), "two".to_owned()));
}

#[test]
fn a_package_of_the_user_counts_by_what_was_installed() {
    let record = |hash: &str| format!("lib.py,sha256={hash},24\nlib-1.dist-info/METADATA,,\n");
    let files = |text: &str, version: &str, hash: &str, url: &str| {
        let files = [
            ("SITE/lib.py".to_owned(), LIB.replace("one", text)),
            (
                format!("SITE/lib-{version}.dist-info/METADATA"),
                format!("Name: lib\nVersion: {version}\n"),
            ),
            (format!("SITE/lib-{version}.dist-info/RECORD"), record(hash)),
            (format!("SITE/lib-{version}.dist-info/top_level.txt"), "lib\n".to_owned()),
        ];
        let url = (!url.is_empty())
            .then(|| (format!("SITE/lib-{version}.dist-info/direct_url.json"), url.to_owned()));
        files.into_iter().chain(url).collect::<Vec<_>>()
    };
    for (second, url) in [("2", ""), ("1", "{}")] {
        let first = files("one", "1", "a", url);
        let first: Vec<_> = first.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        let project = at_home(&first, "");
        assert_eq!(project.one(), ("one computed".to_owned(), "one".to_owned()));
        assert_eq!(project.one(), ("one hit".to_owned(), "one".to_owned()));
        let again = files("two", second, "b", url);
        let again: Vec<_> = again.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        let other = at_home(&again, "");
        // The old one goes, the new one comes, as `pip` does it.
        std::fs::remove_dir_all(project.at("home")).unwrap();
        std::fs::rename(other.at("home"), project.at("home")).unwrap();
        assert_eq!(project.one(), ("one computed".to_owned(), "two".to_owned()), "{second} {url}");
    }
}

/// The files of a package `lib` as they are installed, by their paths among the packages.
fn lib_of(version: &str, text: &str) -> [(String, String); 4] {
    let info = |name: &str| format!("lib-{version}.dist-info/{name}");
    [
        ("lib.py".to_owned(), LIB.replace("one", text)),
        (info("METADATA"), format!("Name: lib\nVersion: {version}\n")),
        (info("RECORD"), format!("lib.py,,\n{},,\n", info("METADATA"))),
        (info("top_level.txt"), "lib\n".to_owned()),
    ]
}

/// A project with a virtual environment that holds the package `lib`.
fn with_environment(run: &str, more: &str) -> Project {
    let script = format!("from lib import text{GIVE}");
    let project = Project::new(&[("s.py", script.as_str()), ("p.yaml", &giving(run, more))]);
    let made = std::process::Command::new("python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(project.at(".venv"))
        .status();
    assert!(made.unwrap().success());
    for (name, text) in lib_of("1", "one") {
        std::fs::create_dir_all(packages_of(&project).join(&name).parent().unwrap()).unwrap();
        std::fs::write(packages_of(&project).join(name), text).unwrap();
    }
    project
}

/// Where the packages of the environment of a project are.
fn packages_of(project: &Project) -> std::path::PathBuf {
    let python = std::fs::read_dir(project.at(".venv/lib")).unwrap().next().unwrap().unwrap();
    python.path().join("site-packages")
}

#[test]
fn packages_of_an_environment_count_however_it_is_chosen() {
    for (run, more) in [
        (". .venv/bin/activate; python s.py", ""),
        ("bash -c 'source .venv/bin/activate && python s.py'", ""),
        ("PATH=BASE/.venv/bin:$PATH python s.py", ""),
        ("env PATH=BASE/.venv/bin:$PATH python s.py", ""),
        ("export PATH=\"$V/bin:$PATH\"; python s.py", "env: {V: BASE/.venv}"),
        ("V=BASE/.venv; PATH=${V}/bin:$PATH; python s.py", ""),
        ("sh -c 'V=BASE/.venv; PATH=$V/bin:$PATH python s.py'", ""),
        (". $V/bin/activate; python s.py", "env: {V: BASE/.venv}"),
        ("PY=BASE/.venv/bin/python; $PY s.py", ""),
    ] {
        let project = with_environment(run, more);
        assert_eq!(project.one(), ("one computed".to_owned(), "one".to_owned()), "{run}");
        assert_eq!(project.one(), ("one hit".to_owned(), "one".to_owned()), "{run}");
        std::fs::remove_dir_all(packages_of(&project).join("lib-1.dist-info")).unwrap();
        for (name, text) in lib_of("2", "two") {
            std::fs::create_dir_all(packages_of(&project).join(&name).parent().unwrap()).unwrap();
            std::fs::write(packages_of(&project).join(name), text).unwrap();
        }
        _ = std::fs::remove_dir_all(packages_of(&project).join("__pycache__"));
        assert_eq!(project.one(), ("one computed".to_owned(), "two".to_owned()), "{run}");
    }
}

#[test]
fn a_path_that_only_the_run_tells_is_told() {
    let give = "import json; json.dump(1, open('o.json', 'w'))";
    for (assigned, is_told) in
        [("$NOWHERE/bin:$PATH", true), ("$(pwd)/bin:$PATH", true), ("/nowhere:$PATH", false)]
    {
        let run = format!("PATH={assigned} python3 s.py");
        let project = Project::new(&[("s.py", give), ("p.yaml", &giving(&run, ""))]);
        let (ended, settled) = project.run();
        assert_eq!(settled, ["one computed"], "{ended:?}");
        let told = ended
            .notes
            .iter()
            .any(|note| note.contains("packages of an interpreter there do not count"));
        assert_eq!(told, is_told, "{assigned}: {:?}", ended.notes);
    }
}

#[test]
fn what_only_looks_like_an_interpreter_stops_nobody() {
    let python = format!("{}/python3", project::path().split(':').next().unwrap());
    for (run, is_told) in [
        ("PY=PYTHON; $PY -c 'print(1)'", false),
        ("true --interpreter=PYTHON", false),
        ("true NAME.X=PYTHON", false),
        ("mkdir -p langs/python", true),
        ("echo docs/python", true),
        ("ls BASE/docs/python", true),
        ("printf %s 'needs python2.7'", true),
        ("true BASE/broken/python", true),
    ] {
        let run = format!("{}\necho '\"one\"' > o.json", run.replace("PYTHON", &python));
        let broken = ("broken/python", "#!/bin/sh\nexit 3\n");
        let project = Project::new(&[("docs/python/x", ""), broken, ("p.yaml", &giving(&run, ""))]);
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(project.at("broken/python"), executable).unwrap();
        let (ended, settled) = project.run();
        assert_eq!(settled, ["one computed"], "{run}: {ended:?}");
        let told = ended.notes.iter().any(|note| note.contains("cannot be asked for its packages"));
        assert_eq!(told, is_told, "{run}: {:?}", ended.notes);
        assert_eq!(project.run().1, ["one hit"], "{run}");
    }
}

#[test]
fn an_output_is_no_interpreter_whatever_its_name() {
    let text = "operations: {one: {run: 'mkdir {{ outputs.d }}; touch langs/python/x', outputs: {d: langs/python/}}}
outputs: {d: {from: one.d}}
";
    for text in [text, &text.replace("{{ outputs.d }}", "./langs/python")] {
        let project = Project::new(&[("p.yaml", text)]);
        let (ended, settled) = project.run();
        assert_eq!((settled, ended.notes), (vec!["one computed".to_owned()], vec![]), "{text}");
    }
}

#[test]
fn an_interpreter_that_comes_later_counts() {
    let run = "true BASE/later/python\necho '\"one\"' > o.json";
    let project = Project::new(&[("p.yaml", &giving(run, "")), ("later/x", "")]);
    assert_eq!(project.one().0, "one computed");
    assert_eq!(project.one().0, "one hit");
    let python = format!("{}/python3", project::path().split(':').next().unwrap());
    std::os::unix::fs::symlink(python, project.at("later/python")).unwrap();
    assert_eq!(project.one().0, "one computed");
}
