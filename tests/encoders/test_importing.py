"""What is imported, and when."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent.parent / "src" / "herdbook"


def importers(package: str) -> list[str]:
    """Give the modules of Herdbook that import a package."""
    imports = re.compile(rf"^ *(import|from) {package}\b", re.MULTILINE)
    return sorted(
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if imports.search(path.read_text(encoding="utf-8"))
    )


@pytest.mark.parametrize(
    ("package", "module"),
    [
        ("onnxruntime", "encoders/onnx.py"),
        ("tokenizers", "encoders/onnx.py"),
        ("sentence_transformers", "encoders/sentence_transformers.py"),
    ],
)
def test_what_need_not_be_installed_is_imported_in_one_module(package: str, module: str) -> None:
    assert importers(package) == [module]


def test_naming_the_encoders_imports_nothing_heavy() -> None:
    heavy = {"numpy", "httpx2", "onnxruntime", "tokenizers", "torch", "sentence_transformers"}
    code = f"import sys, herdbook.encoders; print(sorted({heavy!r} & set(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "[]\n"
