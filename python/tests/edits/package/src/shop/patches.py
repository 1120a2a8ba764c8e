"""Changes another module when it is imported."""

from . import target


def instead():
    return 2


def method(self):
    return 3


target.patched = instead
target.Target.method = method
target.Target.table = dict(a=4)
target.Target.act = lambda self: 5
