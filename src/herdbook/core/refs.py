"""References to a version (`majora:v2`, `majora@champion`, `majora` alone) and to other places."""

from dataclasses import dataclass
from typing import Any, Final

from herdbook.core import places
from herdbook.core.names import alias_name, model_name
from herdbook.core.numbers import Number
from herdbook.errors import Invalid

HERDBOOK: Final = "herdbook"
CHAMPION = "champion"
LATEST = "latest"
REF_LIMIT = 400
PLACE_LIMIT: Final = 2_100


@dataclass(frozen=True, slots=True)
class VersionRef:
    """A version named by its number or by an alias that points at it.

    `majora` alone stands for `majora@champion`, `@latest` for the version registered last.

    Example:
        >>> VersionRef.parse("herdbook:majora@champion")
        VersionRef(model='majora', number='', alias='champion')
        >>> str(VersionRef.parse("majora:v2"))
        'majora:v2'
    """

    model: str
    number: str = ""
    alias: str = ""

    def __post_init__(self) -> None:
        """Refuse a reference with both, or with a name that cannot be one."""
        model_name(self.model)
        if self.number:
            Number(self.number)
        elif self.alias != LATEST:
            alias_name(self.alias)

    @classmethod
    def parse(cls, text: str) -> "VersionRef":
        """Read a reference.

        Raises:
            Invalid: it is not one; the message shows the forms that are.
        """
        if type(text) is not str or not 1 <= len(text) <= REF_LIMIT:
            raise Invalid("a reference must be text like majora:v2", field="ref")
        body = text.removeprefix(f"{HERDBOOK}:")
        if "@" in body:
            model, _, alias = body.rpartition("@")
            return cls(model, alias=alias or _missing(text))
        if ":" in body:
            model, _, number = body.rpartition(":")
            return cls(model, number=number or _missing(text))
        return cls(body, alias=CHAMPION)

    def __str__(self) -> str:
        if not self.number:
            return f"{self.model}@{self.alias}"
        # A model may be called herdbook; its name is no scheme then.
        scheme = f"{HERDBOOK}:" if self.model == HERDBOOK else ""
        return f"{scheme}{self.model}:{self.number}"


def _missing(text: str) -> str:
    raise Invalid(
        f"{text!r} names no version: write majora:v2 for a number or majora@champion for an alias",
        field="ref",
    )


def version_ref(text: str | VersionRef) -> VersionRef:
    """Take a reference as text or as a value."""
    return text if isinstance(text, VersionRef) else VersionRef.parse(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """Where a model is: a version of the register, or a place outside it.

    Args:
        scheme: herdbook, local, hf, s3, gs or az.
        version: herdbook's: which version.
        path: local's folder; of s3, gs and az what the keys begin with.
        repo: hf's repository, `owner/name` or `name`.
        revision: hf's branch, tag or commit; "" for the repository's own default.
        bucket: of s3, gs and az (there called a container).

    Example:
        >>> ModelRef.parse("hf:my-org/private@v1.0.0").revision
        'v1.0.0'
        >>> print(ModelRef.parse("majora"))
        herdbook:majora@champion
    """

    scheme: str
    version: VersionRef | None = None
    path: str = ""
    repo: str = ""
    revision: str = ""
    bucket: str = ""

    def __post_init__(self) -> None:
        """Refuse parts that are wrong, missing, or another scheme's; write the path one way."""
        parts = _PARTS.get(self.scheme, ())
        if not parts:
            raise _unknown(self.scheme)
        for name in ("version", "path", "repo", "revision", "bucket"):
            if getattr(self, name) and name not in parts:
                raise places.wrong(self.scheme, name, "belongs to another scheme")
        if self.scheme == HERDBOOK and self.version is None:
            raise places.wrong(HERDBOOK, "version", "is missing")
        if "repo" in parts:
            places.hub_repo(self.repo)
        if self.revision:
            places.hub_revision(self.revision)
        if "path" in parts:
            object.__setattr__(self, "path", self._place())

    def _place(self) -> str:
        if self.scheme == "local":
            return places.folder(self.path)
        places.bucket(self.bucket, scheme=self.scheme)
        return places.key(self.path, scheme=self.scheme)

    @classmethod
    def parse(cls, text: str) -> "ModelRef":
        """Read a reference; what has no scheme is the register's.

        Raises:
            Invalid: it is none; the message names the scheme, the part, and one that works.
        """
        if type(text) is not str or not 1 <= len(text) <= PLACE_LIMIT:
            raise Invalid(
                f"a reference is a text of 1 to {PLACE_LIMIT:,} characters, such as "
                f"{places.EXAMPLES[HERDBOOK]}",
                field="ref",
            )
        scheme, colon, rest = text.partition(":")
        if not colon or scheme not in _PARTS:
            _refuse_other_places(text, scheme=scheme, rest=rest)
            scheme, rest = HERDBOOK, text
        return cls(scheme=scheme, **_split(scheme, rest))

    def __str__(self) -> str:
        if self.scheme == HERDBOOK:
            return f"{HERDBOOK}:{str(self.version).removeprefix(f'{HERDBOOK}:')}"
        if self.scheme == "local":
            return f"local:{self.path}"
        if self.scheme == "hf":
            return f"hf:{self.repo}@{self.revision}" if self.revision else f"hf:{self.repo}"
        return f"{self.scheme}://{self.bucket}/{self.path}"


_PARTS: Final = {
    HERDBOOK: ("version",),
    "local": ("path",),
    "hf": ("repo", "revision"),
    **dict.fromkeys(("s3", "gs", "az"), ("bucket", "path")),
}
# What other programs call the same places.
_MEANT: Final = {
    "file": "local",
    "huggingface": "hf",
    "models": HERDBOOK,
    **dict.fromkeys(("s3a", "s3n"), "s3"),
    **dict.fromkeys(("gcs", "gsutil"), "gs"),
    **dict.fromkeys(("abfs", "abfss", "azure", "wasb", "wasbs"), "az"),
}


def _split(scheme: str, rest: str) -> dict[str, Any]:
    if scheme == HERDBOOK:
        return {"version": _registered(f"{HERDBOOK}:{rest}")}
    if scheme == "local":
        return {"path": rest}
    if scheme == "hf":
        repo, at, revision = rest.partition("@")
        if at and not revision:
            raise places.wrong(scheme, "revision", "is missing after @")
        return {"repo": repo, "revision": revision}
    if not rest.startswith("//"):
        raise places.wrong(scheme, "bucket", "must stand after //")
    bucket, _, path = rest.removeprefix("//").partition("/")
    return {"bucket": bucket, "path": path}


def _registered(text: str) -> VersionRef:
    try:
        return VersionRef.parse(text)
    except Invalid as error:
        raise places.wrong(HERDBOOK, "version", f"cannot be read: {error.message}") from None


def _refuse_other_places(text: str, *, scheme: str, rest: str) -> None:
    """Refuse what was meant as a folder or an address; no model's name looks like one."""
    if "/" in rest or "\\" in rest or (rest and scheme.lower() in _PARTS):
        raise _unknown(scheme)
    if text.startswith((".", "/", "~", "\\")):
        raise places.wrong("local", "scheme", "is missing")


def _unknown(scheme: str) -> Invalid:
    near = _MEANT.get(scheme.lower(), scheme.lower())
    known = ", ".join(_PARTS)
    examples = places.EXAMPLES
    return Invalid(
        f"the scheme {scheme!r:.40} is none of {known}; this works: "
        f"{examples.get(near, examples['local'])}",
        field="ref",
    )


def model_ref(text: str | ModelRef) -> ModelRef:
    """Take the place of a model as text or as a value."""
    return text if isinstance(text, ModelRef) else ModelRef.parse(text)
