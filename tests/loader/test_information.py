"""What is told of a model that is not loaded."""

import json
from pathlib import Path

import pytest

from herdbook.errors import Invalid, NotFound
from herdbook.loader import find, get_model_info, load_labels
from herdbook.settings import Settings
from tests.loader.hub import Hub, Repository
from tests.loader.samples import LABELS, classifier_files, written


def a_model(folder: Path, **files: bytes) -> str:
    """Write a classifier, with some files more, and give its reference."""
    more = {name.replace("_txt", ".txt"): data for name, data in files.items()}
    return f"local:{written(folder / 'm', {**classifier_files(), **more})}"


def test_a_model_is_described_as_the_seed_has_it(settings: Settings, tmp_path: Path) -> None:
    ref = a_model(tmp_path)

    info = get_model_info(ref, settings=settings)

    asked = ("model_ref", "type", "available", "model_type", "num_labels")
    assert [info[name] for name in asked] == [ref, "local", True, "bert", 3]
    assert info["architecture"] == "BertForSequenceClassification"
    assert (info["library"], info["format"], info["parameters"]) == (
        "transformers",
        "safetensors",
        27,
    )
    assert (info["licence"], info["labels"], info["verified"]) == ("mit", list(LABELS), False)
    json.dumps(info)


def test_a_model_that_is_not_here_is_not_fetched_to_be_described(
    hub: Hub, settings: Settings
) -> None:
    hub.repositories["deepset/gbert-base"] = Repository(classifier_files())

    before = get_model_info("hf:deepset/gbert-base", settings=settings)
    assert hub.asked.total() == 0
    find("hf:deepset/gbert-base", settings=settings)
    after = get_model_info("hf:deepset/gbert-base", settings=settings)

    assert (before["available"], before["code"]) == (False, "not_found")
    assert "herdbook artifacts download hf:deepset/gbert-base" in before["problem"]
    assert after["available"]
    assert after["revision"] == hub.repositories["deepset/gbert-base"].refs["main"]


def test_a_header_that_lies_makes_a_model_unavailable(settings: Settings, tmp_path: Path) -> None:
    folder = written(tmp_path / "m", classifier_files())
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-8])

    info = get_model_info(f"local:{folder}", settings=settings)

    assert not info["available"]
    assert "model.safetensors" in info["problem"]


def test_the_setting_counts_where_no_reference_is_given(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_MODEL_REF", a_model(tmp_path))

    assert load_labels() == list(LABELS)
    with pytest.raises(Invalid, match="set ML_MODEL_REF"):
        load_labels(settings=settings)


def test_labels_of_a_file_go_before_those_without_names(settings: Settings, tmp_path: Path) -> None:
    unnamed = classifier_files(id2label={"0": "LABEL_0", "1": "LABEL_1"})
    folder = written(tmp_path / "m", {**unnamed, "labels.txt": "\ufeffja\r\nnein\r\n".encode()})

    assert load_labels(f"local:{folder}", settings=settings) == ["ja", "nein"]


def test_labels_that_contradict_each_other_are_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"labels\.txt names .* but config\.json names"):
        load_labels(a_model(tmp_path, labels_txt=b"a\nb\nc\n"), settings=settings)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a\n\nb\n", "label 2"),
        (b"a\na\n", "is there twice"),
        (b"\xff\n", "not text in UTF-8"),
        (b"a\x1b[31m\n", "does not show"),
        (b"x" * 2_000_000, "is over"),
    ],
)
def test_a_file_of_labels_that_cannot_be_right_is_refused(
    data: bytes, said: str, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(Invalid, match=said):
        load_labels(a_model(tmp_path, labels_txt=data), settings=settings)


def test_no_labels_are_an_error(settings: Settings, tmp_path: Path) -> None:
    files = classifier_files(architectures=["BertModel"], id2label={})

    with pytest.raises(NotFound, match="names no labels"):
        load_labels(f"local:{written(tmp_path / 'm', files)}", settings=settings)


def test_a_folder_of_everything_is_no_model(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herdbook.loader.files.FILES_LIMIT", 10)
    written(tmp_path / "m", {f"{at}/notes.txt": b"" for at in range(11)})

    with pytest.raises(Invalid, match="more than 10 files"):
        load_labels(f"local:{tmp_path}/m", settings=settings)
