"""What `book.documents` is given: what embeds, where documents lie, what is asked of them.

from herdbook.documents import Demands, Query

demands = Demands(queries=[Query(text="who pays for rain damage?", relevant={"p7": 1})])
book.documents.move("handbook", to="v2", demands=demands)
"""

from herdbook.core.migrations import Options, Way
from herdbook.core.spaces import Encoder, EncoderSpec, Space
from herdbook.core.vectors import Hit, Place
from herdbook.front.moving.moved import Carrying
from herdbook.front.moving.proving import Demands, Query

__all__ = [
    "Carrying",
    "Demands",
    "Encoder",
    "EncoderSpec",
    "Hit",
    "Options",
    "Place",
    "Query",
    "Space",
    "Way",
]
