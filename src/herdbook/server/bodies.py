"""The words request bodies and addresses share: what FastAPI reads, and what OpenAPI says of it."""

from typing import Annotated, Any, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt

from herdbook.core import names
from herdbook.core.pages import PAGE_DEFAULT, PAGE_LIMIT

T = TypeVar("T")


class In(BaseModel):
    """A request body: unknown fields are refused, numbers are not read from texts."""

    model_config = ConfigDict(extra="forbid")

    def said(self) -> dict[str, Any]:
        """Give the fields that were given, with their values as they came."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class NothingIn(In):
    """A body that says nothing."""


# The rules themselves are the core's; the descriptions only repeat them, so that the message of
# a refusal is the same through every door.
ModelName = Annotated[
    str,
    Path(
        description="The model's name; its slashes may stand as they are.",
        json_schema_extra={
            "pattern": r"^[A-Za-z0-9]([A-Za-z0-9._+-]*[A-Za-z0-9_+])?"
            r"(/[A-Za-z0-9]([A-Za-z0-9._+-]*[A-Za-z0-9_+])?)*$",
            "maxLength": names.MODEL_NAME_LIMIT,
        },
        examples=["majora"],
    ),
]
VersionName = Annotated[
    str,
    Path(
        description="A number, such as `v2` or `1.0.0`, or an alias, such as `@champion`.",
        json_schema_extra={
            "pattern": r"^([vV]?[0-9]{1,15}(\.[0-9]{1,15}){0,2}(-[0-9A-Za-z.-]{1,20})?"
            r"|@[a-z]([a-z0-9_.-]{0,60}[a-z0-9_])?)$"
        },
        examples=["v2"],
    ),
]
AliasName = Annotated[
    str,
    Path(
        description="The alias, such as `champion`.",
        json_schema_extra={"pattern": "^[a-z]([a-z0-9_.-]{0,60}[a-z0-9_])?$"},
        examples=["champion"],
    ),
]
FilterText = Annotated[
    str,
    Query(
        alias="filter",
        description="A search text, such as `metrics.accuracy > 0.9 ORDER BY created_at DESC`.",
    ),
]
PageSize = Annotated[
    int,
    Query(
        description="How many items at most.",
        json_schema_extra={"minimum": 1, "maximum": PAGE_LIMIT},
    ),
]
PageToken = Annotated[
    str | None, Query(description="The `next` of the page before; left out for the first.")
]
Reason = Annotated[str, Query(description="Why; kept with the change.")]
Number = StrictInt | StrictFloat
Text = Annotated[str, Field(max_length=names.TEXT_LIMIT)]
Flag = StrictBool
Whole = Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
PAGE = PAGE_DEFAULT
