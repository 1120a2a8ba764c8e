from __future__ import annotations

from pathlib import Path

import pytest

import mutants
from mutants import Mutant

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
