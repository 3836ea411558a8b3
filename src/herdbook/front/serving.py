"""`book.experiments` where versions are served: who gets which, and how it went."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herdbook.core.models import Version
from herdbook.errors import Invalid
from herdbook.front.door import Door
from herdbook.front.experiments import Experiments

if TYPE_CHECKING:
    from herdbook.core.assignment import Assignment, Attributes, Snapshot
    from herdbook.core.units import Unit
    from herdbook.front.calls import Call, Calls
    from herdbook.front.recording import Recorder


class ServedExperiments(Experiments):
    """Experiments, and the calls they compare.

    Args:
        door: the register.
        resolver: gives the champion of a model without experiments.
        journal: the folder of what is recorded until the register has it; None to record nothing.
        identity: as whom the door acts.
        interval: seconds between looks at what is assigned.
    """

    def __init__(
        self,
        door: Door,
        resolver: Callable[[str], Version],
        *,
        journal: Path | None = None,
        identity: str = "",
        interval: float = 1.0,
    ) -> None:
        super().__init__(door)
        self._resolver = resolver
        self._journal = journal
        self._identity = identity
        self._interval = interval

    @cached_property
    def _calls(self) -> "Calls":
        # Most who open a register serve nothing: what serves is imported by those who do.
        from herdbook.front.assigning import Assigner
        from herdbook.front.calls import Calls
        from herdbook.front.recording import Recorder

        if self._journal is None:
            raise Invalid("this register was opened without a place for what is recorded")
        assigner = Assigner(self._door, self._resolver, interval=self._interval)
        door = self._door
        recorder = Recorder(door, self._journal, identity=self._identity, look=door.advance)
        calls = Calls(assigner, recorder)
        # What is called at every request is called without a step between.
        self.__dict__["assign_variant"] = assigner.assign_variant
        self.__dict__["get_version_for_request"] = assigner.get_version_for_request
        return calls

    @property
    def recorder(self) -> "Recorder":
        """What records, for this process."""
        return self._calls.recorder

    def assign_variant(
        self,
        model: str,
        unit: "Unit | None" = None,
        *,
        user_id: "Unit | None" = None,
        attributes: "Attributes | None" = None,
    ) -> "Assignment":
        """Give what a unit gets, from memory.

        Args:
            model: its name.
            unit: the id of a user, a session, a machine: text, or a whole number for its digits.
            user_id: another name of it.
            attributes: what experiments may target.

        Raises:
            Invalid: it is no unit.
            NotFound: the model has neither an experiment nor a champion.
        """
        assigner = self._calls.assigner
        return assigner.assign_variant(model, unit, user_id=user_id, attributes=attributes)

    @property
    def snapshot(self) -> "Snapshot":
        """What units are assigned from, as the register said it last."""
        return self._calls.assigner.snapshot

    def get_version_for_request(
        self, model: str, user_id: "Unit", *, attributes: "Attributes | None" = None
    ) -> str:
        """Give the number of a unit's version."""
        assigner = self._calls.assigner
        return assigner.get_version_for_request(model, user_id, attributes=attributes)

    def assign_many(
        self, model: str, units: Any, *, attributes: "Sequence[Attributes] | None" = None
    ) -> Any:
        """Give what each of many units gets: a list, or for a numpy array an array."""
        return self._calls.assigner.assign_many(model, units, attributes=attributes)

    def get_versions_for_requests(
        self, model: str, user_ids: Any, *, attributes: "Sequence[Attributes] | None" = None
    ) -> Any:
        """Give the numbers of many units' versions: a list, or for a numpy array one of text."""
        assigner = self._calls.assigner
        return assigner.get_versions_for_requests(model, user_ids, attributes=attributes)

    def record_result(  # noqa: PLR0913 - what there is to say of a result
        self,
        test_name: str,
        variant: str = "",
        inference_time_ms: float | None = None,
        confidence: float | None = None,
        error: object = False,  # noqa: FBT002 - as callers have it
        *,
        unit: "Unit | None" = None,
        metrics: Mapping[str, float] | None = None,
    ) -> bool:
        """Record a result; never raises for what is recorded, never waits.

        Args:
            test_name: the experiment.
            variant: the arm; left out, the one assigned last in this context.
            inference_time_ms: how long it took.
            confidence: how sure the version was, 0 to 1.
            error: whether it failed.
            unit: whose result it is; left out, of the unit assigned last in this context, else of
                nobody: it stands alone.
            metrics: any other number, by its name.

        Returns:
            Whether there was room for it.
        """
        return self._calls.record(
            test_name, variant, inference_time_ms, confidence, error, unit, metrics
        )

    def serve(
        self,
        model: str,
        *,
        unit: "Unit | None" = None,
        attributes: "Attributes | None" = None,
    ) -> "Call":
        """Begin a call: assigned, timed, and recorded when it ends, with errors as errors.

        Args:
            model: its name.
            unit: whose call; left out, the champion is served and no result is recorded.
            attributes: what experiments may target.

        As in docs/experiments.md: `with book.serve("gnn", unit="user123") as call: …`.
        """
        return self._calls.serve(model, unit, attributes)

    def look(self) -> None:
        """Look at the experiments that are due, where no server does so by itself."""
        self._door.advance()

    def holds(self, model: str) -> bool:
        """Whether calls of a model are answered from memory already; else `prepare` it."""
        return self._calls.assigner.holds(model)

    def prepare(self, model: str) -> None:
        """Do now what the first call of a model in a process would wait for.

        It asks the register and makes a file: a few milliseconds, or as long as a register that is
        far away takes. Where nothing may wait, as in an event loop, call it in a thread before.

        Raises:
            NotFound: the model has neither an experiment nor a champion.
            HerdbookError: the register cannot be reached.
        """
        self._calls.recorder.prepare()
        self._calls.assigner.prepare(model)

    def flush(self) -> None:
        """Send what was recorded now."""
        self._calls.recorder.flush()

    def close(self) -> None:
        """Look no more, and send what was recorded."""
        if "_calls" in self.__dict__:
            self._calls.close()
