"""Drift over HTTP; what is sampled comes with what is recorded, see `experiments`."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core import wire
from herdbook.core.access import Action
from herdbook.core.drift import DriftPoint, Episode, Mode, Report, Settings, Standing, Watched
from herdbook.core.monitors import Answers
from herdbook.core.pages import Page
from herdbook.core.references import Kind, Reference
from herdbook.core.sampling import HOURS, Distribution
from herdbook.server.answers import change, give, ref
from herdbook.server.api.versions import VERSION
from herdbook.server.bodies import (
    PAGE,
    Flag,
    In,
    ModelName,
    Number,
    PageSize,
    PageToken,
    VersionName,
    Whole,
)
from herdbook.server.routing import Routes
from herdbook.services import drift, retraining

ROUTES = Routes("drift")
ONE = VERSION + "/drift"
EPISODE = "/drift/episodes/{episode}"
# Two hundred streams of a thousand bins.
REFERENCES_LIMIT_BYTES = 16 << 20

Language = Annotated[str, Query(description="Of the recommendation: `en`, `ru` or `de`.")]
Hours = Annotated[int, Query(json_schema_extra={"minimum": 1, "maximum": HOURS})]
EpisodeId = Annotated[
    str,
    Path(
        description="The episode's id.",
        json_schema_extra={"pattern": "^drift-[0-9]{1,19}$"},
        examples=["drift-17"],
    ),
]


class SlotIn(In):
    """The reference of one part of the day."""

    edges: list[Number]
    counts: list[Whole]
    mean: Number


class ReferenceIn(In):
    """What a stream looked like when all was well."""

    kind: Kind = Kind.NUMERIC
    count: Whole
    missing: Whole = 0
    edges: list[Number] = Field(default_factory=list)
    categories: list[str] = Field(default_factory=list)
    counts: list[Whole]
    mean: Number = 0.0
    sd: Number = 0.0
    low: Number = 0.0
    high: Number = 0.0
    tau: Number = 1.0
    slots: list[SlotIn] = Field(default_factory=list)
    accuracy: list[Number] = Field(default_factory=list)


class WatchIn(In):
    """References by stream."""

    references: dict[str, ReferenceIn]
    replace: Annotated[Flag, Field(description="Take the place of other references.")] = False


class SettingsIn(In):
    """How drift is judged; what is left out is as the seeds have it."""

    weights: list[Number] = Field(default_factory=lambda: [0.4, 0.3, 0.3])
    thresholds: list[Number] = Field(default_factory=lambda: [0.1, 0.3, 0.5])
    window: Whole = 1_000
    run_length: Number = 1e6
    least: Whole = 30
    confidence_drop: Number = 0.2
    spread: Number = 0.5
    cool_down_hours: Number = 24.0
    mode: Mode = Mode.EVIDENCE


class LabelsIn(In):
    """What would have been right, by request."""

    labels: dict[str, str]


class ClaimingIn(In):
    """Who takes a retraining."""

    by: Annotated[str, Field(description="Left out, whoever asks.")] = ""
    force: Annotated[Flag, Field(description="Take it from whoever has it.")] = False
    alarm: Annotated[Flag, Field(description="Take what is to be done at the alarm.")] = False


class RetrainedIn(In):
    """What came of a retraining."""

    candidate: Annotated[str, Field(description="The number of a child of what drifted.")]


@ROUTES.add("GET", "/drift", policy=Action.READ, gives=Page[Report])
async def page(
    request: Request,
    model: Annotated[str, Query(description="Of one model.")] = "",
    page_size: PageSize = PAGE,
    page: PageToken = None,
    language: Language = "en",
) -> Response:
    """Tell how all watched versions stand, in short, newest first."""
    return await give(
        request, drift.page, model=model, page_size=page_size, page=page, language=language
    )


@ROUTES.add("GET", "/drift/episodes", policy=Action.READ, gives=Page[Episode])
async def episodes(
    request: Request,
    model: Annotated[str, Query(description="Of one model.")] = "",
    number: Annotated[str, Query(description="Of one version of it.")] = "",
    page_size: PageSize = PAGE,
    page: PageToken = None,
) -> Response:
    """Give episodes of drift, newest first."""
    return await give(
        request,
        retraining.episodes,
        model=model,
        number=number,
        page_size=page_size,
        page=page,
    )


@ROUTES.add("POST", EPISODE + "/claim", policy=Action.WRITE, gives=Episode)
async def claim(request: Request, episode: EpisodeId, body: ClaimingIn | None = None) -> Response:
    """Take a retraining that is asked for: one of those who ask gets it."""
    said = body or ClaimingIn()
    return await change(
        request, retraining.claim, episode, by=said.by, force=said.force, alarm=said.alarm
    )


@ROUTES.add("POST", EPISODE + "/retrained", policy=Action.WRITE, gives=Episode)
async def retrained(request: Request, episode: EpisodeId, body: RetrainedIn) -> Response:
    """Say which version came of a retraining: a child of the one that drifted."""
    return await change(request, retraining.retrained, episode, candidate=body.candidate)


@ROUTES.add("PUT", ONE, policy=Action.WRITE, gives=Watched, limit_bytes=REFERENCES_LIMIT_BYTES)
async def watch(
    request: Request, model: ModelName, version: VersionName, body: WatchIn
) -> Response:
    """Freeze the references of a version, and watch it from now on."""
    references = {
        name: wire.value(Reference, each.model_dump(mode="json"))
        for name, each in body.references.items()
    }
    return await change(
        request, drift.watch, ref(model, version), references=references, replace=body.replace
    )


@ROUTES.add("DELETE", ONE, policy=Action.WRITE, gives=Watched)
async def unwatch(request: Request, model: ModelName, version: VersionName) -> Response:
    """Watch a version no more: its references and all that was counted are removed."""
    return await change(request, drift.unwatch, ref(model, version))


@ROUTES.add("GET", ONE, policy=Action.READ, gives=Report)
async def report(
    request: Request, model: ModelName, version: VersionName, language: Language = "en"
) -> Response:
    """Tell how a version's drift stands, with what moved in the last 24 hours."""
    return await give(request, drift.report, ref(model, version), language=language)


@ROUTES.add("GET", ONE + "/standing", policy=Action.READ, gives=Standing)
async def standing(request: Request, model: ModelName, version: VersionName) -> Response:
    """Tell in short how a version's drift stands."""
    return await give(request, drift.standing, ref(model, version))


@ROUTES.add("GET", ONE + "/references", policy=Action.READ, gives=Watched)
async def references(
    request: Request,
    model: ModelName,
    version: VersionName,
    mark: Annotated[str, Query(description="The fingerprint of what is held already.")] = "",
) -> Response:
    """Give the references of a version, to count in their bins."""
    return await give(request, drift.references, ref(model, version), mark=mark)


@ROUTES.add("GET", ONE + "/history", policy=Action.READ, gives=Page[DriftPoint])
async def history(
    request: Request, model: ModelName, version: VersionName, hours: Hours = HOURS
) -> Response:
    """Give a version's drift by the hour, oldest first, to be drawn."""
    return await give(request, drift.history, ref(model, version), hours=hours)


@ROUTES.add("GET", ONE + "/distribution", policy=Action.READ, gives=Distribution)
async def distribution(
    request: Request,
    model: ModelName,
    version: VersionName,
    stream: Annotated[str, Query(description="Its name.")] = "prediction",
    hours: Hours = drift.DAY,
) -> Response:
    """Give a stream's reference beside its last hours."""
    return await give(request, drift.distribution, ref(model, version), stream=stream, hours=hours)


@ROUTES.add("POST", ONE + "/labels", policy=Action.WRITE, gives=Answers)
async def label(
    request: Request, model: ModelName, version: VersionName, body: LabelsIn
) -> Response:
    """Tell the true answers of requests that were sampled with their id."""
    return await change(request, drift.label, ref(model, version), labels=body.labels)


@ROUTES.add("GET", "/models/{model:model}/drift", policy=Action.READ, gives=Settings)
async def settings(request: Request, model: ModelName) -> Response:
    """Give how drift of a model's versions is judged."""
    return await give(request, drift.settings, model)


@ROUTES.add("PUT", "/models/{model:model}/drift", policy=Action.WRITE, gives=Settings)
async def configure(request: Request, model: ModelName, body: SettingsIn) -> Response:
    """Say how drift of a model's versions is judged from now on."""
    found = wire.value(Settings, body.model_dump(mode="json"))
    return await change(request, drift.configure, model, settings=found)
