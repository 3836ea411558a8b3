"""The stores the promises are tested on: a folder, memory, and S3 over HTTP."""

import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from herdbook.core.blobs import Blobs
from herdbook.storage.blobs import opened
from herdbook.storage.blobs.objects import ObjectBlobs
from tests.running import free_port

WAIT_SECONDS = 60
# What is sent in one piece, and what is sent in parts.
SMALL = b"the weights of majora"
LARGE = os.urandom(1 << 20) * 20 + b"end"


@contextmanager
def s3_server() -> Iterator[str]:
    """Start an S3 of its own and give its address."""
    port = free_port()
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(address, running)
        yield address
    finally:
        running.terminate()
        running.wait(timeout=WAIT_SECONDS)


def _wait(address: str, running: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/moto-api/", timeout=2):  # noqa: S310
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the S3 server did not start")


def new_bucket(server: str) -> str:
    """Make a bucket and give its name."""
    name = f"models-{uuid.uuid4().hex[:12]}"
    request = urllib.request.Request(f"{server}/{name}", method="PUT")  # noqa: S310
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310
        return name


def use_s3(patch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Set what an S3 client looks for in the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    patch.setenv("AWS_ENDPOINT", endpoint)
    patch.setenv("AWS_ALLOW_HTTP", "true")
    patch.setenv("AWS_REGION", "us-east-1")
    patch.setenv("AWS_ACCESS_KEY_ID", "a-key-for-tests")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-for-tests")


def opened_s3(bucket: str, *, patience_seconds: float = 20) -> ObjectBlobs:
    """Open a bucket of the S3 in the environment, below a prefix."""
    return ObjectBlobs.at(f"s3://{bucket}/below", patience=timedelta(seconds=patience_seconds))


def opened_folder(folder: Path) -> Blobs:
    """Open a folder."""
    return opened(str(folder / "blobs"))
