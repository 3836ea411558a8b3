"""Models of Hugging Face transformers: a config, weights, perhaps a tokenizer."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from herdbook.core.extras import needs, telling
from herdbook.errors import Invalid, NotFound
from herdbook.loader.inspecting import Inside

EXTRA: Final = "transformers"
_CONFIG: Final = "config.json"
_ADAPTER: Final = "adapter_config.json"
_TOKENIZERS: Final = frozenset(
    {
        *("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "tokenizer.model"),
        *("spiece.model", "sentencepiece.bpe.model", "spm.model", "source.spm"),
    }
)


def fits(inside: Inside) -> bool:
    """Whether the folder holds such a model."""
    return inside.is_at_root(_CONFIG, "transformers-config") and bool(_weights(inside))


def load(inside: Inside, *, allow_executable: bool, **options: Any) -> tuple[Any, Any]:
    """Give the tokenizer, None where there is none, and the model of the class its config names."""
    with needs(EXTRA, "transformers", "torch", what="a transformers model"):
        import torch  # noqa: F401 - without it transformers has no models
        import transformers
    found = getattr(transformers, inside.by_path[_CONFIG].architecture, None)
    is_model = isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)
    kind = found if is_model else transformers.AutoModel
    model, missing = _model(kind, inside, allow_executable=allow_executable, options=options)
    _refuse_missing(inside, missing)
    return (_tokenizer(inside) if has_tokenizer(inside) else None), model


def classifier(
    inside: Inside, *, new_head: Sequence[str], allow_executable: bool, **options: Any
) -> tuple[Any, Any]:
    """Give the tokenizer and the model as a classifier of sequences.

    Args:
        inside: the folder.
        new_head: the labels of a head that is to be trained; empty where there must be one.
        allow_executable: whether pickled weights are loaded.
        options: for `from_pretrained` of the model.
    """
    if not fits(inside):
        raise NotFound(
            f"{inside.found.ref} is no transformers model: it needs config.json and weights "
            f"(model.safetensors or pytorch_model.bin), and holds {_named(inside)}",
            field="ref",
        )
    if not has_tokenizer(inside):
        raise NotFound(
            f"{inside.found.ref} has no tokenizer: put tokenizer.json, or vocab.txt and "
            "tokenizer_config.json, beside the weights",
            field="ref",
        )
    with needs(EXTRA, "transformers", "torch", what="a classifier"):
        import torch  # noqa: F401 - without it transformers has no models
        import transformers
    kind = transformers.AutoModelForSequenceClassification
    given = {**_head(new_head), **options}
    model, missing = _model(kind, inside, allow_executable=allow_executable, options=given)
    body = f"{model.base_model_prefix}."
    _refuse_missing(inside, [name for name in missing if not new_head or _is_of_body(name, body)])
    return _tokenizer(inside), model


def has_tokenizer(inside: Inside) -> bool:
    """Whether there are files to make a tokenizer of."""
    return not _TOKENIZERS.isdisjoint(inside.found.files)


def _head(labels: Sequence[str]) -> dict[str, Any]:
    if not labels:
        return {}
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
        "ignore_mismatched_sizes": True,  # a head for other labels makes room
    }


def _model(
    kind: Any, inside: Inside, *, allow_executable: bool, options: dict[str, Any]
) -> tuple[Any, list[str]]:
    safe = any(path.endswith(".safetensors") for path in _weights(inside))
    inside.refuse_executable(
        lambda path: _reads(path, safe=safe),
        allowed=allow_executable,
        instead="save the weights as safetensors, or ",
    )
    if _ADAPTER in inside.found.files:
        raise Invalid(
            f"{inside.found.ref} is an adapter for another model, which it would fetch; merge the "
            "two and save them as one",
            field="ref",
        )
    with telling(str(inside.found.ref), "transformers"):
        model, said = kind.from_pretrained(
            inside.found.folder,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            use_safetensors=safe,
            output_loading_info=True,
            **options,
        )
    return model, sorted(said["missing_keys"])


def _tokenizer(inside: Inside) -> Any:
    import transformers

    with telling(str(inside.found.ref), "the tokenizer"):
        return transformers.AutoTokenizer.from_pretrained(
            inside.found.folder, local_files_only=True, trust_remote_code=False
        )


def _weights(inside: Inside) -> list[str]:
    """Give the weights transformers would take, in the folder itself."""
    return [
        path
        for path in inside.of("safetensors", "torch", "torch-legacy")
        if path.startswith(("model", "pytorch_model")) and "/" not in path
    ]


def _reads(path: str, *, safe: bool) -> bool:
    at = PurePosixPath(path)
    return at.suffix == ".json" or (path.startswith("pytorch_model") and not safe)


def _refuse_missing(inside: Inside, missing: Sequence[str]) -> None:
    if missing:
        shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if missing[4:] else "")
        raise Invalid(
            f"{inside.found.ref} has no trained weights for {shown}; name a model that was trained "
            "for this, or begin a new head with load_classifier(…, new_head=[labels])",
            field="ref",
        )


def _is_of_body(name: str, body: str) -> bool:
    # Models trained to guess words come without a pooler; it is part of the head.
    return name.startswith(body) and ".pooler." not in name


def _named(inside: Inside) -> str:
    paths = inside.paths
    return ", ".join(paths[:6]) + (f" and {len(paths) - 6} more" if paths[6:] else "")
