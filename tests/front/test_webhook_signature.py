"""What a receiver checks of a delivery."""

from datetime import UTC, datetime, timedelta

import herdbook
from herdbook.services.webhooks import signature

AT = datetime(2026, 1, 14, 12, tzinfo=UTC)
BODY = b'{"action":"alias.moved"}'
SIGNED = signature("hbwh_1", timestamp=int(AT.timestamp()), body=BODY)


def test_a_delivery_that_was_signed_is_believed() -> None:
    assert herdbook.verify_webhook("hbwh_1", header=SIGNED, body=BODY, now=AT)


def test_another_secret_body_or_time_is_not() -> None:
    late = AT + timedelta(minutes=6)

    assert not herdbook.verify_webhook("hbwh_2", header=SIGNED, body=BODY, now=AT)
    assert not herdbook.verify_webhook("hbwh_1", header=SIGNED, body=BODY + b" ", now=AT)
    assert not herdbook.verify_webhook("hbwh_1", header=SIGNED, body=BODY, now=late)
    for header in ("", "t=,v1=", "t=x,v1=y", "t=99999999999999999999,v1=y", "t=1"):
        assert not herdbook.verify_webhook("hbwh_1", header=header, body=BODY, now=AT)
