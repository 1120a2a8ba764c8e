"""Stand-ins for the libraries of CUDA that torch is linked with, to load it without gigabytes.

    python tools/torch_stand_ins.py ENVIRONMENT FOLDER

Reads which libraries, versions and symbols the torch of an environment wants, and compiles
libraries of these names into the folder. Each function says that there is no device. Good for
tests on a processor alone, with ``LD_LIBRARY_PATH=FOLDER``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

FOREIGN = re.compile(r"lib(?:cu|nv|nccl)")
"""Names of libraries that are not torch's own."""

UNVERSIONED = {
    "nccl": "libnccl.so.2",
    "cuFile": "libcufile.so.0",
    "cusparseLt": "libcusparseLt.so.0",
    "cu": "libcuda.so.1",
}
"""By their beginning, symbols that do not say which library they are from."""

NO_DEVICE = 100
"""The code by which CUDA says so."""

Wanted = defaultdict[str, defaultdict[str, set[str]]]
"""By library and version, the symbols; the version is empty where there is none."""


def read(option: str, library: Path) -> str:
    """What ``readelf`` says."""
    command = ["readelf", "--wide", option, str(library)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wanted(folder: Path) -> Wanted:
    """What the libraries of torch want from libraries that are not there."""
    libraries = sorted(folder.glob("*.so*"))
    here = {library.name for library in libraries}
    found: Wanted = defaultdict(lambda: defaultdict(set))
    owners: dict[str, str] = {}
    for library in libraries:
        for name in re.findall(r"NEEDED\).*\[(.*)\]", read("--dynamic", library)):
            if FOREIGN.match(name) and name not in here:
                _ = found[name]
        owners |= versions(library, here)
    for library in libraries:
        for symbol in undefined(library):
            name, _, version = symbol.partition("@")
            owner = owners.get(version) if version else unversioned(name)
            if owner is not None:
                found[owner][version].add(name)
    return found


def versions(library: Path, here: set[str]) -> dict[str, str]:
    """The foreign libraries that versions of symbols belong to."""
    owners: dict[str, str] = {}
    owner = ""
    for line in read("--version-info", library).splitlines():
        if named := re.search(r"File: (\S+)", line):
            owner = named[1]
        elif FOREIGN.match(owner) and owner not in here:
            owners |= dict.fromkeys(re.findall(r"Name: (\S+)\s+Flags", line), owner)
    return owners


def undefined(library: Path) -> list[str]:
    """The symbols that a library expects of others."""
    fields = [line.split() for line in read("--dyn-syms", library).splitlines()]
    return [each[7] for each in fields if len(each) > 7 and each[6] == "UND"]


def unversioned(symbol: str) -> str | None:
    """The library of a symbol without a version."""
    return next((owner for start, owner in UNVERSIONED.items() if symbol.startswith(start)), None)


def compile_library(target: Path, versions: dict[str, set[str]]) -> None:
    """A library with these symbols."""
    names = sorted({name for symbols in versions.values() for name in symbols})
    source = target.with_suffix(".c")
    source.write_text("".join(f"int {name}(void) {{ return {NO_DEVICE}; }}\n" for name in names))
    command = ["cc", "-shared", "-fPIC", "-fno-builtin", "-w", "-o", str(target), str(source)]
    command.append(f"-Wl,-soname,{target.name}")
    script = target.with_suffix(".map")
    nodes = [
        f"{version} {{ global: {'; '.join(sorted(symbols))}; }};\n"
        for version, symbols in versions.items()
        if version and symbols
    ]
    if nodes:
        script.write_text("".join(nodes))
        command.append(f"-Wl,--version-script={script}")
    subprocess.run(command, check=True)


def main(environment: str, folder: str) -> None:
    """Compiles them all; none where torch wants none."""
    places = list(Path(environment).glob("lib/python*/site-packages/torch/lib"))
    Path(folder).mkdir(parents=True, exist_ok=True)
    for place in places:
        for name, symbols in wanted(place).items():
            compile_library(Path(folder) / name, symbols)


if __name__ == "__main__":
    main(*sys.argv[1:])
