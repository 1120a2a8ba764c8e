"""Decorators of the shop."""

import functools

FACTOR = 10


def scaled(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs) * FACTOR

    return wrapper


def plus(amount, *, sign=1):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args):
            return function(*args) + sign * amount

        return wrapper

    return decorate


def bare(function):
    def wrapper(*args):
        return function(*args) - 1

    return wrapper


class Twice:
    def __init__(self, function):
        self.function = function

    def __call__(self, *args):
        return self.function(*args) * 2


def tagged(function):
    function.tag = "tag"
    return function


AMOUNT = 7


@scaled
@plus(AMOUNT)
def stacked(x):
    return x + 1


@bare
def wrapped(x):
    return x + 2


@Twice
def twice(x):
    return x + 3


@tagged
def labelled(x):
    return x + 4


def titled(cls):
    cls.title = "title of " + cls.__name__
    return cls


@titled
class Report:
    def lines(self):
        return 1
