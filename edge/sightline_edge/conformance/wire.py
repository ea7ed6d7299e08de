"""Vectors of the wire: pairing ids, what a query's bytes are, what an answer's bytes mean, and which must be refused."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgpack
import numpy as np

from sightline_edge.conformance.document import Document, Vector, noise, refusal, tagged
from sightline_shared.bundle import Bundle
from sightline_shared.errors import InputError
from sightline_shared.protocol import DEFAULT_K, MAX_ANSWER_BYTES, MAX_K, Answer, Query, pack_query, unpack_answer
from sightline_shared.versions import Pairing
from sightline_shared.where import Wanted, Where

PAIRING_ID = noise("pairing id", 8).tobytes()
REQUEST_ID = noise("request id", 8).tobytes()
ITEM_CODE = noise("item code", 64).tobytes()

_SHORT, _LONG = "x" * 31, "x" * 32
FILTERS: dict[str, Wanted] = {
    "one text": {"category": "milk"},
    "keys and values out of order, some twice": {"shop": ["b", "a", "b"], "colour": ["red", "blue", "red"]},
    "truth values": {"available": [True, False]},
    "every kind under one key": {"size": ["1", 1, True, 0.5, "true", False, -3]},
    "small ints": {"n": [0, 1, 127, 128, 255, 256, 65535, 65536]},
    "large ints": {"n": [2**32 - 1, 2**32, 2**53 + 1, 2**63, 2**64 - 1]},
    "negative ints": {"n": [-1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63)]},
    "floats": {"price": [0.1, 1.0, -2.5, 1e300, 5e-324]},
    "an int between floats": {"price": [2.5, 2, 1.5]},
    "text beyond ASCII, in the order of code points": {"name": ["\U0001f9c0", "\uff5e", "Käse", "Ka\u0308se", "z"]},
    "text of 31 and 32 bytes": {"name": [_SHORT, _LONG], _LONG: ["short"]},
    "text of 200 characters and 600 bytes": {"name": "\u4e2d" * 200},
    "empty text": {"name": ""},
    "eight keys": {f"key {i}": [i] for i in range(7, -1, -1)},
    "32 values": {"n": list(range(31, -1, -1))},
    "15 and 16 values": {"n": list(range(15)), "m": list(range(16))},
}


def pairings(bundle: Bundle) -> Document:
    """Return spaces and codec digests with their pairing ids."""
    pairs = {"golden": bundle.pairing, "text beyond ASCII": Pairing("Käse-1", "0" * 64), "empty": Pairing("", "f" * 64)}
    vectors = [
        {"name": name, "space": pair.space, "codec_sha256": pair.codec_sha256, "pairing_id_hex": pair.id.hex()}
        for name, pair in pairs.items()
    ]
    return Document("pairings", "space and the codec file's SHA-256 -> pairing id", vectors)


def requests() -> Document:
    """Return what a query says, and its bytes."""
    vectors = [
        _request("one code, no gate score", 1, 64),
        _request("one code and its gate score", 1, 64, gate_scores=(0.71,)),
        _request("32 bytes", 1, 32),
        _request("96 bytes", 1, 96, gate_scores=(0.2,)),
        _request("wide", 1, 256, gate_scores=(0.9,)),
        _request("three codes", 3, 64, gate_scores=(0.9, 0.25, 0.0)),
        _request("sixteen codes of 32", 16, 32),
        _request("sixteen codes of 96", 16, 96, gate_scores=tuple(i / 15 for i in range(16))),
        _request("seven wide codes", 7, 256),
        _request("gate scores beyond 0 and 1, and half", 5, 64, gate_scores=(-0.5, 1.5, 0.5, 1.0, 0.0)),
    ]
    vectors += [_request(f"k {k}", 1, 64, k=k) for k in (1, 50)]
    vectors += [_request(f"deadline {ms} ms", 1, 64, deadline_ms=ms) for ms in (1, 127, 128, 255, 256, 60_000)]
    vectors += [_request(f"filter, {name}", 1, 64, wanted=wanted) for name, wanted in FILTERS.items()]
    vectors += [
        _request("filter, with three codes", 3, 64, wanted=FILTERS["one text"], gate_scores=(0.5, 0.6, 0.7)),
        _request("filter, too long for the query", 16, 96, wanted={"text": [f"{i:03}" + "x" * 197 for i in range(3)]}),
        _request("text", 1, 64, text="in red"),
        _request("text of 512 bytes, beyond ASCII", 1, 64, text="\u00e9" * 256),
        _request("text and a filter", 1, 64, text="in red", wanted=FILTERS["one text"]),
        _request("text, too long for the query", 16, 96, text="x" * 512),
        _request("sensitive scores", 2, 64, gate_scores=(0.5, 0.25), sensitive_scores=(1.0, 0.2)),
        _request(
            "sensitive scores, text and a filter", 1, 64, sensitive_scores=(0.75,), text="?", wanted=FILTERS["floats"]
        ),
    ]
    return Document("requests", "what a query says -> its bytes", vectors)


def answers() -> Document:
    """Return answer bytes and what they say."""
    plain = _body([_row("a", 0.9), _row("b", 0.8)])
    rich = {"title": "Milk", "n": 3, "price": 1.5, "new": True, "gone": None, "tags": ["a", {"b": 2}], "big": 2**63}
    bodies = {
        "found": msgpack.packb(plain),
        "unsure": msgpack.packb({**plain, 2: 2}),
        "not found": msgpack.packb({**_body([]), 2: 3, 4: ["no visual match"]}),
        "restricted": msgpack.packb({**_body([]), 2: 4, 4: ["a sensitive subject", "ask a doctor"]}),
        "partial": msgpack.packb({**plain, 5: True, 4: ["shard 3 was late"]}),
        "item codes": msgpack.packb(
            _body([_row("a", 0.9, code=ITEM_CODE), _row("b", 0.8, code=noise("b", 256).tobytes())])
        ),
        "metadata of every kind": msgpack.packb(_body([_row("a", 0.9, metadata=rich)])),
        "metadata nested 30 deep": msgpack.packb(_body([_row("a", 0.9, metadata={"deep": _nested(27)})])),
        "several codes": msgpack.packb(_body([_row("a", 0.9, 2), _row("b", 0.8, 0), _row("c", 0.7, 15)])),
        "versions and timings": msgpack.packb(
            {**plain, 6: {"index": "7", "Käse": "x"}, 7: {"scan": 1.25, "rank": 0.5}}
        ),
        "only what must be there": msgpack.packb({key: plain[key] for key in (0, 1, 2, 3)}),
        "keys in another order": msgpack.packb({key: plain[key] for key in reversed(plain)}),
        "confidence": msgpack.packb({**plain, 9: 0.9375}),
        "confidence of 0": msgpack.packb({**plain, 2: 2, 9: 0.0}),
        "restricted, with a disclaimer": msgpack.packb({**plain, 2: 4, 10: "This is no medical advice."}),
        "unknown keys": msgpack.packb({**plain, 8: [1, {"a": b"x"}], 200: None, "later": "more"}),
        "longer match rows": msgpack.packb(_body([[*_row("a", 0.9), "more", {"x": 1}], _row("b", 0.8)])),
        "a bonus": msgpack.packb(
            _body([[*_row("a", 0.875), 0.0], [*_row("b", 0.75), 0.0625], [*_row("c", 0.5), float("inf")]])
        ),
        "fifty matches": msgpack.packb(_body([_row(f"item {i}", 1 - i / 64) for i in range(MAX_K)])),
        "scores of -1, 0 and 1": msgpack.packb(_body([_row("a", 1.0), _row("b", 0.0), _row("c", -1.0)])),
        "float 32": msgpack.packb(plain, use_single_float=True),
        "lengths and numbers in longer forms than they need": _long_forms(),
        "text of every length form": msgpack.packb(
            _body([_row("é" * count, 0.5) for count in (15, 16, 127, 128, 200)])
        ),
    }
    vectors = [{"name": name, "body_hex": body.hex(), **_answer(unpack_answer(body))} for name, body in bodies.items()]
    return Document("answers", "an answer's bytes -> what they say", vectors)


def refused() -> Document:
    """Return answer bytes that a port must refuse, each with the class of the refusal."""
    plain = _body([_row("a", 0.9), _row("b", 0.8)])
    whole = msgpack.packb(plain)
    first = _row("a", 0.9)
    broken: dict[str, dict[Any, Any]] = {
        "protocol 2": {**plain, 0: 2},
        "protocol 0": {**plain, 0: 0},
        "protocol as text": {**plain, 0: "1"},
        "no protocol": {key: plain[key] for key in (1, 2, 3)},
        "no request id": {key: plain[key] for key in (0, 2, 3)},
        "request id as text": {**plain, 1: "12345678"},
        "no decision": {key: plain[key] for key in (0, 1, 3)},
        "decision 0": {**plain, 2: 0},
        "decision 5": {**plain, 2: 5},
        "decision as text": {**plain, 2: "found"},
        "no matches": {key: plain[key] for key in (0, 1, 2)},
        "matches in a map": {**plain, 3: {}},
        "51 matches": _body([first] * (MAX_K + 1)),
        "a match of four fields": _body([first[:4]]),
        "a match that is a map": _body([{}]),
        "a match's id is a number": _body([[7, *first[1:]]]),
        "a match's score is NaN": _body([_row("a", float("nan"))]),
        "a match's score is infinite": _body([_row("a", float("-inf"))]),
        "a match's score is nil": _body([["a", None, *first[2:]]]),
        "a match's code index is text": _body([["a", 0.9, "0", *first[3:]]]),
        "a match's metadata is an array": _body([["a", 0.9, 0, [], None]]),
        "a match's code is text": _body([["a", 0.9, 0, {}, "code"]]),
        "a reason is a number": {**plain, 4: [1]},
        "reasons are one text": {**plain, 4: "no"},
        "partial is a number": {**plain, 5: 1},
        "a version is a number": {**plain, 6: {"index": 7}},
        "a version's name is a number": {**plain, 6: {1: "7"}},
        "a timing is text": {**plain, 7: {"scan": "1"}},
        "a confidence above 1": {**plain, 9: 1.5},
        "a confidence is NaN": {**plain, 9: float("nan")},
        "a confidence is text": {**plain, 9: "0.5"},
        "a disclaimer is bytes": {**plain, 10: b"no"},
    }
    head = whole[:1]
    bodies = {
        "nothing": b"",
        "a proxy's page": b"<html><body>502 Bad Gateway</body></html>",
        "an array": msgpack.packb([1, 2, 3]),
        "nil": msgpack.packb(None),
        "cut after half": whole[: len(whole) // 2],
        "cut before the last byte": whole[:-1],
        "a byte too many": whole + b"\x00",
        "two answers": whole + whole,
        "a type byte that msgpack does not use": head + b"\xc1",
        "text that is not UTF-8": msgpack.packb(plain).replace(b"\xa1a", b"\xa1\xff"),
        "a map with an array for a key": b"\x89" + whole[1:] + b"\x90\x01",
        "declares 4 GiB of bytes": b"\x82\x00\x01\x01\xc6\xff\xff\xff\xff\x00",
        "declares 4 GiB of text": b"\x82\x00\x01\x01\xdb\xff\xff\xff\xff\x00",
        "declares 2^32 - 1 matches": b"\x82\x00\x01\x03\xdd\xff\xff\xff\xff\x90",
        "declares 2^32 - 1 keys": b"\xdf\xff\xff\xff\xff\x00\x01",
        "nested 20,000 deep": b"\x82\x00\x01\x63" + b"\x91" * 20_000 + b"\x00",
        "a byte more than the cap": msgpack.packb({**plain, 8: b""})[:-2]
        + b"\xc6"
        + (MAX_ANSWER_BYTES - len(whole) - 5).to_bytes(4, "big")
        + bytes(MAX_ANSWER_BYTES - len(whole) - 5),
        **{name: msgpack.packb(body) for name, body in broken.items()},
    }
    vectors = [
        {"name": name, "class": refusal(partial(unpack_answer, body)), "body_hex": body.hex()}
        for name, body in bodies.items()
    ]
    return Document("refused", "an answer's bytes -> the code of the error", vectors)


def request_vector(name: str, query: Query, wanted: Wanted) -> Vector:
    """Return a query's quantities as an app has them (the filter unsorted), and its bytes, None when it is too long."""
    return {
        "name": name,
        "pairing_id_hex": query.pairing_id.hex(),
        "codes_hex": [code.hex() for code in query.codes],
        "k": query.k,
        "deadline_ms": query.deadline_ms,
        "request_id_hex": query.request_id.hex(),
        "gate_scores": list(query.gate_scores),
        "where": tagged({key: values if isinstance(values, list) else [values] for key, values in wanted.items()}),
        # Not in vectors without them, which were given out before there were any.
        **({"text": query.text} if query.text else {}),
        **({"sensitive_scores": list(query.sensitive_scores)} if query.sensitive_scores else {}),
        "body_hex": _packed(query),
    }


def _packed(query: Query) -> str | None:
    try:
        return pack_query(query).hex()
    except InputError:
        return None


def _request(
    name: str,
    count: int,
    size: int,
    *,
    gate_scores: tuple[float, ...] = (),
    wanted: Wanted | None = None,
    k: int = DEFAULT_K,
    deadline_ms: int = 2000,
    text: str = "",
    sensitive_scores: tuple[float, ...] = (),
) -> Vector:
    codes = noise(f"codes {size}", count * size).tobytes()
    query = Query(
        pairing_id=PAIRING_ID,
        codes=tuple(codes[i * size : (i + 1) * size] for i in range(count)),
        request_id=REQUEST_ID,
        k=k,
        deadline_ms=deadline_ms,
        gate_scores=tuple(float(np.float32(score)) for score in gate_scores),
        where=Where.of(wanted or {}),
        text=text,
        sensitive_scores=tuple(float(np.float32(score)) for score in sensitive_scores),
    )
    return request_vector(name, query, wanted or {})


def _row(item_id: str, score: float, index: int = 0, metadata: object = None, code: bytes | None = None) -> list[Any]:
    return [item_id, score, index, metadata or {}, code]


def _body(rows: list[Any]) -> dict[Any, Any]:
    return {0: 1, 1: REQUEST_ID, 2: 1, 3: rows, 4: [], 5: False, 6: {"index": "1"}, 7: {"total": 2.5}}


def _nested(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels - 1):
        nested = [nested]
    return nested


def _long_forms() -> bytes:
    """Return an answer that says every number and length in the longest form that msgpack has for it."""
    row = b"\xdd\x00\x00\x00\x05" + b"\xdb\x00\x00\x00\x01a" + b"\xcb" + b"\x3f\xe0" + bytes(6) + b"\xd3" + bytes(8)
    row += b"\xdf\x00\x00\x00\x00" + b"\xc6\x00\x00\x00\x40" + ITEM_CODE
    keys = [b"\xcf" + bytes(7) + bytes([key]) for key in range(4)]
    values = [b"\xcf" + bytes(7) + b"\x01", b"\xc6\x00\x00\x00\x08" + REQUEST_ID, b"\xd2\x00\x00\x00\x01"]
    values.append(b"\xdd\x00\x00\x00\x01" + row)
    return b"\xdf\x00\x00\x00\x04" + b"".join(key + value for key, value in zip(keys, values, strict=True))


def _answer(answer: Answer) -> Vector:
    return {
        "request_id_hex": answer.request_id.hex(),
        "decision": answer.decision.label,
        "matches": [
            {
                "id": match.id,
                "score": match.score,
                "code_index": match.code_index,
                "metadata": tagged(dict(match.metadata)),
                "code_hex": None if match.code is None else match.code.hex(),
                **({"bonus": match.bonus} if match.bonus else {}),
            }
            for match in answer.matches
        ],
        "reasons": list(answer.reasons),
        "partial": answer.partial,
        "versions": dict(answer.versions),
        "stages_ms": dict(answer.stages_ms),
        **({} if answer.confidence is None else {"confidence": answer.confidence}),
        **({"disclaimer": answer.disclaimer} if answer.disclaimer else {}),
    }
