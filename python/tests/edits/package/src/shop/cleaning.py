"""Cleaning of what customers type."""

import re
from functools import lru_cache

# Anything that is no letter.
NOISE = re.compile("[^a-z]+")
SCALE = 2


def tidy(text):
    """Makes a word of a text."""
    lowered = text.lower()  # the case says nothing
    return strip(lowered) * SCALE


def strip(text):
    return NOISE.sub("", text)


@lru_cache
def weight(text):
    total = len(text) + 1
    return total


def unrelated(text):
    return text + "!"


def depth(tree):
    if not tree:
        return 0
    return 1 + max(depth(branch) for branch in tree)


def is_even(n):
    return True if n == 0 else is_odd(n - 1)


def is_odd(n):
    return False if n == 0 else is_even(n - 1)
