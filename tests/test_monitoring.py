"""What a program that serves models counts in its own Prometheus registry."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from herdbook import monitoring
from herdbook.monitoring import (
    OTHER,
    VERSIONS_LIMIT,
    InferenceMetrics,
    record_gnn_metrics,
    record_rag_metrics,
)


def counted(name: str, version: str, model: str = "gnn", **labels: str) -> float:
    known = {"model_type": model, "model_version": version, **labels}
    return REGISTRY.get_sample_value(name, known) or 0.0


def test_the_seeds_own_call_is_counted() -> None:
    record_gnn_metrics(
        model_version="v2.1.0-rc.1", inference_time_ms=124.5, anomaly_score=0.2, confidence=0.87
    )
    record_gnn_metrics("v2.1.0-rc.1", error=True)

    assert counted("herdbook_inferences_total", "v2.1.0-rc.1", outcome="ok") == 1
    assert counted("herdbook_inferences_total", "v2.1.0-rc.1", outcome="error") == 1
    assert counted("herdbook_inference_seconds_count", "v2.1.0-rc.1") == 1
    assert counted("herdbook_inference_seconds_sum", "v2.1.0-rc.1") == 0.1245
    assert counted("herdbook_inference_confidence_bucket", "v2.1.0-rc.1", le="0.85") == 0
    assert counted("herdbook_inference_confidence_bucket", "v2.1.0-rc.1", le="0.9") == 1
    assert counted("herdbook_inference_anomaly_score_sum", "v2.1.0-rc.1") == 0.2


def test_what_a_retrieval_found_is_counted() -> None:
    record_rag_metrics(
        "v1.3-rc.1", inference_time_ms=310, retrieved=5, relevance=0.7, confidence=0.5
    )

    assert counted("herdbook_inference_retrieved_documents_sum", "v1.3-rc.1", "rag") == 5
    assert counted("herdbook_inference_relevance_sum", "v1.3-rc.1", "rag") == 0.7
    assert counted("herdbook_inference_seconds_sum", "v1.3-rc.1", "rag") == 0.31


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, "soon", 10**400])
def test_what_is_no_such_number_is_counted_as_refused_and_spoils_no_sum(value: float) -> None:
    before = counted("herdbook_inference_values_refused_total", "v9", value="inference_time_ms")

    record_gnn_metrics("v9", inference_time_ms=value)

    refused = counted("herdbook_inference_values_refused_total", "v9", value="inference_time_ms")
    assert refused == before + 1
    assert counted("herdbook_inference_seconds_count", "v9") == 0


def test_beyond_so_many_versions_they_share_their_labels() -> None:
    registry = CollectorRegistry()
    metrics = InferenceMetrics(registry)

    for at in range(VERSIONS_LIMIT + 50):
        metrics.record("gnn", f"v{at}", {"confidence": 0.5}, error=False)
    metrics.record("gnn", "v0", {"confidence": 0.5}, error=False)

    def total(model: str, version: str) -> float | None:
        return registry.get_sample_value(
            "herdbook_inferences_total",
            {"model_type": model, "model_version": version, "outcome": "ok"},
        )

    assert total(OTHER, OTHER) == 50
    assert total("gnn", "v0") == 2
    text = generate_latest(registry).decode()
    versions = {line.split('model_version="')[1].split('"')[0] for line in text.splitlines()
                if 'model_version="' in line}  # fmt: skip
    assert len(versions) == VERSIONS_LIMIT + 1


def test_a_module_that_is_reloaded_goes_on_counting() -> None:
    record_gnn_metrics("v7")

    importlib.reload(monitoring).record_gnn_metrics("v7")

    assert counted("herdbook_inferences_total", "v7", outcome="ok") == 2


def test_threads_that_are_all_the_first_make_one_set_of_metrics() -> None:
    script = (
        "import threading\n"
        "from prometheus_client import REGISTRY\n"
        "from herdbook.monitoring import record_gnn_metrics\n"
        "ready, failed = threading.Barrier(16), []\n"
        "threading.excepthook = lambda told: failed.append(told)\n"
        "def count():\n"
        "    ready.wait()\n"
        "    for _ in range(100): record_gnn_metrics('v1', confidence=0.5)\n"
        "threads = [threading.Thread(target=count) for _ in range(16)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "labels = {'model_type': 'gnn', 'model_version': 'v1'}\n"
        "found = REGISTRY.get_sample_value('herdbook_inference_confidence_count', labels)\n"
        "print(len(failed), found)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["0", "1600.0"]


COUNTING = (
    "from herdbook.monitoring import record_gnn_metrics\n"
    "[record_gnn_metrics('v1', inference_time_ms=100) for _ in range({times})]\n"
)
GATHERING = (
    "from prometheus_client import CollectorRegistry, generate_latest, multiprocess\n"
    "registry = CollectorRegistry()\n"
    "multiprocess.MultiProcessCollector(registry)\n"
    "print(generate_latest(registry).decode())\n"
)


def test_several_processes_are_added_up_where_they_share_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    def run(script: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout

    for times in (3, 4):
        run(COUNTING.format(times=times))

    labels = 'model_type="gnn",model_version="v1"'
    told = run(GATHERING)
    assert f"herdbook_inference_seconds_count{{{labels}}} 7.0" in told
    assert f'herdbook_inferences_total{{{labels},outcome="ok"}} 7.0' in told
    assert "pid=" not in told


def test_importing_it_brings_no_metrics_and_no_client() -> None:
    script = "import sys, herdbook.monitoring; print('prometheus_client' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["False"]
