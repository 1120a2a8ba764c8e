"""What pandas has for hashing a frame, no cache at all: 64 bits a row, no names and no types."""

import json
import sys

import pandas as pd
from measures import Measure, System, numbers, texts

FRAMES = {"key_numbers": (numbers, 10_000_000), "key_text": (texts, 1_000_000)}


def main() -> None:
    """Hashes the frame of the measure."""
    name, _, pace = sys.argv[1:]
    quick = pace == "quick"
    measure = Measure(System(pd, pd.__version__), quick, repeat=2 if quick else 5)
    made, rows = FRAMES[name]
    frame = made(measure.sized(rows))
    hashed = measure.hits(lambda: pd.util.hash_pandas_object(frame).sum(), int)
    print(json.dumps({"version": pd.__version__, **hashed}))


if __name__ == "__main__":
    main()
