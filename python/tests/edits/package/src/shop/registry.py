"""Things that register themselves."""

from functools import singledispatch

REGISTRY = {}
exporters = {}


def register(name, *, weight=1):
    def decorate(function):
        REGISTRY[name] = (function, weight)
        return function

    return decorate


def export(kind, value):
    return exporters[kind](value)


@register("double", weight=2)
def double(x):
    return x * 2


@register("triple")
def triple(x):
    return x * 3


def add(x):
    return x + 1


def drop(x):
    return x - 1


DISPATCH = {"add": add, "drop": drop}
STEPS = (add, [drop])


@singledispatch
def show(value):
    return "something"


@show.register
def _(value: int):
    return "integer"


@show.register(str)
def _show_text(value):
    return "text"
