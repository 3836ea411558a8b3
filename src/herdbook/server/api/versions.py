"""Versions over HTTP."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core import names
from herdbook.core.access import Action
from herdbook.core.artifacts import Artifact
from herdbook.core.deployments import Alias
from herdbook.core.models import FileLocation, ParentKind, Status, Training, Version
from herdbook.core.numbers import Bump, Number
from herdbook.core.pages import Page
from herdbook.errors import Invalid
from herdbook.server.answers import change, expected, give_texts, give_version, ref
from herdbook.server.api.models import AboutIn, Tags
from herdbook.server.bodies import (
    PAGE,
    FilterText,
    Flag,
    In,
    ModelName,
    NothingIn,
    PageSize,
    PageToken,
    Reason,
    Text,
    VersionName,
    Whole,
)
from herdbook.server.bodies import Number as AnyNumber
from herdbook.server.routing import Routes
from herdbook.server.stores import checked
from herdbook.services import deployments, versions
from herdbook.services.versions import Draft

ROUTES = Routes("versions")
# A version may have 10,000 files.
WITH_FILES_BYTES = 8 * 1_048_576
# Others do not wait for the registration of more.
SHORT_FILES = 500
VERSION = "/models/{model:model}/versions/{version}"


class FileIn(In):
    """Where a file of a version is, by its role."""

    role: str
    location: str


class ArtifactIn(In):
    """A file of a version, whose bytes were sent."""

    path: Annotated[str, Field(description="Where it is within the version.")]
    size: Whole
    digest: str
    role: str

    def value(self) -> Artifact:
        """Give it as the verbs take it."""
        return Artifact(path=self.path, size=self.size, digest=self.digest, role=self.role)


class TrainingIn(In):
    """How a version was trained; what is not known is left out."""

    framework: str = ""
    base_model: str = ""
    samples: Whole | None = None
    epochs: AnyNumber | None = None
    batch_size: Whole | None = None
    learning_rate: AnyNumber | None = None
    duration_hours: AnyNumber | None = None
    cost_usd: AnyNumber | None = None
    hardware: str = ""


class FactsIn(In):
    """What a version is; left out, a field stays as it is."""

    training: TrainingIn = TrainingIn()
    files: list[FileIn] = Field(default_factory=list)
    parents: Annotated[list[str], Field(description="References, such as `majora:v1`.")] = Field(
        default_factory=list
    )
    parent_kind: ParentKind = ParentKind.FINE_TUNE
    training_data: list[str] = Field(default_factory=list)
    dependencies: list[str] = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)
    git_commit: str = ""
    git_dirty: Flag | None = None
    artifacts: Annotated[
        list[ArtifactIn],
        Field(description="Its files, whose bytes were sent; left out when it has none here."),
    ] = Field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Give them as the verbs take them."""
        return {
            "training": Training(**self.training.model_dump()),
            "files": tuple(FileLocation(role=f.role, location=f.location) for f in self.files),
            "parents": tuple(self.parents),
            "parent_kind": self.parent_kind,
            "training_data": tuple(self.training_data),
            "dependencies": tuple(self.dependencies),
            "metadata": self.metadata,
            "git_commit": self.git_commit,
            "git_dirty": self.git_dirty,
            "artifacts": tuple(file.value() for file in self.artifacts),
        }


class RegisterIn(FactsIn):
    """A version to be registered, and its model when that is new."""

    model_name: str
    model_type: str = ""
    owner: str = ""
    version: Annotated[str, Field(description="Its number; left out, the next one.")] = ""
    bump: Bump | None = None
    status: Status = Status.DEVELOPMENT
    description: Text = ""
    notes: Text = ""
    tags: Tags = Field(default_factory=dict)
    metrics: dict[str, AnyNumber] = Field(default_factory=dict)
    performance_metrics: Annotated[
        dict[str, AnyNumber] | None, Field(description="Another name for `metrics`.")
    ] = None
    metrics_source: str = ""
    metrics_dataset: str = ""

    def draft(self) -> Draft:
        """Give it as the verb takes it."""
        if self.metrics and self.performance_metrics:
            raise Invalid("give metrics or performance_metrics, not both", field="metrics")
        return Draft(
            number=self.version,
            bump=self.bump,
            status=self.status,
            description=self.description,
            notes=self.notes,
            tags=names.tags(self.tags),
            metrics=self.performance_metrics or self.metrics,
            metrics_source=self.metrics_source,
            metrics_dataset=self.metrics_dataset,
            model_type=self.model_type,
            owner=self.owner,
            **self.facts(),
        )


class StatusIn(In):
    """The status a version moves to."""

    status: Status
    reason: Text = ""


class DeployedIn(In):
    """Whether a version is in production."""

    deployed: Flag = True
    reason: Text = ""


class CurrentIn(In):
    """The version that becomes the champion; said in the path already."""

    version: str | None = None
    reason: Text = ""


@ROUTES.add(
    "POST",
    "/models/register",
    policy=Action.WRITE,
    gives=Version,
    status=201,
    limit_bytes=WITH_FILES_BYTES,
)
async def register(request: Request, body: RegisterIn) -> Response:
    """Register a version, and its model when that is new."""
    draft = await checked(request, body.draft())
    long = len(draft.artifacts) > SHORT_FILES
    return await change(
        request, versions.register, body.model_name, draft=draft, success=201, long=long
    )


@ROUTES.add("GET", "/versions", policy=Action.READ, gives=Page[Version])
async def page(
    request: Request,
    model: Annotated[str, Query(description="One model; left out, all.")] = "",
    text: FilterText = "",
    page_size: PageSize = PAGE,
    page: PageToken = None,
) -> Response:
    """Give the versions a filter finds, of one model or of all."""
    return await give_texts(
        request, versions.texts, model=model, filter=text, page_size=page_size, page=page
    )


@ROUTES.add("GET", "/models/{model:model}/versions", policy=Action.READ, gives=Page[Version])
async def of_model(
    request: Request,
    model: ModelName,
    text: FilterText = "",
    page_size: PageSize = PAGE,
    page: PageToken = None,
) -> Response:
    """Give the versions of a model, newest first."""
    return await give_texts(
        request, versions.texts, model=model, filter=text, page_size=page_size, page=page
    )


@ROUTES.add("GET", VERSION, policy=Action.READ, gives=Version)
async def get(request: Request, model: ModelName, version: VersionName) -> Response:
    """Give a version."""
    return await give_version(request, ref(model, version))


@ROUTES.add("PATCH", VERSION, policy=Action.WRITE, gives=Version)
async def annotate(
    request: Request, model: ModelName, version: VersionName, body: AboutIn
) -> Response:
    """Change the description, notes and tags of a version; never what it is."""
    return await change(request, versions.annotate, ref(model, version), about=body.value())


@ROUTES.add(
    "PUT",
    VERSION + "/facts",
    policy=Action.WRITE,
    gives=Version,
    limit_bytes=WITH_FILES_BYTES,
)
async def revise(
    request: Request, model: ModelName, version: VersionName, body: FactsIn
) -> Response:
    """Complete the facts of a version in draft or training."""
    draft = await checked(request, Draft(**body.facts()))
    long = len(draft.artifacts) > SHORT_FILES
    return await change(request, versions.revise, ref(model, version), draft=draft, long=long)


@ROUTES.add("POST", VERSION + "/status", policy=Action.WRITE, gives=Version)
async def set_status(
    request: Request, model: ModelName, version: VersionName, body: StatusIn
) -> Response:
    """Move a version along its life; into production makes it the champion."""
    return await change(
        request,
        versions.set_status,
        ref(model, version),
        status=body.status,
        reason=body.reason,
    )


@ROUTES.add("POST", VERSION + "/set-current", policy=Action.DEPLOY, gives=Alias)
async def set_current(
    request: Request, model: ModelName, version: VersionName, body: CurrentIn | None = None
) -> Response:
    """Make a version the champion; one that is stays so. If-Match may name the alias's epoch."""
    said = body or CurrentIn()
    if said.version is not None and not _same(said.version, version):
        raise Invalid(
            f"the address says {version[:80]}, the body {said.version[:80]}; leave the body's out",
            field="version",
        )
    return await change(
        request,
        deployments.set_current,
        ref(model, version),
        reason=said.reason,
        expected_epoch=expected(request, None),
    )


@ROUTES.add("POST", VERSION + "/set-deployed", policy=Action.DEPLOY, gives=Alias)
async def set_deployed(
    request: Request, model: ModelName, version: VersionName, body: DeployedIn | None = None
) -> Response:
    """Put a version into production, or take it out; asked for twice, it is done once."""
    said = body or DeployedIn()
    return await change(
        request,
        deployments.set_deployed,
        ref(model, version),
        deployed=said.deployed,
        reason=said.reason,
        expected_epoch=expected(request, None),
    )


def _same(one: str, other: str) -> bool:
    if one.startswith("@") or other.startswith("@"):
        return one == other
    return Number(one) == Number(other)


@ROUTES.add("POST", VERSION + "/restore", policy=Action.DEPLOY, gives=Version)
async def restore(
    request: Request,
    model: ModelName,
    version: VersionName,
    body: NothingIn | None = None,  # noqa: ARG001
) -> Response:
    """Take a deleted version back."""
    return await change(request, versions.restore, ref(model, version))


@ROUTES.add("DELETE", VERSION, policy=Action.DEPLOY, gives=Version)
async def delete(
    request: Request, model: ModelName, version: VersionName, reason: Reason = ""
) -> Response:
    """Delete a version: hidden, its number never given again."""
    return await change(request, versions.delete, ref(model, version), reason=reason)
