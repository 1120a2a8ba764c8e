"""The limit: BLAKE3 over the same bytes with all cores, no cache at all."""

import json
import sys

import numpy as np
from blake3 import __version__, blake3
from measures import MEGABYTE, Measure, System

SIZES = {
    "key_array_100": 100 * MEGABYTE,
    "key_array_1000": 1000 * MEGABYTE,
    "key_numbers": 320 * MEGABYTE,
}


def main() -> None:
    """Hashes as many bytes as the measure has."""
    name, _, pace = sys.argv[1:]
    quick = pace == "quick"
    measure = Measure(System(blake3, __version__), quick, repeat=2 if quick else 5)
    data = np.arange(measure.sized(SIZES[name]) // 8, dtype=np.float64).view(np.uint8)
    hashed = measure.hits(lambda: blake3(data, max_threads=blake3.AUTO).digest(), bytes)
    print(json.dumps({"version": __version__, **hashed}))


if __name__ == "__main__":
    main()
