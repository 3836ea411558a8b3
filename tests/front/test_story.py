"""One story, told through every door: the same values, the same errors."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

import herdbook
from herdbook import errors
from herdbook.core.evaluations import Observation
from herdbook.front.book import Herdbook
from tests.running import served

DOORS = ["sqlite", "postgresql", "server over sqlite", "server over postgresql"]


@pytest.fixture(params=DOORS)
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Herdbook]:
    """An empty register behind each door."""
    url = f"sqlite:///{tmp_path}/herdbook.db"
    if "postgresql" in request.param:
        url = request.getfixturevalue("postgres_url")
        herdbook.connect(url).close()  # an empty database is brought up to date
    with ExitStack() as stack:
        if "server" in request.param:
            url = stack.enter_context(served(url))
        yield stack.enter_context(herdbook.connect(url))


def two_versions(book: Herdbook) -> None:
    book.models.register(
        "search/ranker",
        "1.0.0",
        model_type="reranker",
        owner="search",
        base_model="Qwen2.5-Coder-7B",
        samples=223,
        epochs=3,
        learning_rate=2e-4,
        cost_usd=0.8,
        training_data=["oracle", "toolbench"],
        files={"lora": "out/v1-lora", "checkpoint": ["out/a", "out/b"]},
        dependencies=["torch>=2.4"],
        metadata={"layers": [1, 2], "quantized": None},
        metrics={"accuracy": 0.85, "f1_score": 0.82},
        tags={"team": "search"},
        git_commit="abc123def456",
    )
    book.models.register(
        "search/ranker", parent="search/ranker:1.0.0", metrics={"accuracy": 0.87}, git_commit=""
    )


def test_what_is_registered_is_what_is_read(book: Herdbook) -> None:
    two_versions(book)

    one, two = book.get("search/ranker:v1"), book.get("search/ranker@latest")

    assert (one.number, one.ordinal, two.number, two.ordinal) == ("1.0.0", 1, "1.0.1", 2)
    assert one.metrics == {"accuracy": 0.85, "f1": 0.82}
    assert one.facts.datasets == ("oracle", "toolbench")
    assert one.facts.metadata == {"layers": [1, 2], "quantized": None}
    assert [f.location for f in one.facts.files] == ["out/v1-lora", "out/a", "out/b"]
    assert one.training.learning_rate == 2e-4
    assert [p.ref for p in two.facts.parents] == ["search/ranker:1.0.0"]
    assert book.models.get("search/ranker").versions == 2


def test_the_champion_moves_and_goes_back(book: Herdbook) -> None:
    two_versions(book)

    first = book.deployments.promote("search/ranker:1.0.0", reason="first")
    second = book.deployments.promote("search/ranker:1.0.1", expected_epoch=1)
    back = book.deployments.rollback("search/ranker", reason="slow")

    assert (first.epoch, second.epoch, back.epoch) == (1, 2, 3)
    assert back.statuses == {"1.0.1": "deprecated", "1.0.0": "production"}
    assert book.get("search/ranker").status is herdbook.Status.PRODUCTION
    moves = book.deployments.history("search/ranker").items
    assert [m.to_number for m in moves] == ["1.0.0", "1.0.1", "1.0.0"]
    then = book.deployments.at(second.at, model="search/ranker").items[0]
    assert (then.since.to_number, then.until) == ("1.0.1", back.at)
    assert book.deployments.alias("search/ranker").epoch == 3


def test_what_is_set_current_or_deployed_twice_is_done_once(book: Herdbook) -> None:
    two_versions(book)

    once = book.deployments.set_deployed("search/ranker:1.0.0", reason="first")
    twice = book.deployments.set_current("search/ranker:1.0.0")
    out = book.deployments.set_deployed("search/ranker:1.0.0", deployed=False)

    assert (once.number, once.epoch, twice.epoch) == ("1.0.0", 1, 1)
    assert (out.number, out.epoch) == ("", 2)
    book.deployments.set_current("search/ranker:1.0.1")
    with pytest.raises(errors.Conflict, match="is in production"):
        book.deployments.set_deployed("search/ranker:1.0.0", deployed=False)


def test_blue_and_green_are_two_aliases_and_a_switch(book: Herdbook) -> None:
    two_versions(book)
    book.deployments.promote("search/ranker:1.0.0", alias="blue")
    book.deployments.promote("search/ranker:1.0.1", alias="green")
    book.deployments.promote("search/ranker@blue")

    moved = book.deployments.switch("search/ranker")
    again = book.deployments.switch("search/ranker")

    assert (moved.to_number, again.to_number) == ("1.0.1", "1.0.0")
    assert book.deployments.remove("search/ranker", "green").to_number == ""
    assert book.models.get("search/ranker").aliases == {"blue": "1.0.0", "champion": "1.0.0"}


def test_versions_are_found_compared_and_summed_up(book: Herdbook) -> None:
    two_versions(book)
    book.models.register("oracle", model_type="llm", metrics={"accuracy": 0.5}, git_commit="")

    found = book.versions.list("type = 'reranker' AND metrics.accuracy > 0.8 ORDER BY ordinal")
    first = book.versions.list("ORDER BY metrics.accuracy DESC", page_size=2)
    rest = book.versions.list("ORDER BY metrics.accuracy DESC", page_size=2, page=first.next)

    assert [v.number for v in found.items] == ["1.0.0", "1.0.1"]
    assert [v.ref for v in (*first.items, *rest.items)] == [
        "search/ranker:1.0.1",
        "search/ranker:1.0.0",
        "oracle:v1",
    ]
    assert rest.next is None
    assert book.versions.best("accuracy").number == "1.0.1"
    assert book.versions.cheapest().number == "1.0.0"
    rows = book.versions.compare("search/ranker:1.0.0", "search/ranker:1.0.1").rows
    assert {r.best for r in rows if r.name == "accuracy"} == {"search/ranker:1.0.1"}
    assert book.models.summary().totals.versions == 3
    assert [m.name for m in book.models.list(model_type="llm").items] == ["oracle"]


def test_the_pedigree_crosses_models(book: Herdbook) -> None:
    two_versions(book)
    book.models.register(
        "tiny", parent="search/ranker:1.0.1", parent_kind="quantization", git_commit=""
    )

    ancestors = book.lineage.ancestors("tiny:v1").items
    data = book.lineage.data("tiny:v1")

    assert [(a.ref, a.distance) for a in ancestors] == [
        ("search/ranker:1.0.1", 1),
        ("search/ranker:1.0.0", 2),
    ]
    assert data.sources == {"search/ranker:1.0.0": ("oracle", "toolbench")}
    assert [d.ref for d in book.lineage.descendants("search/ranker:1.0.0").items][-1] == "tiny:v1"
    assert book.lineage.tree("search/ranker").splitlines()[1].startswith("└── 1.0.0")
    assert [d.name for d in book.lineage.datasets().items] == ["oracle", "toolbench"]


def test_scores_and_observations_are_kept(book: Herdbook) -> None:
    two_versions(book)

    scored = book.evaluations.score("search/ranker:1.0.0", {"accuracy": 0.9}, dataset="golden")
    book.evaluations.observe("search/ranker:1.0.0", inference_time_ms=100, confidence=0.8)
    seen = book.evaluations.observe_many(
        "search/ranker:1.0.0", [Observation(inference_time_ms=300, error=True), Observation()]
    )

    assert scored.metrics["accuracy"] == 0.9
    history = book.evaluations.history("search/ranker:1.0.0", name="accuracy").items
    assert [(m.value, m.dataset) for m in history] == [(0.9, "golden"), (0.85, "")]
    assert (seen.count, seen.inference_time_ms, seen.confidence) == (3, 200, 0.8)
    assert seen.error_rate == pytest.approx(1 / 3)


def test_drafts_are_completed_and_sealed(book: Herdbook) -> None:
    book.models.register("majora", status="draft", samples=10, git_commit="")

    revised = book.versions.revise("majora:v1", epochs=3, files={"gguf": "out/m.gguf"})
    sealed = book.versions.set_status("majora:v1", "development")

    assert (revised.training.samples, revised.training.epochs) == (10, 3)
    assert sealed.sealed
    with pytest.raises(errors.Immutable, match="no longer changes"):
        book.versions.revise("majora:v1", epochs=4)
    assert book.versions.update("majora:v1", notes="good", tags=["stable"]).tags == {"stable": ""}


def test_the_log_tells_all_of_it_and_verifies(book: Herdbook) -> None:
    two_versions(book)
    book.deployments.promote("search/ranker:1.0.0")
    checkpoint = book.events.checkpoint()

    verdict = book.events.verify(against=checkpoint)

    assert verdict.ok
    assert [e.action for e in book.events.each()] == [
        "model.registered",
        "version.registered",
        "version.registered",
        "alias.moved",
    ]
    assert (checkpoint.seq, verdict.events) == (4, 4)


def test_what_is_deleted_leaves_a_tombstone_and_comes_back(book: Herdbook) -> None:
    two_versions(book)

    book.versions.delete("search/ranker:1.0.1", reason="wrong data")

    with pytest.raises(errors.Gone, match="wrong data"):
        book.get("search/ranker:1.0.1")
    with pytest.raises(errors.AlreadyExists, match="deleted"):
        book.models.register("search/ranker", "v1.0.1", git_commit="")
    assert book.models.register("search/ranker", git_commit="").number == "1.0.2"
    assert book.versions.restore("search/ranker:1.0.1").ordinal == 2


def test_every_mistake_is_the_same_error(book: Herdbook) -> None:
    two_versions(book)
    book.deployments.promote("search/ranker:1.0.0")
    mistakes: dict[type[errors.HerdbookError], Callable[[], object]] = {
        errors.NotFound: lambda: book.get("search/ranker:9.9"),
        errors.AlreadyExists: lambda: book.models.register("search/ranker", "v1", git_commit=""),
        errors.StaleEpoch: lambda: book.deployments.promote(
            "search/ranker:1.0.1", expected_epoch=7
        ),
        errors.InvalidFilter: lambda: book.versions.list("metrics.accuracy >"),
        errors.UnknownField: lambda: book.versions.list("shoe_size > 1"),
        errors.RefusedMove: lambda: book.versions.set_status("search/ranker:1.0.1", "draft"),
        errors.Conflict: lambda: book.versions.delete("search/ranker:1.0.0"),
        errors.Invalid: lambda: book.evaluations.score("search/ranker:1.0.0", {}),
    }

    for kind, mistake in mistakes.items():
        with pytest.raises(kind) as caught:
            mistake()
        assert caught.value.code == kind.code
        assert len(caught.value.message) > 20


def test_tokens_and_webhooks_are_made_listed_and_taken_back(book: Herdbook) -> None:
    made = book.tokens.create("ci", roles=["contributor:search/*"], days=1)
    hook = book.webhooks.create("https://example.com/hook", actions=["alias.moved"])

    assert made.secret.startswith(f"hb_{made.token.id}")
    assert [t.id for t in book.tokens.list().items] == [made.token.id]
    assert book.tokens.revoke(made.token.id).revoked_at is not None
    assert [w.url for w in book.webhooks.list().items] == ["https://example.com/hook"]
    two_versions(book)
    book.deployments.promote("search/ranker:1.0.0")
    assert [d.seq for d in book.webhooks.deliveries(hook.webhook.id).items] == [7]
    assert book.webhooks.remove(hook.webhook.id).id == hook.webhook.id


def test_what_it_resolves_to_follows_the_register(book: Herdbook) -> None:
    two_versions(book)
    book.deployments.promote("search/ranker:1.0.0")

    before = book.resolve("search/ranker@champion")
    book.deployments.promote("search/ranker:1.0.1")
    book.resolve.refresh()

    assert before.number == "1.0.0"
    assert book.resolve("search/ranker@champion").number == "1.0.1"
    assert datetime.now(UTC) >= before.created_at
