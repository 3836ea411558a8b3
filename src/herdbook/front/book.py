"""`Herdbook`: the one object, the same over SQLite, PostgreSQL and a server."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from herdbook.core.models import Version
from herdbook.core.transfer import Loaded
from herdbook.front.access import Tokens
from herdbook.front.artifacts import Artifacts
from herdbook.front.deployments import Deployments
from herdbook.front.detecting import DetectedDrift
from herdbook.front.door import Door
from herdbook.front.evaluations import Evaluations
from herdbook.front.events import Events
from herdbook.front.lineage import Lineage
from herdbook.front.models import Models, Versions
from herdbook.front.resolver import Resolver
from herdbook.front.serving import ServedExperiments
from herdbook.front.webhooks import Webhooks
from herdbook.storage.cache import Cache

if TYPE_CHECKING:
    from herdbook.core.assignment import Attributes
    from herdbook.core.units import Unit
    from herdbook.front.calls import Call
    from herdbook.front.moving.moved import MovedDocuments


class Herdbook:
    """A register, opened.

    Attributes:
        models: register models and versions, look models up.
        versions: look versions up, compare them, move them along their life.
        artifacts: the bytes of versions, in and out.
        lineage: who came from whom, on which data.
        evaluations: how versions scored and fare in service.
        deployments: aliases, their moves and history.
        experiments: which version is better, found out while both serve.
        drift: whether what a version predicts still is what it was when all was well.
        events: the audit log.
        tokens: access tokens.
        webhooks: addresses that are told of events.
        resolve: `resolve("majora@champion")` from memory, refreshed in the background.
    """

    def __init__(
        self,
        door: Door,
        *,
        cache: Cache | None = None,
        resolver: Resolver | None = None,
        offline: bool = False,
        experiments: ServedExperiments | None = None,
        again: "Callable[[], Herdbook] | None" = None,
    ) -> None:
        self._door = door
        self.models = Models(door)
        self.versions = Versions(door)
        self.artifacts = Artifacts(door, cache, offline=offline)
        self.lineage = Lineage(door)
        self.evaluations = Evaluations(door)
        self.deployments = Deployments(door)
        self._again = again
        self.events = Events(door)
        self.tokens = Tokens(door)
        self.webhooks = Webhooks(door)
        self.resolve = resolver or Resolver(door)
        self.experiments = experiments or ServedExperiments(door, self.resolve)
        self.drift = DetectedDrift(door, lambda: self.experiments.recorder)

    @cached_property
    def documents(self) -> "MovedDocuments":
        """Collections of documents, and moving them to another version's embeddings."""
        # Few programs move documents, and what does so takes its time to load.
        from herdbook.front.moving.moved import MovedDocuments

        return MovedDocuments(
            self._door, artifacts=self.artifacts, versions=self.versions, again=self._again
        )

    @property
    def address(self) -> str:
        """Where the register is, without secrets."""
        return self._door.address

    def get(self, ref: str) -> Version:
        """Give a version, asked of the register now."""
        return self.versions.get(ref)

    def serve(
        self,
        model: str,
        *,
        unit: "Unit | None" = None,
        attributes: "Attributes | None" = None,
    ) -> "Call":
        """Begin a call of a version, see `ServedExperiments.serve`."""
        return self.experiments.serve(model, unit=unit, attributes=attributes)

    def export(self) -> Iterator[str]:
        """Give the whole register as JSON lines, in constant memory."""
        return self._door.lines("transfer.dump")

    def load(self, lines: Iterable[str], *, dry_run: bool = False) -> Loaded:
        """Take what `export` gave into an empty register, history and events included.

        Args:
            lines: with or without line feeds.
            dry_run: check everything and write nothing.
        """
        return self._door.load(Loaded, "transfer.load", lines, dry_run=dry_run)

    def close(self) -> None:
        """Send what was recorded, give up connections and stop looking."""
        self.experiments.close()
        if "documents" in self.__dict__:
            self.documents.close()
        self.resolve.close()
        self._door.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
