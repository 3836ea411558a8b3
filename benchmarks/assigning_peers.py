"""GrowthBook and OpenFeature in process, run by an interpreter that has them: units in, time out.

Each does the least that gives a unit its sticky version of an even split, as its own pages show it.
Imports nothing of Herdbook, and of this package only what needs the standard library.
"""

import importlib
import json
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

CONTROL, TREATMENT = "v2.1.0", "v2.2.0"


def feature() -> Callable[[str], str]:
    """Ask GrowthBook for the value of a feature that an experiment splits."""
    growthbook = importlib.import_module("growthbook")
    split = {"variations": [CONTROL, TREATMENT], "weights": [0.5, 0.5], "hashVersion": 2}
    rule = {**split, "key": "gnn_v2.2_test", "coverage": 1.0, "hashAttribute": "id"}
    held = growthbook.GrowthBook(features={"gnn": {"defaultValue": CONTROL, "rules": [rule]}})

    def ask(unit: str) -> str:
        held.set_attributes({"id": unit})
        return str(held.get_feature_value("gnn", CONTROL))

    return ask


def inline() -> Callable[[str], str]:
    """Ask GrowthBook to run an experiment that is written in the code."""
    growthbook = importlib.import_module("growthbook")
    held = growthbook.GrowthBook()
    tried = growthbook.Experiment(
        key="gnn_v2.2_test", variations=[CONTROL, TREATMENT], hashVersion=2
    )

    def ask(unit: str) -> str:
        held.set_attributes({"id": unit})
        return str(held.run(tried).value)

    return ask


def in_memory() -> Callable[[str], str]:
    """Ask OpenFeature's client for a flag of the in-memory provider, split by CRC-32."""
    api = importlib.import_module("openfeature.api")
    memory = importlib.import_module("openfeature.provider.in_memory_provider")
    context = importlib.import_module("openfeature.evaluation_context").EvaluationContext
    details = importlib.import_module("openfeature.flag_evaluation").FlagResolutionDetails

    def split(flag: Any, asked: Any) -> Any:
        name = "treatment" if zlib.crc32(asked.targeting_key.encode()) & 1 else "control"
        return details(value=flag.variants[name], variant=name, reason="SPLIT")

    variants = {"control": CONTROL, "treatment": TREATMENT}
    flag = memory.InMemoryFlag("control", variants, context_evaluator=split)
    api.set_provider(memory.InMemoryProvider({"gnn": flag}))
    client = api.get_client()
    return lambda unit: str(client.get_string_value("gnn", CONTROL, context(unit)))


WAYS = {"feature": feature, "inline": inline, "in_memory": in_memory}


def timed(ask: Callable[[str], object], units: Sequence[str]) -> dict[str, float]:
    """Ask for each unit; give nanoseconds of CPU and wall time per call."""
    ask(units[0])
    wall, cpu = time.perf_counter(), time.process_time()
    for unit in units:
        ask(unit)
    return {
        "cpu": (time.process_time() - cpu) / len(units) * 1e9,
        "wall": (time.perf_counter() - wall) / len(units) * 1e9,
    }


def main(ways: Sequence[str], calls: int) -> None:
    """Write what each way took, and how many units it treated."""
    units = [f"user{at}" for at in range(calls)]
    told = {}
    for way in ways:
        ask = WAYS[way]()
        treated = sum(ask(unit) == TREATMENT for unit in units) / calls
        told[way] = {**timed(ask, units), "treated": treated}
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[2:], int(sys.argv[1]))
