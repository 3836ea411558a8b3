"""Searches a collection of pgvector fifty times a second and tells how long that took.

python -m benchmarks.moving_reader ADDRESS SECONDS
"""

import json
import sys
import time
from typing import Final

import numpy as np

from herdbook.core.vectors import Place
from herdbook.storage import vectors

EVERY: Final = 0.02


def main(address: str, seconds: float) -> None:
    """Search, and print the quantiles as JSON."""
    store = vectors.opened(address)
    place = Place(collection="docs")
    shape = store.look(place)
    assert shape is not None
    (space,) = store.spaces(place)
    asked = np.random.default_rng(1).standard_normal((200, shape.dimension), dtype=np.float32)
    for vector in asked[:50]:
        store.search(place, vector, k=10, space=space)
    taken: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        at = time.perf_counter()
        store.search(place, asked[len(taken) % 200], k=10, space=space)
        taken.append(time.perf_counter() - at)
        time.sleep(max(0.0, EVERY - taken[-1]))
    p50, p99 = np.quantile(taken, [0.5, 0.99]) * 1e3
    print(json.dumps({"p50": p50, "p99": p99, "count": len(taken)}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
