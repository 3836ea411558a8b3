"""Versions of the register, loaded by reference."""

import dataclasses
from pathlib import Path

import pytest

import herdbook
from herdbook.errors import NotFound
from herdbook.loader import create_model_artifact, find, get_model_info, load, load_labels
from herdbook.settings import Settings
from tests.loader.samples import LABELS, classifier_files, weights, written


@pytest.fixture
def pushed(settings: Settings, tmp_path: Path) -> Settings:
    """A register with majora v1, the champion, and v2."""
    with herdbook.connect(settings=settings) as book:
        for number, seed in [("v1", 0), ("v2", 1)]:
            files = {**classifier_files(), "model.safetensors": weights(seed)}
            book.artifacts.push("majora", number, path=written(tmp_path / number, files))
        book.deployments.promote("majora:v1")
    return settings


def test_the_champion_is_found_with_the_version_it_is(pushed: Settings, tmp_path: Path) -> None:
    found = find("herdbook:majora@champion", settings=pushed)

    assert (found.revision, found.verified) == ("majora:v1", True)
    assert {p: (found.folder / p).read_bytes() for p in found.files} == {
        p: (tmp_path / "v1" / p).read_bytes() for p in classifier_files()
    }
    assert load_labels("majora", settings=pushed) == list(LABELS)


def test_an_alias_that_moved_gives_the_other_version(pushed: Settings) -> None:
    find("majora@champion", settings=pushed)
    with herdbook.connect(settings=pushed) as book:
        book.deployments.promote("majora:v2")

    assert find("majora@champion", settings=pushed).revision == "majora:v2"


def test_tensors_come_back_bit_for_bit(pushed: Settings) -> None:
    loaded = load("majora:v2", using="safetensors", settings=pushed)

    path = loaded.found.folder / "model.safetensors"
    assert path.read_bytes() == weights(1)


def test_a_version_is_described_without_being_pulled(pushed: Settings) -> None:
    before = get_model_info("majora:v1", settings=pushed)
    find("majora:v1", settings=pushed)
    after = get_model_info("majora:v1", settings=pushed)

    assert (before["available"], after["available"]) == (False, True)
    assert (after["revision"], after["num_labels"]) == ("majora:v1", 3)


def test_an_artifact_of_a_version_says_which_one(pushed: Settings) -> None:
    made = create_model_artifact("majora@champion", "v1", settings=pushed)

    found = find(f"local:{made}", settings=pushed)
    assert found.revision == "majora:v1"
    assert found.verified


def test_offline_a_register_of_this_machine_is_read(pushed: Settings) -> None:
    offline = dataclasses.replace(pushed, offline=True)

    assert find("majora:v2", settings=offline).revision == "majora:v2"


def test_offline_a_store_behind_a_network_is_not_asked(pushed: Settings) -> None:
    far = dataclasses.replace(pushed, offline=True, blobs="s3://models/blobs")

    with pytest.raises(NotFound, match="forbids to fetch it from s3://models/blobs"):
        find("majora:v1", settings=far)

    find("majora:v1", settings=pushed)
    assert find("majora:v1", settings=far).verified


def test_a_version_that_is_not_there_is_told(pushed: Settings) -> None:
    with pytest.raises(NotFound, match="v9"):
        find("majora:v9", settings=pushed)
