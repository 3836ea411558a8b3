"""OpenFeature's own SDKs give a user the version that Herdbook does.

In this process, over OFREP with the Python provider, and with the web provider run by Node.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode, GeneralError
from openfeature.flag_evaluation import FlagEvaluationDetails, Reason
from openfeature.provider import AbstractProvider
from openfeature.track import TrackingEventDetails

import herdbook
from herdbook.front.book import Herdbook
from herdbook.openfeature import HerdbookProvider
from tests.running import free_port, served

HERE = Path(__file__).parent
WEB = ("@openfeature/web-sdk@1.10.0", "@openfeature/ofrep-web-provider@0.4.3")
USERS = [f"user{at}" for at in range(40)]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Herdbook]:
    """A register of this machine."""
    with herdbook.connect(f"sqlite:///{tmp_path}/herdbook.db") as found:
        yield found


@dataclass(frozen=True)
class Server:
    """A server that asks for tokens, the register behind it, and a token that may read."""

    address: str
    book: Herdbook
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    url = f"sqlite:///{tmp_path}/herdbook.db"
    with herdbook.connect(url) as book:
        admin = book.tokens.create("admin", roles=["admin"]).secret
        reader = book.tokens.create("shop", roles=["viewer"]).secret
    with (
        served(url, "--auth", HERDBOOK_HOME=str(tmp_path)) as address,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("HERDBOOK_TOKEN", admin)
        with herdbook.connect(address) as book:
            yield Server(address, book, reader)


@contextmanager
def speaking(provider: AbstractProvider) -> Iterator[OpenFeatureClient]:
    """A client of the SDK that asks a provider."""
    api.set_provider_and_wait(provider)
    yield api.get_client()
    api.shutdown()
    api.clear_providers()


def tried(book: Herdbook, model: str = "gnn", **plan: Any) -> str:
    """Two versions of a model, the first in production, and an experiment that compares them."""
    name = f"{model.replace('/', '-')}_test"
    for _ in range(2):
        book.models.register(model)
    book.deployments.promote(f"{model}:v1")
    book.experiments.start(name, model, "v2", **plan)
    return name


def user(name: str, **attributes: Any) -> EvaluationContext:
    return EvaluationContext(name, attributes)


def until(told: Callable[[], bool], *, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not told() and time.monotonic() < deadline:
        time.sleep(0.02)
    return told()


# --- in this process ---


def test_a_user_gets_the_version_that_serving_gives(book: Herdbook) -> None:
    tried(book)

    with speaking(HerdbookProvider(book)) as client:
        found = {name: client.get_string_details("gnn", "", user(name)) for name in USERS}

    for name, details in found.items():
        same = book.experiments.assign_variant("gnn", name)
        assert (details.value, details.variant) == (same.version, same.variant)
        assert details.reason == Reason.SPLIT
        assert details.flag_metadata == {"experiment": "gnn_test", "phase": 1, "hash_version": 1}
    assert {details.value for details in found.values()} == {"v1", "v2"}


def test_a_version_is_an_object_too_and_nothing_else(book: Herdbook) -> None:
    book.models.register("search/ranker")
    book.deployments.promote("search/ranker:v1")

    with speaking(HerdbookProvider(book)) as client:
        found = client.get_object_details("search/ranker", {})
        others = [
            client.get_boolean_details("search/ranker", default_value=True),
            client.get_integer_details("search/ranker", 1),
            client.get_float_details("search/ranker", 1.0),
        ]

    ref = {"model": "search/ranker", "version": "v1", "ref": "search/ranker:v1"}
    assert (found.value, found.variant, found.reason) == (ref, "champion", Reason.STATIC)
    assert [each.error_code for each in others] == [ErrorCode.TYPE_MISMATCH] * 3
    assert [each.value for each in others] == [True, 1, 1.0]


def test_what_cannot_be_given_is_the_default_with_the_reason(book: Herdbook) -> None:
    tried(book)
    book.models.register("oracle")

    with speaking(HerdbookProvider(book)) as client:
        found = {
            "keyless": client.get_string_details("gnn", "v0"),
            "empty": client.get_string_details("gnn", "v0", user("")),
            "no unit": client.get_string_details("gnn", "v0", user(1.5)),  # type: ignore[arg-type]
            "no champion": client.get_string_details("oracle", "v0", user("user1")),
            "nobody": client.get_boolean_details("nobody", default_value=False),
        }

    assert {name: each.error_code for name, each in found.items()} == {
        "keyless": ErrorCode.TARGETING_KEY_MISSING,
        "empty": ErrorCode.TARGETING_KEY_MISSING,
        "no unit": ErrorCode.INVALID_CONTEXT,
        "no champion": ErrorCode.FLAG_NOT_FOUND,
        "nobody": ErrorCode.FLAG_NOT_FOUND,
    }
    assert all(each.error_message for each in found.values())
    assert found["keyless"].value == "v0"


def test_targeting_reads_the_context(book: Herdbook) -> None:
    tried(book, targeting={"country": ["de"]})

    with speaking(HerdbookProvider(book)) as client:
        let_in = client.get_string_details("gnn", "", user("user1", country="de"))
        kept_out = client.get_string_details("gnn", "", user("user1", country="fr"))

    assert let_in.reason == Reason.TARGETING_MATCH
    assert (kept_out.reason, kept_out.variant) == (Reason.STATIC, "champion")


def test_a_pause_reaches_a_running_program(book: Herdbook) -> None:
    tried(book)

    with speaking(HerdbookProvider(book)) as client:
        assert client.get_string_details("gnn", "", user("user1")).reason == Reason.SPLIT
        book.experiments.pause("gnn_test")

        def paused() -> bool:
            return client.get_string_details("gnn", "", user("user1")).reason == Reason.DISABLED

        assert until(paused)


def test_what_is_tracked_is_a_result_of_the_version_the_user_has(book: Herdbook) -> None:
    tried(book)
    told = TrackingEventDetails(
        value=3.0, attributes={"inference_time_ms": 12.5, "confidence": 0.9, "shop": "berlin"}
    )
    failed = TrackingEventDetails(attributes={"error": True})

    with speaking(HerdbookProvider(book)) as client:
        for name in USERS:
            client.track("gnn", user(name), told)
        client.track("gnn", user("user0"), failed)
        client.track("gnn", user("user0"))
    book.experiments.flush()

    arms = {arm.arm: arm for arm in book.experiments.evaluate("gnn_test").arms}
    treated = sum(book.experiments.assign_variant("gnn", n).variant == "treatment" for n in USERS)
    more = {book.experiments.assign_variant("gnn", "user0").variant: 2}
    assert arms["treatment"].results == treated + more.get("treatment", 0)
    assert arms["control"].results == len(USERS) - treated + more.get("control", 0)
    assert sum(arm.errors for arm in arms.values()) == 1


def test_tracking_passes_over_what_is_no_result_and_never_raises(book: Herdbook) -> None:
    tried(book)
    tried(book, "majora", shadow=True)
    odd = TrackingEventDetails(attributes={"confidence": "high", "error": "no", "x": [1]})

    with speaking(HerdbookProvider(book)) as client:
        client.track("checkout", user("user1"))
        client.track("gnn")
        client.track("gnn", user("user1"), odd)
        for name in USERS:
            client.track("majora", user(name))
    book.experiments.flush()

    arms = {arm.arm: arm.results for arm in book.experiments.evaluate("majora_test").arms}
    # Beside the others' control a shadow was to be called, and nobody called it.
    alone = [n for n in USERS if not book.experiments.assign_variant("majora", n).shadow]
    assert arms == {"control": len(alone), "treatment": 0}


def test_closing_the_sdk_leaves_the_register_open(book: Herdbook) -> None:
    tried(book)

    with speaking(HerdbookProvider(book)) as client:
        client.get_string_value("gnn", "", user("user1"))

    assert book.experiments.assign_variant("gnn", "user1").experiment == "gnn_test"


def test_a_register_that_cannot_be_reached_is_said_and_the_default_given() -> None:
    with herdbook.connect(f"http://127.0.0.1:{free_port()}") as book:
        with pytest.raises(GeneralError) as caught:
            api.set_provider_and_wait(HerdbookProvider(book))
        client = api.get_client()
        found = client.get_string_details("gnn", "v0", user("user1"))
        client.track("gnn", user("user1"))
        api.shutdown()
        api.clear_providers()

    assert "no Herdbook server answers" in str(caught.value.error_message)
    assert (found.value, found.reason) == ("v0", Reason.ERROR)


def test_without_the_sdk_one_sentence_says_how_to_get_it() -> None:
    program = (
        "import sys; sys.modules['openfeature'] = None\n"
        "import herdbook\n"
        "try: import herdbook.openfeature\n"
        "except herdbook.HerdbookError as error: print(error.code, error)"
    )

    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout

    assert said.startswith("missing_extra ")
    assert "pip install 'herdbook[openfeature]'" in said
    assert said.count("\n") == 1


# --- over OFREP, by clients that know nothing of Herdbook ---


@contextmanager
def remote(server: Server) -> Iterator[OpenFeatureClient]:
    """A client of the SDK that asks the server, as OpenFeature's own provider does."""
    provider = OFREPProvider(server.address, headers_factory=lambda: server.headers)
    with speaking(provider) as client:
        yield client
    provider.session.close()


def said(details: FlagEvaluationDetails[Any]) -> tuple[Any, ...]:
    metadata = dict(details.flag_metadata)
    return details.value, details.variant, str(details.reason), metadata


def test_the_python_client_is_told_what_the_provider_in_process_tells(server: Server) -> None:
    tried(server.book)
    tried(server.book, "search/ranker", targeting={"country": ["de"]})
    server.book.models.register("majora")
    server.book.deployments.promote("majora:v1")
    asked = [
        (model, user(name, country=country))
        for model in ("gnn", "search/ranker", "majora")
        for name, country in zip(USERS, ("de", "fr") * 20, strict=True)
    ]

    with speaking(HerdbookProvider(server.book)) as client:
        inside = [said(client.get_string_details(model, "", who)) for model, who in asked]
    assign = server.book.experiments.assign_variant
    with remote(server) as client:
        outside = [said(client.get_string_details(model, "", who)) for model, who in asked]
        champion = client.get_string_details("majora", "")

    assert inside == outside
    assert [value for value, *_ in outside] == [
        assign(model, who.targeting_key, attributes=who.attributes).version for model, who in asked
    ]
    assert {reason for _, _, reason, _ in outside} == {"SPLIT", "TARGETING_MATCH", "STATIC"}
    assert said(champion) == ("v1", "champion", "STATIC", {})


def test_the_python_client_understands_every_refusal(server: Server) -> None:
    tried(server.book)

    with remote(server) as client:
        found = {
            "keyless": client.get_string_details("gnn", "v0"),
            "no unit": client.get_string_details("gnn", "v0", user(1.5)),  # type: ignore[arg-type]
            "nobody": client.get_string_details("nobody", "v0", user("user1")),
            "a boolean": client.get_boolean_details("gnn", default_value=True),
            "typed": client.get_integer_details("gnn", 7, user("user1")),
        }
        server.book.experiments.pause("gnn_test")
        paused = client.get_string_details("gnn", "", user("user1"))
    stranger = OFREPProvider(server.address)
    with speaking(stranger) as client:
        unknown = client.get_string_details("gnn", "v0", user("user1"))
    stranger.session.close()

    assert {name: each.error_code for name, each in found.items()} == {
        "keyless": ErrorCode.TARGETING_KEY_MISSING,
        "no unit": ErrorCode.INVALID_CONTEXT,
        "nobody": ErrorCode.FLAG_NOT_FOUND,
        "a boolean": ErrorCode.TARGETING_KEY_MISSING,
        "typed": ErrorCode.TYPE_MISMATCH,
    }
    assert "gnn has an experiment" in str(found["keyless"].error_message)
    assert "nobody" in str(found["nobody"].error_message)
    assert (paused.value, paused.reason) == ("v1", Reason.DISABLED)
    assert (unknown.error_code, unknown.error_message) == (ErrorCode.GENERAL, "unauthorized")


def test_a_change_made_through_one_server_shows_at_the_next_evaluation_of_another(
    postgres_url: str,
) -> None:
    with (
        served(postgres_url) as here,
        served(postgres_url) as there,
        herdbook.connect(here) as book,
    ):
        tried(book)
        provider = OFREPProvider(there)
        with speaking(provider) as client:
            found = [client.get_string_details("gnn", "", user("user1"))]
            book.experiments.pause("gnn_test")
            found.append(client.get_string_details("gnn", "", user("user1")))
            book.experiments.finalize("gnn_test", decision="promote")
            found.append(client.get_string_details("gnn", "", user("user1")))
        provider.session.close()

    assert [str(each.reason) for each in found] == ["SPLIT", "DISABLED", "STATIC"]
    assert found[-1].value == "v2"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the web SDK and its provider, and the program that uses them."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("the web provider needs Node and npm, which are not installed")
    folder = tmp_path_factory.mktemp("web")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    words = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *WEB]
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=100)
    except subprocess.TimeoutExpired:
        pytest.skip("npm could not fetch the web provider within 100 s")
    if done.returncode:
        pytest.skip(f"npm could not fetch the web provider: {done.stderr[-300:]}")
    shutil.copy(HERE / "openfeature_web.mjs", folder)
    return folder


class Page:
    """The program that stands for a page, with a line in and a line out."""

    def __init__(self, running: "subprocess.Popen[str]") -> None:
        self._running = running

    def __call__(self, *words: str) -> Any:
        assert self._running.stdin is not None
        assert self._running.stdout is not None
        self._running.stdin.write(" ".join(words) + "\n")
        self._running.stdin.flush()
        return json.loads(self._running.stdout.readline())


@contextmanager
def page(folder: Path, server: Server) -> Iterator[Page]:
    with (
        open(folder / "errors", "w+b") as errors,  # noqa: PTH123 - a pipe nobody reads fills up
        subprocess.Popen(
            ["node", "openfeature_web.mjs", server.address, server.token],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as running,
    ):
        yield Page(running)
        assert running.stdin is not None
        running.stdin.close()
        running.wait(timeout=20)
    assert (folder / "errors").read_text() == ""


def test_the_web_client_gives_each_user_the_same_version_and_notices_changes(
    server: Server, web: Path
) -> None:
    tried(server.book, "search/ranker")
    assign = server.book.experiments.assign_variant
    expected = {name: assign("search/ranker", name) for name in USERS[:12]}
    (treated, *_) = (n for n, each in expected.items() if each.variant == "treatment")

    with page(web, server) as ask:
        found = {name: ask("get", name, "search/ranker") for name in expected}
        ask("get", treated, "search/ranker")
        assert until(lambda: ask("asked")[-1]["status"] == 304)
        server.book.experiments.finalize("search-ranker_test", decision="rollback")
        changed = ask("wait", "search/ranker", "v1")
        asked = ask("asked")

    for name, each in found.items():
        assert (each["value"], each["variant"]) == (expected[name].version, expected[name].variant)
        assert (each["reason"], each["flagMetadata"]["experiment"]) == (
            "SPLIT",
            "search-ranker_test",
        )
    assert (changed["variant"], changed["reason"]) == ("champion", "STATIC")
    unmoved = [each for each in asked if each["status"] == 304]
    assert unmoved
    assert all(each["held"] == each["etag"] and not each["body"] for each in unmoved)
    moved = [each for each in asked if each["held"] and each["status"] == 200]
    assert moved
    assert all(each["held"] != each["etag"] for each in moved)
    assert {each["status"] for each in asked} == {200, 304}
