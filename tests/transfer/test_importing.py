"""What other registries hold, taken into a register."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import herdbook as hb
from herdbook.core.numbers import Number
from herdbook.errors import Invalid, NotFound
from herdbook.front.importing import import_afs, import_coreml, import_folder
from herdbook.protocols import afs as afs_protocol
from herdbook.protocols.plan import nearest, numbers
from tests.transfer import samples
from tests.transfer.registers import opened

MINILM = "paraphrase-multilingual-MiniLM-L12-v2"


@pytest.fixture(params=["sqlite", "postgresql"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[hb.Herdbook]:
    """An empty register."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/own.db" if sqlite else request.getfixturevalue("postgres_url")
    with opened(url) as found:
        yield found


def written(folder: Path, name: str, value: object) -> Path:
    """Write a JSON file and give its path."""
    path = folder / name
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_an_afs_registry_keeps_everything_it_says(book: hb.Herdbook, tmp_path: Path) -> None:
    registry = written(tmp_path, "registry.json", samples.afs())

    loaded = import_afs(book, registry)

    model, v1 = book.models.get("majora"), book.get("majora:v1")
    assert (model.description, model.owner, dict(model.tags)) == (
        "Writes code",
        "search",
        {"coder": ""},
    )
    assert model.metadata == {"source_created_at": "2026-01-14T10:00:00"}
    assert v1.training.samples == 240
    assert v1.training.base_model == "Qwen2.5-Coder-7B"
    assert dict(v1.metrics) == {
        "accuracy": 0.81,
        "f1": 0.79,
        "helpful": 0.9,
        "rouge1": 0.4,
        "rougeL": 0.3,
    }
    assert v1.file("lora") == "out/majora-v1-lora"
    assert v1.facts.datasets == ("oracle", "toolbench")
    assert v1.facts.git_commit == "0a1b2c3d"
    assert v1.facts.metadata == {"seed": 7}
    assert v1.tags["source_deployed_at"] == "2026-01-14T11:00:00"
    assert loaded.counts == {"models": 1, "versions": 6, "skipped": 0, "promotions": 2}
    assert any("broken is nan" in note for note in loaded.notes)


def test_the_version_deployed_last_is_the_champion_and_rollback_goes_to_the_one_before(
    book: hb.Herdbook, tmp_path: Path
) -> None:
    import_afs(book, written(tmp_path, "registry.json", samples.afs()))

    statuses = {v.number: str(v.status) for v in book.versions.each(model="majora")}
    move = book.deployments.rollback("majora")

    assert statuses == {
        "v0": "archived",
        "v1": "deprecated",
        "v2": "deprecated",
        "v2-b": "development",
        "v3": "production",
        "v4": "draft",
    }
    assert (move.from_number, move.to_number) == ("v3", "v1")
    assert book.get("majora:v1").tags["deployed"] == "true"


def test_parents_come_from_parent_version_and_from_a_base_model_that_names_one(
    book: hb.Herdbook, tmp_path: Path
) -> None:
    import_afs(book, written(tmp_path, "registry.json", samples.afs()))

    above = [relative.ref for relative in book.lineage.ancestors("majora:v4").items]

    assert above == ["majora:v3", "majora:v2-b", "majora:v2", "majora:v1"]
    assert book.get("majora:v2-b").tags["imported_number"] == "v2b"


def test_the_lineage_fills_in_what_the_registry_leaves_open(
    book: hb.Herdbook, tmp_path: Path
) -> None:
    registry = written(tmp_path, "registry.json", samples.afs())
    lines = written(tmp_path, "lineage.json", samples.lineage())

    loaded = import_afs(book, registry, lineage=lines)

    v2 = book.get("majora:v2")
    assert v2.facts.datasets == ("oracle", "hard-cases")
    assert (v2.facts.git_commit, v2.facts.git_dirty) == ("4d5e6f70", True)
    assert v2.notes == "Tuned further"
    assert book.get("majora:v5").facts.parents[0].ref == "majora:v4"
    assert "majora v5 stands in the lineage alone." in loaded.notes


def test_importing_again_changes_nothing(book: hb.Herdbook, tmp_path: Path) -> None:
    registry = written(tmp_path, "registry.json", samples.afs())
    import_afs(book, registry)
    before = book.events.checkpoint()

    loaded = import_afs(book, registry)

    assert loaded.counts == {"models": 0, "versions": 0, "skipped": 6, "promotions": 0}
    assert "majora:v1 is there already." in loaded.notes
    assert book.events.checkpoint() == before


def test_an_import_that_was_stopped_is_finished_by_giving_it_again(
    book: hb.Herdbook, tmp_path: Path
) -> None:
    registry = written(tmp_path, "registry.json", samples.afs())

    def stop(done: int, _of: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_afs(book, registry, progress=stop)
    import_afs(book, registry)

    assert book.models.get("majora").champion == "v3"
    assert book.models.get("majora").versions == 6


def test_a_champion_that_was_there_before_stays(book: hb.Herdbook, tmp_path: Path) -> None:
    book.models.register("majora", "v9", status="production")

    loaded = import_afs(book, written(tmp_path, "registry.json", samples.afs()))

    assert book.models.get("majora").champion == "v9"
    assert any("majora@champion is v9 already and stays" in note for note in loaded.notes)


def test_a_dry_run_tells_the_same_and_writes_nothing(book: hb.Herdbook, tmp_path: Path) -> None:
    registry = written(tmp_path, "registry.json", samples.afs())

    told = import_afs(book, registry, dry_run=True)

    assert told.dry_run
    with pytest.raises(NotFound):
        book.models.get("majora")
    done = import_afs(book, registry)
    assert (done.counts, done.notes) == (told.counts, told.notes)


@pytest.mark.parametrize(
    ("keys", "value", "place"),
    [
        (["v1", "training", "epochs"], "three", "models.majora.versions.v1.training.epochs"),
        (["v1", "training", "samples"], -1, "models.majora.versions.v1.training.samples"),
        (["v1", "training"], [], "models.majora.versions.v1.training"),
        (["v1", "evaluation_scores", "accuracy"], "good",
         "models.majora.versions.v1.evaluation_scores.accuracy"),
        (["v1", "status"], "live", "models.majora.versions.v1.status"),
        (["v1", "tags"], {"a": 1}, "models.majora.versions.v1.tags"),
        (["v1", "notes"], 5, "models.majora.versions.v1.notes"),
        (["v1"], "v1", "models.majora.versions.v1"),
    ],
)  # fmt: skip
def test_a_broken_fact_is_named_by_its_place_and_nothing_is_written(
    tmp_path: Path, keys: list[str], value: object, place: str
) -> None:
    registry = samples.afs()
    inner: Any = registry["models"]["majora"]["versions"]
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path = written(tmp_path, "registry.json", registry)

    with opened(f"sqlite:///{tmp_path}/own.db") as book:
        with pytest.raises(Invalid) as caught:
            import_afs(book, path)

        assert caught.value.field == place
        assert place in caught.value.message
        assert book.events.checkpoint().seq == 0


def test_a_ring_of_parents_is_refused() -> None:
    registry = samples.afs()
    registry["models"]["majora"]["versions"]["v1"]["parent_version"] = "v3"

    with pytest.raises(Invalid, match="cannot come from itself"):
        afs_protocol.read(registry)


def test_a_parent_that_is_nowhere_is_left_out_with_a_note(tmp_path: Path) -> None:
    registry = samples.afs()
    registry["models"]["majora"]["versions"]["v1"]["parent_version"] = "oracle:v7"

    with opened(f"sqlite:///{tmp_path}/own.db") as book:
        loaded = import_afs(book, written(tmp_path, "registry.json", registry))

        assert "majora:v1 came from oracle:v7, which is not there." in loaded.notes
        assert book.get("majora:v1").facts.parents == ()


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"models": 3}', '{"lineages": {}}', "[" * 9_999])
def test_a_file_that_is_no_registry_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "registry.json"
    path.write_text(text, encoding="utf-8")

    with opened(f"sqlite:///{tmp_path}/own.db") as book:
        for read in (import_afs, import_coreml):
            with pytest.raises(Invalid):
                read(book, path)


def test_the_current_version_of_a_coreml_registry_is_the_champion(
    book: hb.Herdbook, tmp_path: Path
) -> None:
    loaded = import_coreml(book, written(tmp_path, "model_registry.json", samples.coreml()))

    model, current = book.models.get(MINILM), book.get(f"{MINILM}@champion")
    assert (model.type, current.number) == ("embedding", "1.1.0")
    assert current.facts.metadata == {"chunk_size": 1000}
    assert current.facts.dependencies == ("torch==2.4",)
    assert current.metrics["latency_ms"] == 40.5
    assert str(book.get(f"{MINILM}:1.0.0").status) == "deprecated"
    assert str(book.get(f"{MINILM}:2.0.0").status) == "staging"
    assert book.deployments.rollback(MINILM).to_number == "1.0.0"
    assert any("was in production beside 1.1.0" in note for note in loaded.notes)


def test_a_coreml_registry_may_be_lists(book: hb.Herdbook, tmp_path: Path) -> None:
    registry = samples.coreml()
    name, entry = registry["models"].popitem()
    versions = [{**said, "version": number} for number, said in entry["versions"].items()]
    registry["models"] = [{**entry, "model_name": name, "versions": versions}]

    import_coreml(book, written(tmp_path, "model_registry.json", registry))

    assert book.get(f"{MINILM}@champion").number == "1.1.0"
    assert book.models.get(MINILM).versions == 3


def test_a_current_version_that_is_archived_serves_nowhere(
    book: hb.Herdbook, tmp_path: Path
) -> None:
    registry = samples.coreml()
    registry["models"][MINILM]["versions"] = {"1.1.0": {"status": "archived"}}

    loaded = import_coreml(book, written(tmp_path, "model_registry.json", registry))

    assert book.models.get(MINILM).champion == ""
    assert any("serves nowhere here" in note for note in loaded.notes)


def test_a_tree_of_models_is_registered_by_its_folders(book: hb.Herdbook, tmp_path: Path) -> None:
    files = {
        "artifacts/model-v1/config.json": '{"model_type": "bert", "_name_or_path": "gbert-base"}',
        "artifacts/model-v1/pytorch_model.bin": "w",
        "artifacts/model-v1/labels.txt": "a",
        "artifacts/model-v1/artifact_metadata.json": '{"description": "Base line"}',
        "artifacts/model-v2/model.safetensors": "w",
        "artifacts/model-experimental/model.safetensors": "w",
        "majora/1.0.0/majora-Q8_0.gguf": "w",
        "majora/1.0.0/.cache/hidden.bin": "w",
        "oracle/adapter_model.safetensors": "w",
        "docs/notes.md": "nothing to register",
    }
    for name, text in files.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    told = import_folder(book, tmp_path / "tree", dry_run=True)
    loaded = import_folder(book, tmp_path / "tree")

    assert told.counts == loaded.counts
    assert sorted(version.ref for version in book.versions.each()) == [
        "artifacts/model:v0-experimental",
        "artifacts/model:v1",
        "artifacts/model:v2",
        "majora:1.0.0",
        "oracle:v1",
    ]
    v1 = book.get("artifacts/model:v1")
    assert (v1.description, v1.training.base_model) == ("Base line", "gbert-base")
    assert v1.file("weights") == f"{tmp_path}/tree/artifacts/model-v1/pytorch_model.bin"
    assert {f.role for f in v1.facts.files} == {"config", "weights", "labels", "metadata"}
    assert book.models.get("artifacts/model").type == "bert"
    assert book.get("oracle:v1").file("lora").endswith("/oracle/adapter_model.safetensors")
    assert import_folder(book, tmp_path / "tree").counts["skipped"] == 5


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with (
        opened(f"sqlite:///{tmp_path}/own.db") as book,
        pytest.raises(Invalid, match="no folder with files of a model"),
    ):
        import_folder(book, tmp_path)


@given(st.text(max_size=120))
def test_every_text_has_a_nearest_number(text: str) -> None:
    assert Number(nearest(text)).text == nearest(text)
    assert nearest(nearest(text)) == nearest(text)


@given(st.lists(st.sampled_from(["v1", "1.0", "1.0.0", "v2b", "v2-b", "2.0-b", "x", "X", "?"])))
def test_no_two_foreign_numbers_become_one(texts: list[str]) -> None:
    found, _ = numbers(texts, model="majora")

    assert len({Number(number) for number in found.values()}) == len(found) == len(set(texts))
