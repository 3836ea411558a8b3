"""MiniLM in numpy says what torch says, and the versions made of it are what they are for."""

import json
import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.documents import changed, minilm
from examples.documents.changed import Changed
from examples.documents.minilm import DIMENSION, LONGEST, PACKAGE, Array, MiniLM
from herdbook.core.spaces import EncoderSpec
from herdbook.encoders.opening import opened

pytestmark = pytest.mark.skipif(find_spec(PACKAGE) is None, reason="its weights are not installed")

GOLDEN: dict[str, Any] = json.loads(Path("tests/golden/minilm.json").read_text(encoding="utf-8"))
TEXTS = [each["text"] * each["times"] for each in GOLDEN["cases"]]

PAIRS = [
    ("How do I undo the last deployment?", "Roll a model back to the version before."),
    ("The bearing of the pump runs hot.", "A motor overheats where its shaft is held."),
    ("What does the policy pay for a flood?", "Insurance covers damage done by rain and rivers."),
]


def likeness(one: Array, two: Array) -> Array:
    found: Array = (one * two).sum(axis=1)
    return found


@pytest.mark.parametrize(("layers", "name"), [(6, "vector"), (3, "early")])
def test_vectors_are_those_of_torch(layers: int, name: str) -> None:
    expected = np.array([each[name] for each in GOLDEN["cases"]])

    found = MiniLM(layers=layers)(TEXTS)

    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-5)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)


def test_what_else_is_embedded_with_a_text_does_not_count() -> None:
    together = minilm.embed([*TEXTS, ""])

    alone = np.concatenate([minilm.embed([text]) for text in [*TEXTS, ""]])

    assert together == pytest.approx(alone, abs=1e-5)


def test_a_question_is_nearest_to_what_answers_it() -> None:
    questions, answers = (minilm.embed(list(each)) for each in zip(*PAIRS, strict=True))

    nearest = (questions @ answers.T).argmax(axis=1)

    assert nearest.tolist() == [0, 1, 2]


def test_the_first_256_tokens_count() -> None:
    long = "vibration " * 400

    assert minilm.embed.count_tokens([long, "vibration", ""]) == LONGEST + 3 + 2
    assert minilm.embed([long]) == pytest.approx(minilm.embed([long + "of a pump"]))


def test_nothing_embeds_to_nothing() -> None:
    assert minilm.embed([]).shape == (0, DIMENSION)
    assert minilm.embed.count_tokens([]) == 0


@pytest.mark.parametrize(
    "encoder", [MiniLM(layers=2), Changed(noise=0.0, turn=0.5, seed=3), changed.embed_worse]
)
def test_another_process_makes_its_own_of_what_is_pickled(encoder: MiniLM) -> None:
    before = encoder(["majora"])

    packed = pickle.dumps(encoder)

    again = pickle.loads(packed)  # noqa: S301 - packed above
    assert len(packed) < 500
    assert again.digest == encoder.digest
    assert again(["majora"]) == pytest.approx(before)


def test_the_package_that_brings_the_weights_is_never_imported() -> None:
    code = (
        "import sys; from examples.documents.minilm import embed; embed(['majora']);"
        f"sys.exit({PACKAGE!r} in sys.modules or 'torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_layer_that_it_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 6 layers"):
        MiniLM(layers=7)


def test_gelu_is_that_of_the_normal_distribution() -> None:
    from scipy.stats import norm

    x = np.linspace(-12, 12, 4_001, dtype=np.float32)
    found = x.copy()

    minilm._gelu(found)

    assert found == pytest.approx(x * norm.cdf(x.astype(float)), abs=2e-6)


def test_the_changed_version_orders_alike_and_its_vectors_are_others() -> None:
    questions, answers = (list(each) for each in zip(*PAIRS, strict=True))
    old, new = minilm.embed(questions), changed.embed(questions)

    assert new.shape == old.shape
    assert likeness(old, new).max() < 0.6
    assert new @ changed.embed(answers).T == pytest.approx(old @ minilm.embed(answers).T, abs=0.1)
    assert np.linalg.norm(new, axis=1) == pytest.approx(np.ones(3), abs=1e-5)


def test_the_changed_version_is_the_same_every_time() -> None:
    assert Changed()(["majora"]).tolist() == changed.embed(["majora"]).tolist()
    assert likeness(Changed(seed=1)(["majora"]), changed.embed(["majora"]))[0] < 0.9


def test_the_worse_version_is_that_of_three_layers() -> None:
    assert changed.embed_worse(TEXTS) == pytest.approx(MiniLM(layers=3)(TEXTS))


def test_each_version_is_a_space_of_its_own() -> None:
    spaces = {
        opened(EncoderSpec(model="majora", number="v1", source=f"python:examples.documents.{name}"))
        .space.fingerprint
        for name in ("minilm:embed", "changed:embed", "changed:embed_worse")
    }  # fmt: skip

    assert len(spaces) == 3


def test_each_version_has_its_own_digest() -> None:
    every = [minilm.embed, changed.embed, changed.embed_worse, Changed(seed=1), Changed(turn=0.5)]

    assert len({each.digest for each in every}) == len(every)
    assert MiniLM(threads=2).digest == minilm.embed.digest
