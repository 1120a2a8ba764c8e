from __future__ import annotations

import sys
from pathlib import Path

import pytest

import mutants
from mutants import Mutant, Undecided, Verdict

ALL = mutants.read(mutants.ROOT)


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_every_mutant_can_be_applied(mutant: Mutant) -> None:
    assert mutant.misfits(mutants.ROOT) == ""


def test_there_are_enough_mutants_and_no_two_are_the_same() -> None:
    assert len(ALL) >= 30
    assert len({mutant.name for mutant in ALL}) == len(ALL)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in ALL}) == len(ALL)


def test_a_mutant_that_does_not_fit_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.rs").write_text("one two one", encoding="utf-8")
    twice = Mutant("twice", "", Path("a.rs"), "one", "three")
    nowhere = Mutant("nowhere", "", Path("a.rs"), "four", "three")
    same = Mutant("same", "", Path("a.rs"), "two", "two")
    fits = Mutant("fits", "", Path("a.rs"), "two", "three")
    assert twice.misfits(tmp_path) == "twice: its old text occurs 2 times in a.rs"
    assert nowhere.misfits(tmp_path) == "nowhere: its old text occurs 0 times in a.rs"
    assert same.misfits(tmp_path) == "same: it changes nothing"
    assert fits.misfits(tmp_path) == ""
    fits.apply(tmp_path)
    assert (tmp_path / "a.rs").read_text(encoding="utf-8") == "one three one"


def test_a_copy_follows_the_checkout(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "stale").mkdir(parents=True)
    (tree / "stale" / "file").write_text("old", encoding="utf-8")
    mutants.copy(mutants.ROOT, tree)
    assert (tree / mutants.TABLE).read_bytes() == (mutants.ROOT / mutants.TABLE).read_bytes()
    assert not (tree / "stale" / "file").exists()
    before = (tree / mutants.TABLE).stat().st_mtime_ns
    mutants.copy(mutants.ROOT, tree)
    assert (tree / mutants.TABLE).stat().st_mtime_ns == before


def prints(text: str, then: str) -> list[str]:
    return [sys.executable, "-c", f"import os, signal, sys; print({text!r}, flush=True); {then}"]


FAILED = "test result: FAILED. 1 passed"


@pytest.mark.parametrize(
    ("text", "then", "verdict"),
    [
        ("all is well", "", Verdict(is_broken=False, text="all is well")),
        (f"running\n{FAILED}\nmore", "sys.exit(101)", Verdict(is_broken=True, text=FAILED)),
    ],
)
def test_a_judge_is_believed(tmp_path: Path, text: str, then: str, verdict: Verdict) -> None:
    assert mutants.ask(prints(text, then), tmp_path, "^test result: FAILED.*$", 101) == verdict


@pytest.mark.parametrize(
    ("text", "then", "why"),
    [
        ("half", "sys.exit(101)", "ended with 101 and no verdict: half"),
        (FAILED, "sys.exit(2)", "ended with 2 and no verdict"),
        (FAILED, "", "ended with 0 and no verdict"),
        (FAILED, "os.kill(os.getpid(), 9)", "ended with -9 and no verdict"),
    ],
)
def test_what_is_no_verdict_kills_nothing(tmp_path: Path, text: str, then: str, why: str) -> None:
    with pytest.raises(Undecided, match=why):
        mutants.ask(prints(text, then), tmp_path, "^test result: FAILED.*$", 101)


def test_what_does_not_end_kills_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "PATIENCE", 0)
    with pytest.raises(Undecided, match="did not end within 0 s"):
        mutants.ask(prints(FAILED, "signal.pause()"), tmp_path, FAILED, 101)


class Judged:
    """What a run of the tool built and judged, in a checkout of one file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, broken: str, refused: str = "") -> None:
        self.seen: list[str] = []
        self.broken, self.refused = broken, refused
        monkeypatch.setattr(mutants, "copy", self.copy)
        monkeypatch.setattr(mutants, "build", self.build)
        monkeypatch.setattr(mutants, "judge", self.judge)

    def copy(self, _root: Path, tree: Path) -> None:
        tree.mkdir(parents=True, exist_ok=True)
        (tree / "a.rs").write_text("sound", encoding="utf-8")

    def build(self, tree: Path, _target: Path, _test: tuple[str, ...]) -> None:
        if self.refused and self.refused in (tree / "a.rs").read_text(encoding="utf-8"):
            raise Undecided("it does not compile")

    def judge(self, tree: Path, _target: Path, test: tuple[str, ...], _seeds: int) -> Verdict:
        text = (tree / "a.rs").read_text(encoding="utf-8")
        self.seen.append(" ".join([text, *test]))
        return Verdict(is_broken=self.broken in text, text="")


def made(name: str, *test: str) -> Mutant:
    return Mutant(name, "", Path("a.rs"), "sound", name, test)


def test_each_judge_passes_the_sources_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = Judged(monkeypatch, broken="bug")
    table = [made("bug one"), made("bug two", "-p", "x"), made("no fault"), made("bug three")]
    assert mutants.try_each(table, 1, tmp_path) == (["no fault"], [])
    before, after = judged.seen[:2], judged.seen[2:]
    assert before == ["sound", "sound -p x"]
    assert after == ["bug one", "bug two -p x", "no fault", "bug three"]


def test_where_the_sources_do_not_pass_no_mutant_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = Judged(monkeypatch, broken="sound")
    alive, unknown = mutants.try_each([made("bug")], 1, tmp_path)
    assert (alive, unknown) == ([], ["unchanged, for the simulation"])
    assert judged.seen == ["sound"]


def test_a_mutant_that_does_not_compile_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Judged(monkeypatch, broken="bug", refused="syntax")
    table = [made("bad syntax"), made("bug")]
    assert mutants.try_each(table, 1, tmp_path) == ([], ["bad syntax"])
    told = capsys.readouterr().out
    assert "bad syntax: ERROR: it does not compile" in told
    assert "bug: killed" in told
    monkeypatch.setattr(mutants, "read", lambda _root: table)
    monkeypatch.setattr(Mutant, "misfits", lambda _mutant, _root: "")
    monkeypatch.setattr(sys, "argv", ["mutants.py"])
    assert mutants.main() == 1
    assert "2 mutants: 0 survived; without a verdict: bad syntax" in capsys.readouterr().out


def test_a_mutant_that_is_not_in_the_table_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["mutants.py", "no-such"])
    assert mutants.main() == 1
    assert "no-such: no such mutant" in capsys.readouterr().out
