"""The main job on real input, from training to rollback, in half a minute.

Two classifiers are trained on the digits that come with scikit-learn, the second one from the
first; both are pushed with the scores they really have, compared, promoted and rolled back. The
champion is watched while a dirty lens spoils what it sees, until its drift is proven. The
champion's bytes are pulled and used with the network forbidden; a bit of them is flipped in the
store, and nobody is given it any more. Then a server is started and asked the same over HTTP.
Run it with `make demo`.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split

import herdbook
from herdbook.front.artifacts import Pushed

Split = tuple[Any, Any, Any, Any]


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def digits() -> Split:
    """Give 1,797 real handwritten digits of 8 by 8 pixels, split for training and test."""
    pixels, labels = load_digits(return_X_y=True)
    return tuple(train_test_split(pixels / 16, labels, test_size=0.3, random_state=7))


def train(split: Split, *, samples: int, epochs: int, start: SGDClassifier | None = None) -> Any:
    """Train a linear classifier for some epochs, from scratch or on from another."""
    inputs, _, labels, _ = split
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.02, random_state=7)
    if start is not None:
        model.partial_fit(inputs[:10], labels[:10], classes=np.arange(10))
        model.coef_, model.intercept_ = start.coef_.copy(), start.intercept_.copy()
    for _ in range(epochs):
        model.partial_fit(inputs[:samples], labels[:samples], classes=np.arange(10))
    return model


def scores(model: Any, split: Split) -> dict[str, float]:
    """Score a classifier on digits it has not seen."""
    _, inputs, _, labels = split
    began = time.perf_counter()
    found = model.predict(inputs)
    spent_ms = (time.perf_counter() - began) * 1000
    return {
        "accuracy": round(float(accuracy_score(labels, found)), 4),
        "f1": round(float(f1_score(labels, found, average="macro")), 4),
        "latency_ms": round(spent_ms / len(labels), 5),
    }


def save(model: Any, folder: Path, **config: object) -> Path:
    """Write weights as safetensors and a config beside them; give the folder."""
    folder.mkdir(parents=True)
    weights = {
        "coef": np.ascontiguousarray(model.coef_, dtype=np.float32),
        "intercept": np.ascontiguousarray(model.intercept_, dtype=np.float32),
    }
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"classes": 10, "pixels": 64, **config}))
    return folder


def register(book: herdbook.Herdbook, work: Path) -> tuple[Any, Split]:
    """Train two versions, the second from the first, and push both; give the second."""
    split = digits()
    began = time.perf_counter()
    first = train(split, samples=120, epochs=3)
    one = book.artifacts.push(
        "digits",
        path=save(first, work / "digits-v1", samples=120),
        model_type="classifier",
        owner="vision",
        framework="scikit-learn",
        samples=120,
        epochs=3,
        learning_rate=0.02,
        duration_hours=(time.perf_counter() - began) / 3600,
        training_data=["digits-small"],
        metrics=scores(first, split),
        metrics_dataset="digits-test",
        tags={"team": "vision"},
    )
    told(one)
    second = train(split, samples=1_257, epochs=12, start=first)
    two = book.artifacts.push(
        "digits",
        path=save(second, work / "digits-v2", samples=1_257),
        parent="digits:v1",
        framework="scikit-learn",
        base_model="digits:v1",
        samples=1_257,
        epochs=12,
        learning_rate=0.02,
        training_data=["digits-small", "digits-full"],
        metrics=scores(second, split),
        metrics_dataset="digits-test",
        tags={"team": "vision"},
        description="trained on from v1, on all digits",
    )
    told(two)
    return second, split


def drift(book: herdbook.Herdbook, model: Any, split: Split) -> None:
    """Watch a version: what it says of clean digits is the reference, then a lens gets dirty."""
    say("The champion is watched: clean digits first, then some seen through a dirty lens")
    _, inputs, _, labels = split
    detector = book.drift.detector("digits", "v2")
    chances = model.predict_proba(inputs)
    for given, label in zip(chances, labels, strict=True):
        right = bool(given.argmax() == label)
        detector.add_reference_sample(str(given.argmax()), float(given.max()), correct=right)
    rng = np.random.default_rng(7)
    for lens, number in (("clean", 400), ("dirty", 400)):
        seen = inputs[rng.integers(len(inputs), size=number)]
        if lens == "dirty":
            seen = np.clip(seen + rng.normal(0.3, 0.3, seen.shape), 0, 1)
        for given in model.predict_proba(seen):
            detector.add_production_sample(str(given.argmax()), float(given.max()))
        score = detector.detect_drift()
        print(f"{number} digits through a {lens} lens: score {score:.2f}, {score.level}")


def told(pushed: Pushed) -> None:
    """Say what was pushed."""
    if pushed.version is None:
        raise SystemExit("nothing was registered")
    ref, metrics = pushed.version.ref, dict(pushed.version.metrics)
    print(f"pushed {ref}: {pushed.files} files, {pushed.size:,} bytes, {pushed.manifest}")
    print(f"  {metrics}", flush=True)


def command(*words: str, status: int = 0) -> None:
    """Show a command and run it; it must end with a status."""
    say("$ herdbook " + " ".join(words))
    done = subprocess.run([sys.executable, "-m", "herdbook", *words], check=False)  # noqa: S603
    if done.returncode != status:
        raise SystemExit(f"it ended with {done.returncode}, not {status}")


# What a service does when it starts, on a machine whose network is down: any connection but to
# this machine's own files is an error here.
SERVICE = """
import sys

def forbid(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise SystemExit(f"a connection was attempted: {arguments}")

sys.addaudithook(forbid)

import numpy as np
from safetensors.numpy import load_file
from sklearn.datasets import load_digits

import herdbook

with herdbook.connect() as book:
    folder = book.artifacts.pull("digits@champion")
weights = load_file(folder / "model.safetensors")
pixels, labels = load_digits(return_X_y=True)
found = (pixels / 16 @ weights["coef"].T + weights["intercept"]).argmax(axis=1)
right = np.mean(found == labels)
print(f"loaded {len(weights)} tensors of the champion; it tells {right:.1%} of all digits")
"""


def serve_offline() -> None:
    """Start a service that pulls the champion with the network forbidden."""
    say("A service starts with the champion's bytes, the network forbidden")
    subprocess.run([sys.executable, "-c", SERVICE], check=True)  # noqa: S603


def flip_a_bit(home: Path, book: herdbook.Herdbook) -> None:
    """Flip one bit of the champion's weights in the store."""
    weights = max(book.artifacts.files("digits@champion").files, key=lambda file: file.size)
    digits_ = weights.digest.removeprefix("sha256:")
    blob = home / "blobs" / "sha256" / digits_[:2] / digits_
    blob.chmod(0o600)
    with blob.open("r+b") as file:
        file.seek(weights.size // 2)
        byte = file.read(1)[0]
        file.seek(weights.size // 2)
        file.write(bytes([byte ^ 1]))
    say(f"One bit of {weights.path} is flipped in the store: nobody is given it any more")


@contextmanager
def server() -> Iterator[str]:
    """Start a server on a free port, wait until it is ready, end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "herdbook", "server", "start", "--port", str(port)]
    running = subprocess.Popen(words, stderr=subprocess.DEVNULL)  # noqa: S603
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, running)
        yield address
    finally:
        running.terminate()
        running.wait(10)


def wait_for(address: str, running: subprocess.Popen[bytes]) -> None:
    """Wait, at most half a minute, until a server is ready."""
    deadline = time.monotonic() + 30
    while running.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=1):  # noqa: S310
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"the server at {address} did not become ready")


def main() -> None:
    """Run the story."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(os.environ.setdefault("HERDBOOK_HOME", folder))
        home.mkdir(parents=True, exist_ok=True)
        say("Two classifiers on real digits, the second trained on from the first")
        with herdbook.connect() as book:
            trained = register(book, Path(folder))
        command("compare", "digits", "v1", "v2")
        command("deploy", "digits", "v1", "--reason", "the first one that works")
        between = datetime.now(UTC).isoformat()
        command("deploy", "digits", "v2", "--reason", "more digits, better scores")
        command("tree", "digits")
        command("list")
        command("artifacts", "diff", "digits:v1", "digits:v2")
        with herdbook.connect() as book:
            drift(book, *trained)
        command("drift", "show", "digits:v2")
        command("rollback", "digits", "--reason", "to see that it goes back")
        serve_offline()
        ask_then_and_now(between)
        with herdbook.connect() as book:
            flip_a_bit(home, book)
        command("artifacts", "pull", "digits@champion", "--to", f"{folder}/served", status=7)
        command("artifacts", "verify", "--read-data", status=1)
    say("What to try next")
    print("  herdbook init                      a register of your own")
    print("  herdbook add majora --path FOLDER --accuracy 0.85   your first version")
    print("  herdbook --help                    everything else; README.md has the tour")


def ask_then_and_now(between: str) -> None:
    """Ask what was in production, of the database and of a server."""
    say(f"Which one was in production at {between}, and who put it there?")
    command("deployments", "at", between, "--model", "digits")
    with server() as address:
        say(f"The same, asked of a server at {address}")
        with herdbook.connect(address) as book:
            print("champion now: ", book.get("digits@champion").ref)
            held = book.deployments.at(between, model="digits").items[0]
            print(f"champion then: digits:{held.since.to_number}, put there by {held.since.by}")
            best = book.versions.best("accuracy", model="digits")
            print(f"best accuracy: {best.ref} with {best.metrics['accuracy']}")
    command("audit", "verify")


if __name__ == "__main__":
    main()
