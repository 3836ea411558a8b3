"""Folders to be pushed: what is pushed is what was read, or it is refused by name."""

import os
import socket
import stat
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import herdbook
from herdbook.core.artifacts import FILES_LIMIT, digest_of
from herdbook.errors import HerdbookError, Invalid, NotFound
from herdbook.front.folders import found_in, hashed
from herdbook.settings import Settings
from tests.running import served

NFD = unicodedata.normalize("NFD", "straße-ä.txt")


@pytest.fixture
def book(tmp_path: Path) -> Iterator[herdbook.Herdbook]:
    """An empty register in a folder of its own."""
    settings = Settings(home=tmp_path / "home", cache=tmp_path / "home/cache", actor="pusher")
    with herdbook.connect(settings=settings) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model."""
    found = tmp_path / "model"
    (found / "onnx").mkdir(parents=True)
    (found / "model.safetensors").write_bytes(b"weights")
    (found / "onnx" / "labels.json").write_text("{}")
    return found


def push(book: herdbook.Herdbook, folder: Path) -> tuple[str, ...]:
    """Push a folder and give the paths of what was pushed."""
    done = book.artifacts.push("gnn", path=folder, git_commit="")
    assert done.version is not None
    return tuple(file.path for file in book.artifacts.files(done.version.ref).files)


def refused(book: herdbook.Herdbook, folder: Path, *, match: str) -> HerdbookError:
    """Push a folder, see it refused by name, before anything was stored."""
    with pytest.raises(Invalid, match=match) as pushed:
        push(book, folder)
    with pytest.raises(Invalid, match=match):
        book.artifacts.plan(folder)
    assert book.models.list().items == ()
    store = folder.parent / "home" / "blobs" / "sha256"
    assert [path for path in store.rglob("*") if path.is_file()] == []
    str(pushed.value).encode()  # it can be printed
    return pushed.value


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def make_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root may make a device")


KINDS: dict[str, Callable[[Path], None]] = {
    "a link": make_link,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to its folder": lambda path: path.symlink_to(".."),
    "a link to a file beside it": lambda path: path.symlink_to("labels.json"),
    "a pipe": lambda path: os.mkfifo(path),
    "a socket": make_socket,
    "a device": make_device,
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_refused_by_name(
    book: herdbook.Herdbook, folder: Path, kind: str
) -> None:
    KINDS[kind](folder / "onnx" / "odd")

    error = refused(book, folder, match="odd")

    assert "leave it out" in error.message


@pytest.mark.parametrize(
    "name",
    [
        "a\nb",
        "a\\b",
        "a.",
        "a ",
        " a",
        "a\x1b[2J",
        "con",
        "NUL.txt",
        "a:b",
        "a\u202eb",
        "a?",
        "\udcff",
    ],
    ids=ascii,
)
def test_a_name_another_system_reads_otherwise_is_refused(
    book: herdbook.Herdbook, folder: Path, name: str
) -> None:
    (folder / "onnx" / name).write_bytes(b"x")

    refused(book, folder, match="cannot be the path of a file")


@pytest.mark.parametrize(
    "names", [("a", "A"), ("x/a", "X/b"), (NFD, unicodedata.normalize("NFC", NFD))]
)
def test_names_a_disk_could_confuse_are_refused(
    book: herdbook.Herdbook, folder: Path, names: tuple[str, str]
) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")

    refused(book, folder, match="there twice|case")


def test_a_name_is_written_one_way_whoever_wrote_the_folder(
    book: herdbook.Herdbook, folder: Path
) -> None:
    (folder / NFD).write_bytes(b"x")

    assert unicodedata.normalize("NFC", NFD) in push(book, folder)


def test_what_tools_leave_is_left_out(book: herdbook.Herdbook, folder: Path) -> None:
    for name in (".git", "onnx/.git", "__pycache__", ".cache", ".ipynb_checkpoints"):
        (folder / name).mkdir()
        (folder / name / "config").write_text("token")
        (folder / name / "odd").symlink_to("/etc/passwd")
    (folder / ".DS_Store").write_text("x")
    (folder / ".gitattributes").write_text("mine")

    assert push(book, folder) == (".gitattributes", "model.safetensors", "onnx/labels.json")


def test_a_single_file_is_a_version(book: herdbook.Herdbook, folder: Path) -> None:
    link = folder.parent / "champion.safetensors"
    link.symlink_to(folder / "model.safetensors")

    assert push(book, folder / "model.safetensors") == ("model.safetensors",)
    assert push(book, link) == ("champion.safetensors",)


def test_empty_files_are_kept_and_empty_folders_are_not(
    book: herdbook.Herdbook, folder: Path, tmp_path: Path
) -> None:
    (folder / "empty.txt").touch()
    (folder / "__init__.py").touch()
    (folder / "nothing").mkdir()

    push(book, folder)

    pulled = book.artifacts.pull("gnn:v1", tmp_path / "out")
    assert (pulled / "empty.txt").read_bytes() == (pulled / "__init__.py").read_bytes() == b""
    assert not (pulled / "nothing").exists()


def test_an_empty_folder_and_none_at_all_are_refused(
    book: herdbook.Herdbook, tmp_path: Path
) -> None:
    (tmp_path / "empty" / "inner").mkdir(parents=True)

    refused(book, tmp_path / "empty", match="there is no file")
    for path in (tmp_path / "nowhere", tmp_path / "empty" / "x" / "y", tmp_path / ("x" * 300)):
        with pytest.raises(NotFound):
            push(book, path)
    with pytest.raises(Invalid, match="neither"):
        push(book, Path("/dev/null"))


def test_a_folder_that_is_too_deep_or_too_full_is_refused(folder: Path) -> None:
    (folder / "/".join(["d"] * 70)).mkdir(parents=True)
    with pytest.raises(Invalid, match="folders deep"):
        found_in(folder)
    many = folder / "many"
    many.mkdir()
    (many / "0").touch()
    for number in range(1, FILES_LIMIT + 1):
        os.link(many / "0", many / f"{number}")
    with pytest.raises(Invalid, match="over 10,000 files"):
        found_in(many)


def test_what_may_not_be_read_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").chmod(0)
    (folder / "onnx").chmod(0)
    for path in (tmp_path, *tmp_path.parents):
        if path != Path("/tmp") and path != Path("/"):  # noqa: S108 - those are everyone's
            path.chmod(path.stat().st_mode | 0o055)

    with nobody(), pytest.raises(Invalid, match=r"onnx.*cannot be read"):
        found_in(folder)
    with nobody(), pytest.raises(Invalid, match=r"model\.safetensors cannot be read"):
        hashed(folder / "model.safetensors")
    (folder / "onnx").chmod(0o755)


@contextmanager
def nobody() -> Iterator[None]:
    """Be somebody whose rights count, where the tests run as root."""
    before = os.geteuid()
    if before:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(before)


# --- what changes meanwhile ---


@contextmanager
def busy(change: Callable[[], None]) -> Iterator[None]:
    """Change something again and again meanwhile."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.0005):
            change()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x" * 100)


def shrink(path: Path) -> None:
    os.truncate(path, max(1, path.stat().st_size - 100))


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(16))


def replace(path: Path) -> None:
    beside = path.with_suffix(".draft")
    beside.write_bytes(os.urandom(4_000_000))
    beside.replace(path)


def swap(path: Path) -> None:
    """Now it is a file, now a link that leads elsewhere."""
    link = path.with_suffix(".link")
    link.unlink(missing_ok=True)
    link.symlink_to("/etc/passwd")
    link.replace(path)
    beside = path.with_suffix(".draft")
    beside.write_bytes(b"x" * 4_000_000)
    beside.replace(path)


CHANGES = {"grows": grow, "shrinks": shrink, "is written": rewrite, "is replaced": replace}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server."""
    home = tmp_path_factory.mktemp("served")
    with served(f"sqlite:///{home}/herdbook.db", HERDBOOK_HOME=str(home)) as found:
        yield found


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("over_http", [False, True], ids=["here", "over HTTP"])
def test_a_file_that_changes_while_it_is_read_is_refused_or_pushed_as_it_was_read(
    address: str, tmp_path: Path, change: str, *, over_http: bool
) -> None:
    home, folder = tmp_path / "home", tmp_path / "model"
    folder.mkdir()
    settings = Settings(home=home, url=address if over_http else "", cache=home / "cache")
    (folder / "model.bin").write_bytes(b"x" * 4_000_000)
    outcomes = []
    with herdbook.connect(settings=settings) as book:
        for _ in range(4):
            with busy(lambda: CHANGES[change](folder / "model.bin")):
                outcomes.append(tried(book, folder, tmp_path))

    assert outcomes
    assert all(outcome in {"whole", "refused"} for outcome in outcomes)


def tried(book: herdbook.Herdbook, folder: Path, scratch: Path) -> str:
    """Push one file; what the version says of it is what can be pulled."""
    try:
        done = book.artifacts.push(f"gnn-{os.urandom(4).hex()}", path=folder / "model.bin")
    except Invalid as error:
        return "refused" if "changed while it was read" in error.message else error.message
    assert done.version is not None
    (file,) = book.artifacts.files(done.version.ref).files
    pulled = book.artifacts.pull(done.version.ref, scratch / f"out-{os.urandom(4).hex()}")
    data = (pulled / "model.bin").read_bytes()
    return "whole" if (digest_of(data), len(data)) == (file.digest, file.size) else "torn"


@pytest.mark.parametrize("over_http", [False, True], ids=["here", "over HTTP"])
def test_a_file_that_becomes_a_link_is_never_followed(
    address: str, tmp_path: Path, *, over_http: bool
) -> None:
    home, folder = tmp_path / "home", tmp_path / "model"
    folder.mkdir()
    settings = Settings(home=home, url=address if over_http else "", cache=home / "cache")
    path, secret = folder / "model.bin", digest_of(Path("/etc/passwd").read_bytes())
    path.write_bytes(b"x" * 4_000_000)
    (found,) = found_in(folder)
    path.unlink()
    path.symlink_to("/etc/passwd")

    with herdbook.connect(settings=settings) as book:
        with pytest.raises(Invalid, match=r"model\.bin"):
            list(book.artifacts._door.send([found.place]))
        with busy(lambda: swap(path)):
            for _ in range(10):
                try:
                    stored = list(book.artifacts._door.send([found.place]))
                except HerdbookError:
                    continue
                assert stored[0].digest != secret


def test_a_pipe_put_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"x")
    (found,) = found_in(tmp_path)
    path.unlink()
    os.mkfifo(path)

    with pytest.raises(Invalid, match="no regular file"):
        hashed(found.place)


def test_a_file_that_goes_away_is_told_by_name(book: herdbook.Herdbook, folder: Path) -> None:
    found = found_in(folder)
    (folder / "model.safetensors").unlink()

    with pytest.raises(NotFound, match=r"model\.safetensors"):
        list(book.artifacts._door.send([each.place for each in found]))
    with pytest.raises(NotFound, match=r"model\.safetensors"):
        hashed(folder / "model.safetensors")
