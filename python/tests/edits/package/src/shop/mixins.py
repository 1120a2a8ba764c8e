"""Behaviour that several models share."""

DIGITS = 1


class Rounded:
    def round(self, x):
        return round(x, DIGITS)
