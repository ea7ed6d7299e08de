"""Every reader of msgpack that takes bytes from outside: only our errors come out of it, and it makes little of a lot.

Bodies are right ones that are bent (bytes changed, cut, doubled, lengths that claim more than there is), and noise.
"""

import hashlib
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_letters

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.query_bodies import packed, trees

from sightline_cloud.ingest.fields import MAX_METADATA_BYTES
from sightline_cloud.ingest.upload import read_upload
from sightline_shared import bounded
from sightline_shared.errors import BodyMalformed, BodyTooLarge, FilterInvalid, PocketUnusable, ProtocolUnknown
from sightline_shared.pocket_file import FORMAT, HEADER, MAGIC, MAX_FILE_BYTES, Identity, Part, Pocket
from sightline_shared.protocol import (
    MAX_ANSWER_BYTES,
    MAX_QUERY_BYTES,
    Answer,
    Decision,
    Match,
    Query,
    pack_answer,
    pack_query,
    unpack_answer,
    unpack_query,
)
from sightline_shared.where import Where

QUERY = Query(
    b"pairing1", (bytes(64), bytes(range(64))), b"12345678", k=7, gate_scores=(0.5, 1.0),
    where=Where.of({"colour": ["red", "blue"], "available": True, "price": [1, 2.5]}), text="in rot", sensitive_scores=(0.1, 0.9),
)  # fmt: skip
ANSWER = Answer(
    b"12345678", Decision.FOUND,
    (Match("a", 0.9, {"title": "A", "price": 1.5, "available": True}, 0, bytes(64), 0.01), Match("ä", -0.5)),
    ("because",), True, {"bundle": "tiny 1"}, {"search": 1.25}, 0.5, "No advice.",
)  # fmt: skip
POCKET = Pocket(
    Identity(b"pairing1", bytes(16), "shop", ("colour",)), "v1", 9, np.arange(3, 33), np.zeros((30, 64), np.uint8),
    tuple(tuple(f'"{name} {row}"'.encode() for row in range(30)) for name in ("id", "Milk", "red")),
)  # fmt: skip
UPLOAD = {"id": "item/1", "image": b"\xff\xd8\xff picture", "metadata": {"title": "x", "price": 1.5, "no": None}}


def pocket_file(body: bytes) -> bytes:
    """A pocket file with this body, whose header is right: what is behind the digest is what is read here."""
    return HEADER.pack(MAGIC, FORMAT, len(body), hashlib.sha256(body).digest()) + body


@dataclass(frozen=True)
class Reader:
    """A function that reads bytes, a right body for it, the errors that it may raise, and the most bytes that it takes."""

    read: Callable[[bytes], object]
    good: bytes
    errors: tuple[type[Exception], ...]
    most: int


WIRE = (BodyMalformed, BodyTooLarge, ProtocolUnknown, FilterInvalid)
READERS = {
    "query": Reader(unpack_query, pack_query(QUERY), WIRE, MAX_QUERY_BYTES),
    "answer": Reader(unpack_answer, pack_answer(ANSWER), WIRE, MAX_ANSWER_BYTES),
    "upload": Reader(read_upload, msgpack.packb(UPLOAD), (BodyMalformed,), 16 * 1024 * 1024),
    "pocket": Reader(
        lambda body: Part.from_bytes(pocket_file(body)),
        POCKET.to_bytes()[HEADER.size :],
        (PocketUnusable,),
        MAX_FILE_BYTES - HEADER.size,
    ),
}
# Lengths that claim more than there is, and bytes that msgpack never uses.
CLAIMS = [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\x7f\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc1"]


def bent(good: bytes, seed: int) -> bytes:
    """`good` with one to four things done to it, by seed."""
    rng, body = random.Random(seed), bytearray(good)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(body) + 1)
        match rng.randrange(6):
            case 0:
                body[at : at + 1] = rng.randbytes(1)
            case 1:
                body[at:at] = rng.randbytes(rng.randint(1, 9))
            case 2:
                del body[at : at + rng.randint(1, 20)]
            case 3:
                body[at : at + rng.randint(0, 2)] = rng.choice(CLAIMS)
            case 4:
                body[at:at] = body[at : at + 40]
            case _:
                body[at : at + 1] = msgpack.packb(
                    rng.choice([None, True, -1, 2**63, 1e308, "\u00e4" * 40, b"x", [], {}])
                )
    return bytes(body)


def read(reader: Reader, body: bytes) -> int:
    """Read `body`, and return how much memory that took; raises whatever is not one of the reader's errors."""
    tracemalloc.start()
    try:
        reader.read(body)
    except reader.errors as error:
        assert len(str(error)) < 1500, "an error does not give back all that came"
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("name", READERS)
def test_what_is_right_is_read(name: str) -> None:
    READERS[name].read(READERS[name].good)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_only_our_errors_come_of_a_bent_body(name: str, seed: int) -> None:
    body = bent(READERS[name].good, seed)
    assert read(READERS[name], body) < 64 * len(body) + 400_000


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=150, deadline=None)
@given(value=trees, raw=st.binary(max_size=200))
def test_only_our_errors_come_of_noise(name: str, value: object, raw: bytes) -> None:
    for body in (raw, packed(value), packed({"id": value, 0: value}), READERS[name].good + raw):
        assert read(READERS[name], body) < 64 * len(body) + 400_000


def bombs(most: int) -> dict[str, bytes]:
    """Bodies as large as they may be, of as many values as they hold, or as deep."""
    fill = most - 60
    head = b"\xdd" + (fill).to_bytes(4, "big")
    wide = msgpack.packb("metadata")
    return {
        "empty lists": head + b"\x90" * fill,
        "empty maps": head + b"\x80" * fill,
        "empty maps in a field": b"\x81" + wide + head + b"\x80" * fill,
        "short texts": head + b"\xa1x" * (fill // 2),
        "lists of lists": b"\x81" + wide + b"\xdc\x00\x40" + (b"\xdc\x00\x42" + b"\x90" * 66) * (fill // 70),
        "deep": b"\x91" * fill,
        "deep maps": b"\x81\xa1a" * (fill // 3),
        "large claims": b"\xdd\xff\xff\xff\xff" * (fill // 5),
        "one long text": b"\x81" + wide + b"\xdb" + (fill - 20).to_bytes(4, "big") + b"x" * (fill - 20),
    }


@pytest.mark.parametrize("bomb", bombs(1000))
@pytest.mark.parametrize(("name", "times"), [("query", 200), ("answer", 80), ("upload", 4), ("pocket", 5)])
def test_the_largest_body_of_the_smallest_values_takes_no_more_than_so_many_times_its_size(
    name: str, times: int, bomb: str
) -> None:
    """Small bodies may be made in full, 256 KiB at most; those of megabytes are counted before anything is made of them."""
    reader = READERS[name]
    body = bombs(reader.most)[bomb]
    assert len(body) <= reader.most
    assert read(reader, body) <= times * reader.most


@given(value=trees)
def test_what_is_within_the_count_is_read_as_msgpack_reads_it(value: object) -> None:
    body = packed(value)
    if body == b"\xc1":
        return
    count = counted(value)
    np.testing.assert_equal(bounded.unpack(body, count), msgpack.unpackb(body))
    if count:
        with pytest.raises(ValueError, match="more values"):
            bounded.unpack(body, count - 1)


def counted(value: object) -> int:
    """How many values are in `value`, keys too."""
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return sum(1 + counted(each) for each in inner)


def test_metadata_of_as_many_values_as_fit_can_be_uploaded() -> None:
    """Keys of two characters and values of one byte: four bytes each."""
    names = [a + b for a in ascii_letters for b in ascii_letters][: (MAX_METADATA_BYTES - 3) // 4]
    metadata = {name: number % 100 for number, name in enumerate(names)}
    assert MAX_METADATA_BYTES - 8 < len(msgpack.packb(metadata)) <= MAX_METADATA_BYTES
    assert read_upload(msgpack.packb({**UPLOAD, "metadata": metadata})).metadata == metadata
