"""Slots of a folder that services read a model from: blue, green, and `current`, one of them."""

from herdbook.storage.slots.copies import copied, surveyed
from herdbook.storage.slots.folder import Slots
from herdbook.storage.slots.records import Held, Staged, Standing, Switched, slot_name

__all__ = ["Held", "Slots", "Staged", "Standing", "Switched", "copied", "slot_name", "surveyed"]
