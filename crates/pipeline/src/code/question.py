"""Says which packages stand behind the names given as arguments, and what that answer stands on.

Lines of `place` name what changes when packages do; of `package`, a name and what is found; of
`root`, a directory with modules that belong to no installed distribution.
"""

import glob
import os
import sys

sys.path[:] = [place for place in sys.path if place not in ("", os.getcwd())]

import hashlib
import importlib.metadata
import importlib.util
import site


def say(*words):
    print(*words, sep="\t")


def shown(distribution):
    """Name and version; and what was installed, where the version does not tell: from a directory."""
    built = ""
    if distribution.read_text("direct_url.json"):
        files = (distribution.read_text("RECORD") or "").splitlines()
        files = sorted(line for line in files if "sha256=" in line)
        built = " " + hashlib.sha256("\n".join(files).encode()).hexdigest()
    return f"{distribution.metadata['Name']} {distribution.version}{built}"


def roots_of(name):
    """The directories in which a module is found, and its file if it is one."""
    try:
        spec = importlib.util.find_spec(name)
    except Exception:
        return [], None
    if spec is None:
        return [], None
    if spec.submodule_search_locations is not None:
        return [os.path.dirname(place) for place in spec.submodule_search_locations], None
    if spec.has_location and spec.origin:
        return [os.path.dirname(spec.origin)], spec.origin
    return [], None


def is_installed(root):
    parts = root.replace("\\", "/").split("/")
    return "site-packages" in parts or "dist-packages" in parts or glob.glob(root + "/*.dist-info")


def files_of(root, name, origin):
    """The files of a module that belongs to no distribution, with the directories they are in."""
    if origin:
        yield origin
        return
    for directory, directories, files in os.walk(os.path.join(root, name)):
        directories[:] = sorted(one for one in directories if one != "__pycache__")
        say("place", directory)
        yield from (os.path.join(directory, file) for file in sorted(files))


def lone(name, root, origin):
    """What lies among the packages and belongs to none of them, by its bytes."""
    content = hashlib.sha256()
    for file in files_of(root, name, origin):
        say("place", file)
        with open(file, "rb") as opened:
            content.update(os.path.relpath(file, root).encode() + hashlib.sha256(opened.read()).digest())
    return f"files {content.hexdigest()}"


def tell(name, distributions):
    roots, origin = roots_of(name)
    homes = {os.path.realpath(one.locate_file("")) for one in distributions}
    found = [shown(one) for one in distributions]
    if roots:
        real = {os.path.realpath(root) for root in roots}
        found = [
            shown(one)
            for one in distributions
            if os.path.realpath(one.locate_file("")) in real or one.read_text("RECORD") is None
        ]
    for root in roots:
        if not is_installed(root):
            say("root", root)
        elif os.path.realpath(root) not in homes:
            found.append(lone(name, root, origin))
    say("package", name, ", ".join(sorted(set(found))) or ("in a directory" if roots else "not installed"))


for place in [*sys.path, site.getusersitepackages()]:
    say("place", place)
    for linked in sorted(glob.glob(glob.escape(place) + "/*.pth")):
        say("place", linked)
say("package", "python", "%d.%d" % sys.version_info[:2])
names = sys.argv[1:]
if "*" in names:
    names.remove("*")
    every = {one.metadata["Name"]: shown(one) for one in importlib.metadata.distributions()}
    for name in sorted(every):
        say("package", name, every[name])
names = [name for name in names if name not in sys.stdlib_module_names]
providers = importlib.metadata.packages_distributions() if names else {}
for name in names:
    tell(name, [importlib.metadata.distribution(one) for one in providers.get(name, [])])
