"""Tasks and workflows: what the decorators make of functions."""

from __future__ import annotations

import os
import sys

from thrifty import _native
from thrifty.cache import Cache, cache_of, merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import EllipsisType
    from typing import Any, Literal, ParamSpec, TypeVar, overload

    from thrifty.cache import Mode
    from thrifty.checks import CheckReport

    P = ParamSpec("P")
    R = TypeVar("R", covariant=True)
    Executor = Literal["threads", "processes"]
else:
    # What only type checkers read costs a program no import of `typing`.
    P = R = None

    def overload(function):
        """Nothing, at run time."""
        return function


_GENERATOR, _COROUTINE, _ITERABLE_COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x100, 0x200
_VARARGS, _VARKEYWORDS = 0x04, 0x08
_EXECUTORS = ("threads", "processes")

_function = type(lambda: None)


class Task(_native.Task[P, R]):
    """A cached function; :func:`task` and :func:`workflow` make them.

    Called like the function it was made of. Outside a workflow the call gives the value: from
    the cache, or computed now. Inside a workflow it gives a handle, which stands for the value.
    """

    def with_options(
        self,
        *,
        cache: Mode | bool | None = None,
        refresh: str | Iterable[str] | None = None,
        workers: int | None = None,
        executor: Executor | None = None,
        check: float | str | Iterable[str] | None = None,
        seed: int | EllipsisType | None = ...,
        now: bool = False,
    ) -> Task[P, R]:
        """The same task, with what is chosen here for the whole run.

        Args:
            cache: How all operations of the run use the cache, whatever their definitions say.
            refresh: Names of operations that are computed again, with ``*`` for any text. A run
                warns of those by which nothing was asked for.
            workers: How many operations run at once.
            executor: Where they run: ``"threads"`` or ``"processes"``. A call on its own, outside
                of workflows and ``map``, always runs where it is made.
            check: Which operations whose results were known are executed again in clean
                processes when the run has ended, to compare: a share of them, such as ``0.05``,
                or names. The run gives what is stored all the same; a difference is a warning,
                and stands in ``Run.checks`` and in the run's history. For :meth:`check`: which
                operations it checks.
            seed: What random number generators are seeded with, in the place of the seed of the
                definition; ``None`` for no seed.
            now: Wait for nobody: what another run or process computes already is computed here
                as well, also where ``serialize`` is set.

        >>> from thrifty import task, testing
        >>> @task
        ... def roll() -> int:
        ...     print("rolling")
        ...     return 4
        >>> with testing.memory_cache():
        ...     roll(), roll(), roll.with_options(cache=False)()
        rolling
        rolling
        (4, 4, 4)
        """
        given: dict[str, Any] = {
            "cache": _mode_of(cache),
            "refresh": _names_of(refresh),
            "workers": _workers_of(workers),
            "executor": _executor_of(executor),
            "check": _check_of(check),
            "now": True if now else None,
        }
        run = {name: value for name, value in given.items() if value is not None}
        run.update(_seed_of(seed))
        return _make(self, self._definition, self._invocation, {**self._run, **run})

    def with_overrides(self, *, cache: Cache | Mode | bool) -> Task[P, R]:
        """The same task, with other cache settings for the calls that are made of it.

        The fields that are given replace those of the definition; the others stay. Inside a
        workflow, the handle that a call gives has the same method; to type checkers it is the
        value, so in typed code write ``train.with_overrides(...)(...)``.

        >>> from thrifty import Cache, task, testing
        >>> @task(cache=Cache(version="1"))
        ... def train(rate: float) -> str:
        ...     print("training")
        ...     return f"model of {rate}"
        >>> with testing.memory_cache():
        ...     train(0.1)
        ...     train.with_overrides(cache=Cache(version="2"))(0.1)
        training
        'model of 0.1'
        training
        'model of 0.1'
        """
        return self._with_invocation(cache)

    def _with_invocation(self, cache: Cache | Mode | bool) -> Task[P, R]:
        given = cache_of(cache, self.__qualname__)
        if given is None:
            raise TypeError("with_overrides takes a Cache, True, False or a mode, not None")
        _check_names(given, self.__wrapped__)
        return _make(self, self._definition, merged(given, self._invocation), self._run)

    def check(self, *args: P.args, **kwargs: P.kwargs) -> CheckReport:
        """Executes what is stored of this call again, and compares.

        The call is looked up as for a run, and nothing is computed for it, stored or replaced:
        every operation of it that hits is executed again in a process of its own. With
        ``with_options(check=0.2)`` it is a part of them, with ``check="train*"`` those of that
        name. A workflow that is called inside another is one operation, and is looked into
        only for operations in it that are named.

        Each process is a new interpreter with its own ``PYTHONHASHSEED`` and an empty directory
        for temporary files. What a clean process cannot import, such as a cell of a notebook,
        is not checkable.

        >>> from thrifty import task, testing
        >>> @task
        ... def double(number: int) -> int:
        ...     return number * 2
        >>> with testing.memory_cache():
        ...     _ = double(21)
        ...     print(double.check(21))
        not-checkable     ...double
            the cache is in memory, where a clean process cannot reach it
        checked 1 of 1 stored operations: 1 not-checkable
        """
        from thrifty import _checking

        return _checking.check(self, args, kwargs)

    def map(self, *iterables: Iterable[Any], **same: Any) -> list[R]:
        """Calls the task for each element, in parallel: one entry in the cache for each.

        The positional arguments are gone through side by side and must have the same length.
        Keyword arguments are given to every call as they are. If elements fail, the others are
        computed and kept all the same; then the first failure is raised.

        >>> from thrifty import task, testing
        >>> @task
        ... def power(base: int, exponent: int, sign: int = 1) -> int:
        ...     return sign * base**exponent
        >>> with testing.memory_cache():
        ...     power.map([2, 3], [5, 2], sign=-1)
        [-32, -9]
        """
        from thrifty import _map

        rows = _map.rows(self, iterables)
        if _native.is_building():
            return [self(*row, **same) for row in rows]

        def elements() -> list[R]:
            return [self(*row, **same) for row in rows]

        name = f"{self.operation_name}.map"
        run: Task[[], list[R]] = Task(elements, name, True, None, None, self._run)
        return dressed(run, elements, True, (None, None, self._run))()

    if TYPE_CHECKING:
        __wrapped__: Callable[P, R]
        __name__: str
        __qualname__: str
        _definition: Cache | None
        _invocation: Cache | None
        _run: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        # What the function has and the task has not, such as `__annotations__`.
        if name != "__wrapped__" and name.startswith("__"):
            wrapped = self.__dict__.get("__wrapped__")
            if wrapped is not None and hasattr(wrapped, name):
                return getattr(wrapped, name)
        raise AttributeError(f"{type(self).__name__} {self.operation_name} has no {name!r}")

    def __get__(self, instance: object, owner: type | None = None) -> Task[P, R]:
        if instance is None:
            return self
        raise TypeError(
            f"{self.operation_name} is used as a method, and methods are not cached: the object "
            "would be part of the key. Make it a function that takes what it needs, or put "
            "@staticmethod above the decorator"
        )

    def __repr__(self) -> str:
        kind = "workflow" if self._is_workflow else "task"
        return f"<{kind} {self.operation_name}>"

    def __copy__(self) -> Task[P, R]:
        return self  # as a function, which nothing changes

    def __deepcopy__(self, memo: object) -> Task[P, R]:
        return self

    def __reduce__(self) -> str | tuple[object, ...]:
        module, name = self.__module__, self.__qualname__
        found = _find(module, name)
        if found is self:
            return name
        if getattr(found, "__wrapped__", found) is not self.__wrapped__:
            raise _unpicklable(self)
        settings = (self._definition, self._invocation, self._run)
        return _restore, (module, name, self.operation_name, self._is_workflow, settings)


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    cache: Cache | Mode | bool | None = None,
    name: str | None = None,
    seed: int | EllipsisType | None = ...,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    cache: Cache | Mode | bool | None = None,
    name: str | None = None,
    seed: int | EllipsisType | None = ...,
) -> Any:
    """Makes a function a task: it is not called again for arguments it was called with.

    The key of a call is what the code does and what goes in. Comments, layout and docstrings do
    not count; what the function calls, in the same project, does.

    Args:
        function: The function; the decorator may stand without parentheses.
        cache: What the task asks of the cache: a :class:`Cache`; ``True``; ``False``; a mode.
        name: The name of the operation, if it should not be that of the module and function.
        seed: What random number generators are seeded with, whatever is around the task; ``None``
            for a task that no seed reaches. Without it, the seed of what calls the task, or of
            the configuration.

    >>> from thrifty import Cache, task, testing
    >>> @task(cache=Cache(ignore="verbose"))
    ... def fit(rows: list[int], verbose: bool = False) -> float:
    ...     print("fitting")
    ...     return sum(rows) / len(rows)
    >>> with testing.memory_cache():
    ...     fit([1, 2, 3]), fit([1, 2, 3], verbose=True)
    fitting
    (2.0, 2.0)
    """
    return _decorated(function, False, cache, name, seed)


# Words of those who group steps into processes: a process is a task that calls others.
process = step = task


@overload
def workflow(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def workflow(
    *,
    cache: Cache | Mode | bool | None = None,
    name: str | None = None,
    seed: int | EllipsisType | None = ...,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    cache: Cache | Mode | bool | None = None,
    name: str | None = None,
    seed: int | EllipsisType | None = ...,
) -> Any:
    """Makes a function a workflow: it calls tasks, and only what is needed runs.

    Inside it, a call of a task gives a handle. Hand handles to other tasks, put them into lists,
    tuples and dicts, take parts of them with subscripts, and return them. What needs a value
    belongs into a task: a handle that is compared, calculated with, made a text or put into a set
    is an error that says so. Called inside another workflow, a workflow is one operation, and is
    looked into only if its own result is not known.

    Args:
        function: The function; the decorator may stand without parentheses.
        cache: The mode for what is called inside that does not choose one itself; and, where this
            workflow is called inside another, all fields for the workflow as one operation.
        name: The name of the operation, if it should not be that of the module and function.
        seed: What the generators of everything that is called inside are seeded with, where it
            states no seed itself; ``None`` for no seed.

    >>> from thrifty import task, testing, workflow
    >>> @task
    ... def load(name: str) -> list[int]:
    ...     return [len(name), 2]
    >>> @task
    ... def total(rows: list[int]) -> int:
    ...     return sum(rows)
    >>> @workflow
    ... def experiment(name: str) -> int:
    ...     return total(load(name))
    >>> with testing.memory_cache():
    ...     experiment("flights"), experiment.run("flights")
    (9, <Run ...: succeeded, 2 operations, 2 hits>)
    """
    return _decorated(function, True, cache, name, seed)


def _decorated(
    function: Callable[..., Any] | None,
    is_workflow: bool,
    cache: Cache | Mode | bool | None,
    name: str | None,
    seed: int | EllipsisType | None,
) -> Any:
    word = "workflow" if is_workflow else "task"
    if function is None:

        def decorate(function: Callable[..., Any]) -> Task[..., Any]:
            return _new(function, is_workflow, cache, name, seed)

        return decorate
    if isinstance(function, (Cache, bool, str)):
        raise TypeError(f"@{word} takes settings by keyword: @{word}(cache=…)")
    return _new(function, is_workflow, cache, name, seed)


def _new(
    function: Callable[..., Any],
    is_workflow: bool,
    cache: Cache | Mode | bool | None,
    name: str | None,
    seed: int | EllipsisType | None,
) -> Task[..., Any]:
    _check_function(function, "workflow" if is_workflow else "task")
    definition = cache_of(cache, function.__qualname__)
    if definition is not None:
        _check_names(definition, function)
    if name is None:
        name = f"{module_name(function)}.{function.__qualname__}"
    elif not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"the name of an operation is text, not {name!r}")
    run = _seed_of(seed)
    kind = Task if is_workflow else _kind_of_task(function)
    made: Task[..., Any] = kind(function, name, is_workflow, definition, None, run)
    return dressed(made, function, is_workflow, (definition, None, run))


def _kind_of_task(function: Callable[..., Any]) -> type[Task[..., Any]]:
    """One of which parameters count by what is read of them, if it has such."""
    try:
        declared = list(function.__annotations__.values())
    except NameError:
        return Task
    # Looked at as text first: most programs never import what this needs.
    if not any("Params" in getattr(it, "__name__", str(it)) for it in declared):
        return Task
    from thrifty._scoped import Scoped, mappings_of

    return Scoped if mappings_of(function) else Task


def _make(
    task: Task[P, R], definition: Cache | None, invocation: Cache | None, run: dict[str, Any]
) -> Task[P, R]:
    function, is_workflow = task.__wrapped__, task._is_workflow
    kind = type(task)
    made: Task[P, R] = kind(function, task.operation_name, is_workflow, definition, invocation, run)
    return dressed(made, function, is_workflow, (definition, invocation, run))


def dressed(
    task: Task[P, R],
    function: Callable[..., Any],
    is_workflow: bool,
    settings: tuple[Cache | None, Cache | None, dict[str, Any]],
) -> Task[P, R]:
    """Makes the task look like its function."""
    attributes = task.__dict__
    attributes.update(function.__dict__)
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        attributes[name] = getattr(function, name)
    try:  # noqa: SIM105  (contextlib is not imported yet)
        attributes["__annotations__"] = function.__annotations__
    except NameError:
        # Python 3.14 evaluates them now, and a name may be defined later: see `__getattr__`.
        pass
    attributes["__wrapped__"] = function
    attributes["_is_workflow"] = is_workflow
    attributes["_definition"], attributes["_invocation"], attributes["_run"] = settings
    return task


def _check_function(function: Any, word: str) -> None:
    """A task is made of an ordinary function; what else there is gets its own way out."""
    if isinstance(function, Task):
        raise TypeError(f"{function.operation_name} is a {word} already: decorate it once")
    name = getattr(function, "__qualname__", None) or repr(function)
    if isinstance(function, _function):
        flags = function.__code__.co_flags
        if flags & (_COROUTINE | _ASYNC_GENERATOR | _ITERABLE_COROUTINE):
            raise TypeError(
                f"{name} is asynchronous, and a {word} is an ordinary function: make it one that "
                "runs the coroutine, with asyncio.run"
            )
        if flags & _GENERATOR:
            raise TypeError(f"{name} is a generator, which can be read once: return a list")
        return
    if isinstance(function, type):
        raise TypeError(f"{name} is a class: decorate a function that makes an object of it")
    if isinstance(function, (staticmethod, classmethod)):
        raise TypeError(f"@{word} stands below @{_kind(function)}, not above it")
    if callable(function):
        kind = _kind(function)
        raise TypeError(f"{name} is a {kind}, not a function: call it in one, and decorate that")
    raise TypeError(f"@{word} decorates a function, not {type(function).__name__}")


def _kind(value: Any) -> str:
    return type(value).__name__


def _check_names(cache: Cache, function: Callable[..., Any]) -> None:
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & _VARARGS) + bool(code.co_flags & _VARKEYWORDS)
    known = code.co_varnames[:count]
    for field in ("ignore", "inputs"):
        for name in getattr(cache, field) or ():
            if name not in known:
                hint = _native.did_you_mean(name, list(known)) if known else "it has none"
                raise ValueError(
                    f"Cache({field}=…) names {name!r}, which is no parameter of "
                    f"{function.__qualname__}: {hint}"
                )


def module_name(function: Callable[..., Any]) -> str:
    """The name of the module, the same whether it is imported or run."""
    name: str = function.__module__ or "notebook"
    if name not in ("__main__", "__mp_main__"):
        return name
    main = sys.modules.get(name)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name not in ("__main__", "__mp_main__"):
        return spec.name
    path: str | None = getattr(main, "__file__", None)
    return "notebook" if path is None else _name_of_script(path)


def _name_of_script(path: str) -> str:
    """The name under which the packages around a script import it."""
    directory, name = os.path.split(os.path.abspath(path))
    name = os.path.splitext(name)[0]
    while os.path.exists(os.path.join(directory, "__init__.py")):
        directory, package = os.path.split(directory)
        name = f"{package}.{name}"
    return name


def _mode_of(cache: Any) -> Mode | bool | None:
    if isinstance(cache, Cache):
        raise TypeError(
            "with_options(cache=…) is True, False or a mode; a Cache is given with with_overrides"
        )
    return cache


def _names_of(refresh: Any) -> list[str] | None:
    if refresh is None:
        return None
    names: list[Any] | None = None
    if isinstance(refresh, str):
        names = [refresh]
    elif hasattr(refresh, "__iter__"):
        names = list(refresh)
    if names is None or not all(isinstance(name, str) for name in names):
        raise TypeError(
            f'refresh takes the names of operations, such as "train", not {refresh!r}; to compute '
            'everything again, say cache="refresh"'
        )
    return [str(name) for name in names]


def _check_of(check: Any) -> float | list[str] | None:
    if check is None:
        return None
    if isinstance(check, (int, float)):
        share = float(check)
        if not 0 <= share <= 1:
            raise ValueError(
                f"check is a share of the operations, from 0 to 1, and not {check!r}; "
                "5 % of them are check=0.05"
            )
        return share
    if hasattr(check, "__iter__"):
        names = [check] if isinstance(check, str) else list(check)
        if names and all(isinstance(name, str) and name for name in names):
            return names
    raise TypeError(f"check takes a share, such as 0.05, or the names of operations, not {check!r}")


def _workers_of(workers: int | None) -> int | None:
    if workers is None:
        return None
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:  # pyright: ignore
        raise ValueError(f"workers is a number from 1 on, not {workers!r}")
    return workers


def _executor_of(executor: Executor | None) -> Executor | None:
    if executor is not None and executor not in _EXECUTORS:
        hint = _native.did_you_mean(str(executor), list(_EXECUTORS))
        raise ValueError(f"there is no executor {executor!r}: {hint}")
    return executor


def _seed_of(seed: Any) -> dict[str, Any]:
    """What is said of a seed: nothing, none, or a number."""
    if seed is ...:
        return {}
    if seed is None:
        return {"seed": None}
    if isinstance(seed, bool) or not hasattr(type(seed), "__index__"):
        raise TypeError(f"a seed is a whole number or None, not {seed!r}")
    number = int(seed)
    if not 0 <= number < 2**63:
        raise ValueError(f"a seed is a whole number from 0 to {2**63 - 1}, not {number}")
    return {"seed": number}


def _find(module: str | None, qualified: str) -> object:
    """What stands under a name in a module, if it can be reached."""
    found: object = sys.modules.get(module or "")
    for part in qualified.split("."):
        found = getattr(found, part, None)
    return found


def _unpicklable(task: Task[..., Any]) -> Exception:
    import pickle

    return pickle.PicklingError(
        f"cannot send {task.operation_name} to another process: it is not found as "
        f"{task.__qualname__} in the module {task.__module__}. Define it at the top level of a "
        "module"
    )


def _restore(
    module: str,
    qualified: str,
    name: str,
    is_workflow: bool,
    settings: tuple[Cache | None, Cache | None, dict[str, Any]],
) -> Task[..., Any]:
    import importlib

    importlib.import_module(module)
    found = _find(module, qualified)
    function: Any = getattr(found, "__wrapped__", found)
    kind = Task if is_workflow else _kind_of_task(function)
    made: Task[..., Any] = kind(function, name, is_workflow, *settings)
    return dressed(made, function, is_workflow, settings)
