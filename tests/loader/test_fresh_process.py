"""What a process sees that set nothing of the hub's own settings."""

import os
import subprocess
import sys


def test_a_hub_reference_without_a_hub_is_an_error_of_one_sentence() -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    words = [sys.executable, "-m", "herdbook", "artifacts", "download", "hf:deepset/gbert-base"]
    # A proxy that is not there stands for a machine without a network.
    environ |= {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}

    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)

    assert done.returncode in {6, 8}, done.stderr
    assert "This is a fault of Herdbook" not in done.stderr
    assert "error:" in done.stderr
