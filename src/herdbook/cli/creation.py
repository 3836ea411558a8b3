"""`herdbook artifacts create` and `herdbook artifacts download`: folders of models to load."""

from typing import TYPE_CHECKING, Final

import click

from herdbook.cli.commands import command
from herdbook.cli.output import facts, line
from herdbook.cli.session import Session

if TYPE_CHECKING:
    from herdbook.loader.finding import Found

SETUP: Final = "setup"


@command(
    "create",
    examples=(
        "artifacts create --from hf:deepset/gbert-base --version v1",
        "artifacts create --from herdbook:majora@champion --version v2 --to /srv/artifacts",
    ),
)
@click.option("--from", "source", metavar="REF", help="What to make it of; else ML_MODEL_REF.")
@click.option("--version", required=True, metavar="NAME", help="What to call it: v1, v1.1.")
@click.option("--to", default="artifacts", show_default=True, metavar="FOLDER", help="Where.")
@click.option("--labels", metavar="FILE", help="Labels of a classifier, a line each.")
@click.pass_obj
def create(session: Session, source: str | None, version: str, to: str, labels: str | None) -> None:
    """Make a folder of a model that needs nothing but itself.

    The folder model-NAME holds the files and artifact_metadata.json, which says where they came
    from and what the SHA-256 of each is: loading the folder, or a copy of it, compares them.
    """
    from pathlib import Path

    from herdbook.loader import create_model_artifact, find
    from herdbook.loader.information import read_labels

    settings = session.settings()
    named = read_labels(Path(labels)) if labels else []
    folder = create_model_artifact(source, version, to=to, labels=named, settings=settings)
    _answer(session, find(f"local:{folder}", settings=settings))


@command(
    "download",
    examples=("artifacts download hf:deepset/gbert-base@main", "artifacts download setup"),
)
@click.argument("ref", metavar="[setup|REF]", default=SETUP)
@click.pass_obj
def download(session: Session, ref: str) -> None:
    """Fetch a model into the cache, verify it, and say where it is.

    With setup, or nothing, the one that ML_MODEL_REF names: what an init container does.
    """
    from herdbook.loader import find

    _answer(session, find(None if ref == SETUP else ref, settings=session.settings()))


def _answer(session: Session, found: "Found") -> None:
    value = {
        "model_ref": str(found.ref),
        "folder": str(found.folder),
        "revision": found.revision,
        "verified": found.verified,
        "files": len(found.files),
        "size_bytes": found.size,
        "left_out": list(found.left_out),
    }
    session.answer(value, ids=[str(found.folder)], text=lambda: _shown(found))


def _shown(found: "Found") -> str:
    pairs = [
        ("reference", str(found.ref)),
        ("revision", found.revision),
        ("files", f"{len(found.files):,}, {found.size:,} bytes"),
        ("verified", "yes" if found.verified else "no: nothing says what they should be"),
        ("left out", ", ".join(found.left_out)),
    ]
    return "\n".join([line(str(found.folder)), *facts(pairs)])
