"""`thrifty.register`: what stands for a value, how it is kept, and what is refused."""

from __future__ import annotations

import array
import collections
import enum
import functools
import operator
import os
import pathlib
import re
import subprocess
import sys
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import thrifty
from thrifty import Cache, NotStorable, UnhashableArgument, _native, task, testing

pytestmark = pytest.mark.usefixtures("home")


class Locked:
    """Nothing can take it apart."""

    def __init__(self, *parts) -> None:
        self.parts, self.lock = parts, threading.Lock()


class Child(Locked):
    pass


class Own(Locked):
    pass


class Grandchild(Own):
    pass


@thrifty.register(Locked)
def locked_digest(value):
    return value.parts


@thrifty.register(Own)
def own_digest(value):
    return "own", *value.parts


@task(cache=Cache(version="1"))
def take(value):
    return None


def same(one, other):
    return take.key(one) == take.key(other)


def test_the_decorator_gives_the_hook_back():
    assert locked_digest(Locked(1)) == (1,)


def test_what_the_hook_gives_stands_for_the_value():
    assert same(Locked(1, [2]), Locked(1, [2]))
    assert not same(Locked(1), Locked(2))
    assert not same(Locked(1), Locked("1"))
    assert not same(Locked(1), (1,))


def test_what_the_hook_gives_can_be_anything_that_has_a_digest():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    assert same(Locked(frame, {"b": 1, "a": {2}}), Locked(frame.copy(), {"a": {2}, "b": 1}))
    assert not same(Locked(frame), Locked(frame.rename(columns={"a": "A"})))
    assert same(Locked(Locked(1)), Locked(Locked(1)))
    assert not same(Locked(Locked(1)), Locked(Locked(2)))


def test_values_are_found_wherever_they_stand():
    for wrap in (
        list,
        tuple,
        lambda v: {"k": v},
        lambda v: Locked(v),
        lambda v: np.array(v, object),
    ):
        assert same(wrap([Locked(1)]), wrap([Locked(1)]))
        assert not same(wrap([Locked(1)]), wrap([Locked(2)]))


def test_classes_that_derive_use_the_nearest_hook_and_stay_themselves():
    assert same(Child(1), Child(1))
    assert not same(Child(1), Locked(1))
    assert not same(Child(1), Child(2))
    assert not same(Own(1), Own(2))
    assert same(Grandchild(1), Grandchild(1))
    key = take.key
    # The base hook would give the same for both, the nearest does not.
    assert len({key(Own("own", 1)), key(Own(1)), key(Grandchild(1)), key(Child(1))}) == 4


class Named:
    def __init__(self, name):
        self.name, self.lock = name, threading.Lock()


class Called:
    def __init__(self, name):
        self.name, self.lock = name, threading.Lock()


class Bound:
    def __init__(self, name):
        self.name, self.lock = name, threading.Lock()

    def identity(self):
        return self.name


class Partial(Bound):
    pass


thrifty.register(Named, digest=operator.attrgetter("name"))
thrifty.register(Called, digest=lambda value: value.name)
thrifty.register(Bound, digest=Bound.identity)
thrifty.register(Partial, digest=operator.methodcaller("identity"))


@pytest.mark.parametrize("kind", [Named, Called, Bound, Partial])
def test_a_hook_is_anything_that_can_be_called(kind):
    assert same(kind("a"), kind("a"))
    assert not same(kind("a"), kind("b"))


def even(value):
    return value.parts if len(value.parts) % 2 == 0 else odd(value)


def odd(value):
    return value.parts if len(value.parts) % 2 == 1 else even(value)


class First(Locked):
    pass


class Second(Locked):
    pass


def test_hooks_that_reach_the_same_code_are_still_two():
    keys = set()
    for hook in (even, odd):
        kind = type("Kind", (Locked,), {"__module__": "nowhere", "__qualname__": "Kind"})
        sys.modules["nowhere"] = sys.modules.get("nowhere") or type(sys)("nowhere")
        sys.modules["nowhere"].Kind = kind
        thrifty.register(kind, digest=hook)
        keys.add(_native.digest(kind(1)))
    assert len(keys) == 2


class Thing(Locked):
    pass


def raises(value):
    raise KeyError("no such part")


def interrupts(value):
    raise KeyboardInterrupt


def endless(value):
    return type(value)(*value.parts)


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (raises, r"raises raised: KeyError: 'no such part'"),
        (lambda value: None, "returned None: TypeError: None would stand for every value"),
        (lambda value: value, "what its digest hook gives leads back to it"),
        (lambda value: [{"k": value}], "what its digest hook gives leads back to it"),
        (endless, "nested deeper than 200 levels"),
        (lambda value: (part for part in value.parts), "generator: it is used up"),
        (lambda value: {"lock": value.lock}, r'"lock"\]: _thread.lock'),
        (lambda value, more: 1, "missing 1 required positional argument"),
    ],
)
def test_a_hook_that_fails_is_named_with_the_place(hook, message):
    kind = type("Thing", (Locked,), {"__module__": __name__, "__qualname__": "Thing"})
    sys.modules[__name__].Thing = kind
    thrifty.register(kind, digest=hook)
    with pytest.raises(UnhashableArgument, match=message) as raised:
        take.key([1, kind(1)])
    text = str(raised.value)
    assert text.startswith("cannot hash value[1]")
    assert f"{__name__}.Thing" in text
    assert 'ignore=("value",)' in text


def test_the_exception_of_a_hook_is_the_cause():
    kind = type("Thing", (Locked,), {"__module__": __name__, "__qualname__": "Thing"})
    sys.modules[__name__].Thing = kind
    thrifty.register(kind, digest=raises)
    with pytest.raises(UnhashableArgument) as raised:
        take.key(kind())
    assert isinstance(raised.value.__cause__, KeyError)


def test_an_interrupt_in_a_hook_stays_one():
    kind = type("Thing", (Locked,), {"__module__": __name__, "__qualname__": "Thing"})
    sys.modules[__name__].Thing = kind
    thrifty.register(kind, digest=interrupts)
    with pytest.raises(KeyboardInterrupt):
        take.key(kind())


def test_the_message_for_other_values_says_that_types_can_be_registered():
    with pytest.raises(UnhashableArgument, match=r"thrifty\.register"):
        take.key(threading.Lock())


class Nobody(enum.Enum):
    A = 1


@pytest.mark.parametrize(
    "kind",
    [int, str, dict, object, type, type(None), type(len), type(lambda: 0)]
    + [np.ndarray, np.float64, np.dtype, pd.DataFrame, pd.Series, pathlib.Path, re.Pattern]
    + [
        enum.Enum,
        functools.partial,
        type("Meta", (type,), {}),
        thrifty.Task,
        thrifty.Handle,
        thrifty.File,
    ],
)
def test_types_with_an_exact_rule_are_refused(kind):
    with pytest.raises(ValueError, match="has an exact rule|have an exact rule|exact rule already"):
        thrifty.register(kind, digest=id)


@pytest.mark.parametrize("kind", [Nobody, collections.deque, array.array, collections.OrderedDict])
def test_other_types_of_the_standard_library_and_derived_ones_can_be_registered(kind):
    fresh = type("Fresh", (kind,), {}) if kind is not Nobody else Nobody
    thrifty.register(fresh, digest=locked_digest)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3,), "register takes a class, not a int"),
        (("text",), "register takes a class, not a str"),
        ((Locked(),), "register takes a class, not a Locked"),
        ((list[int],), "register takes a class, not a GenericAlias"),
    ],
)
def test_what_is_no_class_is_refused(arguments, message):
    with pytest.raises(TypeError, match=message):
        thrifty.register(*arguments, digest=id)


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        ({"digest": 3}, "digest of .*Locked is called with one argument, and a int"),
        ({"dump": id}, "dump and load of .*Locked come together"),
        ({"load": id}, "dump and load of .*Locked come together"),
        ({"dump": id, "load": "x"}, "load of .*Locked is called"),
    ],
)
def test_hooks_that_make_no_sense_are_refused(hooks, message):
    with pytest.raises(TypeError, match=message):
        thrifty.register(Locked, **hooks)


def test_registering_twice_with_other_hooks_is_an_error():
    class Twice:
        pass

    thrifty.register(Twice, digest=even)
    thrifty.register(Twice, digest=even)
    thrifty.register(Twice, dump=even, load=odd)
    with pytest.raises(ValueError, match=rf"Twice has a digest hook already: {__name__}\.even"):
        thrifty.register(Twice, digest=odd)
    with pytest.raises(ValueError, match="Twice has a load hook already"):
        thrifty.register(Twice, dump=even, load=even)


def test_another_lambda_is_another_hook():
    class Twice:
        pass

    thrifty.register(Twice, digest=lambda value: 1)
    with pytest.raises(ValueError, match="Twice has a digest hook already"):
        thrifty.register(Twice, digest=lambda value: 2)


def test_a_function_that_is_defined_anew_takes_the_place_of_the_old_one(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "reloaded_hooks.py"
    text = "import thrifty\nclass T: pass\nKIND = T\ndef hook(value): return {}\n"
    path.write_text(text.format(1))
    import importlib

    module = importlib.import_module("reloaded_hooks")
    kind = module.T
    thrifty.register(kind, digest=module.hook)
    path.write_text(text.format(23))
    importlib.reload(module)
    thrifty.register(kind, digest=module.hook)


# -- what is kept


class Model:
    """Holds an array, and what no pickle takes."""

    def __init__(self, weights, **options) -> None:
        self.weights, self.options, self.lock = weights, options, threading.Lock()


class Bigger(Model):
    pass


@thrifty.register(Model)
def model_digest(model):
    return model.weights, model.options


def model_dump(model):
    return {"weights": model.weights, "options": model.options}


def model_load(parts):
    return Model(parts["weights"], **parts["options"])


thrifty.register(Model, dump=model_dump, load=model_load)


@pytest.mark.parametrize("size", [3, 1_000_000])
def test_a_value_is_kept_without_a_pickle_and_comes_back(size, reopen):
    calls = []

    @task(cache=Cache(version="1", ignore=("size",)))
    def make(size):
        calls.append(size)
        return Model(np.arange(float(size)), rate=0.1)

    first = make(size)
    reopen()
    again = make(size)
    assert calls == [size]
    assert again is not first
    assert again.weights.tolist() == first.weights.tolist()
    assert again.options == first.options
    again.weights[0] = 9.0
    assert make(size).weights[0] == 0.0


def test_parts_of_results_are_kept_each_in_its_way(reopen):
    calls = []

    @task(cache=Cache(version="1"))
    def make():
        calls.append(1)
        return {"model": Model(np.ones(3)), "score": 0.5, "more": [Model(np.zeros(2)), "x"]}

    make()
    reopen()
    again = make()
    assert calls == [1]
    assert again["score"] == 0.5
    assert again["more"][0].weights.tolist() == [0.0, 0.0]


def test_the_record_names_the_codec(tmp_path):
    probe = _native._Probe(str(tmp_path), _native.encoding)
    record = probe.put(Model(np.ones(100_000)))
    assert probe.shape(record) == "registered/1"
    assert probe.get(record).weights.sum() == 100_000


class Outer(Locked):
    pass


def parts_of(value):
    return list(value.parts)


def outer_load(parts):
    return Outer(*parts)


thrifty.register(Outer, dump=parts_of, load=outer_load)


def test_values_within_values_are_kept():
    probe = _native._Probe("outer", lambda value: _native.encoding(repr_of(value)))
    again = probe.get(probe.put(Outer(Model(np.ones(3)), Outer("x"))))
    assert again.parts[0].weights.tolist() == [1.0, 1.0, 1.0]
    assert again.parts[1].parts == ("x",)


def repr_of(value):
    """Something plain that tells the values of the test above apart."""
    match value:
        case Model():
            return ["model", value.weights.tolist()]
        case Locked():
            return [type(value).__name__, [repr_of(part) for part in value.parts]]
    return value


def test_a_result_of_a_class_that_the_hooks_do_not_give_back_is_not_stored():
    calls = []

    @task(cache=Cache(version="1"))
    def make():
        calls.append(1)
        return Bigger(np.ones(3))

    with pytest.warns(
        RuntimeWarning, match=r"Model are not stored: load\(dump\(value\)\) has another digest"
    ) as told:
        make(), make(), make()
    assert len(calls) == 3
    assert len(told) == 1


class Rounded(Locked):
    pass


def number_of(value):
    return value.parts[0]


def itself(value):
    return value


def lock_of(value):
    return value.lock


def class_of(value):
    return [type(value)]


def member_of(value):
    return [Nobody.A, value.parts]


def path_of(value):
    return thrifty.File(__file__)


@pytest.mark.parametrize(
    ("dump", "load", "reason"),
    [
        (raises, Rounded, "dump: KeyError: 'no such part'"),
        (number_of, raises, "load: KeyError: 'no such part'"),
        (itself, itself, "dumped again without end"),
        (lock_of, Rounded, "cannot be stored"),
        (class_of, Rounded, "cannot be stored"),
        (member_of, Rounded, "needs a pickle, or files"),
        (path_of, Rounded, "needs a pickle, or files"),
    ],
)
def test_hooks_that_fail_leave_the_result_to_the_caller(dump, load, reason):
    kind = type("Rounded", (Rounded,), {"__module__": __name__, "__qualname__": "Rounded"})
    thrifty.register(kind, dump=dump, load=load)
    probe = _native._Probe("probe", drawn)
    with pytest.raises(NotStorable, match=reason) as raised:
        probe.put(kind(1.5))
    assert f"{__name__}.Rounded" in str(raised.value) or dump in (lock_of, class_of)

    @task(cache=Cache(version="1"))
    def make():
        return kind(1.5)

    with testing.recorded() as calls:
        assert make().parts == make().parts == (1.5,)
    assert calls.computed == ["make"] * 2


def drawn(value):
    """Values without a digest get one that is never the same, as results do."""
    try:
        return _native.encoding(value)
    except TypeError:
        return b"\x30" + os.urandom(32)


class Lossy(Locked):
    pass


def lossy_digest(value):
    return value.parts


def lossy_dump(value):
    return 0


thrifty.register(Lossy, digest=lossy_digest, dump=lossy_dump, load=Lossy)


def test_hooks_that_disagree_are_told_once_and_store_nothing():
    @task(cache=Cache(version="1"))
    def make(number):
        return Lossy(number)

    with pytest.warns(RuntimeWarning) as told:
        assert [make(1).parts, make(1).parts, make(2).parts] == [(1,), (1,), (2,)]
    assert ["Lossy are not stored" in str(one.message) for one in told] == [True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Nothing was lost of this one.
        assert make(0).parts == (0,)
        with testing.recorded() as calls:
            make(0)
    assert calls.hits == ["make"]


class Spoiled(Locked):
    pass


def spoiling_load(parts):
    first = Spoiled(parts[0].copy())
    parts[0][:] = -1
    return first


thrifty.register(Spoiled, digest=parts_of, dump=parts_of, load=spoiling_load)


def test_load_cannot_change_the_value_that_is_stored():
    @task(cache=Cache(version="1"))
    def make():
        return Spoiled(np.ones(50_000))

    assert make().parts[0].sum() == make().parts[0].sum() == make().parts[0].sum() == 50_000


# -- in programs


LIB = """
import threading
import thrifty
SCALE = 1
class Tokenizer:
    def __init__(self, words):
        self.words, self.lock = words, threading.Lock()
def normal(word):
    return word.lower()
def digest(tokenizer):
    return [normal(word) for word in tokenizer.words]
def dump(tokenizer):
    return list(tokenizer.words)
def load(words):
    return Tokenizer(words[::SCALE])
thrifty.register(Tokenizer, digest=digest, dump=dump, load=load)
"""

MAIN = """
from thrifty import task
import lib
@task
def make():
    print("making")
    return lib.Tokenizer(["A", "b"])
@task
def count(tokenizer):
    print("counting")
    return len(tokenizer.words)
if __name__ == "__main__":
    print(count(make()))
"""


WORKFLOW = """
from thrifty import workflow
@workflow
def both():
    return count(make())
"""


@pytest.mark.parametrize(
    ("before", "after", "printed"),
    [
        ("", "", "2\n"),
        ("return word.lower()", "return word.lower()  # text", "2\n"),
        ("word.lower()", "word.casefold()", "counting\n2\n"),
        ("return list(tokenizer.words)", "return [*tokenizer.words]", "making\n2\n"),
        ("SCALE = 1", "SCALE = -1 * -1", "2\n"),
    ],
    ids=["nothing", "comment", "helper of digest", "dump", "same constant"],
)
def test_the_code_of_hooks_counts(programs, before, after, printed):
    programs.write("lib.py", LIB)
    programs.write("main.py", MAIN)
    assert programs.run("main.py") == "making\ncounting\n2\n"
    assert programs.run("main.py") == "2\n"
    programs.write("lib.py", LIB.replace(before, after) if before else LIB)
    out = programs.run("main.py")
    # The class is code of what makes it; hooks are reached from the class's module only.
    assert out == printed or (out, printed) == ("making\ncounting\n2\n", "counting\n2\n")


@pytest.mark.parametrize(
    ("after", "printed"),
    [("return word.lower()  # text", "2\n"), ("return word.casefold()", "counting\n2\n")],
    ids=["comment", "helper of digest"],
)
def test_the_code_of_hooks_counts_across_hits(programs, after, printed):
    main = MAIN.replace("@task\ndef make", "@task(cache='1')\ndef make").replace(
        "cache='1'", "cache=V"
    )
    main = main.replace(
        "import lib", "import lib\nfrom thrifty import Cache\nV = Cache(version='1')", 1
    )
    main = main.replace("if __name__", WORKFLOW + "if __name__")
    main = main.replace("print(count(make()))", "print(both())")
    programs.write("lib.py", LIB)
    programs.write("main.py", main)
    assert programs.run("main.py") == "making\ncounting\n2\n"
    assert programs.run("main.py") == "2\n"
    programs.write("lib.py", LIB.replace("return word.lower()", after))
    # What is made is not looked at: it is stored, and the workflow hands it on as it is.
    assert programs.run("main.py") == printed


def test_a_value_whose_type_is_registered_no_longer_is_a_miss(programs):
    programs.write("lib.py", LIB)
    programs.write("main.py", MAIN)
    programs.run("main.py")
    programs.write(
        "lib.py", LIB.replace("thrifty.register(", "print(end=str()) or (lambda *a, **k: 0)(")
    )
    main = MAIN.replace("print(count(make()))", "print(make().words)")
    programs.write("main.py", main)
    assert programs.run("main.py") == "making\n['A', 'b']\n"


def in_workers(before: str = "") -> str:
    """The program with its operations in worker processes."""
    run = f"{before}print(both.with_options(executor='processes')())"
    return MAIN.replace("if __name__", WORKFLOW + "if __name__").replace(
        "print(count(make()))", run
    )


def test_worker_processes_import_the_module_that_registers(programs):
    programs.write("lib.py", LIB)
    programs.write("main.py", in_workers())
    assert sorted(programs.run("main.py").split()) == ["2", "counting", "making"]
    assert programs.run("main.py") == "2\n"


def test_a_worker_without_the_hooks_never_gives_another_value(programs):
    programs.write("lib.py", LIB.replace("thrifty.register(", "def hooks(): thrifty.register("))
    programs.write("main.py", in_workers("lib.hooks(); "))
    process = programs.start("main.py")
    out, err = process.communicate(timeout=120)
    # The worker can neither hash nor send what it made: an error says so, or the value is right.
    assert out.split()[-1:] == ["2"] or "Tokenizer" in err


# -- what packages ship


def install(site: pathlib.Path, name: str, *, version="1.0", entry: str, modules: dict[str, str]):
    """A distribution as an installer would leave it."""
    package = site / name
    package.mkdir(parents=True, exist_ok=True)
    for module, text in modules.items():
        (package / f"{module}.py").write_text(text)
    for old in site.glob(f"{name}-*.dist-info"):
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    metadata = site / f"{name}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (metadata / "RECORD").write_text("".join(f"{name}/{module}.py,,\n" for module in modules))
    (metadata / "entry_points.txt").write_text(f"[thrifty.types]\n{entry}\n")


TYPES = """
import threading
class Thing:
    def __init__(self, name):
        self.name, self.lock = name, threading.Lock()
"""
SUPPORT = """
import thrifty
print("supporting")
def digest(thing):
    return thing.name
def register():
    from gadgets.types import Thing
    thrifty.register(Thing, digest=digest, dump=lambda thing: thing.name, load=Thing)
"""
MODULES = {"__init__": "", "types": TYPES, "support": SUPPORT}
GADGETS = """
import sys
sys.path.insert(0, "site-packages")
from thrifty import task
assert "importlib.metadata" not in sys.modules and "thrifty._registry" not in sys.modules
@task
def make():
    print("making")
    from gadgets.types import Thing
    return Thing("a")
@task
def name(thing):
    print("naming")
    return thing.name
"""


def test_a_package_ships_the_hooks_of_its_types(programs):
    site = programs.directory / "site-packages"
    install(site, "gadgets", entry="gadgets = gadgets.support:register", modules=MODULES)
    programs.write("main.py", GADGETS + "print(name(make()), name(make()))\n")
    assert programs.run("main.py") == "making\nsupporting\nnaming\na a\n"
    # The hit loads a value although nothing has imported its module.
    assert programs.run("main.py") == "supporting\na a\n"


def test_another_version_of_the_package_is_another_hook(programs):
    site = programs.directory / "site-packages"
    install(site, "gadgets", entry="gadgets = gadgets.support:register", modules=MODULES)
    programs.write("main.py", GADGETS + "print(name(make()))\n")
    programs.run("main.py")
    install(
        site, "gadgets", version="2.0", entry="gadgets = gadgets.support:register", modules=MODULES
    )
    assert "naming" in programs.run("main.py")


def test_no_entry_point_is_loaded_for_other_values(programs):
    site = programs.directory / "site-packages"
    install(site, "gadgets", entry="gadgets = gadgets.support:register", modules=MODULES)
    programs.write(
        "main.py",
        GADGETS
        + "import dataclasses, decimal\n@dataclasses.dataclass\nclass Here:\n    name: str\n"
        + "print(name(Here('b')), name.key(decimal.Decimal(1)) != '')\n",
    )
    assert programs.run("main.py") == "naming\nb True\n"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("gadgets = gadgets.nothing:register", "ModuleNotFoundError"),
        ("gadgets = gadgets.support:nothing", "AttributeError"),
        ("gadgets = gadgets.support:SUPPORT", "AttributeError"),
        ("gadgets = gadgets.types:Thing", "TypeError"),
    ],
)
def test_a_broken_entry_point_is_one_warning(programs, entry, reason):
    site = programs.directory / "site-packages"
    modules = {**MODULES, "types": TYPES.replace("threading.Lock()", "None")}
    install(site, "gadgets", entry=entry, modules=modules)
    programs.write(
        "main.py",
        GADGETS + "from gadgets.types import Thing\nprint(name(Thing('a')), name(Thing('b')))\n",
    )
    process = programs.start("main.py")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.endswith("naming\nnaming\na b\n")
    assert err.count("RuntimeWarning") == 1
    assert f"{entry} of gadgets 1.0 in the group thrifty.types failed: {reason}" in err


def test_what_the_program_registered_itself_stays(programs):
    site = programs.directory / "site-packages"
    install(site, "gadgets", entry="gadgets = gadgets.support:register", modules=MODULES)
    programs.write(
        "main.py",
        GADGETS
        + "import thrifty\nfrom gadgets.types import Thing\n"
        + "thrifty.register(Thing, digest=lambda thing: 1)\n"
        + "print(name.key(Thing('a')) == name.key(Thing('b')))\n",
    )
    assert programs.run("main.py") == "True\n"


def test_importing_thrifty_imports_nothing_of_this():
    code = "import sys, thrifty; print('thrifty._registry' in sys.modules, 'importlib.metadata' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False False\n"
