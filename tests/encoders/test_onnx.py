"""ONNX graphs as encoders, compared with the same sums by hand."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from herdbook.core.spaces import Encoder, EncoderSpec
from herdbook.encoders import opened
from herdbook.encoders.measuring import PROBE
from herdbook.errors import Invalid, MissingExtra, NotFound, Refused
from tests.encoders.graphs import DIMENSION, TABLE, WORDS, a_folder, a_graph, a_tokenizer

TEXTS = ["der antrag", "regen", "die police der antrag die police", "unbekannt", "der"]
POOLS: dict[str, Callable[[Any], Any]] = {
    "mean": lambda rows: rows.mean(axis=0),
    "cls": lambda rows: rows[0],
    "max": lambda rows: rows.max(axis=0),
}


def an_encoder(folder: Path, **said: Any) -> Encoder:
    said = {"model": "gbert", "number": "v1", "source": "herdbook:gbert:v1", **said}
    return opened(EncoderSpec(**said), folder=folder, digest="sha256:5d")


def tokens_of(text: str, most: int = 1_000) -> Any:
    ids = [WORDS.index(word) if word in WORDS else 1 for word in text.split()]
    return TABLE[[2, *ids[: most - 2], 3]]


def by_hand(texts: list[str], how: str = "mean", most: int = 1_000) -> Any:
    rows = np.array([POOLS[how](tokens_of(text, most)) for text in texts])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("how", ["mean", "cls", "max"])
@pytest.mark.parametrize("batch", [1, 2, 32])
def test_vectors_are_those_of_the_same_sums_by_hand(how: str, batch: int, tmp_path: Path) -> None:
    encoder = an_encoder(a_folder(tmp_path / "m", pooling=how), batch=batch)

    found = encoder.embed(TEXTS)

    assert np.allclose(found, by_hand(TEXTS, how), atol=1e-6)
    assert found.dtype == np.float32
    assert encoder.space.pooling == how


def test_the_space_is_what_ran(tmp_path: Path) -> None:
    space = an_encoder(a_folder(tmp_path / "m", name="model.onnx"), normalize=False).space

    assert (space.model, space.number, space.digest) == ("gbert", "v1", "sha256:5d")
    assert (space.dimension, space.dtype, space.normalized) == (DIMENSION, "float32", False)
    assert an_encoder(tmp_path / "m").space.normalized


def test_pooling_is_the_callers_where_the_files_do_not_say(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m", pooling="")

    with pytest.raises(Invalid, match="does not say how it pools"):
        an_encoder(folder)
    with pytest.raises(Invalid, match="pools by median; ONNX graphs are pooled by cls, max, mean"):
        an_encoder(folder, pooling="median")

    assert np.allclose(an_encoder(folder, pooling="max").embed(TEXTS), by_hand(TEXTS, "max"))


def test_pooling_is_read_as_newer_releases_write_it(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m")
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode": "cls"}')

    assert np.allclose(an_encoder(folder).embed(TEXTS), by_hand(TEXTS, "cls"), atol=1e-6)


def test_a_graph_that_pools_is_left_to_it(tmp_path: Path) -> None:
    encoder = an_encoder(a_folder(tmp_path / "m", graph=a_graph(pools=True), pooling="cls"))

    assert np.allclose(encoder.embed(TEXTS), by_hand(TEXTS, "cls"), atol=1e-6)


@pytest.mark.parametrize(
    "said",
    [
        {"sentence_bert_config__json": {"max_seq_length": 4}},
        {"tokenizer_config__json": {"model_max_length": 4}},
        {
            "tokenizer_config__json": {"model_max_length": 10**30},
            "config__json": {"max_position_embeddings": 4, "model_type": "bert"},
        },
    ],
)
def test_long_texts_are_cut_off_where_the_files_say(said: dict[str, Any], tmp_path: Path) -> None:
    encoder = an_encoder(a_folder(tmp_path / "m", **said))

    assert np.allclose(encoder.embed(TEXTS), by_hand(TEXTS, most=4), atol=1e-6)
    assert encoder.tokens(TEXTS) == 4 + 3 + 4 + 3 + 3


def test_prefixes_are_the_files_prompts_unless_the_caller_says_others(tmp_path: Path) -> None:
    prompts = {"prompts": {"query": "q : ", "passage": "die "}, "default_prompt_name": None}
    folder = a_folder(tmp_path / "m", config_sentence_transformers__json=prompts)
    encoder = an_encoder(folder)

    assert (encoder.space.prefix, encoder.space.query_prefix) == ("die ", "q : ")
    assert np.allclose(encoder.embed(["regen"]), by_hand(["die regen"]), atol=1e-6)
    assert np.allclose(encoder.embed_queries(["regen"]), by_hand(["q : regen"]), atol=1e-6)
    assert an_encoder(folder, prefix="der ").space.prefix == "der "


def test_texts_are_lowered_where_the_files_say(tmp_path: Path) -> None:
    encoder = an_encoder(
        a_folder(tmp_path / "m", sentence_bert_config__json={"do_lower_case": True})
    )

    assert np.allclose(encoder.embed(["Der ANTRAG"]), by_hand(["der antrag"]), atol=1e-6)


def test_token_types_and_other_integers_are_given_where_the_graph_asks(tmp_path: Path) -> None:
    graph = a_graph(types=True, integers=TensorProto.INT32)

    found = an_encoder(a_folder(tmp_path / "m", graph=graph)).embed(TEXTS)

    assert np.allclose(found, by_hand(TEXTS), atol=1e-6)


def test_a_tokenizer_that_fills_up_is_told_not_to(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m")
    a_tokenizer(fills=True).save(str(folder / "tokenizer.json"))
    encoder = an_encoder(folder)

    assert encoder.tokens(["der"]) == 3
    assert np.allclose(encoder.embed(TEXTS), by_hand(TEXTS), atol=1e-6)


def test_a_graph_that_asks_for_more_than_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="the graph asks for pixels"):
        an_encoder(a_folder(tmp_path / "m", graph=a_graph(asks="pixels")))


def test_steps_that_are_not_in_the_graph_are_not_left_out_silently(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m")
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.models.Dense"
    (folder / "modules.json").write_text(json.dumps(modules))

    with pytest.raises(Invalid, match="goes on with Dense"):
        an_encoder(folder)


def test_prompts_that_are_left_out_of_pooling_are_not_counted_in_silently(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m")
    (folder / "1_Pooling/config.json").write_text(
        '{"pooling_mode": "mean", "include_prompt": false}'
    )

    assert an_encoder(folder).space.prefix == ""
    with pytest.raises(Invalid, match="leaves the prefix out"):
        an_encoder(folder, prefix="die ")


def test_a_vocabulary_that_is_larger_than_the_graph_fails_for_those_texts_only(
    tmp_path: Path,
) -> None:
    folder = a_folder(tmp_path / "m")
    said = json.loads((folder / "tokenizer.json").read_text())
    said["model"]["vocab"]["regen"] = 999
    (folder / "tokenizer.json").write_text(json.dumps(said))
    encoder = an_encoder(folder)

    with pytest.raises(Invalid, match="gbert:v1 raises"):
        encoder.embed(TEXTS)

    assert encoder.embed(["der antrag"]).shape == (1, DIMENSION)


def test_many_texts_come_back_in_their_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(WORDS[4:], size=rng.integers(1, 30))) for _ in range(200)]

    found = an_encoder(a_folder(tmp_path / "m"), batch=7).embed(texts)

    assert np.allclose(found, by_hand(texts), atol=1e-5)
    assert PROBE not in texts


def test_nothing_that_embeds_is_told_by_name(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(NotFound, match="gbert:v1 has a graph but no tokenizer"):
        an_encoder(folder)

    (folder / "onnx/model.onnx").unlink()
    (folder / "modules.json").unlink()
    with pytest.raises(NotFound, match="nor model"):
        an_encoder(folder)


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_a_package_that_is_not_installed_is_one_sentence(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtra, match=rf"needs {package}: pip install 'herdbook\[onnx\]'"):
        an_encoder(a_folder(tmp_path / "m"))


def test_files_are_needed_for_what_is_made_of_files() -> None:
    with pytest.raises(Invalid, match="pull the version first"):
        opened(EncoderSpec(model="gbert", number="v1", source="herdbook:gbert:v1"))


def test_pickled_weights_are_refused_before_anything_is_imported(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m")
    (folder / "onnx/model.onnx").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02.")

    with pytest.raises(Refused, match=r"pytorch_model\.bin is a pickle"):
        an_encoder(folder)
    (folder / "modules.json").unlink()
    with pytest.raises(Refused, match=r"pytorch_model\.bin is a pickle"):
        an_encoder(folder)


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "a/../../b"])
def test_modules_outside_the_folder_are_refused(path: str, tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m")
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = path
    (folder / "modules.json").write_text(json.dumps(modules))

    with pytest.raises(Refused, match="outside the folder"):
        an_encoder(folder)


def test_settings_that_cannot_be_read_are_told_by_name(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "m")
    (folder / "modules.json").write_text("[[")
    with pytest.raises(Invalid, match=r"gbert:v1: modules\.json is no JSON"):
        an_encoder(folder)
    (folder / "modules.json").write_text("[1]")
    with pytest.raises(Invalid, match="does not list modules"):
        an_encoder(folder)
