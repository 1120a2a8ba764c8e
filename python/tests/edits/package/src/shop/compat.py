"""What depends on where it runs."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .models import Model

if sys.platform == "nowhere":
    import winreg

    def separator():
        return "\\"
else:

    def separator():
        return "/"


try:
    from not_installed_anywhere import fast
except ImportError:

    def fast(x):
        return x + 1


if sys.version_info >= (3, 11):
    NEWLINE = 1
else:
    NEWLINE = 2

try:
    import not_there as impl
except ImportError:
    impl = None


def typed(model: "Model") -> int:
    return 1


def local_winreg():
    if sys.platform == "nowhere":
        import winreg

        return winreg.x
    return 5
