"""What tests of drift need: references, samples, and workers that tell of them."""

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from herdbook.core.drift import CONFIDENCE, PREDICTION, Watched
from herdbook.core.recording import Delta, Folded
from herdbook.core.references import Kind, Reference
from herdbook.core.sampling import HOUR_SECONDS, Mark, Sampled, StreamSums
from herdbook.services import drift, references, serving
from tests.registers import Register

REF = "gnn:v2.1.0"


def normal(number: int, *, mean: float = 0.0, sd: float = 1.0, seed: int = 1) -> list[float]:
    """Numbers from a normal distribution."""
    rng = random.Random(seed)  # noqa: S311 - made-up traffic
    return [rng.gauss(mean, sd) for _ in range(number)]


def sure(number: int, *, drop: float = 0.0, seed: int = 2) -> list[float]:
    """Confidences of about 0.8."""
    rng = random.Random(seed)  # noqa: S311 - made-up traffic
    return [max(0.0, rng.betavariate(16, 4) - drop) for _ in range(number)]


def made(number: int = 2_000) -> dict[str, Reference]:
    """The references of predictions and confidences."""
    return {
        PREDICTION: references.numeric(normal(number)),
        CONFIDENCE: references.numeric(sure(number)),
    }


def hour(register: Register) -> int:
    """The hour that it is for a register."""
    return int(register.clock.at.timestamp()) // HOUR_SECONDS


def sums(
    name: str, reference: Reference, values: Sequence[float | str], *, at: int, missing: int = 0
) -> StreamSums:
    """Count values in the bins of a reference."""
    if reference.kind is Kind.CATEGORICAL:
        places = {category: at for at, category in enumerate(reference.categories)}
        found = Counter(str(places.get(str(each), len(places))) for each in values)
        return StreamSums(stream=name, hour=at, counts=dict(found), missing=missing)
    numbers = [float(each) for each in values]
    slot = reference.slot_of(at)
    levels: Counter[str] = Counter()
    if reference.slots:
        levels = Counter(str(bisect_left(reference.slots[slot].edges, each)) for each in numbers)
    offs = [each - reference.centre(slot) for each in numbers]
    return StreamSums(
        stream=name,
        hour=at,
        counts=dict(Counter(str(bisect_left(reference.edges, each)) for each in numbers)),
        levels=dict(levels),
        missing=missing,
        total=sum(offs),
        squares=sum(off * off for off in offs),
    )


def watched(register: Register, ref: str = REF, **streams: Reference) -> Watched:
    """Register a version and watch it."""
    register.add(ref)
    return register.write(drift.watch, ref, references=streams or made())


class Worker:
    """Tells a register of what it samples of a version."""

    def __init__(self, register: Register, of: Watched, name: str = "worker") -> None:
        self.register = register
        self.of = of
        self.name = name
        self.sequence = 0

    def sampled(self, *streams: StreamSums, marks: tuple[Mark, ...] = ()) -> Sampled:
        """What one delta says."""
        return Sampled(
            model=self.of.model,
            number=self.of.number,
            fingerprint=self.of.fingerprint,
            streams=streams,
            marks=marks,
        )

    def tell(
        self,
        predictions: Sequence[float | str] = (),
        confidences: Sequence[float] = (),
        *,
        missing: int = 0,
        marks: tuple[Mark, ...] = (),
    ) -> Folded:
        """Tell of values of this hour."""
        at = hour(self.register)
        given = {PREDICTION: predictions, CONFIDENCE: confidences}
        streams = [
            sums(
                name,
                self.of.references[name],
                values,
                at=at,
                missing=missing if name == PREDICTION else 0,
            )
            for name, values in given.items()
            if name in self.of.references
        ]
        return self.say(self.sampled(*streams, marks=marks))

    def say(self, *sampled: Sampled) -> Folded:
        """Send what was sampled as the next delta."""
        self.sequence += 1
        delta = Delta(worker=self.name, sequence=self.sequence, recorded=(), sampled=sampled)
        return self.register.write(serving.fold, delta=delta)
