"""The tower's folder: whole or not at all, and nothing in it is parsed that does not hash right."""

import json
from pathlib import Path

import pytest
from support.tiny_tower import PIECES, WIDTH, make_tiny_tower

from sightline_shared.bundle import Bundle
from sightline_shared.errors import BundleCorrupt, BundleNotFound, BundleUnsupported, InputError
from sightline_shared.tower import ENCODER, MANIFEST, PROJECTION, VOCABULARY, open_tower


@pytest.fixture
def folder(tmp_path: Path, tiny: Bundle) -> Path:
    make_tiny_tower(tmp_path / "tower", tiny)
    return tmp_path / "tower"


def test_a_tower_is_read_back_as_it_was_written(folder: Path, tiny: Bundle) -> None:
    tower = open_tower(folder)
    assert (tower.pairing_id, tower.label, tower.name) == (tiny.pairing.id, tiny.label, "tiny tower")
    assert tower.projection.weight.shape == (tiny.codec.dim, WIDTH) and len(tower.vocabulary) == len(PIECES)
    assert tower.metrics == {"decay": 0.1}


def test_an_existing_folder_is_never_written_over(folder: Path, tiny: Bundle) -> None:
    with pytest.raises(InputError, match="does not exist yet"):
        make_tiny_tower(folder, tiny)


def test_no_tower_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFound, match="export text"):
        open_tower(tmp_path)


@pytest.mark.parametrize("name", [ENCODER, VOCABULARY, PROJECTION])
def test_a_changed_a_longer_and_a_missing_file_are_refused(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    for changed in (bytes([data[0] ^ 1]) + data[1:], data + b"x", data[:-1]):
        (folder / name).write_bytes(changed)
        with pytest.raises(BundleCorrupt, match=name):
            open_tower(folder)
    (folder / name).unlink()
    with pytest.raises(BundleCorrupt, match="readable"):
        open_tower(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"dim": 0},
        {"dim": 10**9},
        {"dim": True},
        {"dim": 255},
        {"width": -1},
        {"width": "16"},
        {"pairing_id": "zz"},
        {"pairing_id": "00"},
        {"name": 3},
        {"metrics": []},
        {"files": {}},
        {"files": {ENCODER: {"size_bytes": 1 << 40, "sha256": ""}}},
        {"bundle": None},
    ],
    ids=str,
)
def test_a_manifest_that_says_something_else_is_refused(folder: Path, change: dict[str, object]) -> None:
    fields = json.loads((folder / MANIFEST).read_bytes())
    if change.get("files"):
        change = {"files": {**fields["files"], **change["files"]}}  # type: ignore[dict-item]
    (folder / MANIFEST).write_text(json.dumps({**fields, **change}))
    with pytest.raises(BundleCorrupt):
        open_tower(folder)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"[" * 20_000, b"\xff", b"x" * 70_000])
def test_bytes_that_are_no_manifest_are_refused(folder: Path, data: bytes) -> None:
    (folder / MANIFEST).write_bytes(data)
    with pytest.raises(BundleCorrupt):
        open_tower(folder)


def test_a_newer_format_is_named(folder: Path) -> None:
    fields = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps({**fields, "format": 2}))
    with pytest.raises(BundleUnsupported, match="format 1, got 2"):
        open_tower(folder)
