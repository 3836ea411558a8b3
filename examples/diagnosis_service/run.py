"""A diagnosis service tries two new versions: one is promoted by itself, one rolled back.

Run it with `python examples/diagnosis_service/run.py`; it takes about a minute. Everything it makes
is in a temporary folder, or in HERDBOOK_HOME if that is set.
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
from pathlib import Path
from typing import Any

import gnn

import herdbook
from herdbook.core.decisions import ArmMetrics, Evaluation
from herdbook.core.experiments import Experiment
from herdbook.services.deciding import reworded

HERE = Path(__file__).parent
SEED = 7
USERS = 600
WORKERS = 2
LONGEST_SECONDS = 90

Ledger = dict[str, int]

VERSIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "v2.1.0": ("sees a machine alone", {"samples": 400, "neighbours": False}),
    "v2.2.0": ("sees its neighbours too", {"samples": 4_000}),
    "v2.3.0": ("as v2.2.0, exported without what silent sensors are filled with",
               {"samples": 4_000, "fill": False}),
}  # fmt: skip


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def register(book: herdbook.Herdbook, work: Path) -> None:
    """Train three versions, push their bytes, and put the first into production."""
    for number, (what, how) in VERSIONS.items():
        weights = gnn.train(SEED, **how)
        right = round(gnn.accuracy(weights, SEED + 1), 3)
        book.artifacts.push(
            "gnn",
            number,
            path=gnn.save(weights, work / number),
            model_type="gnn",
            framework="scikit-learn",
            description=what,
            metrics={"accuracy": right},
            metrics_dataset="plant-test",
        )
        print(f"pushed gnn:{number}, {what}; accuracy {right}", flush=True)
    book.deployments.promote("gnn:v2.1.0", reason="the first one")


@contextmanager
def service() -> Iterator[str]:
    """Start the service with two workers on a free port, wait until it answers, end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["service:app", "--port", str(port), "--workers", str(WORKERS)]
    command = [sys.executable, "-m", "uvicorn", *words, "--log-level", "error", "--no-access-log"]
    running = subprocess.Popen(command, cwd=HERE)  # noqa: S603
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/health", running)
        yield address
    finally:
        running.terminate()
        running.wait(30)


def wait_for(address: str, running: subprocess.Popen[bytes]) -> None:
    """Wait, at most half a minute, until a service answers."""
    deadline = time.monotonic() + 30
    while running.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=1):  # noqa: S310
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{address} does not answer")


@contextmanager
def traffic(address: str, ledger: Ledger) -> Iterator[None]:
    """Let users ask in a process of their own; fills the ledger at the end."""
    words = [sys.executable, str(HERE / "traffic.py"), address, str(USERS), str(SEED)]
    asking = subprocess.Popen(  # noqa: S603
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield
    finally:
        said, _ = asking.communicate()
    ledger.update(json.loads(said))


def tried(
    book: herdbook.Herdbook, address: str, name: str, treatment: str, **how: Any
) -> tuple[Experiment, Ledger]:
    """Start an experiment, let users come until it is over; nobody here decides anything."""
    say(f"Is gnn:{treatment} better? Experiment {name}, {USERS} users, half of them get it")
    begun = book.experiments.start(name, "gnn", treatment, min_requests=500, duration_days=1, **how)
    for warning in begun.warnings:
        print(f"  note: {warning}")
    ledger: Ledger = {}
    began, shown = time.monotonic(), 0
    with traffic(address, ledger):
        found = begun
        while found.state != "ended" and time.monotonic() - began < LONGEST_SECONDS:
            time.sleep(0.5)
            found = book.experiments.get(name)
            judged = book.experiments.evaluation(name)
            if judged.batches > shown:
                shown = judged.batches
                progress(judged, time.monotonic() - began)
        took = time.monotonic() - began
        # Workers look every second; until then users are still given both.
        time.sleep(1.5)
    if found.state != "ended":
        raise SystemExit(f"{name} has not ended after {took:.0f} s")
    print(f"  {found.outcome} after {took:.0f} s", flush=True)
    return found, ledger


def progress(judged: Evaluation, seconds: float) -> None:
    """Show how things stand."""
    results = sum(arm.results for arm in judged.arms)
    gain = judged.treatments[0].interval("confidence")
    span = "not known yet"
    if gain is not None and gain.low is not None and gain.high is not None:
        span = f"{gain.low * 100:+.1f} to {gain.high * 100:+.1f} points"
    print(f"  {seconds:4.0f} s  {results:6,} results  confidence {span}: {judged.decision}")


def report(judged: Evaluation, ledger: Ledger) -> None:
    """Show what an experiment found, and that nothing of it was lost."""
    print("\n  arm        version  results  errors  confidence  p50     p95     users")
    for arm in judged.arms:
        print(f"  {row(arm)}")
    print(f"\n  {judged.recommendation}")
    print(f"  {reworded(judged, 'ru')}")
    told = sum(ledger.get(f"{arm.arm} results", 0) for arm in judged.arms)
    counted = sum(arm.results for arm in judged.arms)
    print(
        f"\n  users were told {told:,} diagnoses of the experiment: {counted:,} are its evidence, "
        f"{told - counted:,} came when it had been decided"
    )


def row(arm: ArmMetrics) -> str:
    """Write an arm as a line of a table."""
    rate, confidence = arm.error_rate or 0.0, arm.confidence or 0.0
    times = f"{arm.p50_ms or 0:.2f} ms {arm.p95_ms or 0:.2f} ms"
    return (
        f"{arm.arm:10} {arm.number:8} {arm.results:7,} {rate:7.1%} {confidence:11.3f}  {times}"
        f" {arm.units:5}"
    )


def champion(book: herdbook.Herdbook) -> str:
    """Give the number that serves."""
    return book.get("gnn@champion").number


def story(book: herdbook.Herdbook, address: str) -> dict[str, Ledger]:
    """Try a better version, then a broken one; give the ledgers."""
    print(f"champion: gnn:{champion(book)}")
    found, better = tried(book, address, "gnn_v2.2_test", "v2.2.0", auto_promote=True)
    report(book.experiments.evaluation(found.name), better)
    print(f"\nchampion: gnn:{champion(book)}")
    found, broken = tried(book, address, "gnn_v2.3_test", "v2.3.0", auto_promote=True)
    report(book.experiments.evaluation(found.name), broken)
    print(f"\nchampion: gnn:{champion(book)}")
    return {"gnn_v2.2_test": better, "gnn_v2.3_test": broken}


def aftermath(book: herdbook.Herdbook) -> None:
    """Show what is kept of it, for whoever asks next year."""
    say("Why is it champion? `herdbook deployments history gnn`")
    for move in book.deployments.history("gnn").items:
        print(f"  {move.from_number or '-':7} -> {move.to_number}: {move.reason}")
    say("What happened? The audit log")
    for event in book.events.each(model="gnn"):
        more = [event.body.get(key) for key in ("experiment", "outcome", "alias")]
        told = " ".join(str(each) for each in more if each)
        print(f"  {event.seq:3}  {event.action:20} {event.number or '-':8} {told}")
    print(f"  the chain of {book.events.verify().events} entries is whole")
    say("Can it be believed? The evidence made anew from its batches says the same")
    for name in ("gnn_v2.2_test", "gnn_v2.3_test"):
        print(f"  {name}: {book.experiments.replay(name).decision}")


def main() -> None:
    """Run the story."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(os.environ.setdefault("HERDBOOK_HOME", f"{folder}/home"))
        say("Three versions of a small graph network, trained here, go into the register")
        with herdbook.connect() as book:
            register(book, Path(folder))
            say(f"The service starts: uvicorn, {WORKERS} workers, the register is a SQLite file")
            with service() as address:
                ledgers = story(book, address)
            aftermath(book)
        (home / "ledgers.json").write_text(json.dumps(ledgers))


if __name__ == "__main__":
    main()
