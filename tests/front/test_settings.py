"""Where settings come from, and what is refused."""

from pathlib import Path

import pytest

import herdbook
from herdbook.errors import Invalid
from herdbook.settings import Settings


def test_an_argument_beats_the_environment_which_beats_the_project_file(tmp_path: Path) -> None:
    (tmp_path / "herdbook.toml").write_text(
        'url = "sqlite:///project.db"\nactor = "team"\ntimeout_seconds = 5\n'
    )
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    environ = {"HERDBOOK_URL": "sqlite:///environ.db", "HERDBOOK_ACTOR": "me"}

    settings = Settings.load(environ=environ, folder=inner, url="sqlite:///given.db")

    assert settings.url == "sqlite:///given.db"
    assert (settings.actor, settings.timeout_seconds) == ("me", 5.0)


def test_without_anything_the_register_is_in_the_home_folder(home: Path) -> None:
    settings = Settings.load(environ={"HERDBOOK_HOME": str(home)}, folder=home.parent)

    assert settings.database_url == f"sqlite:///{home}/herdbook.db"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"HERDBOOK_TIMEOUT_SECONDS": "soon"}, "must be a number"),
        ({"HERDBOOK_REFRESH_SECONDS": "0"}, "above 0"),
        ({"HERDBOOK_WEBHOOK_PRIVATE": "maybe"}, "write 1 or 0"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(
    environ: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(Invalid, match=said):
        Settings.load(environ=environ, folder=tmp_path)


def test_a_misspelt_setting_in_the_project_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "herdbook.toml").write_text('urll = "sqlite:///x.db"\n')

    with pytest.raises(Invalid, match="urll is not a setting"):
        Settings.load(environ={}, folder=tmp_path)


def test_secrets_do_not_show() -> None:
    settings = Settings(
        home=Path("herd"), token="hb_secret", url="postgresql://me:hunter2@host/name"
    )

    assert "hunter2" not in repr(settings)
    assert "hb_secret" not in repr(settings)


def test_every_setting_is_documented() -> None:
    page = Path("docs/settings.md").read_text()

    for name in Settings.__dataclass_fields__:
        assert f"| `{name}` | `HERDBOOK_{name.upper()}` |" in page


def test_paths_of_a_project_file_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "herdbook.toml").write_text('url = "sqlite:///herd.db"\nhome = "house"\n')
    inner = tmp_path / "a"
    inner.mkdir()

    settings = Settings.load(environ={}, folder=inner)

    assert settings.url == f"sqlite:///{tmp_path}/herd.db"
    assert settings.home == tmp_path / "house"


def test_a_variable_that_is_nearly_a_setting_is_refused(tmp_path: Path) -> None:
    for slip in ("HERDBOOK_ULR", "HERDBOOK_TOKENS"):
        with pytest.raises(Invalid, match="did you mean"):
            Settings.load(environ={slip: "x"}, folder=tmp_path)


def test_an_empty_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is empty"):
        Settings.load(environ={}, folder=tmp_path, url="")


def test_a_closed_register_says_so(tmp_path: Path) -> None:
    book = herdbook.connect(f"sqlite:///{tmp_path}/herdbook.db")
    book.close()

    with pytest.raises(Invalid, match="was closed"):
        book.models.list()
