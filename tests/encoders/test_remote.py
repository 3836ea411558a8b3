"""An embedding service over HTTP, on its worst days."""

import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from herdbook.core.spaces import EncoderSpec
from herdbook.encoders import opened as opened_by_source
from herdbook.encoders.remote import RemoteEncoder, opened
from herdbook.encoders.waiting import Patience
from herdbook.errors import (
    Conflict,
    Forbidden,
    HerdbookError,
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from tests.encoders.service import DIMENSION, Answer, Asked, Service, good, running, vector

NOW = datetime(2026, 1, 14, 12, tzinfo=UTC)
SECRET = "sk-majora-0123456789"
TEXTS = ["rain", "a claim", "the policy"]


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that answers well unless it is told otherwise."""
    with running() as found:
        yield found


@pytest.fixture
def waits() -> list[float]:
    """The waits that were not waited for."""
    return []


Opening = Callable[..., RemoteEncoder]


@pytest.fixture
def opening(
    service: Service, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Opening]:
    """Open the service; everything is closed afterwards."""
    monkeypatch.delenv("HERDBOOK_EMBEDDING_KEY", raising=False)
    made: list[RemoteEncoder] = []

    def found(*, key: str | None = None, timeout_seconds: float = 20, **said: Any) -> RemoteEncoder:
        patience = Patience(sleep=waits.append, rng=random.Random(7), now=lambda: NOW)  # noqa: S311
        said = {"model": "gbert", "number": "v1", "source": service.address, **said}
        spec = EncoderSpec(**said)
        made.append(opened(spec, key=key, patience=patience, timeout_seconds=timeout_seconds))
        return made[-1]

    yield found
    for each in made:
        each.close()


def unit(rows: list[list[float]]) -> Any:
    found = np.array(rows, dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def failing(status: int, message: str = "", **headers: str) -> Callable[[Asked], Answer]:
    body = {"error": {"message": message}} if message else b"<html>oh no</html>"
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Answer(body, status=status, headers=said)


def with_rows(rows: list[Any]) -> Callable[[Asked], Answer]:
    data = [{"index": at, "embedding": row} for at, row in enumerate(rows)]
    return lambda _: Answer({"data": data})


def test_texts_are_embedded_in_their_order_as_the_spec_says(
    service: Service, opening: Opening
) -> None:
    encoder = opening(prefix="passage: ", query_prefix="query: ", remote_model="e5", key=SECRET)

    documents, queries = encoder.embed(TEXTS), encoder.embed_queries(["rain"])

    assert np.allclose(documents, unit([vector(f"passage: {text}") for text in TEXTS]), atol=1e-6)
    assert np.allclose(queries, unit([vector("query: rain")]), atol=1e-6)
    assert (documents.dtype, documents.shape) == (np.float32, (3, DIMENSION))
    assert service.paths == ["/v1/embeddings"] * 3
    assert service.headers[-1]["authorization"] == f"Bearer {SECRET}"
    assert service.asked[-1] == {
        "model": "e5",
        "input": ["query: rain"],
        "encoding_format": "base64",
    }


def test_the_space_is_what_answered(opening: Opening) -> None:
    space = opening(normalize=False).space

    assert (space.model, space.number, space.dimension) == ("gbert", "v1", DIMENSION)
    assert (space.normalized, space.dtype, space.digest) == (False, "float32", "")
    assert opening().space.normalized


def test_the_key_comes_from_the_environment_and_from_nowhere_else(
    service: Service, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody")
    opening()
    monkeypatch.setenv("HERDBOOK_EMBEDDING_KEY", SECRET)
    opening()

    assert "authorization" not in service.headers[0]
    assert service.headers[-1]["authorization"] == f"Bearer {SECRET}"


def test_a_shorter_dimension_is_asked_for_and_has_to_come(
    service: Service, opening: Opening
) -> None:
    assert opening(dimension=4).space.dimension == 4
    assert service.asked[-1]["dimensions"] == 4

    service.always = lambda asked: good({**asked, "dimensions": 5})
    with pytest.raises(Conflict, match="5 dimensions, and 4 are wanted"):
        opening(dimension=4)


def test_a_service_that_refuses_base64_is_asked_for_numbers(
    service: Service, opening: Opening
) -> None:
    service.always = lambda asked: (
        Answer({"detail": "extra fields not permitted"}, status=422)
        if "encoding_format" in asked
        else good(asked)
    )

    found = opening().embed(TEXTS)

    assert np.allclose(found, unit([vector(text) for text in TEXTS]), atol=1e-6)
    assert ["encoding_format" in asked for asked in service.asked] == [True, False, False]


def test_many_texts_are_sent_a_batch_at_a_time_and_tokens_are_summed(
    service: Service, opening: Opening
) -> None:
    encoder = opening(batch=2)
    before = encoder.tokens_used

    found = encoder.embed(TEXTS)

    assert [len(asked["input"]) for asked in service.asked] == [1, 2, 1]
    assert np.allclose(found, unit([vector(text) for text in TEXTS]), atol=1e-6)
    assert encoder.tokens_used - before == sum(map(len, TEXTS))
    assert encoder.tokens(["x" * 8]) == 2


def test_tokens_are_estimated_where_a_service_does_not_count_them(
    service: Service, opening: Opening
) -> None:
    encoder = opening()
    before = encoder.tokens_used
    service.script = [with_rows([vector("x" * 400)])]

    encoder.embed(["x" * 400])

    assert encoder.tokens_used - before == 100


def test_rows_in_another_order_are_put_back(service: Service, opening: Opening) -> None:
    def backwards(asked: Asked) -> Answer:
        answer = good(asked)
        answer.body["data"].reverse()
        return answer

    encoder = opening()
    service.always = backwards

    assert np.allclose(encoder.embed(TEXTS), unit([vector(text) for text in TEXTS]), atol=1e-6)


def test_429_is_waited_for_as_long_as_it_asks(
    service: Service, opening: Opening, waits: list[float]
) -> None:
    encoder = opening()
    date = format_datetime(NOW + timedelta(seconds=40), usegmt=True)
    service.script = [
        failing(429, "slow down", Retry_After="7"),
        failing(429, "slow down", Retry_After=date),
        failing(429, "slow down", Retry_After="soon"),
    ]

    assert encoder.embed(TEXTS).shape == (3, DIMENSION)
    assert 7 <= waits[0] <= 7.5
    assert 40 <= waits[1] <= 41
    assert 0 < waits[2] <= 2


def test_a_wait_that_is_too_long_is_not_waited_for(
    service: Service, opening: Opening, waits: list[float]
) -> None:
    encoder = opening()
    service.script = [failing(429, "tomorrow", Retry_After="86400")]

    with pytest.raises(Unavailable, match="429: tomorrow") as caught:
        encoder.embed(TEXTS)

    assert caught.value.details == {"retry_after_seconds": 86_400.0}
    assert waits == []


def test_a_quota_that_is_used_up_is_not_tried_again(
    service: Service, opening: Opening, waits: list[float]
) -> None:
    encoder = opening()
    error = {"error": {"message": "you exceeded your quota", "code": "insufficient_quota"}}
    service.script = [lambda _: Answer(error, status=429)]

    with pytest.raises(Unavailable, match="exceeded your quota"):
        encoder.embed(TEXTS)

    assert waits == []


def test_two_500_and_then_an_answer_is_an_answer(
    service: Service, opening: Opening, waits: list[float]
) -> None:
    encoder = opening()
    service.script = [failing(500), failing(503)]

    assert encoder.embed(TEXTS).shape == (3, DIMENSION)
    assert len(waits) == 2


def test_waits_grow_are_spread_and_end(
    service: Service, opening: Opening, waits: list[float]
) -> None:
    encoder = opening()
    service.always = failing(500, "out of order")

    with pytest.raises(Unavailable, match=r"500: out of order \(6 tries\)"):
        encoder.embed(TEXTS)

    assert len(waits) == 5
    assert all(0.25 * 2**at <= wait <= 0.5 * 2**at for at, wait in enumerate(waits))
    assert all(after / before != 2 for before, after in pairwise(waits))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid), (413, Invalid), (422, Invalid), (403, Forbidden), (404, NotFound),
        (405, Conflict),
    ],
)  # fmt: skip
def test_what_trying_again_does_not_mend_is_told_in_the_services_words(
    status: int, kind: type[HerdbookError], service: Service, opening: Opening, waits: list[float]
) -> None:
    encoder = opening(key=SECRET)
    service.script = [failing(status, f"no, {SECRET}, " + "far " * 200)]

    with pytest.raises(kind, match=f"answers {status}: no, …, far") as caught:
        encoder.embed(TEXTS)

    assert waits == []
    assert SECRET not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_key_that_is_refused_is_never_repeated(service: Service, opening: Opening) -> None:
    encoder = opening(key=SECRET)
    service.always = failing(401, f"Incorrect API key provided: {SECRET[:8]}****")

    with pytest.raises(Unauthenticated, match="set HERDBOOK_EMBEDDING_KEY") as caught:
        encoder.embed(TEXTS)
    assert SECRET[:8] not in str(caught.value)

    with pytest.raises(Unauthenticated, match="asks for a key"):
        opening()
    with pytest.raises(Invalid, match="a line end") as caught_too:
        opening(key=f"{SECRET}\n")
    assert SECRET not in str(caught_too.value)


def test_a_key_does_not_follow_a_redirect(service: Service, opening: Opening) -> None:
    encoder = opening(key=SECRET)
    with running() as elsewhere:
        service.script = [failing(307, Location=f"{elsewhere.address}/embeddings")]

        with pytest.raises(Conflict, match="it has moved to"):
            encoder.embed(TEXTS)

        assert elsewhere.headers == []


def test_another_dimension_later_on_is_a_conflict(service: Service, opening: Opening) -> None:
    encoder = opening()
    service.script = [lambda asked: good({**asked, "dimensions": 9})]

    with pytest.raises(Conflict, match="gives vectors of 9 dimensions, and 8 are wanted"):
        encoder.embed(TEXTS)


def test_rows_of_several_lengths_are_a_conflict(service: Service, opening: Opening) -> None:
    encoder = opening()
    service.script = [with_rows([vector("a"), vector("b", 7), vector("c")])]

    with pytest.raises(Conflict, match="for text 1, gives vectors of 7 dimensions"):
        encoder.embed(TEXTS)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), None, 1e300])
def test_a_number_that_is_none_names_its_text(
    number: float | None, service: Service, opening: Opening
) -> None:
    encoder = opening(batch=2)
    service.script = [good, with_rows([[*vector("c", 7), number]])]

    with pytest.raises(Invalid, match="for text 2 is not of finite numbers") as caught:
        encoder.embed(TEXTS)

    assert caught.value.details == {"index": 2}


def test_a_vector_without_length_names_its_text(service: Service, opening: Opening) -> None:
    encoder = opening(normalize=False)
    service.script = [with_rows([vector("a"), [0.0] * DIMENSION, vector("c")])]

    with pytest.raises(Invalid, match="for text 1 has no length") as caught:
        encoder.embed(TEXTS)

    assert caught.value.details == {"index": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda asked: Answer(good(asked).data[:-20]),
        lambda asked: Answer({"data": good(asked).body["data"][:-1]}),
        lambda _: Answer({"error": {"message": "upstream is down"}}),
        lambda _: Answer(b"<html>a login page</html>"),
        lambda _: Answer([1, 2]),
        lambda _: Answer({"data": [{"index": 0, "embedding": [1.0]}] * 3}),
        lambda _: Answer({"data": [{"embedding": "%%%"}] * 3}),
        lambda _: Answer({"data": [{"embedding": {"a": 1}}] * 3}),
        lambda _: Answer({"data": [1, 2, 3]}),
        lambda _: Answer(b"[" * 100_000),
        lambda asked: Answer(good(asked).data, cut=10),
        lambda asked: Answer(good(asked).data, cut=0),
    ],
    ids=[
        *("truncated", "too few", "an error as an answer", "a page", "a list", "one index thrice"),
        *("no base64", "no vector", "no objects", "nested", "cut off", "reset"),
    ],
)
def test_a_broken_answer_is_asked_for_again_and_not_for_ever(
    wrong: Callable[[Asked], Answer], service: Service, opening: Opening, waits: list[float]
) -> None:
    encoder = opening()
    service.script = [wrong]
    assert np.allclose(encoder.embed(TEXTS), unit([vector(text) for text in TEXTS]), atol=1e-6)
    assert len(waits) == 1

    service.always = wrong
    with pytest.raises(Unavailable, match=r"\(6 tries\)"):
        encoder.embed(TEXTS)


def test_a_service_that_hangs_is_given_up(
    service: Service, opening: Opening, waits: list[float]
) -> None:
    encoder, released = opening(timeout_seconds=0.2), threading.Event()
    service.always = lambda asked: Answer(good(asked).data, hang=released)

    try:
        with pytest.raises(Unavailable, match="does not answer"):
            encoder.embed(["rain"])
    finally:
        released.set()

    assert len(waits) == 5


def test_an_answer_that_comes_drop_by_drop_is_given_up(
    service: Service, opening: Opening, waits: list[float]
) -> None:
    encoder = opening(timeout_seconds=0.2)
    service.always = lambda asked: Answer(good(asked).data, drip_seconds=0.03)

    with pytest.raises(Unavailable, match="the answer does not end"):
        encoder.embed(["rain"])

    assert len(waits) == 5


def test_nobody_at_the_address_is_unavailable(opening: Opening, waits: list[float]) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        opening(source="http://127.0.0.1:9/v1")

    assert len(waits) == 5


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    assert opening().embed(TEXTS).shape == (3, DIMENSION)


def test_an_address_keeps_its_question_and_no_password(service: Service, opening: Opening) -> None:
    opening(source=f"{service.address}/?api-version=2")

    assert service.paths == ["/v1/embeddings?api-version=2"]
    with pytest.raises(Invalid, match="holds no secrets"):
        opening(source=service.address.replace("//", "//user:password@"))


def test_it_is_opened_by_its_source(service: Service) -> None:
    spec = EncoderSpec(model="gbert", number="v1", source=service.address)

    encoder = opened_by_source(spec, key="", digest="sha256:5d")

    assert encoder.space.digest == "sha256:5d"
    assert isinstance(encoder, RemoteEncoder)
    encoder.close()
