"""Encoders behind an HTTP service that speaks as OpenAI's does: `POST …/embeddings`."""

import ipaddress
import json
import os
import threading
import time
from typing import Any, Final, NoReturn

import httpx2

from herdbook.core.spaces import EncoderSpec, estimated_tokens
from herdbook.encoders import answers
from herdbook.encoders.failures import is_busy
from herdbook.encoders.measuring import Measured
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

KEY: Final = "HERDBOOK_EMBEDDING_KEY"
TIMEOUT_SECONDS: Final = 60.0
# What OpenAI takes at once; other services take as many or say 413.
TEXTS_LIMIT: Final = 2_048
ANSWER_BYTES_LIMIT: Final = 2**30
MESSAGE_LIMIT: Final = 200
_CODES: Final[dict[int, type[HerdbookError]]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    413: Invalid,
    422: Invalid,
}


def opened(
    spec: EncoderSpec,
    *,
    digest: str = "",
    key: str | None = None,
    patience: Patience | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> "RemoteEncoder":
    """Open an embedding service; it is asked once, to measure its space.

    Args:
        spec: with the address up to `/v1`.
        digest: of what runs, where somebody knows.
        key: sent as `Authorization: Bearer`; left out, HERDBOOK_EMBEDDING_KEY of the environment.
        patience: how often and how far apart a request is made.
        timeout_seconds: how long one request may take.

    Raises:
        Invalid: the address or the key cannot be.
        HerdbookError: what `Service.rows` raises.
    """
    key = os.environ.get(KEY, "") if key is None else key
    service = Service(
        spec, key=key, patience=patience or Patience(), timeout_seconds=timeout_seconds
    )
    try:
        return RemoteEncoder(service, spec, digest=digest)
    except BaseException:
        service.close()
        raise


class RemoteEncoder(Measured):
    """Embeds by asking a service.

    Args:
        service: which one.
        spec: how it was asked for.
        digest: of what runs there, "" when nobody knows.
    """

    def __init__(self, service: "Service", spec: EncoderSpec, *, digest: str) -> None:
        self._service = service
        super().__init__(
            service, spec, digest=digest, prefix=spec.prefix, query_prefix=spec.query_prefix
        )

    @property
    def tokens_used(self) -> int:
        """The tokens of all answers so far, as the service counts them, else estimated."""
        return self._service.tokens_used

    def close(self) -> None:
        """Close the connections."""
        self._service.close()


class Service:
    """Asks for embeddings over HTTP.

    Args:
        spec: how it was asked for.
        key: see `opened`.
        patience: see `opened`.
        timeout_seconds: see `opened`.
    """

    pooling = ""
    dtype = "float32"

    def __init__(
        self, spec: EncoderSpec, *, key: str, patience: Patience, timeout_seconds: float
    ) -> None:
        self._url = _address(spec.source)
        self._key = _checked_key(key)
        self._patience, self._timeout = patience, timeout_seconds
        self._asks: dict[str, Any] = {"model": spec.remote_model or spec.model}
        if spec.dimension:
            self._asks["dimensions"] = spec.dimension
        self._batch = min(spec.batch, TEXTS_LIMIT)
        self._agreed = False
        self._counted = threading.Lock()
        self.tokens_used = 0
        self.name = f"{self._url.host} ({self._asks['model']})"
        self._client = httpx2.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(timeout_seconds, connect=min(10.0, timeout_seconds)),
            # A proxy of the environment does not know this machine's own addresses.
            trust_env=not _is_loopback(self._url.host),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def rows(self, texts: list[str], *, prefix: str) -> Any:
        """Give the vectors of texts, as many in a request as the batch is.

        Raises:
            Invalid: the service refuses them as they are.
            Unavailable: it does not answer, is busy or answers wrongly, again and again.
            Unauthenticated: it asks for another key.
            Forbidden: the key is not enough.
            NotFound: there is no such address or model.
            Conflict: it answers with something else altogether.
        """
        full = [prefix + text for text in texts]
        if not self._agreed:
            return self._first(full)
        found: list[Any] = []
        for start in range(0, len(full), self._batch):
            found += self._asked(full[start : start + self._batch])
        return found

    def _first(self, texts: list[str]) -> list[Any]:
        """Embed the probe, and find out whether the service knows base64: a quarter of the bytes.

        One that does not may refuse the request for it; then it is never asked for again.
        """
        self._agreed = True
        self._asks["encoding_format"] = "base64"
        try:
            return self._asked(texts)
        except Invalid:
            del self._asks["encoding_format"]
        return self._asked(texts)

    def tokens(self, texts: list[str], *, prefix: str) -> int:
        """Estimate."""
        return estimated_tokens([prefix + text for text in texts])

    def _asked(self, texts: list[str]) -> list[Any]:
        body = json.dumps({**self._asks, "input": texts}).encode()
        tried = 0
        while True:
            tried += 1
            try:
                return self._once(body, texts)
            except Unavailable as error:
                asked = error.details.get("retry_after_seconds", 0.0)
                wait = self._patience.seconds(tried, asked=_seconds(asked))
                if wait is None:
                    raise _given_up(error, tried) from error.__cause__
            self._patience.sleep(wait)

    def _once(self, body: bytes, texts: list[str]) -> list[Any]:
        try:
            status, headers, data = self._sent(body)
        except httpx2.HTTPError as error:
            what = " ".join(str(error).split())[:MESSAGE_LIMIT] or type(error).__name__
            raise Unavailable(f"{self.name} does not answer: {what}") from error
        if status != httpx2.codes.OK:
            self._refused(status, headers, data)
        rows, tokens = answers.vectors(data, count=len(texts), name=self.name)
        with self._counted:
            self.tokens_used += estimated_tokens(texts) if tokens is None else tokens
        return rows

    def _sent(self, body: bytes) -> tuple[int, httpx2.Headers, bytes]:
        deadline = time.monotonic() + self._timeout
        kind = {"Content-Type": "application/json"}
        with self._client.stream("POST", self._url, content=body, headers=kind) as answer:
            data = bytearray()
            for part in answer.iter_bytes():
                data += part
                # Each part comes in time, but all of them never end.
                if time.monotonic() > deadline or len(data) > ANSWER_BYTES_LIMIT:
                    raise httpx2.ReadTimeout("the answer does not end")
            return answer.status_code, answer.headers, bytes(data)

    def _refused(self, status: int, headers: httpx2.Headers, data: bytes) -> NoReturn:
        told = self._told(data)
        said = f"{self.name} answers {status}" + (f": {told}" if told else "")
        if is_busy(status):
            asked = self._patience.asked_for(headers.get("Retry-After"))
            if answers.error_code(data) == "insufficient_quota":
                asked = float("inf")  # it is paid for, or it never works
            raise Unavailable(said, details={"retry_after_seconds": asked} if asked else None)
        if status == httpx2.codes.UNAUTHORIZED:
            # Not in its words: services repeat part of the key.
            why = "does not take the key" if self._key else "asks for a key"
            raise Unauthenticated(f"{self.name} {why} (401); set {KEY}")
        kind = _CODES.get(status, Conflict)
        if status in range(300, 400):
            said += (
                f"; it has moved to {headers.get('Location', 'elsewhere')!r:.120}: register that"
            )
        raise kind(said, details={"status": status})

    def _told(self, data: bytes) -> str:
        text = answers.message(data)
        if self._key:
            text = text.replace(self._key, "…")
        return text[:MESSAGE_LIMIT]


def _given_up(error: Unavailable, tried: int) -> Unavailable:
    often = f" ({tried} tries)" if tried > 1 else ""
    details = {name: said for name, said in error.details.items() if said != float("inf")}
    return Unavailable(error.message + often, details=details)


def _seconds(found: object) -> float:
    return float(found) if isinstance(found, int | float) else 0.0


def _address(source: str) -> httpx2.URL:
    try:
        url = httpx2.URL(source)
    except httpx2.InvalidURL as error:
        raise Invalid(f"{source!r:.120} is no address: {error}", field="encoder") from None
    if not url.host:
        raise Invalid(f"{source!r:.120} names no host", field="encoder")
    if url.userinfo:
        raise Invalid(
            f"an address kept in the register holds no secrets; give the key in {KEY}",
            field="encoder",
        )
    return url.copy_with(path=url.path.rstrip("/") + "/embeddings")


def _checked_key(key: str) -> str:
    """Refuse what no header can carry, without repeating it."""
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise Invalid(
            f"the key in {KEY} has a space, a line end or a letter that no key has; copy it again",
            field="key",
        )
    return key


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
