"""The pocket file: what is written is read, and bytes that are not whole, sound and small are refused before they are used."""

import dataclasses
import hashlib
import zlib
from pathlib import Path

import msgpack
import numpy as np
import pytest

from sightline_shared import pocket_file
from sightline_shared.errors import PocketUnusable
from sightline_shared.pocket_columns import joined
from sightline_shared.pocket_file import HEADER, MAGIC, MAX_FILE_BYTES, MAX_ITEMS, Identity, Part, Pocket

SIZE = 32
IDENTITY = Identity(b"pairing1", bytes(range(16)), "shop", ("category", "available"))


def pocket(*pks: int, seed: int = 0, identity: Identity = IDENTITY, seq: int = 7) -> Pocket:
    digests = [hashlib.blake2b(f"{seed}/{pk}".encode(), digest_size=SIZE).digest() for pk in pks]
    codes = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, SIZE)
    ids, titles = (
        [f'"{text}"'.encode() for text in (f"i{pk}" for pk in pks)],
        [f'"é {pk} {seed}"'.encode() for pk in pks],
    )
    columns = (tuple(ids), tuple(titles), *(tuple(b"" for _ in pks) for _ in identity.filter_keys))
    return Pocket(identity, "v", seq, np.array(pks, np.int64), codes, columns)


def body_of(data: bytes) -> dict:
    return msgpack.unpackb(data[HEADER.size :])


def sealed(fields: object, *, version: int = 2) -> bytes:
    """A file with a right digest around any body: what a faulty or hostile service could send."""
    body = fields if isinstance(fields, bytes) else msgpack.packb(fields)
    return HEADER.pack(MAGIC, version, len(body), hashlib.sha256(body).digest()) + body


def of_format_1(written: Pocket) -> dict:
    """The body that format 1 had: the cells as one text, in place of columns."""
    text = joined(written.columns)
    fields = {key: value for key, value in body_of(written.to_bytes()).items() if key != "columns"}
    return {**fields, "cells": deflated(text), "cells_bytes": len(text)}


def same(first: Pocket, second: Pocket) -> bool:
    return (
        (first.identity, first.version, first.seq, first.columns)
        == (second.identity, second.version, second.seq, second.columns)
        and (first.pks == second.pks).all()
        and (first.codes == second.codes).all()
        and first.digest == second.digest
    )


@pytest.mark.parametrize("pks", [(), (0,), (1, 2, 3), (5, 2**40, 2**62), tuple(range(100, 300, 3))])
def test_a_file_is_read_as_it_was_written(pks: tuple[int, ...]) -> None:
    written = pocket(*pks)
    assert same(Part.from_bytes(written.to_bytes()).onto(None), written)


def test_the_header_and_the_digests_are_those_of_the_specification() -> None:
    written = pocket(3, 4)
    data = written.to_bytes()
    assert data[:8] == b"SLPOCKET" and data[8:12] == b"\2\0\0\0"
    assert int.from_bytes(data[12:16], "little") == len(data) - 48
    assert data[16:48] == hashlib.sha256(data[48:]).digest()
    fields = body_of(data)
    rows = (
        b"\3\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0"
        + written.codes.tobytes()
        + '"i3"\n"i4"\n"é 3 0"\n"é 4 0"\n\n\n\n\n'.encode()
    )
    assert fields["digest"] == hashlib.sha256(rows).digest()
    assert zlib.decompress(fields["pks"]) == b"\3\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"
    assert zlib.decompress(fields["sent"]) == b"\3" and fields["codes"] == written.codes.tobytes()


def test_a_delta_leads_from_one_state_to_the_other() -> None:
    before, after = pocket(1, 2, 3, 5, 8), pocket(2, 3, 5, 8, 9)
    changed = pocket(5, seed=1)
    after = dataclasses.replace(
        after,
        codes=np.where((after.pks == 5)[:, None], changed.codes, after.codes),
        columns=tuple(
            tuple(new[0] if pk == 5 else cell for pk, cell in zip(after.pks, old, strict=True))
            for old, new in zip(after.columns, changed.columns, strict=True)
        ),
        version="w",
        seq=9,
    )
    delta = Part.from_bytes(after.delta(np.isin(after.pks, [5, 9])))
    assert len(delta.codes) == 2 and same(delta.onto(before), after)
    assert same(Part.from_bytes(after.delta(np.zeros(5, bool))).onto(after), after), "nothing but a version"


@pytest.mark.parametrize(
    "base",
    [
        None,
        pocket(1, 2),
        pocket(1, 2, 3, seed=1),
        pocket(1, 2, 3, identity=dataclasses.replace(IDENTITY, tenant="other")),
        pocket(1, 2, 3, identity=dataclasses.replace(IDENTITY, pairing_id=b"pairing2")),
        pocket(1, 2, 3, identity=dataclasses.replace(IDENTITY, catalogue=bytes(16))),
        pocket(1, 2, 3, identity=dataclasses.replace(IDENTITY, filter_keys=("category",))),
    ],
    ids=["none", "row missing", "other rows", "tenant", "bundle", "catalogue", "filter keys"],
)
def test_a_delta_on_anything_but_its_base_is_refused(base: Pocket | None) -> None:
    part = Part.from_bytes(pocket(1, 2, 3).delta(np.array([True, False, False])))
    with pytest.raises(PocketUnusable, match="expected"):
        part.onto(base)


def test_a_file_cut_off_anywhere_or_with_any_byte_changed_is_refused() -> None:
    data = pocket(1, 2).to_bytes()
    for end in range(len(data)):
        with pytest.raises(PocketUnusable):
            Part.from_bytes(data[:end])
        with pytest.raises(PocketUnusable):
            Part.from_bytes(data[:end] + bytes([data[end] ^ 0x40]) + data[end + 1 :])
    with pytest.raises(PocketUnusable, match="body of"):
        Part.from_bytes(data + b"\0")


def test_a_newer_format_says_what_to_do() -> None:
    with pytest.raises(PocketUnusable, match="format 1 or 2, got 3") as refused:
        Part.from_bytes(sealed(body_of(pocket(1).to_bytes()), version=3))
    assert "Upgrade" in refused.value.hint


def test_more_bytes_than_are_taken_are_not_looked_at() -> None:
    with pytest.raises(PocketUnusable, match="at most"):
        Part.from_bytes(MAGIC + bytes(MAX_FILE_BYTES))


def deflated(text: bytes) -> bytes:
    return zlib.compress(text, 9)


BOMB = deflated(bytes(200_000_000))
HOSTILE: dict[str, dict[str, object]] = {
    "no pks": {"pks": None},
    "pks that do not inflate": {"pks": b"xxxx"},
    "pks that inflate to a flood": {"pks": BOMB},
    "pks that end early": {"pks": deflated(bytes(16))},
    "pks cut off": {"pks": deflated(np.ones(3, "<i8").tobytes())[:-2]},
    "pks that do not ascend": {"pks": deflated(np.array([5, 0, 1], "<i8").tobytes())},
    "pks below zero": {"pks": deflated(np.array([-5, 1, 1], "<i8").tobytes())},
    "pks that overflow": {"pks": deflated(np.array([2**62, 2**62, 2**62], "<i8").tobytes())},
    "more sent than there are codes": {"codes": bytes(SIZE)},
    "no columns": {"columns": None},
    "columns that are a map": {"columns": {}},
    "fewer columns": {"columns": []},
    "a count beyond all": {"count": MAX_ITEMS + 1},
    "a count below zero": {"count": -1},
    "a count that is none": {"count": True},
    "a code size of zero": {"code_size": 0},
    "a code size beyond all": {"code_size": 2**31},
    "a code size that is a list": {"code_size": [32]},
    "a short pairing id": {"pairing_id": b"short"},
    "a tenant that is a number": {"tenant": 5},
    "a version that is a flood": {"version": "x" * 201},
    "filter keys that are none": {"filter_keys": "category"},
    "filter keys within one another": {"filter_keys": [["category"]]},
    "too many filter keys": {"filter_keys": ["x"] * 65},
    "a seq below zero": {"seq": -1},
    "no digest": {"digest": b""},
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_body_built_to_harm_is_refused_though_its_digest_is_right(change: dict[str, object]) -> None:
    fields = body_of(pocket(1, 2, 3).to_bytes())
    with pytest.raises(PocketUnusable, match="expected"):
        Part.from_bytes(sealed({**fields, **change}))


HOSTILE_1: dict[str, dict[str, object]] = {
    "cells that inflate to a flood": {"cells": BOMB},
    "a flood that says so": {"cells": BOMB, "cells_bytes": 200_000_000},
    "fewer cells": {"cells": deflated(b"1\n" * 11), "cells_bytes": 22},
    "cells without an end": {"cells": deflated(b"1\n" * 12 + b"1"), "cells_bytes": 25},
    "a cell that is too long": {"cells": deflated(b"1\n" * 11 + bytes(1203) + b"\n"), "cells_bytes": 1226},
    "no cells, as in format 2": {"cells": None},
}


@pytest.mark.parametrize("change", HOSTILE_1.values(), ids=HOSTILE_1)
def test_a_body_of_format_1_built_to_harm_is_refused(change: dict[str, object]) -> None:
    fields = of_format_1(pocket(1, 2, 3))
    assert same(Part.from_bytes(sealed(fields, version=1)).onto(None), pocket(1, 2, 3))
    with pytest.raises(PocketUnusable, match="expected"):
        Part.from_bytes(sealed({**fields, **change}, version=1))


def test_a_body_of_one_format_under_the_number_of_the_other_is_refused() -> None:
    written = pocket(1, 2)
    for fields, version in ((of_format_1(written), 2), (body_of(written.to_bytes()), 1)):
        with pytest.raises(PocketUnusable, match="expected its fields"):
            Part.from_bytes(sealed(fields, version=version))


@pytest.mark.parametrize("body", [b"", b"\xc1", msgpack.packb([1]), msgpack.packb({}), b"\x91" * 5000, b"\x81" * 5000])
def test_a_body_that_is_no_map_is_refused(body: bytes) -> None:
    with pytest.raises(PocketUnusable):
        Part.from_bytes(sealed(body))


def test_rows_that_are_not_those_of_the_digest_are_refused() -> None:
    fields = body_of(pocket(1, 2, 3).to_bytes())
    part = Part.from_bytes(sealed({**fields, "codes": bytes(3 * SIZE)}))
    with pytest.raises(PocketUnusable, match="digest"):
        part.onto(None)


def test_what_a_newer_service_adds_to_the_body_is_left_alone() -> None:
    fields = body_of(pocket(1, 2).to_bytes())
    assert same(Part.from_bytes(sealed({**fields, "later": {"x": 1}})).onto(None), pocket(1, 2))


def test_what_devices_would_refuse_is_not_written() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (20_000, 256), np.uint8)
    large = Pocket(IDENTITY, "v", 1, np.arange(20_000), codes, ((b"1",) * 20_000,) * 4)
    with pytest.raises(PocketUnusable, match="got 20000 items") as refused:
        large.to_bytes()
    assert refused.value.hint == "Take fewer items."


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "pocket.slp"
    pocket_file.write(path, b"first")
    pocket_file.write(path, b"second")
    assert pocket_file.read(path) == b"second"

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pocket_file.os, "fsync", full)
    with pytest.raises(PocketUnusable, match="No space left"):
        pocket_file.write(path, b"third")
    assert pocket_file.read(path) == b"second" and [each.name for each in path.parent.iterdir()] == ["pocket.slp"]


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(PocketUnusable, match="No such file"):
        pocket_file.read(tmp_path / "none")
    with pytest.raises(PocketUnusable):
        pocket_file.read(tmp_path)


GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.mark.parametrize("number", [1, 2])
def test_files_of_every_format_are_read_for_ever(number: int) -> None:
    """Read, not written anew: zlib may pack the same bytes in another way."""
    data = (GOLDEN / f"v{number}" / "pocket.slp").read_bytes()
    whole = Part.from_bytes(data)
    assert data[8] == number and whole.whole and same(whole.onto(None), pocket(1, 2, 7))
    after = dataclasses.replace(pocket(2, 7, 2**40), seq=9, version="w")
    part = Part.from_bytes((GOLDEN / f"v{number}" / "pocket-delta.slp").read_bytes())
    assert part.sent.tolist() == [False, False, True] and same(part.onto(pocket(1, 2, 7)), after)
