"""The shape of the code, as far as no linter knows it."""

import ast
import importlib
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest

import herdbook
from herdbook.errors import HerdbookError

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "herdbook"
MODULES = sorted(SOURCE.rglob("*.py"))

VAGUE = {"utils", "util", "helpers", "common", "base", "manager", "misc", "tools"}
LONGEST_FILE = 400
LONGEST_FUNCTION = 40
# "path::name" of a function that is longer, and why that is clearer than cutting it.
LONG_FUNCTIONS: dict[str, str] = {}

# Bracketed letters keep these patterns from finding themselves.
FOREIGN = [
    "/w[o]rk/", "/roo[t]/", "/h[o]me/", "p[y]thonhosted", "p[y]pi.org", "n[p]mjs.org",
    "deb.d[e]bian",
]  # fmt: skip


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for path in MODULES:
        yield _name(path), ast.parse(path.read_text(encoding="utf-8"))


def _error_classes() -> list[type[HerdbookError]]:
    found: list[type[HerdbookError]] = []
    waiting = [HerdbookError]
    while waiting:
        children = waiting.pop().__subclasses__()
        ours = [child for child in children if child.__module__.startswith("herdbook.")]
        found += ours
        waiting += ours
    return found


def _codes() -> set[str]:
    return {error.code for error in _error_classes()}


def _project_files(folder: Path = ROOT) -> Iterator[Path]:
    """The files that are the project: all but what .gitignore leaves out."""
    ignored = [".git", *(ROOT / ".gitignore").read_text(encoding="utf-8").split()]
    for path in folder.iterdir():
        if any(fnmatch(path.name, pattern.rstrip("/")) for pattern in ignored):
            continue
        if path.is_dir():
            yield from _project_files(path)
        else:
            yield path


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, tree in _trees() if not ast.get_docstring(tree)]

    assert silent == []


def test_no_file_or_folder_has_a_vague_name() -> None:
    vague = [_name(path) for path in SOURCE.rglob("*") if path.stem.strip("_") in VAGUE]

    assert vague == []


def test_no_source_file_is_too_long() -> None:
    lengths = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}

    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{name}::{node.name}": _body_lines(node)
        for name, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    too_long = {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION}
    assert too_long.keys() == LONG_FUNCTIONS.keys(), too_long


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a body, its docstring not counted."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_the_public_names_are_sorted() -> None:
    names = list(herdbook.__all__)

    # Constants, then classes, then the rest: the order ruff keeps.
    assert names == sorted(
        names, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )
    assert len(names) == len(set(names))


def test_the_public_names_are_what_can_be_imported() -> None:
    values = {name: getattr(herdbook, name) for name in herdbook.__all__}

    public = {
        name
        for name, value in vars(herdbook).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and getattr(value, "__module__", "").startswith("herdbook")
    }
    assert public - values.keys() == set()
    assert values.keys() - set(dir(herdbook)) == set()


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [HerdbookError.code, *(error.code for error in _error_classes())]

    assert sorted(codes) == sorted(set(codes))


def test_every_error_is_documented() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")

    assert {code for code in _codes() if f"`{code}`" not in page} == set()


@pytest.mark.parametrize(
    ("module", "table"),
    [("herdbook.server.problems", "STATUS"), ("herdbook.cli.main", "EXIT")],
)
def test_every_error_has_its_status_at_every_door(module: str, table: str) -> None:
    statuses = getattr(importlib.import_module(module), table)

    assert _codes() - statuses.keys() == set()
    assert all(type(status) is int for status in statuses.values())


def test_what_is_installed_is_what_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "requirements" / "runtime.in").read_text(encoding="utf-8").splitlines()

    assert project["dependencies"] == [line for line in lines if not line.startswith("#")]


def test_no_file_names_one_machine_or_a_package_registry() -> None:
    found = [
        f"{_name(path)}: {pattern}"
        for path in _project_files()
        for pattern in FOREIGN
        if fnmatch(path.read_bytes().decode("utf-8", "replace"), f"*{pattern}*")
    ]

    assert found == []
