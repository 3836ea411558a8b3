"""Migrations of documents over HTTP: their phases, their ledger, the switch."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.access import Action
from herdbook.core.migrations import (
    Estimate,
    Migration,
    MigrationPhase,
    Outcome,
    Progress,
    SetAside,
    Shard,
    Verification,
)
from herdbook.core.pages import Page
from herdbook.core.spaces import Space
from herdbook.server.answers import change, give
from herdbook.server.api.documents import SpaceIn, maybe, typed
from herdbook.server.bodies import PAGE, Flag, In, NothingIn, Number, PageSize, PageToken, Whole
from herdbook.server.routing import Routes
from herdbook.services import ledger, migrating, switching

ROUTES = Routes("documents")
EVERY = "/documents/migrations"
ONE = EVERY + "/{migration}"
# Ten thousand shards between ids of some hundred characters.
LEDGER_LIMIT_BYTES = 16 << 20

MigrationId = Annotated[
    str,
    Path(
        description="The migration's id.",
        json_schema_extra={"pattern": "^migration-[0-9]{1,19}$"},
        examples=["migration-12"],
    ),
]
Driver = Annotated[str, Field(description="Names the process that has the lease.")]
After = Annotated[
    int,
    Query(
        description="From the one after this number on: `next` of the page before.",
        json_schema_extra={"minimum": 0, "maximum": (1 << 63) - 1},
    ),
]
Ids = Annotated[list[str], Field(description="Of documents, at most 10,000.")]


class ClaimIn(In):
    """Who carries a migration out."""

    driver: Driver
    lease_seconds: Annotated[Number, Field(description="1 to 3600.")] = 30.0
    dead: Annotated[
        str, Field(description="A driver known to have ended; its lease is not waited for.")
    ] = ""


class LeavingIn(In):
    """Who carries a migration out no longer."""

    driver: Driver


class EstimateIn(In):
    """What a dry run says a migration takes."""

    documents: Whole
    sampled: Whole
    tokens: Whole
    seconds: Number
    cost: Number
    space_bytes: Whole
    missing_texts: Whole = 0
    set_aside: dict[str, Whole] = Field(default_factory=dict)
    spaces: dict[str, Whole] = Field(default_factory=dict)
    examples: list[dict[str, Any]] = Field(default_factory=list)


class CheckIn(In):
    """One condition of a verification."""

    name: str
    passed: Flag
    says: str
    gate: Flag = True
    numbers: dict[str, Number] = Field(default_factory=dict)


class VerificationIn(In):
    """What was found of a target before the cut."""

    at: datetime
    checks: list[CheckIn]


class AdvanceIn(In):
    """The phase a migration comes to, and what that brings with it."""

    driver: Driver
    to: MigrationPhase
    space: Annotated[SpaceIn | None, Field(description="Of the target, with `target`.")] = None
    estimate: EstimateIn | None = None
    verification: VerificationIn | None = None


class RangeIn(In):
    """Documents that follow one another in the order of a store's ids."""

    after: str
    upto: str
    documents: Whole


class ShardIn(In):
    """Documents that are carried together."""

    number: Whole
    within: RangeIn


class ShardsIn(In):
    """Shards of a migration, at most 10,000."""

    driver: Driver
    shards: list[ShardIn]


class SetAsideIn(In):
    """A document that could not be moved."""

    id: str
    reason: str
    shard: Whole = 0
    at: datetime | None = None


class OutcomeIn(In):
    """What became of a shard."""

    shard: Whole
    documents: Whole
    written: Whole
    tokens: Whole = 0
    seconds: Number = 0.0
    set_aside: list[SetAsideIn] = Field(default_factory=list)


class SettleIn(In):
    """What became of shards, at most 10,000."""

    driver: Driver
    outcomes: list[OutcomeIn]


class TakeBackIn(In):
    """Documents that were moved after all, or are gone."""

    driver: Driver
    ids: Ids


class BuryIn(In):
    """Documents that are about to be deleted."""

    ids: Ids


class WaitingIn(In):
    """Why a migration waits."""

    reason: str = ""


class ResumeIn(In):
    """How a migration goes on."""

    budget: Annotated[
        Number | None, Field(description="What embedding may cost from now on, in all.")
    ] = None


class CutOverIn(In):
    """Why a migration is cut over although it is not verified."""

    force: str = ""


class RollBackIn(In):
    """Why a migration goes back."""

    reason: str = ""


@ROUTES.add("GET", EVERY, policy=Action.READ, gives=Page[Migration])
async def migrations(
    request: Request,
    collection: Annotated[str | None, Query(description="Only of that one.")] = None,
    model: Annotated[str | None, Query(description="Only of its collections.")] = None,
    page_size: PageSize = PAGE,
    page: PageToken = None,
) -> Response:
    """Give migrations, newest first."""
    return await give(
        request, migrating.page, collection=collection, model=model, size=page_size, page=page
    )


@ROUTES.add("GET", ONE, policy=Action.READ, gives=Migration)
async def migration(request: Request, migration: MigrationId) -> Response:
    """Give a migration as it stands."""
    return await give(request, migrating.get, migration)


@ROUTES.add("POST", ONE + "/claim", policy=Action.WRITE, gives=Migration)
async def claim(request: Request, migration: MigrationId, body: ClaimIn) -> Response:
    """Take, or keep, the lease of a migration: only who has it carries it out."""
    return await change(
        request,
        migrating.claim,
        migration,
        driver=body.driver,
        lease_seconds=body.lease_seconds,
        dead=body.dead,
    )


@ROUTES.add("POST", ONE + "/leave", policy=Action.WRITE, gives=Migration)
async def leave(request: Request, migration: MigrationId, body: LeavingIn) -> Response:
    """Give the lease back."""
    return await change(request, migrating.leave, migration, driver=body.driver)


@ROUTES.add("POST", ONE + "/advance", policy=Action.WRITE, gives=Migration)
async def advance(request: Request, migration: MigrationId, body: AdvanceIn) -> Response:
    """Take a migration to its next phase; what it was taken to already stays."""
    return await change(
        request,
        migrating.advance,
        migration,
        driver=body.driver,
        to=body.to,
        space=maybe(Space, body.space),
        estimate=maybe(Estimate, body.estimate),
        verification=maybe(Verification, body.verification),
    )


@ROUTES.add("GET", ONE + "/shards", policy=Action.READ, gives=Page[Shard])
async def shards(
    request: Request,
    migration: MigrationId,
    after: After = 0,
    page_size: PageSize = PAGE,
) -> Response:
    """Give shards that are not done, by number."""
    return await give(request, ledger.shards, migration, after=after, size=page_size)


@ROUTES.add(
    "POST",
    ONE + "/shards",
    policy=Action.WRITE,
    gives=Progress,
    limit_bytes=LEDGER_LIMIT_BYTES,
)
async def cut(request: Request, migration: MigrationId, body: ShardsIn) -> Response:
    """Add shards to a migration; those that are there stay."""
    given = [typed(Shard, shard) for shard in body.shards]
    return await change(request, ledger.cut, migration, driver=body.driver, shards=given)


@ROUTES.add(
    "POST",
    ONE + "/settle",
    policy=Action.WRITE,
    gives=Migration,
    limit_bytes=LEDGER_LIMIT_BYTES,
)
async def settle(request: Request, migration: MigrationId, body: SettleIn) -> Response:
    """Note what became of shards, each once, after the store acknowledged them."""
    given = [typed(Outcome, outcome) for outcome in body.outcomes]
    return await change(request, ledger.settle, migration, driver=body.driver, outcomes=given)


@ROUTES.add("GET", ONE + "/set-aside", policy=Action.READ, gives=Page[SetAside])
async def set_aside(
    request: Request, migration: MigrationId, page_size: PageSize = PAGE, page: PageToken = None
) -> Response:
    """Give the documents that could not be moved, by id."""
    return await give(request, ledger.set_aside, migration, size=page_size, page=page)


@ROUTES.add(
    "POST",
    ONE + "/take-back",
    policy=Action.WRITE,
    gives=Migration,
    limit_bytes=LEDGER_LIMIT_BYTES,
)
async def take_back(request: Request, migration: MigrationId, body: TakeBackIn) -> Response:
    """Take documents off the list of what could not be moved."""
    return await change(request, ledger.take_back, migration, driver=body.driver, ids=body.ids)


@ROUTES.add(
    "POST", ONE + "/bury", policy=Action.WRITE, gives=Progress, limit_bytes=LEDGER_LIMIT_BYTES
)
async def bury(request: Request, migration: MigrationId, body: BuryIn) -> Response:
    """Note that documents are about to be deleted, so that no shard on its way revives them."""
    return await change(request, ledger.bury, migration, ids=body.ids)


@ROUTES.add("GET", ONE + "/buried", policy=Action.READ, gives=Page[str])
async def buried(
    request: Request, migration: MigrationId, after: After = 0, page_size: PageSize = PAGE
) -> Response:
    """Give the documents that were deleted while they were moved, in the order of that."""
    return await give(request, ledger.buried, migration, after=after, size=page_size)


@ROUTES.add("POST", ONE + "/pause", policy=Action.WRITE, gives=Migration)
async def pause(
    request: Request, migration: MigrationId, body: WaitingIn | None = None
) -> Response:
    """Let the carrying of a migration wait, after the shards that are on their way."""
    said = body or WaitingIn()
    return await change(request, migrating.pause, migration, reason=said.reason)


@ROUTES.add("POST", ONE + "/resume", policy=Action.WRITE, gives=Migration)
async def resume(
    request: Request,
    migration: MigrationId,
    body: ResumeIn | None = None,
) -> Response:
    """Let the carrying of a migration go on."""
    said = body or ResumeIn()
    return await change(request, migrating.resume, migration, budget=said.budget)


@ROUTES.add("POST", ONE + "/cut-over", policy=Action.DEPLOY, gives=Migration)
async def cut_over(
    request: Request, migration: MigrationId, body: CutOverIn | None = None
) -> Response:
    """Let readers search the target from now on, with its own encoder."""
    said = body or CutOverIn()
    return await change(request, switching.cut_over, migration, force=said.force)


@ROUTES.add("POST", ONE + "/observe", policy=Action.DEPLOY, gives=Migration)
async def observe(
    request: Request,
    migration: MigrationId,
    body: NothingIn | None = None,  # noqa: ARG001 - what is sent must say nothing
) -> Response:
    """Say that the store's alias follows the cut; readers were switched before."""
    return await change(request, switching.observe, migration)


@ROUTES.add("POST", ONE + "/roll-back", policy=Action.DEPLOY, gives=Migration)
async def roll_back(
    request: Request, migration: MigrationId, body: RollBackIn | None = None
) -> Response:
    """Go back: before the cut the target is given up, after it the source is searched again."""
    said = body or RollBackIn()
    return await change(request, switching.roll_back, migration, reason=said.reason)


@ROUTES.add("POST", ONE + "/retire", policy=Action.DEPLOY, gives=Migration)
async def retire(
    request: Request,
    migration: MigrationId,
    body: NothingIn | None = None,  # noqa: ARG001 - what is sent must say nothing
) -> Response:
    """Write the source no more; there is no way back after it."""
    return await change(request, switching.retire, migration)
