"""The OpenAPI description: committed, and true.

`HERDBOOK_UPDATE_GOLDEN=1 pytest tests/server/test_description.py` writes it anew.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from herdbook.bootstrap import LocalDoor, prepare
from herdbook.client.routes import ROUTES
from herdbook.core.access import everything
from herdbook.front.book import Herdbook
from herdbook.server.app import create_app
from herdbook.settings import Settings
from herdbook.storage.sql.engine import Database
from tests.server.conftest import HERE, Served

GOLDEN = Path(__file__).parents[1] / "golden" / "openapi.json"

# Texts like filters and names have rules that a schema cannot say: 422 is a true answer to
# what fits the schema, and so are the states of the register.
CONFIG = schemathesis.Config.from_dict(
    {
        "checks": {
            "positive_data_acceptance": {
                "expected-statuses": ["2xx", 304, 401, 403, 404, 405, 409, 410, 415, 422, 429, 501]
            },
            "negative_data_rejection": {
                "expected-statuses": [400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429, 431]
            },
        }
    }
)


def test_the_committed_description_is_the_servers(local: Served) -> None:
    said = local.client().get("/openapi.json").text
    if os.environ.get("HERDBOOK_UPDATE_GOLDEN"):
        GOLDEN.write_text(said, encoding="utf-8")

    assert said == GOLDEN.read_text(encoding="utf-8")


def test_every_route_of_the_client_is_described(local: Served) -> None:
    paths = local.client().get("/openapi.json").json()["paths"]

    missing = [
        verb for verb, route in ROUTES.items() if route.method.lower() not in paths[route.path]
    ]
    assert missing == []


def test_every_reference_of_the_description_leads_somewhere(local: Served) -> None:
    found = local.client().get("/openapi.json").json()

    def walk(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            yield from [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            part = list(part.values())
        if isinstance(part, list):
            for inner in part:
                yield from walk(inner)

    for reference in set(walk(found)):
        place = found
        for word in reference.removeprefix("#/").split("/"):
            place = place[word]
        assert place


# What waits for a later release answers 501, which is a failure of a server otherwise.
NOT_BUILT = {"GET /mlflow/status"}


@schemathesis.serializer("application/x-ndjson")
def as_lines(_context: object, value: object) -> bytes:
    """Lines of text, as they are."""
    return str(value).encode(errors="replace")


EXAMPLES = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", params=["local", "token"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The description of a running app in each mode, with a token that may do everything."""
    folder = tmp_path_factory.mktemp("described")
    database = Database(f"sqlite:///{folder}/herdbook.db", owner_url=HERE)
    prepare(database)
    book = Herdbook(LocalDoor(database, everything("root")))
    book.models.register("majora", metrics={"accuracy": 0.9}, training_data=["oracle"])
    secret = book.tokens.create("schemathesis", roles=["admin"]).secret
    app = create_app(
        database, auth=request.param == "token", settings=Settings(home=folder, actor="curator")
    )
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", app, config=CONFIG, headers={"Host": "127.0.0.1:8477"}
    )
    headers = {"Host": "127.0.0.1:8477"}
    if request.param == "token":
        headers["Authorization"] = f"Bearer {secret}"
    yield schema, headers
    database.close()


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_as_described(api: Any, mode: GenerationMode) -> None:
    schema, headers = api
    wrong = []
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.label in NOT_BUILT:
            continue
        try:
            _check(operation, headers, mode)
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - all that is wrong is told at once
            wrong.append(f"{operation.label}: {_told(error)}")

    assert wrong == []


def _check(operation: Any, headers: dict[str, str], mode: GenerationMode) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @EXAMPLES
    def check(case: Any) -> None:
        case.call_and_validate(headers=headers)

    with contextlib.suppress(Unsatisfiable):  # an operation that takes nothing has no wrong input
        check()


def _told(error: BaseException) -> str:
    inner = getattr(error, "exceptions", ())
    return "; ".join(_told(each) for each in inner) or str(error)
