"""A hydraulic plant: pieces of equipment with six sensors each, and who is connected to whom.

It is made up, but not easy: a leak shows a little in a machine's own readings and more in those of
its neighbours, sensors are noisy, and now and then one is silent.
"""

import hashlib
from typing import Any, Final

import numpy as np

EQUIPMENT: Final = 300
SENSORS: Final = ("pressure", "flow", "temperature", "vibration", "viscosity", "particles")
NEIGHBOURS: Final = 3
FAULTY: Final = 0.4
SILENT: Final = 0.02

Array = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

# How a fault moves a machine's own readings, and how those of its neighbours.
_OWN: Final = np.array([-0.5, -0.3, 0.4, 0.5, 0.0, 0.2])
_BESIDE: Final = np.array([-1.4, -1.2, 0.3, 0.9, 0.0, 0.6])
_NORMAL: Final = np.array([180.0, 60.0, 55.0, 4.0, 46.0, 18.0])
_SPREAD: Final = np.array([12.0, 5.0, 4.0, 1.0, 3.0, 2.0])


def measured(rng: np.random.Generator, count: int) -> tuple[Array, Flags]:
    """Give readings of machines beside the mean of their neighbours', and who is faulty.

    A silent sensor reads NaN. The shape is (count, 12): own readings, then the neighbours'.
    """
    faulty = rng.random(count) < FAULTY
    severity = faulty[:, None] * rng.uniform(0.6, 1.6, (count, 1))
    own = severity * _OWN + rng.standard_normal((count, 6))
    beside = severity * _BESIDE + rng.standard_normal((count, 6)) / np.sqrt(NEIGHBOURS)
    own[rng.random((count, 6)) < SILENT] = np.nan
    return np.hstack([_NORMAL + _SPREAD * own, _NORMAL + _SPREAD * beside]), faulty


def read(equipment_id: str, moment: int) -> Array:
    """Give the readings of one machine at a moment: the same whoever asks.

    Raises:
        KeyError: there is no such equipment.
    """
    if equipment_id not in _KNOWN:
        raise KeyError(equipment_id)
    seed = hashlib.sha256(f"{equipment_id}:{moment}".encode()).digest()[:8]
    rows, _ = measured(np.random.default_rng(int.from_bytes(seed)), 1)
    found: Array = rows[0]
    return found


def name(number: int) -> str:
    """Give the id of a piece of equipment."""
    return f"pump-{number:03d}"


_KNOWN: Final = frozenset(name(number) for number in range(EQUIPMENT))
