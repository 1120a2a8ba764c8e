#!/usr/bin/env python3
"""A script beside the modules that it uses."""

import json
import sys

import measures
from measures import *
from tools import text
from tools.text import upper

from thrifty import task

WIDTH = 20
TITLES = {"a": "Alpha", "b": "Beta"}


def frame(line):
    return line.center(WIDTH, "*")


class Section:
    indent = 2

    def __init__(self, title):
        self.title = title

    def render(self):
        return " " * self.indent + self.title


def sections(names):
    return [Section(TITLES[name]) for name in names]


@task
def header(title="report"):
    return frame(upper(title))


@task
def body(names=("a", "b")):
    lines = []
    for section in sections(names):
        lines.append(section.render())
    return "\n".join(lines)


@task
def footer():
    return text.join(measures.average([1, 2, 3]), "end")


@task
def summary(style=measures.Style("plain")):
    return style.apply("summary")


@task
def counted():
    return count_words("a b c")


if __name__ == "__main__":
    from observe import observe

    sys.stdout.write("")
    observe(globals())
