"""Blue/green from Python: a version in a slot beside the one that is read."""

from pathlib import Path
from uuid import uuid4

import pytest

from herdbook.errors import Conflict, Invalid, NotFound
from herdbook.front.book import Herdbook
from tests.front.samples import classifier, weights


@pytest.fixture
def model(book: Herdbook, tmp_path: Path) -> str:
    """A model with two versions that differ."""
    name = f"majora-{uuid4().hex[:8]}"
    folder = classifier(tmp_path / "model", weights(), ["buy", "sell"])
    book.artifacts.push(name, "v1", path=folder)
    (folder / "README.md").write_text("# the second\n")
    book.artifacts.push(name, "v2", path=folder)
    return name


def test_a_version_is_staged_switched_to_and_left_again(
    book: Herdbook, model: str, tmp_path: Path
) -> None:
    slots = book.artifacts.slots(tmp_path / "slots")

    for number, slot in (("v1", "blue"), ("v2", "green")):
        staged = book.artifacts.stage(f"{model}:{number}", slot, to=tmp_path / "slots")
        assert staged.held.digest == book.get(f"{model}:{number}").facts.manifest
        slots.switch(slot)

    current = tmp_path / "slots" / "current"
    assert (current / "README.md").read_text() == "# the second\n"
    assert slots.back().slot == "blue"
    live = slots.status().live
    assert live is not None
    assert live.version == f"{model}:v1"
    assert (
        not (current / "README.md").exists() or "second" not in (current / "README.md").read_text()
    )


def test_the_slot_that_is_read_is_not_staged_into(
    book: Herdbook, model: str, tmp_path: Path
) -> None:
    book.artifacts.stage(f"{model}:v1", "blue", to=tmp_path / "slots")
    book.artifacts.slots(tmp_path / "slots").switch("blue")

    with pytest.raises(Conflict, match="blue is current"):
        book.artifacts.stage(f"{model}:v2", "blue", to=tmp_path / "slots")


def test_a_folder_is_staged_as_it_is(book: Herdbook, tmp_path: Path) -> None:
    folder = classifier(tmp_path / "model", weights(), ["buy", "sell"])

    staged = book.artifacts.stage(f"local:{folder}", "blue", to=tmp_path / "slots")

    assert staged.held.version == f"local:{folder}"


def test_what_cannot_be_staged_says_why(book: Herdbook, model: str, tmp_path: Path) -> None:
    book.models.register(model, "v3")
    with pytest.raises(NotFound, match="registered without its files"):
        book.artifacts.stage(f"{model}:v3", "blue", to=tmp_path / "slots")
    with pytest.raises(NotFound, match="v9"):
        book.artifacts.stage(f"{model}:v9", "blue", to=tmp_path / "slots")
    with pytest.raises(Invalid, match="not staged directly"):
        book.artifacts.stage("hf:org/name", "blue", to=tmp_path / "slots")
    assert not (tmp_path / "slots" / "blue").exists()
