"""Which tensors differ between two files or two versions."""

from dataclasses import dataclass

from herdbook.formats.contents import Contents, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A tensor that is in both and not the same.

    Args:
        what: "dtype", "shape" or "bytes", the first of them that differs.
    """

    name: str
    what: str
    old: Tensor
    new: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How tensors went from one to the other.

    Args:
        same: how many are known to be equal, by their digests.
        undecided: of equal type and shape, but without a digest on one side or both.
        changed_bytes: the bytes of those added and changed, as they are now.
    """

    added: tuple[Tensor, ...] = ()
    removed: tuple[Tensor, ...] = ()
    changed: tuple[Change, ...] = ()
    undecided: tuple[str, ...] = ()
    same: int = 0
    changed_bytes: int = 0


def diff(old: Contents, new: Contents) -> Difference:
    """Compare tensors by name.

    Example:
        >>> one = Tensor(name="head.bias", dtype="F32", shape=(2,), start=0, end=8)
        >>> diff(Contents(format=""), Contents(format="", tensors=(one,))).changed_bytes
        8
    """
    before = {tensor.name: tensor for tensor in old.tensors}
    after = {tensor.name: tensor for tensor in new.tensors}
    added = tuple(tensor for name, tensor in after.items() if name not in before)
    both = [(before[name], tensor) for name, tensor in after.items() if name in before]
    verdicts = [(_verdict(*pair), pair) for pair in both]
    changed = tuple(
        Change(name=pair[0].name, what=what, old=pair[0], new=pair[1])
        for what, pair in verdicts
        if what not in {"", "undecided"}
    )
    return Difference(
        added=added,
        removed=tuple(tensor for name, tensor in before.items() if name not in after),
        changed=changed,
        undecided=tuple(pair[0].name for what, pair in verdicts if what == "undecided"),
        same=sum(what == "" for what, _ in verdicts),
        changed_bytes=sum(t.end - t.start for t in (*added, *(change.new for change in changed))),
    )


def _verdict(old: Tensor, new: Tensor) -> str:
    if old.dtype != new.dtype:
        return "dtype"
    if old.shape != new.shape:
        return "shape"
    if not old.digest or not new.digest:
        return "undecided"
    return "" if old.digest == new.digest else "bytes"
