"""One task for each way in which code can be reached."""

import copy as codec
import functools
import json
import math
import os
from functools import partial
from math import floor as near
from math import sqrt

import gauge
import rates
import shop.cleaning as cleaning
import shop.target
from gauge.deep import size
from shop import cleaning as washing
from thrifty import Cache, task

from . import (
    compat,
    cycle_a,
    decorators,
    functional,
    lazy,
    mixins,
    models,
    patches,
    settings,
    stars,
    target,
)
from .cleaning import depth, is_even, tidy, weight as weigh
from .decorators import Report, stacked, twice, wrapped
from .functional import *
from .functional import bound, closure, half, labelled, method, shift
from .models import Color, Counted, Linear, Order, Point
from .registry import DISPATCH, REGISTRY, STEPS, export, show

LIMIT = 10
largest = max
LOG_LEVEL = "info"


@task
def names():
    """Reaches a helper and through it another one."""
    # a comment
    word = tidy("A b!")
    return word, LIMIT


@task
def attributes():
    return cleaning.strip("a b"), washing.NOISE.pattern


@task
def aliases():
    return weigh("abc")


@task
def aliased():
    return near(1.5), sqrt(4), codec.__name__ and 1, size(), largest(1, 2)


@task
def recursive():
    return depth([[], [[]]]), is_even(4)


@task
def cycles():
    return cycle_a.ping(5)


@task
def local_imports():
    from .settings import FEE as fee
    import shop.mixins

    return fee, shop.mixins.DIGITS


@task
def starred():
    return with_default(1), RATE


@task
def local_star():
    from .stars import chosen, extra, only

    return chosen(), extra(), only()


@task
def package_name():
    import shop

    return shop.tidy("X"), shop.CURRENCY


@task
def lazily():
    return lazy.heavy()


@task
def literals():
    return settings.TAX, settings.FEE, settings.REGIONS["north"]


@task
def computed():
    return settings.TABLE, settings.LIMITS["d"], settings.first, settings.DEPTH


@task
def valueless():
    return settings.CHANNEL.name


@task
def classes():
    return Linear(2).run(3), Linear.known["Linear"].label


@task
def properties():
    return Linear().size, Linear.unit(), Linear.default().bias, Linear()(1)


@task
def descriptors():
    return models.Account(-5).balance


@task
def metaclasses():
    return Counted().extra


@task
def dataclasses():
    order = Order(2.5)
    return order.total(), order.tags


@task
def enums():
    return Color.BLUE.code, Color.RED.value, models.Flags.A | models.Flags.B


@task
def named_tuples():
    return Point(1), models.Pair(1)


@task
def protocols(order: models.Priced = Order(1.0, 1)):
    return order.total()


@task
def annotated():
    return models.Wrapped(Linear(0)).go()


@task
def special_methods():
    with models.Items(2) as count:
        return list(models.Items(3)), count, models.Items(1).missing


@task
def class_decorators():
    return Report.title, Report().lines()


@task
def registries():
    function, weight = REGISTRY["double"]
    return function(2) * weight


@task
def plugins():
    return export("csv", 1), export("json", 2)


@task
def tables():
    return DISPATCH["add"](1), STEPS[1][0](5)


@task
def dispatches():
    return show(1), show("a"), show(None)


@task
def decorated():
    return stacked(1), wrapped(1), twice(1), decorators.labelled(1)


@task
def closures():
    return closure(2), half(), bound()


@task
def lambdas():
    return shift(1), functional.grow(1), functional.shrink(1)


@task
def one_lambda():
    return functional.grow(5)


@task
def methods_of_values():
    return method("-", "+")


@task
def defaults():
    return functional.with_default(1), functional.later()


@task
def generators():
    return list(functional.numbers())


@task
def asynchronous():
    import asyncio

    return asyncio.run(functional.gather())


@task
def matches():
    return [functional.classify(one) for one in ({"kind": "a", "b": 1}, [2], "x", 5)]


@task
def comprehensions():
    return functional.scopes([1, 2]), [weigh(x) for x in ("a", "b")]


@task
def nesting():
    return functional.nested(3)


@task
def arguments():
    return functional.apply(functional.cube, 2), functools.reduce(max, [1, 2])


@task
def texts():
    return functional.told(1)


@task
def statements():
    return functional.walrus(1), functional.caught(0), functional.several(1, 2, 3, c=4, d=5)


@task
def function_attributes():
    return functional.configured(2)


@task
def described():
    return functional.describe(functional.documented)


@task
def conditions():
    return compat.separator(), compat.fast(1), compat.NEWLINE, compat.impl


@task
def shadowed():
    return compat.local_winreg()


@task
def typed():
    return compat.typed(None)


@task
def patched():
    return target.patched(), target.Target().method()


@task
def patched_class():
    return target.Target.table, target.Target().act()


@task
def installed():
    return gauge.measure(1), math.floor(1.5)


@task
def editable():
    return rates.convert(2)


@task
def own_default(number=partial(max, 3)):
    return number(1)


@task
def environment():
    return settings.region(), os.getenv("SHOP_LEVEL")


@task
def file_behind_a_path(path="data/notes.txt"):
    return settings.read(path)


@task
def listing():
    return sorted(os.listdir("data"))


@task(cache=Cache(env="SHOP_MODE"))
def with_env():
    return 1


@task(cache=Cache(files="data/prices.json"))
def with_files():
    with open("data/prices.json") as file:
        return json.load(file)["a"]


@task(cache=Cache(sources="data/kernel.cu"))
def with_sources():
    with open("data/kernel.cu") as file:
        return file.read()


@task(cache=Cache(packages="rates"))
def with_packages():
    return 1


@task(cache=Cache(salt="blue"))
def with_salt():
    return 1


@task(cache=Cache(version="1"))
def with_version():
    return tidy("version")


@task(cache=Cache(code="function"))
def with_function():
    return "function", tidy("x")


@task(cache=Cache(serialize=True, max_age="30d"))
def with_options():
    return "options"
