"""Where settings come from, and what is refused."""

from pathlib import Path

import pytest

import herdbook
from herdbook.errors import Invalid, Unavailable
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
        ({"HERDBOOK_OFFLINE": "sometimes"}, "write 1 or 0"),
        ({"HERDBOOK_CACHE_BYTES": "much"}, "20GB or 500MiB"),
        ({"HERDBOOK_CACHE_BYTES": "-1"}, "20GB or 500MiB"),
        ({"HERDBOOK_CACHE_BYTES": "1.5"}, "20GB or 500MiB"),
        ({"HERDBOOK_CACHE_BYTES": "5iB"}, "20GB or 500MiB"),
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


def test_what_is_fetched_and_kept_lies_in_the_home_folder(home: Path, tmp_path: Path) -> None:
    settings = Settings.load(environ={"HERDBOOK_HOME": str(home)}, folder=tmp_path)

    assert settings.cache == home / "cache"
    assert settings.blobs_address == f"{home}/blobs"
    assert (settings.model_ref, settings.offline, settings.cache_bytes) == ("", False, 0)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", 1_048_576),
        ("20GB", 20_000_000_000),
        ("500MiB", 524_288_000),
        ("1.5 gib", 1_610_612_736),
        ("12b", 12),
        ("3K", 3_000),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(text: str, size: int, tmp_path: Path) -> None:
    settings = Settings.load(environ={"HERDBOOK_CACHE_BYTES": text}, folder=tmp_path)

    assert settings.cache_bytes == size


@pytest.mark.parametrize("name", ["HERDBOOK_MODEL_REF", "ML_MODEL_REF"])
def test_the_model_to_load_is_named_by_either_variable(name: str, tmp_path: Path) -> None:
    (tmp_path / "herdbook.toml").write_text('model_ref = "herdbook:majora@champion"\n')

    settings = Settings.load(environ={name: "local:artifacts/model-v1"}, folder=tmp_path)

    assert settings.model_ref == "local:artifacts/model-v1"


def test_two_variables_that_name_different_models_are_refused(tmp_path: Path) -> None:
    ours, theirs = "local:artifacts/model-v1", "local:artifacts/model-v2"
    environ = {"HERDBOOK_MODEL_REF": ours, "ML_MODEL_REF": theirs}

    with pytest.raises(Invalid, match="set one of them"):
        Settings.load(environ=environ, folder=tmp_path)

    agreeing = Settings.load(environ={**environ, "ML_MODEL_REF": ours}, folder=tmp_path)
    given = Settings.load(environ=environ, folder=tmp_path, model_ref="majora")
    assert (agreeing.model_ref, given.model_ref) == (ours, "majora")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("local:artifacts/model-v1", "local:{folder}/artifacts/model-v1"),
        ("local:/srv/models/v1", "local:/srv/models/v1"),
        ("hf:deepset/gbert-base", "hf:deepset/gbert-base"),
    ],
)
def test_the_folder_of_a_model_in_a_project_file_is_relative_to_it(
    said: str, meant: str, tmp_path: Path
) -> None:
    (tmp_path / "herdbook.toml").write_text(f'model_ref = "{said}"\n')
    inner = tmp_path / "a"
    inner.mkdir()

    settings = Settings.load(environ={}, folder=inner)

    assert settings.model_ref == meant.format(folder=tmp_path)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("bytes", "{folder}/bytes"),
        ("file:bytes", "{folder}/bytes"),
        ("/srv/bytes", "/srv/bytes"),
        ("s3://bucket/models", "s3://bucket/models"),
        ("memory:", "memory:"),
    ],
)
def test_folders_of_bytes_in_a_project_file_are_relative_to_it(
    said: str, meant: str, tmp_path: Path
) -> None:
    (tmp_path / "herdbook.toml").write_text(f'blobs = "{said}"\ncache = "kept"\n')
    inner = tmp_path / "a"
    inner.mkdir()

    settings = Settings.load(environ={}, folder=inner)

    assert settings.blobs_address == meant.format(folder=tmp_path)
    assert settings.cache == tmp_path / "kept"


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

    with pytest.raises(Unavailable, match="was closed"):
        book.models.list()
