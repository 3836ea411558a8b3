"""MLflow in process, run by its own interpreter: commands as JSON lines in, answers out.

Imports nothing of Herdbook, and of this package only what needs the standard library.
"""

import importlib
import json
import logging
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import herd

Answer = dict[str, Any]


class Side:
    """A register of MLflow's in a SQLite file."""

    def __init__(self, url: str) -> None:
        mlflow = importlib.import_module("mlflow")
        self._client = mlflow.MlflowClient(tracking_uri=url, registry_uri=url)
        self._models: list[str] = []

    def build(self, *, models: int, versions: int) -> Answer:
        """Register what both sides hold, through the client."""
        self._models = herd.models(models)
        for name in self._models:
            self._client.create_registered_model(name)
        for entry in herd.entries(models, versions):
            self._client.create_model_version(
                entry.model,
                entry.source,
                tags=entry.tags,
                description=entry.description,
            )
        for name in self._models:
            champion = str(versions // 2)
            self._client.set_registered_model_alias(name, herd.CHAMPION, champion)
        return {"versions": models * versions}

    def answers(self, *, model: str) -> Answer:
        """Give what the alias points at, and the versions a search of the model finds."""
        found = self._client.get_model_version_by_alias(model, herd.CHAMPION)
        rows = self._client.search_model_versions(f"name='{model}'", max_results=100)
        return {"alias": int(found.version), "rows": sorted(int(row.version) for row in rows)}

    def get_by_alias(self, *, calls: int) -> Answer:
        """Look champions up."""
        get = self._client.get_model_version_by_alias
        return timed(lambda name: get(name, herd.CHAMPION), self._models, calls)

    def page_of_100(self, *, calls: int) -> Answer:
        """Search the versions of one model."""
        search = self._client.search_model_versions
        return timed(lambda name: search(f"name='{name}'", max_results=100), self._models, calls)


def timed(ask: Callable[[str], object], names: list[str], calls: int) -> Answer:
    """Ask for names at random; give microseconds of wall and CPU time per call."""
    chosen = random.Random(7).choices(names, k=calls)  # noqa: S311 - not a secret
    ask(chosen[0])
    wall, cpu = time.perf_counter(), time.process_time()
    for name in chosen:
        ask(name)
    return {
        "wall": (time.perf_counter() - wall) / calls * 1e6,
        "cpu": (time.process_time() - cpu) / calls * 1e6,
    }


def serve(url: str) -> None:
    """Answer commands until the input ends."""
    logging.disable(logging.WARNING)
    side = Side(url)
    for line in sys.stdin:
        command = json.loads(line)
        answer = getattr(side, command.pop("do"))(**command)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
