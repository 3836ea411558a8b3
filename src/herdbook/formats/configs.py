"""JSON beside the weights: configs of transformers, tokenizers, indexes, labels."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from herdbook.errors import Invalid
from herdbook.formats.contents import Contents
from herdbook.formats.reading import (
    JSON_BYTES_LIMIT,
    JSON_VALUES_LIMIT,
    Reader,
    exactly,
    json_value,
    json_values,
    shown,
)

_LABELS_LIMIT: Final = 10_000
_DEPTH_LIMIT: Final = 32
# Whoever makes a config too large must not gain by it.
_TOO_LARGE: Final = Contents(
    format="json", executable=("it is JSON too large to be looked into for code it names",)
)
_OWN_MODULES: Final = ("sentence_transformers.", "transformers.", "torch.")
_FACTS: Final = (
    *("model_type", "torch_dtype", "dtype", "hidden_size", "num_hidden_layers", "vocab_size"),
    *("max_position_embeddings", "transformers_version", "tokenizer_class", "_name_or_path"),
    *("base_model_name_or_path", "peft_type", "num_attention_heads"),
)


def read(reader: Reader) -> Contents | None:
    """Read a JSON file and say which of the known ones it is; None when it is no JSON at all.

    Raises:
        Invalid: it is JSON that readers could take for different things: a key is there twice, a
            number is beyond bounds, it is nested too deep.
    """
    if reader.size > JSON_BYTES_LIMIT:
        return _TOO_LARGE
    data = exactly(reader, 0, reader.size, of="the file")
    if json_values(data) > JSON_VALUES_LIMIT:
        return _TOO_LARGE
    try:
        value = json_value(data, of="the file", constants=True)
    except Invalid:
        if data.lstrip()[:1] == b"{" and _can_be_read(data):
            raise
        return None  # Much else begins so: templates, lines of JSON, Markdown.
    return described(value)


def _can_be_read(data: bytes) -> bool:
    """Whether some reader could take a text that was refused for JSON all the same."""
    try:
        json.loads(data.decode())
    except RecursionError:
        return True
    except ValueError as error:
        return not isinstance(error, json.JSONDecodeError | UnicodeDecodeError)
    return True


def described(value: Any) -> Contents:
    """Describe what a JSON file holds."""
    found = Contents(format="json")
    if isinstance(value, Mapping):
        found = next((kind(value) for fits, kind in _KINDS if fits(value)), found)
    elif isinstance(value, list) and _modules(value):
        found = _sentence_transformers(value)
    code = tuple(dict.fromkeys(_code(value)))[:100]
    return found if not code else _with_code(found, code)


def _with_code(found: Contents, code: tuple[str, ...]) -> Contents:
    return Contents(
        format=found.format,
        architecture=found.architecture,
        quantization=found.quantization,
        labels=found.labels,
        executable=found.executable + code,
        external=found.external,
        warnings=found.warnings,
        details=found.details,
    )


def _code(value: Any, depth: int = 0) -> Iterator[str]:
    """Say what in a config makes transformers import code that comes with the model."""
    if depth > _DEPTH_LIMIT or not isinstance(value, Mapping):
        return
    for key, said in value.items():
        if key == "auto_map" and said:
            yield f"auto_map names code that comes with the model: {shown(_auto(said), limit=200)}"
        elif key == "custom_pipelines" and said:
            yield f"custom_pipelines names code that comes with the model: {shown(said)}"
        elif key == "trust_remote_code" and said:
            yield "trust_remote_code asks to run code that comes with the model"
        elif key.startswith("_attn_implementation") and isinstance(said, str) and "/" in said:
            yield f"{key} names code from elsewhere: {shown(said)}"
        elif isinstance(said, Mapping) and key not in {"vocab", "weight_map"}:
            yield from _code(said, depth + 1)


def _auto(said: Any) -> str:
    if not isinstance(said, Mapping):
        return str(said)[:200]
    return ", ".join(f"{key}={value}"[:100] for key, value in list(said.items())[:5])


def _config(value: Mapping[str, Any]) -> Contents:
    said = value.get("architectures")
    names = [n for n in said if isinstance(n, str)] if isinstance(said, list) else []
    details: dict[str, Any] = {"architectures": names[:10]}
    for key in _FACTS:
        if type(value.get(key)) in {str, int}:
            details[key] = value[key] if isinstance(value[key], int) else value[key][:200]
    quantized = value.get("quantization_config")
    kind = str(value.get("model_type", ""))[:200]
    return Contents(
        format="transformers-config",
        architecture=names[0][:200] if names else kind,
        quantization=_quantization(quantized) if isinstance(quantized, Mapping) else "",
        labels=labels(value),
        details=details,
    )


def _quantization(said: Mapping[str, Any]) -> str:
    """Name a scheme as people do: gptq-4bit, bitsandbytes-8bit, fp8."""
    method = str(said.get("quant_method", "quantized"))[:60]
    bits = said.get("bits")
    for width in (4, 8):
        bits = width if said.get(f"load_in_{width}bit") is True else bits
    return f"{method}-{bits}bit" if type(bits) is int and 0 < bits < 64 else method


def labels(value: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the labels of a classifier by index, from id2label, label2id or a list.

    Example:
        >>> labels({"id2label": {"1": "buy", "0": "sell"}})
        ('sell', 'buy')
    """
    by_index = value.get("id2label")
    if isinstance(value.get("label2id"), Mapping) and not by_index:
        by_index = {index: name for name, index in value["label2id"].items() if _plain(index)}
    listed = value.get("labels")
    if not by_index and isinstance(listed, list):
        by_index = dict(enumerate(listed))
    if not isinstance(by_index, Mapping) or len(by_index) > _LABELS_LIMIT:
        return ()
    if not all(str(index).isdecimal() and _plain(name) for index, name in by_index.items()):
        return ()
    ordered = sorted(by_index.items(), key=lambda one: (len(str(one[0])), str(one[0])))
    return tuple(str(name)[:200] for _, name in ordered)


def _plain(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _tokenizer(value: Mapping[str, Any]) -> Contents:
    model = value["model"]
    vocabulary, added = model.get("vocab"), value.get("added_tokens")
    size = len(vocabulary) if isinstance(vocabulary, Mapping | list) else 0
    known = vocabulary if isinstance(vocabulary, Mapping) else {}
    for token in added if isinstance(added, list) else []:
        content = token.get("content") if isinstance(token, Mapping) else None
        # The added tokens of a Unigram vocabulary are in its list already.
        size += bool(known) and isinstance(content, str) and content not in known
    return Contents(
        format="tokenizer",
        architecture=str(model.get("type", ""))[:60],
        details={"vocabulary": size, "version": str(value.get("version", ""))[:60]},
    )


def _tokenizer_config(value: Mapping[str, Any]) -> Contents:
    kind, template = value.get("tokenizer_class"), value.get("chat_template")
    warnings = ("chat_template is a template; render it in a sandbox only",) if template else ()
    details = {"tokenizer_class": kind[:200]} if isinstance(kind, str) else {}
    return Contents(format="tokenizer-config", warnings=warnings, details=details)


def _index(value: Mapping[str, Any]) -> Contents:
    shards = dict.fromkeys(name for name in value["weight_map"].values() if isinstance(name, str))
    metadata = value.get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
    details: dict[str, Any] = {"shards": list(shards), "tensors": len(value["weight_map"])}
    if type(total) in {int, float}:
        details["total_size"] = total
    return Contents(format="weights-index", external=tuple(shards), details=details)


def _modules(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(m, Mapping) and {"type", "path"} <= set(m) for m in value)


def _sentence_transformers(value: list[Any]) -> Contents:
    kinds = [str(module["type"])[:200] for module in value[:100]]
    foreign = [kind for kind in kinds if not kind.startswith(_OWN_MODULES)]
    return Contents(
        format="sentence-transformers",
        architecture=" + ".join(kind.rpartition(".")[2] for kind in kinds)[:200],
        executable=tuple(f"modules.json imports {kind}" for kind in foreign),
        details={"modules": kinds},
    )


def _labelled(value: Mapping[str, Any]) -> Contents:
    return Contents(format="labels", labels=labels(value) or labels({"id2label": value}))


def _is_labels(value: Mapping[str, Any]) -> bool:
    return bool(labels(value)) or (
        bool(value)
        and all(isinstance(name, str) for name in value.values())
        and bool(labels({"id2label": value}))
    )


def _is_tokenizer(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("model"), Mapping) and "vocab" in value["model"]


_KINDS: Final[
    tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], Contents]], ...]
] = (
    (_is_tokenizer, _tokenizer),
    (lambda value: isinstance(value.get("weight_map"), Mapping), _index),
    (lambda value: bool({"architectures", "model_type", "peft_type"} & value.keys()), _config),
    (lambda value: bool({"tokenizer_class", "chat_template"} & value.keys()), _tokenizer_config),
    (_is_labels, _labelled),
)
