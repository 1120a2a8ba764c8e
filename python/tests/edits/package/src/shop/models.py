"""Classes, in all the ways that Python has."""

from __future__ import annotations

import abc
import enum
from collections import namedtuple
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

from .mixins import Rounded


class Model(abc.ABC):
    """The base of all models."""

    step: ClassVar[int] = 1
    known: ClassVar[dict[str, type]] = {}

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        Model.known[cls.__name__] = cls
        cls.label = "model " + cls.__name__

    @abc.abstractmethod
    def fit(self, x): ...

    def run(self, x):
        return self.fit(x) + self.step


class Linear(Rounded, Model):
    slope = 3

    def __init__(self, bias=1):
        self.bias = bias

    def fit(self, x):
        return self.round(self.slope * x + self.bias)

    @property
    def size(self):
        return self.slope + 100

    @staticmethod
    def unit():
        return 1000

    @classmethod
    def default(cls):
        return cls(bias=cls.unit())

    def __call__(self, x):
        return self.run(x) + 5

    def unused(self):
        return "unused"


class Positive:
    """A descriptor."""

    def __set_name__(self, owner, name):
        self.name = "_" + name

    def __get__(self, instance, owner=None):
        return getattr(instance, self.name)

    def __set__(self, instance, value):
        setattr(instance, self.name, abs(value))


class Account:
    balance = Positive()

    def __init__(self, balance):
        self.balance = balance


class Counting(type):
    def __call__(cls, *args):
        made = super().__call__(*args)
        made.extra = 11
        return made


class Counted(metaclass=Counting):
    pass


@dataclass
class Order:
    price: float
    amount: int = 2
    tags: list = field(default_factory=lambda: ["new"])

    def total(self):
        return self.price * self.amount



class Color(enum.Enum):
    RED = 1
    BLUE = 2

    @property
    def code(self):
        return self.value * 10


class Flags(enum.IntFlag):
    A = 1
    B = 2


class Point(NamedTuple):
    x: int
    y: int = 6


Pair = namedtuple("Pair", "left right", defaults=[8])


class Priced(Protocol):
    def total(self) -> float: ...


class Wrapped:
    """It is typed by an annotation only."""

    def __init__(self, model: Linear):
        self.model = model

    def go(self):
        return self.model.fit(2)


class Items:
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        yield from range(self.count)

    def __enter__(self):
        return self.count

    def __exit__(self, *error):
        return False

    def __getattr__(self, name):
        return "no " + name
