"""Helpers of the scripts."""

PRECISION = 2


def average(values):
    return round(sum(values) / len(values), PRECISION)


def count_words(line):
    return len(line.split())


class Style:
    """How a line looks."""

    def __init__(self, name):
        self.name = name

    def apply(self, line):
        return f"[{self.name}] {line}"
