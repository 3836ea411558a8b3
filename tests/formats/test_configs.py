"""The JSON and the card beside the weights."""

import json
from typing import Any

import pytest

from herdbook.errors import Invalid
from herdbook.formats import Bytes, Contents, look

CONFIG = {
    "architectures": ["BertForSequenceClassification"],
    "model_type": "bert",
    "id2label": {str(n): f"label-{n}" for n in range(12)},
    "torch_dtype": "float32",
    "time_step_limit": [0.0, float("inf")],
}


def seen(value: Any, name: str = "config.json") -> Contents:
    return look(Bytes(json.dumps(value).encode()), name)


def test_a_config_tells_architecture_and_labels_in_their_order() -> None:
    found = seen(CONFIG)

    assert found.format == "transformers-config"
    assert found.architecture == "BertForSequenceClassification"
    assert found.labels == tuple(f"label-{n}" for n in range(12))
    assert found.details["torch_dtype"] == "float32"
    assert found.executable == ()


@pytest.mark.parametrize(
    ("said", "scheme"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq-4bit"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes-8bit"),
        ({"quant_method": "fp8"}, "fp8"),
    ],
)
def test_a_config_tells_its_quantization(said: dict[str, Any], scheme: str) -> None:
    assert seen(CONFIG | {"quantization_config": said}).quantization == scheme


@pytest.mark.parametrize(
    "said",
    [
        {"auto_map": {"AutoModel": "modeling_majora.Majora"}},
        {"text_config": {"auto_map": {"AutoModel": "other/repository--modeling.X"}}},
        {"custom_pipelines": {"majora": {"impl": "pipeline.Majora"}}},
        {"trust_remote_code": True},
        {"_attn_implementation_internal": "someone/kernel"},
    ],
)
def test_a_config_that_brings_code_is_executable(said: dict[str, Any]) -> None:
    for whole in (CONFIG | said, {"tokenizer_class": "X"} | said, said):
        assert "code" in seen(whole).executable[0]


def test_a_config_with_a_key_twice_is_refused_for_readers_differ_in_which_counts() -> None:
    text = b'{"model_type": "bert", "auto_map": {"AutoModel": "a.B"}, "auto_map": null}'

    with pytest.raises(Invalid, match="twice"):
        look(Bytes(text), "config.json")


@pytest.mark.parametrize(
    "text",
    [b'{"a": ', b"{" * 5_000, b'{"a" 1}', b'{"a": 1}\xff', b'{"a": 1}\n{"a": 2}\n', b"{%- if x %}"],
)
def test_what_no_reader_takes_for_json_is_not_refused_as_a_lie(text: bytes) -> None:
    found = look(Bytes(text), "chat_template.jinja")

    assert found.format in {"text", "unknown"}
    assert not found.architecture


@pytest.mark.parametrize("text", [b'{"a": 1, "a": 2}', b'{"a":' * 100_000])
def test_json_that_readers_could_take_for_different_things_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid, match="JSON"):
        look(Bytes(text), "config.json")


@pytest.mark.parametrize("text", [b"[section]\nkey = 1\n", b"[majora](https://example.org)\n"])
def test_what_only_begins_like_json_is_text(text: bytes) -> None:
    assert look(Bytes(text)).format == "text"


@pytest.mark.parametrize(
    ("model", "added", "size"),
    [
        ({"type": "WordPiece", "vocab": {"a": 0, "b": 1}}, ["b", "<pad>"], 3),
        ({"type": "Unigram", "vocab": [["a", 0.0], ["<pad>", -1.0]]}, ["<pad>"], 2),
    ],
)
def test_a_tokenizer_tells_its_vocabulary(
    model: dict[str, Any], added: list[str], size: int
) -> None:
    tokens = [{"id": n, "content": text} for n, text in enumerate(added)]

    found = seen({"version": "1.0", "model": model, "added_tokens": tokens}, "tokenizer.json")

    assert (found.format, found.details["vocabulary"]) == ("tokenizer", size)
    assert found.architecture == model["type"]


def test_a_chat_template_is_not_to_be_rendered_freely() -> None:
    found = seen({"tokenizer_class": "LlamaTokenizer", "chat_template": "{{ x }}"})

    assert "sandbox" in found.warnings[0]


def test_modules_of_other_makers_are_code() -> None:
    own = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}

    assert seen([own], "modules.json").executable == ()
    assert seen([own | {"type": "my.Pooling"}], "modules.json").executable


def test_labels_are_read_from_their_own_file() -> None:
    assert seen({"1": "sell", "0": "buy"}, "labels.json").labels == ("buy", "sell")
    assert seen({"labels": ["buy", "sell"]}, "labels.json").labels == ("buy", "sell")
    assert seen({"label2id": {"sell": 1, "buy": 0}}).labels == ("buy", "sell")


def test_a_card_tells_its_licence_without_yaml() -> None:
    card = b"---\nlicense: apache-2.0\ntags:\n- x\nbase_model: 'bert'\n---\n# majora\n"

    found = look(Bytes(card), "README.md")

    assert (found.format, found.licence) == ("model-card", "apache-2.0")
    assert found.details["base_model"] == "bert"


def test_programs_and_scripts_are_executable() -> None:
    assert look(Bytes(b"\x7fELF" + bytes(60)), "weights.bin").executable
    assert look(Bytes(b"#!/bin/sh\n"), "README").executable
    assert look(Bytes(b"import os\n"), "modeling_majora.py").executable


def test_an_empty_file_is_empty() -> None:
    assert look(Bytes(b"")).format == "empty"


@pytest.mark.parametrize("padding", [b" " * (65 * 2**20), b"[]," * 3_100_000 + b"[]"])
def test_a_config_too_large_to_be_read_is_not_taken_for_harmless(padding: bytes) -> None:
    text = b'{"auto_map": {"AutoModel": "a.B"}, "padding": [' + padding + b"]}"

    assert look(Bytes(text), "config.json").executable
