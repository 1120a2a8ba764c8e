"""Names that are found when they are asked for."""

import importlib

_HOMES = {"heavy": ".lazy_home"}


def __getattr__(name):
    if name in _HOMES:
        module = importlib.import_module(_HOMES[name], __package__)
        return getattr(module, name)
    raise AttributeError(name)
