"""Deliberate bugs, each of which the simulation or a test must find.

A mutant is a change to one place of the sources, one of ``campaigns/simulation/mutants.toml``. This
tool copies the checkout to ``build/mutants``, applies one mutant after the other, builds the
simulation and runs it until an invariant is broken. Where the table names tests, because what is
broken is not simulated, these are its judge instead. A mutant that survives is a hole in its judge.

First each judge must let the sources pass as they are. Only its verdict kills a mutant: one that
does not compile, does not end, or ends in any other way is an error of this tool or of the table.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = Path("campaigns/simulation/mutants.toml")
SPACE = Path("build/mutants")
LENIENCY = (b'unused = { level = "deny"', b'unused = { level = "allow"')
"""A bug may leave a name unused, which is nothing to stop for."""
PATIENCE = 1800
"""Seconds that a judge is given."""


@dataclass(frozen=True)
class Mutant:
    """One bug: ``old`` in ``file`` becomes ``new``."""

    name: str
    breaks: str
    file: Path
    old: str
    new: str
    test: tuple[str, ...] = ()
    """What ``cargo test`` is told to run; nothing for the simulation."""

    def misfits(self, root: Path) -> str:
        """Why it cannot be applied; empty if it can."""
        text = (root / self.file).read_text(encoding="utf-8")
        count = text.count(self.old)
        if count != 1:
            return f"{self.name}: its old text occurs {count} times in {self.file}"
        return "" if self.old != self.new else f"{self.name}: it changes nothing"

    def apply(self, root: Path) -> None:
        """Puts the bug in."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


@dataclass(frozen=True)
class Verdict:
    """What a judge said."""

    is_broken: bool
    text: str


class Undecided(Exception):
    """There is no verdict, and this is why."""


def read(root: Path) -> list[Mutant]:
    """The mutants of a checkout."""
    table = tomllib.loads((root / TABLE).read_text(encoding="utf-8"))
    return [
        Mutant(
            one["name"],
            one["breaks"],
            Path(one["file"]),
            one["old"],
            one["new"],
            tuple(one.get("test", "").split()),
        )
        for one in table["mutant"]
    ]


def copy(root: Path, tree: Path) -> None:
    """Makes the tree what the checkout is, and leaves alone what is the same already."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=root, check=True, capture_output=True, text=True).stdout
    wanted = {Path(name) for name in listed.split("\0") if name and (root / name).is_file()}
    for path in wanted:
        target = tree / path
        content = (root / path).read_bytes()
        if path == Path("Cargo.toml"):
            content = content.replace(*LENIENCY)
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    for target in tree.rglob("*"):
        if target.is_file() and target.relative_to(tree) not in wanted:
            target.unlink()


def build(tree: Path, target: Path, test: tuple[str, ...]) -> None:
    """Builds the judge."""
    what = ["test", "--no-run", *test] if test else ["build", "--package", "thrifty-simulation"]
    command = ["cargo", *what, "--locked", "--quiet", "--target-dir", str(target)]
    done = subprocess.run(command, cwd=tree, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Undecided(f"it does not compile\n{done.stderr}")


def judge(tree: Path, target: Path, test: tuple[str, ...], seeds: int) -> Verdict:
    """Runs what was built, and answers what it said."""
    if test:
        told, broken = ["cargo", "test", *test, "--locked", "--quiet"], r"^test result: FAILED.*$"
        command, code = [*told, "--target-dir", str(target)], 101
    else:
        command, broken = [str(target / "debug/simulate"), "--seeds", str(seeds)], r"^seed \d+: .*$"
        code = 1
    return ask(command, tree, broken, code)


def ask(command: list[str], cwd: Path, broken: str, code: int) -> Verdict:
    """The verdict of a command: if something is broken, it ends with this code and says it so."""
    try:
        done = subprocess.run(
            command, cwd=cwd, check=False, capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise Undecided(f"it did not end within {PATIENCE} s") from None
    found = re.search(broken, done.stdout, re.MULTILINE)
    last = (done.stdout.splitlines() or done.stderr.splitlines() or [""])[-1]
    if found and done.returncode == code:
        return Verdict(is_broken=True, text=found[0])
    if done.returncode == 0 and not found:
        return Verdict(is_broken=False, text=last)
    raise Undecided(f"it ended with {done.returncode} and no verdict: {last}")


def try_each(mutants: list[Mutant], seeds: int, root: Path) -> tuple[list[str], list[str]]:
    """Tries each mutant, and answers the names of those alive, and of those without a verdict."""
    tree, target = root / SPACE / "tree", root / SPACE / "target"
    alive: list[str] = []
    unknown: list[str] = []
    tried = [
        (f"unchanged, for {' '.join(test) or 'the simulation'}", None, test)
        for test in dict.fromkeys(mutant.test for mutant in mutants)
    ]
    tried += [(mutant.name, mutant, mutant.test) for mutant in mutants]
    for name, mutant, test in tried:
        began = time.monotonic()
        copy(root, tree)
        if mutant:
            mutant.apply(tree)
        try:
            build(tree, target, test)
            verdict = judge(tree, target, test, seeds)
        except Undecided as why:
            word, text = "ERROR", str(why)
            unknown.append(name)
        else:
            text = verdict.text
            if mutant is None:
                word = "FAILS" if verdict.is_broken else "passes"
                unknown += [name] * verdict.is_broken
            else:
                word = "killed" if verdict.is_broken else "SURVIVED"
                alive += [name] * (not verdict.is_broken)
        print(f"{name}: {word}: {text} ({time.monotonic() - began:.0f} s)", flush=True)
        if mutant is None and unknown:
            break
    return alive, unknown


def main() -> int:
    """Tries the mutants that were named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="only these mutants")
    parser.add_argument("--seeds", type=int, default=20_000, help="seeds to simulate for each")
    arguments = parser.parse_args()
    mutants = [one for one in read(ROOT) if not arguments.names or one.name in arguments.names]
    misfits = [text for text in (mutant.misfits(ROOT) for mutant in mutants) if text]
    misfits += sorted(
        f"{name}: no such mutant" for name in set(arguments.names) - {one.name for one in mutants}
    )
    for text in misfits:
        print(text)
    if misfits or not shutil.which("cargo"):
        return 1
    alive, unknown = try_each(mutants, arguments.seeds, ROOT)
    told = f"{len(mutants)} mutants: {len(alive)} survived{': ' if alive else ''}{', '.join(alive)}"
    print(told + (f"; without a verdict: {', '.join(unknown)}" if unknown else ""))
    return 1 if alive or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
