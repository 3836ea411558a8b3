"""Encoders that are ONNX graphs: run by ONNX Runtime, texts cut into tokens by tokenizers."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from herdbook.core.extras import needs, telling
from herdbook.core.spaces import EncoderSpec
from herdbook.encoders.failures import blamed
from herdbook.encoders.folders import Folder, joined
from herdbook.encoders.measuring import Measured
from herdbook.encoders.pooling import POOLINGS, pooled
from herdbook.errors import Invalid

EXTRA: Final = "onnx"
GRAPHS: Final = ("model.onnx", "onnx/model.onnx")
_TYPES: Final = {"tensor(int64)": "int64", "tensor(int32)": "int32"}
_INPUTS: Final = frozenset({"input_ids", "attention_mask", "token_type_ids"})
# What a graph that pools by itself calls its answer, and what one that does not calls it.
_OUTPUTS: Final = ("sentence_embedding", "last_hidden_state", "token_embeddings")
# Steps that are done here when the graph does not do them.
_STEPS: Final = frozenset({"Transformer", "Pooling", "Normalize"})
_DTYPES: Final = {"FLOAT": "float32", "DOUBLE": "float64"}


def graph_of(folder: Folder) -> str:
    """Give the graph of a folder, "" where there is none."""
    return next(filter(folder.has, GRAPHS), "")


def opened(folder: Folder, spec: EncoderSpec, *, digest: str) -> Measured:
    """Open the graph of a folder, with its `tokenizer.json`.

    Args:
        folder: with `model.onnx` or `onnx/model.onnx`.
        spec: how it was asked for; its `pooling` counts where the files do not say.
        digest: of the version's manifest.

    Raises:
        NotFound: there is no graph, or no tokenizer.
        Invalid: the graph asks for more than tokens, or nothing says how to pool.
        Refused: the graph refers to files outside the folder.
        MissingExtra: ONNX Runtime or tokenizers is not installed.
    """
    running = Graph(folder, spec)
    prefix, query_prefix = folder.prefixes(spec)
    if not folder.pools_prompts and (prefix or query_prefix):
        raise Invalid(
            f"{folder.name} leaves the prefix out when it pools, which is not done for ONNX; "
            "register the safetensors and install herdbook[sentence-transformers]",
            field="pooling",
        )
    return Measured(running, spec, digest=digest, prefix=prefix, query_prefix=query_prefix)


def session(path: Path, name: str, **options: Any) -> Any:
    """Open an InferenceSession, on the CPU unless `providers` says otherwise.

    Args:
        path: of the graph.
        name: what it is of, for messages.
        options: of the session.

    Raises:
        Invalid: the runtime refuses the graph.
        MissingExtra: it is not installed.
    """
    with needs(EXTRA, "onnxruntime", what="an ONNX model"):
        import onnxruntime
    options.setdefault("providers", ["CPUExecutionProvider"])
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if "sess_options" not in options and threads.isdigit() and int(threads):
        # As torch does; engines with several workers on a machine set it.
        options["sess_options"] = onnxruntime.SessionOptions()
        options["sess_options"].intra_op_num_threads = int(threads)
    failures = _failures(onnxruntime.capi.onnxruntime_pybind11_state)
    with telling(name, "ONNX Runtime"):
        try:
            return onnxruntime.InferenceSession(str(path), **options)
        except failures as error:
            raise ValueError(str(error)) from error


def _failures(state: Any) -> tuple[type[Exception], ...]:
    """Give the errors of ONNX Runtime, which have no class in common."""
    return tuple(
        found
        for found in vars(state).values()
        if isinstance(found, type) and issubclass(found, Exception)
    )


class Graph:
    """Runs a graph over texts.

    Args:
        folder: of the version.
        spec: how it was asked for.
    """

    def __init__(self, folder: Folder, spec: EncoderSpec) -> None:
        path = graph_of(folder)
        if not path:
            raise folder.missing(f"neither {' nor '.join(GRAPHS)}")
        self.name = folder.name
        self.dtype = _dtype(folder.refuse_outside(path).dtypes)
        self._batch, self._lowers = spec.batch, folder.lowers()
        self._tokenizer = _tokenizer(folder)
        self._padding = _padding(self._tokenizer)
        self._session = session(folder.path / path, folder.name)
        self._inputs = self._asked_for()
        self._output = self._answer()
        self._pools = self._output == _OUTPUTS[0]
        self.pooling = folder.pooling or spec.pooling
        if not self._pools:
            _refuse_unknown_steps(folder, self.pooling)

    def rows(self, texts: list[str], *, prefix: str) -> Any:
        """Give vectors in the order of the texts; those of like length are run together."""
        import numpy as np

        with blamed(self.name):
            found = self._encoded(texts, prefix)
            lengths = np.array([len(one.ids) for one in found])
            order = np.argsort(-lengths, kind="stable")
            parts = [self._run([found[at] for at in part]) for part in self._batches(order)]
            together = np.concatenate(parts)
            rows = np.empty_like(together)
            rows[order] = together
        return rows

    def tokens(self, texts: list[str], *, prefix: str) -> int:
        """Count the tokens that are run."""
        with blamed(self.name):
            return sum(len(one.ids) for one in self._encoded(texts, prefix))

    def _encoded(self, texts: list[str], prefix: str) -> list[Any]:
        full = [prefix + text for text in texts]
        if self._lowers:
            full = [text.lower() for text in full]
        found: list[Any] = self._tokenizer.encode_batch(full)
        return found

    def _batches(self, order: Any) -> Iterator[Any]:
        for start in range(0, len(order), self._batch):
            yield order[start : start + self._batch]

    def _run(self, found: list[Any]) -> Any:
        import numpy as np

        width = max(1, *(len(one.ids) for one in found))
        ids = np.full((len(found), width), self._padding)
        mask, types = np.zeros_like(ids), np.zeros_like(ids)
        for at, one in enumerate(found):
            length = len(one.ids)
            ids[at, :length] = one.ids
            types[at, :length] = one.type_ids
            mask[at, :length] = one.attention_mask
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        feed = {name: given[name].astype(kind) for name, kind in self._inputs.items()}
        (answer,) = self._session.run([self._output], feed)
        # A graph that pools gives one vector a text, whatever it calls it.
        return answer if answer.ndim == 2 else pooled(answer, mask, how=self.pooling)

    def _asked_for(self) -> dict[str, str]:
        found = {each.name: _TYPES.get(each.type, "") for each in self._session.get_inputs()}
        unknown = [name for name, kind in found.items() if name not in _INPUTS or not kind]
        if unknown or "input_ids" not in found:
            raise Invalid(
                f"{self.name}: the graph asks for {', '.join(unknown) or 'no input_ids'}; one that "
                "embeds texts takes input_ids, attention_mask and token_type_ids as integers",
                field="encoder",
            )
        return found

    def _answer(self) -> str:
        names: list[str] = [each.name for each in self._session.get_outputs()]
        return next((name for name in _OUTPUTS if name in names), names[0])


def _refuse_unknown_steps(folder: Folder, pooling: str) -> None:
    """Refuse a model of which only the first step is in the graph, unless the rest is done here."""
    more = [module.kind for module in folder.modules if module.kind not in _STEPS]
    if more:
        raise Invalid(
            f"{folder.name} goes on with {', '.join(more)}, which is not in its graph; export "
            "the whole model, or register the safetensors",
            field="encoder",
        )
    if pooling not in POOLINGS:
        said = f"pools by {pooling}" if pooling else "does not say how it pools"
        raise Invalid(
            f"{folder.name} {said}; ONNX graphs are pooled by {', '.join(POOLINGS)}: say which "
            "with pooling=",
            field="pooling",
        )


def _tokenizer(folder: Folder) -> Any:
    name = next(filter(folder.has, ("tokenizer.json", joined(folder.body, "tokenizer.json"))), "")
    if not name:
        raise folder.missing("a graph but no tokenizer.json")
    with needs(EXTRA, "tokenizers", what="embedding with an ONNX model"):
        import tokenizers
    with blamed(f"{folder.name}: {name}"):
        found = tokenizers.Tokenizer.from_file(str(folder.path / name))
    found.no_padding()
    most = folder.most_tokens()
    if most:
        found.enable_truncation(most)
    return found


def _padding(tokenizer: Any) -> int:
    """Give the token that fills up; the mask hides it, it only has to be in the vocabulary."""
    known = (tokenizer.token_to_id(token) for token in ("[PAD]", "<pad>", "<|endoftext|>"))
    return next((found for found in known if found is not None), 0)


def _dtype(counts: Any) -> str:
    """Give the type of most weights: int8 for a quantised graph, whatever it answers in."""
    most = max(counts, key=counts.get, default="")
    return _DTYPES.get(most, str(most).lower())
