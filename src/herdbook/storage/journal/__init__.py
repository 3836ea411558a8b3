"""What a process recorded, in a file of its own that outlives it.

A journal is mapped into memory: recording is a write there, which the kernel keeps when the
process is killed. Records lie in a ring; whoever sends them to the register moves the tail on.
"""

from herdbook.storage.journal.journal import Journal, create
from herdbook.storage.journal.layout import Sizes, State
from herdbook.storage.journal.orphans import orphans
from herdbook.storage.journal.writing import Writer

__all__ = ["Journal", "Sizes", "State", "Writer", "create", "orphans"]
