"""Models over HTTP."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core import names
from herdbook.core.access import Action
from herdbook.core.deployments import Holding
from herdbook.core.models import FilePolicy, Model
from herdbook.core.pages import Page
from herdbook.errors import Invalid, NotBuilt
from herdbook.server.answers import change, give, give_texts
from herdbook.server.bodies import (
    PAGE,
    FilterText,
    In,
    ModelName,
    NothingIn,
    PageSize,
    PageToken,
    Reason,
    Text,
)
from herdbook.server.routing import Routes
from herdbook.services import deployments, models
from herdbook.services.models import About

ROUTES = Routes("models")

Tags = dict[str, str] | list[str]


class AboutIn(In):
    """What changes about a model or a version; what is left out stays as it is."""

    description: Text | None = None
    notes: Text | None = None
    type: str | None = None
    owner: str | None = None
    metadata: dict[str, Any] | None = None
    tags: Annotated[Tags, Field(description="Tags to set; a list gives them empty values.")] = (
        Field(default_factory=dict)
    )
    untag: Annotated[list[str], Field(description="Tags to take away.")] = Field(
        default_factory=list
    )
    file_policy: Annotated[
        FilePolicy | None,
        Field(
            description="What a model does about files that can execute when they are loaded; "
            "to change it takes the role `deployer`."
        ),
    ] = None
    trusted_keys: Annotated[
        list[str] | None,
        Field(
            description="Public keys as PEM, at most 16: only what one of them signed becomes the "
            "champion of a model; to change them, all at once, takes the role `deployer`."
        ),
    ] = None

    def value(self) -> About:
        """Give it as the verbs take it."""
        return About(
            description=self.description,
            notes=self.notes,
            type=self.type,
            owner=self.owner,
            metadata=self.metadata,
            tags=names.tags(self.tags),
            untag=tuple(self.untag),
            file_policy=self.file_policy,
            trusted_keys=None if self.trusted_keys is None else tuple(self.trusted_keys),
        )


class ModelIn(AboutIn):
    """A model to be registered."""

    name: str
    model: Annotated[str | None, Field(description="The same as `name`.")] = None


@ROUTES.add("GET", "/models", policy=Action.READ, gives=Page[Model])
async def page(
    request: Request,
    text: FilterText = "",
    model_type: str = "",
    page_size: PageSize = PAGE,
    page: PageToken = None,
) -> Response:
    """Give the models a filter finds, by name."""
    return await give_texts(
        request,
        models.texts,
        filter=text,
        model_type=model_type,
        page_size=page_size,
        page=page,
    )


@ROUTES.add("POST", "/models", policy=Action.WRITE, gives=Model, status=201)
async def create(request: Request, body: ModelIn) -> Response:
    """Register a model that has no version yet."""
    if body.model not in (None, body.name):
        raise Invalid("model and name differ; give name alone", field="model")
    return await change(request, models.create, body.name, about=body.value(), success=201)


@ROUTES.add("GET", "/models/info", policy=Action.READ, gives=Page[Holding])
async def info(
    request: Request,
    model: Annotated[str, Query(description="One model; left out, all.")] = "",
) -> Response:
    """Tell what serves: the champion of each model, since when and by whom."""
    return await give(request, deployments.at, model=model)


@ROUTES.add("GET", "/mlflow/status", policy=Action.READ, status=501)
async def mlflow(request: Request) -> Response:  # noqa: ARG001
    """Tell how MLflow is connected; waits for a later release."""
    raise NotBuilt("the connection to MLflow is not built yet; it comes with a later release")


@ROUTES.add("POST", "/models/{model:model}/restore", policy=Action.ADMIN, gives=Model)
async def restore(
    request: Request,
    model: ModelName,
    body: NothingIn | None = None,  # noqa: ARG001
) -> Response:
    """Take a deleted model back, with the versions it had."""
    return await change(request, models.restore, model)


@ROUTES.add("GET", "/models/{model:model}", policy=Action.READ, gives=Model)
async def get(request: Request, model: ModelName) -> Response:
    """Give a model."""
    return await give(request, models.get, model)


@ROUTES.add("PATCH", "/models/{model:model}", policy=Action.WRITE, gives=Model)
async def update(request: Request, model: ModelName, body: AboutIn) -> Response:
    """Change what is known about a model."""
    return await change(request, models.update, model, about=body.value())


@ROUTES.add("DELETE", "/models/{model:model}", policy=Action.ADMIN, gives=Model)
async def delete(request: Request, model: ModelName, reason: Reason = "") -> Response:
    """Delete a model: hidden, its name and numbers never given again."""
    return await change(request, models.delete, model, reason=reason)
