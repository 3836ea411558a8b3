"""The model: one layer of a graph network that looks at a machine and at its neighbours.

    hidden = relu(own @ w_own + mean(neighbours) @ w_beside + bias)
    p(fault) = sigmoid(hidden @ w_out + b_out)

It is trained with scikit-learn and kept as safetensors, which load without running any code.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from plant import SENSORS, Array, measured
from safetensors.numpy import save_file
from sklearn.neural_network import MLPClassifier

OWN = len(SENSORS)


class NoDiagnosis(Exception):
    """The model had no answer."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says.

    Args:
        anomaly_score: how likely a fault is, 0 to 1.
        confidence: how sure the model is of its verdict, 0.5 to 1.
    """

    anomaly_score: float
    confidence: float


def train(seed: int, *, samples: int, neighbours: bool = True, fill: bool = True) -> dict[str, Any]:
    """Train a version; give its weights by name.

    Args:
        seed: of the readings and of the training.
        samples: how many readings it learns from.
        neighbours: whether it looks at the neighbours too.
        fill: whether it knows what to put in place of a silent sensor's reading.
    """
    readings, faulty = measured(np.random.default_rng(seed), samples)
    centre, scale = np.nanmean(readings, axis=0), np.nanstd(readings, axis=0)
    inputs = np.nan_to_num((readings - centre) / scale)
    if not neighbours:
        inputs[:, OWN:] = 0.0
    learned = MLPClassifier((16,), alpha=0.05, max_iter=1_000, random_state=seed)
    learned.fit(inputs, faulty)
    hidden, out = learned.coefs_
    weights = {
        "centre": centre,
        "scale": scale,
        "fill": np.full(2 * OWN, 0.0 if fill else np.nan),
        "w_own": hidden[:OWN],
        "w_beside": hidden[OWN:] if neighbours else np.zeros_like(hidden[OWN:]),
        "bias": learned.intercepts_[0],
        "w_out": out[:, 0],
        "b_out": learned.intercepts_[1],
    }
    return {key: np.ascontiguousarray(value) for key, value in weights.items()}


def save(weights: dict[str, Any], folder: Path) -> Path:
    """Write a version's files; give the folder."""
    folder.mkdir(parents=True)
    save_file(weights, folder / "model.safetensors")
    return folder


def predict(weights: dict[str, Any], readings: Array) -> Prediction:
    """Say whether a machine is faulty.

    Raises:
        NoDiagnosis: what came out is no number.
    """
    inputs = (readings - weights["centre"]) / weights["scale"]
    inputs = np.where(np.isnan(inputs), weights["fill"], inputs)
    mixed = inputs[:OWN] @ weights["w_own"] + inputs[OWN:] @ weights["w_beside"]
    hidden = np.maximum(mixed + weights["bias"], 0.0)
    score = float(1 / (1 + np.exp(-(hidden @ weights["w_out"] + weights["b_out"][0]))))
    if np.isnan(score):
        raise NoDiagnosis("the score is no number")
    return Prediction(anomaly_score=score, confidence=max(score, 1 - score))


def accuracy(weights: dict[str, Any], seed: int) -> float:
    """Give the share of right verdicts on readings it has not seen; no answer is a wrong one."""
    readings, faulty = measured(np.random.default_rng(seed), 2_000)
    right = 0
    for row, fault in zip(readings, faulty, strict=True):
        try:
            right += (predict(weights, row).anomaly_score > 0.5) == bool(fault)
        except NoDiagnosis:
            continue
    return right / len(faulty)
