"""What a body in a worker process raises arrives, and what ends a worker ends nothing else."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

pytestmark = pytest.mark.usefixtures("home")

ERRORS = """
import threading
from thrifty import task

class Joined(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} {b}")
        self.a = a

class Adorned(ValueError):
    def __init__(self, text):
        super().__init__(f"<{text}>")

class Missing(OSError):
    def __init__(self, path):
        super().__init__(2, "not there", path)

class Locked(Exception):
    def __init__(self):
        super().__init__("has a lock")
        self.lock, self.code = threading.Lock(), 7

class Picky(Exception):
    def __init__(self, lock):
        super().__init__(lock)

    def __str__(self):
        return "holds one"

class Reduced(Exception):
    def __init__(self, a, b):
        super().__init__(a + b)
        self.pair = a, b

    def __reduce__(self):
        return Reduced, self.pair

class Silent(Exception):
    def __init__(self, a, b):
        super().__init__()

    def __str__(self):
        raise LookupError("no text")

@task
def joined(n: int) -> int: raise Joined(1, 2)
@task
def adorned(n: int) -> int: raise Adorned("text")
@task
def missing(n: int) -> int: raise Missing("a.txt")
@task
def locked(n: int) -> int: raise Locked()
@task
def picky(n: int) -> int: raise Picky(threading.Lock())
@task
def reduced(n: int) -> int: raise Reduced(3, 4)
@task
def silent(n: int) -> int: raise Silent(3, 4)
@task
def grouped(n: int) -> int: raise ExceptionGroup("both", [Joined(1, 2), KeyError("k")])
@task
def local(n: int) -> int:
    class Local(Exception):
        pass
    raise Local("of a function")
@task
def exits(n: int) -> int: raise SystemExit(4)
@task
def fine(n: int) -> int: return n

def raised(task):
    try:
        task.with_options(executor="processes", workers=1).map([1])
    except BaseException as error:
        return error
"""


@pytest.fixture
def errors(programs):
    programs.write("errors.py", ERRORS)

    def run(text):
        lines = [
            "from errors import *",
            "if __name__ == '__main__':",
            *(f"    {line}" for line in text.strip().splitlines()),
        ]
        programs.write("main.py", "\n".join(lines))
        return programs.run("main.py")

    return run


def test_an_exception_that_its_class_cannot_make_again_arrives_as_it_was(errors):
    errors("""
error = raised(joined)
assert type(error) is Joined, repr(error)
assert (str(error), error.args, error.a) == ("1 2", ("1 2",), 1)
assert "in joined" in str(error.__cause__), error.__cause__
error = raised(adorned)
assert type(error) is Adorned and str(error) == "<text>", repr(error)
error = raised(missing)
assert type(error) is Missing, repr(error)
assert (error.errno, error.filename) == (2, "a.txt"), repr(error)
error = raised(silent)
assert type(error) is Silent and error.args == (), type(error)
error = raised(grouped)
assert [(type(it), it.args) for it in error.exceptions] == [(Joined, ("1 2",)), (KeyError, ("k",))]
error = raised(exits)
assert type(error) is SystemExit and error.code == 4, repr(error)
""")


def test_an_exception_that_says_how_it_is_sent_is_sent_so(errors):
    errors("""
error = raised(reduced)
assert type(error) is Reduced and (error.args, error.pair) == ((7,), (3, 4)), repr(error)
""")


def test_an_exception_with_what_cannot_be_sent_arrives_without_it(errors):
    errors("""
error = raised(locked)
assert type(error) is Locked and str(error) == "has a lock" and error.code == 7, repr(error)
assert not hasattr(error, "lock") and "lock" in error.__notes__[0], error.__notes__
""")


def test_an_exception_that_cannot_be_sent_is_told_of(errors):
    errors("""
error = raised(picky)
assert type(error) is RuntimeError, repr(error)
for text in ("errors.Picky", "holds one", "cannot be sent"):
    assert text in str(error), error
assert "in picky" in str(error.__cause__)
error = raised(local)
assert type(error) is RuntimeError, repr(error)
for text in ("Local", "of a function", "cannot be sent"):
    assert text in str(error), error
assert fine.with_options(executor="processes", workers=1).map([5]) == [5]
""")


TOGETHER = """
import os, signal
from thrifty import task

class Joined(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} {b}")

def ends(how):
    if how == "raises":
        raise Joined(1, 2)
    os.kill(os.getpid(), signal.SIGKILL)

@task
def body(n: int, how: str) -> int:
    if n == 0:
        # The other one has begun when this opens.
        with open("life", "w"):
            ends(how)
    with open("book", "a") as book:
        book.write(f"{n} {how}\\n")
    with open("life") as life:
        life.read()
    return n

@task
def after(n: int) -> int:
    return n
"""


@pytest.mark.parametrize(("how", "error"), [("raises", "Joined"), ("is killed", "RuntimeError")])
def test_a_body_that_fails_leaves_others_alone(programs, how, error):
    programs.write("together.py", TOGETHER)
    programs.write(
        "main.py",
        f"""
        import os
        from together import after, body

        if __name__ == "__main__":
            os.mkfifo("life")
            try:
                body.with_options(executor="processes", workers=2).map([0, 1], how={how!r})
            except Exception as error:
                print(type(error).__name__)
            # The other one was computed, and is stored.
            print(body(1, {how!r}), len(open("book").readlines()))
            print(after.with_options(executor="processes", workers=2).map([1, 2]))
        """,
    )
    assert programs.run("main.py") == f"{error}\n1 1\n[1, 2]\n"


def test_what_killed_a_worker_is_told(programs):
    programs.write("together.py", TOGETHER)
    programs.write(
        "main.py",
        """
        import os
        from together import body

        if __name__ == "__main__":
            open("life", "w").close()
            body.with_options(executor="processes", workers=1).map([0], how="is killed")
        """,
    )
    told = programs.run("main.py", code=1)
    for text in ("a worker process died while together.body ran", "SIGKILL", "memory", "threads"):
        assert text in told


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("fork", [False, True])
def test_a_worker_ends_with_its_program(programs, way, fork):
    programs.write(
        "main.py",
        f"""
        import os, threading
        from thrifty import task

        @task
        def fine(n: int) -> int:
            return n

        @task
        def endless(n: int) -> int:
            with open("life", "w") as life:
                print("running", file=life, flush=True)
                threading.Event().wait()
            return n

        if __name__ == "__main__":
            apart = dict(executor="processes", workers=1)
            assert fine.with_options(**apart).map([1]) == [1]
            if {fork} and os.fork() == 0:
                # Outlives its parent, with copies of all that the parent had open.
                threading.Event().wait()
            endless.with_options(**apart).map([1])
        """,
    )
    os.mkfifo(programs.directory / "life")
    program = programs.start("main.py", start_new_session=True)
    told = subprocess.Popen(["cat", programs.directory / "life"], stdout=-1, text=True)
    assert told.stdout is not None
    assert told.stdout.readline() == "running\n"
    program.send_signal(way)
    try:
        # The body has the pipe open as long as its process lives.
        assert told.communicate(timeout=60)[0] == ""
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        told.kill()
    assert program.wait(timeout=60) == -way


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_daemonic_process_runs_bodies_itself(programs, method):
    """Multiprocessing lets it start no others."""
    programs.write(
        "main.py",
        """
        import multiprocessing, os, sys, warnings
        from thrifty import task

        @task
        def square(x: int) -> tuple:
            return x * x, os.getpid()

        @task
        def fails(x: int) -> int:
            raise ValueError(x)

        def work(x: int) -> tuple:
            told = []
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                for n in (x, x + 1):
                    told += square.with_options(executor="processes").map([n])
                try:
                    fails.with_options(executor="processes").map([n])
                except ValueError as error:
                    told.append(error.args)
            return os.getpid(), told, [str(it.message) for it in said]

        if __name__ == "__main__":
            with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
                [(here, told, said)] = pool.map(work, [3])
            assert told == [(9, here), (16, here), (4,)], told
            assert len(said) == 1 and "daemonic" in said[0] and "threads" in said[0], said
            # One that is none has workers as ever.
            here, told, said = work(5)
            assert said == [] and here not in (told[0][1], told[1][1]), told
        """,
    )
    assert programs.run("main.py", method) == ""
