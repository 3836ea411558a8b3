"""Events as CloudEvents over HTTP, in binary mode: attributes as headers, the data as the body.

Reference: CloudEvents 1.0.2, "HTTP Protocol Binding", section 3.1.
"""

from typing import Final
from urllib.parse import quote

from herdbook.core.events import Event
from herdbook.core.wire import time_text

SOURCE: Final = "/herdbook"
# Printable ASCII but the space, the quotation mark and the percent sign goes as it is.
_PLAIN: Final = "".join(map(chr, range(0x21, 0x7F))).replace('"', "").replace("%", "")


def headers(event: Event) -> dict[str, str]:
    """Give the headers that make a JSON body with an event's facts a CloudEvent.

    Its id is the event's hash, which no other event of any register has; its subject the version
    or the model it concerns.

    Example:
        >>> from datetime import UTC, datetime
        >>> told = Event(seq=1, at=datetime(2026, 1, 14, tzinfo=UTC), by="herdbook",
        ...              action="drift.retrain", model="gnn", number="v2.1.0", body={},
        ...              previous="0" * 64, hash="f" * 64)
        >>> headers(told)["ce-type"], headers(told)["ce-subject"]
        ('herdbook.drift.retrain', 'gnn:v2.1.0')
    """
    subject = f"{event.model}:{event.number}" if event.number else event.model
    said = {
        "ce-specversion": "1.0",
        "ce-id": event.hash,
        "ce-source": SOURCE,
        "ce-type": f"herdbook.{event.action}",
        "ce-time": time_text(event.at),
        "ce-subject": quote(subject, safe=_PLAIN),
    }
    return {name: value for name, value in said.items() if value}
