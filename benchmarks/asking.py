"""What each side is asked over HTTP: the same questions in each one's own words."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

from benchmarks import herd
from benchmarks.herd import Entry
from benchmarks.load import asked, opened
from benchmarks.servers import HOST, Server

PAGE: Final = 100
BIG_PAGE: Final = 1_000
OK: Final = 200
API: Final = "/api/2.0/mlflow"


def request(method: str, path: str, body: object = None) -> str:
    """Give a request as it goes over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: application/json\r\n"
    if body is None:
        return head + "\r\n"
    text = json.dumps(body)
    kind = f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    return head + kind + text


def _under_an_id(text: str) -> str:
    return text.replace("\r\n\r\n", "\r\nX-Request-Id: nightly\r\n\r\n", 1)


class Side(Protocol):
    """One server's words for every question."""

    def get_by_alias(self, model: str) -> str:
        """Ask what the champion is."""

    def search_model(self, model: str) -> str:
        """Ask for 100 versions of one model, by a filter."""

    def search_tag(self) -> str:
        """Ask for 100 versions of any model that carry a tag."""

    def page(self, token: str) -> str:
        """Ask for a page of everything."""

    def create(self, entry: Entry) -> str:
        """Register a version with the next number."""

    def set_alias(self, model: str, ordinal: int) -> str:
        """Point an alias at a version."""

    def ordinal(self, body: bytes) -> int:
        """Read the version out of an answer."""

    def found(self, body: bytes) -> tuple[list[tuple[str, int]], str]:
        """Read models and versions out of a page, and the token of the next."""


class Herdbook:
    """Herdbook's words."""

    def resolve(self, model: str) -> str:
        """Ask what the champion is, by the route made for services that ask often."""
        return request("GET", f"/resolve/{model}@{herd.CHAMPION}")

    def get_by_alias(self, model: str) -> str:
        """Ask what the champion is."""
        return request("GET", f"/models/{model}/versions/@{herd.CHAMPION}")

    def under_an_id(self, model: str) -> str:
        """Ask the same under an id of one's own, which Herdbook does not answer from memory."""
        return _under_an_id(self.resolve(model))

    def search_under_an_id(self, model: str) -> str:
        """Search under an id of one's own."""
        return _under_an_id(self.search_model(model))

    def search_model(self, model: str) -> str:
        """Ask for 100 versions of one model, by a filter."""
        return self._search(f"model = '{model}'")

    def search_tag(self) -> str:
        """Ask for 100 versions of any model that carry a tag."""
        return self._search("tags.stage = 'prod'")

    def _search(self, filter: str) -> str:
        return request("GET", f"/versions?{urlencode({'filter': filter, 'page_size': PAGE})}")

    def page(self, token: str) -> str:
        """Ask for a page of everything."""
        more = f"&page={quote(token)}" if token else ""
        return request("GET", f"/versions?page_size={BIG_PAGE}{more}")

    def create(self, entry: Entry) -> str:
        """Register a version with the next number."""
        said = {
            "model_name": entry.model,
            "files": [{"role": "checkpoint", "location": entry.source}],
            "tags": entry.tags,
            "description": entry.description,
        }
        return request("POST", "/models/register", said)

    def set_alias(self, model: str, ordinal: int) -> str:
        """Point an alias at a version."""
        path = f"/models/{model}/aliases/{herd.CHALLENGER}"
        return request("PUT", path, {"version": f"v{ordinal}"})

    def ordinal(self, body: bytes) -> int:
        """Read the version out of an answer."""
        return int(json.loads(body)["ordinal"])

    def found(self, body: bytes) -> tuple[list[tuple[str, int]], str]:
        """Read models and versions out of a page, and the token of the next."""
        page = json.loads(body)
        rows = [(item["model"], int(item["ordinal"])) for item in page["items"]]
        return rows, page.get("next") or ""


class Mlflow:
    """MLflow's words."""

    def get_by_alias(self, model: str) -> str:
        """Ask what the champion is."""
        asks = urlencode({"name": model, "alias": herd.CHAMPION})
        return request("GET", f"{API}/registered-models/alias?{asks}")

    def search_model(self, model: str) -> str:
        """Ask for 100 versions of one model, by a filter."""
        return self._search(f"name = '{model}'")

    def search_tag(self) -> str:
        """Ask for 100 versions of any model that carry a tag."""
        return self._search("tags.stage = 'prod'")

    def _search(self, filter: str) -> str:
        asks = urlencode({"filter": filter, "max_results": PAGE})
        return request("GET", f"{API}/model-versions/search?{asks}")

    def page(self, token: str) -> str:
        """Ask for a page of everything, of the size MLflow gives unasked."""
        asks = f"?{urlencode({'page_token': token})}" if token else ""
        return request("GET", f"{API}/model-versions/search{asks}")

    def create(self, entry: Entry) -> str:
        """Register a version with the next number."""
        said = {
            "name": entry.model,
            "source": entry.source,
            "tags": [{"key": key, "value": value} for key, value in entry.tags.items()],
            "description": entry.description,
        }
        return request("POST", f"{API}/model-versions/create", said)

    def set_alias(self, model: str, ordinal: int) -> str:
        """Point an alias at a version."""
        said = {"name": model, "alias": herd.CHALLENGER, "version": str(ordinal)}
        return request("POST", f"{API}/registered-models/alias", said)

    def ordinal(self, body: bytes) -> int:
        """Read the version out of an answer."""
        return int(json.loads(body)["model_version"]["version"])

    def found(self, body: bytes) -> tuple[list[tuple[str, int]], str]:
        """Read models and versions out of a page, and the token of the next."""
        page: dict[str, Any] = json.loads(body)
        rows = [(item["name"], int(item["version"])) for item in page.get("model_versions", [])]
        return rows, page.get("next_page_token", "")


@dataclass(frozen=True, slots=True)
class Asker:
    """One connection to one server, asking in its words."""

    side: Side
    server: Server

    def ask(self, texts: Sequence[str]) -> Iterator[bytes]:
        """Ask one request after the other and give the bodies of the answers.

        Raises:
            RuntimeError: an answer was an error.
        """
        with opened(HOST, self.server.port) as sock:
            for text in texts:
                status, body = asked(sock, text.encode("latin-1"))
                if status >= OK + 100:
                    raise RuntimeError(f"{text[:200]!r} was answered {status}: {body[:500]!r}")
                yield body

    def one(self, text: str) -> bytes:
        """Ask one request and give the body of its answer."""
        return next(iter(self.ask([text])))
