"""filelock: a lock for each call around a file with the pickled result, and nothing more."""

import functools
import hashlib
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
from measures import System, main


def opened(folder: str) -> System:
    """The results of all functions are files in the folder."""

    def serialized(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def called(*args: Any) -> Any:
            name = hashlib.sha256(pickle.dumps((function.__name__, args))).hexdigest()
            path = Path(folder, name)
            with filelock.FileLock(f"{path}.lock"):
                if path.exists():
                    return pickle.loads(path.read_bytes())
                result = function(*args)
                with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
                    file.write(pickle.dumps(result))
                os.replace(file.name, path)
                return result

        return called

    return System(serialized, filelock.__version__, serialized=serialized)


if __name__ == "__main__":
    main(opened)
