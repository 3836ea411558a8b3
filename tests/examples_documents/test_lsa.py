"""LSA embeds as scikit-learn's own pipeline does, and is kept without pickle."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from examples.documents import lsa
from examples.documents.corpus import documents
from examples.documents.lsa import LSA

DIMENSION = 24


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [each.text for each in documents(200)]


@pytest.fixture(scope="module")
def model(texts: list[str]) -> LSA:
    return LSA.fitted(texts, dimension=DIMENSION)


def test_vectors_are_those_of_scikit_learns_pipeline(model: LSA, texts: list[str]) -> None:
    theirs = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=20_000),
        TruncatedSVD(DIMENSION, n_iter=5, random_state=0),
        Normalizer(),
    )

    expected = theirs.fit(texts).transform(texts)

    found = model(texts)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-4)


def test_the_same_texts_give_the_same_model(model: LSA, texts: list[str]) -> None:
    again = LSA.fitted(texts, dimension=DIMENSION)

    assert again.digest == model.digest
    assert LSA.fitted(texts[:-1], dimension=DIMENSION).digest != model.digest


def test_it_is_saved_and_loaded_without_running_anything(model: LSA, tmp_path: Path) -> None:
    model.save(tmp_path / "lsa")

    again = LSA.load(tmp_path / "lsa")

    assert sorted(path.name for path in (tmp_path / "lsa").iterdir()) == ["lsa.npz", "words.json"]
    assert again.digest == model.digest
    assert again(["a list of values"]) == pytest.approx(model(["a list of values"]))


def test_saving_twice_writes_the_same_bytes(model: LSA, tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        model.save(tmp_path / name)
        whole = b"".join(path.read_bytes() for path in sorted((tmp_path / name).iterdir()))
        digests.add(hashlib.sha256(whole).hexdigest())

    assert len(digests) == 1


def test_the_encoder_of_the_environment_is_that_in_the_folder(
    model: LSA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save(tmp_path)
    monkeypatch.setenv(lsa.FOLDER, str(tmp_path))

    found = lsa.embed(["a list of values"])

    assert found == pytest.approx(model(["a list of values"]))
    assert lsa.embed.count_tokens(["a list of values", ""]) == 3
    assert (lsa.embed.dimension, lsa.embed.digest) == (DIMENSION, model.digest)


def test_without_a_folder_the_encoder_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(lsa.FOLDER, raising=False)

    with pytest.raises(ValueError, match="set EXAMPLE_LSA"):
        lsa.embed(["a list of values"])


def test_texts_of_unknown_words_have_a_direction_too(model: LSA) -> None:
    found = model(["qzx", "", "a list of values"])

    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(3))
    assert found[0].tolist() == found[1].tolist()
    assert model([]).shape == (0, DIMENSION)


def test_too_few_texts_are_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError, match="too few for 256 dimensions"):
        LSA.fitted(texts)
