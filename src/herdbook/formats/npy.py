"""NumPy's .npy: one array, or Python objects as a pickle.

Reference: numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

import re
import struct
from typing import Final

from herdbook.errors import Invalid
from herdbook.formats.contents import Contents, Tensor, parameters_by_dtype
from herdbook.formats.reading import Reader, exactly, shown

MAGIC: Final = b"\x93NUMPY"
HEADER_BYTES_LIMIT: Final = 64 * 2**10
_SIMPLE: Final = re.compile(
    r"\s*\{\s*'descr':\s*'(?P<descr>[<>|=]?[a-zA-Z]\d*(?:\[\w+\])?)'\s*,"
    r"\s*'fortran_order':\s*(?:True|False)\s*,"
    r"\s*'shape':\s*\((?P<shape>[\d,\s]*)\)\s*,?\s*\}\s*\Z"
)
_BYTES: Final = re.compile(r"[<>|=]?([?bBiufc])(\d+)\Z")


def read(reader: Reader) -> Contents:
    """Read the header.

    Raises:
        Invalid: it is none, or the array does not fill the file.
    """
    version = exactly(reader, 6, 2, of="the version")[0]
    form = struct.Struct("<H" if version == 1 else "<I")
    (length,) = form.unpack(exactly(reader, 8, form.size, of="the length of the header"))
    if version not in {1, 2, 3} or length > HEADER_BYTES_LIMIT:
        raise Invalid(f"the .npy header (version {version}) is said to be {length:,} bytes long")
    start = 8 + form.size + length
    text = exactly(reader, 8 + form.size, length, of="the header").decode("utf-8", "replace")
    simple = _SIMPLE.match(text)
    if simple is None or "O" in simple["descr"]:
        # A structured type may hold objects too; only plain numbers are known to be inert.
        inert = simple is None and "O" not in text
        reason = () if inert else ("it holds Python objects, which NumPy unpickles",)
        return Contents(format="npy", executable=reason, details={"header": text[:1_000].strip()})
    shape = tuple(int(n) for n in simple["shape"].split(",") if n.strip() and len(n) < 20)
    made = Tensor(name="array", dtype=simple["descr"], shape=shape, start=start, end=reader.size)
    width = _BYTES.match(simple["descr"])
    if width and made.parameters * int(width[2][:4]) != reader.size - start:
        raise Invalid(
            f"the array of {made.dtype} {shown(shape)} does not take the "
            f"{reader.size - start:,} bytes that follow the header"
        )
    dtypes = parameters_by_dtype([made])
    return Contents(format="npy", parameters=made.parameters, dtypes=dtypes, tensors=(made,))
