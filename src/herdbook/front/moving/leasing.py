"""Keep the lease of a migration while it is carried out, and hear what was said of it meanwhile."""

import os
import socket
import threading
import time
import uuid
from types import TracebackType
from typing import Final, Self

from herdbook.core.migrations import Migration
from herdbook.errors import Conflict, HerdbookError
from herdbook.front.documents import Documents

LEASE_SECONDS: Final = 30.0


def driver_name() -> str:
    """Name this process, so that another one of this machine can see whether it still runs."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"


def _ended_here(driver: str) -> str:
    """Give the driver when it was a process of this machine that has ended, else ""."""
    host, _, rest = driver.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdecimal():
        return ""
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return driver
    except (PermissionError, OverflowError):
        return ""
    return ""


class Lease:
    """The lease of a migration, kept by a thread; `with` gives it back.

    Args:
        documents: asks the register.
        migration: its id.
        driver: names this process.
        seconds: how long the lease is believed without being kept.
    """

    def __init__(
        self, documents: Documents, migration: str, *, driver: str, seconds: float = LEASE_SECONDS
    ) -> None:
        self._documents = documents
        self._seconds = seconds
        self.driver = driver
        self._found = documents.claim(
            migration,
            driver=driver,
            lease_seconds=seconds,
            dead=_ended_here(documents.migration(migration).driver),
        )
        self._kept_at = time.monotonic()
        self._lost: HerdbookError | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="herdbook-lease", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._ended.wait(min(self._seconds / 4, 1.0)):
            try:
                self._found = self._documents.claim(
                    self._found.id, driver=self.driver, lease_seconds=self._seconds
                )
                self._kept_at = time.monotonic()
            except Conflict as lost:
                self._lost = lost
                return
            except HerdbookError:
                # The register is away for a moment; the lease is good for a while longer.
                continue

    @property
    def found(self) -> Migration:
        """The migration as it was about a second ago.

        Raises:
            Conflict: the lease is lost, or could not be kept for as long as it is believed.
        """
        if self._lost is not None:
            raise self._lost
        if time.monotonic() - self._kept_at > self._seconds:
            raise Conflict(
                f"the register did not answer for {self._seconds:g} seconds: the lease of "
                f"{self._found.id} is lost; run it again to go on",
                field="driver",
            )
        return self._found

    def look(self) -> Migration:
        """Ask the register how the migration stands just now."""
        self._found = self._documents.migration(self._found.id)
        return self.found

    def close(self) -> None:
        """Give the lease back."""
        self._ended.set()
        self._thread.join()
        if self._lost is None:
            try:
                self._documents.leave(self._found.id, driver=self.driver)
            except HerdbookError:
                return  # it runs out by itself

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
