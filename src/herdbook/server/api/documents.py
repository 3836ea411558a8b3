"""Collections of documents over HTTP; what becomes of their migrations is in `migrating`."""

from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core import wire
from herdbook.core.access import Action
from herdbook.core.documents import Bridge, Collection
from herdbook.core.migrations import Migration, Options, Step, Way
from herdbook.core.pages import Page
from herdbook.core.spaces import EncoderSpec, Space
from herdbook.core.vectors import Place
from herdbook.server.answers import change, give
from herdbook.server.bodies import PAGE, Flag, In, ModelName, Number, PageSize, PageToken, Whole
from herdbook.server.routing import Routes
from herdbook.services import asking, documents, migrating

T = TypeVar("T")

ROUTES = Routes("documents")
EVERY = "/documents/collections"
ONE = EVERY + "/{name}"
# A map between spaces of some thousand dimensions, as base64 text, and what is said of it.
BRIDGE_LIMIT_BYTES = documents.MAP_LIMIT + (1 << 20)

CollectionName = Annotated[
    str,
    Path(
        description="The collection's name.",
        json_schema_extra={"pattern": "^[A-Za-z_]([A-Za-z0-9_.-]{0,98}[A-Za-z0-9_])?$"},
        examples=["handbook"],
    ),
]


class PlaceIn(In):
    """Where vectors lie."""

    collection: str
    field: Annotated[str, Field(description="Another vector field of it.")] = ""


class EncoderIn(In):
    """How what embeds is opened."""

    model: str
    number: str
    source: Annotated[
        str, Field(description="`herdbook:gbert:v1`, `python:module:function` or an address.")
    ]
    remote_model: str = ""
    dimension: Whole = 0
    pooling: str = ""
    prefix: str = ""
    query_prefix: str = ""
    normalize: Flag = True
    chunker: str = ""
    price_per_million_tokens: Number = 0.0
    batch: Whole = 32
    embeds_as: Annotated[
        str, Field(description="The number whose space it is, where only metadata changed.")
    ] = ""


class SpaceIn(In):
    """What vectors are in, as measured from the encoder that ran."""

    model: str
    number: str
    dimension: Whole
    digest: str = ""
    pooling: str = ""
    prefix: str = ""
    query_prefix: str = ""
    normalized: Flag = False
    dtype: str = "float32"
    chunker: str = ""
    embeds_as: Annotated[
        str, Field(description="The number whose space it is, where only metadata changed.")
    ] = ""


class CollectionIn(In):
    """A collection that is to be registered."""

    name: str
    model: Annotated[str, Field(description="The model whose versions embed it.")]
    store: Annotated[
        str, Field(description="Its vector store's address, without secrets: `lancedb:/vectors`.")
    ]
    place: PlaceIn
    encoder: EncoderIn | None = None
    space: SpaceIn | None = None


class IdentityIn(In):
    """What embedded a collection, as a sample has proven."""

    encoder: EncoderIn
    space: SpaceIn
    replace_known: Annotated[Flag, Field(description="Take the place of what was known.")] = False


class BridgeIn(In):
    """A map from a newer version's query space to the one the vectors are in."""

    collection: str
    encoder: EncoderIn
    space: SpaceIn
    onto: Annotated[str, Field(description="The fingerprint of the space the vectors are in.")]
    kind: Annotated[str, Field(description="`procrustes`, `scaled`, `ridge` or `low_rank`.")]
    map: Annotated[str, Field(description="Packed, as base64 text.")]
    pairs: Whole
    scores: Annotated[dict[str, Number], Field(description="`old`, `identity`, `bridge`.")]
    expires_at: datetime


class BridgingIn(In):
    """A bridge that is to be used."""

    bridge: BridgeIn


class StepIn(In):
    """One step of a path from a version to another."""

    from_version: str
    to_version: str
    way: Way
    function: Annotated[str, Field(description="Of its metadata, `module:name`.")] = ""
    fingerprint: str = ""


class OptionsIn(In):
    """How a migration is carried out."""

    shard: Whole = 0
    rate: Annotated[Number, Field(description="Documents a second; 0 for no limit.")] = 0.0
    budget: Annotated[Number, Field(description="What embedding may cost; 0 for no limit.")] = 0.0
    text_limit: Whole = 100_000
    field: Annotated[Flag, Field(description="Into another vector field of the same.")] = False


class MigrationIn(In):
    """A migration that is to begin."""

    to_version: Annotated[str, Field(description="A number, or an alias such as `@champion`.")]
    steps: list[StepIn] = Field(default_factory=list)
    encoder: EncoderIn | None = None
    options: OptionsIn | None = None
    place: PlaceIn | None = None
    dry_run: Flag = False


class MigrateIn(In):
    """Documents to be moved from one version's embeddings to another's."""

    from_version: str
    to_version: str
    collection: Annotated[
        str | None, Field(description="Which, where several are at that version.")
    ] = None
    dry_run: Flag = False


def typed(kind: type[T], body: In) -> T:
    """Give the value a body says."""
    return wire.value(kind, body.model_dump(mode="json"))


def maybe(kind: type[T], body: In | None) -> T | None:
    """Give the value a body says, if there is one."""
    return None if body is None else typed(kind, body)


def _homes(body: CollectionIn | IdentityIn) -> dict[str, Any]:
    return {"encoder": maybe(EncoderSpec, body.encoder), "space": maybe(Space, body.space)}


@ROUTES.add("GET", EVERY, policy=Action.READ, gives=Page[Collection])
async def page(
    request: Request,
    model: Annotated[str | None, Query(description="Only those its versions embed.")] = None,
    page_size: PageSize = PAGE,
    page: PageToken = None,
) -> Response:
    """Give collections by name."""
    return await give(request, documents.page, model=model, size=page_size, page=page)


@ROUTES.add("POST", EVERY, policy=Action.WRITE, gives=Collection, status=201)
async def register(request: Request, body: CollectionIn) -> Response:
    """Register a collection of documents; its store's address holds no secrets."""
    return await change(
        request,
        documents.register,
        body.name,
        model=body.model,
        store=body.store,
        place=typed(Place, body.place),
        success=201,
        **_homes(body),
    )


@ROUTES.add("GET", ONE, policy=Action.READ, gives=Collection)
async def get(request: Request, name: CollectionName) -> Response:
    """Give a collection: where it lies, and what embeds its queries."""
    return await give(request, documents.get, name)


@ROUTES.add("DELETE", ONE, policy=Action.WRITE, gives=Collection)
async def remove(request: Request, name: CollectionName) -> Response:
    """Take a collection out of the register; what is in the store stays as it is."""
    return await change(request, documents.remove, name)


@ROUTES.add("POST", ONE + "/identify", policy=Action.WRITE, gives=Collection)
async def identify(request: Request, name: CollectionName, body: IdentityIn) -> Response:
    """Say what embedded a collection of which that was not known."""
    return await change(
        request, documents.identify, name, replace_known=body.replace_known, **_homes(body)
    )


@ROUTES.add("GET", ONE + "/bridge", policy=Action.READ, gives=Page[Bridge])
async def bridging(request: Request, name: CollectionName) -> Response:
    """Give the bridge of a collection while it is in use, else nothing."""
    return await give(request, documents.bridging, name)


@ROUTES.add(
    "PUT",
    ONE + "/bridge",
    policy=Action.DEPLOY,
    gives=Collection,
    limit_bytes=BRIDGE_LIMIT_BYTES,
)
async def bridge(request: Request, name: CollectionName, body: BridgingIn) -> Response:
    """Let queries of a newer version pass a map to the vectors that are there."""
    return await change(request, documents.bridge, name, bridge=typed(Bridge, body.bridge))


@ROUTES.add("DELETE", ONE + "/bridge", policy=Action.DEPLOY, gives=Collection)
async def unbridge(request: Request, name: CollectionName) -> Response:
    """Take the bridge of a collection away; queries are embedded as its documents are."""
    return await change(request, documents.unbridge, name)


@ROUTES.add("POST", ONE + "/migrations", policy=Action.WRITE, gives=Migration, status=201)
async def start(request: Request, name: CollectionName, body: MigrationIn) -> Response:
    """Begin a migration: it is planned, nothing is moved yet."""
    return await change(
        request,
        migrating.start,
        name,
        to_version=body.to_version,
        steps=tuple(typed(Step, step) for step in body.steps),
        encoder=maybe(EncoderSpec, body.encoder),
        options=maybe(Options, body.options),
        place=maybe(Place, body.place),
        dry_run=body.dry_run,
        success=201,
    )


@ROUTES.add("POST", "/models/{model:model}/migrate", policy=Action.WRITE, gives=Migration)
async def migrate(request: Request, model: ModelName, body: MigrateIn) -> Response:
    """Plan the move of documents to another version's embeddings.

    The collection is the one of the model whose documents are at `from_version`. A server runs no
    encoders: `herdbook documents migrate` carries the migration out, where the store and the
    models are.
    """
    return await change(
        request,
        asking.migrate,
        model,
        from_version=body.from_version,
        to_version=body.to_version,
        collection=body.collection,
        dry_run=body.dry_run,
    )
