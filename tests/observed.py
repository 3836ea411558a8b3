"""Registers with something to show: watched versions that drift, experiments, deployments."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence

from prometheus_client.core import Metric

from herdbook.core.drift import Watched
from herdbook.core.evaluations import Observation
from herdbook.core.references import Reference
from herdbook.core.sampling import Sampled, StreamSums
from herdbook.services import (
    deployments,
    drift,
    episodes,
    evaluations,
    experiments,
    leading,
    references,
)
from herdbook.services.episodes import hour_of
from tests.experiments import plan
from tests.registers import Register

SEED = 20260114
# Samples by name and labels.
Shown = dict[str, dict[frozenset[tuple[str, str]], float]]


def values(number: int, *, mean: float = 0.0, seed: int = SEED) -> list[float]:
    """Numbers about a mean."""
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence
    return [rng.gauss(mean, 1) for _ in range(number)]


def confidences(number: int, *, mean: float = 0.8, seed: int = SEED + 1) -> list[float]:
    """Confidences about a mean."""
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence
    return [min(1.0, max(0.0, rng.gauss(mean, 0.05))) for _ in range(number)]


def watch(register: Register, ref: str, *, streams: Iterable[str] = ()) -> None:
    """Register a version and watch its predictions, its confidence and these streams."""
    register.add(ref)
    frozen = references.numeric(values(2_000))
    named = {"prediction": frozen, "confidence": references.numeric(confidences(2_000))}
    register.write(drift.watch, ref, references=named | dict.fromkeys(streams, frozen))


def sampled(
    watched: Watched,
    predictions: Sequence[float],
    *,
    hour: int,
    sure: Sequence[float] = (),
    missing: int = 0,
) -> Sampled:
    """What a worker sampled of a version."""
    streams = [_sums("prediction", watched.references["prediction"], predictions, hour, missing)]
    if sure:
        streams.append(_sums("confidence", watched.references["confidence"], sure, hour, 0))
    return Sampled(
        model=watched.model,
        number=watched.number,
        fingerprint=watched.fingerprint,
        streams=tuple(streams),
    )


def sample(
    register: Register,
    ref: str,
    predictions: Sequence[float],
    *,
    sure: Sequence[float] = (),
    missing: int = 0,
) -> None:
    """Tell what a version predicted, as a worker tells it."""
    hour, watched = hour_of(register.clock.at), register.read(drift.references, ref)
    told = sampled(watched, predictions, hour=hour, sure=sure, missing=missing)
    assert register.write(episodes.take, told) == 0


def _sums(
    name: str, reference: Reference, given: Sequence[float], hour: int, missing: int
) -> StreamSums:
    counts = Counter(str(references.bin_of(reference.edges, value)) for value in given)
    offs = [value - reference.mean for value in given]
    return StreamSums(
        stream=name,
        hour=hour,
        counts=dict(counts),
        missing=missing,
        total=sum(offs),
        squares=sum(off * off for off in offs),
    )


def drifted(register: Register, ref: str) -> None:
    """Watch a version whose predictions and confidence are far off: score 1, alarm."""
    watch(register, ref)
    far = values(500, mean=3.0, seed=SEED + 2)
    sample(register, ref, far, sure=confidences(500, mean=0.4, seed=SEED + 3), missing=50)


def steady(register: Register, ref: str) -> None:
    """Watch a version that predicts what it always did."""
    watch(register, ref)
    sample(register, ref, values(500, seed=SEED + 4), sure=confidences(500, seed=SEED + 5))


def busy(register: Register) -> None:
    """Fill a register: versions that drift and do not, an experiment, a rollback, averages."""
    drifted(register, "gnn:v2.1.0")
    steady(register, "majora:v1")
    register.add("majora:v2")
    register.write(deployments.promote, "majora:v1")
    register.write(deployments.promote, "majora:v2")
    register.write(deployments.rollback, "majora")
    seen = [Observation(inference_time_ms=100.0, confidence=0.5), Observation(error=True)]
    register.write(evaluations.observe, "majora:v1", observations=seen)
    register.write(experiments.start, plan=plan("majora_test", model="majora"))
    register.write(leading.finalize, "majora_test", decision="rollback")


# --- what is shown of it ---


def read(families: Iterable[Metric]) -> Shown:
    """Samples by name and labels."""
    found: Shown = {}
    for family in families:
        for sample in family.samples:
            labels = frozenset(sample.labels.items())
            assert labels not in found.setdefault(sample.name, {}), (sample.name, labels)
            found[sample.name][labels] = sample.value
    return found


def of(version: str, model: str = "gnn", **more: str) -> frozenset[tuple[str, str]]:
    """The labels of a version."""
    labels = {"model_type": model, "model_version": version, **more}
    return frozenset(labels.items())
