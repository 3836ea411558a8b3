"""Tiny ONNX encoders, made on the spot: a lookup of vectors, and a real tokenizer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "der", "antrag", "die", "police", "regen", ":", "q"]
DIMENSION = 4
TABLE = np.random.default_rng(7).normal(size=(len(WORDS), DIMENSION)).astype(np.float32)


def a_tokenizer(*, fills: bool = False) -> Tokenizer:
    """Give a tokenizer of words, with `[CLS]` before and `[SEP]` after."""
    found = Tokenizer(WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    # The property has no type of its own in the library's stubs.
    found.pre_tokenizer = Whitespace()
    found.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    if fills:
        found.enable_padding(length=16)
    return found


def a_graph(
    *, types: bool = False, pools: bool = False, asks: str = "", integers: int = TensorProto.INT64
) -> bytes:
    """Give a graph that looks vectors up.

    Args:
        types: whether it asks for token types, and adds ten times them.
        pools: whether it pools by itself: the first token's vector.
        asks: another input.
        integers: of its inputs.
    """
    names = ["input_ids", "attention_mask", *["token_type_ids"] * types, *filter(None, [asks])]
    inputs = [helper.make_tensor_value_info(name, integers, ["n", "length"]) for name in names]
    constants = [numpy_helper.from_array(TABLE, "table"), _one("ten", 10.0), _first()]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["looked_up"])]
    last = "looked_up"
    if types:
        nodes += [
            helper.make_node("Cast", ["token_type_ids"], ["as_float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["as_float", "ten"], ["ten_times"]),
            helper.make_node("Unsqueeze", ["ten_times", "axis"], ["wide"]),
            helper.make_node("Add", [last, "wide"], ["typed"]),
        ]
        last = "typed"
    answers = [_answer(nodes, last, "last_hidden_state", ["n", "length", DIMENSION])]
    constants.append(numpy_helper.from_array(np.array([2], dtype=np.int64), "axis"))
    if pools:
        nodes.append(helper.make_node("Gather", [last, "first"], ["cut"], axis=1))
        answers.append(_answer(nodes, "cut", "sentence_embedding", ["n", DIMENSION]))
    graph = helper.make_graph(nodes, "lookup", inputs, answers, constants)
    opset = helper.make_opsetid("", 17)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString())


def _one(name: str, value: float) -> Any:
    return numpy_helper.from_array(np.array(value, dtype=np.float32), name)


def _first() -> Any:
    return numpy_helper.from_array(np.array(0, dtype=np.int64), "first")


def _answer(nodes: list[Any], last: str, name: str, shape: list[Any]) -> Any:
    nodes.append(helper.make_node("Identity", [last], [name]))
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def a_folder(
    at: Path,
    *,
    graph: bytes | None = None,
    name: str = "onnx/model.onnx",
    pooling: str = "mean",
    **settings: Any,
) -> Path:
    """Write a model as sentence-transformers lays it out, its weights as a graph.

    Args:
        at: the folder.
        graph: the usual one when left out.
        name: of the graph.
        pooling: what the files say; "" for nothing.
        settings: of further JSON files, by name, `.` written as `__`.
    """
    (at / name).parent.mkdir(parents=True)
    (at / name).write_bytes(a_graph() if graph is None else graph)
    a_tokenizer().save(str(at / "tokenizer.json"))
    steps = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(steps)
    ]
    if pooling:
        (at / "1_Pooling").mkdir()
        flags = {f"pooling_mode_{name}": pooling in name for name in ("cls_token", "mean_tokens")}
        flags["pooling_mode_max_tokens"] = pooling == "max"
        (at / "1_Pooling" / "config.json").write_text(json.dumps(flags))
        (at / "modules.json").write_text(json.dumps(modules))
    for file, said in settings.items():
        (at / file.replace("__", ".")).write_text(json.dumps(said))
    return at
