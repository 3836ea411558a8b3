"""Experiments move with the register: what was recorded is not lost, and they go on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import herdbook as hb
from herdbook.bootstrap import LocalDoor
from herdbook.core import wire
from herdbook.core.access import everything
from herdbook.core.experiments import State
from herdbook.core.recording import ArmSums, CellSums, Delta, Folded, Recorded
from herdbook.core.trials import Kept
from herdbook.errors import Conflict
from herdbook.services import serving
from herdbook.storage.sql.work import writing
from tests.experiments import arm, delta
from tests.transfer.registers import furnish, opened
from tests.transfer.test_broken_exports import edited, noticed, refused_whole

WAYS = [
    "sqlite to sqlite",
    "sqlite to postgresql",
    "postgresql to sqlite",
]


@pytest.fixture(params=WAYS)
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The addresses of two empty registers."""
    ways = {"sqlite": [f"sqlite:///{tmp_path}/one.db", f"sqlite:///{tmp_path}/two.db"]}
    if "postgresql" in request.param:
        ways["postgresql"] = [request.getfixturevalue("postgres_url")]
    one, two = request.param.split(" to ")
    return ways[one].pop(0), ways[two].pop()


def on(book: hb.Herdbook, asked: Callable[[Any], Any]) -> Any:
    """Ask the unit of work behind a book of this machine."""
    door = book._door
    assert isinstance(door, LocalDoor)
    with writing(door.database, everything("curator")) as work:
        return asked(work)


def told(book: hb.Herdbook, given: Delta) -> Folded:
    """Deliver what a worker tells."""
    return book._door.call(Folded, "experiments.fold", delta=given)


SUMS = arm(
    results=4,
    errors=1,
    alone=1,
    firsts=(0, (1 << 22) - 1),
    first_errors=(9,),
    means={"confidence": CellSums(cells={"1023": (2, 0.1 + 0.2, 0.1 * 0.1 + 0.2 * 0.2)})},
    histograms={"inference_time_ms": {"3": 2}},
    refused={"confidence is NaN": 1},
)


def try_versions(book: hb.Herdbook) -> None:
    """Fill a register with experiments in every state, with evidence and what still waits."""
    furnish(book)
    book.experiments.start("ended", "majora", "v1")
    book.experiments.finalize("ended", "rollback", reason="worse 審査")
    told(book, delta(SUMS, worker="worker-0", experiment="ended"))
    # A number that was given to nothing: ids of the copy are not those of the original.
    with pytest.raises(hb.errors.HerdbookError):
        book.experiments.start("ended", "majora", "v1")
    book.experiments.start("later", "majora", "v1", ramp=[1, 5], exclusion_pct=40)
    book.experiments.widen("later")
    book.experiments.start("paused", "majora", "v1", exclusion_pct=40, shadow=True)
    book.experiments.pause("paused")
    for sequence in (1, 2, 3):
        given = delta(SUMS, arm("treatment"), sequence=sequence, experiment="later")
        told(book, given)
    told(book, Delta(worker="worker-2", sequence=9, recorded=(), dropped=3))
    told(book, delta(arm(phase=9), worker="worker-3", experiment="paused"))
    on(book, evaluated)


def evaluated(work: Any) -> None:
    """Make two batches of an experiment, and leave one delta waiting."""
    found = work.experiments.lock("later")
    for number in (1, 2):
        batch = work.experiments.consume(found, limit=1)
        said = {"n": number, "mean": 0.1 + 0.2, "text": "é\u2028", "none": None}
        kept = Kept(
            batches=number,
            at=work.now(),
            seen=bytes(range(256)) * number,
            state=wire.dumps(said),
            evaluation=wire.dumps(said | {"decision": "continue"}),
        )
        work.experiments.keep(found, kept, batch=batch)


def test_what_was_exported_and_imported_is_exported_the_same(urls: tuple[str, str]) -> None:
    with opened(urls[0]) as one, opened(urls[1]) as two:
        try_versions(one)
        lines = list(one.export())

        loaded = two.load(lines)

        assert list(two.export()) == lines
        wanted = {"experiments": 3, "batches": 2, "deltas": 1, "workers": 4}
        assert wanted.items() <= loaded.counts.items()
        assert wanted.items() <= json.loads(lines[-1])["counts"].items()
        assert two.events.verify().ok


def test_experiments_go_on_after_an_import(urls: tuple[str, str]) -> None:
    with opened(urls[0]) as one, opened(urls[1]) as two:
        try_versions(one)
        two.load(one.export())

        # What a worker sends again is known here too, and what follows is new.
        assert not told(two, delta(SUMS, sequence=3, experiment="later")).new
        assert told(two, delta(SUMS, sequence=4, experiment="later")).new
        assert told(two, delta(SUMS, worker="worker-2", sequence=9)).sequence == 9
        routing = [on(book, _routing) for book in (one, two)]
        assert routing[0] == routing[1]
        for asked in (_kept, _batches, _late):
            assert on(two, asked) == on(one, asked)
        assert on(two, lambda work: work.experiments.waiting(_later(work)).results) == 9
        assert two.experiments.resume("paused").state is State.RUNNING
        assert two.experiments.finalize("later", "promote").winner == "v1"
        with pytest.raises(Conflict, match="paused"):
            two.versions.delete("majora:v2")
        # What was changed is what was meant: each has the number of its own row.
        ended = [one.experiments.get("later"), two.experiments.get("later")]
        assert [each.state for each in ended] == [State.RUNNING, State.ENDED]
        assert two.experiments.get("ended").reason == "worse 審査"


def test_an_aa_experiment_stays_one(urls: tuple[str, str]) -> None:
    with opened(urls[0]) as one, opened(urls[1]) as two:
        furnish(one)
        begun = one.experiments.start("itself", "majora", aa=True)
        told(one, delta(SUMS, arm("control-aa"), experiment="itself"))
        judged = one.experiments.evaluate("itself")

        two.load(one.export())

        assert two.experiments.get("itself") == begun
        assert two.experiments.replay("itself") == judged
        assert not told(two, delta(SUMS, experiment="itself")).new
        with pytest.raises(Conflict, match="nothing to promote"):
            two.experiments.finalize("itself", "promote")


def _later(work: Any) -> Any:
    return work.experiments.get("later")


def _kept(work: Any) -> Any:
    return work.experiments.kept(_later(work))


def _batches(work: Any) -> Any:
    return list(work.experiments.batches(_later(work)))


def _late(work: Any) -> Any:
    return [work.experiments.late(work.experiments.get(n)) for n in ("ended", "later", "paused")]


def _routing(work: Any) -> Any:

    return serving.routing(work)


def test_a_register_without_experiments_is_exported_as_it_was(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/one.db") as book:
        furnish(book)
        lines = list(book.export())

        assert not any(
            word in lines[-1] for word in ("experiments", "batches", "deltas", "workers")
        )
        assert book.events.verify().ok


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines of a good export."""
    with opened(f"sqlite:///{tmp_path_factory.mktemp('good')}/own.db") as book:
        try_versions(book)
        return list(book.export())


def evidence(lines: list[str], change: Callable[[dict[str, Any]], object]) -> list[str]:
    """Change the evidence of the one experiment that has some."""
    at = next(n for n, line in enumerate(lines) if '"evidence":{' in line)
    body = json.loads(lines[at])
    change(body["evidence"])
    return [*lines[:at], json.dumps(body, separators=(",", ":")), *lines[at + 1 :]]


def ended(body: dict[str, Any], **said: Any) -> None:
    body["doc"] |= said


BROKEN: list[tuple[str, Callable[[list[str]], list[str]], str]] = [
    ("no plan", lambda x: edited(x, "experiment", lambda b: b["doc"].pop("plan")), "plan"),
    ("a plan that cannot be",
     lambda x: edited(x, "experiment", lambda b: b["doc"]["plan"].update(alpha=7)), "alpha"),
    ("another type",
     lambda x: edited(x, "experiment", lambda b: b["doc"]["plan"].update(min_requests=1.5)),
     "1.5 is not int"),
    ("no phase", lambda x: edited(x, "experiment", lambda b: ended(b, phases=[])), "in no phase"),
    ("an unknown model",
     lambda x: edited(x, "experiment", lambda b: b["doc"]["plan"].update(model="gbert")),
     "gbert:v2, which no line"),
    ("an unknown version",
     lambda x: edited(x, "experiment", lambda b: b["doc"]["plan"].update(treatments=["v77"])),
     "majora:v77, which no line"),
    ("another's name",
     lambda x: edited(x, "experiment", lambda b: b["doc"]["plan"].update(name="later")), "twice"),
    ("no late", lambda x: edited(x, "experiment", lambda b: b.pop("late")), "late"),
    ("less than none late", lambda x: edited(x, "experiment", lambda b: b.update(late=-1)), "late"),
    ("evidence that is a text",
     lambda x: edited(x, "experiment", lambda b: b.update(evidence="x")), "no object"),
    ("evidence of nothing", lambda x: evidence(x, lambda e: e.pop("state")), "how it stands"),
    ("evidence of no time", lambda x: evidence(x, lambda e: e.update(at="noon")), "not a time"),
    ("no base64", lambda x: evidence(x, lambda e: e.update(seen="%%%")), "not base64"),
    ("fewer batches than there are", lambda x: evidence(x, lambda e: e.update(batches=1)),
     "batch 2 of later"),
    ("batch 0", lambda x: edited(x, "batch", lambda b: b.update(number=0)), "1 or more"),
    ("a batch twice", lambda x: edited(x, "batch", lambda b: b.update(number=2)), "twice"),
    ("a batch of nothing", lambda x: edited(x, "batch", lambda b: b.update(experiment="x")),
     "x, which no line"),
    ("sums that cannot be",
     lambda x: edited(x, "delta", lambda b: b["doc"]["arms"][0].update(errors=99)), "errors"),
    ("no sums", lambda x: edited(x, "delta", lambda b: b.pop("doc")), "Recorded"),
    ("no name", lambda x: edited(x, "worker", lambda b: b.update(name="")), "must not be"),
    ("a sequence that is a text",
     lambda x: edited(x, "worker", lambda b: b.update(sequence="9")), "sequence"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "broken", "match"), BROKEN, ids=[what for what, _, _ in BROKEN])
def test_what_cannot_be_is_refused_by_its_line_and_nothing_is_written(
    tmp_path: Path,
    exported: list[str],
    what: str,  # noqa: ARG001 - names the test
    broken: Callable[[list[str]], list[str]],
    match: str,
) -> None:
    refused_whole(tmp_path, broken(exported), match)


def test_a_line_that_is_missing_is_noticed(tmp_path: Path, exported: list[str]) -> None:
    kinds = ("experiment", "batch", "delta", "worker")
    noticed(tmp_path, exported, kinds)


def test_sums_are_written_as_they_came(exported: list[str]) -> None:
    (line,) = [x for x in exported if x.startswith('{"kind":"delta"') and '"later"' in x]

    found = wire.value(Recorded, json.loads(line)["doc"])

    assert found.arms == (SUMS, ArmSums(phase=1, arm="treatment", results=1))
