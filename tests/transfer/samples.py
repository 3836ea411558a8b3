"""Small registries of other tools, as their own documents describe the files."""

import copy
from typing import Any

_V1 = {
    "model_name": "majora",
    "version": "v1",
    "created_at": "2026-01-14T10:00:00",
    "status": "deployed",
    "lora_path": "out/majora-v1-lora",
    "gguf_path": "out/majora-v1-Q8_0.gguf",
    "training": {
        "framework": "unsloth",
        "base_model": "Qwen2.5-Coder-7B",
        "samples": 240.0,
        "epochs": 2,
        "learning_rate": 0.0003,
        "cost_usd": 1.5,
    },
    "evaluation_scores": {
        "accuracy": 0.81,
        "f1_score": 0.79,
        "perplexity": None,
        "rouge_scores": {"rouge1": 0.4, "rougeL": 0.3},
        "custom_metrics": {"helpful": 0.9, "broken": float("nan")},
    },
    "deployed": True,
    "deployed_at": "2026-01-14T11:00:00",
    "parent_version": None,
    "training_data_sources": ["oracle", "toolbench"],
    "git_commit": "0a1b2c3d",
    "tags": ["stable"],
    "notes": "First one",
    "seed": 7,
}

_AFS: dict[str, Any] = {
    "version": "1.0",
    "models": {
        "majora": {
            "metadata": {
                "model_name": "majora",
                "created_at": "2026-01-14T10:00:00",
                "description": "Writes code",
                "owner": "search",
                "tags": ["coder"],
                "notes": "",
            },
            # A child before its parent, and a number that is none here.
            "versions": {
                "v2b": {"version": "v2b", "status": "completed", "parent_version": "v2"},
                "v3": {
                    "version": "v3",
                    "status": "deployed",
                    "deployed": True,
                    "deployed_at": "2026-01-16T09:00:00",
                    "training": {"base_model": "majora:v2b"},
                },
                "v2": {"version": "v2", "status": "deprecated", "parent_version": "v1"},
                "v1": _V1,
                "v0": {"version": "v0", "status": "archived"},
                "v4": {"version": "v4", "status": "draft", "parent_version": "v3"},
            },
        }
    },
}

_LINEAGE: dict[str, Any] = {
    "version": "1.0",
    "lineages": {
        "majora": {
            "versions": {
                "v2": {
                    "created_at": "2026-01-15T12:00:00",
                    "parent_version": "v1",
                    "training_data": ["oracle", "hard-cases"],
                    "git_commit": "4d5e6f70-dirty",
                    "base_model": "majora:v1",
                    "notes": "Tuned further",
                },
                "v5": {"parent_version": "v4", "training_data": [], "base_model": None},
            }
        }
    },
}

_COREML: dict[str, Any] = {
    "models": {
        "paraphrase-multilingual-MiniLM-L12-v2": {
            "model_type": "embedding",
            "current_version": "1.1.0",
            "versions": {
                "1.0.0": {
                    "version": "1.0.0",
                    "description": "First",
                    "status": "production",
                    "performance_metrics": {"accuracy": 0.9},
                    "dependencies": ["torch>=2.4"],
                    "created_at": "2026-01-01T00:00:00",
                },
                "1.1.0": {
                    "status": "production",
                    "performance_metrics": {"accuracy": 0.93, "latency_ms": 40.5},
                    "dependencies": {"torch": "2.4"},
                    "metadata": {"chunk_size": 1000},
                    "created_at": "2026-02-01T00:00:00",
                },
                "2.0.0": {"status": "staging"},
            },
        }
    }
}


def afs() -> dict[str, Any]:
    """Give an AFS `registry.json`."""
    return copy.deepcopy(_AFS)


def lineage() -> dict[str, Any]:
    """Give the `lineage.json` beside it."""
    return copy.deepcopy(_LINEAGE)


def coreml() -> dict[str, Any]:
    """Give a CoreML `model_registry.json`."""
    return copy.deepcopy(_COREML)
