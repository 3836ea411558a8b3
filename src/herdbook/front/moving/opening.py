"""Stores and encoders of collections, each opened once in a process."""

import threading
from collections.abc import Callable
from typing import Any

from herdbook.core.spaces import Encoder, EncoderSpec
from herdbook.core.vectors import Vectors
from herdbook.errors import Conflict, HerdbookError
from herdbook.front.artifacts import Artifacts


class Opener:
    """Opens stores and encoders, and keeps them open; one for each register that is open.

    Args:
        artifacts: where the files of a version are pulled from.
    """

    def __init__(self, artifacts: Callable[[], Artifacts]) -> None:
        self._artifacts = artifacts
        self._lock = threading.RLock()
        self._stores: dict[str, Vectors] = {}
        self._encoders: dict[EncoderSpec, Encoder] = {}
        self._given: dict[EncoderSpec, Any] = {}
        self._turns: dict[str, threading.Lock] = {}

    def store(self, address: str) -> Vectors:
        """Give the store at an address."""
        with self._lock:
            if address not in self._stores:
                from herdbook.storage import vectors

                self._stores[address] = vectors.opened(address)
            return self._stores[address]

    def turn(self, collection: str) -> threading.Lock:
        """Let one thread at a time write a collection that lies at two places."""
        with self._lock:
            return self._turns.setdefault(collection, threading.Lock())

    def give(self, spec: EncoderSpec, function: Any) -> None:
        """Let a spec mean an object of this process, as one that was written into a notebook.

        Args:
            spec: `python:` with any name.
            function: takes texts, gives vectors.
        """
        with self._lock:
            self._given[spec] = function
            _shut(self._encoders.pop(spec, None))

    def share(self, spec: EncoderSpec, known: EncoderSpec) -> None:
        """Let a spec mean what another one does, where that means an object of this process."""
        with self._lock:
            if known in self._given:
                self._given[spec] = self._given[known]

    def give_as(self, spec: EncoderSpec, same: EncoderSpec) -> None:
        """Let what was given for a spec be what another means, too."""
        with self._lock:
            if spec in self._given:
                self.give(same, self._given[spec])

    def encoder(self, spec: EncoderSpec) -> Encoder:
        """Give an encoder; the files of a version are pulled, and verified, first.

        Raises:
            HerdbookError: it cannot be opened, see `encoders.opened`.
        """
        with self._lock:
            if spec not in self._encoders:
                self._encoders[spec] = self._opened(spec)
            return self._encoders[spec]

    def is_portable(self, spec: EncoderSpec) -> bool:
        """Whether another process can open it too."""
        return spec not in self._given

    def _opened(self, spec: EncoderSpec) -> Encoder:
        from herdbook import encoders
        from herdbook.encoders import functions

        if spec in self._given:
            return functions.wrapped(self._given[spec], spec)
        if not spec.source.startswith("herdbook:"):
            return encoders.opened(spec)
        ref = spec.source.removeprefix("herdbook:")
        pulled = self._artifacts().pulled(ref)
        return encoders.opened(spec, folder=pulled.path, digest=pulled.manifest)

    def close(self) -> None:
        """Close every store and encoder."""
        with self._lock:
            while self._stores:
                _, store = self._stores.popitem()
                store.close()
            while self._encoders:
                _shut(self._encoders.popitem()[1])


def _shut(encoder: Encoder | None) -> None:
    """Give up what an encoder holds, such as connections; most hold nothing."""
    close = getattr(encoder, "close", None)
    if close is not None:
        close()


def require_space(encoder: Encoder, spec: EncoderSpec, expected: Any, name: str) -> None:
    """Refuse an encoder whose space is not the one a collection is known to be in.

    Raises:
        Conflict: it is another; says what to do.
    """
    if expected is not None and encoder.space.fingerprint != expected.fingerprint:
        raise Conflict(
            f"{name} holds vectors of {expected}, {spec.source} embeds into {encoder.space}: their "
            "vectors cannot be compared. Use the encoder the collection was made with, or migrate "
            f"its documents (`herdbook documents migrate {name} --to VERSION`)",
            field="encoder",
        )


def closing(error: HerdbookError) -> bool:
    """Whether an error says that a place is gone, as it is once a migration ended."""
    return error.code in ("not_found", "gone")
