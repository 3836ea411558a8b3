"""Addresses of Qdrant's stores, and what both ways to it call the same."""

from typing import Final
from urllib.parse import parse_qsl, urlsplit

from herdbook.errors import Invalid
from herdbook.storage.vectors.point_payloads import Layout

_METRICS: Final = {"cosine": "Cosine", "dot": "Dot", "l2": "Euclid"}
_NAMES: Final = {name: metric for metric, name in _METRICS.items()}


def distance_of(metric: str) -> str:
    """Give Qdrant's name of a metric."""
    if metric not in _METRICS:
        raise Invalid(f"{metric!r:.30} is no metric; write cosine, dot or l2", field="metric")
    return _METRICS[metric]


def metric_of(distance: str) -> str:
    """Give the metric Qdrant's name is of; its own name where the port has none."""
    return _NAMES.get(distance, distance.lower())


def laid_out(address: str) -> tuple[str, Layout]:
    """Split an address into the folder or URL and the layout asked for."""
    scheme, _, rest = address.partition(":")
    place, _, query = rest.partition("?")
    asked = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(asked.keys() - {"text", "metadata", "vector"})
    if unknown or asked.get("text") == "":
        raise Invalid(
            f"{(unknown or ['text='])[0]!r} is nothing an address of Qdrant says; after ? write "
            "text, metadata or vector",
            field="store",
        )
    layout = Layout(**asked)
    if not rest.startswith("//"):
        return place, layout
    secure = scheme.endswith("https")
    try:
        parts = urlsplit(f"x:{place}")
        port = parts.port or 6333
    except ValueError as error:
        raise Invalid(f"{address!r:.120}: {error}", field="store") from None
    if not parts.hostname or parts.username is not None:
        raise Invalid(
            f"write {scheme}://host:6333, the key in QDRANT_API_KEY, not {address!r:.120}",
            field="store",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{'https' if secure else 'http'}://{host}:{port}{parts.path}", layout
