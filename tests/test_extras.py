"""Extras: every one a message names is there, and every one that is there is documented."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"herdbook\[([a-z][a-z-]*)\]")


def _extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["optional-dependencies"])


def _texts(folder: str, pattern: str) -> str:
    found = sorted((ROOT / folder).rglob(pattern))
    return "\n".join(path.read_text(encoding="utf-8") for path in found)


def test_every_extra_a_message_names_can_be_installed() -> None:
    from herdbook.storage.vectors import _NEEDS

    source = _texts("src", "*.py")
    named = {*NAMED.findall(source), *re.findall(r'needs\(\s*"([a-z-]+)"', source)}
    named |= {extra for _, extra in _NEEDS.values()}

    assert named - _extras() == set()


def test_every_extra_is_documented() -> None:
    written = _texts("docs", "*.md") + (ROOT / "README.md").read_text(encoding="utf-8")

    silent = {extra for extra in _extras() if f"`{extra}`" not in written}

    assert {extra for extra in silent if f"herdbook[{extra}]" not in written} == set()
