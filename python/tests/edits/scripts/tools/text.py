"""Texts."""

from . import words


def upper(line):
    return line.upper()


def join(*parts):
    return words.SEPARATOR.join(str(part) for part in parts)
