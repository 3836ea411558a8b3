"""Write `herdbook.client.aio` from `herdbook.front`: the same methods, awaited.

    python scripts/make_async_front.py            writes the files
    python scripts/make_async_front.py --check    says which are not up to date

The front is one line a method, so the difference is a handful of words. psycopg and httpx
make their two faces the same way, for the same reason: nobody keeps two by hand.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FRONT = ROOT / "src/herdbook/front"
AIO = ROOT / "src/herdbook/client/aio"
NOUNS = (
    "access",
    "deployments",
    "documents",
    "drift",
    "evaluations",
    "events",
    "experiments",
    "lineage",
    "models",
    "webhooks",
)
WORDS = (
    (r"\bDoor\b", "AsyncDoor"),
    (r"herdbook\.front\.door", "herdbook.client.async_door"),
    (r"^class (\w+)", r"class Async\1"),
    (r"^    def (?!__init__|each\b)", "    async def "),
    (r"return self\.", "return await self."),
    (r"= self\._door\.", "= await self._door."),
    (r"\(self\.pedigree", "(await self.pedigree"),
    (r"\bIterator\b", "AsyncIterator"),
)


def translated(noun: str) -> str:
    """Give the async text of a noun."""
    source = (FRONT / f"{noun}.py").read_text()
    tree = ast.parse(source)
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and _holds_door(n)]
    imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    own = sorted({n.name for n in tree.body if hasattr(n, "name")} - {c.name for c in classes})
    parts = [
        f'"""`herdbook.front.{noun}`, awaited. Written by `scripts/make_async_front.py`."""',
        "",
    ]
    parts += [ast.get_source_segment(source, node) or "" for node in imports]
    parts += [f"from herdbook.front.{noun} import {', '.join(own)}"] if own else []
    parts += [ast.get_source_segment(source, node) or "" for node in classes]
    text = "\n".join(parts) + "\n"
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text, flags=re.M)
    return _tidied(text)


def _holds_door(node: ast.ClassDef) -> bool:
    return any(isinstance(n, ast.FunctionDef) and n.name == "__init__" for n in node.body)


def _tidied(text: str) -> str:
    name = str(AIO / "noun.py")
    for words in (
        ["check", "--fix-only", "--quiet", "--select", "F401,I", "--stdin-filename", name, "-"],
        ["format", "--quiet", "--stdin-filename", name, "-"],
    ):
        done = subprocess.run(  # noqa: S603 - fixed words
            [sys.executable, "-m", "ruff", *words],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        text = done.stdout
    return text


def main() -> int:
    """Write the files, or with `--check` compare them."""
    stale = []
    for noun in NOUNS:
        file, text = AIO / f"{noun}.py", translated(noun)
        if file.is_file() and file.read_text() == text:
            continue
        stale.append(noun)
        if "--check" not in sys.argv:
            file.write_text(text)
    sys.stdout.write(f"{', '.join(stale) or 'nothing'} changed\n")
    return bool(stale and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
