"""What embeds texts: a version's own files, a function, or a service that is asked over HTTP."""

from herdbook.encoders.functions import wrapped
from herdbook.encoders.limits import TEXT_LIMIT, refusal
from herdbook.encoders.opening import opened

__all__ = ["TEXT_LIMIT", "opened", "refusal", "wrapped"]
