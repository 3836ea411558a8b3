"""What is in the files of a folder, and whether loading them could run code."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

from herdbook.encoders.folders import OpenFile
from herdbook.errors import Refused
from herdbook.formats import Contents, look
from herdbook.formats.onnx import outside
from herdbook.loader.finding import Found

# Data that no loader runs or chooses by; to look into all of it would cost more than loading.
_LEFT: Final = (".txt", ".onnx_data", ".data", ".png", ".jpg", ".csv", ".parquet")
_VOCABULARIES: Final = frozenset({"tokenizer.json", "vocab.json", "added_tokens.json"})


def contents(folder: Path, path: str) -> Contents:
    """Look into one file.

    Raises:
        Invalid: its header lies.
    """
    with OpenFile(folder / path) as reader:
        return look(reader, path)


@dataclass(frozen=True)
class Inside:
    """What is in a folder, looked at when it is asked for.

    Args:
        found: the folder.
    """

    found: Found

    @cached_property
    def by_path(self) -> dict[str, Contents]:
        """What is in each file that a loader could read."""
        return {path: contents(self.found.folder, path) for path in filter(_counts, self.paths)}

    @property
    def paths(self) -> list[str]:
        """Every file, those nearest to the root first."""
        return sorted(self.found.files, key=lambda path: (path.count("/"), path))

    def of(self, *formats: str) -> list[str]:
        """Give the files of some formats."""
        return [path for path, one in self.by_path.items() if one.format in formats]

    def is_at_root(self, path: str, *formats: str) -> bool:
        """Whether a file of that name is in the folder itself and of one of the formats."""
        return path in self.by_path and self.by_path[path].format in formats

    def refuse_executable(
        self, reads: Callable[[str], bool], *, allowed: bool, instead: str = ""
    ) -> None:
        """Refuse files that can run code when they are loaded.

        Args:
            reads: whether the loader reads a file, by its path.
            allowed: whether the caller takes the risk.
            instead: what to do instead, as the message says it.

        Raises:
            Refused: naming the first of them and why.
        """
        if allowed:
            return
        for path, one in self.by_path.items():
            if one.executable and reads(path):
                raise Refused(
                    f"{self.found.ref}: {path} can run code when it is loaded: "
                    f"{one.executable[0]}; {instead}give allow_executable=True if you trust who "
                    "made it",
                    details={"path": path, "reasons": list(one.executable)},
                )

    def refuse_outside(self, paths: Iterable[str]) -> None:
        """Refuse files that refer to others which are not in the folder.

        Raises:
            Refused: naming the first.
        """
        for path in paths:
            for name in self.by_path[path].external:
                at = (PurePosixPath(path).parent / name).as_posix()
                wrong = outside(name) or ("" if at in self.found.files else "is not there")
                if wrong:
                    raise Refused(
                        f"{self.found.ref}: {path} refers to {name!r:.200}, and that {wrong}; it "
                        "must be a file of the same folder"
                    )


def _counts(path: str) -> bool:
    at = PurePosixPath(path)
    return at.suffix.lower() not in _LEFT and at.name not in _VOCABULARIES
