"""The servers that README starts do start."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import free_port

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what README says; nothing here listens on it
SHOWN = re.findall(r"^herdbook (.+)$", Path("README.md").read_text(), flags=re.M)


def test_readme_shows_a_server_for_oneself_and_one_for_others() -> None:
    assert [words.split()[:2] for words in SHOWN] == [
        ["server", "start"],
        ["tokens", "create"],
        ["server", "start"],
    ]


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make a certificate with")
def test_the_servers_that_readme_starts_do_start(tmp_path: Path) -> None:
    make = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 1 -subj /CN=x"
    subprocess.run(["openssl", *make.split()], cwd=tmp_path, check=True, capture_output=True)

    for words in SHOWN:
        # Tests listen on loopback only; that another address needs what it says is tested apart.
        command = [sys.executable, "-m", "herdbook", *words.replace(EVERYWHERE, "::1").split()]
        if words.startswith("tokens"):
            subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        else:
            assert _answers([*command, "--port", str(free_port())], tmp_path)


def _answers(command: list[str], folder: Path) -> bool:
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        answers = any("://" in line for line in iter(server.stderr.readline, ""))
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
        return answers
