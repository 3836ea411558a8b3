"""`herdbook.front.experiments`, awaited. Written by `scripts/make_async_front.py`."""

from collections.abc import Sequence
from typing import Unpack

from herdbook.client.async_door import AsyncDoor
from herdbook.core.decisions import Evaluation, Point
from herdbook.core.experiments import Experiment
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.front.experiments import Settings, planned
from herdbook.services.leading import Advanced


class AsyncExperiments:
    """Experiments: which version is better, found out while both serve."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def start(
        self,
        name: str,
        model: str,
        treatments: str | Sequence[str] = (),
        *,
        requests_per_day: float | None = None,
        units_per_day: float | None = None,
        dry_run: bool = False,
        **settings: Unpack[Settings],
    ) -> Experiment:
        """Start an experiment; its warnings say what cannot work.

        Args:
            name: unique among experiments, such as `gnn_v2.2_test`.
            model: the model.
            treatments: the number of the version to try, or several; with `aa=True` none: the
                control is compared with itself, to see that all is sound.
            requests_per_day: the traffic there is, if known, for the warnings.
            units_per_day: how many users it comes from, if known.
            dry_run: write nothing.
            settings: the rest of the plan, see `herdbook.core.experiments.Plan`; without a
                control, the champion is.

        Raises:
            Invalid: the plan cannot be carried out; names the field.
            Conflict: the control is not the champion, or other experiments have the units.
        """
        return await self._door.call(
            Experiment,
            "experiments.start",
            plan=planned(name, model, treatments, settings),
            requests_per_day=requests_per_day,
            units_per_day=units_per_day,
            dry_run=dry_run,
        )

    async def get(self, name: str) -> Experiment:
        """Give an experiment."""
        return await self._door.call(Experiment, "experiments.get", name=name)

    async def list(
        self,
        model: str = "",
        *,
        state: str = "",
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Experiment]:
        """Give experiments, newest first."""
        return await self._door.page(
            Experiment,
            "experiments.page",
            model=model,
            state=state,
            page_size=page_size,
            page=page,
        )

    async def evaluate(self, name: str, *, language: str = "en") -> Evaluation:
        """Take in all that was recorded and tell what it says; nothing is acted on.

        Args:
            name: the experiment.
            language: of the recommendation: `en`, `ru` or `de`.
        """
        return await self._door.call(
            Evaluation, "experiments.evaluate", name=name, language=language
        )

    async def evaluation(self, name: str, *, language: str = "en") -> Evaluation:
        """Tell what the evidence said when it was last looked at, see `evaluate`."""
        return await self._door.call(
            Evaluation, "experiments.evaluation", name=name, language=language
        )

    async def history(self, name: str, *, points: int = 200) -> Page[Point]:
        """Give how the evidence came about, to be drawn: at most so many points."""
        return await self._door.page(Point, "experiments.history", name=name, points=points)

    async def replay(self, name: str) -> Evaluation:
        """Make the evidence anew from the batches it was made of; Corrupt when it differs."""
        return await self._door.call(Evaluation, "experiments.replay", name=name)

    async def advance(self) -> Advanced:
        """Look at the experiments that are due, and act; servers and recorders do so themselves."""
        return await self._door.call(Advanced, "experiments.advance")

    async def pause(self, name: str, *, reason: str = "") -> Experiment:
        """Give all units the champion until it goes on."""
        return await self._door.call(Experiment, "experiments.pause", name=name, reason=reason)

    async def resume(self, name: str) -> Experiment:
        """Go on with a paused experiment, in a new phase with the same units."""
        return await self._door.call(Experiment, "experiments.resume", name=name)

    async def widen(self, name: str) -> Experiment:
        """Go to the next stage of the ramp; who takes part already keeps their version."""
        return await self._door.call(Experiment, "experiments.widen", name=name)

    async def finalize(
        self, name: str, decision: str = "stop", *, winner: str = "", reason: str = ""
    ) -> Experiment:
        """End an experiment: `promote` its treatment, or leave the control.

        Args:
            name: the experiment.
            decision: `promote`, `rollback` or `stop`.
            winner: the number or the arm to promote, where there are several treatments.
            reason: why, kept with the end and with the move of the champion.
        """
        return await self._door.call(
            Experiment,
            "experiments.finalize",
            name=name,
            decision=decision,
            winner=winner,
            reason=reason,
        )
