"""Slots: what a staging and a switch do, what they refuse, and what they leave as it was."""

import os
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from herdbook.errors import Conflict, Corrupt, HerdbookError, Invalid, NotFound, Unavailable
from herdbook.storage.slots import Slots, Staged, copied, surveyed
from tests.disks import small


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path / "models")


def filled(version: str) -> Callable[[Path], None]:
    def fill(to: Path) -> None:
        (to / "onnx").mkdir(parents=True)
        (to / "config.json").write_text(version)
        (to / "onnx" / "model.onnx").write_text(version * 1_000)

    return fill


def staged(slots: Slots, slot: str, version: str) -> Staged:
    return slots.stage(slot, filled(version), version=version, digest=f"digest of {version}")


def served(slots: Slots) -> str:
    return (slots.folder / "current" / "config.json").read_text()


def tree(folder: Path) -> dict[str, str]:
    """Every name below a folder, and what it is; what is kept for the next staging left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".lock":
            continue
        name = path.relative_to(folder).as_posix()
        found[name] = str(path.readlink()) if path.is_symlink() else ""
        if path.is_file() and not path.is_symlink():
            found[name] = path.read_text()
    return found


# --- staging ---


def test_a_staged_slot_holds_the_files_read_only_and_is_not_served(slots: Slots) -> None:
    done = staged(slots, "green", "majora:v1")

    assert (slots.folder / "green" / "onnx" / "model.onnx").read_text() == "majora:v1" * 1_000
    assert stat.S_IMODE((slots.folder / "green" / "config.json").stat().st_mode) == 0o444
    assert stat.S_IMODE((slots.folder / "green" / "onnx").stat().st_mode) == 0o755
    assert (done.held.version, done.held.files, done.before) == ("majora:v1", 2, "")
    assert not (slots.folder / "current").exists()


def test_a_slot_is_replaced_and_what_it_held_is_removed(slots: Slots) -> None:
    staged(slots, "green", "majora:v1")

    done = staged(slots, "green", "majora:v2")

    assert done.before == "majora:v1"
    assert (slots.folder / "green" / "config.json").read_text() == "majora:v2"
    assert len([path for path in (slots.folder / ".slots").iterdir() if path.is_dir()]) == 1


def test_the_current_slot_is_never_touched(slots: Slots) -> None:
    staged(slots, "blue", "majora:v1")
    slots.switch("blue")
    before = tree(slots.folder)

    with pytest.raises(Conflict, match=r"blue is current.*stage into green"):
        staged(slots, "blue", "majora:v2")

    assert tree(slots.folder) == before


def test_a_slot_that_becomes_current_while_it_is_filled_is_not_replaced(slots: Slots) -> None:
    staged(slots, "blue", "majora:v1")

    def fill(to: Path) -> None:
        filled("majora:v2")(to)
        Slots(slots.folder).switch("blue")  # it does not wait for the filling either

    with pytest.raises(Conflict, match="blue is current"):
        slots.stage("blue", fill, version="majora:v2", digest="")

    assert served(slots) == "majora:v1"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("x")])
def test_a_filling_that_fails_leaves_everything_as_it_was(slots: Slots, error: Exception) -> None:
    staged(slots, "green", "majora:v1")
    before = tree(slots.folder)

    def fill(to: Path) -> None:
        filled("majora:v2")(to)
        raise error

    with pytest.raises((Unavailable, KeyError)):
        slots.stage("green", fill, version="majora:v2", digest="")

    assert tree(slots.folder) == before


def test_a_hard_link_into_a_store_becomes_a_file_of_its_own(slots: Slots, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_text("weights")

    def fill(to: Path) -> None:
        to.mkdir()
        (to / "model.safetensors").hardlink_to(blob)

    slots.stage("green", fill, version="majora:v1", digest="")

    inside = slots.folder / "green" / "model.safetensors"
    assert inside.read_text() == "weights"
    assert not inside.samefile(blob)
    assert blob.stat().st_nlink == 1
    assert stat.S_IMODE(blob.stat().st_mode) & 0o200


@pytest.mark.parametrize("kind", ["link", "pipe", "nothing"])
def test_a_filling_with_something_else_than_files_is_refused(slots: Slots, kind: str) -> None:
    def fill(to: Path) -> None:
        if kind == "nothing":
            return
        to.mkdir()
        if kind == "link":
            (to / "model.bin").symlink_to("/etc/hostname")
        else:
            os.mkfifo(to / "model.bin")

    with pytest.raises((Invalid, NotFound), match=r"link|no regular|nothing to stage"):
        slots.stage("green", fill, version="majora:v1", digest="")

    assert not (slots.folder / "green").is_symlink()


# --- switching and back ---


def test_a_switch_and_back(slots: Slots) -> None:
    staged(slots, "blue", "majora:v1")
    staged(slots, "green", "majora:v2")
    slots.switch("blue")

    to, back = slots.switch("green"), slots.back()

    assert (to.slot, to.was, to.version) == ("green", "blue", "majora:v2")
    assert (back.slot, back.was, back.version) == ("blue", "green", "majora:v1")
    assert served(slots) == "majora:v1"
    assert [move.slot for move in slots.status().history] == ["blue", "green", "blue"]


def test_back_twice_goes_further_back_and_not_forward_again(slots: Slots) -> None:
    for slot, version in (("a", "majora:v1"), ("b", "majora:v2"), ("c", "majora:v3")):
        staged(slots, slot, version)
        slots.switch(slot)

    found = [slots.back().slot, slots.back().slot]

    assert found == ["b", "a"]
    with pytest.raises(NotFound, match="no slot before a"):
        slots.back()
    assert served(slots) == "majora:v1"


def test_back_refuses_a_slot_that_holds_another_version_now(slots: Slots) -> None:
    staged(slots, "blue", "majora:v1")
    slots.switch("blue")
    staged(slots, "green", "majora:v2")
    slots.switch("green")
    staged(slots, "blue", "majora:v3")

    with pytest.raises(Conflict, match="held majora:v1, but it holds majora:v3 now"):
        slots.back()

    assert served(slots) == "majora:v2"


def test_back_takes_a_slot_that_was_staged_again_with_the_same_bytes(slots: Slots) -> None:
    staged(slots, "blue", "majora:v1")
    slots.switch("blue")
    staged(slots, "green", "majora:v2")
    slots.switch("green")
    staged(slots, "blue", "majora:v1")

    assert slots.back().version == "majora:v1"


def test_back_refuses_when_somebody_else_switched_meanwhile(slots: Slots) -> None:
    staged(slots, "blue", "majora:v1")
    staged(slots, "green", "majora:v2")
    slots.switch("blue")
    slots.switch("green")

    with pytest.raises(Conflict, match="is green, not blue"):
        slots.back(leaving="blue")


def test_a_switch_asked_for_twice_is_done_once(slots: Slots) -> None:
    staged(slots, "blue", "majora:v1")

    found = [slots.switch("blue").changed, slots.switch("blue").changed]

    assert found == [True, False]
    assert len(slots.status().history) == 1


def test_a_switch_to_another_staging_than_the_one_looked_at_is_refused(slots: Slots) -> None:
    looked_at = staged(slots, "green", "majora:v1").held.id
    staged(slots, "green", "majora:v2")

    with pytest.raises(Conflict, match="somebody else"):
        slots.switch("green", holding=looked_at)


def test_who_opened_a_file_keeps_it(slots: Slots) -> None:
    staged(slots, "blue", "majora:v1")
    slots.switch("blue")
    with (slots.folder / "current" / "config.json").open() as opened:
        staged(slots, "green", "majora:v2")
        slots.switch("green")
        staged(slots, "blue", "majora:v3")

        assert opened.read() == "majora:v1"


def test_a_link_laid_by_hand_is_part_of_the_history(slots: Slots) -> None:
    staged(slots, "blue", "majora:v1")
    staged(slots, "green", "majora:v2")
    slots.switch("blue")
    subprocess.run(["ln", "-sfn", "green", slots.folder / "current"], check=True)

    back = slots.back()

    assert (back.slot, back.was) == ("blue", "green")


def test_a_move_that_was_written_down_and_never_made_is_forgotten(slots: Slots) -> None:
    staged(slots, "blue", "majora:v1")
    staged(slots, "green", "majora:v2")
    slots.switch("blue")
    slots.switch("green")
    (slots.folder / "current").unlink()
    (slots.folder / "current").symlink_to("blue")
    os.utime(slots.folder / "current", (0, 0), follow_symlinks=False)

    assert [move.slot for move in slots.status().history] == ["blue"]
    with pytest.raises(NotFound):
        slots.back()


def test_many_who_stage_and_switch_at_once_leave_whole_slots(slots: Slots) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        mine, slot = Slots(slots.folder), ("blue", "green")[number % 2]
        for turn in range(5):
            try:
                staged(mine, slot, f"majora:v{number}.{turn}")
                mine.switch(slot)
            except Conflict:
                continue
            except BaseException as error:
                failed.append(error)
                raise

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert failed == []
    live = slots.status().live
    assert live is not None
    assert served(slots) == live.version


# --- bad input ---


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "green.old", ".slots", "current", "CURRENT", "-x", "a b"]
)
def test_a_name_that_is_no_slot_is_refused(slots: Slots, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        staged(slots, name, "majora:v1")

    assert refused.value.field == "slot"
    assert not slots.folder.exists()


def test_a_file_is_no_folder_of_slots(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("mine")

    for act in (
        lambda: staged(Slots(place), "green", "v1"),
        lambda: Slots(place).status(),
        lambda: Slots(place).switch("green"),
        lambda: Slots(place).stageable("green"),
    ):
        with pytest.raises(Invalid, match="is a file"):
            act()

    assert place.read_text() == "mine"


@pytest.mark.parametrize("what", ["folder", "file", "link elsewhere", "absolute link"])
def test_a_current_that_was_not_made_here_is_left_alone(slots: Slots, what: str) -> None:
    staged(slots, "blue", "majora:v1")
    current = slots.folder / "current"
    if what == "folder":
        current.mkdir()
    elif what == "file":
        current.write_text("mine")
    else:
        current.symlink_to("../elsewhere" if what == "link elsewhere" else slots.folder / "blue")
    before = tree(slots.folder)

    for act in (
        lambda: slots.switch("blue"),
        lambda: staged(slots, "green", "majora:v2"),
        slots.back,
        slots.status,
    ):
        with pytest.raises(Conflict, match="current"):
            act()

    assert tree(slots.folder) == before


@pytest.mark.parametrize("what", ["folder", "link"])
def test_something_else_that_has_the_name_of_a_slot_is_left_alone(slots: Slots, what: str) -> None:
    staged(slots, "blue", "majora:v1")
    if what == "folder":
        (slots.folder / "green").mkdir()
        (slots.folder / "green" / "mine").write_text("mine")
    else:
        (slots.folder / "green").symlink_to("elsewhere")
    before = tree(slots.folder)

    for act in (lambda: staged(slots, "green", "majora:v2"), lambda: slots.switch("green")):
        with pytest.raises(Conflict, match="not staged here"):
            act()

    assert tree(slots.folder) == before


def test_what_was_not_staged_cannot_be_switched_to(slots: Slots) -> None:
    with pytest.raises(NotFound, match="holds no slots"):
        slots.switch("green")
    staged(slots, "blue", "majora:v1")

    with pytest.raises(NotFound, match=r"nothing is staged as green.*blue"):
        slots.switch("green")


def test_a_damaged_record_is_named(slots: Slots) -> None:
    held = staged(slots, "blue", "majora:v1").held
    (slots.folder / ".slots" / held.id / "held.json").write_text("{")

    with pytest.raises(Corrupt, match=r"held\.json"):
        slots.switch("blue")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a mebibyte."""
    with small(tmp_path / "small", "512k") as folder:
        yield folder


def test_a_full_disk_leaves_what_is_served(small_disk: Path, tmp_path: Path) -> None:
    slots = Slots(small_disk)
    staged(slots, "blue", "majora:v1")
    slots.switch("blue")
    before = tree(small_disk)
    source = tmp_path / "v2"
    source.mkdir()
    (source / "model.bin").write_bytes(os.urandom(600_000))

    with pytest.raises(Unavailable, match="free some space"):
        slots.stage("green", copied(source, surveyed(source)), version="v2", digest="")

    assert tree(small_disk) == before
    (source / "model.bin").write_bytes(os.urandom(100_000))
    slots.stage("green", copied(source, surveyed(source)), version="v2", digest="")
    slots.switch("green")


def _as_nobody(folder: Path) -> str:
    """Try to stage and to switch as a user without rights; what they were told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        told = []
        try:
            os.setgid(65_534)
            os.setuid(65_534)
            for act in (
                lambda: staged(Slots(folder), "green", "majora:v2"),
                lambda: Slots(folder).switch("blue"),
            ):
                try:
                    act()
                except HerdbookError as error:
                    told.append(f"{error.code}: {error.message}")
            told.append(Slots(folder).status().current)
            os.write(writing, "\n".join(told).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as answers:
        return answers.read()


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that others reach; the tests' own lies in one that is closed to them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_who_has_no_rights_is_told_so_and_may_look(open_to_all: Path) -> None:
    folder = open_to_all / "models"
    slots = Slots(folder)
    staged(slots, "blue", "majora:v1")
    slots.switch("blue")
    before = tree(slots.folder)

    told = _as_nobody(slots.folder).splitlines()

    assert [line.split(":")[0] for line in told] == ["invalid", "invalid", "blue"]
    assert "Permission denied" in told[0]
    assert tree(slots.folder) == before


# --- copies of a folder ---


def test_a_copy_has_the_bytes_that_were_surveyed(tmp_path: Path) -> None:
    source = tmp_path / "v1"
    filled("majora:v1")(source)
    manifest = surveyed(source)

    copied(source, manifest)(tmp_path / "copy")

    assert surveyed(tmp_path / "copy").digest == manifest.digest
    assert not (tmp_path / "copy" / "config.json").samefile(source / "config.json")


def test_a_file_that_changed_since_it_was_surveyed_is_refused(slots: Slots, tmp_path: Path) -> None:
    source = tmp_path / "v1"
    filled("majora:v1")(source)
    manifest = surveyed(source)
    (source / "config.json").write_text("majora:v9")

    with pytest.raises(Invalid, match="changed while it was read"):
        slots.stage("green", copied(source, manifest), version="v1", digest=manifest.digest)

    assert not (slots.folder / "green").is_symlink()


@pytest.mark.parametrize("what", ["link", "pipe", "empty", "missing", "file"])
def test_a_folder_that_cannot_be_staged_says_why(tmp_path: Path, what: str) -> None:
    source = tmp_path / "v1"
    if what == "file":
        source.write_text("mine")
    elif what != "missing":
        source.mkdir()
    if what == "link":
        (source / "model.bin").symlink_to("/etc/hostname")
    if what == "pipe":
        os.mkfifo(source / "model.bin")

    with pytest.raises(
        (Invalid, NotFound), match=r"symbolic link|no regular|no files|there is no folder"
    ):
        surveyed(source)
