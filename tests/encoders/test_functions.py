"""Encoders that are Python functions, and what they do wrong."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from herdbook.core.spaces import EncoderSpec
from herdbook.encoders import opened, wrapped
from herdbook.errors import Conflict, HerdbookError, Invalid, Unavailable
from tests.encoders import embedders

TEXTS = ["rain", "a claim", "the policy", "poisonous", "last"]
SOURCE = "python:tests.encoders.embedders:"


def a_spec(name: str = "lists", **said: Any) -> EncoderSpec:
    return EncoderSpec(**{"model": "gnn", "number": "v1", "source": SOURCE + name, **said})


def unit(texts: list[str]) -> Any:
    rows = np.array([embedders.vector(text) for text in texts])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("name", ["lists", "Client", "Calling", "factory"])
def test_a_function_an_object_and_a_factory_embed_alike(name: str) -> None:
    encoder = opened(a_spec(name, batch=2, prefix="p: ", query_prefix="q: "))

    assert np.allclose(encoder.embed(TEXTS), unit([f"p: {text}" for text in TEXTS]), atol=1e-6)
    assert np.allclose(encoder.embed_queries(["rain"]), unit(["q: rain"]), atol=1e-6)
    assert encoder.embed(TEXTS).dtype == np.float32
    assert encoder.embed([]).shape == (0, 6)


def test_a_class_is_made_an_object_of_once() -> None:
    before = embedders.Client.made

    encoder = opened(a_spec("Client"))
    encoder.embed(TEXTS)
    encoder.embed(TEXTS)

    assert embedders.Client.made == before + 1


def test_the_space_is_measured() -> None:
    space = opened(a_spec("half", normalize=False, pooling="cls", prefix="p: ", chunker="c")).space

    assert (space.dimension, space.dtype, space.normalized) == (6, "float16", False)
    assert (space.pooling, space.prefix, space.chunker) == ("cls", "p: ", "c")
    assert opened(a_spec("half")).space.normalized
    assert opened(a_spec("Client", pooling="cls")).space.pooling == "mean"
    with pytest.raises(Conflict, match="6 dimensions, and 7 are wanted"):
        opened(a_spec(dimension=7))


def test_the_digest_is_of_the_code_and_of_what_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    code = "def embed(texts):\n    return [[1.0, 2.0] for _ in texts]\n"
    found = []
    for written in (code, code, code.replace("2.0", "3.0")):
        (tmp_path / "own_encoder.py").write_text(written)
        sys.modules.pop("own_encoder", None)
        found.append(opened(a_spec(source="python:own_encoder:embed")).space)
    sys.modules.pop("own_encoder")

    assert found[0].digest.startswith("code:")
    assert found[0].fingerprint == found[1].fingerprint != found[2].fingerprint
    others = [opened(a_spec(number="v2")), opened(a_spec("Calling")), opened(a_spec())]
    assert len({one.space.fingerprint for one in others}) == 3
    assert opened(a_spec(), digest="sha256:5d").space.digest == "sha256:5d"


def test_two_versions_of_one_class_with_other_weights_are_two_spaces() -> None:
    first = wrapped(embedders.Calling(), a_spec())
    second = wrapped(embedders.Calling(), a_spec(number="v2"))

    assert first.space.fingerprint != second.space.fingerprint


def test_code_that_is_in_no_file_is_known_by_its_version_alone() -> None:
    space: dict[str, Any] = {"__name__": "a_notebook"}
    exec("def embed(texts):\n    return [[1.0] for _ in texts]\n", space)  # noqa: S102

    assert wrapped(space["embed"], a_spec()).space.digest == ""


def test_tokens_are_the_functions_own_or_estimated() -> None:
    assert opened(a_spec("Calling", prefix="to embed: ")).tokens(["a b c"]) == 5
    assert opened(a_spec("lists")).tokens(["x" * 40, "y"]) == 11
    assert opened(a_spec("Client")).tokens(["x" * 40, "y"]) == 3
    assert opened(a_spec("lists")).tokens([]) == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("odd"), Invalid),
        (TypeError("odd"), Invalid),
        (KeyError("odd"), Invalid),
        (RuntimeError("odd"), Invalid),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"), Invalid),
        (OSError("odd"), Unavailable),
        (ConnectionResetError("odd"), Unavailable),
        (TimeoutError("odd"), Unavailable),
        (MemoryError("odd"), Unavailable),
        (Conflict("odd"), Conflict),
    ],
)
def test_what_a_function_raises_is_told_by_its_name(
    error: Exception, kind: type[HerdbookError]
) -> None:
    def raising(texts: list[str]) -> Any:
        if "rain" in texts:
            raise error
        return embedders.lists(texts)

    encoder = wrapped(raising, a_spec())
    with pytest.raises(kind, match="odd") as caught:
        encoder.embed(TEXTS)

    assert kind is Conflict or f"raising raises {type(error).__name__}" in str(caught.value)


class RateLimitError(Exception):
    """As clients of services have it: with a status, and none of Python's own."""

    def __init__(self, status: int) -> None:
        super().__init__("from a service")
        self.status_code = status


@pytest.mark.parametrize(
    ("status", "kind"), [(429, Unavailable), (503, Unavailable), (400, Invalid)]
)
def test_a_client_that_is_told_to_wait_makes_no_text_poison(
    status: int, kind: type[HerdbookError]
) -> None:
    def asking(texts: list[str]) -> Any:
        if "rain" in texts:
            raise RuntimeError("wrapped") from RateLimitError(status)
        return embedders.lists(texts)

    with pytest.raises(kind, match="wrapped"):
        wrapped(asking, a_spec()).embed(TEXTS)


def answering(wrong: Callable[[list[list[float]]], Any]) -> Callable[[list[str]], Any]:
    """Give a function that embeds the probe rightly, and then no more."""
    return lambda texts: (
        wrong(embedders.lists(texts)) if "rain" in texts else embedders.lists(texts)
    )


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda rows: rows[:-1], "gives 4 vectors for 5 texts"),
        (lambda _: [], "gives 0 vectors for 5 texts"),
        (lambda rows: [row[:-1] for row in rows], "vectors of 5 dimensions, and 6 are wanted"),
        (lambda rows: [*rows[:-1], rows[-1][:-1]], "for text 4, gives vectors of 5 dimensions"),
        (lambda rows: [row[0] for row in rows], r"shape \(5,\)"),
        (lambda rows: [["a"] * 6 for _ in rows], "gives no vectors"),
        (lambda rows: np.array(rows) > 0, "array of bool"),
    ],
)
def test_what_is_not_of_the_space_is_a_conflict(
    wrong: Callable[[list[list[float]]], Any], why: str
) -> None:
    encoder = wrapped(answering(wrong), a_spec())

    with pytest.raises(Conflict, match=why):
        encoder.embed(TEXTS)


def test_a_row_too_few_in_one_batch_is_not_made_up_for_by_the_next() -> None:
    def shifted(texts: list[str]) -> list[list[float]]:
        rows = embedders.lists(texts)
        return rows[:-1] if "rain" in texts else [rows[0], *rows] if "last" in texts else rows

    encoder = wrapped(shifted, a_spec(batch=3))

    with pytest.raises(Conflict, match="gives 2 vectors for 3 texts"):
        encoder.embed(TEXTS)


@pytest.mark.parametrize("bad", [[np.nan] * 6, [np.inf] * 6, [0.0] * 6, [1e-200] * 6, [1e300] * 6])
def test_a_vector_that_is_none_names_its_text(bad: list[float]) -> None:
    encoder = wrapped(answering(lambda rows: [*rows[:3], bad, bad]), a_spec())

    with pytest.raises(Invalid, match="for text 3 ") as caught:
        encoder.embed(TEXTS)

    assert caught.value.details == {"index": 3}


@pytest.mark.parametrize("text", [None, 7, "a\ud800"])
def test_what_nobody_can_read_names_its_place_and_is_not_tried(text: Any) -> None:
    with pytest.raises(Invalid, match="text 1 cannot be embedded") as caught:
        opened(a_spec()).embed(["rain", text])

    assert caught.value.details == {"index": 1}


def test_a_buffer_that_is_used_again_changes_nothing_that_was_given() -> None:
    buffer = np.ones((1, 3), dtype=np.float32)

    def embed(texts: list[str]) -> Any:
        buffer[:] = len(texts[0])
        return buffer

    encoder = wrapped(embed, a_spec(normalize=False))
    first = encoder.embed(["a"])
    encoder.embed(["ab"])

    assert first.tolist() == [[1, 1, 1]]
    assert buffer.tolist() == [[2, 2, 2]]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("python:no.such.module:embed", "cannot be imported: ModuleNotFoundError"),
        (f"{SOURCE}absent", "there is no absent in"),
        (f"{SOURCE}broken", "raises RuntimeError: no weights here"),
        (f"{SOURCE}nothing", "gives int, which embeds nothing"),
        ("python:math:pi", "gives float, which embeds nothing"),
        ("python:__main__:embed", "only in this program"),
    ],
)
def test_what_embeds_nothing_is_told_at_once(source: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        opened(a_spec(source=source))


def test_a_poison_text_fails_alone() -> None:
    encoder = opened(a_spec("fussy"))

    with pytest.raises(Invalid, match="cannot read poison"):
        encoder.embed(TEXTS)

    assert encoder.embed([*TEXTS[:3], TEXTS[4]]).shape == (4, 6)
