"""Operations executed again in clean processes: what is the same, what differs, and why."""

from __future__ import annotations

import importlib
import io
import json
import math
import os
import signal
import sys

import pytest
import thrifty
from thrifty import Check, CheckReport, _native, testing
from thrifty._checking import drawn
from thrifty._differences import differences

pytestmark = pytest.mark.usefixtures("home")

LIBRARY = """
import os, random, signal, sys, tempfile, time
from typing import Annotated
from thrifty import Cache, Dir, File, HashMethod, Secret, task, workflow

def outside():
    return os.stat("outside.txt").st_size

@task
def steady(n: int) -> dict:
    print("printed by the operation")
    return {"n": n, "rows": list(range(n)), "text": "ü" * n}

@task
def clock(n: int) -> dict:
    return {"n": n, "at": time.time_ns()}

@task
def dice(n: int) -> float:
    return random.random()

@task
def ordered(n: int) -> list:
    return list({f"word {i}" for i in range(50)})

@task
def size(n: int) -> dict:
    return {"n": n, "model": [{"size": outside(), "rmse": 0.1 + outside() * 1e-9}]}

@task(cache=Cache(version="1", ignore="verbose"))
def versioned(n: int, verbose: bool = False) -> int:
    return outside()

@task
def frame(n: int):
    import pandas as pd
    return pd.DataFrame({"a": range(n), "b": [outside() * 1.5] * n, "c": ["x"] * n})

@task
def fails(n: int) -> int:
    if outside() > 5:
        raise LookupError(n, "not any more")
    return n

@task
def dies(n: int) -> int:
    if outside() > 5:
        os._exit(7)
    return n

@task
def killed(n: int) -> int:
    if outside() > 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return n

@task
def after(table: dict, n: int) -> int:
    return len(table) + n

@task(cache=False)
def never_stored(n: int) -> int:
    return n + 1

@task
def where(n: int) -> list:
    return [os.getpid() == int(os.environ["CHECKER"]), os.listdir(tempfile.gettempdir()), sys.stdin.read()]

@task(cache=Cache(observe=True))
def reads(n: int) -> str:
    with open("outside.txt") as stream:
        return stream.read() + os.environ.get("SUFFIX", "")

@task
def reads_unobserved(n: int) -> int:
    with open("outside.txt") as stream:
        return len(stream.read())

class Model:
    def __init__(self, weights):
        self.weights = weights

    def predict(self):
        return self.weights

@task
def model(n: int) -> Model:
    return Model([n, outside()])

@task
def calls(n: int) -> list:
    return [steady(n), clock.with_options(cache="on")(n)]

@task
def takes(function: Annotated[object, HashMethod(lambda f: "f")]) -> int:
    return 1

@task
def tells(token: Secret[str], n: int) -> str:
    if n and outside() > 5:
        raise ValueError(token)
    return f"{token} {outside()}"

@task
def hands_on(n: int) -> int:
    return len(tells(f"hunter{n + 1}", n))

@task
def writes(n: int) -> tuple[File, Dir]:
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "a.txt")
    with open(path, "w") as stream:
        stream.write("x" * n)
    return File(path), Dir(folder)

@task
def hashed(n: int) -> Annotated[dict, HashMethod(lambda value: value["n"])]:
    return {"n": n, "at": time.time_ns()}

@task
def spreads(n: int):
    return [steady.defer(n), clock.defer(n)]

@workflow
def unit(n: int):
    return {"steady": steady(n), "clock": clock(n)}

@workflow
def holds_hashed(n: int):
    return [hashed(n)]

@workflow
def pipeline(n: int):
    return after(steady(n), never_stored(n)), dice(n)

@workflow
def nested(n: int):
    return after(unit(n), 1)

@workflow
def mapped(n: int):
    return steady.map(range(n))

@workflow
def outer(n: int):
    return holds_hashed(n)
"""


SEEN = "it reads outside.txt, which is not known of the stored result"


@pytest.fixture
def library(tmp_path, monkeypatch):
    """The module above, and what lies outside of all keys."""
    (tmp_path / "checked.py").write_text(LIBRARY)
    (tmp_path / "outside.txt").write_text("12345")
    # What is observed decides about hits; here hits are wanted that do not hold.
    monkeypatch.setenv("THRIFTY_OBSERVE", "false")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("checked")
    del sys.modules["checked"]


@pytest.fixture
def change_outside(tmp_path):
    return lambda: (tmp_path / "outside.txt").write_text("1234567")


def only(report):
    assert len(report) == 1, str(report)
    return report.checks[0]


def test_what_is_deterministic_is_the_same(library, capfd):
    value = library.steady(3)
    report = library.steady.check(3)
    check = only(report)
    assert (check.verdict, check.differences, check.causes, check.reason) == ("same", [], [], "")
    assert check.operation == "checked.steady"
    assert check.key == library.steady.key(3)
    assert check.seconds > 0
    assert not check.is_finding
    assert report.ok
    assert report.findings == []
    assert (report.stored, report.unknown) == (1, 0)
    # What it printed was printed when it was computed, and not when it was checked.
    assert capfd.readouterr().out.count("printed by the operation") == 1
    assert library.steady(3) == value


@pytest.mark.parametrize("name", ["clock", "dice", "ordered"])
def test_what_is_not_deterministic(library, name):
    task = getattr(library, name)
    stored = task(1)
    check = only(report := task.check(1))
    assert check.verdict == "nondeterministic"
    assert check.is_finding
    assert not report.ok
    draws = any("draws random numbers that no seed decides" in cause for cause in check.causes)
    assert draws == (name == "dice")
    depends_on_hashing = any("PYTHONHASHSEED" in cause for cause in check.causes)
    assert depends_on_hashing == (name == "ordered")
    if name == "clock":
        (line,) = check.differences
        assert line.startswith('result["at"]: ')
        assert 'result["n"]' not in line
    # Nothing was replaced.
    assert task(1) == stored


def test_what_the_key_does_not_see(library, change_outside):
    stored = library.size(1), library.versioned(1)
    assert library.size.check(1).ok
    change_outside()
    check = only(library.size.check(1))
    assert check.verdict == "differs"
    assert check.differences == [
        'result["model"][0]["size"]: 5 → 7 (by 2)',
        'result["model"][0]["rmse"]: 0.100000005 → 0.100000007 (by 2e-09)',
    ]
    assert check.causes == [SEEN]
    causes = only(library.versioned.check(1)).causes
    assert 'version="1" stands in for its code' in causes[0]
    assert causes[1] == "its key does not see the arguments verbose"
    assert (library.size(1), library.versioned(1)) == stored


def test_what_is_read_without_being_declared(library, change_outside):
    library.reads(1)
    check = only(report := library.reads.check(1))
    assert check.verdict == "same"
    assert check.reads == ["outside.txt", "the variable SUFFIX"]
    assert "    reads outside.txt without declaring it" in str(report)
    library.reads_unobserved(1)
    change_outside()
    check = only(library.reads_unobserved.check(1))
    assert check.verdict == "differs"
    assert check.causes == [SEEN]
    # What was observed decides about the hit: nothing is stored for the file as it is now.
    assert library.reads.check(1).unknown == 1


def test_a_column_of_a_frame(library, change_outside):
    stored = library.frame(3)
    change_outside()
    check = only(library.frame.check(3))
    assert check.differences == [
        'result["b"]: 3 of 3 elements differ, by 3 at most; the first: 7.5 → 10.5'
    ]
    assert library.frame(3).equals(stored)


def test_an_object_of_the_project(library, change_outside):
    library.model(1)
    assert library.model.check(1).ok
    change_outside()
    assert only(library.model.check(1)).differences == ["result.weights[1]: 5 → 7 (by 2)"]


def test_another_environment_is_named(library, change_outside, monkeypatch):
    import pandas as pd

    with monkeypatch.context() as patched:
        patched.setattr(pd, "__version__", "0.0.1")
        library.frame.run(2)
    change_outside()
    seen, cause = only(library.frame.check(2)).causes
    assert seen == SEEN
    assert cause == f"pandas was 0.0.1, and is {pd.__version__}"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fails", "LookupError: (1, 'not any more') (checked.py:"),
        ("dies", "the process ended with exit code 7"),
        ("killed", "the process was killed by signal 9"),
    ],
)
def test_what_fails_now(library, change_outside, name, reason):
    task = getattr(library, name)
    assert task(1) == 1
    change_outside()
    check = only(task.check(1))
    assert check.verdict == "failed"
    assert check.reason.startswith(reason)
    assert task(1) == 1


def test_nothing_of_a_check_is_stored(library):
    library.clock(1)
    before = _native.totals()
    assert library.clock.check(1).findings
    report = library.steady.check(1)
    assert (len(report), report.stored, report.unknown, report.ok) == (0, 0, 1, False)
    with testing.recorded() as calls:
        library.steady.run(1)
    assert calls.computed == ["steady"]
    assert [row for row in _native.totals() if row[0] != "checked.steady"] == before


def test_tasks_that_the_body_calls_are_executed_as_well(library):
    library.calls(1)
    entries = _native.totals()
    check = only(library.calls.check(1))
    # What `clock` gave is stored, and not taken; nor is another stored in its place.
    assert check.verdict == "nondeterministic"
    assert [line.partition(":")[0] for line in check.differences] == ['result[1]["at"]']
    assert library.calls.run(1).status == "succeeded"
    assert library.clock(1) == library.calls(1)[1]
    assert len(entries) == len(_native.totals()) - 2, "the hits of this test"


def test_what_is_not_stored_hides_what_is_behind_it(library):
    library.pipeline(2)
    assert sorted(check.operation for check in library.pipeline.check(2)) == [
        "checked.after",
        "checked.dice",
        "checked.steady",
    ]
    library.steady(4)
    report = library.pipeline.check(4)
    # `after` and `dice` were never computed for 4; what is never stored is computed as always.
    assert [check.operation for check in report] == ["checked.steady"]
    assert report.unknown == 2


def test_a_unit_is_executed_as_a_whole(library):
    library.nested(1)
    verdicts = {check.operation: check.verdict for check in library.nested.check(1)}
    assert verdicts == {"checked.unit": "nondeterministic", "checked.after": "same"}
    (unit,) = [check for check in library.nested.check(1) if check.operation == "checked.unit"]
    assert [line.partition(":")[0] for line in unit.differences] == ['result["clock"]["at"]']


def test_a_unit_is_looked_into_for_what_is_named(library):
    library.nested(1)
    clock = only(library.nested.with_options(check="clock").check(1))
    assert (clock.operation, clock.verdict) == ("checked.clock", "nondeterministic")
    both = library.nested.with_options(check=["stea*", "checked.after"]).check(1)
    assert {check.verdict for check in both} == {"same"}
    assert len(both) == 2


def test_names_that_mean_nothing(library):
    library.nested(1)
    with pytest.raises(ValueError, match=r"no operation .* is named `aftr`; did you mean `after`"):
        library.nested.with_options(check="aftr").check(1)
    named = library.steady.with_options(check="steady").check(99)
    assert only(named).verdict == "not-checkable"
    assert only(named).reason == "no result of it is stored"


def test_map_and_tasks_that_return_handles(library):
    library.mapped(4)
    report = library.mapped.check(4)
    assert report.ok
    assert len(report) == 4
    library.spreads.run(2)
    spread = only(library.spreads.check(2))
    assert spread.verdict == "nondeterministic"
    assert [line.partition(":")[0] for line in spread.differences] == ['result[1]["at"]']


def test_a_share_is_drawn_by_lot(library):
    library.mapped(6)
    report = library.mapped.with_options(check=0.5).check(6)
    assert len(report) == 3
    assert report.stored == 6
    assert len(library.mapped.with_options(check=1e-9).check(6)) == 1


def test_every_operation_is_drawn_in_time():
    assert {index for _ in range(300) for index in drawn(5, 0.3, 0)} == set(range(5))
    assert {len(drawn(10, 0.05, 0)) for _ in range(300)} == {0, 1}
    assert drawn(0, 1.0, 1) == []
    assert drawn(3, 1.0, 1) == [0, 1, 2]
    assert drawn(3, 0.0, 0) == []


@pytest.mark.parametrize("wrong", [-0.1, 1.1, 5, math.nan, math.inf])
def test_a_share_that_is_none(library, wrong):
    with pytest.raises(ValueError, match="from 0 to 1"):
        library.steady.with_options(check=wrong)


@pytest.mark.parametrize("wrong", ["", [], [1], object()])
def test_names_that_are_none(library, wrong):
    with pytest.raises(TypeError, match="a share, such as 0.05, or the names"):
        library.steady.with_options(check=wrong)


def test_a_check_of_nothing(library):
    with pytest.raises(ValueError, match="a check of nothing"):
        library.steady.with_options(check=0).check(1)
    with pytest.raises(ValueError, match=r"check has the pattern"):
        library.steady.with_options(check="[").check(1)
    with pytest.raises(TypeError):
        library.steady.check()


def test_a_run_checks_what_hits(library):
    checked = library.nested.with_options(check=1)
    first = checked.run(1)
    assert first.checks == [], "nothing hit"
    with pytest.warns(RuntimeWarning, match=r"checked.unit, checked: nondeterministic: result"):
        run = checked.run(1)
    assert run.value == first.value
    assert run.status == "succeeded"
    assert {check.operation: check.verdict for check in run.checks} == {
        "checked.unit": "nondeterministic",
        "checked.after": "same",
    }
    details = {node["name"]: node["detail"] for node in run.nodes}
    assert details["checked.after"] == "checked: same"
    assert details["checked.unit"].startswith('checked: nondeterministic: result["clock"]')
    assert [node["outcome"][:3] for node in run.nodes] == ["hit", "hit"]
    named = library.nested.with_options(check="after").run(1)
    assert only(CheckReport(named.checks, stored=0, unknown=0)).operation == "checked.after"
    assert library.nested.with_options(check=0).run(1).checks == []


def test_a_call_on_its_own_may_be_checked(library):
    stored = library.clock(1)
    with pytest.warns(RuntimeWarning, match="checked.clock, checked: nondeterministic"):
        assert library.clock.with_options(check=1.0)(1) == stored
    with pytest.warns(RuntimeWarning, match="checked.clock"):
        assert library.clock.with_options(check=1.0).map([1]) == [stored]


def test_a_clean_process(library, monkeypatch):
    monkeypatch.setenv("CHECKER", str(os.getpid()))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    library.where(1)
    # Another process, nothing in its directory for temporary files, nothing to be read.
    one, other = only(library.where.check(1)).differences
    assert one == "result[0]: True → False"
    assert other.startswith("result[1]: ")
    assert other.endswith(" elements → 0")
    library.writes(100)
    assert library.writes.check(100).ok


def test_what_cannot_be_sent(library):
    library.takes(lambda: 1)
    check = only(library.takes.check(lambda: 1))
    assert check.verdict == "not-checkable"
    assert check.reason.startswith(
        "it cannot be sent to a clean process: cannot send the arguments"
    )
    assert "executor" not in check.reason

    @thrifty.task
    def local(n: int) -> int:
        return n

    local(1)
    check = only(local.check(1))
    assert check.verdict == "not-checkable"
    assert "top level of a module" in check.reason


def test_what_is_not_the_same_in_a_clean_process(library, monkeypatch, tmp_path):
    library.steady(1)
    (tmp_path / "checked.py").write_text(LIBRARY.replace('"n": n, "rows"', '"n": n + 1, "rows"'))
    report = library.steady.check(1)
    assert only(report).verdict == "not-checkable"
    assert not report.ok
    assert "its file was changed since the program started" in only(report).reason


def test_an_argument_that_was_changed(library):
    rows = {"a": 1}

    @thrifty.workflow
    def flow():
        made = library.after(rows, 1)
        rows["b"] = 2
        return made

    library.after({"a": 1}, 1)
    check = only(flow.check())
    assert check.verdict == "not-checkable"
    assert "was changed after" in check.reason


def test_secrets_are_not_shown(library, change_outside):
    library.tells("hunter2", 0)
    library.tells("hunter2", 1)
    assert library.tells.check("hunter2", 0).ok
    change_outside()
    for n, verdict in ((0, "differs"), (1, "failed")):
        report = library.tells.check("hunter2", n)
        assert only(report).verdict == verdict
        assert "hunter2" not in str(report)
    assert only(report).reason == "ValueError"


def test_a_secret_of_a_task_that_is_called_is_not_shown(library, change_outside):
    library.hands_on(1)
    change_outside()
    report = library.hands_on.check(1)
    check = next(check for check in report if check.operation == "checked.hands_on")
    assert check.verdict == "failed"
    assert "ValueError: [secret]" in check.reason


def test_results_with_a_hash_method_of_their_own(library):
    library.hashed(1)
    assert library.hashed.check(1).ok, "the rest of it does not count"
    library.outer(1)
    check = only(library.outer.check(1))
    assert check.verdict == "not-checkable"
    assert "hashed by methods" in check.reason


def test_with_worker_processes(library):
    both = library.pipeline.with_options(executor="processes", workers=2)
    both(2)
    verdicts = {check.operation: check.verdict for check in both.check(2)}
    assert verdicts["checked.after"] == verdicts["checked.steady"] == "same"
    assert verdicts["checked.dice"] == "nondeterministic"


def test_a_cache_in_memory(library):
    with testing.memory_cache():
        library.steady(1)
        check = only(library.steady.check(1))
    assert check.verdict == "not-checkable"
    assert "in memory" in check.reason


def test_a_switched_off_cache_is_looked_at_all_the_same(library, monkeypatch, reopen):
    library.steady(1)
    assert library.steady.with_options(cache=False).check(1).ok
    reopen()
    monkeypatch.setenv("THRIFTY_CACHE", "off")
    assert library.steady.check(1).ok


def test_what_raises_while_it_is_looked_up(library):
    @thrifty.task(cache=False)
    def broken() -> int:
        raise KeyError("for the user")

    @thrifty.workflow
    def flow():
        return library.after({}, broken())

    with pytest.raises(KeyError, match="for the user"):
        flow.check()


def test_the_report():
    checks = [Check("m.a", 0, "k", "same"), Check("m.b", 1, "k", "failed", reason="ValueError: x")]
    report = CheckReport(checks, stored=3, unknown=2)
    assert not report.ok
    assert report.findings == checks[1:]
    assert list(report) == checks
    assert (
        repr(report)
        == "<CheckReport: checked 2 of 3 stored operations: 1 same, 1 failed; 2 not stored>"
    )
    assert "    ValueError: x" in str(report)
    assert not CheckReport([], stored=0, unknown=0).ok
    assert not CheckReport([Check("m.a", 0, "k", "not-checkable")], stored=1, unknown=0).ok


SCRIPT = """
import os, signal, sys, time
from thrifty import Cache, task, workflow

@task
def steady(n: int) -> int:
    return n

@task(cache=Cache(observe=False))
def drifts(n: int) -> int:
    return os.stat("outside.txt").st_size

@task(cache=Cache(observe=False))
def hangs(n: int) -> int:
    if os.path.exists("hang"):
        with open("hanging.txt", "w") as stream:
            stream.write(str(os.getpid()))
        os.rename("hanging.txt", "hanging")
        while True:
            time.sleep(0.01)
    return n

@workflow
def flow(n: int = 1):
    return steady(n), drifts(n)
"""


def test_tasks_of_a_script(programs):
    programs.write(
        "script.py",
        SCRIPT + "\nif __name__ == '__main__':\n    steady(1)\n    print(steady.check(1))\n",
    )
    assert programs.run("script.py").startswith("same              script.steady\n")
    assert programs.run("-m", "script").startswith("same              script.steady\n")


def test_a_script_that_checks_while_it_is_imported(programs):
    programs.write("script.py", SCRIPT + "\nsteady(1)\nprint(steady.check(1))\n")
    printed = programs.run("script.py")
    assert printed.startswith("not-checkable")
    assert "__main__" in printed
    # A run that is to be checked is only a run there.
    programs.write("script.py", SCRIPT + "\nprint(steady.with_options(check=1).run(1).checks)\n")
    programs.run("script.py")
    assert programs.run("script.py") == "[<Check of script.steady: same>]\n"


def test_cells_of_a_notebook_are_not_checkable(programs):
    text = SCRIPT + "\nsteady(1)\nprint(steady.check(1))\n"
    programs.write(
        "kernel.py",
        f"""
        import linecache, sys
        text = {text!r}
        del __file__
        linecache.cache["<cell>"] = (len(text), None, text.splitlines(True), "<cell>")
        exec(compile(text, "<cell>", "exec"), sys.modules["__main__"].__dict__)
        """,
    )
    printed = programs.run("kernel.py")
    assert printed.startswith("not-checkable")
    assert "cannot import it" in printed


def test_an_interrupt_ends_the_clean_processes(programs):
    programs.write(
        "script.py",
        SCRIPT
        + "\nif __name__ == '__main__':\n    hangs(1)\n    open('hang', 'w').close()\n    print('checking', flush=True)\n    hangs.check(1)\n",
    )
    process = programs.start("script.py")
    assert process.stdout is not None
    assert process.stdout.readline() == "checking\n"
    hanging = programs.directory / "hanging"
    while not hanging.exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err
    with pytest.raises(ProcessLookupError):
        os.kill(int(hanging.read_text()), 0)


def test_the_command(programs):
    programs.write("flows.py", SCRIPT)
    programs.write("outside.txt", "12345")
    assert "nothing" not in programs.run("-m", "thrifty", "check", "flows:flow", code=1)
    programs.run("-m", "thrifty", "run", "flows:flow", "-p", "n=2")
    printed = programs.run("-m", "thrifty", "check", "flows:flow", "-p", "n=2", "--all")
    assert [line.split()[:2] for line in printed.splitlines()] == [
        ["same", "steady"],
        ["same", "drifts"],
        ["reads", "outside.txt"],
        ["checked", "2"],
    ]
    assert "checked 1 of 2" in programs.run("-m", "thrifty", "check", "flows:flow", "-p", "n=2")
    programs.write("outside.txt", "1234567")
    printed = programs.run("-m", "thrifty", "check", "flows:flow", "drifts", "-p", "n=2", code=1)
    assert "differs" in printed
    assert "result: 5 → 7 (by 2)" in printed
    process = programs.start("-m", "thrifty", "check", "flows:flow", "-p", "n=2", "--all", "--json")
    told = json.loads(process.communicate(timeout=60)[0])
    assert (told["stored"], told["unknown"], process.returncode) == (2, 0, 1)
    verdicts = {check["name"]: check["verdict"] for check in told["checks"]}
    assert verdicts == {"steady": "same", "drifts": "differs"}
    process = programs.start("-m", "thrifty", "run", "flows:flow", "-p", "n=2", "--check", "100%")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == "(2, 5)\n"
    assert "flows.drifts, checked: differs: result: 5 → 7 (by 2)" in err
    assert "checked: differs" in programs.run("-m", "thrifty", "show", "last")
    for arguments, wanted in (
        (["drift"], "did you mean `drifts`?"),
        (["--sample", "0"], "checks nothing"),
        (["--sample", "7"], "is not a share"),
        (["--sample", "nan"], "is not a share"),
        (["drifts", "--all"], "cannot be used with"),
        (["["], "NAME ["),
    ):
        asked = ["-m", "thrifty", "check", "flows:flow", "-p", "n=2", *arguments]
        assert wanted in programs.run(*asked, code=2)


@pytest.mark.parametrize(
    ("stored", "made", "lines"),
    [
        (1, 1, []),
        (float("nan"), float("nan"), []),
        (1, 2, ["result: 1 → 2 (by 1)"]),
        (1, 1.0, ["result: a int → a float"]),
        (True, False, ["result: True → False"]),
        (10**400, 1.5, ["result: a int → a float"]),
        (None, [], ["result: a NoneType → a list"]),
        ({"a": 1, "b": 2}, {"a": 1, "c": 2}, ['result["b"]: is gone', 'result["c"]: is new']),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ['result["a"]["b"][1]: 2 → 3 (by 1)']),
        ([1], [1, 2], ["result: 1 elements → 2"]),
        ({1, 2}, {2, 3, 4}, ["result: 1 elements are gone, 2 are new"]),
        ("abc", "abd", ["result: from character 2 on: 'abc' → 'abd'"]),
        ("ab", "abc", ["result: from character 2 on: 'ab' → 'abc', 2 characters → 3"]),
        (b"ab", b"xb", ["result: from byte 0 on: b'ab' → b'xb'"]),
        (Ellipsis, NotImplemented, ["result: a ellipsis → a NotImplementedType"]),
    ],
)
def test_where_values_differ(stored, made, lines):
    assert differences(stored, made) == lines


class Point:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y


class Model:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


def test_where_objects_differ():
    assert differences(Point(1, 2), Point(1, 3)) == ["result.y: 2 → 3 (by 1)"]
    one, other = Model(weights=[0.5], seed=1), Model(weights=[0.25], best=Point(0, 0))
    assert differences(one, other) == [
        "result.weights[0]: 0.5 → 0.25 (by 0.25)",
        "result.seed: is gone",
        "result.best: is new",
    ]


def test_where_arrays_and_frames_differ():
    import numpy as np
    import pandas as pd

    def lines(one, other):
        return differences(one, other)

    ones = np.ones((2, 3))
    other = ones.copy()
    other[1, 2] = np.nan
    assert lines(ones, other) == ["result: 1 of 6 elements differ; the first: 1.0 → nan"]
    assert lines(ones, ones.astype("f4")) == ["result: dtype float64 → float32"]
    assert lines(ones, ones.T) == ["result: shape (2, 3) → (3, 2)"]
    assert lines(np.zeros(2), -np.zeros(2)) == [
        "result: equal elements with other bits, such as 0.0 and -0.0"
    ]
    assert lines(np.array(["a", "b"]), np.array(["a", "c"])) == [
        "result: 1 of 2 elements differ; the first: b → c"
    ]
    assert lines(np.array([1, "b"], object), np.array([1, "c"], object)) == [
        "result: 1 of 2 elements differ"
    ]
    assert lines(np.uint8(200), np.uint8(100)) == ["result: 200 → 100 (by 100)"]

    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": pd.Categorical(["u", "v"])})
    assert lines(frame, frame.rename(columns={"a": "A"})) == [
        'result["a"]: is gone',
        'result["A"]: is new',
    ]
    (line,) = lines(frame, frame[["b", "a", "c"]])
    assert "columns in another order" in line
    assert lines(frame, frame.head(1)) == ["result: 2 rows → 1"]
    assert lines(frame, frame.assign(b=["x", None])) == ['result["b"]: 1 of 2 elements differ']
    assert lines(frame, frame.assign(a=[1.0, 2.0])) == ['result["a"]: dtype int64 → float64']
    assert [line.partition(":")[0] for line in lines(frame, frame.set_index(pd.Index([5, 6])))] == [
        "result.index"
    ]
    series = pd.Series([1, 2], name="s")
    assert [line.partition(":")[0] for line in lines(series, series.rename("t"))] == ["result.name"]
    assert [line.partition(":")[0] for line in lines(series, pd.Series([1, 3], name="s"))] == [
        "result"
    ]


def test_where_files_differ(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.txt").write_text("same")
    (tmp_path / "one" / "other.txt").write_text("1")
    (tmp_path / "two" / "other.txt").write_text("22")
    folders = thrifty.Dir(tmp_path / "one"), thrifty.Dir(tmp_path / "two")
    assert differences(*folders) == ['result["other.txt"]: other bytes in other.txt, 1 bytes → 2']


def test_many_places_are_counted_and_depth_has_an_end():
    lines = differences(list(range(100)), list(range(1, 101)))
    assert len(lines) == 9
    assert lines[-1] == "… and at 92 more places"
    deep, other = [1], [2]
    for _ in range(150):
        deep, other = [deep], [other]
    assert len(differences(deep, other)) == 1
    assert differences([len], [max])
    circle: list = []
    circle.append(circle)
    assert differences(circle, [1]) == ["result[0]: a list → a int"]


def test_values_that_are_not_shown():
    assert "hunter2" not in "".join(differences({"hunter2": 1}, {"hunter3": 2}, shows=False))
