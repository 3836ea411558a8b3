"""`herdbook artifacts …`: the bytes of versions."""

import importlib
from pathlib import Path
from typing import Any, Final

import click

from herdbook.cli import parameters as take
from herdbook.cli import pushing, signatures
from herdbook.cli.cache import count_text, size_text
from herdbook.cli.commands import Group
from herdbook.cli.output import Table, line
from herdbook.cli.progress import progress
from herdbook.cli.session import DRY, Session
from herdbook.core.models import Version
from herdbook.errors import AlreadyExists, Invalid, NotFound

# Commands that live in modules of their own, imported when they are used.
_LATER: Final = {
    "back": "staging:back",
    "cache": "cache:cache",
    "create": "creation:create",
    "diff": "contents:diff",
    "download": "creation:download",
    "show": "contents:show",
    "slots": "staging:slots_",
    "stage": "staging:stage",
    "switch": "staging:switch",
}


class _Nouns(Group):
    """A group some of whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names, by the alphabet."""
        return sorted({*super().list_commands(ctx), *_LATER})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Give a command, imported if it has to be."""
        if cmd_name not in _LATER:
            return super().get_command(ctx, cmd_name)
        module, _, name = _LATER[cmd_name].partition(":")
        found: click.Command = getattr(importlib.import_module(f"herdbook.cli.{module}"), name)
        return found


@click.group(
    "artifacts",
    cls=_Nouns,
    no_args_is_help=True,
    examples=(
        "artifacts push majora out/majora",
        "artifacts pull majora@champion --to /srv/majora",
        "artifacts verify --read-data",
    ),
)
def artifacts() -> None:
    """Push, pull, look into and keep the bytes of versions."""


MEND: Final = "To mend it: repeat with --remove, then push the same files again."
MEND_AFTER: Final = "Damaged bytes were taken out; push the same files again."
_TO: Final = click.Path(path_type=Path)


@artifacts.command(
    "push",
    examples=(
        "artifacts push majora out/majora",
        "artifacts push majora:v2 out/majora --parent majora:v1 --accuracy 0.87",
        "artifacts push majora out/majora --sign-key key.pem",
    ),
)
@click.argument("model", type=take.MODEL, metavar="MODEL[:VERSION]")
@click.argument("path", type=_TO, metavar="FOLDER")
@pushing.version_options
@click.pass_obj
def push(session: Session, /, model: str, path: Path, *, dry_run: bool, **given: Any) -> None:
    """Store the files of FOLDER and register them as a version.

    What the store has already is not sent again; interrupted, repeat the command.
    """
    name, colon, version = model.removeprefix("herdbook:").partition(":")
    if colon and not version:
        raise Invalid(f"{model!r} names no version: leave the colon out, or write {name}:v2")
    how, said = pushing.taken_version(given)
    if dry_run:
        plan = pushing.planned(session, path, how["roles"])
        session.answer(plan, ids=[plan.manifest], text=lambda: pushing.told(plan))
        session.note(DRY)
        return
    with session.book() as book:
        done = pushing.push(session, book, name, version, path=path, how=how, facts=said)
    assert isinstance(done.version, Version)  # noqa: S101 - it was no dry run
    ref = done.version.ref
    session.answer(done, ids=[ref], text=lambda: f"{ref} is registered. {pushing.told(done)}")


@artifacts.command(
    "pull",
    examples=(
        "artifacts pull majora@champion",
        "artifacts pull majora:v2 --to /srv/majora --public-key key.pub",
    ),
)
@take.ref_argument()
@click.option("--to", type=_TO, help="A folder to make; left out, one in the cache.")
@click.option("--copy", is_flag=True, help="Make copies where files could be linked.")
@signatures.trust_options
@click.pass_obj
def pull(session: Session, /, ref: str, to: Path | None, *, copy: bool, **given: Any) -> None:
    """Give a folder with exactly the files of REF, verified and read-only."""
    trust = signatures.taken_trust(given)
    if copy and to is None:
        raise Invalid("--copy goes with --to: what is in the cache is shared", field="copy")
    with session.book() as book:
        total = book.artifacts.known_size(ref)
        with progress(session, f"Pulling {line(ref)}", total) as said:
            done = book.artifacts.pulled(
                ref, to, link=False if copy else None, trust=trust, said=said
            )
    value = {
        "ref": ref,
        "path": str(done.path),
        "manifest": done.manifest,
        "size": done.size,
        "how": done.how,
    }
    session.answer(value, ids=[str(done.path)], text=lambda: str(done.path))
    ways = ", ".join(f"{count:,} {way}" for way, count in sorted(done.how.items()))
    session.note(f"{size_text(done.size)}, verified: {ways}.")


@artifacts.command("list", examples=("artifacts list", "artifacts list majora --json"))
@take.model_argument(required=False)
@take.page_options
@click.pass_obj
def list_(session: Session, model: str | None, page_size: int, page: str | None) -> None:
    """List versions that have bytes, newest first."""
    with session.book() as book:
        found = book.versions.list(
            "manifest IS NOT NULL", model=model or "", page_size=page_size, page=page
        )
        held = found.items
        sizes = {version.ref: book.artifacts.files(version.ref) for version in held}
    rows = [
        [
            version.ref,
            ", ".join(version.aliases),
            str(len(sizes[version.ref].files)),
            size_text(sizes[version.ref].size),
            version.facts.manifest[7:19],
            "yes" if sizes[version.ref].signed_by else "-",
            session.when(version.created_at),
        ]
        for version in held
    ]
    titles = ("version", "aliases", ">files", ">size", "manifest", "signed", "registered")
    empty = "No version here has bytes. Push some: herdbook artifacts push MODEL FOLDER"
    value = {"items": [sizes[version.ref] for version in held], "next": found.next}
    session.answer(value, ids=[v.ref for v in held], text=lambda: Table(titles, rows, empty=empty))
    if found.next and not session.as_json:
        session.note(f"There is more: repeat the command with --page {found.next}")


@artifacts.command(
    "sign",
    examples=(
        "artifacts sign majora:v2 --key key.pem",
        "artifacts sign majora:v2 --signature model.sig",
    ),
)
@take.ref_argument()
@signatures.sign_options("")
@signatures.signature_option
@click.pass_obj
def sign(session: Session, /, ref: str, **given: Any) -> None:
    """Sign the files of REF; the private key stays here."""
    makers = [one for one in (signatures.taken_sign(given), signatures.taken_kept(given)) if one]
    if len(makers) != 1:
        raise Invalid(
            "give the key to sign with: --key key.pem, or a --signature, one of them", field="key"
        )
    with session.book() as book:
        found = book.artifacts.files(ref)
        signed = book.artifacts.sign(found.ref, makers[0](found.whole()))
    session.answer(
        signed, ids=[signed.ref], text=lambda: f"{signed.ref} is signed: {signed.manifest}"
    )


@artifacts.command("signature", examples=("artifacts signature majora:v2 --to model.sig",))
@take.ref_argument()
@click.option("--to", type=_TO, help="A file to write; left out, standard output.")
@click.pass_obj
def signature(session: Session, ref: str, to: Path | None) -> None:
    """Give the newest signature of REF, as the upstream tool reads it."""
    with session.book() as book:
        found = book.artifacts.signatures(ref).signatures
    if not found:
        raise NotFound(
            f"{ref} is not signed; sign it with `herdbook artifacts sign {ref} --key KEY`",
            field="ref",
        )
    if to is None:
        click.echo(found[-1].text)
        return
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(found[-1].text)
    except FileExistsError:
        raise AlreadyExists(
            f"{to} is there already; nothing was written over it", field="to"
        ) from None
    session.note(f"Written to {to}")


def _percent(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        found = float(text.removesuffix("%"))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no percentage; write 5%", context, parameter) from (
            None
        )
    if not 0 < found <= 100:
        raise click.BadParameter(f"{text} is not above 0 and up to 100 %", context, parameter)
    return found


@artifacts.command(
    "verify",
    examples=(
        "artifacts verify",
        "artifacts verify --read-data=5%",
        "artifacts verify majora:v2 --read-data --public-key key.pub",
    ),
)
@click.argument("ref", type=take.MODEL, metavar="[REF]", default="")
@click.option(
    "--read-data",
    is_flag=False,
    flag_value="100%",
    metavar="[=PERCENT]",
    callback=_percent,
    help="Read the bytes too, all of them or a sample such as =5%.",
)
@click.option(
    "--remove", is_flag=True, help="Take damaged bytes out: a push of the files stores them anew."
)
@signatures.trust_options
@click.pass_obj
def verify(
    session: Session, /, ref: str, read_data: float | None, *, remove: bool, **given: Any
) -> None:
    """Look whether the store has what the register says, of REF or of everything.

    It names the versions that what is damaged belongs to, and ends with status 1.
    """
    trust = signatures.taken_trust(given)
    if trust is not None and not ref:
        raise Invalid("name the version whose signature to check", field="ref")
    with session.book() as book:
        if trust is not None:
            files = book.artifacts.files(ref)
            ref = files.ref  # an alias may move before the bytes are looked at
            trust(files.whole(), book.artifacts.signatures(ref).signatures)
        found = book.artifacts.verify(ref, read_percent=read_data or 0.0, remove=remove)
    blobs, manifests = count_text(found.blobs, "blob"), count_text(found.manifests, "manifest")
    good = f"{blobs} and {manifests} are there"
    read = f", {size_text(found.read)} of {size_text(found.size)} read" if found.read else ""
    signed = ", and the signature is good" if trust is not None else ""
    titles = ("what", "problem", "versions")
    rows = [[each.digest, each.problem, ", ".join(each.versions)] for each in found.damage]
    session.answer(
        found,
        ids=[each.digest for each in found.damage],
        text=lambda: Table(titles, rows) if rows else f"{good}{read}{signed}.",
    )
    if found.damaged:
        session.note(f"{found.damaged:,} of {found.blobs + found.manifests:,} are damaged.")
        session.note(MEND_AFTER if remove else MEND)
        raise click.exceptions.Exit(1)


@artifacts.command("gc", examples=("artifacts gc --dry-run", "artifacts gc --grace-hours 48 --yes"))
@click.option(
    "--grace-hours",
    type=float,
    default=24.0,
    show_default=True,
    help="What is younger stays: its version may be on the way.",
)
@take.yes_option
@take.dry_run_option
@click.pass_obj
def gc(session: Session, grace_hours: float, *, yes: bool, dry_run: bool) -> None:
    """Remove bytes that no version holds and nobody is about to need."""
    with session.book() as book:
        planned = book.artifacts.collect(grace_hours=grace_hours, dry_run=True)
        if not dry_run and planned.blobs:
            what = f"{count_text(planned.blobs, 'blob')}, {size_text(planned.size)}"
            session.confirm(f"Remove {what} that no version holds?", yes=yes)
        found = planned if dry_run else book.artifacts.collect(grace_hours=grace_hours)
    would = "would be removed" if dry_run else "removed"
    drafts = f", {count_text(found.drafts, 'unfinished file')} too" if found.drafts else ""
    told = f"{count_text(found.blobs, 'blob')}, {size_text(found.size)} {would}{drafts}."
    session.answer(found, ids=found.digests, text=lambda: told)
    if found.awaited:
        held = f"{count_text(found.awaited, 'blob')}, {size_text(found.awaited_size)}"
        session.note(f"{held} more were sent within a day for versions that did not come yet.")


@artifacts.command("export", examples=("artifacts export majora@champion gnn:v3 --to models.tar",))
@click.argument("refs", type=take.MODEL, metavar="REF...", nargs=-1, required=True)
@click.option("--to", type=_TO, required=True, help="The archive to write.")
@click.pass_obj
def export(session: Session, refs: tuple[str, ...], to: Path) -> None:
    """Write versions with their bytes into one archive, for a machine without a network.

    The archive is an OCI image layout.
    """
    with session.book() as book:
        total = sum(book.artifacts.files(ref).size for ref in refs)
        with progress(session, f"Writing {to.name}", total) as said:
            done = book.artifacts.export(refs, to, said=said)
    value = {
        "path": str(done.path),
        "size": done.size,
        "versions": done.versions,
        "blobs": done.blobs,
    }
    held = f"{count_text(done.versions, 'version')}, {size_text(done.size)}"
    session.answer(value, ids=[str(done.path)], text=lambda: f"{done.path}: {held}.")


@artifacts.command("import", examples=("artifacts import models.tar",))
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def import_(session: Session, path: Path) -> None:
    """Register the versions of an archive, each byte verified."""
    with (
        session.book() as book,
        progress(session, f"Reading {path.name}", path.stat().st_size) as said,
    ):
        done = book.artifacts.load(path, said=said)
    told = [f"{each.ref} {'is registered' if each.new else 'was here already'}." for each in done]
    session.answer({"items": done}, ids=[each.ref for each in done], text=lambda: "\n".join(told))
    for note in (note for each in done for note in each.notes):
        session.note(note)
