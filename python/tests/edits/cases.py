"""The edits, and which tasks each of them makes run again."""

from __future__ import annotations

from edits.changes import (
    Case,
    Edit,
    append,
    compiled,
    each_file,
    every,
    formatted,
    move,
    prepend,
    remove,
    sub,
    swap,
    touched,
    touched_file,
    with_comments,
    with_windows_line_ends,
    without_comments_and_docstrings,
)

CASES: list[Case] = []


def reruns(tree: str, name: str, tasks: str, *edits: Edit, **options) -> None:
    """These tasks run again and give something else; all others are hits."""
    CASES.append(Case(tree, name, frozenset(tasks.split()), edits, **options))


def keeps(tree: str, name: str, *edits: Edit, **options) -> None:
    """Every task is a hit."""
    CASES.append(Case(tree, name, frozenset(), edits, **options))


def shop(file: str, name: str, tasks: str, old: str, new: str, **options) -> None:
    """An edit of one module of the package."""
    reruns("package", name, tasks, sub(f"src/shop/{file}.py", old, new), **options)


# What changes, file by file.

shop("steps", "own body", "names", "return word, LIMIT", "return LIMIT, word")
shop("steps", "own constant", "names", "LIMIT = 10", "LIMIT = 11")
shop("steps", "constant of another type", "names", "LIMIT = 10", "LIMIT = 10.0")
shop("steps", "body of a local import", "local_imports", "return fee,", "return -fee,")
shop("steps", "default of a task", "own_default", "partial(max, 3)", "partial(max, 2)")
shop("steps", "function in a default of a task", "own_default", "partial(max, 3)", "partial(min, 3)")
shop("steps", "value in a default", "protocols", "Order(1.0, 1)", "Order(1.0, 5)")
shop("steps", "import of another helper", "aliases comprehensions", "tidy, weight as", "tidy, strip as")
shop("steps", "dotted import of another module", "local_imports", "return fee, shop.mixins.DIGITS", "return fee, shop.settings.BASE_FEE")
shop("steps", "alias of a function of Python", "aliased", "floor as near", "ceil as near")
shop("steps", "function of another module of Python", "aliased", "from math import sqrt", "from cmath import sqrt")
shop("steps", "alias of a module of Python", "aliased", "import copy as codec", "import pickle as codec", silent=True)
shop("steps", "name of another module of an installed package", "aliased", "from gauge.deep import size", "from gauge.other import size")
shop("steps", "builtin under a name of the module", "aliased", "largest = max", "largest = min")
shop("functional", "builtin in a partial", "closures", "partial(pow, 2, 5)", "partial(max, 2, 5)")
shop("functional", "builtin in a cell", "closures", "make(3, square)", "make(3, abs)")
shop("steps", "builtin for a helper", "nesting", "return functional.nested(3)", "return abs(3)")
shop("steps", "builtin shadowed", "generators special_methods arguments own_default aliased", "LIMIT = 10\n", "LIMIT = 10\nmax = min\nlist = tuple\n")

shop("cleaning", "helper", "names package_name", "lowered = text.lower()", "lowered = text.upper()")
shop("cleaning", "transitive helper", "names attributes package_name", 'NOISE.sub("", text)', 'NOISE.sub("-", text)')
shop("cleaning", "constant of a helper", "names package_name", "SCALE = 2", "SCALE = 3")
shop("cleaning", "object with a digest", "names attributes package_name", '"[^a-z]+"', '"[^a-y]+"')
shop("cleaning", "function behind lru_cache", "aliases comprehensions", "len(text) + 1", "len(text) + 2")
shop("cleaning", "recursive function", "recursive", "return 1 + max(", "return 2 + max(")
shop("cleaning", "mutual recursion", "recursive", "return True if n", "return 1 if n")
shop("cleaning", "decorator taken away", "aliases comprehensions", "@lru_cache\n", "", silent=True)
shop("cleaning", "helper made conditional", "names attributes package_name", "def strip(text):", "def strip(text):\n    text = text or 'x'", silent=True)
shop("cycle_a", "import cycle, near side", "cycles", "+ 1", "+ 3")
shop("cycle_b", "import cycle, far side", "cycles", "+ 2", "+ 3")

shop("settings", "float literal", "literals", "TAX = 0.19", "TAX = 0.07")
shop("settings", "literal by arithmetic", "literals local_imports", "BASE_FEE = 3", "BASE_FEE = 4")
shop("settings", "literal of a table", "literals", '"north": 1', '"north": 5')
shop("settings", "computed constant", "computed", "level * level for", "level + level for")
shop("settings", "constant that another is computed of", "computed", "LEVELS = [1, 2, 3]", "LEVELS = [1, 2, 5]")
shop("settings", "item set after the binding", "computed", 'LIMITS["d"] = 40', 'LIMITS["d"] = 41')
shop("settings", "unpacked targets", "computed", "10, 20", "11, 20")
shop("settings", "function that makes a constant", "computed", "return 4", "return 5")
shop("settings", "constant by its expression", "valueless", '_Channel("web")', '_Channel("net")')
shop("settings", "class of a constant by its expression", "valueless", "self.name = name", "self.name = name + '!'")
shop("settings", "literal bound again", "literals", "TAX = 0.19", "TAX = 0.19\nTAX = 0.2")
shop("settings", "literal changed by a function at import", "literals", "TAX = 0.19", "TAX = 0.19\n\n\ndef _set():\n    global TAX\n    TAX = 0.3\n\n\n_set()")
shop("settings", "literal changed through globals", "literals", "TAX = 0.19", "TAX = 0.19\nglobals()['TAX'] = 0.4")
shop("settings", "literal from an environment that is not there", "literals", "TAX = 0.19", "TAX = float(os.environ.get('NO_SUCH_VARIABLE', 0.5))")

MODELS = "classes properties annotated"
shop("models", "method", MODELS, "self.slope * x + self.bias", "self.slope * x - self.bias")
shop("models", "method of a base", MODELS, "self.fit(x) + self.step", "self.fit(x) - self.step")
shop("models", "attribute of a class", MODELS, "slope = 3", "slope = 4")
shop("models", "attribute of a base", MODELS, "step: ClassVar[int] = 1", "step: ClassVar[int] = 2")
shop("models", "property", MODELS, "self.slope + 100", "self.slope + 200")
shop("models", "static method", MODELS, "return 1000", "return 1001")
shop("models", "class method", MODELS, "cls(bias=cls.unit())", "cls(bias=-cls.unit())")
shop("models", "call operator", MODELS, "self.run(x) + 5", "self.run(x) + 6")
shop("models", "init subclass", MODELS, '"model " + cls', '"Model " + cls')
shop("models", "init", MODELS, "self.bias = bias", "self.bias = bias + 1")
shop("models", "default of init", MODELS, "bias=1", "bias=2")
shop("models", "base of a class", MODELS, "class Linear(Rounded, Model)", "class Linear(Model, Rounded)", silent=True)
shop("mixins", "mixin of another module", MODELS, "round(x, DIGITS)", "round(x, DIGITS) + 1")
shop("mixins", "constant of a mixin", f"{MODELS} local_imports", "DIGITS = 1", "DIGITS = 0")
shop("models", "descriptor", "descriptors", "abs(value)", "value")
shop("models", "metaclass", "metaclasses", "made.extra = 11", "made.extra = 12")
shop("models", "default of a field", "dataclasses protocols", "amount: int = 2", "amount: int = 3")
shop("models", "factory of a field", "dataclasses protocols", '["new"]', '["old"]')
shop("models", "order of fields", "dataclasses protocols", "    price: float\n    amount: int = 2\n", "    amount: int = 2\n    price: float = 1.0\n")
shop("models", "method of a data class", "dataclasses protocols", "self.price * self.amount", "self.price + self.amount")
shop("models", "decorator of a data class", "dataclasses protocols", "@dataclass\nclass Order", "@dataclass(kw_only=False)\nclass Order", silent=True)
shop("models", "member of an enumeration", "enums", "BLUE = 2\n\n", "BLUE = 3\n\n")
shop("models", "property of an enumeration", "enums", "self.value * 10", "self.value * 20")
shop("models", "flag", "enums", "    B = 2", "    B = 4")
shop("models", "default of a named tuple", "named_tuples", "y: int = 6", "y: int = 7")
shop("models", "field of a named tuple", "named_tuples", "x: int\n", "u: int\n")
shop("models", "named tuple by a call", "named_tuples", '"left right"', '"left middle"')
shop("models", "default of a named tuple by a call", "named_tuples", "defaults=[8]", "defaults=[9]")
shop("models", "method through an annotated attribute", "annotated", "self.model.fit(2)", "self.model.fit(3)")
shop("models", "iterator", "special_methods", "yield from range(self.count)", "yield from range(self.count + 1)")
shop("models", "context manager", "special_methods", "return self.count\n\n    def __exit__", "return -self.count\n\n    def __exit__")
shop("models", "getattr of a class", "special_methods", '"no " + name', '"none " + name')
shop("models", "new method of a class", "special_methods", "    def __enter__", "    def __len__(self):\n        return 9\n\n    def __enter__", silent=True)

shop("registry", "registered function", "registries", "return x * 2", "return x * 5")
shop("registry", "argument of a registering decorator", "registries", "weight=2", "weight=3")
shop("registry", "default of a registering decorator", "registries", "*, weight=1", "*, weight=7", silent=True)
shop("registry", "function in a table", "tables", "return x + 1", "return x + 3")
shop("registry", "table itself", "tables", '"add": add', '"add": drop')
shop("registry", "nested table", "tables", "[drop])", "[add])")
shop("registry", "singledispatch: implementation", "dispatches", '"integer"', '"number"')
shop("registry", "singledispatch: default", "dispatches", '"something"', '"nothing"')
shop("registry", "singledispatch: registered for a class", "dispatches", "@show.register(str)", "@show.register(bytes)")
shop("registry", "singledispatch: new implementation", "dispatches", "@show.register(str)", "@show.register(type(None))\ndef _none(value):\n    return 'none'\n\n\n@show.register(str)")
shop("plugins/csv_export", "function that another module registers", "plugins", '"{value};"', '"{value},"')
shop("plugins/json_export", "registered through the module", "plugins", "[value]", "(value, 1)")
shop("registry", "function that looks things up", "plugins", "exporters[kind](value)", "exporters[kind](value) * 2")

shop("decorators", "decorator of the project", "decorated", "* FACTOR", "* FACTOR + 1")
shop("decorators", "constant of a decorator", "decorated", "FACTOR = 10", "FACTOR = 11")
shop("decorators", "decorator without wraps", "decorated", "function(*args) - 1", "function(*args) - 2")
shop("decorators", "argument of a decorator", "decorated", "AMOUNT = 7", "AMOUNT = 8")
shop("decorators", "class as a decorator", "decorated", "self.function(*args) * 2", "self.function(*args) * 3")
shop("decorators", "decorated function", "decorated", "return x + 1\n", "return x + 5\n")
shop("decorators", "function below a class", "decorated", "return x + 3", "return x + 5")
shop("decorators", "function below a decorator that gives it back", "decorated", "return x + 4", "return x + 5")
shop("decorators", "order of decorators", "decorated", "@scaled\n@plus(AMOUNT)", "@plus(AMOUNT)\n@scaled")
shop("decorators", "decorator taken off", "decorated", "@bare\n", "")
shop("decorators", "decorator of a class", "class_decorators", '"title of "', '"Title of "')
shop("decorators", "method of a decorated class", "class_decorators", "return 1\n", "return 2\n")

shop("functional", "value in a cell", "closures", "make(3, square)", "make(4, square)")
shop("functional", "function in a cell", "closures", "make(3, square)", "make(3, cube)")
shop("functional", "function that a cell holds", "closures", "return x * x\n", "return x * x + 1\n")
shop("functional", "inner function of a factory", "closures", "hook(x) * n + scale", "hook(x) * n - scale")
shop("functional", "computed default of an inner function", "closures", "scale=n * 2", "scale=n * 3")
shop("functional", "argument of a partial", "closures", "partial(pow, 2, 5)", "partial(pow, 2, 6)")
shop("functional", "function of a partial", "closures", "partial(square, 5)", "partial(cube, 5)")
shop("functional", "lambda", "lambdas", "shift = lambda x: x + 1", "shift = lambda x: x + 9")
shop("functional", "first of two lambdas on a line", "lambdas one_lambda", "lambda x: x + 2", "lambda x: x + 3")
shop("functional", "second of two lambdas on a line", "lambdas", "lambda x: x - 2", "lambda x: x - 3")
shop("functional", "method of a text", "methods_of_values", '"a-b"', '"a-c"')
shop("functional", "constant as a default", "defaults starred", "RATE = 2", "RATE = 3")
shop("functional", "keyword default", "defaults starred", "y=4", "y=5")
shop("functional", "mutable default", "defaults starred", "z=[5]", "z=[6]")
shop("functional", "function as a default", "defaults", "hook=cube", "hook=square")
shop("functional", "function passed as an argument", "arguments defaults", "x * x * x", "x * x + x")
shop("functional", "function that calls its argument", "arguments", "return function(x)", "return function(x) + 1")
shop("functional", "generator", "generators", "yield from (2, 3)", "yield from (2, 4)")
shop("functional", "coroutine", "asynchronous", "return x + 1\n\n\nasync def stream", "return x + 2\n\n\nasync def stream")
shop("functional", "asynchronous generator", "asynchronous", "for i in range(3)", "for i in range(4)")
shop("functional", "asynchronous comprehension", "asynchronous", "async for i in stream()]", "async for i in stream() if i]")
shop("functional", "pattern", "matches", '{"kind": "a", **rest}', '{"kind": "b", **rest}')
shop("functional", "guard of a pattern", "matches", "if first > 1", "if first > 2")
shop("functional", "capture of a pattern", "matches", "[first, *_]", "[*_, first]", silent=True)
shop("functional", "condition of a comprehension", "comprehensions", "for size in rows if size]", "for size in rows if size > 1]")
shop("functional", "scope of a comprehension", "comprehensions", "found = [size for size in rows if size]", "found = [size for other in rows if other]")
shop("functional", "nested function", "nesting", "result = value + extra", "result = value - extra")
shop("functional", "default of a nested function", "nesting", "extra=1", "extra=2")
shop("functional", "assignment expression", "statements", "(y := x + 1) > 1", "(y := x + 1) > 2")
shop("functional", "caught exception", "statements", "except ZeroDivisionError as", "except ArithmeticError as", silent=True)
shop("functional", "kind of a parameter", "statements", "def several(a, /, b=1", "def several(a, b=1", silent=True)
shop("functional", "keyword parameter renamed", "statements", "*rest, c=2, **more):\n    total = a + b + sum(rest) + c", "*rest, e=2, **more):\n    total = a + b + sum(rest) + e")
shop("functional", "text of a message", "texts", 'f"told {x}"', 'f"said {x}"', silent=True)
shop("functional", "attribute of a function", "function_attributes", "configured.factor = 3", "configured.factor = 4")

shop("functional", "docstring that is read", "described", "Doubles.", "Makes it double.")
shop("functional", "annotation that is read", "described", "x: int) -> str", "x: float) -> str")

shop("compat", "branch that runs", "conditions", 'return "/"', 'return ":"')
shop("compat", "fallback of an import", "conditions", "return x + 1", "return x + 2")
shop("compat", "constant under a condition", "conditions", "NEWLINE = 1", "NEWLINE = 3")
shop("compat", "value of a failed import", "conditions", "impl = None", "impl = 1")
shop("compat", "function with an import that never happens", "shadowed", "return 5", "return 6")

shop("star_one", "name behind a star", "local_star", "return 1", "return 4")
shop("star_one", "other name behind a star", "local_star", "return 2", "return 4")
shop("star_two", "name that a second star lists", "local_star", "return 20", "return 21")
shop("star_two", "list of names of a star", "local_star", '["extra"]', '["extra", "chosen"]')
shop("stars", "order of stars", "local_star", "from .star_two import *", "from .star_two import *\nfrom .star_two import chosen")
shop("lazy_home", "function behind a lazy name", "lazily", "return 30", "return 31")
shop("lazy", "getattr of a module", "lazily", "return getattr(module, name)", "return getattr(module, name) or None", silent=True)
shop("__init__", "getattr of a package", "package_name", '"EUR"', '"USD"')
shop("__init__", "name that a package passes on", "package_name", "from .cleaning import tidy", "from .cleaning import unrelated as tidy")
shop("patches", "function put in the place of another", "patched", "return 2", "return 5")
shop("patches", "method put in the place of another", "patched patched_class", "return 3", "return 5")
shop("patches", "attribute put in the place of another", "patched patched_class", "dict(a=4)", "dict(a=6)")
shop("patches", "lambda put in the place of another", "patched patched_class", "lambda self: 5", "lambda self: 6")

# What is installed, and what the cache is told.
reruns("package", "upgrade of a package", "installed aliased", move("site-packages/gauge-1.0.dist-info", "site-packages/gauge-1.1.dist-info"), sub("site-packages/gauge/__init__.py", "x + 1", "x + 2"))
reruns("package", "editable package", "editable", sub("editable/src/rates/__init__.py", "CONVERSION = 3", "CONVERSION = 4"))
reruns("package", "version of a named package", "with_packages", move("site-packages/rates-0.1.dist-info", "site-packages/rates-0.2.dist-info"), sub("site-packages/rates-0.2.dist-info/METADATA", "Version: 0.1", "Version: 0.2"), silent=True)
reruns("package", "named variable", "with_env", variables={"SHOP_MODE": "other"}, silent=True)
reruns("package", "variable that is read", "environment", variables={"SHOP_REGION": "north"})
reruns("package", "file behind a path", "file_behind_a_path", sub("data/notes.txt", "notes", "other notes"))
reruns("package", "file in a directory that is listed", "listing", append("data/new.txt", "new"))
reruns("package", "function that reads a file", "file_behind_a_path", sub("src/shop/settings.py", "return file.read()", "return file.read().upper()"))
keeps("package", "file of another time behind a path", touched_file("data/notes.txt"))
keeps("package", "file that is not read", sub("pyproject.toml", "1.0", "1.1"))
reruns("package", "named file", "with_files", sub("data/prices.json", "1", "2"))
reruns("package", "named source", "with_sources", sub("data/kernel.cu", "{ }", "{ return; }"))
shop("steps", "salt", "with_salt", 'salt="blue"', 'salt="red"', silent=True)
shop("steps", "version", "with_version", 'version="1"', 'version="2"', silent=True)

# Newer syntax.
reruns("package", "type parameter", "generators", sub("src/shop/functional.py", "def numbers():", "def numbers[T: int]():"), silent=True, needs=(3, 12))
keeps("package", "unused type alias", append("src/shop/functional.py", "\n\ntype Number = int | float\n"), needs=(3, 12))

# What does not change what runs.
STEPS, CLEANING, SETTINGS, FUNCTIONAL, CLASSES = (
    f"src/shop/{name}.py" for name in ("steps", "cleaning", "settings", "functional", "models")
)
keeps("package", "nothing")
keeps("package", "comment", sub(STEPS, "# a comment", "# another comment"))
keeps("package", "comment at the end of a line", sub(CLEANING, "# the case says nothing", "# it says nothing"))
keeps("package", "docstring of a task", sub(STEPS, "Reaches a helper and", "Reaches one helper, and"))
keeps("package", "docstring of a helper", sub(CLEANING, "Makes a word of a text.", "A word."))
keeps("package", "docstring of a class", sub(CLASSES, "The base of all models.", "All models have this base."))
keeps("package", "docstring of a module", sub(CLEANING, "Cleaning of what customers type.", "Cleaning."))
keeps("package", "docstring taken away", sub(CLEANING, '    """Makes a word of a text."""\n', ""))
keeps("package", "docstring added", sub(CLEANING, "def strip(text):", 'def strip(text):\n    """Strips."""'))
keeps("package", "lines moved down", prepend(CLEANING, "# a line\n\n\n"))
keeps("package", "blank lines in a body", sub(CLEANING, "    total = len(text) + 1\n", "\n    total = len(text) + 1\n\n"))
keeps("package", "quotes", sub(CLEANING, 'NOISE.sub("", text)', "NOISE.sub('', text)"))
keeps("package", "text in two pieces", sub(CLEANING, '"[^a-z]+"', '"[^a" "-z]+"'))
keeps("package", "spelling of a number", sub(SETTINGS, "BASE_FEE = 3", "BASE_FEE = 0x3"))
keeps("package", "spelling of a float", sub(SETTINGS, "TAX = 0.19", "TAX = 19e-2"))
keeps("package", "same value by another expression", sub(SETTINGS, "FEE = BASE_FEE * 2", "FEE = 6"))
keeps("package", "parentheses", sub(CLEANING, "return strip(lowered) * SCALE", "return ((strip(lowered)) * SCALE)"))
keeps("package", "trailing comma", sub(SETTINGS, "LEVELS = [1, 2, 3]", "LEVELS = [\n    1,\n    2,\n    3,\n]"))
keeps("package", "trailing comma in a call", sub(FUNCTIONAL, "make(3, square)", "make(\n    3,\n    square,\n)"))
keeps("package", "semicolons", sub(CLEANING, "    total = len(text) + 1\n    return total", "    total = len(text) + 1; return total"))
keeps("package", "pass", sub(CLEANING, "    total = len(text) + 1\n", "    total = len(text) + 1\n    pass\n"))
keeps("package", "line joined by a backslash", sub(CLEANING, "return strip(lowered) * SCALE", "return strip(lowered) * \\\n        SCALE"))
keeps("package", "annotations of a helper", sub(CLEANING, "def strip(text):", "def strip(text: str) -> str:"))
keeps("package", "annotation of a local", sub(CLEANING, "    total = len(text) + 1", "    total: int = len(text) + 1"))
keeps("package", "annotation of a constant", sub(SETTINGS, "TAX = 0.19", "TAX: float = 0.19"))
keeps("package", "annotation of a method", sub(CLASSES, "def run(self, x):", "def run(self, x: float) -> float:"))
keeps("package", "local renamed", every(CLEANING, "lowered", "small"))
keeps("package", "local of a comprehension renamed", sub(CLEANING, "max(depth(branch) for branch in tree)", "max(depth(b) for b in tree)"))
keeps("package", "caught exception renamed", sub(FUNCTIONAL, "as error:\n        return str(error)", "as problem:\n        return str(problem)"))
keeps("package", "parameter of an inner function renamed", sub(FUNCTIONAL, "def other(value):\n        return helper(value) * 2", "def other(given):\n        return helper(given) * 2"))
keeps("package", "local alias of an import renamed", every(STEPS, "fee", "charge"))
keeps("package", "unrelated helper added", append(CLEANING, "\n\ndef added(text):\n    return text * 5\n"))
keeps("package", "unrelated helper changed", sub(CLEANING, 'text + "!"', 'text + "?"'))
keeps("package", "unrelated constant changed", sub(SETTINGS, "UNUSED = 7", "UNUSED = 8"))
keeps("package", "constant of the tasks' module that none reads", sub(STEPS, 'LOG_LEVEL = "info"', 'LOG_LEVEL = "debug"'))
keeps("package", "unrelated class added", append(CLASSES, "\n\nclass Added:\n    pass\n"))
keeps("package", "unrelated module added", append("src/shop/added.py", "X = 1\n"))
keeps("package", "unrelated module deleted", append("src/shop/added.py", ""), remove("src/shop/added.py"))
keeps("package", "functions in another order", swap(CLEANING, "def is_even", "def unrelated"), swap(CLEANING, "def strip", "def depth"))
keeps("package", "classes in another order", swap(CLASSES, "class Items", "class Account"))
keeps("package", "tasks in another order", swap(STEPS, "@task\ndef names", "@task\ndef lazily"))
keeps("package", "imports in another order", sub(STEPS, "import functools\nimport json\nimport math\n", "import math\nimport json\nimport functools\n"))
keeps("package", "imports on one line", sub(STEPS, "import functools\nimport json\nimport math\n", "import functools, json, math\n"))
keeps("package", "unused import", prepend(CLEANING, "import string\nfrom shop import mixins as unused\n"))
keeps("package", "unused import renamed", sub("src/shop/__init__.py", "csv_export, json_export", "csv_export as c, json_export as j"))
keeps("package", "import for type checkers", sub("src/shop/compat.py", "    from .models import Model\n", "    from .models import Linear, Model, Order\n"))
keeps("package", "type checkers for the first time", prepend(CLEANING, "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from .settings import TAX as NOISE, depth, strip\n"))
keeps("package", "assert_type in the block of type checkers", sub("src/shop/compat.py", "    from .models import Model\n", "    from .models import Model\n\n    def fast(x): ...\n"))
reruns("package", "annotations as texts", "described", prepend(FUNCTIONAL, "from __future__ import annotations\n"))
keeps("package", "slots of the cache that do not count", sub(STEPS, 'Cache(serialize=True, max_age="30d")', 'Cache(serialize=False, max_age="60d", expires="90d", on_failure="share")'))
keeps("package", "decorator called", sub(STEPS, "@task\ndef names", "@task()\ndef names"))
keeps("package", "decorator by another name", sub(STEPS, "from thrifty import Cache, task\n", "import thrifty\nfrom thrifty import Cache, task\n"), sub(STEPS, "@task\ndef names", "@thrifty.task\ndef names"))
keeps("package", "code below a version", sub(STEPS, 'return tidy("version")', 'return tidy("other")'))
keeps("package", "helper of a task that counts alone", sub(STEPS, 'def with_function():', 'def with_function():\n    # the helpers do not count'))
keeps("package", "branch that does not run", sub("src/shop/compat.py", 'return "\\\\"', 'return ";"'))
keeps("package", "name of a star that another one hides", sub("src/shop/star_two.py", "return 10", "return 11"))
keeps("package", "private name behind a star", sub("src/shop/star_one.py", "return 3", "return 4"))
keeps("package", "files of another time", touched)
keeps("package", "byte code beside the files", compiled)
keeps("package", "formatter over the whole tree", formatted)
reruns("package", "no comments and no docstrings anywhere", "described", each_file(without_comments_and_docstrings))
keeps("package", "a comment on every line", each_file(with_comments))
keeps("package", "line ends of Windows", each_file(with_windows_line_ends))
keeps("package", "another checkout", folder="another checkout")
keeps("package", "hash seed", variables={"PYTHONHASHSEED": "7"})
keeps("package", "variable that nobody names", variables={"UNRELATED": "1"})
keeps("package", "package that nobody uses", append("site-packages/other-1.0.dist-info-RECORD", "other.py,,\n"))

# Scripts beside their modules.
def script(file: str, name: str, tasks: str, old: str, new: str, **options) -> None:
    reruns("scripts", name, tasks, sub(file, old, new), **options)


script("report.py", "helper of the script", "header", 'WIDTH, "*"', 'WIDTH, "-"')
script("report.py", "constant of the script", "header", "WIDTH = 20", "WIDTH = 30")
script("report.py", "class of the script", "body", "indent = 2", "indent = 4")
script("report.py", "table of the script", "body", '"b": "Beta"', '"b": "Gamma"')
script("report.py", "default of a task of the script", "header", 'title="report"', 'title="other"')
script("measures.py", "imported helper", "footer", "sum(values) / len(values)", "sum(values) // len(values)")
script("measures.py", "constant of an imported helper", "footer", "PRECISION = 2", "PRECISION = 3", silent=True)
script("measures.py", "helper behind a star", "counted", "len(line.split())", "len(line)")
script("measures.py", "class of a default", "summary", 'f"[{self.name}] {line}"', 'f"<{self.name}> {line}"')
script("tools/text.py", "function of a package beside the script", "header", "return line.upper()", "return line.title()")
script("tools/words.py", "constant of a package beside the script", "footer", '", "', '"; "')
reruns("scripts", "helper moved to the script", "counted", append("measures.py", ""), sub("report.py", "def frame", "def count_words(line):\n    return 0\n\n\ndef frame"))
reruns("scripts", "module replaced by a package", "footer", move("tools/words.py", "tools/words/__init__.py"), sub("tools/words/__init__.py", '", "', '" "'))
keeps("scripts", "module moved to a package of its name", move("tools/words.py", "tools/words/__init__.py"))
keeps("scripts", "formatter over the whole tree", formatted)
keeps("scripts", "no comments and no docstrings anywhere", each_file(without_comments_and_docstrings))
keeps("scripts", "another working directory", at="tools")
keeps("scripts", "another checkout", folder="elsewhere")
keeps("scripts", "hash-bang taken away", sub("report.py", "#!/usr/bin/env python3\n", ""))
keeps("scripts", "import of a module for its functions", sub("report.py", "import json\n", ""))

# One program, run as it is.
def program(name: str, tasks: str, old: str, new: str, **options) -> None:
    reruns("program", name, tasks, sub("program.py", old, new), **options)


program("default of a helper", "loaded scaled from_table", "def load(count=3)", "def load(count=4)")
program("attribute of a class", "fitted passed", "rate = 0.5", "rate = 0.25")
program("method", "fitted passed", "self.total * self.rate + x", "self.total * self.rate - x")
program("constant", "fitted", "SEED = 42", "SEED = 43")
program("list", "fitted", "STEPS = [1, 2, 3]", "STEPS = [1, 2, 4]")
program("function made of a text", "from_text", "return x + 1", "return x + 2")
program("default of a function made of code", "from_code", "(4,))", "(5,))")
program("code of a function made of code", "from_code scaled passed from_table", "row * factor for", "row + factor for")
program("function around a builtin", "around_builtin", "len(rows) + 1", "len(rows) + 2")
program("builtin that is wrapped", "around_builtin", "functools.wraps(len)", "functools.wraps(max)", silent=True)
program("table", "from_table", '"scale": scale}', '"scale": sorted}')
program("default of a task", "passed", "model=Model(), function=scale", "model=Model(), function=sorted")
keeps("program", "cells in another order", swap("program.py", "class Model", "def scale"))
keeps("program", "marks of cells", each_file(without_comments_and_docstrings))
keeps("program", "formatter", formatted)
keeps("program", "another checkout", folder="copy")

# Workflows.
def flow(file: str, name: str, tasks: str, old: str, new: str, **options) -> None:
    reruns("flows", name, tasks, sub(file, old, new), **options)


flow("flow.py", "task in a nested workflow", "train training versioned report outer", "sum(rows) * rate", "sum(rows) + rate")
flow("parts.py", "helper of a task in a nested workflow", "clean train training versioned report", "OFFSET = 1", "OFFSET = 2")
flow("parts.py", "class of a default", "clean training", "row >= self.least", "not row < self.least", silent=True)
flow("flow.py", "early cut-off", "constant", "return 7 if rows else 8", "return 3 + 4 if rows else 8", silent=True)
flow("parts.py", "function called for a default", "report", "return 100", "return 101")
flow("flow.py", "version of a task", "versioned", 'version="1"', 'version="2"', silent=True)
keeps("flows", "code below a version", sub("flow.py", "return value + 1", "return value + 2"), trusts=frozenset({"experiment"}))
keeps("flows", "formatter over the whole tree", formatted)
keeps("flows", "docstrings", each_file(without_comments_and_docstrings))
