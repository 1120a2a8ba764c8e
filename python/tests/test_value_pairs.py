"""The pairs of `value_pairs.py`, in processes whose hash seeds differ, and in other Pythons."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from thrifty import _native

HERE = pathlib.Path(__file__).parent
PACKAGE = pathlib.Path(_native.__file__).resolve().parents[1]
sys.path.insert(0, str(HERE))

import value_pairs  # noqa: E402 - beside this file, which pytest does not put on the path
import value_pairs_of_libraries  # noqa: E402, F401 - adds its families

FAMILIES = tuple(value_pairs.FAMILIES)
SEEDS = ("0", "1", "2", "3", "4242")


def table(families, *, python=sys.executable, seed="0"):
    """By the name of the pair, the two digests that a process of its own gives."""
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE), str(HERE)])
    command = [python, "-W", "ignore", str(HERE / "value_pairs.py"), *families]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr[-2000:]
    merged = {}
    for found in json.loads(ran.stdout):
        merged.update(found)
    return merged


@pytest.fixture(scope="module")
def here(request):
    """The digests of this process."""
    found = {}
    for name in FAMILIES:
        found.update(value_pairs.digests([name]))
    return found


@pytest.fixture(scope="module")
def verdicts():
    return {pair.name: pair.same for pair in value_pairs.pairs(FAMILIES)}


def test_pairs_agree_or_differ_as_they_must(here, verdicts):
    agreed = {name: left == right for name, (left, right) in here.items()}
    assert [name for name in verdicts if agreed[name] != verdicts[name]] == []


def test_there_are_enough_pairs_each_with_a_name(verdicts):
    assert len(verdicts) == len(value_pairs.pairs(FAMILIES)) >= 400
    assert sum(verdicts.values()) >= 100


@pytest.mark.parametrize("seed", SEEDS)
def test_other_processes_give_the_same_digests(here, seed):
    found = table(FAMILIES, seed=seed)
    assert {name: both for name, both in found.items() if tuple(both) != here[name]} == {}
    assert found.keys() == here.keys()


def interpreters():
    """Other versions of Python on this machine that can load the package."""
    names = [f"python3.{minor}" for minor in range(11, 15) if minor != sys.version_info.minor]
    return [pytest.param(name, id=name) for name in names]


@pytest.mark.parametrize("name", interpreters())
def test_other_versions_of_python_give_the_same_digests(here, name):
    python = found_python(name)
    if python is None:
        pytest.skip(f"{name} is not on this machine")
    found = table(value_pairs.PORTABLE, python=python)
    assert {name: both for name, both in found.items() if tuple(both) != here[name]} == {}
    assert len(found) >= 300


def found_python(name):
    """An interpreter of this name that runs: on the path, or among those that pyenv keeps."""
    versions = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"))
    kept = sorted(versions.glob(f"versions/{name.removeprefix('python')}.*/bin/{name}"))
    for candidate in [shutil.which(name), *map(str, kept)]:
        runs = candidate and subprocess.run([candidate, "-c", ""], capture_output=True)
        if runs and runs.returncode == 0:
            return candidate
    return None


@pytest.mark.parametrize("name", sorted(value_pairs_of_libraries.MISSING))
def test_families_of_libraries_that_are_not_here(name):
    modules = ", ".join(value_pairs_of_libraries.MISSING[name])
    pytest.skip(f"{name} needs {modules}")
