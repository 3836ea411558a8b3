"""A few thousand real texts: what the docstrings of the installed packages say.

A document is a docstring without its first sentence; that sentence is a query which this document
answers. The sources are read, never imported. The order is that of a hash of the file's name, so
that every part of the corpus is of many packages; another environment has another corpus.
"""

import ast
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from hashlib import blake2b
from inspect import cleandoc
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

SHORTEST: Final = 80
LONGEST: Final = 4_000
_WORDS: Final = 4
# Generated sources say the same of everything.
_FROM_ONE_FILE: Final = 5
_LARGEST: Final = 400_000
_SENTENCE: Final = re.compile(r"(.+?[.!?])(?=\s+[^a-z]|\s*$)(.*)", re.DOTALL)
_LEFT_OUT: Final = {
    "tests",
    "test",
    "testing",
    "_vendor",
    "vendor",
    "thirdparty_files",
    "kubernetes",
}


class Document(NamedTuple):
    """A text of the corpus; its id is the dotted name of what the docstring describes."""

    id: str
    text: str


class Query(NamedTuple):
    """A question, and how relevant which documents are to it."""

    text: str
    relevant: Mapping[str, float]


def documents(limit: int) -> list[Document]:
    """Give the first documents, always the same in one environment."""
    return [Document(name, body) for name, _, body in _pairs(limit)]


def queries(limit: int) -> list[Query]:
    """Give the queries that as many first documents answer, one each, in their order."""
    return [Query(question, {name: 1.0}) for name, question, _ in _pairs(limit)]


def _pairs(limit: int) -> list[tuple[str, str, str]]:
    known, more = _scan()
    known += islice(more, max(0, limit - len(known)))
    return known[:limit]


@cache
def _scan() -> tuple[list[tuple[str, str, str]], Iterator[tuple[str, str, str]]]:
    """What was read so far, and the rest, which is read when it is asked for."""
    return [], _told_apart(_read(Path(sysconfig.get_path("purelib"))))


def _told_apart(pairs: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Leave out what would make a label wrong: the same name, question or beginning again."""
    names: set[str] = set()
    questions: set[str] = set()
    beginnings: set[str] = set()
    for name, question, body in pairs:
        asked, begins = question.casefold(), body[:SHORTEST].casefold()
        if name in names or asked in questions or begins in beginnings:
            continue
        names.add(name)
        questions.add(asked)
        beginnings.add(begins)
        yield name, question, body


def _read(root: Path) -> Iterator[tuple[str, str, str]]:
    for path in _sources(root):
        try:
            source = (root / path).read_text(encoding="utf-8")
            with warnings.catch_warnings():
                # Of what others wrote: escapes that Python will refuse some day.
                warnings.simplefilter("ignore")
                tree = ast.parse(source)
        except (OSError, ValueError, SyntaxError, RecursionError):
            continue
        module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        found = (pair for name, said in _docstrings(tree, module) for pair in _pair(name, said))
        yield from islice(found, _FROM_ONE_FILE)


def _sources(root: Path) -> list[Path]:
    every = (path.relative_to(root) for path in root.rglob("*.py"))
    kept = [
        path
        for path in every
        if not _LEFT_OUT.intersection(path.parts) and (root / path).stat().st_size < _LARGEST
    ]
    return sorted(kept, key=lambda path: blake2b(path.as_posix().encode()).digest())


def _docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        if said := ast.get_docstring(node, clean=False):
            yield name, cleandoc(said)
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _docstrings(child, f"{name}.{child.name}")


def _pair(name: str, said: str) -> Iterator[tuple[str, str, str]]:
    """Its first sentence and the rest, if both say enough."""
    cut = _SENTENCE.match(said)
    if cut is None:
        return
    question, body = " ".join(cut[1].split()), cut[2].strip()[:LONGEST]
    if len(question.split()) >= _WORDS and len(question) <= 300 and len(body) >= SHORTEST:
        yield name, question, body
