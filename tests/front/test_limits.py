"""Every limit of docs/limits.md, at it and just over it, through a database and a server."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import herdbook
from herdbook import errors
from herdbook.core.evaluations import Observation
from herdbook.front.book import Herdbook
from tests.running import served


@pytest.fixture(scope="module", params=["database", "server"])
def book(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Herdbook]:
    """A register with one version that serves, behind each door."""
    url = f"sqlite:///{tmp_path_factory.mktemp('limits')}/herdbook.db"
    with ExitStack() as stack:
        if request.param == "server":
            url = stack.enter_context(served(url))
        book = stack.enter_context(herdbook.connect(url))
        for _ in range(2):
            book.models.register("majora", git_commit="", metrics={"accuracy": 0.5})
            book.deployments.promote("majora@latest")
        for _ in range(501):
            book.models.register("ancestor", git_commit="")
        yield book


def register(**facts: Any) -> Callable[[Herdbook], Any]:
    return lambda book: book.models.register("majora", git_commit="", **facts)


def named(name: str) -> Callable[[Herdbook], Any]:
    return lambda book: book.models.create(name)


def numbered(number: str) -> Callable[[Herdbook], Any]:
    return lambda book: book.models.register("numbered", number, git_commit="")


def deep(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels - 1):
        found = {"in": found}
    return found


Attempt = Callable[[Herdbook], Any]
LIMITS: dict[str, tuple[Attempt, Attempt]] = {
    "model name": (named("n" * 200), named("n" * 201)),
    "version number": (numbered("1.0.0-" + "a" * 94), numbered("1.0.0-" + "a" * 95)),
    "part of a number": (numbered(f"{10**15 - 1}.0.0"), numbered(f"{10**15}.0.0")),
    "alias": (
        lambda book: book.deployments.promote("majora:v1", alias="a" * 64),
        lambda book: book.deployments.promote("majora:v1", alias="a" * 65),
    ),
    "tag key": (register(tags={"k" * 100: ""}), register(tags={"k" * 101: ""})),
    "tag value": (register(tags={"k": "v" * 1_000}), register(tags={"k": "v" * 1_001})),
    "tags": (
        register(tags=[f"t{n}" for n in range(100)]),
        register(tags=[f"t{n}" for n in range(101)]),
    ),
    "metric name": (register(metrics={"m" * 100: 1}), register(metrics={"m" * 101: 1})),
    "metrics": (
        register(metrics={f"m{n}": 1 for n in range(1_000)}),
        register(metrics={f"m{n}": 1 for n in range(1_001)}),
    ),
    "file role": (register(files={"r" * 64: "x"}), register(files={"r" * 65: "x"})),
    "file location": (
        register(files={"lora": "x" * 2_000}),
        register(files={"lora": "x" * 2_001}),
    ),
    "files": (
        register(files={"shard": [f"out/{n}" for n in range(500)]}),
        register(files={"shard": [f"out/{n}" for n in range(501)]}),
    ),
    "parents": (
        register(parent=[f"ancestor:v{n}" for n in range(1, 501)]),
        register(parent=[f"ancestor:v{n}" for n in range(1, 502)]),
    ),
    "dependencies": (
        register(dependencies=[f"d{n}" for n in range(500)]),
        register(dependencies=[f"d{n}" for n in range(501)]),
    ),
    "dependency": (register(dependencies=["d" * 500]), register(dependencies=["d" * 501])),
    "source": (
        register(metrics={"f1": 1}, metrics_source="s" * 500),
        register(metrics={"f1": 1}, metrics_source="s" * 501),
    ),
    "owner": (
        lambda book: book.models.update("majora", owner="o" * 500),
        lambda book: book.models.update("majora", owner="o" * 501),
    ),
    "notes": (register(notes="n" * 20_000), register(notes="n" * 20_001)),
    "reason": (
        lambda book: book.deployments.promote("majora:v1", alias="blue", reason="r" * 20_000),
        lambda book: book.deployments.promote("majora:v2", alias="blue", reason="r" * 20_001),
    ),
    "steps": (
        lambda book: book.deployments.rollback("majora", steps=1),
        lambda book: book.deployments.rollback("majora", steps=1_001),
    ),
    "data sets": (
        register(training_data=[f"d{n}" for n in range(500)]),
        register(training_data=[f"d{n}" for n in range(501)]),
    ),
    "line": (register(framework="f" * 500), register(framework="f" * 501)),
    "model type": (
        lambda book: book.models.update("majora", type="t" * 64),
        lambda book: book.models.update("majora", type="t" * 65),
    ),
    "description": (register(description="d" * 20_000), register(description="d" * 20_001)),
    "metadata size": (
        register(metadata={"k": "v" * (65_536 - 9)}),
        register(metadata={"k": "v" * (65_536 - 8)}),
    ),
    "metadata depth": (register(metadata=deep(17)), register(metadata=deep(18))),
    "metadata integer": (register(metadata={"n": 2**63 - 1}), register(metadata={"n": 2**63})),
    "samples": (register(samples=2**53 - 1), register(samples=2**53)),
    "observations": (
        lambda book: book.evaluations.observe_many("majora:v1", [Observation()] * 10_000),
        lambda book: book.evaluations.observe_many("majora:v1", [Observation()] * 10_001),
    ),
    "filter": (
        lambda book: book.versions.list("ordinal = 1" + " " * 4_085),
        lambda book: book.versions.list("ordinal = 1" + " " * 4_086),
    ),
    "page": (
        lambda book: book.versions.list(page_size=1_000),
        lambda book: book.versions.list(page_size=1_001),
    ),
    "compare": (
        lambda book: book.versions.compare(*["majora:v1"] * 20),
        lambda book: book.versions.compare(*["majora:v1"] * 21),
    ),
    "webhook": (
        lambda book: book.webhooks.create("https://example.com/" + "x" * 1_980),
        lambda book: book.webhooks.create("https://example.com/" + "x" * 1_981),
    ),
    "token": (
        lambda book: book.tokens.create("ci", roles=["viewer"], days=3_650),
        lambda book: book.tokens.create("ci", roles=["viewer"], days=3_651),
    ),
}


def events(book: Herdbook) -> int:
    return book.events.checkpoint().seq


@pytest.mark.parametrize("limit", LIMITS)
def test_what_is_at_a_limit_is_taken_and_what_is_over_it_refused(
    book: Herdbook, limit: str
) -> None:
    at_it, over_it = LIMITS[limit]
    at_it(book)
    before = events(book)

    with pytest.raises((errors.Invalid, errors.TooLarge)) as refused:
        over_it(book)

    assert refused.value.field
    assert re.search(
        r"limit|must be|below|at most|give 1 to|give 2 to|levels|64 bits", refused.value.message
    )
    assert events(book) == before


BAD: dict[str, Attempt] = {
    "NaN as a metric": register(metrics={"accuracy": float("nan")}),
    "infinity as a metric": register(metrics={"accuracy": float("inf")}),
    "a metric that is a word": register(metrics={"accuracy": "high"}),
    "a metric that is true": register(metrics={"accuracy": True}),
    "two spellings of a metric": register(metrics={"f1": 1, "f1_score": 1}),
    "minus samples": register(samples=-1),
    "a fraction of a batch": register(batch_size=1.5),
    "NaN in the metadata": register(metadata={"x": float("nan")}),
    "a control character in a name": named("maj\x07ora"),
    "a newline in a name": named("majora\n"),
    "a right-to-left mark in a name": named("maj\u202eora"),
    "a look-alike in a name": named("m\u0430jora"),
    "a name that climbs": named("../majora"),
    "a device as a name": named("con"),
    "a space at the end": named("majora "),
    "an empty name": named(""),
    "a word of the routes": named("a/versions"),
    "an unknown status": register(status="live"),
    "an unknown bump": register(bump="huge"),
    "a number and a bump": lambda book: book.models.register("majora", "v9", bump="major"),
    "no number at all": numbered("one"),
    "build metadata": numbered("1.0.0+build"),
    "a reserved alias": lambda book: book.deployments.promote("majora:v1", alias="latest"),
    "an alias like a number": lambda book: book.deployments.promote("majora:v1", alias="v2"),
    "SQL in a filter": lambda book: book.versions.list("model = 'x' OR 1=1--"),
    "SQL in an order": lambda book: book.versions.list("ORDER BY model; DROP TABLE models"),
    "a subquery in an order": lambda book: book.versions.list("ORDER BY (SELECT 1)"),
    "curly quotes": lambda book: book.versions.list("model = \u2018majora\u2019"),
    "a page of nothing": lambda book: book.versions.list(page_size=0),
    "a page below nothing": lambda book: book.versions.list(page_size=-1),
    "a forged page": lambda book: book.versions.list(page="AAAA"),
    "a page of another question": lambda book: book.versions.list(
        page=book.models.list(page_size=1).next or "x"
    ),
    "no steps": lambda book: book.deployments.rollback("majora", steps=0),
    "steps and a version": lambda book: book.deployments.rollback("majora", steps=2, to="v1"),
    "a confidence of two": lambda book: book.evaluations.observe("majora:v1", confidence=2),
    "an unknown role": lambda book: book.tokens.create("ci", roles=["boss"]),
    "a star in the middle": lambda book: book.tokens.create("ci", roles=["viewer:a*b"]),
    "a file as a webhook": lambda book: book.webhooks.create("file:///etc/passwd"),
    "a user in a webhook": lambda book: book.webhooks.create("https://me@example.com/"),
    "one version to compare": lambda book: book.versions.compare("majora:v1"),
    "a field that is not": lambda book: book.models.register("majora", epoch=3),  # type: ignore[call-arg]
}


@pytest.mark.parametrize("mistake", BAD)
def test_bad_input_gets_one_clear_error_and_writes_nothing(book: Herdbook, mistake: str) -> None:
    before = events(book)

    with pytest.raises((errors.Invalid, errors.TooLarge)) as refused:
        BAD[mistake](book)

    assert refused.value.code in {"invalid", "invalid_filter", "unknown_field", "too_large"}
    assert refused.value.field
    assert len(refused.value.message) > 20
    assert refused.value.message.isprintable()
    assert events(book) == before


def test_a_name_that_differs_in_case_alone_is_taken(book: Herdbook) -> None:
    with pytest.raises(errors.AlreadyExists, match="whatever its case"):
        book.models.create("Majora")


def test_every_limit_stands_in_the_documents() -> None:
    page = Path("docs/limits.md").read_text()

    for word in ("200", "4,096", "1,000", "20,000", "64 KiB", "3,650", "2,000", "10,000"):
        assert word in page
