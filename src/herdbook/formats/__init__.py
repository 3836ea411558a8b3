"""What is inside a file: read by its bytes, within fixed memory, and never executed."""

from herdbook.formats.comparing import Change, Difference, diff
from herdbook.formats.contents import Contents, Tensor
from herdbook.formats.digests import digested
from herdbook.formats.looking import READER, look, named
from herdbook.formats.reading import Bytes, Reader
from herdbook.formats.surveys import survey

__all__ = [
    "READER",
    "Bytes",
    "Change",
    "Contents",
    "Difference",
    "Reader",
    "Tensor",
    "diff",
    "digested",
    "look",
    "named",
    "survey",
]
