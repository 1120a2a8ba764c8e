"""Names of two modules; the second one hides nothing that it does not list."""

from .star_one import *
from .star_two import *
