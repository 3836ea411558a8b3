"""Bundles: versions and their files as one archive, for machines without a network.

A bundle is an uncompressed tar and an OCI image layout: `oci-layout`, `index.json`, and every blob
once at `blobs/sha256/<hex>`, the documents before the files. For each version the index names its
manifest, as a registry would hold it, and a second one that refers to the first and holds the
version's record and its signatures. Equal versions in equal order give equal bytes, and what is
read has to be those bytes, so nothing else can hide in one.
"""

from herdbook.storage.bundles.layout import Packed
from herdbook.storage.bundles.limits import LIMITS, Limits
from herdbook.storage.bundles.reading import Bundle, read_bundle
from herdbook.storage.bundles.writing import Written, write_bundle

__all__ = ["LIMITS", "Bundle", "Limits", "Packed", "Written", "read_bundle", "write_bundle"]
