"""The pocket index on the device: what it finds, and what it opens."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support.pockets import DIM, opened, state, vectors

from sightline_edge import Device
from sightline_edge.pocket import PocketIndex, nearest
from sightline_shared import pocket_file
from sightline_shared.codec import Codec
from sightline_shared.errors import (
    FilterInvalid,
    InputError,
    PocketUnusable,
    VersionMismatch,
)
from sightline_shared.where import Where


@pytest.fixture(scope="module")
def device(tiny) -> Device:
    return Device.load(tiny)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pocket.slp"


# Searching.


def slow_cosines(codec: Codec, embedding: np.ndarray, codes: np.ndarray) -> np.ndarray:
    decoded = codec.decode(codes).astype(np.float64)
    return decoded @ embedding / np.linalg.norm(decoded, axis=1) / np.linalg.norm(embedding.astype(np.float64))


@pytest.mark.parametrize("length", [1.0, 3.0])
def test_scores_are_the_cosines_to_the_decoded_items(device: Device, path: Path, length: float) -> None:
    held = state(device, range(1, 300))
    index = opened(path, device, held)
    for seed in (5, 17, 1000):
        embedding = length * vectors(1, seed)[0]
        expected = slow_cosines(device.codec, embedding, held.codes)
        order = np.argsort(-expected, kind="stable")
        found = index.search(embedding, 7)
        assert [match.id for match in found] == [f"i{held.pks[row]}" for row in order[:7]]
        assert [match.score for match in found] == pytest.approx(expected[order[:7]], abs=1e-5)
        assert [match.code for match in found] == [held.codes[row].tobytes() for row in order[:7]]


def test_weights_and_padding_of_a_codec_change_nothing_of_that(device: Device, path: Path) -> None:
    rng = np.random.default_rng(3)
    m, p = 96, 288
    rotation = np.zeros((p, DIM), np.float32)
    rotation[rng.choice(p, DIM, replace=False)] = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    codebooks = rng.normal(scale=0.1, size=(m, 256, 3)).astype(np.float32) * np.abs(rotation).max(1).reshape(
        m, 1, 3
    ).astype(bool)
    codec = Codec(
        vectors(1, 9)[0] / 3, rotation, codebooks.astype(np.float32), rng.uniform(0.5, 2, p).astype(np.float32)
    )
    other = dataclasses.replace(device, codec=codec)
    codes = codec.encode(vectors(200, 4))
    held = dataclasses.replace(state(device, range(200)), codes=codes)
    embedding = vectors(1, 6)[0]
    found = opened(path, other, held).search(embedding, 200)
    expected = slow_cosines(codec, embedding, codes)
    assert [match.score for match in found] == pytest.approx(np.sort(expected)[::-1], abs=1e-5)


def test_as_many_as_there_are_up_to_k(device: Device, path: Path) -> None:
    index = opened(path, device, state(device, range(1, 6)))
    embedding = vectors(1)[0]
    assert [len(index.search(embedding, k)) for k in (1, 4, 5, 6, 50)] == [1, 4, 5, 5, 5]
    assert PocketIndex(path, device).search(embedding, 5) == ()
    assert opened(path, device, state(device, [])).search(embedding, 5) == ()
    for wrong in (embedding[:-1], embedding[np.newaxis]):
        with pytest.raises(InputError, match="embedding"):
            index.search(wrong, 5)
    with pytest.raises(InputError, match="k: expected 1"):
        index.search(embedding, 0)


def test_the_nearest_are_the_largest_and_of_equal_ones_the_first() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        scores = rng.integers(0, 6, rng.integers(0, 12)).astype(np.float32)
        k = int(rng.integers(1, 9))
        assert nearest(scores, k).tolist() == sorted(range(len(scores)), key=lambda n: (-scores[n], n))[:k]


COLOURS = ["red", "blue", True, 1, 1.0, "1"]


def described(pk: int) -> dict:
    return {"title": f"Item {pk}", "size": pk % 4, **({} if pk % 7 == 0 else {"colour": COLOURS[pk % 6]})}


@pytest.mark.parametrize(
    "wanted",
    [{"colour": "red"}, {"colour": True}, {"colour": 1}, {"colour": "1"}, {"colour": ["red", "blue"], "size": [1, 2.0]}, {"colour": "none"}],
)  # fmt: skip
def test_filters_let_pass_what_they_say_and_nothing_else(device: Device, path: Path, wanted: dict) -> None:
    held, where = state(device, range(1, 100), metadata=described), Where.of(wanted)
    found = opened(path, device, held).search(vectors(1)[0], 50, where)
    passing = {f"i{pk}" for pk in range(1, 100) if where.passes(described(pk))}
    assert {match.id for match in found} <= passing and len(found) == min(50, len(passing))
    assert all(match.metadata == described(int(match.id[1:])) for match in found)


def test_a_filter_on_a_key_that_it_does_not_hold_is_refused(device: Device, path: Path) -> None:
    index = opened(path, device, state(device, range(1, 100), metadata=described))
    with pytest.raises(FilterInvalid, match=r"where.title.*\['colour', 'size'\]"):
        index.search(vectors(1)[0], 5, Where.of({"title": "Item 3"}))


# Opening.


def test_what_it_holds_is_told(device: Device, path: Path) -> None:
    index = opened(path, device, state(device, range(1, 4), seq=9))
    assert (len(index), index.version, index.tenant) == (3, "v9", "shop")
    assert index.pairing_id == device.bundle.pairing.id and index.trouble is None
    empty = PocketIndex(path, device)
    assert (len(empty), empty.version, empty.tenant) == (0, "", "")


def test_a_file_of_another_bundle_is_refused_or_begun_anew(device: Device, path: Path) -> None:
    pocket_file.write(path, state(device, range(3), pairing_id=b"stranger").to_bytes())
    with pytest.raises(VersionMismatch, match=b"stranger".hex()):
        PocketIndex.open(path, device)
    index = PocketIndex.open_or_empty(path, device)
    assert isinstance(index.trouble, VersionMismatch) and len(index) == 0
    assert index.sync_request() == f"/v1/pocket?pairing={device.bundle.pairing.id.hex()}"
    assert index.apply(state(device, range(4)).to_bytes()) and len(index) == 4 and index.trouble is None


def test_a_file_that_is_missing_damaged_or_of_another_size_of_code_is_refused(device: Device, path: Path) -> None:
    with pytest.raises(PocketUnusable, match="No such file"):
        PocketIndex.open(path, device)
    path.write_bytes(b"not a pocket index, but long enough to be taken for one by its length")
    with pytest.raises(PocketUnusable, match="SLPOCKET"):
        PocketIndex.open(path, device)
    assert isinstance(PocketIndex.open_or_empty(path, device).trouble, PocketUnusable)
    short = dataclasses.replace(state(device, range(3)), codes=np.zeros((3, 32), np.uint8))
    pocket_file.write(path, short.to_bytes())
    with pytest.raises(PocketUnusable, match="64 bytes, got 32"):
        PocketIndex.open(path, device)


ID, TITLE, COLOUR = range(3)
LONG_NUMBER = b"1" + b"0" * 1000


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        (ID, [b"", b'"b"']), (ID, [b'""', b'"b"']), (ID, [b"5", b'"b"']), (ID, [b'"' + b"i" * 201 + b'"', b'"b"']),
        (TITLE, [b"[1]", b"1"]), (TITLE, [b"{}", b"1"]), (TITLE, [b"1,2", b"3"]), (TITLE, [b"[1", b"2],3"]),
        (COLOUR, [b"NaN", b"1"]), (COLOUR, [b"1e999", b"1"]), (COLOUR, [LONG_NUMBER, b"1"]), (COLOUR, [b"\xff", b"1"]),
        (COLOUR, [b"[" * 1200, b"[" * 1200]), (COLOUR, [b"red", b"1"]), (COLOUR, [b'"red', b"1"]), (COLOUR, [b"1]", b"1"]),
    ],
)  # fmt: skip
def test_cells_that_are_none_are_refused_when_the_file_is_opened(
    device: Device, path: Path, column: int, cells: list[bytes]
) -> None:
    held = state(device, [1, 2])
    columns = tuple(tuple(cells) if number == column else own for number, own in enumerate(held.columns))
    pocket_file.write(path, dataclasses.replace(held, columns=columns).to_bytes())
    with pytest.raises(PocketUnusable, match="expected"):
        PocketIndex.open(path, device)
