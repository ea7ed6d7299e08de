"""Bytes of every released protocol version: what was written then is read now, and written the same."""

from pathlib import Path

from sightline_shared.protocol import (
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

GOLDEN = Path(__file__).resolve().parents[1] / "golden"

# Scores and times are doubles on the wire.
V1_QUERY = Query(bytes(range(8)), (bytes(range(64)), bytes(range(64, 128))), bytes(range(8, 16)), 20, 1500, (0.0, 1.0))
V1_ANSWER = Answer(
    bytes(range(8, 16)),
    Decision.UNSURE,
    (Match("shoes/1.jpg", 0.75, {"title": "Schuh, größer", "price": 12.5}, 1, bytes(range(64))), Match("b", -0.5)),
    ("the nearest item is not close",),
    True,
    {"bundle": "x 1", "index": "7"},
    {"search": 0.25, "hydrate": 0.5},
)
V2_QUERY = Query(
    bytes(range(8)), (bytes(range(64)),), bytes(range(8, 16)), 20, 1500, (0.0,),
    Where.of({"colour": ["rot", "grün"], "available": True, "price": [1, 2.5], "shelf": -3}),
)  # fmt: skip


def test_version_1_query() -> None:
    kept = (GOLDEN / "v1" / "query.msgpack").read_bytes()
    assert unpack_query(kept) == V1_QUERY and pack_query(V1_QUERY) == kept


def test_version_1_answer() -> None:
    kept = (GOLDEN / "v1" / "answer.msgpack").read_bytes()
    assert unpack_answer(kept) == V1_ANSWER and pack_answer(V1_ANSWER) == kept


def test_version_2_query_with_a_filter() -> None:
    kept = (GOLDEN / "v2" / "query.msgpack").read_bytes()
    assert unpack_query(kept) == V2_QUERY and pack_query(V2_QUERY) == kept
