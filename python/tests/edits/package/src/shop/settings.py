"""What the shop can be told."""

import os

# By literal.
TAX = 0.19
BASE_FEE = 3
FEE = BASE_FEE * 2
REGIONS = {"north": 1, "south": 2}
LEVELS = [1, 2, 3]
UNUSED = 7

# Computed at import.
TABLE = [level * level for level in LEVELS]
LIMITS = dict(zip("abc", LEVELS))
LIMITS["d"] = 40
first, second = 10, 20


def _depth():
    return 4


DEPTH = _depth()


class _Channel:
    """It has no value of its own."""

    def __init__(self, name):
        self.name = name
        self.handle = open(os.devnull)


CHANNEL = _Channel("web")


def channel():
    return CHANNEL.name


def region():
    return os.environ.get("SHOP_REGION", "none")


def read(path):
    with open(path) as file:
        return file.read()
