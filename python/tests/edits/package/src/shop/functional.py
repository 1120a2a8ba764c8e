"""Functions, in all the ways that Python has."""

import asyncio
import functools

RATE = 2


def make(n, hook):
    def inner(x, scale=n * 2):
        return hook(x) * n + scale

    return inner


def square(x):
    return x * x


def cube(x):
    return x * x * x


closure = make(3, square)
half = functools.partial(pow, 2, 5)
bound = functools.partial(square, 5)
shift = lambda x: x + 1
grow, shrink = lambda x: x + 2, lambda x: x - 2
method = "a-b".replace


def with_default(x=RATE, *, y=4, z=[5]):
    return x + y + z[0]


def later(hook=cube):
    return hook(2)


def numbers():
    yield 1
    yield from (2, 3)


async def fetch(x):
    await asyncio.sleep(0)
    return x + 1


async def stream():
    for i in range(3):
        yield i


async def gather():
    return [await fetch(i) async for i in stream()]


def classify(value):
    match value:
        case {"kind": "a", **rest}:
            return len(rest)
        case [first, *_] if first > 1:
            return first
        case str() | bytes():
            return "text"
        case _:
            return None


def scopes(rows):
    size = 2
    found = [size for size in rows if size]
    return {key: value for key, value in zip(found, rows)}, size


def nested(x):
    def helper(value, extra=1):
        result = value + extra
        return result

    def other(value):
        return helper(value) * 2

    return other(x)


def apply(function, x):
    return function(x)


def told(x):
    print(f"told {x}", end="") if x > 100 else None
    return x


def walrus(x):
    if (y := x + 1) > 1:
        return y
    return 0


def caught(x):
    try:
        return 1 / x
    except ZeroDivisionError as error:
        return str(error)
    finally:
        x = None


def several(a, /, b=1, *rest, c=2, **more):
    total = a + b + sum(rest) + c + sum(more.values())
    return total


labelled = square


def configured(x):
    return x * configured.factor


configured.factor = 3


def documented(x: int) -> str:
    """Doubles."""
    return str(x * 2)


def describe(function):
    return function.__doc__, {name: str(kind) for name, kind in function.__annotations__.items()}
