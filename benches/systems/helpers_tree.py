"""A package whose one function reaches many helpers, written out to measure fingerprints on."""

from __future__ import annotations

import pathlib

PER_MODULE = 20

HELPER = '''

def helper_{number}(rows, scale=FACTOR_{constant}):
    """Helper {number}: some arithmetic, a branch, a comprehension and two other helpers."""
    total = sum(row * scale for row in rows if row)
    if total > {number}:
        total -= len(rows)  # so that the branch does something
    pairs = {{str(at): row for at, row in enumerate(rows)}}
    return total + len(pairs) + LIMIT{calls}
'''

CLASS = '''

class Part{module}:
    """Holds rows."""

    weight = {module}

    def __init__(self, rows):
        self.rows = list(rows)

    def total(self):
        return sum(self.rows) * self.weight
'''


def write(directory: pathlib.Path, helpers: int = 200) -> str:
    """Writes the package `reached` below a directory; gives the module whose `run` reaches all."""
    package = directory / "reached"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    modules = (helpers + PER_MODULE - 1) // PER_MODULE
    for module in range(modules):
        numbers = range(module * PER_MODULE, min(helpers, (module + 1) * PER_MODULE))
        text = f"from . import part_{(module + 1) % modules} as after\n\nLIMIT = {module}\n"
        text += "".join(f"FACTOR_{constant} = {constant}.5\n" for constant in range(4))
        for number in numbers:
            calls = f" + helper_{number - 1}(rows)" if number - 1 in numbers else ""
            other = (number + PER_MODULE) % helpers
            calls += f" + after.helper_{other}(rows)" if modules > 1 and number % 5 == 0 else ""
            text += HELPER.format(number=number, constant=number % 4, calls=calls)
        text += CLASS.format(module=module)
        (package / f"part_{module}.py").write_text(text, encoding="utf-8")
    lines = [f"from . import part_{module}" for module in range(modules)]
    lines += ["", "", "def run(rows=(1, 2)):", '    """Reaches every helper."""', "    total = 0"]
    for number in range(helpers):
        lines.append(f"    total += part_{number // PER_MODULE}.helper_{number}(rows)")
    parts = " + ".join(f"part_{module}.Part{module}(rows).total()" for module in range(modules))
    lines += [f"    return total + {parts}", ""]
    (package / "entry.py").write_text("\n".join(lines), encoding="utf-8")
    return "reached.entry"
