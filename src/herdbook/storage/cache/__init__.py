"""Pulled versions on this machine: whole files, verified, shared by processes and versions.

In the cache's folder lie

    snapshots/<digest>   exactly the files of a version, read-only
    marks/<digest>       that its snapshot is complete, and what its files looked like then
    files/<digest>       every file once, hard-linked into the snapshots that have it
    known/<digest>       what a large one of them looked like when it was verified
    refs/<key>           what a reference was when it was pulled last
    locks/, pulls/       who uses or pulls what; what is being put together

and nothing is a snapshot without its mark, which is written last.
"""

from herdbook.storage.cache.checking import Checked, Damage
from herdbook.storage.cache.marks import Problem
from herdbook.storage.cache.pruning import Pruned
from herdbook.storage.cache.pulling import Fetch
from herdbook.storage.cache.snapshots import Cache, Snapshot

__all__ = ["Cache", "Checked", "Damage", "Fetch", "Problem", "Pruned", "Snapshot"]
