"""The golden vectors, found again by code that shares nothing with ours.

It does what docs/assignment.md says.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from herdbook.core import wire
from herdbook.core.assignment import Snapshot
from herdbook.core.routing import Routing
from herdbook.core.units import HASH_VERSION, Part, bucket, hash_of, threshold
from tests.core.xxh3 import xxh3_64

ROOT = Path(__file__).parent.parent.parent
GOLDEN: dict[str, Any] = json.loads(
    (ROOT / "tests" / "golden" / "assignment.json").read_text(encoding="utf-8")
)


# --- the specification, once more ---


def bucket_again(salt: str, part: str, unit: str) -> int:
    return xxh3_64(f"{salt}:{part}:{unit}".encode()) >> 32


def threshold_again(share: float) -> int:
    return math.floor(share * 2**32 + 0.5)


def assigned_again(model: str, unit: str, attributes: dict[str, Any]) -> dict[str, Any]:
    live = [each for each in GOLDEN["routing"]["experiments"] if each["model"] == model]
    for routed in live:
        at = bucket_again(routed["group"], "exclusion", unit)
        if threshold_again(routed["low"]) <= at < threshold_again(routed["high"]):
            return decided_again(routed, unit, attributes)
    return outside_again(model, "excluded")


def decided_again(routed: dict[str, Any], unit: str, attributes: dict[str, Any]) -> dict[str, Any]:
    model, salt = routed["model"], routed["salt"]
    if bucket_again(model, "holdout", unit) < threshold_again(routed["holdout"]):
        return outside_again(model, "holdout")
    written = {name: json.dumps(value).strip('"') for name, value in attributes.items()}
    if any(written.get(name) not in values for name, values in routed["targeting"].items()):
        return outside_again(model, "targeting")
    if not routed["running"]:
        return outside_again(model, "paused")
    if bucket_again(salt, "coverage", unit) >= threshold_again(routed["coverage"]):
        return outside_again(model, "coverage")
    control, *treatments = routed["arms"]
    arm, total, at = control, 0.0, bucket_again(salt, "variant", unit)
    for each in reversed(treatments):
        total = sum_to(each, treatments)
        if at < threshold_again(total):
            arm = each
    served = control if routed["shadow"] else arm
    shadow = arm["name"] if routed["shadow"] and arm is not control else ""
    return {
        "version": served["number"],
        "variant": served["name"],
        "experiment": routed["experiment"],
        "phase": routed["phase"],
        "reason": "split",
        "shadow": shadow,
    }


def sum_to(last: dict[str, Any], arms: list[dict[str, Any]]) -> float:
    total = 0.0
    for each in arms:
        total += each["share"]
        if each is last:
            break
    return total


def outside_again(model: str, reason: str) -> dict[str, Any]:
    return {
        "version": GOLDEN["routing"]["champions"][model],
        "variant": "champion",
        "experiment": "",
        "phase": 0,
        "reason": reason,
        "shadow": "",
    }


# --- both find what is written ---


def test_the_vectors_are_of_this_hash_version() -> None:
    assert GOLDEN["hash_version"] == HASH_VERSION == 1


@pytest.mark.parametrize("vector", GOLDEN["units"], ids=lambda each: str(len(each["unit"])))
def test_units_have_the_hash_that_is_written(vector: dict[str, str]) -> None:
    assert f"{hash_of(vector['unit']):016x}" == vector["hash"]
    assert f"{xxh3_64(vector['unit'].encode()):016x}" == vector["hash"]


def test_buckets_are_those_that_are_written() -> None:
    for vector in GOLDEN["buckets"]:
        salt, part, unit = vector["salt"], vector["part"], vector["unit"]

        assert bucket(salt, Part(part), unit) == vector["bucket"]
        assert bucket_again(salt, part, unit) == vector["bucket"]
        assert int(vector["hash"], 16) >> 32 == vector["bucket"]


def test_thresholds_are_those_that_are_written() -> None:
    for vector in GOLDEN["thresholds"]:
        assert threshold(vector["share"]) == vector["threshold"]
        assert threshold_again(vector["share"]) == vector["threshold"]


def test_units_get_what_is_written() -> None:
    held = Snapshot(wire.value(Routing, GOLDEN["routing"]))
    told = ("version", "variant", "experiment", "phase", "reason", "shadow")

    for vector in GOLDEN["assignments"]:
        model, unit, attributes = vector["model"], vector["unit"], vector["attributes"]
        expected = {name: vector[name] for name in told}
        found = held.assign(model, unit, attributes)

        assert {name: getattr(found, name) for name in told} == expected
        assert assigned_again(model, unit, attributes) == expected


def test_the_vectors_have_hashes_of_every_length_the_hash_tells_apart() -> None:
    sizes = {len(each["unit"].encode()) for each in GOLDEN["units"]}

    for low, high in [(1, 3), (4, 8), (9, 16), (17, 128), (129, 240), (241, 1024), (1025, 9999)]:
        assert any(low <= size <= high for size in sizes), (low, high)


def test_the_page_shows_vectors_of_the_golden_file() -> None:
    page = (ROOT / "docs" / "assignment.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(.+?)` \| (.+?) \| `([0-9a-f]{16})` \| (\d+|) *\|$", page, re.MULTILINE
    )

    written = {f"{v['salt']}:{v['part']}:{v['unit']}": v for v in GOLDEN["buckets"]}
    written |= {v["unit"]: {**v, "bucket": ""} for v in GOLDEN["units"]}
    assert len(rows) >= 5
    for hashed, _, digest, found in rows:
        assert (written[hashed]["hash"], str(written[hashed]["bucket"])) == (digest, found)
