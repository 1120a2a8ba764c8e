"""The random number generators that a process has once, as a seeded body finds them."""

from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    from numpy.random import Generator, RandomState


class _Library:
    """How a module with a generator is dealt with."""

    __slots__ = ("restore", "seed", "seed_name", "state")

    def __init__(
        self,
        seed_name: str,
        state: Callable[[Any], Any],
        restore: Callable[[Any, Any], None],
        seed: Callable[[Any, int], None],
    ) -> None:
        self.seed_name, self.state, self.restore, self.seed = seed_name, state, restore, seed


def generator(seed: int) -> Generator:
    """Numpy's generator of this seed."""
    from numpy.random import default_rng

    return default_rng(seed)


def random_state(seed: int) -> RandomState:
    """Numpy's generator of this seed, of the older kind."""
    from numpy.random import RandomState

    return RandomState(_words(seed))


def random_of(seed: int) -> random.Random:
    """Python's generator of this seed."""
    import random

    return random.Random(seed)


def _words(seed: int) -> list[int]:
    return [seed >> shift & 0xFFFFFFFF for shift in range(0, 256, 32)]


def _numpy_state(random: Any) -> Any:
    return random.get_bit_generator(), random.get_state(legacy=False)


def _restore_numpy(random: Any, state: Any) -> None:
    bit_generator, inner = state
    if random.get_bit_generator() is not bit_generator:
        random.set_bit_generator(bit_generator)
    random.set_state(inner)


def _seed_numpy(random: Any, seed: int) -> None:
    # The program may have put another algorithm there, which takes other seeds.
    if type(random.get_bit_generator()) is not random.MT19937:
        random.set_bit_generator(random.MT19937())
    random.seed(_words(seed))


def _torch_state(torch: Any) -> Any:
    # A device that nobody has used yet has no state, and asking would start it.
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return torch.get_rng_state(), devices


def _restore_torch(torch: Any, state: Any) -> None:
    processor, devices = state
    torch.set_rng_state(processor)
    if devices is not None:
        torch.cuda.set_rng_state_all(devices)


def _hash_seed(os: Any) -> str | None:
    return os.environ.get("PYTHONHASHSEED")


def _restore_hash_seed(os: Any, state: str | None) -> None:
    if state is None:
        os.environ.pop("PYTHONHASHSEED", None)
    else:
        os.environ["PYTHONHASHSEED"] = state


_LIBRARIES = {
    "random": _Library(
        "random",
        lambda random: random.getstate(),
        lambda random, state: random.setstate(state),
        lambda random, seed: random.seed(seed),
    ),
    "numpy.random": _Library("numpy", _numpy_state, _restore_numpy, _seed_numpy),
    "torch": _Library(
        "torch",
        _torch_state,
        _restore_torch,
        lambda torch, seed: torch.manual_seed(seed & 0x7FFFFFFFFFFFFFFF),
    ),
    # TensorFlow does not tell its seed, so that it cannot be put back.
    "tensorflow": _Library(
        "tensorflow",
        lambda _: None,
        lambda _, __: None,
        lambda tensorflow, seed: tensorflow.random.set_seed(seed & 0x7FFFFFFF),
    ),
    # For the processes that the body starts.
    "os": _Library(
        "hash",
        _hash_seed,
        _restore_hash_seed,
        lambda os, seed: os.environ.__setitem__("PYTHONHASHSEED", str(seed & 0xFFFFFFFF)),
    ),
}


class Generators:
    """The generators of the process, seeded for one body.

    While they are in place, those of the program are kept here, and the other way round. A
    library that is imported meanwhile is seeded as soon as it is there.
    """

    __slots__ = ("_of_body", "_of_program", "_seeds")

    def __init__(self, seeds: dict[str, int]) -> None:
        self._seeds = seeds
        self._of_program: dict[str, Any] = {}
        self._of_body: dict[str, Any] = {}

    def put_in_place(self) -> None:
        """For the beginning of the body, and when it goes on."""
        try:
            for name in _LIBRARIES:
                if sys.modules.get(name) is not None:
                    # Another thread may be in the middle of importing it.
                    self._join(name, importlib.import_module(name))
            _late.follow(self)
        except BaseException:
            self.end()
            raise

    def put_aside(self) -> None:
        """For the time in which the body waits for others."""
        for name in self._of_program:
            self._of_body[name] = _LIBRARIES[name].state(sys.modules[name])
        self.end()

    def end(self) -> None:
        """The program finds its generators as if nothing had run."""
        _late.follow(None)
        while self._of_program:
            name, state = self._of_program.popitem()
            _LIBRARIES[name].restore(sys.modules[name], state)

    def _join(self, name: str, module: ModuleType) -> None:
        library = _LIBRARIES[name]
        self._of_program[name] = library.state(module)
        if name in self._of_body:
            library.restore(module, self._of_body.pop(name))
        else:
            library.seed(module, self._seeds[library.seed_name])

    def imported(self, module: ModuleType) -> None:
        """A library has just been imported by the body."""
        if module.__name__ not in self._of_program:
            self._join(module.__name__, module)


class _Late:
    """Stands among the finders of modules while a seeded body runs, and finds nothing itself."""

    def __init__(self) -> None:
        self._generators: Generators | None = None

    def follow(self, generators: Generators | None) -> None:
        self._generators = generators
        is_there = self in sys.meta_path
        if generators is not None and not is_there:
            sys.meta_path.insert(0, self)
        elif generators is None and is_there:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in _LIBRARIES:
            return None
        for finder in list(sys.meta_path):
            found = None if finder is self else finder.find_spec(name, path, target)
            if found is not None:
                if found.loader is not None:
                    self._tell_after(found.loader)
                return found
        return None

    def _tell_after(self, loader: Any) -> None:
        """The loader executes one module, and is then as it was."""

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            loader.exec_module(module)
            if self._generators is not None:
                self._generators.imported(module)

        loader.exec_module = exec_module


_late = _Late()
