"""The benchmarks run; what they find is for `make bench`, never for a test."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_quick_benchmarks_run_and_write_their_table(tmp_path: Path) -> None:
    output = tmp_path / "results.md"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--no-peers"]

    done = subprocess.run(
        [*command, "--output", output], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    text = output.read_text(encoding="utf-8")
    groups = ["Footprint", "In process", "Server, one worker", "Growth on PostgreSQL", "Memory"]
    groups += ["Push of one safetensors file", "Pull of", "over HTTP", "A second version"]
    groups += [
        "Assigning, in process",
        "Recording: one result",
        "with book.serve",
        "Evaluating: one look",
        "Moving documents",
        "A million documents",
    ]
    assert [group for group in groups if group not in text] == []
    assert "missing" in text
