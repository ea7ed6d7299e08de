"""settings.toml in the data folder: what service and commands must agree on, refused when it says what cannot be."""

from pathlib import Path

import pytest

from sightline_cloud.settings import Settings
from sightline_cloud.settings_file import MAX_BYTES, read_settings
from sightline_shared.errors import ConfigInvalid


def write(folder: Path, text: str | bytes) -> Path:
    (folder / "settings.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert read_settings(tmp_path / "nowhere") == Settings(data_dir=tmp_path / "nowhere")


def test_every_kind_of_setting_is_read_and_what_is_given_goes_before_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        'port = 9000\nshards = 4\nindex_ram_bytes = 2_000_000_000\nmin_shards = 1\nlist_coder = "rabitq"\n'
        'filter_keys = ["category", "size"]\nbundle_dirs = ["../shop-3", "/opt/shop-4"]\n',
    )
    settings = read_settings(tmp_path, port=0, host=None)
    assert (settings.port, settings.host, settings.shards, settings.min_shards) == (0, "127.0.0.1", 4, 1)
    assert (settings.index_ram_bytes, settings.list_coder) == (2_000_000_000, "rabitq")
    assert settings.filter_keys == ("category", "size")
    assert settings.bundle_dirs == (tmp_path / "../shop-3", Path("/opt/shop-4"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1", "expected some of .*got colour"),
        ('data_dir = "/"', "got data_dir"),
        ("[index]\nshards = 2", "got index"),
        ('port = "9000"', "port: expected int"),
        ("port = true", "port: expected int"),
        ("port = 1.5", "port: expected int"),
        ("filter_keys = [1]", "filter_keys: expected tuple"),
        ('filter_keys = "category"', "filter_keys: expected tuple"),
        ("min_shards = nan", "min_shards: expected 0.01 to 1"),
        ("port = 99999", "port: expected 0 to 65535"),
        ("port = ", "TOML"),
        (b"\xff\xfe", "TOML"),
        ("#" * (MAX_BYTES + 1), "at most 65536 bytes"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        read_settings(write(tmp_path, text))


def test_the_catalogues_url_comes_from_the_environment_before_the_file_and_is_not_shown(
    tmp_path: Path, monkeypatch
) -> None:
    write(tmp_path, 'database_url = "postgresql://ada:secret@one/shop"')
    assert read_settings(tmp_path).database_url.endswith("@one/shop")
    monkeypatch.setenv("SIGHTLINE_DATABASE_URL", "postgresql://ada:secret@two/shop")
    settings = read_settings(tmp_path)
    assert settings.database_url.endswith("@two/shop") and "secret" not in repr(settings)
