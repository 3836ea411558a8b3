"""A register out of one database and into another, the same as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herdbook.errors import AlreadyExists, Conflict, Gone
from herdbook.front.models import Registration
from tests.transfer.registers import furnish, opened


@pytest.fixture(params=["sqlite to sqlite", "sqlite to postgresql", "postgresql to sqlite"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The addresses of two empty registers."""
    ways = {"sqlite": [f"sqlite:///{tmp_path}/one.db", f"sqlite:///{tmp_path}/two.db"]}
    if "postgresql" in request.param:
        ways["postgresql"] = [request.getfixturevalue("postgres_url")]
    one, two = request.param.split(" to ")
    return ways[one].pop(0), ways[two].pop()


def test_what_was_exported_and_imported_is_exported_the_same(urls: tuple[str, str]) -> None:
    with opened(urls[0]) as one, opened(urls[1]) as two:
        furnish(one)
        lines = list(one.export())

        loaded = two.load(lines)

        assert list(two.export()) == lines
        assert list(one.export()) == lines
        assert loaded.counts["versions"] == 7
        assert loaded.counts["moves"] == 4


def test_the_audit_log_verifies_after_an_import_and_goes_on(urls: tuple[str, str]) -> None:
    with opened(urls[0]) as one, opened(urls[1]) as two:
        furnish(one)
        head = one.events.checkpoint()
        two.load(one.export())

        two.models.register("majora", "v9")

        verdict = two.events.verify(against=head)
        assert verdict.ok
        assert verdict.events == head.seq + 1


def test_rollback_counters_and_tombstones_live_on_after_an_import(urls: tuple[str, str]) -> None:
    with opened(urls[0]) as one, opened(urls[1]) as two:
        furnish(one)
        two.load(one.export())

        move = two.deployments.rollback("majora")

        assert (move.from_number, move.to_number) == ("v2", "v1")
        assert two.models.register("gnn").number == "1.0.2"
        assert two.versions.get("gnn:1.0.2").ordinal == 3
        with pytest.raises(Gone, match="trained on the test set"):
            two.versions.get("gnn:1.0.1")
        with pytest.raises(AlreadyExists, match="renamed"):
            two.models.create("Paraphrase")
        assert two.models.restore("paraphrase").versions == 1
        assert two.versions.get("paraphrase:v1").ordinal == 1


def test_everything_can_be_found_after_an_import(urls: tuple[str, str]) -> None:
    with opened(urls[0]) as one, opened(urls[1]) as two:
        furnish(one)
        two.load(one.export())

        found = two.versions.list("tags.team = 'search' AND metrics.accuracy > 0.2")

        assert [version.ref for version in found.items] == ["majora:v1"]
        assert [r.ref for r in two.lineage.ancestors("majora:v3").items] == [
            "majora:v2",
            "oracle:v1",
            "majora:v1",
        ]
        assert two.evaluations.operational("majora:v1").confidence == 0.7
        assert two.lineage.datasets() == one.lineage.datasets()
        assert two.deployments.at().items[0].since.to_number == "v2"


def test_a_register_that_is_not_empty_takes_no_export(urls: tuple[str, str]) -> None:
    with opened(urls[0]) as one, opened(urls[1]) as two:
        furnish(one)
        two.models.create("oracle")
        before = list(two.export())

        with pytest.raises(Conflict, match="not empty"):
            two.load(one.export())

        assert list(two.export()) == before


def test_a_dry_run_checks_everything_and_writes_nothing(urls: tuple[str, str]) -> None:
    with opened(urls[0]) as one, opened(urls[1]) as two:
        furnish(one)
        empty = list(two.export())

        loaded = two.load(one.export(), dry_run=True)

        assert loaded.dry_run
        assert loaded.counts["models"] == 4
        assert list(two.export()) == empty
        assert two.load(one.export()).counts == loaded.counts


def test_an_empty_register_is_moved_too(urls: tuple[str, str]) -> None:
    with opened(urls[0]) as one, opened(urls[1]) as two:
        lines = list(one.export())

        two.load(lines)

        assert list(two.export()) == lines
        assert len(lines) == 2


def test_an_export_is_ascii_whatever_the_register_holds(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/one.db") as book:
        furnish(book)

        lines = list(book.export())

        assert all(line.isascii() for line in lines)
        assert [line for line in lines if len(line.splitlines()) != 1] == []


def test_more_than_a_batch_of_everything_is_moved(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "two")]
    with opened(urls[0]) as one, opened(urls[1]) as two:
        for number in range(1, 506):
            parent = f"majora:v{number - 1}" if number > 1 else ()
            one.models.register("majora", f"v{number}", parent=parent, metrics={"loss": number})
        lines = list(one.export())

        two.load(lines)

        assert list(two.export()) == lines
        assert len(two.lineage.ancestors("majora:v505").items) == 504


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
VERSIONS = st.fixed_dictionaries(
    {
        "description": TEXTS,
        "notes": TEXTS,
        "tags": st.dictionaries(st.sampled_from(["team", "stable"]), TEXTS),
        "metadata": st.dictionaries(
            TEXTS,
            st.one_of(
                TEXTS,
                st.floats(allow_nan=False, allow_infinity=False),
                st.integers(-(2**63) + 1, 2**63 - 1),
                st.none(),
            ),
            max_size=3,
        ),
        "metrics": st.dictionaries(
            st.sampled_from(["accuracy", "loss"]),
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        "learning_rate": st.one_of(st.none(), st.floats(0, 1)),
        "training_data": st.lists(st.sampled_from(["oracle", "toolbench"]), unique=True),
    }
)


@settings(max_examples=15)
@given(drafts=st.lists(VERSIONS, min_size=1, max_size=4), moved=st.integers(0, 3))
def test_any_register_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, drafts: list[Registration], moved: int
) -> None:
    folder = tmp_path_factory.mktemp("registers")
    with opened(f"sqlite:///{folder}/one.db") as one, opened(f"sqlite:///{folder}/two.db") as two:
        for draft in drafts:
            one.models.register("majora", **draft)
        one.deployments.promote(f"majora:v{min(moved, len(drafts) - 1) + 1}")
        lines = list(one.export())

        two.load(lines)

        assert list(two.export()) == lines
        assert two.events.verify().ok


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_export_sees_one_state_while_others_write(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sqlite = kind == "sqlite"
    url = f"sqlite:///{tmp_path}/one.db" if sqlite else request.getfixturevalue("postgres_url")
    with opened(url) as one, opened(url) as other, opened(f"sqlite:///{tmp_path}/two.db") as two:
        furnish(one)
        before = list(one.export())
        exporting = one.export()
        begun = [next(exporting)]

        if not sqlite:  # a SQLite writer may have to wait for the end of the export
            other.models.register("majora", "v7", metrics={"accuracy": 0.9})
            other.deployments.promote("majora:v7")

        lines = begun + list(exporting)
        assert lines == before
        two.load(lines)
        assert two.events.verify().ok


def test_a_register_that_is_written_to_during_an_import_keeps_what_was_written(
    tmp_path: Path, postgres_url: str
) -> None:
    with opened(f"sqlite:///{tmp_path}/one.db") as one:
        furnish(one)
        lines = list(one.export())

    with opened(postgres_url) as two, opened(postgres_url) as other:

        def interrupted() -> Iterator[str]:
            for line in lines:
                if '"kind":"event","seq":1,' in line:
                    other.models.create("oracle-judge")
                yield line

        with pytest.raises(Conflict, match="written to meanwhile"):
            two.load(interrupted())

        assert [model.name for model in two.models.each()] == ["oracle-judge"]
        assert two.events.verify().ok
