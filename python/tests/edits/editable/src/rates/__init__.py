"""Installed by `pip install --editable`: its files stay where they are."""

CONVERSION = 3


def convert(x):
    return x * CONVERSION
