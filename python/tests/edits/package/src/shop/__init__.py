"""Prices of a shop."""

from .cleaning import tidy
from .registry import REGISTRY, export, exporters
from .plugins import csv_export, json_export  # noqa: F401

__all__ = ["tidy", "REGISTRY", "export"]


def __getattr__(name):
    if name == "CURRENCY":
        return "EUR"
    raise AttributeError(name)
