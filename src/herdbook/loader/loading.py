"""Loading: the library is chosen by what is in the files, and none is tried after another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from herdbook.errors import Invalid
from herdbook.loader.choosing import BY_FILE, SENTENCES, TRANSFORMERS, library_of
from herdbook.loader.finding import Found, find
from herdbook.loader.information import labels_of
from herdbook.loader.inspecting import Inside
from herdbook.loader.libraries import safetensors, sentence_transformers, transformers
from herdbook.settings import Settings


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to call.

    Args:
        model: what the library gives: a transformers model, a SentenceTransformer, an ONNX
            InferenceSession, a Llama, a scikit-learn estimator, or arrays by name.
        library: which one it is.
        found: where its files are and what the reference stood for.
        tokenizer: of transformers, where there is one.
    """

    model: Any
    library: str
    found: Found
    tokenizer: Any = None


def load(
    ref: str | None = None,
    *,
    using: str = "",
    file: str = "",
    allow_executable: bool = False,
    settings: Settings | None = None,
    **options: Any,
) -> Loaded:
    """Load the model that a reference names, by what its files are.

    Args:
        ref: such as `herdbook:majora@champion`; left out, what `ML_MODEL_REF` names.
        using: the library, where the files would do for several: `sentence-transformers`,
            `transformers`, `onnxruntime`, `llama.cpp`, `skops` or `safetensors`.
        file: which file, where there are several of a kind.
        allow_executable: load files that can run code, such as pickled weights. Even then code
            that comes with a model is not imported, and torch unpickles weights only.
        settings: instead of those of the environment.
        options: for the library, such as `providers` or `n_ctx`.

    Raises:
        Invalid: the files do for several libraries, or for none, or the library refuses them.
        Refused: a file can run code, or refers to one outside the folder.
        MissingExtra: the library is not installed.
        HerdbookError: what `find` raises.
    """
    inside = Inside(find(ref, settings=settings))
    library = library_of(inside, using=using)
    options["allow_executable"] = allow_executable
    model, tokenizer = _loaded(inside, library, file, options)
    return Loaded(model=model, library=library, found=inside.found, tokenizer=tokenizer)


def load_classifier(
    ref: str | None = None,
    *,
    new_head: Sequence[str] = (),
    allow_executable: bool = False,
    settings: Settings | None = None,
    **options: Any,
) -> tuple[Any, Any]:
    """Load a transformers model that classifies texts.

    Args:
        ref: such as `local:artifacts/model-v1`; left out, what `ML_MODEL_REF` names.
        new_head: begin a head for these labels, to be trained. Without it a model that was not
            trained to classify is an error, never a classifier with random weights.
        allow_executable: load pickled weights (`pytorch_model.bin`).
        settings: instead of those of the environment.
        options: for `from_pretrained` of the model.

    Returns:
        The tokenizer and the model, in evaluation mode.

    Raises:
        Invalid: it is no classifier, or its labels are not as many as it tells apart.
        HerdbookError: what `load` raises.
    """
    inside = Inside(find(ref, settings=settings))
    tokenizer, model = transformers.classifier(
        inside, new_head=new_head, allow_executable=allow_executable, **options
    )
    if not new_head:
        _refuse_other_labels(inside, model)
    return tokenizer, model


def _loaded(inside: Inside, library: str, file: str, options: dict[str, Any]) -> tuple[Any, Any]:
    if file and library not in BY_FILE:
        raise Invalid(f"{library} loads a whole folder; leave file out", field="file")
    if library == SENTENCES:
        return sentence_transformers.load(inside, **options), None
    if library == TRANSFORMERS:
        tokenizer, model = transformers.load(inside, **options)
        return model, tokenizer
    if library == "safetensors":
        paths = [_one_file(inside, library, file)] if file else safetensors.files(inside)
        return safetensors.load(inside, paths, **options), None
    return BY_FILE[library].load(inside, _one_file(inside, library, file), **options), None


def _one_file(inside: Inside, library: str, file: str) -> str:
    paths = BY_FILE[library].files(inside)
    if file and file not in paths:
        raise Invalid(f"{file} is none of {', '.join(paths)}", field="file")
    if not file and len(paths) > 1:
        raise Invalid(
            f"{inside.found.ref} holds {', '.join(paths)}; say which with file={paths[0]!r}",
            field="file",
        )
    return file or paths[0]


def _refuse_other_labels(inside: Inside, model: Any) -> None:
    labels = labels_of(inside)
    count = int(model.config.num_labels)
    if labels and len(labels) != count:
        raise Invalid(
            f"{inside.found.ref} names {len(labels)} labels, but the model tells {count} apart; "
            "correct labels.txt and make a new artifact"
        )
