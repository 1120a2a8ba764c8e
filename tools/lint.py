"""The house rules that no other checker knows, checked by ``make lint``.

Sizes, documentation and names of the Rust and Python sources; the edges between crates, compared
with the drawing in ``ARCHITECTURE.md``; modules that import each other in a circle; dependencies
that nobody uses. Prints the measures of every crate, names each breach, and exits with 1 if
there is one.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import python
import rust

FUNCTION_MEDIAN = 9
FUNCTION_LIMIT = 80
FILE_LIMIT = 600

LIBRARIES = ("key", "source", "store", "catalog", "engine")
LIBRARY_DOCS = (25, 40)
OTHER_DOCS = (5, 15)
DOCS_MARGIN = 8
"""By how many percentage points a crate's documentation may lie outside its band."""

SMALL_CRATE = 200
"""Below so many lines of code, a crate's percentages say nothing."""

CYCLE_SHARES = {"engine": 0.2}
"""How much of a crate's modules may import each other in a circle; none elsewhere."""

REFUSED_NAMES = {"util", "utils", "common", "helper", "helpers", "manager", "misc", "impl2"}
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX)\b|\b(?:todo|unimplemented)!\(")
MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:home|root|Users)/")
EXCUSES = re.compile(
    r"#!?\[(?:allow\([^\]]*\bdead_code|(?:allow|expect)\([^\]]*\b(?:too_many_lines|unwrap_used))\b"
)
SELF = {"tools/lint.py", "tools/test_lint.py"}
"""Files that name what is refused, and are not read for it."""


@dataclass(frozen=True, order=True)
class Breach:
    """A rule broken at a place."""

    place: str
    rule: str

    def __str__(self) -> str:
        """As an editor can follow it."""
        return f"{self.place}: {self.rule}"


class Tree:
    """A checkout: its files, its crates and its Python modules."""

    def __init__(self, root: Path) -> None:
        """Lists the files that git knows or would add."""
        self.root = root
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listing, cwd=root, check=True, capture_output=True, text=True)
        paths = sorted({Path(name) for name in names.stdout.split("\0") if name})
        self.paths = [path for path in paths if (root / path).is_file()]

    @cached_property
    def texts(self) -> dict[Path, str]:
        """Every file that is text, but for lock files."""
        read = {path: (self.root / path).read_bytes() for path in self.paths}
        return {
            path: content.decode("utf-8", "replace")
            for path, content in read.items()
            if b"\0" not in content and path.suffix != ".lock"
        }

    @cached_property
    def crates(self) -> list[Crate]:
        """The crates, by name."""
        manifests = [path for path in self.texts if path.name == "Cargo.toml" and path.parts[1:]]
        return [Crate(path.parent, self) for path in manifests]

    def python(self) -> Iterator[tuple[Path, ast.Module]]:
        """Every Python file outside tests, parsed."""
        for path, text in self.texts.items():
            if path.suffix == ".py" and not is_test(path):
                yield path, ast.parse(text, str(path))


class Crate:
    """One crate: its manifest and its sources."""

    def __init__(self, folder: Path, tree: Tree) -> None:
        """Reads the manifest; sources are read when asked for."""
        self.folder = folder
        self.name = folder.name
        self.tree = tree
        self.manifest: dict[str, Any] = tomllib.loads(tree.texts[folder / "Cargo.toml"])

    @cached_property
    def sources(self) -> list[rust.Source]:
        """Every Rust file of the crate."""
        paths = [p for p in self.tree.texts if p.suffix == ".rs" and self.folder in p.parents]
        read = [rust.Source(path, self.tree.texts[path], is_test(path)) for path in paths]
        tests = {home(source.path) / name for source in read for name in source.test_modules()}
        return [
            rust.Source(source.path, source.text, is_test=True)
            if tests & {source.path.with_suffix(""), *source.path.parents}
            else source
            for source in read
        ]

    def dependencies(self, *tables: str) -> list[str]:
        """The dependencies of these tables of the manifest."""
        return [name for table in tables for name in self.manifest.get(table, {})]

    def total(self, measure: str) -> int:
        """The sum of a measure over all sources."""
        return sum(getattr(source, measure) for source in self.sources)

    def functions(self) -> list[int]:
        """The lengths of all functions outside tests."""
        return [found.length for source in self.sources for found in source.functions()]

    def documented(self) -> float:
        """Lines of documentation to a hundred lines of code."""
        return 100 * self.total("doc_lines") / max(1, self.total("code_lines"))


def is_test(path: Path) -> bool:
    """Whether a whole file is tests: by its folder, its name, or as a conformance suite."""
    folders = {"tests", "conformance"} & {*path.parts}
    return (
        bool(folders)
        or path.stem in {"tests", "conformance", "conftest"}
        or (path.stem.startswith("test_"))
    )


def home(path: Path) -> Path:
    """The folder that holds the modules which a file declares."""
    declares_beside = path.stem in {"lib", "main", "mod"}
    return path.parent if declares_beside else path.with_suffix("")


def sizes(tree: Tree) -> Iterator[Breach]:
    """Functions and files, Rust and Python."""
    for crate in tree.crates:
        for source in crate.sources:
            yield from too_long(source.path, source.length)
            for function in source.functions():
                place = f"{source.path}:{function.line}"
                yield from too_long_function(place, function.name, function.length)
    yield from median_over("crates", [n for crate in tree.crates for n in crate.functions()])
    for path, module in tree.python():
        yield from too_long(path, len(tree.texts[path].splitlines()))
        for name, line, length in python.functions(module, tree.texts[path]):
            yield from too_long_function(f"{path}:{line}", name, length)


def too_long(path: Path, length: int) -> Iterator[Breach]:
    """A file over the limit."""
    if length > FILE_LIMIT:
        yield Breach(str(path), f"{length} lines without tests; the limit is {FILE_LIMIT}")


def too_long_function(place: str, name: str, length: int) -> Iterator[Breach]:
    """A function over the limit."""
    if length > FUNCTION_LIMIT:
        yield Breach(place, f"`{name}` has {length} lines; the limit is {FUNCTION_LIMIT}")


def median_over(place: str, lengths: list[int]) -> Iterator[Breach]:
    """Functions that are long as a rule."""
    if lengths and median(lengths) > FUNCTION_MEDIAN:
        rule = f"the median function has {median(lengths):g} lines; at most {FUNCTION_MEDIAN}"
        yield Breach(place, rule)


def documentation(tree: Tree) -> Iterator[Breach]:
    """How much is written about the code, crate by crate."""
    for crate in tree.crates:
        low, high = LIBRARY_DOCS if crate.name in LIBRARIES else OTHER_DOCS
        share = crate.documented()
        fits = low - DOCS_MARGIN <= share <= high + DOCS_MARGIN
        if crate.total("code_lines") >= SMALL_CRATE and not fits:
            rule = f"{share:.0f} lines of documentation to 100 of code; {low} to {high} are wanted"
            yield Breach(str(crate.folder), f"{rule}, give or take {DOCS_MARGIN}")


def panics(tree: Tree) -> Iterator[Breach]:
    """``unwrap``, an ``expect`` that states no invariant, an excuse from a limit."""
    for crate in tree.crates:
        for source in crate.sources:
            for found in re.finditer(r"\.unwrap\(\)|\.expect\(\s*", source.code):
                states = re.compile(r'"[^"]*\S\s+\S[^"]*"').match(source.text, found.end())
                if not (found[0].startswith(".expect") and states):
                    place = f"{source.path}:{source.line_at(found.start())}"
                    yield Breach(place, "unwrap, or an expect whose text is not an invariant")
            for found in EXCUSES.finditer(source.code):
                place = f"{source.path}:{source.line_at(found.start())}"
                yield Breach(place, "a limit is kept, not excused")


def words(tree: Tree) -> Iterator[Breach]:
    """Unfinished work, paths of somebody's machine, rooms without a purpose."""
    for path, text in tree.texts.items():
        if path.suffix in {".rs", ".py"} and REFUSED_NAMES & {path.stem, *path.parts}:
            yield Breach(str(path), "a file is named for what it does, not `util` or the like")
        if str(path) in SELF:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if UNFINISHED.search(line):
                yield Breach(f"{path}:{number}", "unfinished work is an issue, not a note")
            if MACHINE_PATH.search(line):
                yield Breach(f"{path}:{number}", "a path of somebody's machine")


def edges(tree: Tree) -> Iterator[Breach]:
    """The dependencies between crates are those drawn in ``ARCHITECTURE.md``."""
    drawn = drawn_edges(tree.texts[Path("ARCHITECTURE.md")])
    for crate in tree.crates:
        names = crate.dependencies("dependencies", "build-dependencies")
        real = {name.removeprefix("thrifty-") for name in names if name.startswith("thrifty-")}
        place = str(crate.folder / "Cargo.toml")
        for other in sorted(real - drawn.get(crate.name, set())):
            yield Breach(place, f"`{crate.name} -> {other}` is not drawn in ARCHITECTURE.md")
        for other in sorted(drawn.get(crate.name, set()) - real):
            yield Breach(place, f"`{crate.name} -> {other}` is drawn in ARCHITECTURE.md, not real")
    for name in sorted(drawn.keys() - {crate.name for crate in tree.crates}):
        yield Breach("ARCHITECTURE.md", f"`{name}` is drawn, but is no crate")


def drawn_edges(text: str) -> dict[str, set[str]]:
    """The block of ``ARCHITECTURE.md`` that begins with ```` ```crates ````: a crate a line."""
    block = re.search(r"^```crates\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = block[1].splitlines() if block else []
    parted = (line.partition("->") for line in lines if line.strip())
    return {name.strip(): set(known.split()) for name, _, known in parted}


def circles(tree: Tree) -> Iterator[Breach]:
    """Modules that import each other in a circle."""
    for crate in tree.crates:
        uses = rust_uses(crate)
        turning = in_circles(uses)
        if len(turning) > CYCLE_SHARES.get(crate.name, 0) * len(uses):
            many = f"{len(turning)} of {len(uses)} modules import each other in a circle"
            yield Breach(str(crate.folder), f"{many}: {', '.join(turning)}")
    turning = in_circles(python_uses(tree))
    if turning:
        yield Breach("python/thrifty", f"modules import each other in a circle: {turning}")


def rust_uses(crate: Crate) -> dict[str, set[str]]:
    """For every top-level module of a crate, the others whose names it uses."""
    folder = crate.folder / "src"
    files = [s for s in crate.sources if folder in s.path.parents and not s.is_test]
    roots = [source for source in files if source.path == folder / "lib.rs"]
    homes = rust.reexports(roots[0].code) if roots else {}
    uses: dict[str, set[str]] = {}
    for source in files:
        module = source.path.relative_to(folder).with_suffix("").parts[0]
        if module not in {"lib", "main"}:
            above = "super" if source.path.parent == folder else "crate"
            named = rust.used_modules(source.code, "crate") | rust.used_modules(source.code, above)
            uses.setdefault(module, set()).update(homes.get(name, name) for name in named)
    return {module: (used & uses.keys()) - {module} for module, used in uses.items()}


def python_uses(tree: Tree) -> dict[str, set[str]]:
    """For every module of the package, the others that it imports when it is imported."""
    package = Path("python/thrifty")
    modules = {
        ".".join(path.relative_to("python").with_suffix("").parts).removesuffix(".__init__"): node
        for path, node in tree.python()
        if package in path.parents
    }
    known = {*modules, "thrifty._native"}
    return {
        name: {*python.imported(node, known)} & modules.keys() - {name}
        for name, node in modules.items()
    }


def in_circles(uses: dict[str, set[str]]) -> list[str]:
    """The modules that can be reached from themselves."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(uses[start])
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += uses[module]
        return seen

    return sorted(module for module in uses if module in reached(module))


def idle_dependencies(tree: Tree) -> Iterator[Breach]:
    """Dependencies that no source names, and shared versions that no crate takes."""
    taken: set[str] = set()
    for crate in tree.crates:
        for name in crate.dependencies("dependencies", "dev-dependencies", "build-dependencies"):
            taken.add(name)
            word = re.compile(rf"\b{name.replace('-', '_')}\b")
            if not any(word.search(source.text) for source in crate.sources):
                yield Breach(str(crate.folder / "Cargo.toml"), f"nothing uses `{name}`")
    shared = tomllib.loads(tree.texts[Path("Cargo.toml")])["workspace"].get("dependencies", {})
    for name in sorted(shared.keys() - taken):
        yield Breach("Cargo.toml", f"no crate takes `{name}`")


def formats(tree: Tree) -> Iterator[Breach]:
    """Every format is described, and every description is named by the code it binds."""
    folder = Path("docs/formats")
    described = {path.name for path in tree.texts if path.parent == folder}
    named: dict[str, Path] = {}
    for path, text in tree.texts.items():
        if str(path) not in SELF:
            for name in re.findall(r"docs/formats/([\w.-]+\.(?:md|json))", text):
                named.setdefault(name, path)
    for name in sorted(described - named.keys()):
        yield Breach(str(folder / name), "nothing refers to this format")
    for name in sorted(named.keys() - described):
        yield Breach(str(named[name]), f"there is no {folder / name}")


RULES = (
    sizes,
    documentation,
    panics,
    words,
    edges,
    circles,
    idle_dependencies,
    formats,
)


def table(tree: Tree) -> str:
    """One line a crate: what was measured."""
    header = "crate|code|tests/code|docs %|median fn|longest fn|median file|longest file"
    rows = [header.split("|"), *map(measures, tree.crates)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)


def measures(crate: Crate) -> list[str]:
    """A crate's line of the table."""
    code = crate.total("code_lines")
    functions = crate.functions() or [0]
    files = [source.length for source in crate.sources if not source.is_test] or [0]
    tests = f"{crate.total('test_lines') / max(1, code):.2f}"
    sizes = f"{median(functions):g} {max(functions)} {median(files):g} {max(files)}"
    return [crate.name, str(code), tests, f"{crate.documented():.0f}", *sizes.split()]


def main() -> int:
    """Applies every rule to the checkout."""
    tree = Tree(Path(__file__).parent.parent)
    breaches = sorted({breach for rule in RULES for breach in rule(tree)})
    print(table(tree))
    for breach in breaches:
        print(breach)
    print(f"house rules: {len(breaches)} broken" if breaches else "house rules: all kept")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
