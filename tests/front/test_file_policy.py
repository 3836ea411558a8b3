"""The file policy of a model: who decides, on what, and that nobody gets around it."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import onnx
import pytest

from herdbook.core.artifacts import Artifact
from herdbook.core.models import FilePolicy, Version
from herdbook.errors import Immutable, Invalid, Refused
from herdbook.formats import Bytes, look
from herdbook.formats.opinions import asked, opinion
from herdbook.front.book import Herdbook
from herdbook.services import inspection, versions
from herdbook.services.examination import NOT_LOOKED, Examiner, risks
from herdbook.services.policies import judged
from herdbook.services.versions import Draft
from tests.formats.samples import header, onnx_model, torch_file
from tests.front.samples import classifier, connected, opened, weights


class Attack:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("true",)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with a pickle in it that is called something else, and code."""
    made = classifier(tmp_path / "m", weights(), ["spam"])
    (made / "optimizer.safetensors").write_bytes(pickle.dumps(Attack()))
    (made / "modeling.py").write_text("import os")
    return made


def draft_of(book: Herdbook, folder: Path) -> Draft:
    """What a door is asked to register, its bytes sent."""
    paths = sorted(path for path in folder.iterdir())
    stored = list(book._door.send(paths))
    files = tuple(
        Artifact(path=path.name, size=each.size, digest=each.digest, role="weights")
        for path, each in zip(paths, stored, strict=True)
    )
    return Draft(artifacts=files)


# --- what each policy does ---


def test_without_a_policy_what_can_execute_is_warned_of_and_the_version_shows_it(
    book: Herdbook, folder: Path
) -> None:
    pushed = book.artifacts.push("majora", path=folder)

    assert pushed.version is not None
    told = " ".join(pushed.warnings)
    assert "optimizer.safetensors: a pickle begins at byte 0 and imports posix.system" in told
    assert "modeling.py: it is Python code" in told
    assert len(pushed.warnings) == 2
    assert book.versions.get(pushed.version.ref).warnings == pushed.warnings
    (event,) = [e for e in book.events.list(model="majora").items if e.number]
    assert event.body["warnings"] == list(pushed.warnings)
    assert book.models.get("majora").file_policy is None


def test_refuse_names_every_file_why_and_what_mends_it(book: Herdbook, folder: Path) -> None:
    book.models.create("oracle", file_policy="refuse")

    with pytest.raises(Refused) as refused:
        book.artifacts.push("oracle", path=folder)

    message = str(refused.value)
    assert "optimizer.safetensors (a pickle begins at byte 0" in message
    assert "modeling.py (it is Python code" in message
    assert "safetensors" in message
    assert "herdbook models update oracle --file-policy warn" in message
    listed: Any = refused.value.details["files"]
    assert [file["path"] for file in listed] == ["modeling.py", "optimizer.safetensors"]
    assert not book.versions.list(model="oracle").items


def test_refuse_takes_what_cannot_execute(book: Herdbook, tmp_path: Path) -> None:
    book.models.create("gnn", file_policy="refuse")
    plain = classifier(tmp_path / "m", weights(), ["spam"])
    (plain / "chat_template.jinja").write_text("{%- if messages %}{{ messages }}{% endif %}")
    (plain / "examples.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    (plain / "README.md").write_text("[![badge](x)](y)\n# gnn")

    pushed = book.artifacts.push("gnn", path=plain)

    assert pushed.warnings == ()


def test_allow_is_silent(book: Herdbook, folder: Path) -> None:
    book.models.create("m-allow", file_policy="allow")

    pushed = book.artifacts.push("m-allow", path=folder)

    assert pushed.version is not None
    assert (pushed.warnings, pushed.version.warnings) == ((), ())


@pytest.mark.parametrize(
    ("name", "reason"),
    [("model.onnx", "the path has the part .."), ("model.safetensors", "its header lies")],
)
def test_what_leads_outside_and_headers_that_lie_are_decided_about_too(
    book: Herdbook, tmp_path: Path, name: str, reason: str
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    if name == "model.onnx":
        onnx.save(onnx_model(location="../../secrets"), bad / name)
    else:
        (bad / name).write_bytes(header({"w": {"dtype": "F32"}}, bytes(8)))
    strict, lax = f"strict/{name}", f"lax/{name}"
    book.models.create(strict, file_policy="refuse")

    with pytest.raises(Refused, match=reason):
        book.artifacts.push(strict, path=bad)
    (warning,) = book.artifacts.push(lax, path=bad).warnings

    assert reason in warning


def test_a_revision_is_held_to_the_policy_too(book: Herdbook, folder: Path) -> None:
    book.models.create("m-revised", file_policy="refuse")
    book.models.register("m-revised", "v1", status="draft")
    draft = replace(draft_of(book, folder), git_commit="")

    with pytest.raises(Refused, match=r"modeling\.py"):
        book._door.call(Version, "versions.revise", ref="m-revised:v1", draft=draft)
    book.models.update("m-revised", file_policy="warn")
    revised = book._door.call(Version, "versions.revise", ref="m-revised:v1", draft=draft)

    assert len(revised.warnings) == 2


# --- who sets it ---


def test_a_policy_is_set_and_told_of(book: Herdbook) -> None:
    book.models.create("m-set")

    changed = book.models.update("m-set", file_policy="refuse")

    assert changed.file_policy is FilePolicy.REFUSE
    assert book.models.get("m-set").file_policy is FilePolicy.REFUSE
    event = book.events.list(model="m-set").items[-1]
    assert event.body["is"] == {"file_policy": "refuse"}


def test_no_other_word_is_a_policy_and_no_version_has_one(book: Herdbook) -> None:
    book.models.register("m-word", "v1")

    with pytest.raises(Invalid, match="refuse, warn, allow"):
        book.models.update("m-word", file_policy="never")
    with pytest.raises(Immutable, match="file policy"):
        book.versions.update("m-word:v1", file_policy="allow")


# --- nobody gets around it ---


def test_a_client_that_lies_about_its_files_is_not_believed(server: str, folder: Path) -> None:
    with connected(server) as book:
        book.models.create("m-liar", file_policy="refuse")
        files = draft_of(book, folder).artifacts
    body: dict[str, Any] = {
        "model_name": "m-liar",
        "artifacts": [
            {"path": f.path, "size": f.size, "digest": f.digest, "role": f.role} for f in files
        ],
    }

    honest = httpx2.post(f"{server}/models/register", json=body)
    lying = httpx2.post(f"{server}/models/register", json=body | {"risks": []})
    warned = httpx2.post(f"{server}/models/register", json=body | {"warnings": []})

    assert (honest.status_code, honest.json()["code"]) == (409, "refused")
    assert (lying.status_code, warned.status_code) == (422, 422)
    assert httpx2.get(f"{server}/models/m-liar/versions").json()["items"] == []


def test_what_a_draft_says_of_its_own_files_counts_for_nothing(home: Path, folder: Path) -> None:
    with opened(home) as (_, book):
        book.models.create("majora", file_policy="refuse")
        lie = replace(draft_of(book, folder), risks=())

        with pytest.raises(Refused, match=r"modeling\.py"):
            book._door.call(Version, "versions.register", model="majora", draft=lie)


def test_files_that_no_door_looked_into_are_not_welcome(home: Path, folder: Path) -> None:
    with opened(home) as (door, book):
        book.models.create("majora", file_policy="refuse")
        unseen = draft_of(book, folder)

        with pytest.raises(Refused, match="nobody looked"):
            door.write(lambda work: versions.register(work, "majora", draft=unseen))


def test_a_policy_that_is_set_while_files_are_looked_into_holds(home: Path, folder: Path) -> None:
    with opened(home) as (door, book):
        book.models.create("majora", file_policy="allow")
        looked = inspection.checked(door.store, draft_of(book, folder))
        book.models.update("majora", file_policy="refuse")

        with pytest.raises(Refused):
            door.write(lambda work: versions.register(work, "majora", draft=looked))


def test_a_policy_that_is_read_beforehand_would_not(home: Path, folder: Path) -> None:
    """The negative control: what the test above would find."""
    with opened(home) as (door, book):
        model = book.models.create("majora", file_policy="allow")
        looked = inspection.checked(door.store, draft_of(book, folder))
        assert judged(model, looked.risks) == ()
        book.models.update("majora", file_policy="refuse")

        naive = replace(looked, risks=())
        door.write(lambda work: versions.register(work, "majora", draft=naive))

        assert book.versions.get("majora:v1").facts.manifest


def test_what_is_too_much_to_look_into_is_not_cleared_and_looked_into_the_next_time(
    home: Path, tmp_path: Path
) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for at in range(6):
        (many / f"{at}.txt").write_text(f"{at} " * 500)
    with opened(home) as (door, book):
        files = draft_of(book, many).artifacts

        left = [risks(Examiner(door.store, limit_bytes=1_500).look(files)) for _ in range(7)]

    assert 0 < len(left[0]) < 6
    assert {risk.reasons for risk in left[0]} == {(NOT_LOOKED,)}
    assert left[-1] == ()


# --- the second opinion ---


def test_picklescan_adds_its_reason() -> None:
    pytest.importorskip("picklescan")
    attack = Bytes(pickle.dumps(Attack()))

    assert asked().startswith("picklescan ")
    assert opinion(attack, look(attack)) == ("picklescan holds posix.system to be dangerous",)


def test_picklescan_clears_nothing(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("picklescan")
    plain = Bytes(torch_file())
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.pt").write_bytes(plain.data)

    with opened(home) as (_, book):
        book.models.create("majora", file_policy="refuse")
        with pytest.raises(Refused, match=r"model\.pt"):
            book.artifacts.push("majora", path=tmp_path / "m")

    assert opinion(plain, look(plain)) == ()


def test_picklescan_looks_into_the_pickles_of_an_archive() -> None:
    pytest.importorskip("picklescan")
    archive = Bytes(torch_file(**{"majora/more.pkl": pickle.dumps(Attack())}))

    assert opinion(archive, look(archive)) == ("picklescan holds posix.system to be dangerous",)


def test_picklescan_is_asked_for_so_long_and_no_longer() -> None:
    pytest.importorskip("picklescan")
    endless = Bytes(b"\x80\x04" + b"N0" * 2_000_000 + b".")

    assert opinion(endless, look(endless)) == ()


def test_without_picklescan_the_first_opinion_stands(folder: Path) -> None:
    program = (
        "import sys; sys.modules['picklescan'] = None\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'picklescan' else real(n, *a)\n"
        "import herdbook\n"
        "with herdbook.connect() as book:\n"
        f"    print(book.artifacts.push('majora', path={str(folder)!r}).warnings)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "posix.system" in done.stdout
    assert "picklescan" not in done.stdout
