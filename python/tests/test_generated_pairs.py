"""A sample of `generated_pairs.py`, which hypothesis makes small when one is wrong."""

from __future__ import annotations

import pathlib
import random
import sys

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import generated_pairs  # noqa: E402 - beside this file, which pytest does not put on the path


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.randoms(use_true_random=False))
def test_pairs_agree_and_differ_as_they_must(source):
    assert generated_pairs.wrong_pairs(source)[1] == []


def test_a_larger_sample():
    tried, wrong = generated_pairs.campaign((20_261_121, 20_000))
    assert tried >= 20_000
    assert wrong == []


def test_every_kind_of_tree_is_made():
    r = random.Random(1)
    kinds = {generated_pairs.tree(r)[0] for _ in range(5_000)}
    assert kinds >= {"dict", "set", "frozenset", "object", "array", "frame", "subclass", "range"}


def test_trees_that_say_the_same_are_known_to():
    one = ("dict", ((("str", "a"), ("int", 1)), (("str", "b"), ("int", 2))))
    assert generated_pairs.canonical(one) == generated_pairs.canonical(("dict", one[1][::-1]))
    assert generated_pairs.canonical(one) != generated_pairs.canonical(("list", one[1]))
