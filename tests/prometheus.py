"""A real Prometheus that scrapes servers on this machine."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.running import free_port

T = TypeVar("T")
WAIT_SECONDS = 30


def program(name: str) -> str:
    """Where a program of Debian's package `prometheus` is; without it the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on the path; Debian's package prometheus has it")
    return found


def promtool(
    *words: str | Path, within: Path | None = None, given: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run promtool."""
    asked = [program("promtool"), *words]
    return subprocess.run(
        asked, cwd=within, input=given, capture_output=True, text=True, check=False
    )


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    address: str

    def ask(self, path: str, **query: str) -> Any:
        """Ask its API, and give the data of the answer."""
        url = f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - on this machine
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            told = json.load(error)
        assert told["status"] == "success", (query, told)
        return told["data"]

    def series(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Give the series that come of a query now: labels and value."""
        found = self.ask("query", query=query)["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def alerts(self, state: str = "firing") -> dict[str, list[dict[str, str]]]:
        """Give the labels of alerts by name."""
        found: dict[str, list[dict[str, str]]] = {}
        for alert in self.ask("alerts")["alerts"]:
            if alert["state"] == state:
                found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found


def wait_for(what: Callable[[], T], *, seconds: float = WAIT_SECONDS) -> T:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {found!r}"
        time.sleep(0.1)
    return found


@contextmanager
def scraping(
    folder: Path, addresses: Sequence[str], *, rules: str, token: str = ""
) -> Iterator[Prometheus]:
    """Start a Prometheus that scrapes servers every second; end it.

    Args:
        folder: where its data may lie.
        addresses: of the servers, `http://…`.
        rules: as YAML.
        token: for all of them.
    """
    (folder / "rules.yml").write_text(rules)
    (folder / "prometheus.yml").write_text(_config(addresses, token))
    port = free_port()
    words = [program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    words += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(words, cwd=folder, stdout=log, stderr=log) as running,
    ):
        try:
            yield _ready(Prometheus(f"http://127.0.0.1:{port}"), folder)
        finally:
            running.terminate()


def _config(addresses: Sequence[str], token: str) -> str:
    job: dict[str, Any] = {
        "job_name": "herdbook",
        "static_configs": [{"targets": [each.removeprefix("http://") for each in addresses]}],
    }
    if token:
        job["authorization"] = {"credentials": token}
    # JSON is YAML.
    return json.dumps(
        {
            "global": {
                "scrape_interval": "1s",
                "scrape_timeout": "1s",
                "evaluation_interval": "1s",
            },
            "rule_files": ["rules.yml"],
            "scrape_configs": [job],
        }
    )


def _ready(found: Prometheus, folder: Path) -> Prometheus:
    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{found.address}/-/ready", timeout=1):  # noqa: S310
                return True
        except OSError:
            return False

    try:
        wait_for(answers)
    except AssertionError:
        raise AssertionError((folder / "log").read_text()) from None
    return found
