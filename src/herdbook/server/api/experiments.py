"""Experiments over HTTP, and what workers recorded of them."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core import wire
from herdbook.core.access import Action
from herdbook.core.decisions import Evaluation, Point
from herdbook.core.experiments import Experiment, Plan, Policy
from herdbook.core.guardrails import Worse
from herdbook.core.pages import Page
from herdbook.core.ports import Work
from herdbook.core.recording import Delta, Folded
from herdbook.core.routing import Routing
from herdbook.core.wire import dumps
from herdbook.server.answers import caller, change, give, json_text, register
from herdbook.server.bodies import (
    PAGE,
    Flag,
    In,
    NothingIn,
    Number,
    PageSize,
    PageToken,
    Text,
    Whole,
)
from herdbook.server.routing import Routes
from herdbook.services import experiments, leading, serving
from herdbook.services.leading import Advanced

ROUTES = Routes("experiments")
ONE = "/experiments/{name:experiment}"
# A worker that was cut off for a while has much to tell at once.
RESULTS_LIMIT_BYTES = 16 << 20

Name = Annotated[
    str,
    Path(
        description="The experiment's name.",
        json_schema_extra={"pattern": "^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$"},
        examples=["gnn_v2.2_test"],
    ),
]

Language = Annotated[str, Query(description="Of the recommendation: `en`, `ru` or `de`.")]


class GuardrailIn(In):
    """A metric that must not get worse."""

    metric: Annotated[str, Field(description="As it is recorded, or `inference_time_ms`.")]
    quantile: Annotated[Number | None, Field(description="Above 0 and below 1.")] = None
    worse: Worse = Worse.HIGHER
    margin: Number = 0.0


class PlanIn(In):
    """What an experiment compares and what counts as better."""

    name: str
    model: str
    control: Annotated[str, Field(description="A number; the champion if left out.")] = ""
    treatments: Annotated[
        list[str], Field(description="The numbers of the versions to try; with `aa` none.")
    ] = Field(default_factory=list)
    treatment_traffic_pct: Number = 50.0
    ramp: Annotated[list[Number], Field(description="Such as 1, 5, 10, 25, 50.")] = Field(
        default_factory=list
    )
    ramp_hours: Number = 24.0
    duration_days: Number = 7.0
    min_requests: Whole = 1000
    max_error_rate_increase: Number = 0.05
    min_confidence_improvement: Number = 0.02
    alpha: Number = 0.05
    targeting: dict[str, list[str]] = Field(default_factory=dict)
    holdout_pct: Number = 0.0
    exclusion: str = ""
    exclusion_pct: Number = 100.0
    shadow: Flag = False
    guardrails: list[GuardrailIn] = Field(default_factory=list)
    policy: Policy = Policy.EVIDENCE
    auto_rollback: Flag = True
    auto_ramp: Flag = False
    auto_promote: Flag = False
    aa: Annotated[Flag, Field(description="Compare the control with itself.")] = False
    requests_per_day: Annotated[Number | None, Field(description="For the warnings.")] = None
    units_per_day: Annotated[Number | None, Field(description="For the warnings.")] = None
    dry_run: Flag = False


class PauseIn(In):
    """Why an experiment pauses."""

    reason: Text = ""


class EvaluateIn(In):
    """In which language the recommendation shall be."""

    language: Annotated[str, Field(description="`en`, `ru` or `de`.")] = "en"


class FinalizeIn(In):
    """How an experiment ends."""

    decision: Annotated[str, Field(description="`promote`, `rollback` or `stop`.")] = "stop"
    winner: Annotated[str, Field(description="A number or an arm, to promote.")] = ""
    reason: Text = ""


class CellsIn(In):
    """Values of a metric by cell of the unit's hash: number, sum, sum of squares."""

    cells: dict[str, list[Number]] = Field(default_factory=dict)


class ArmIn(In):
    """What one arm did in one phase."""

    phase: Whole
    arm: str
    results: Whole = 0
    errors: Whole = 0
    lost: Whole = 0
    alone: Whole = 0
    alone_errors: Whole = 0
    firsts: list[Whole] = Field(default_factory=list)
    first_errors: list[Whole] = Field(default_factory=list)
    means: dict[str, CellsIn] = Field(default_factory=dict)
    histograms: dict[str, dict[str, Whole]] = Field(default_factory=dict)
    refused: dict[str, Whole] = Field(default_factory=dict)


class RecordedIn(In):
    """What was recorded of one experiment."""

    experiment: str
    arms: list[ArmIn]


class StreamSumsIn(In):
    """What came of one stream of a watched version in one hour."""

    stream: str
    hour: Annotated[Whole, Field(description="Since 1970, in UTC.")]
    counts: dict[str, Whole] = Field(default_factory=dict)
    levels: dict[str, Whole] = Field(default_factory=dict)
    missing: Whole = 0
    total: Number = 0.0
    squares: Number = 0.0


class MarkIn(In):
    """What was predicted for a request whose true answer comes later."""

    request: str
    prediction: str
    confidence: Number | None = None


class SampledIn(In):
    """What was sampled of one watched version."""

    model: str
    number: str
    fingerprint: Annotated[str, Field(description="Of the references it is counted in.")]
    streams: list[StreamSumsIn] = Field(default_factory=list)
    unbinned: dict[str, Whole] = Field(default_factory=dict)
    marks: list[MarkIn] = Field(default_factory=list)


class ResultsIn(In):
    """What a worker recorded since it last told."""

    worker: Annotated[str, Field(description="Its name, unique for ever.")]
    sequence: Annotated[Whole, Field(description="1, 2, 3… without a gap.")]
    recorded: list[RecordedIn]
    dropped: Whole = 0
    sampled: list[SampledIn] = Field(default_factory=list)


@ROUTES.add("POST", "/experiments", policy=Action.DEPLOY, gives=Experiment, status=201)
async def start(request: Request, body: PlanIn) -> Response:
    """Start an experiment; its warnings say what cannot work."""
    said = body.model_dump(mode="json")
    asked = {name: said.pop(name) for name in ("requests_per_day", "units_per_day", "dry_run")}
    plan = wire.value(Plan, said)
    return await change(
        request, experiments.start, plan=plan, **asked, success=200 if body.dry_run else 201
    )


@ROUTES.add("GET", "/experiments", policy=Action.READ, gives=Page[Experiment])
async def page(
    request: Request,
    model: Annotated[str, Query(description="Of one model.")] = "",
    state: Annotated[str, Query(description="running, paused or ended.")] = "",
    page_size: PageSize = PAGE,
    page: PageToken = None,
) -> Response:
    """Give experiments, newest first."""
    return await give(
        request, experiments.page, model=model, state=state, page_size=page_size, page=page
    )


@ROUTES.add("GET", "/experiments/routing", policy=Action.READ, gives=Routing)
async def routing(
    request: Request,
    mark: Annotated[str, Query(description="What is held already.")] = "",
) -> Response:
    """Give what a process needs to know to assign units."""
    return await give(request, serving.routing, mark=mark)


@ROUTES.add(
    "POST",
    "/experiments/results",
    policy=Action.WRITE,
    gives=Folded,
    limit_bytes=RESULTS_LIMIT_BYTES,
)
async def fold(request: Request, body: ResultsIn) -> Response:
    """Take in what a worker recorded, once, however often it is delivered."""
    delta = wire.value(Delta, body.model_dump(mode="json"))
    told: list[Folded] = []

    def folded(work: Work) -> Folded:
        told.append(serving.fold(work, delta=delta))
        return told[-1]

    answer = await change(request, folded)
    if told and told[-1].new:
        late = sum(told[-1].late.values())
        every = sum(a.results + a.lost for each in delta.recorded for a in each.arms)
        request.app.state.metrics.results(taken=every - late, late=late, dropped=delta.dropped)
    return answer


@ROUTES.add("POST", "/experiments/advance", policy=Action.ADMIN, gives=Advanced)
async def advance(request: Request) -> Response:
    """Look at the experiments that are due and act; a server does so by itself."""
    return await change(request, leading.advance)


@ROUTES.add("GET", ONE + "/evaluation", policy=Action.READ, gives=Evaluation)
async def evaluation(request: Request, name: Name, language: Language = "en") -> Response:
    """Tell what the evidence said when it was last looked at."""
    return await give(request, leading.evaluation, name, language=language)


@ROUTES.add("POST", ONE + "/evaluate", policy=Action.WRITE, gives=Evaluation)
async def evaluate(request: Request, name: Name, body: EvaluateIn | None = None) -> Response:
    """Take in all that waits and tell what the evidence says; nothing is acted on."""
    language = body.language if body else "en"
    return await change(request, leading.evaluate, name, language=language)


@ROUTES.add("GET", ONE + "/history", policy=Action.READ, gives=Page[Point])
async def history(
    request: Request,
    name: Name,
    points: Annotated[
        int, Query(json_schema_extra={"minimum": 1, "maximum": leading.POINTS_LIMIT})
    ] = leading.POINTS,
) -> Response:
    """Give how the evidence came about, to be drawn."""
    return await give(request, leading.history, name, points=points)


@ROUTES.add("GET", ONE + "/replay", policy=Action.WRITE, gives=Evaluation)
async def replay(request: Request, name: Name) -> Response:
    """Make the evidence anew from its batches; an error when it is not what is kept."""
    by = caller(request).actor

    def replayed() -> str:
        with register(request).opened(by) as work:
            return dumps(leading.replay(work, name))

    # It takes as long as there are batches: not where others wait.
    return json_text(await register(request).slowly(replayed))


@ROUTES.add("GET", ONE, policy=Action.READ, gives=Experiment)
async def get(request: Request, name: Name) -> Response:
    """Give an experiment."""
    return await give(request, experiments.get, name)


@ROUTES.add("POST", ONE + "/pause", policy=Action.DEPLOY, gives=Experiment)
async def pause(request: Request, name: Name, body: PauseIn | None = None) -> Response:
    """Give all units the champion until it goes on."""
    return await change(request, experiments.pause, name, reason=body.reason if body else "")


@ROUTES.add("POST", ONE + "/resume", policy=Action.DEPLOY, gives=Experiment)
async def resume(
    request: Request,
    name: Name,
    body: NothingIn | None = None,  # noqa: ARG001 - refuses a body that says something
) -> Response:
    """Go on with a paused experiment."""
    return await change(request, experiments.resume, name)


@ROUTES.add("POST", ONE + "/widen", policy=Action.DEPLOY, gives=Experiment)
async def widen(
    request: Request,
    name: Name,
    body: NothingIn | None = None,  # noqa: ARG001 - refuses a body that says something
) -> Response:
    """Go to the next stage of the ramp."""
    return await change(request, experiments.widen, name)


@ROUTES.add("POST", ONE + "/finalize", policy=Action.DEPLOY, gives=Experiment)
async def finalize(request: Request, name: Name, body: FinalizeIn | None = None) -> Response:
    """End an experiment; promoted, its treatment becomes champion."""
    said = body or FinalizeIn()
    return await change(
        request,
        leading.finalize,
        name,
        decision=said.decision,
        winner=said.winner,
        reason=said.reason,
    )
