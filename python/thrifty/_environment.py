"""Where this process computes: what no key sees, and a check compares."""

from __future__ import annotations

import os
import sys

from thrifty import _native


def facts() -> dict[str, str]:
    """Versions and the like, by name: of the interpreter, and of what is loaded by now.

    >>> facts()["python"].startswith("3.")
    True
    """
    system = os.uname()
    found = {
        name: version
        for name, version in map(_version_of, list(sys.modules))
        if version is not None and name not in sys.stdlib_module_names
    }
    found["python"] = sys.version.split()[0]
    found["platform"] = f"{system.sysname} {system.release} {system.machine}"
    found["cores"] = str(os.cpu_count())
    found["thrifty"] = _native.__version__
    return found


def _version_of(name: str) -> tuple[str, str | None]:
    # Asked of its dict: a module may import when it is asked for an attribute it has not.
    attributes = getattr(sys.modules.get(name), "__dict__", None)
    is_top = "." not in name and not name.startswith("_")
    version = attributes.get("__version__") if is_top and attributes else None
    return name, version if version.__class__ is str else None
