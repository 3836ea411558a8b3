"""What the files of a model say of how it embeds, as sentence-transformers writes it down."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final, Self

from herdbook.core.spaces import EncoderSpec
from herdbook.errors import Corrupt, Invalid, NotFound, Refused
from herdbook.formats import Contents, look
from herdbook.formats.onnx import outside

_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
SAFE: Final = ("model.safetensors", "model.safetensors.index.json")
# Bigger than any text: tokenizers say so when they have no limit.
_NO_LIMIT: Final = 1_000_000
_MODES: Final = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class OpenFile:
    """A file as a reader of formats."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._fd).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def read_at(self, offset: int, length: int) -> bytes:
        """Give a part of it."""
        return os.pread(self._fd, length, offset)


@dataclass(frozen=True, slots=True)
class Module:
    """One step of a model, by the name of its class and the folder it is kept in."""

    kind: str
    path: str


@dataclass(frozen=True)
class Folder:
    """The verified files of a version.

    Args:
        path: where they are.
        name: what they are, for messages, such as `gbert:v1`.
    """

    path: Path
    name: str

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return (self.path / name).is_file()

    def settings(self, name: str) -> dict[str, Any]:
        """Read a JSON object; one that is not there is empty."""
        found = self._json(name)
        return found if isinstance(found, dict) else {}

    def _json(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            raise Invalid(f"{self.name}: {name} is no JSON: {error}"[:300]) from None
        except OSError as error:
            raise Corrupt(f"{self.name}: {name} cannot be read: {error}"[:300]) from None

    @cached_property
    def modules(self) -> tuple[Module, ...]:
        """The steps of the model, in their order; none where `modules.json` is missing."""
        found = self._json("modules.json")
        if found is None:
            return ()
        try:
            return tuple(
                Module(str(each["type"]).rpartition(".")[2], self._inside(str(each["path"])))
                for each in found
            )
        except (TypeError, KeyError):
            raise Invalid(f"{self.name}: modules.json does not list modules") from None

    def _inside(self, path: str) -> str:
        if path and outside(path):
            raise Refused(f"{self.name}: modules.json refers to {path!r:.100}, outside the folder")
        return path

    @property
    def body(self) -> str:
        """The folder of the first module, which is the model itself."""
        return self.modules[0].path if self.modules else ""

    def contents(self, name: str) -> Contents:
        """Look into a file.

        Raises:
            Invalid: its header lies.
        """
        with OpenFile(self.path / name) as reader:
            return look(reader, name)

    def refuse_code(self) -> None:
        """Refuse what could run code when sentence-transformers loads it.

        Raises:
            Refused: a configuration imports code, or weights are a pickle.
        """
        for name in self._read():
            found = self.contents(name)
            if found.executable:
                raise Refused(f"{self.name}: {name} can run code: {found.executable[0]}")
        for path in {module.path for module in self.modules} or {""}:
            self._refuse_pickles(path)

    def _read(self) -> Iterator[str]:
        """Give the configurations that are read."""
        names = ("config.json", "tokenizer_config.json", "sentence_bert_config.json")
        paths = {"", *(module.path for module in self.modules)}
        places = {joined(path, name) for path in paths for name in names}
        yield from filter(self.has, sorted({"modules.json", *places}))

    def _refuse_pickles(self, path: str) -> None:
        if any(self.has(joined(path, name)) for name in SAFE):
            return
        names = sorted(each.name for each in _files(self.path / path))
        for name in names:
            if name.endswith(_PICKLES):
                raise Refused(
                    f"{self.name}: {joined(path, name)} is a pickle, which can run code when it "
                    "is loaded; save the weights as safetensors and register that version"
                )

    def refuse_outside(self, name: str) -> Contents:
        """Refuse a graph whose weights are not all in the folder.

        Returns:
            What is in the graph.

        Raises:
            Refused: naming the file it refers to.
        """
        found = self.contents(name)
        if found.executable:
            raise Refused(f"{self.name}: {name} can run code: {found.executable[0]}")
        for other in found.external:
            at = (PurePosixPath(name).parent / other).as_posix()
            wrong = outside(other) or ("" if self.has(at) else "is not there")
            if wrong:
                raise Refused(f"{self.name}: {name} refers to {other!r:.200}, and that {wrong}")
        return found

    @cached_property
    def pooling(self) -> str:
        """How token vectors become one, as the files say; several are joined by `+`.

        "" where they do not say.
        """
        found = self._pooling_settings()
        mode = found.get("pooling_mode")
        if isinstance(mode, str):
            return mode
        if isinstance(mode, list):
            return "+".join(map(str, mode))
        return "+".join(short for name, short in _MODES.items() if found.get(name) is True)

    @property
    def pools_prompts(self) -> bool:
        """Whether the tokens of the prefix count when token vectors become one."""
        return self._pooling_settings().get("include_prompt") is not False

    def _pooling_settings(self) -> dict[str, Any]:
        paths = [module.path for module in self.modules if module.kind == "Pooling"]
        return self.settings(joined(paths[0] if paths else "1_Pooling", "config.json"))

    def most_tokens(self) -> int:
        """Give how many tokens of a text count; 0 where the files name no limit."""
        bert = self.settings(joined(self.body, "sentence_bert_config.json"))
        said = _limit(bert.get("max_seq_length"))
        if said:
            return said
        others = (
            self.settings(joined(self.body, "tokenizer_config.json")).get("model_max_length"),
            self.settings(joined(self.body, "config.json")).get("max_position_embeddings"),
        )
        return min(filter(None, map(_limit, others)), default=0)

    def lowers(self) -> bool:
        """Whether texts are made lower case before they are cut into tokens."""
        found = self.settings(joined(self.body, "sentence_bert_config.json"))
        return found.get("do_lower_case") is True

    def prefixes(self, spec: EncoderSpec) -> tuple[str, str]:
        """Give what is put before documents and before queries: as asked for, or as the files say.

        The prompts are named in `config_sentence_transformers.json`; the default one counts
        where none is named for the purpose.
        """
        said = self.settings("config_sentence_transformers.json")
        prompts = said.get("prompts")
        prompts = prompts if isinstance(prompts, dict) else {}
        default = prompts.get(said.get("default_prompt_name") or "", "")
        document = _first(prompts, ("document", "passage", "corpus"), default)
        query = _first(prompts, ("query",), default)
        return spec.prefix or document, spec.query_prefix or query

    def missing(self, what: str) -> NotFound:
        """Say that the folder has nothing that embeds."""
        return NotFound(f"{self.name} has {what}", field="encoder")


def joined(path: str, name: str) -> str:
    """Give the path of a file in a module's folder."""
    return PurePosixPath(path, name).as_posix()


def _first(prompts: dict[str, Any], names: Iterable[str], default: Any) -> str:
    found = next((prompts[name] for name in names if name in prompts), default)
    return found if isinstance(found, str) else ""


def _limit(found: Any) -> int:
    return found if type(found) is int and 0 < found < _NO_LIMIT else 0


def _files(path: Path) -> list[Path]:
    return [each for each in path.iterdir() if each.is_file()] if path.is_dir() else []
