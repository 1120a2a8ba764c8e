"""Deliberate bugs in the protocol, each of which the simulation must find.

A mutant is a change to one place of the sources, one of ``campaigns/simulation/mutants.toml``. This
tool copies the checkout to ``build/mutants``, applies one mutant after the other, builds the
simulation and runs it until an invariant is broken. A mutant that survives is a hole in the oracle
or in what is simulated.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = Path("campaigns/simulation/mutants.toml")
SPACE = Path("build/mutants")
LENIENCY = (b'unused = { level = "deny"', b'unused = { level = "allow"')
"""A bug may leave a name unused, which is nothing to stop for."""
PATIENCE = 1800
"""Seconds after which a simulation that does not end is taken for one that found something."""


@dataclass(frozen=True)
class Mutant:
    """One bug: ``old`` in ``file`` becomes ``new``."""

    name: str
    breaks: str
    file: Path
    old: str
    new: str

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
    """What became of a simulation."""

    is_broken: bool
    text: str


def read(root: Path) -> list[Mutant]:
    """The mutants of a checkout."""
    table = tomllib.loads((root / TABLE).read_text(encoding="utf-8"))
    return [
        Mutant(one["name"], one["breaks"], Path(one["file"]), one["old"], one["new"])
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


def build(tree: Path, target: Path) -> str:
    """Builds the simulation; answers what the compiler refused, or nothing."""
    command = ["cargo", "build", "--locked", "--quiet", "--package", "thrifty-simulation"]
    command += ["--target-dir", str(target)]
    done = subprocess.run(command, cwd=tree, check=False, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def simulate(target: Path, seeds: int) -> Verdict:
    """Runs the simulation until an invariant is broken, or to its end."""
    command = [str(target / "debug" / "simulate"), "--seeds", str(seeds)]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return Verdict(is_broken=True, text="it does not end")
    found = re.search(r"^seed \d+: .*$", done.stdout, re.MULTILINE)
    if found:
        return Verdict(is_broken=True, text=found[0])
    last = (done.stdout.splitlines() or done.stderr.splitlines() or [""])[-1]
    return Verdict(is_broken=done.returncode != 0, text=last)


def survivors(mutants: Iterable[Mutant], seeds: int, root: Path) -> list[str]:
    """Tries each mutant, tells how it went, and answers the names of those not found."""
    tree, target = root / SPACE / "tree", root / SPACE / "target"
    alive: list[str] = []
    for mutant in mutants:
        began = time.monotonic()
        copy(root, tree)
        mutant.apply(tree)
        refused = build(tree, target)
        if refused:
            alive.append(mutant.name)
            print(f"{mutant.name}: it does not compile\n{refused}", flush=True)
            continue
        verdict = simulate(target, seeds)
        word = "killed" if verdict.is_broken else "SURVIVED"
        spent = time.monotonic() - began
        print(f"{mutant.name}: {word}: {verdict.text} ({spent:.0f} s)", flush=True)
        if not verdict.is_broken:
            alive.append(mutant.name)
    return alive


def main() -> int:
    """Tries the mutants that were named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="only these mutants")
    parser.add_argument("--seeds", type=int, default=20_000, help="seeds to simulate for each")
    arguments = parser.parse_args()
    mutants = [one for one in read(ROOT) if not arguments.names or one.name in arguments.names]
    misfits = [text for text in (mutant.misfits(ROOT) for mutant in mutants) if text]
    for text in misfits:
        print(text)
    if misfits or not shutil.which("cargo"):
        return 1
    alive = survivors(mutants, arguments.seeds, ROOT)
    print(f"{len(mutants)} mutants: {len(alive)} survived{': ' if alive else ''}{', '.join(alive)}")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
